"""What every network of this package can do besides computing logits."""

from __future__ import annotations

import copy
from inspect import signature
from typing import Any

from torch import nn

__all__ = ["Network"]


class Network(nn.Module):
    """The base class of the networks: each describes itself by plain arguments and has a form that only predicts.

    A class keeps its arguments as attributes of the same names, of types that JSON has. It extends
    :py:meth:`describe` by the arguments that follow from its parts, and replaces :py:meth:`deployed_form` if it has
    layers to fuse.
    """

    deployed = False  # whether it is the form that only predicts
    label_parts = ()  # begin the names of parameters, besides those of the head, whose shapes depend on the labels

    def describe(self) -> dict[str, Any]:
        """The arguments with which its class makes the same network, in types that JSON has.

        Example:
            >>> from lunet_networks import MedNeXt
            >>> description = MedNeXt(in_channels=2).describe()
            >>> description["in_channels"], MedNeXt(**description).describe() == description
            (2, True)
        """
        kept = vars(self)
        return {name: copy.deepcopy(kept[name]) for name in signature(type(self)).parameters if name in kept}

    def rebuild(self, **changes: Any) -> Network:
        """A new network of the same class, with new weights.

        Args:
            changes: arguments of the class; the others are those of this network.

        Example:
            >>> from lunet_networks import MedNeXt
            >>> MedNeXt(in_channels=2).rebuild(in_channels=3).in_channels
            3
        """
        return type(self)(**{**self.describe(), **changes})

    def deployed_form(self) -> Network:
        """A new network that predicts the same and has as few layers as possible; see
        :py:func:`lunet_networks.deploy`. Without layers to fuse it is a copy.

        Raises:
            ValueError: if the weights do not allow it.
        """
        return copy.deepcopy(self)
