"""A U-Net whose encoder is MobileNetV3-Large."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from lunet_networks.nets.checks import check_2d, check_arguments, check_input
from lunet_networks.nets.fast_layers import use_fast_layers
from lunet_networks.nets.fusing import fuse_norms, fuse_units
from lunet_networks.nets.layers import BlockMaker, pointwise, upsampling
from lunet_networks.nets.mobilenet_v3 import block_widths, load_imagenet_weights, mobilenet_v3_large
from lunet_networks.nets.network import Network

__all__ = ["MobileNetV3UNet"]

_LAST_BLOCK = 13  # the first at 1/32 of the resolution
_TAPS = (1, 3, 6, 12)  # the last blocks at 1/2, 1/4, 1/8 and 1/16


class MobileNetV3UNet(Network):
    """A U-Net on MobileNetV3-Large up to block 13, in our reading of a table that gives its size only.

    The blocks 1, 3, 6, 12 and 13 are the last of their resolutions, from 1/2 to 1/32. Behind the last stand two units
    of convolution (kernel 3) -> batch norm -> ReLU. On the way up a transposed convolution, to which the skip is
    **added**, and two units; from 1/2 on, bilinear upsampling of the logits.

    Args:
        spatial_dims: 2; the MobileNet has no other form.
        in_channels: channels of the input image.
        out_channels: channels of the output.
        width_mult: factor of all channels, each of which is then rounded to a multiple of 8.
        dropout: probability of dropping a channel after each unit of the decoder.
        pretrained: path of torchvision's ImageNet weights for the MobileNet, which needs three input channels and a
            ``width_mult`` of 1; None: random weights. No download.
        deployed: the form of :py:func:`lunet_networks.deploy`, without batch norms and dropout.

    Shape:
        Input ``(B, in_channels, H, W)``, each spatial size a multiple of ``size_multiple`` = 32; output logits
        ``(B, out_channels, H, W)``, with no sigmoid or softmax applied.

    Raises:
        FileNotFoundError: if there are no ``pretrained`` weights.
        ValueError: if an argument is invalid, the ``pretrained`` weights are of another one, or the input
            has other dimensions, channels or sizes than the network takes.

    Source:
        The encoder: Howard et al., Searching for MobileNetV3, ICCV 2019. The network: a row of the table in LV-UNet
        (Jiang et al., arXiv 2408.16886), "MobileNetV3-Large-UNet", of 2.0 million parameters and 0.51 G operations.
        Neither the text nor a published code says what it is. This network has these counts, and is not a
        reproduction.

    Example:
        >>> network = MobileNetV3UNet().eval()
        >>> network(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 1, 64, 96])
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        width_mult: float = 1.0,
        dropout: float = 0.0,
        pretrained: str | Path | None = None,
        deployed: bool = False,
    ) -> None:
        super().__init__()
        check_2d("MobileNetV3-UNet", spatial_dims)
        check_arguments(spatial_dims, dropout, in_channels=in_channels, out_channels=out_channels)
        if not width_mult > 0:
            raise ValueError(f"width_mult must be above 0, got {width_mult!r}")
        if deployed and (pretrained is not None or dropout > 0):
            raise ValueError("a deployed network is not trained: it takes neither pretrained weights nor dropout")
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.width_mult = width_mult
        self.dropout = dropout
        self.deployed = deployed
        self.size_multiple = 2 ** (len(_TAPS) + 1)

        self.features = mobilenet_v3_large(in_channels, _LAST_BLOCK, deployed, width_mult)
        self.taps = list(_TAPS)
        if pretrained is not None:
            load_imagenet_weights(self.features, pretrained)
        widths = block_widths(_LAST_BLOCK, width_mult)
        make_block, width = BlockMaker(spatial_dims, dropout, None, "NDA", deployed), widths[-1]
        self.bottleneck = make_block("bottleneck", width, width, 2)
        self.upsamples, self.decoders = nn.ModuleList(), nn.ModuleList()
        for k, tap in enumerate(reversed(_TAPS)):
            self.upsamples.append(upsampling(spatial_dims, width, widths[tap]))
            width = widths[tap]
            self.decoders.append(make_block(f"decoders.{k}", width, width, 2))
        self.last_upsample = nn.Upsample(scale_factor=2, mode="bilinear")
        self.head = pointwise(spatial_dims, width, out_channels)
        use_fast_layers(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normalised = "batch" if self.training and not self.deployed else ""
        check_input(x, self.spatial_dims, self.in_channels, self.size_multiple, normalised)
        skips = []
        for number, block in enumerate(self.features):
            x = block(x)
            if number in self.taps:
                skips.append(x)
        x = self.bottleneck([x])
        for upsample, decoder in zip(self.upsamples, self.decoders):  # noqa: B905, TorchScript knows no strict=
            x = decoder([upsample(x) + skips.pop()])
        return self.last_upsample(self.head(x))

    def deployed_form(self) -> MobileNetV3UNet:
        """The same network with its batch norms fused."""
        form = self.rebuild(dropout=0.0, deployed=True)
        fuse_norms(self.features, form.features)
        for part in ("bottleneck", "upsamples", "decoders", "head"):
            fuse_units(self.get_submodule(part), form.get_submodule(part))
        return form
