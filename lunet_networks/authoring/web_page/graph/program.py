"""One pass over the graph of a network."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence

import torch
from torch import fx, nn

from lunet_networks.authoring.web_page.graph import convolutions, norms, perceptrons, sizes, voxelwise
from lunet_networks.authoring.web_page.graph.nodes import WITHOUT_EFFECT, layout, operator_name
from lunet_networks.authoring.web_page.graph.translation import Operator, Translation, Value
from lunet_networks.authoring.web_page.steps import Place, Program

__all__ = ["network_program"]

OPERATORS: dict[str, Operator] = {
    **convolutions.OPERATORS,
    **norms.OPERATORS,
    **voxelwise.OPERATORS,
    **sizes.OPERATORS,
}


def network_program(network: nn.Module, shape: Sequence[int]) -> tuple[Program, Place, Place]:
    """The steps of a network for one shape of input.

    Args:
        network: in evaluation, on the CPU.
        shape: ``(1, C, [D,] H, W)``.

    Returns:
        The program, the place of the image and that of the logits.

    Raises:
        ValueError: if the engine lacks something that the network needs; the message says what.

    Example:
        >>> program, image, logits = network_program(nn.Conv3d(1, 2, 1), (1, 1, 4, 4, 4))
        >>> [function for function, _ in program.steps], logits.channels
        (['pointwise'], 2)
    """
    with torch.no_grad(), _quiet():
        exported = torch.export.export(network.eval(), (torch.zeros(tuple(shape)),))
    translation, image = Translation(exported), None
    found = {each.sum: each for each in perceptrons.find(translation)}
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name not in translation.constants:
            image = translation.values[node] = translation.program.new(*layout(node))
        elif node.op == "call_function" and node not in translation.done:
            translation.values[node] = (
                perceptrons.translated(translation, found[node]) if node in found else _translated(translation, node)
            )
    (result,) = next(node for node in exported.graph.nodes if node.op == "output").args[0]
    if image is None or not isinstance(result, fx.Node):
        raise ValueError("a page needs a network that takes one image and gives one tensor")
    return translation.program, image, translation.whole(result)


def _translated(translation: Translation, node: fx.Node) -> Value:
    name = operator_name(node)
    if name in WITHOUT_EFFECT:
        return translation.values[node.args[0]]
    if name not in OPERATORS:
        raise ValueError(f"the engine of a page has no {node.target}, which this network needs")
    return OPERATORS[name](translation, node)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without PyTorch's warnings for developers of exporters."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
