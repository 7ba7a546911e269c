"""Write a pruned network as a bundle: the configs of the original bundle, with the network spelled out."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from lunet_networks.bundle.pruning.derived_bundle import derived_files
from lunet_networks.bundle.pruning.history import PruningHistory
from lunet_networks.bundle.runtime.files import as_path, write_atomically
from lunet_networks.bundle.runtime.outputs import PRUNING_HISTORY, PRUNING_PICTURE
from lunet_networks.bundle.training.checkpoints import save_atomically
from lunet_networks.bundle.training.history import dice_text
from lunet_networks.bundle.training.records import note_weights

__all__ = ["PrunedBundle"]

MARK = f"docs/{PRUNING_HISTORY}"


class PrunedBundle:
    """The bundle that a pruning writes.

    Args:
        folder: where to write it.
        source: the bundle whose network is pruned.
    """

    def __init__(self, folder: str | Path, source: str | Path) -> None:
        self.folder = as_path(folder)
        self.source = as_path(source)

    def open(self, replace: bool) -> None:
        """Check that the folder may be written to, before the training starts.

        Args:
            replace: whether an older pruned bundle may be overwritten.

        Raises:
            FileExistsError: if there is an older pruned bundle that may not be overwritten, or the folder holds
                anything else.
        """
        files = (path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        if next(files, None) is None:  # a killed pruning leaves hidden files
            return
        if not (self.folder / MARK).is_file():
            raise FileExistsError(
                f"{self.folder} holds files that are not a pruned bundle: choose another folder with --pruned_dir"
            )
        if not replace:
            raise FileExistsError(
                f"{self.folder} already holds a pruned bundle: replace it with --overwrite True, continue its pruning "
                "with --resume True, or choose another folder with --pruned_dir"
            )

    def write(self, network: nn.Module, steps: PruningHistory, epoch: int) -> None:
        """Write the bundle with a network that is good enough. If the process is killed meanwhile, resume the pruning:
        it writes the same files again.

        Args:
            network: with its weights.
            steps: the pruning steps; their files have to be written.
            epoch: after which the network has these weights.
        """
        tables = {name: steps.output_dir / name for name in (PRUNING_HISTORY, PRUNING_PICTURE)}
        content = {f"docs/{name}": path.read_bytes() for name, path in tables.items() if path.is_file()}
        content |= derived_files(self.source, network, "pruned", _in_words(steps), _sections(steps))
        for name, data in content.items():
            write_atomically(self.folder / name, data)
        note_weights(steps.output_dir, network.state_dict(), epoch)
        save_atomically(network.state_dict(), self.folder / "models" / "model.pt")


def _in_words(steps: PruningHistory) -> str:
    first, last = steps.steps[0], steps.steps[-1]
    return (
        f"Pruned in {last['step']} steps from {first['parameters']:,} to {last['parameters']:,} parameters and from "
        f"{first['macs'] / 1e9:.3f} to {last['macs'] / 1e9:.3f} G multiply-accumulates for one patch"
    )


def _sections(steps: PruningHistory) -> dict[str, str]:
    """The sections of the model card about the pruned network."""
    first, last = steps.steps[0], steps.steps[-1]
    model = (
        f"{_in_words(steps)}. The configs spell out the channels of every convolution. `{MARK}` lists what was "
        f"removed, `docs/{PRUNING_PICTURE}` shows it."
    )
    performance = (
        f"`models/model.pt` has a mean Dice of {dice_text(last['dice_after_recovery'])} on the validation cases, at "
        f"which the pruning looked after every step; the network had {dice_text(first['dice_after_recovery'])} before "
        "it was pruned. `run evaluation` measures it case by case."
    )
    return {"Model Description": model, "Performance": performance}
