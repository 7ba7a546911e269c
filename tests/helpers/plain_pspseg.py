"""PSP-Seg computed from its published weights by plain functions, in the order of the published code: none of ours."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F

Weights = Mapping[str, torch.Tensor]


def plain_pspseg(weights: Weights, image: torch.Tensor, parallel: bool = True) -> torch.Tensor:
    """Logits, ``(B, C, D, H, W)``, from a published state dict; branches that are masked or deleted are left out."""
    deepest = sum(key.endswith("bypassconv.weight") for key in weights)
    x, skips = _convolve(weights, "stem", image), []
    for level in range(deepest):
        x = _block(weights, f"enc_block_{level}.0", x, parallel)
        skips.append(x)
        main = F.leaky_relu(F.instance_norm(_convolve(weights, f"down_{level}.convs.0", x, stride=2)), 0.01)
        main = F.instance_norm(_convolve(weights, f"down_{level}.convs.3", main))
        x = F.leaky_relu(_convolve(weights, f"down_{level}.bypassconv", x, stride=2) + main, 0.01)
    x = _block(weights, "bottleneck.0", x, parallel)
    for level in reversed(range(deepest)):
        x = _convolve(weights, f"up_{level}.conv", F.interpolate(x, scale_factor=2, mode="nearest"))
        x = _block(weights, f"dec_block_{level}.0", x + skips[level], parallel)
    return _convolve(weights, "out_0", x)


def _convolve(weights: Weights, name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return F.conv3d(x, weight, bias, stride, padding=[size // 2 for size in weight.shape[2:]])


def _block(weights: Weights, name: str, x: torch.Tensor, parallel: bool) -> torch.Tensor:
    if f"{name}.active_paths" not in weights:  # a residual block, at full resolution
        return x + F.leaky_relu(F.instance_norm(_convolve(weights, f"{name}.convs.0", x)), 0.01)
    active = [number for number, path in enumerate(weights[f"{name}.active_paths"].tolist()) if path]
    total = x
    for number in active:
        hidden = _convolve(weights, f"{name}.blocks.{number}.convs.0", x if parallel else total)
        hidden = F.leaky_relu(F.instance_norm(hidden), 0.01)
        branch = F.instance_norm(_convolve(weights, f"{name}.blocks.{number}.convs.3", hidden))
        total = total + weights[f"{name}.weights"][number] * branch
    return F.leaky_relu(total, 0.01) if parallel and active else total
