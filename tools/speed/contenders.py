"""The forms in which a network is timed: as published, as it is here, deployed, in engines, in training."""

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from monai.networks.blocks.mednext_block import MedNeXtBlock, MedNeXtDownBlock, MedNeXtUpBlock
from torch import nn

from lunet_networks import LVUNet, deploy
from lunet_networks.bundle.benchmark.steps import Inference, Step, TrainingStep
from lunet_networks.bundle.inference.formats import FORMATS
from lunet_networks.bundle.training.losses import SegmentationLoss
from lunet_networks.nets.layers import ConvUnit
from tools.speed.contest import Run
from tools.tables.networks import Subject, make_network

ENGINES = {"onnx": "onnxruntime", "openvino": "openvino"}  # form: the package that computes
TRAINING = "training_step"
FORMS = ("published", "ours", "deployed", *ENGINES, TRAINING)
OF_PRESETS = {"ours", "deployed"}  # a peer has none of these: its layers are MONAI's
PRODUCT_SIZE = 2048
MEMORY_LAYOUT = "contiguous"  # as for users of MONAI's networks; it matters little for one volume


def forms(subject: Subject) -> list[str]:
    """The forms in which a network is timed.

    Example:
        >>> forms(Subject("UNet", 128))
        ['published', 'onnx', 'openvino']
    """
    left_out = (OF_PRESETS if subject.is_peer else set()) | (set() if subject.is_trained else {TRAINING})
    return [form for form in FORMS if form not in left_out]


def steps(subject: Subject) -> dict[str, Step]:
    """Inference and training step of a network as it is here, of one volume or picture."""
    make, shape = partial(make_network, subject.network), subject.input_shape
    loss = SegmentationLoss("dice_bce", out_channels=1)
    return {
        "inference": Inference(make, shape, memory_layout=MEMORY_LAYOUT),
        TRAINING: TrainingStep(make, shape, memory_layout=MEMORY_LAYOUT, loss=loss),
    }


@dataclass(frozen=True)
class NetworkForm:
    """A network in one of its forms.

    Args:
        subject: the network, with random weights, and its input.
        form: one of ``FORMS``.
        num_threads: of the CPU.
    """

    subject: Subject
    form: str
    num_threads: int

    def __str__(self) -> str:
        return f"{self.subject.network}, {self.form},"

    def prepare(self) -> Run:
        """What is timed."""
        if self.form == TRAINING:
            return steps(self.subject)[TRAINING].prepare()
        torch.set_grad_enabled(False)
        network, image = make_network(self.subject.network).eval(), torch.randn(self.subject.input_shape)
        if isinstance(network, LVUNet):
            network.set_slope(1)  # as at the end of its training, or it could not be deployed
        if self.form in ENGINES:
            return partial(_engine(network, self.form, image), image)
        as_form = {"published": with_plain_layers, "ours": nn.Identity(), "deployed": deploy}[self.form]
        return partial(as_form(network), image)


@dataclass(frozen=True)
class MatrixProduct:
    """The product of two square matrices, the measure of what the machine can do.

    Args:
        num_threads: of the CPU.
    """

    num_threads: int

    def __str__(self) -> str:
        return "the matrix product"

    def prepare(self) -> Run:
        """What is timed."""
        return partial(torch.mm, *torch.randn(2, PRODUCT_SIZE, PRODUCT_SIZE))


def _engine(network: nn.Module, engine: str, image: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter, which takes every peer, announces its end
        path = str(Path(folder, "network.onnx"))
        torch.onnx.export(network, (image,), path, dynamo=False, input_names=["image"])
        return FORMATS[engine].read(path, torch.device("cpu"))[0]


KINDS = (
    *(nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.MaxPool2d, nn.MaxPool3d),
    *(nn.GroupNorm, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(MedNeXtDownBlock, MedNeXtUpBlock, MedNeXtBlock),  # the first two are of the last class, too
)


class PlainUnit(ConvUnit):
    """A unit whose layers run one by one."""

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        return self.adn(self.conv(torch.cat(inputs, dim=1)))


def with_plain_layers(network: nn.Module) -> nn.Module:
    """Undo everything that ``lunet_networks`` does for the speed of a network.

    Args:
        network: of this package; changed in place.

    Returns:
        The same network.

    Example:
        >>> from lunet_networks import create_network
        >>> type(with_plain_layers(create_network("lunet_small_4f")).head).__module__
        'torch.nn.modules.conv'
    """
    for module in network.modules():
        kind = next((kind for kind in (ConvUnit, *KINDS) if isinstance(module, kind)), None)
        if kind is not None:
            module.__class__ = PlainUnit if kind is ConvUnit else kind
        if kind is MedNeXtDownBlock:
            module.res_conv.stride = module.conv1.stride
    return network
