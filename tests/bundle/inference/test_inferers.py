"""Test-time flips, and several models averaged."""

from collections import Counter

import pytest
import torch
from monai import inferers
from monai.inferers import SimpleInferer
from torch import nn

from lunet_networks import create_network
from lunet_networks.bundle.inference.inferers import EnsembleInferer, FlipInferer, SlidingWindowInferer

WINDOWS = SlidingWindowInferer(roi_size=(16, 16, 16), overlap=0.5, mode="gaussian")


class Threshold(nn.Module):
    """Looks at each voxel by itself, so that it commutes with flips."""

    def __init__(self, out_channels):
        super().__init__()
        self.layers = nn.Conv3d(1, out_channels, kernel_size=1)

    def forward(self, x):
        return self.layers(x)


class Slope(nn.Module):
    """Logits that depend on nothing but the position along the last axis."""

    def forward(self, x):
        along = torch.linspace(-2, 2, x.shape[-1]).expand_as(x)
        return torch.cat([along, torch.zeros_like(along)], dim=1)


@pytest.mark.parametrize("out_channels", [1, 3])
def test_a_network_that_commutes_with_flips_predicts_the_same(out_channels):
    activation = nn.Sigmoid() if out_channels == 1 else nn.Softmax(dim=1)
    network, image = Threshold(out_channels), torch.randn(2, 1, 6, 5, 4)
    windows = SlidingWindowInferer(roi_size=(4, 4, 4), overlap=0.5, mode="gaussian")
    plain, flipped = windows(image, network), FlipInferer(windows, (0, 1, 2))(image, network)
    torch.testing.assert_close(activation(flipped), activation(plain))


def test_the_probabilities_are_averaged():
    image = torch.randn(1, 1, 4, 4, 6)
    flipped = FlipInferer(SimpleInferer(), spatial_axes=[0, 2])(image, Slope())
    plain = Slope()(image).softmax(dim=1)
    torch.testing.assert_close(flipped.softmax(dim=1), (plain + plain.flip(-1)) / 2)


def test_every_combination_of_axes_is_predicted_once():
    seen = []

    def network(image):
        seen.append(image.flatten().tolist())
        return image

    FlipInferer(SimpleInferer(), spatial_axes=[0, 1])(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), network)
    assert sorted(seen) == [[1, 2, 3, 4], [2, 1, 4, 3], [3, 4, 1, 2], [4, 3, 2, 1]]


def test_without_axes_nothing_changes():
    network, image = Threshold(3), torch.randn(1, 1, 4, 4, 4)
    assert torch.equal(FlipInferer(SimpleInferer())(image, network), network(image))


def test_sure_predictions_stay_finite():
    logits = torch.tensor([300.0, -300.0]).view(1, 1, 2)
    assert FlipInferer(SimpleInferer(), [0])(torch.zeros(1, 1, 2), lambda _: logits).isfinite().all()


@pytest.fixture
def models(tmp_path):
    """Writes the weights of networks, each into a folder of its own."""

    def write(*networks):
        folders = [tmp_path / f"fold_{number}" for number in range(len(networks))]
        for folder, network in zip(folders, networks, strict=True):
            folder.mkdir()
            torch.save(network.state_dict(), folder / "model.pt")
        return folders

    return write


def small_network(out_channels=3):
    return create_network("lunet_small_2f", out_channels=out_channels).eval()


@torch.no_grad()
def test_one_model_predicts_what_it_predicts_alone(models):
    network, image = small_network(), torch.randn(1, 1, 20, 18, 16)
    expected = WINDOWS(image, network)
    assert torch.equal(EnsembleInferer(WINDOWS, models(network))(image, small_network()), expected)


@pytest.mark.parametrize("out_channels", [1, 3])
@torch.no_grad()
def test_the_probabilities_of_models_are_averaged(models, out_channels):
    activation = nn.Sigmoid() if out_channels == 1 else nn.Softmax(dim=1)
    networks = [small_network(out_channels) for _ in range(3)]
    ensemble, network = EnsembleInferer(WINDOWS, models(*networks)), small_network(out_channels)
    for _ in range(2):  # whatever weights the network holds from the image before
        image = torch.randn(1, 1, 20, 18, 16)
        alone = [activation(WINDOWS(image, network)) for network in networks]
        torch.testing.assert_close(activation(ensemble(image, network)), torch.stack(alone).mean(0))


@pytest.mark.parametrize("out_channels", [1, 3])
@torch.no_grad()
def test_models_and_flips_are_averaged_together(models, out_channels):
    activation = nn.Sigmoid() if out_channels == 1 else nn.Softmax(dim=1)
    networks = [nn.Conv3d(1, out_channels, kernel_size=3, padding=1) for _ in range(3)]
    *trained, network = networks
    folders, image, simple = models(*trained), torch.randn(2, 1, 6, 5, 4), SimpleInferer()
    flipped = [FlipInferer(simple, [0, 2])(image, network) for network in trained]
    expected = torch.stack([activation(logits) for logits in flipped]).mean(0)
    inside = EnsembleInferer(FlipInferer(simple, [0, 2]), folders)(image, network)
    around = FlipInferer(EnsembleInferer(simple, folders), [0, 2])(image, network)
    torch.testing.assert_close(activation(inside), expected)
    torch.testing.assert_close(activation(around), expected)


def test_weights_are_read_with_the_first_image_and_kept(models, tmp_path):
    ensemble = EnsembleInferer(SimpleInferer(), [tmp_path / "fold_0", tmp_path / "fold_1"])  # which are not there yet
    folders, image = models(Threshold(2), Threshold(2)), torch.randn(1, 1, 4, 4, 4)
    predicted = ensemble(image, Threshold(2))
    for folder in folders:
        (folder / "model.pt").unlink()
    assert torch.equal(ensemble(image, Threshold(2)), predicted)


def test_models_that_do_not_fit(models, tmp_path):
    folders, image = models(Threshold(2), Threshold(3)), torch.zeros(1, 1, 4, 4, 4)
    with pytest.raises(ValueError, match=r"fold_1/model\.pt is from another network: .*are preset and network_def"):
        EnsembleInferer(SimpleInferer(), folders)(image, Threshold(2))
    with pytest.raises(FileNotFoundError, match=r"there are no weights at .*absent/model\.pt"):
        EnsembleInferer(SimpleInferer(), [folders[0], tmp_path / "absent"])(image, Threshold(2))


@pytest.mark.parametrize("ckpt_dirs", ["fold_0/models", [], ()])
def test_what_is_no_list_of_models(ckpt_dirs):
    with pytest.raises(ValueError, match=r"ckpt_dirs is .*: it has to be a list of folders, each with a model\.pt"):
        EnsembleInferer(SimpleInferer(), ckpt_dirs)


class Counting(nn.Module):
    """Keeps the windows that a network is given."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.windows = []

    def forward(self, x):
        self.windows += x.clone()
        return self.network(x)


def monais_windows(sw_batch_size):
    return inferers.SlidingWindowInferer(roi_size=(8, 8, 8), sw_batch_size=sw_batch_size, overlap=0.25, mode="gaussian")


@pytest.mark.parametrize("shape", [(5, 9, 8), (8, 8, 8), (21, 14, 9), (3, 17, 40)])
def test_no_window_is_computed_twice_and_none_lies_in_padding(shape):
    network = Counting(nn.Identity())
    monais_windows(4)(torch.rand(1, 1, *shape) + 1, network)  # padding is 0
    seen = Counter(tuple(window.flatten().tolist()) for window in network.windows)
    assert set(seen.values()) == {1}
    assert all(window.count_nonzero() for window in network.windows)


def test_air_is_computed_once_and_all_is_as_by_monai():
    torch.manual_seed(0)
    network = Counting(create_network("lunet_small_2f", in_channels=2, out_channels=3, channels=(2, 2)).eval())
    image = torch.tensor([-1.5, 0.5]).view(1, 2, 1, 1, 1).repeat(1, 1, 32, 26, 20)
    image[..., 9:15, 9:15, 3:12] = torch.rand(6, 6, 9)
    with torch.no_grad():
        theirs = monais_windows(2)(image, network)
        by_monai = len(network.windows)
        network.windows.clear()
        own = SlidingWindowInferer(roi_size=(8, 8, 8), sw_batch_size=2, overlap=0.25, mode="gaussian")(image, network)
    assert torch.equal(own, theirs)
    uniform = sum(bool((window == window[:, :1, :1, :1]).all()) for window in network.windows)
    assert len(network.windows) < by_monai / 2
    assert uniform < len(network.windows) / 2


def test_air_in_a_last_batch_of_another_size_is_computed_for_that_size():
    sizes = []
    inferer = SlidingWindowInferer(roi_size=(2,), sw_batch_size=2, overlap=0)
    found = inferer(torch.zeros(1, 1, 10), lambda windows: sizes.append(len(windows)) or windows + len(windows))
    assert sizes == [2, 1]
    assert found.flatten().tolist() == [2.0] * 8 + [1.0] * 2


def test_another_image_or_other_weights_are_computed_anew():
    image, network = torch.zeros(1, 1, 32, 8, 8), Threshold(1)
    windows = SlidingWindowInferer(roi_size=(8, 8, 8), sw_batch_size=1)
    with torch.no_grad():
        for bias in (1.0, 2.0):
            network.layers.bias.fill_(bias)
            torch.testing.assert_close(windows(image, network), torch.full_like(image, bias))
