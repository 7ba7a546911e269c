"""Prune networks while they train: handlers, history, checkpoints and the pruned bundle."""

from lunet_networks.bundle.pruning.branches import BranchPruning
from lunet_networks.bundle.pruning.channels import ChannelPruning, PruningSchedule
from lunet_networks.bundle.pruning.checkpoints import PruningCheckpoints
from lunet_networks.bundle.pruning.history import PruningHistory
from lunet_networks.bundle.pruning.pruned_bundle import PrunedBundle

__all__ = ["BranchPruning", "ChannelPruning", "PrunedBundle", "PruningCheckpoints", "PruningHistory", "PruningSchedule"]
