"""The published keys of the lightweight 2D networks."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

__all__ = ["UNEXT_RULES", "check_not_deployed"]


def check_not_deployed(network: nn.Module) -> None:
    """Raise ValueError for a deployed network, which has no batch norms to take the published ones."""
    if network.deployed:
        raise ValueError("published weights need a network before deployment")


_UNEXT_LAYERS = {  # of a shifted block
    "norm": "norm2",
    "linear_height": "mlp.fc1",
    "depthwise": "mlp.dwconv.dwconv",
    "linear_width": "mlp.fc2",
}


def _side(coder: str) -> str:
    return "d" if coder == "decoder" else ""


UNEXT_RULES: dict[str, Callable[..., str]] = {
    r"(encoder|decoder)s\.(\d)\.conv\.0\.(\w+)": lambda _, coder, i, entry: f"{coder}{i + 1}.{entry}",
    r"(encoder|decoder)s\.(\d)\.conv\.1\.(\w+)": lambda _, coder, i, entry: f"{coder[0]}bn{i + 1}.{entry}",
    r"embeddings\.(\d)\.conv\.(\w+)": lambda _, i, entry: f"patch_embed{i + 3}.proj.{entry}",
    r"embeddings\.(\d)\.norm\.(\w+)": lambda _, i, entry: f"patch_embed{i + 3}.norm.{entry}",
    r"token_(encoder|decoder)s\.(\d)\.block\.(\w+)\.(\w+)": lambda _, coder, i, layer, entry: (
        f"{_side(coder)}block{i + 1}.0.{_UNEXT_LAYERS[layer]}.{entry}"
    ),
    r"token_(encoder|decoder)s\.(\d)\.norm\.(\w+)": lambda _, coder, i, entry: f"{_side(coder)}norm{i + 3}.{entry}",
    r"head\.(\w+)": lambda _, entry: f"final.{entry}",
}
