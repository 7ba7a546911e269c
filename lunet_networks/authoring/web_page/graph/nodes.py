"""What the nodes of an exported graph say."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

__all__ = [
    "WITHOUT_EFFECT",
    "arguments",
    "constants_of",
    "is_flat",
    "layout",
    "only_user",
    "operator_name",
    "source",
    "triple",
]

WITHOUT_EFFECT = ("feature_dropout", "dropout", "alias", "contiguous", "clone")


def constants_of(exported: torch.export.ExportedProgram) -> Iterator[tuple[str, np.ndarray]]:
    """The parameters and buffers of the graph by the names of their nodes."""
    for spec in exported.graph_signature.input_specs:
        if spec.target is not None:
            tensors = exported.state_dict if spec.target in exported.state_dict else exported.constants
            yield spec.arg.name, tensors[spec.target].detach().cpu().numpy()


def operator_name(node: Any) -> str:
    """The operator of a node without its overload: ``conv3d``; "" for other nodes."""
    if not isinstance(node, fx.Node) or node.op != "call_function":
        return ""
    if node.target is operator.getitem:
        return "getitem"
    return str(node.target).split(".")[1].rstrip("_")


def is_flat(node: fx.Node) -> bool:
    """Whether it is an operator of pictures."""
    return "2d" in operator_name(node)


def arguments(node: fx.Node, first: int, defaults: Sequence[Any]) -> list[Any]:
    """The arguments from ``first`` on; where the last ones are left out, their defaults."""
    given = list(node.args[first:])
    return [*given, *defaults[max(0, len(given) - 1) :]]


def layout(node: fx.Node) -> tuple[int, tuple[int, int, int]]:
    """Channels and size of what a node gives; the depth of a picture is 1."""
    batch, channels, *size = node.meta["val"].shape
    if batch != 1 or len(size) not in (2, 3):
        raise ValueError("a page needs a network of images with two or three axes")
    return int(channels), tuple([1] * (3 - len(size)) + [int(side) for side in size])


def triple(values: Any, fill: int) -> tuple[int, int, int]:
    """A number for depth, height and width; ``fill`` for the depth of a picture.

    Example:
        >>> triple(3, 1), triple([2, 2], 1), triple([0], 0)
        ((3, 3, 3), (1, 2, 2), (0, 0, 0))
    """
    given = [values] * 3 if isinstance(values, int) else list(values)
    given = given * 3 if len(given) == 1 else given
    return tuple([fill] * (3 - len(given)) + given)


def only_user(node: fx.Node | None) -> fx.Node | None:
    """The node that takes what a node gives, if it is the only one."""
    return next(iter(node.users)) if node is not None and len(node.users) == 1 else None


def source(node: Any, kind: str) -> Any:
    """What a node of this kind takes, past nodes without effect; None if it is of another kind."""
    if not operator_name(node).startswith(kind) or "transpose" in operator_name(node):
        return None
    taken = node.args[0]
    while operator_name(taken) in WITHOUT_EFFECT:
        taken = taken.args[0]
    return taken
