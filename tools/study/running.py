"""A training and its evaluation by the commands that a user would type, resumed wherever they were stopped."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lunet_networks.authoring.running.bundle_run import BundleRun, read_configs
from lunet_networks.authoring.subprocesses import alone_in, shell
from lunet_networks.bundle.report.summaries import read_rows
from lunet_networks.bundle.runtime import outputs
from tools.study.table import INSIDE

LOG = "run.log"
LOG_LINES = 15  # shown of a command that failed


@dataclass(frozen=True)
class BundleTraining:
    """A training of a bundle and the evaluation of its best model on the cases that chose it.

    Args:
        bundle: its folder.
        dataset_dir: that holds dataset.json.
        folder: where the run's files go.
        settings: of train.json, without paths.
        network: a config in place of the bundle's network, without in_channels and out_channels, which are the
            bundle's; None: the bundle's network.

    Example::

        run = BundleTraining(Path("bundles/lunet_small"), Path("data"), Path("study/first"), {"epochs": 2, "seed": 0})
        run.finish()
    """

    bundle: Path
    dataset_dir: Path
    folder: Path
    settings: Mapping[str, Any]
    network: Mapping[str, Any] | None = None

    @property
    def models(self) -> Path:
        """The folder of the weights."""
        return self.folder / "models"

    def finish(self) -> None:
        """Do what is left of the training and its evaluation.

        Raises:
            OSError: if a command fails; the message shows the end of its log.
        """
        with alone_in(self.folder) as lock:
            run_logged(self.run("training", resume=True), self.folder / LOG, lock)
            run_logged(self.run("evaluation", section="validation"), self.folder / LOG, lock)

    def run(self, name: str, **more: Any) -> BundleRun:
        """The training or the evaluation as a run of the bundle."""
        places = {"dataset_dir": self.dataset_dir, "output_dir": self.folder, "ckpt_dir": self.models}
        given = {**{place: str(path) for place, path in places.items()}, **self.settings, **more}
        network_def = self.network_def()
        self._check_inside()
        return BundleRun.of(name, self.bundle, {**given, **({"network_def": network_def} if network_def else {})})

    def _check_inside(self) -> None:
        """Raise ValueError if train.json lacks a value inside it that is set; MONAI would add it, without effect."""
        names = [name for name in self.settings if INSIDE in name]
        config = read_configs(self.bundle, ["train"]) if names else {}
        for name in names:
            if name not in config:
                raise ValueError(f"settings has {name}: {self.bundle}/configs/train.json has no such value")

    def network_def(self) -> dict[str, Any] | None:
        """The whole config in place of the bundle's network."""
        if self.network is None:
            return None
        bundle = BundleRun.of("training", self.bundle, self.settings)
        return {**self.network, **{name: bundle.value(name) for name in ("in_channels", "out_channels")}}

    def make_network(self) -> nn.Module:
        """The network with random weights."""
        return self.run("training").value("network_def")

    def patch_shape(self) -> tuple[int, ...]:
        """``(1, C, [D,] H, W)`` of a patch."""
        bundle = BundleRun.of("training", self.bundle, self.settings)
        sizes, dims = bundle.value("roi_size"), bundle.value("network_def#spatial_dims")
        return (1, bundle.value("in_channels"), *(sizes if isinstance(sizes, Sequence) else [sizes] * dims))


def epochs_done(folder: Path) -> list[dict[str, str]]:
    """The rows of the history of a training so far."""
    history = folder / outputs.HISTORY
    return read_rows(history) if history.is_file() else []


def run_logged(run: BundleRun, log: Path, lock: int | None = None) -> None:
    """Run a bundle; what it says goes to a log.

    Args:
        run: of a bundle.
        log: as for ``log_command``.
        lock: as for ``log_command``.

    Raises:
        OSError: if it fails; the message shows the end of the log.
    """
    log_command(run.arguments(), log, lock, run.folder)


def log_command(arguments: Sequence[str], log: Path, lock: int | None = None, folder: Path | None = None) -> None:
    """Run a command of this Python; what it says goes to a log.

    Args:
        arguments: of python.
        log: to which the command and what it says are appended.
        lock: of ``alone_in``, which the command holds even if this process is killed before; or None.
        folder: the current folder of the command; None: that of this process.

    Raises:
        OSError: if it fails; the message shows the end of the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as file:
        print(f"$ {shell(['python', *arguments])}", file=file, flush=True)
        kept = [] if lock is None else [lock]
        command = [sys.executable, "-W", "ignore", *arguments]
        status = subprocess.run(command, stdout=file, stderr=file, pass_fds=kept, cwd=folder).returncode
    if status:
        last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])
        raise OSError(f"a command failed with status {status}; its log {log} ends with\n{last}")
