"""Networks in the files of other engines (exported.py) compute what they compute in PyTorch, for every size."""

import itertools

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer

from lunet_networks import create_network
from lunet_networks.bundle.inference.exported import export_network, load_exported
from lunet_networks.bundle.inference.formats import EXPORT_FILES
from lunet_networks.pruning import mask_branches
from lunet_networks.state_dicts import weights_digest
from tests.helpers.exports import ENGINES
from tests.helpers.random_networks import new_pspseg

FAMILIES = ["unet_small_2f", "lunet_small_1f", "unetpp_small_1f", "lunetpp_small_1f", "mednext_small"]
FAMILIES_2D = ["lmsc_unet", "lv_unet", "unext_small", "malunet", "ege_unet"]
COMPARED_2D = ["u_kan_small", "mobilenetv3_unet", "unet_2d_32f", "attention_unet_2d_32f", "unetpp_2d_32f"]
ROUNDING = {"ege_unet": 1e-4}  # of the largest logit; layer norms of few channels magnify it where these are equal
CASES = [
    (*case, backend)
    for case in (*itertools.product(FAMILIES, (2, 3)), *itertools.product([*FAMILIES_2D, *COMPARED_2D], [2]))
    for backend in ENGINES
]
QUICK = [
    ("unetpp_small_1f", 2, "onnx"),
    *(case for case in CASES if case[-1] == "torchscript" and case[0] not in COMPARED_2D),
]


def make_network(name="lunet_small_1f", spatial_dims=3):
    """A network whose norms have statistics, as after a training."""
    network = create_network(name, spatial_dims=spatial_dims, in_channels=2, out_channels=3, dropout=0.1)
    side = max(16, network.size_multiple)
    with torch.no_grad():
        network(torch.randn(2, 2, *(2 * side, 3 * side, 2 * side)[:spatial_dims]))
    return network.eval()


@pytest.fixture(scope="module")
def files(exported_bundle):
    """A network and its files by backend."""
    bundle, network = exported_bundle
    return network, {backend: bundle / "models" / EXPORT_FILES[backend] for backend in ENGINES}


@pytest.mark.parametrize(
    ("name", "spatial_dims", "backend"),
    [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES],
)
def test_every_family_keeps_its_values_and_its_free_sizes(name, spatial_dims, backend, tmp_path):
    network, path = make_network(name, spatial_dims), tmp_path / EXPORT_FILES[backend]
    side = max(16, network.size_multiple)
    sizes = [[side * n for n in steps[:spatial_dims]] for steps in ((2, 2, 2), (2, 3, 1), (2, 1, 3), (1, 4, 2))]
    export_network(network, path, backend, (1, 2, *sizes[0]))
    exported = load_exported(path, backend)
    for batch, size in zip((1, 1, 3, 2), sizes, strict=True):
        image = torch.randn(batch, 2, *size)
        with torch.no_grad():
            expected = network(image)
        # far below what bfloat16 would give, which OpenVINO takes by itself where the CPU has it
        atol = ROUNDING.get(name, 2e-5) * max(1, expected.abs().max())
        torch.testing.assert_close(exported(image), expected, atol=atol, rtol=2e-5)


@pytest.mark.parametrize("backend", [ENGINES[0], *(pytest.param(each, marks=pytest.mark.slow) for each in ENGINES[1:])])
def test_masked_branches_and_modules_without_branches(backend, tmp_path):
    network = new_pspseg(branches={"encoders.1": [], "decoders.0": [1, 3]}, num_branches=4).float()
    mask_branches(network, {"bottleneck": range(4), "encoders.2": [2]}, allow_empty=True)
    export_network(network, tmp_path / EXPORT_FILES[backend], backend, (1, 2, 16, 16))
    exported, image = load_exported(tmp_path / EXPORT_FILES[backend], backend), torch.randn(2, 2, 16, 32)
    with torch.no_grad():
        expected = network(image)
    torch.testing.assert_close(exported(image), expected, atol=2e-5 * max(1, expected.abs().max()), rtol=2e-5)
    assert exported.facts["weights"] == weights_digest(network)
    mask_branches(network, {"encoders.2": [1]})
    assert exported.facts["weights"] != weights_digest(network)


@pytest.mark.parametrize("backend", ENGINES)
def test_it_is_called_like_the_network(files, backend):
    network, paths = files
    exported = load_exported(paths[backend], backend)
    assert not exported.training
    image = MetaTensor(torch.randn(1, 1, 40, 70, 33))
    inferer = SlidingWindowInferer(roi_size=(32, 32, 32), sw_batch_size=3)
    with torch.no_grad():
        expected = inferer(image, network)
        near = {"atol": 5e-6 * expected.abs().max().item(), "rtol": 1e-5}
        torch.testing.assert_close(inferer(image, exported), expected, **near)
    transposed = torch.randn(1, 1, 32, 32, 48).transpose(2, 4)
    with torch.no_grad():
        torch.testing.assert_close(exported(transposed), network(transposed), **near)


@pytest.mark.parametrize("backend", ENGINES)
def test_outputs_are_not_overwritten_by_the_next_call(files, backend):
    exported = load_exported(files[1][backend], backend)
    first = exported(torch.zeros(1, 1, 32, 32, 32))
    kept = first.clone()
    exported(torch.ones(1, 1, 32, 32, 32))
    assert torch.equal(first, kept)


@pytest.mark.parametrize("backend", ENGINES)
def test_a_size_that_the_network_cannot_take(files, backend):
    exported = load_exported(files[1][backend], backend)
    with pytest.raises(ValueError, match=r"every spatial size must be a multiple of 16, got \[30, 32, 32\]"):
        exported(torch.zeros(1, 1, 30, 32, 32))
    with pytest.raises(ValueError, match="takes 1 input channel"):
        exported(torch.zeros(1, 2, 32, 32, 32))


@pytest.mark.parametrize("backend", ENGINES)
def test_a_file_tells_of_which_weights_it_is(files, backend):
    network, paths = files
    assert load_exported(paths[backend], backend).facts["weights"] == weights_digest(network)
    assert weights_digest(make_network()) != weights_digest(network)


def test_files_do_not_tell_of_the_machine(files, repository):
    for path in (*files[1].values(), files[1]["openvino"].with_suffix(".bin")):
        assert str(repository).encode() not in path.read_bytes()


def test_onnx_names_its_inputs_and_their_free_axes(files):
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(files[1]["onnx"]).graph
    for tensor, name, channels in ((graph.input[0], "image", 1), (graph.output[0], "pred", 3)):
        dims = tensor.type.tensor_type.shape.dim
        assert (tensor.name, dims[1].dim_value) == (name, channels)
        assert [dims[axis].dim_param for axis in (0, 2, 3, 4)] == ["batch", "depth", "height", "width"]


@pytest.mark.parametrize("backend", ENGINES)
def test_a_file_that_is_none(backend, tmp_path):
    path = tmp_path / EXPORT_FILES[backend]
    with pytest.raises(FileNotFoundError, match=path.name):
        load_exported(path, backend)
    path.write_text("no network")
    with pytest.raises(ValueError, match=rf"{path} cannot be read as a network for {backend} \(.+\)"):
        load_exported(path, backend)


def test_an_input_that_the_network_cannot_take_is_not_exported(tmp_path):
    with pytest.raises(ValueError, match="multiple of 16"):
        export_network(make_network(), tmp_path / "model.ts", "torchscript", (1, 2, 32, 30, 32))
    assert not list(tmp_path.iterdir())
