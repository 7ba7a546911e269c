"""Structured pruning: a network becomes another one of the same class that is narrower."""

from lunet_networks.pruning.description import describe_network, set_dropout
from lunet_networks.pruning.ranking import RANKINGS, normalise_scores, rank_channels
from lunet_networks.pruning.removal import remove_channels
from lunet_networks.pruning.selection import SELECTIONS, select_channels, targeted_dropout
from lunet_networks.pruning.wiring import prunable_convolutions

__all__ = [
    "RANKINGS",
    "SELECTIONS",
    "describe_network",
    "normalise_scores",
    "prunable_convolutions",
    "rank_channels",
    "remove_channels",
    "select_channels",
    "set_dropout",
    "targeted_dropout",
]
