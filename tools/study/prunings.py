"""A network that is pruned before it is trained again, as a run of the study."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunet_networks.authoring.running.bundle_run import BundleRun
from lunet_networks.authoring.subprocesses import alone_in
from lunet_networks.bundle.report.summaries import read_rows
from lunet_networks.bundle.runtime import outputs
from tools.study.running import LOG, BundleTraining, run_logged

CONFIGS = ("train", "prune")


@dataclass(frozen=True)
class PrunedTraining(BundleTraining):
    """The training of a network that is pruned first: ``bundle`` is the one that the pruning writes.

    Args:
        source: the bundle of the network before.
        before: the training whose best weights the pruning begins with.
        pruned: settings of prune.json.
    """

    source: Path = Path()
    before: BundleTraining | None = None
    pruned: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, before: BundleTraining, folder: Path, pruned: Mapping[str, Any]) -> "PrunedTraining":
        """A pruning of what another training leaves, and a training like it behind the pruning."""
        bundle = folder / "pruned"
        kept = {name: value for name, value in before.settings.items() if name != "preset"}
        settings = {**kept, "pretrained": str(bundle / "models" / "model.pt")}
        return cls(bundle, before.dataset_dir, folder, settings, None, before.bundle, before, pruned)

    @property
    def pruning_dir(self) -> Path:
        """The folder of the history of the pruning."""
        return self.folder / "pruning"

    def finish(self) -> None:
        """Do what is left: the training before, the pruning, the training of the pruned network, its evaluation."""
        self.before.finish()
        with alone_in(self.folder) as lock:
            run_logged(self.pruning(), self.folder / LOG, lock)
        super().finish()

    def pruning(self) -> BundleRun:
        """The pruning as a run of the bundle."""
        places = {
            "dataset_dir": self.dataset_dir,
            "output_dir": self.pruning_dir,
            "pruned_dir": self.bundle,
            "pretrained": self.before.models / "model.pt",
        }
        kept = {
            name: value for name, value in self.before.settings.items() if name != "epochs"
        }  # follow from the steps
        given = {**{name: str(path.absolute()) for name, path in places.items()}, **kept, **self.pruned}
        return BundleRun("pruning", self.source.resolve(), CONFIGS, {**given, "resume": True})

    def described(self) -> dict[str, Any]:
        """What a record has of the pruning: its steps, and the processor time that it took."""
        steps = read_rows(self.pruning_dir / outputs.PRUNING_HISTORY)
        seconds = sum(float(row["cpu_seconds"]) for row in read_rows(self.pruning_dir / outputs.HISTORY))
        return {"steps": int(steps[-1]["step"]), "cpu_seconds": round(seconds, 1)}
