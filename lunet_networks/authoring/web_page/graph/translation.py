"""What the translation of a graph knows as it goes on: the steps so far, and where the value of each node lies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import fx

from lunet_networks.authoring.web_page.graph.nodes import constants_of, operator_name
from lunet_networks.authoring.web_page.steps import Place, Program, Weight

__all__ = ["Operator", "Translation", "Value"]

Value = Place | list[Place]  # a list stands for the concatenation of its channels


class Translation:
    """The state of a translation.

    Args:
        exported: the graph.
    """

    def __init__(self, exported: torch.export.ExportedProgram) -> None:
        self.graph = exported.graph
        self.program = Program()
        self.values: dict[fx.Node, Value] = {}
        self.constants = dict(constants_of(exported))
        self.done: set[fx.Node] = set()  # part of a step of another node
        for node in self.graph.nodes:
            if operator_name(node) in ("view", "reshape") and node.args[0].name in self.constants:
                self.constants[node.name] = self.constants[node.args[0].name]
                self.done.add(node)

    def parts(self, node: Any) -> list[Place]:
        """Where the value of a node lies, in one or more parts of its channels."""
        value = self.values[node]
        return value if isinstance(value, list) else [value]

    def channels(self, node: Any) -> list[Place]:
        """Where each channel of the value of a node lies."""
        return [part.channel(number, 1) for part in self.parts(node) for number in range(part.channels)]

    def whole(self, node: Any) -> Place:
        """Where the value of a node lies; parts are joined first."""
        parts = self.parts(node)
        if len(parts) > 1:
            joined = self.program.new(sum(part.channels for part in parts), parts[0].size)
            first = 0
            for part in parts:
                self.program.call("copy", part, joined.channel(first, part.channels), part.length)
                first += part.channels
            self.values[node] = parts = [joined]
        return parts[0]

    def constant(self, argument: Any) -> np.ndarray | None:
        """The numbers of an argument of a node; None for None.

        Raises:
            ValueError: if the network computes them.
        """
        if argument is None:
            return None
        found = self.constant_or_none(argument)
        if found is None:
            raise ValueError(f"the engine of a page needs numbers where this network computes them: {argument}")
        return found

    def constant_or_none(self, argument: Any) -> np.ndarray | None:
        """The numbers of an argument of a node; None if the network computes them."""
        if isinstance(argument, int | float):
            return np.array([argument], np.float32)
        return self.constants.get(getattr(argument, "name", None))

    def put(self, values: np.ndarray | None) -> Weight | None:
        """Numbers become weights of the program."""
        return None if values is None else self.program.weights.put(values)


Operator = Callable[[Translation, fx.Node], Value]
