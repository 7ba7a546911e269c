"""Structured pruning: a network becomes another one of the same class that has fewer channels or branches."""

from lunet_networks.pruning.branches import (
    active_branches,
    choose_branches,
    mask_branches,
    masked_branches,
    max_removable_branches,
    rank_branches,
    remove_branches,
    unmask_branches,
)
from lunet_networks.pruning.channel_graph import prunable_convolutions
from lunet_networks.pruning.progressive import ProgressiveSchedule
from lunet_networks.pruning.ranking import RANKINGS, normalise_scores, rank_channels
from lunet_networks.pruning.removal import remove_channels
from lunet_networks.pruning.selection import SELECTIONS, select_channels, set_dropout, targeted_dropout

__all__ = [
    "RANKINGS",
    "SELECTIONS",
    "ProgressiveSchedule",
    "active_branches",
    "choose_branches",
    "mask_branches",
    "masked_branches",
    "max_removable_branches",
    "normalise_scores",
    "prunable_convolutions",
    "rank_branches",
    "rank_channels",
    "remove_branches",
    "remove_channels",
    "select_channels",
    "set_dropout",
    "targeted_dropout",
    "unmask_branches",
]
