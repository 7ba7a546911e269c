"""LV-UNet, a small U-Net on a MobileNet, whose own blocks fuse into single convolutions when it is trained."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from lunet_networks.nets.checks import check_2d, check_arguments, check_input
from lunet_networks.nets.fusing import Affine, fold_norm, merge_pointwise
from lunet_networks.nets.mobilenet_v3 import load_imagenet_weights, mobilenet_v3_large
from lunet_networks.nets.network import Network

__all__ = ["LVUNet"]

_STAGES = {2: 24, 5: 40, 9: 80, 14: 160}  # channels of the MobileNet behind the last block at 1/4, 1/8, 1/16, 1/32
_CHANNELS = (16, 24, 40, 80, 160, 240, 480)  # of the whole network from 1/2 to 1/128
_SKIPS = ("add", "concat")


class LVUNet(Network):
    """LV-UNet: the first blocks of MobileNetV3-Large, then blocks that lose their inner activation while they train.

    The MobileNet goes down to 1/8, 1/16 or 1/32 of the resolution, blocks of 80, 160, 240 and 480 channels go on to
    1/128, and the same blocks with bilinear upsampling go up to full resolution; skips join from 1/64 to 1/4. A block
    is 1 x 1 convolution -> batch norm -> leaky ReLU -> 1 x 1 convolution -> batch norm -> max pooling or upsampling ->
    series activation, which is a ReLU, a depthwise convolution (kernel ``2 act_num + 1``) and a batch norm.

    *Deep training* raises the slope of the leaky ReLU from 0, a plain ReLU, to 1, nothing at all. A block is linear
    then up to its series activation, and :func:`lunet_networks.deploy` fuses it. The slope is a buffer: it is saved
    with the weights.

    Args:
        spatial_dims: 2; the MobileNet has no other form.
        in_channels: channels of the input image.
        out_channels: channels of the output.
        mobilenet_blocks: number of the last block that comes from the MobileNet: 5 (0.8 million parameters), 9 (0.9)
            or 14 (2.8).
        act_num: reach of the series activation, in pixels.
        skip: "add" or "concat", which puts a skip behind what comes from below.
        dropout: probability of dropping a channel at the end of each block; the paper has none.
        pretrained: path of torchvision's ImageNet weights for the MobileNet; None: random weights. No download.
        deployed: build the fused form, which :func:`lunet_networks.deploy` fills with weights: half the parameters,
            without slope, batch norms and dropout.

    Shape:
        Input ``(B, in_channels, H, W)`` of any size. Sizes that are not a multiple of ``padded_multiple`` = 128 are
        padded with zeros at the bottom and on the right, and the output is cropped. Output logits
        ``(B, out_channels, H, W)``, with no sigmoid or softmax applied.

    Raises:
        FileNotFoundError: if there are no ``pretrained`` weights.
        ValueError: if an argument is invalid, the ``pretrained`` weights are of another one, or the input
            has other dimensions or channels than the network takes.

    Source:
        Jiang et al., LV-UNet, 2024, arXiv 2408.16886; deep training and series activations are those of VanillaNet
        (Chen et al., NeurIPS 2023). With ``mobilenet_blocks`` of 5 or 14 a block of the MobileNet's depth moves to the
        other part. This gives the paper's 0.8 and 2.8 million parameters, but the paper does not describe it. It does
        not define ``skip="concat"`` either: here the block after the skip takes twice the channels.

    Example:
        >>> network = LVUNet().eval()
        >>> network(torch.zeros(1, 3, 100, 200)).shape, network.slope
        (torch.Size([1, 1, 100, 200]), 0.0)
    """

    __jit_unused_properties__ = ("slope",)

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        mobilenet_blocks: int = 9,
        act_num: int = 1,
        skip: str = "add",
        dropout: float = 0.0,
        pretrained: str | Path | None = None,
        deployed: bool = False,
    ) -> None:
        super().__init__()
        check_2d("LV-UNet", spatial_dims)
        check_arguments(spatial_dims, dropout, in_channels=in_channels, out_channels=out_channels, act_num=act_num)
        if mobilenet_blocks not in (5, 9, 14):
            raise ValueError(f"mobilenet_blocks must be 5, 9 or 14, got {mobilenet_blocks!r}")
        if skip not in _SKIPS:
            raise ValueError(f"skip must be one of {', '.join(_SKIPS)}, got {skip!r}")
        if deployed and (pretrained is not None or dropout > 0):
            raise ValueError("a deployed network is not trained: it takes neither pretrained weights nor dropout")
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.size_multiple = 1
        self.padded_multiple = 2 ** len(_CHANNELS)
        self.mobilenet_blocks = mobilenet_blocks
        self.act_num = act_num
        self.skip = skip
        self.dropout = dropout
        self.deployed = deployed

        self.features = mobilenet_v3_large(in_channels, mobilenet_blocks, fused=deployed)
        self.skip_blocks = [block for block in _STAGES if block < mobilenet_blocks]
        if pretrained is not None:
            load_imagenet_weights(self.features, pretrained)
        form = {"act_num": act_num, "dropout": dropout, "deployed": deployed}
        deeper = _CHANNELS[_CHANNELS.index(_STAGES[mobilenet_blocks]) :]
        self.stages = nn.ModuleList(_Block(*widths, nn.MaxPool2d(2), **form) for widths in pairwise(deeper))
        self.up_stages = nn.ModuleList()
        for k, (width, out) in enumerate(pairwise([*reversed(_CHANNELS), _CHANNELS[0]])):
            concatenated = skip == "concat" and 0 < k < len(_CHANNELS) - 1  # nothing joins at 1/128 and at 1/2
            upsample = nn.Upsample(scale_factor=2, mode="bilinear")
            self.up_stages.append(_Block(2 * width if concatenated else width, out, upsample, **form))
        self.head = nn.Conv2d(_CHANNELS[0], out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_input(x, self.spatial_dims, self.in_channels, self.size_multiple, "")
        height, width = x.shape[2], x.shape[3]
        x = F.pad(x, [0, self._whole(width) - width, 0, self._whole(height) - height])
        if self.training:
            normalised = "" if self.deployed else "batch"
            check_input(x, self.spatial_dims, self.in_channels, self.padded_multiple, normalised)
        skips = []
        for number, block in enumerate(self.features):
            x = block(x)
            if number in self.skip_blocks:
                skips.append(x)
        for stage in self.stages:
            skips.append(x)
            x = stage(x)
        for up_stage in self.up_stages:
            x = up_stage(x)
            if len(skips) > 0:
                x = torch.cat([x, skips.pop()], dim=1) if self.skip == "concat" else x + skips.pop()
        return self.head(x)[:, :, :height, :width]

    def _whole(self, size: int) -> int:
        """Round up to a multiple of what the network needs, in a form that exporters recognise as a multiple."""
        return (size + self.padded_multiple - 1) // self.padded_multiple * self.padded_multiple

    @property
    def slope(self) -> float:
        """Slope of the leaky ReLU in the blocks: 0 is a ReLU, 1 is nothing; a deployed network always has 1."""
        slopes = [module.slope.item() for module in self.modules() if isinstance(module, _LeakyReLU)]
        return min(slopes, default=1.0)

    def set_slope(self, slope: float) -> None:
        """Set the slope of all blocks.

        Raises:
            ValueError: if it is not from 0 to 1, or the network is deployed.
        """
        if self.deployed:
            raise ValueError("a deployed network has no slope left to set")
        if not 0 <= slope <= 1:
            raise ValueError(f"slope must be from 0 to 1, got {slope!r}")
        for module in self.modules():
            if isinstance(module, _LeakyReLU):
                module.slope.fill_(slope)

    def deployed_form(self) -> LVUNet:
        """The same network with the two 1 x 1 convolutions of every block and all batch norms fused.

        Raises:
            ValueError: if the slope is below 1.
        """
        if self.slope < 1:
            raise ValueError(
                f"the slope in the blocks of this LV-UNet is {self.slope:g}, but it has to be 1 to fuse them: deep "
                "training raises it to 1 and takes the best weights from an epoch with slope 1"
            )
        form = self.rebuild(dropout=0.0, deployed=True).to(next(self.parameters()))
        for name, target in form.named_modules():
            if isinstance(target, nn.Conv2d):
                weight, bias = self._fused(name)
                with torch.no_grad():
                    target.weight.copy_(weight)
                    target.bias.copy_(bias)
        return form

    def _fused(self, name: str) -> Affine:
        """Weight and bias of the convolution of this name in the deployed form."""
        module = self.get_submodule(name)
        if isinstance(module, nn.Sequential):  # the two convolutions that become one
            first, first_norm, _, second, second_norm = module
            return merge_pointwise(fold_norm(first, first_norm), fold_norm(second, second_norm))
        parent, _, place = name.rpartition(".")
        behind = getattr(self.get_submodule(parent), str(int(place) + 1), None) if place.isdecimal() else None
        return fold_norm(module, behind) if isinstance(behind, nn.BatchNorm2d) else (module.weight, module.bias)


class _Block(nn.Module):
    """Two 1 x 1 convolutions, the first of which keeps the channels, or their fusion; resizing; series activation."""

    def __init__(
        self, in_channels: int, out_channels: int, resize: nn.Module, act_num: int, dropout: float, deployed: bool
    ) -> None:
        super().__init__()
        kernel = {"kernel_size": 2 * act_num + 1, "padding": act_num, "groups": out_channels, "bias": deployed}
        series = nn.Conv2d(out_channels, out_channels, **kernel)
        nn.init.trunc_normal_(series.weight, std=0.02)
        if deployed:
            self.pointwise = nn.Conv2d(in_channels, out_channels, kernel_size=1)
            self.act = nn.Sequential(nn.ReLU(), series)
        else:
            self.pointwise = nn.Sequential(
                nn.Conv2d(in_channels, in_channels, kernel_size=1),
                nn.BatchNorm2d(in_channels, eps=1e-6),
                _LeakyReLU(),
                nn.Conv2d(in_channels, out_channels, kernel_size=1),
                nn.BatchNorm2d(out_channels, eps=1e-6),
            )
            norm = nn.BatchNorm2d(out_channels, eps=1e-6)
            self.act = nn.Sequential(nn.ReLU(), series, norm, nn.Dropout2d(dropout))
        self.resize = resize

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.resize(self.pointwise(x)))


class _LeakyReLU(nn.Module):
    """A leaky ReLU whose slope is saved with the weights and can be set while a network is trained or exported."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("slope", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.prelu(x, self.slope)
