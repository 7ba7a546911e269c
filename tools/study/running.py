"""A training and its evaluation by the commands that a user would type, resumed wherever they were stopped."""

import functools
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from torch import nn

from lunet_networks.authoring.literals import literal
from lunet_networks.authoring.subprocesses import alone_in, shell
from lunet_networks.bundle.report.summaries import read_rows
from lunet_networks.bundle.runtime import outputs

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
        network_def: in place of the bundle's network; None: the bundle's.

    Example::

        run = BundleTraining(Path("bundles/lunet_small"), Path("data"), Path("study/first"), {"epochs": 2, "seed": 0})
        run.finish()
    """

    bundle: Path
    dataset_dir: Path
    folder: Path
    settings: Mapping[str, Any]
    network_def: Mapping[str, Any] | None = field(default=None, hash=False)

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
            self._run("training", ["train"], lock, resume=True)
            self._run("evaluation", ["train", "evaluate"], lock, section="validation")

    def epochs_done(self) -> int:
        """Number of epochs that are done."""
        history = self.folder / outputs.HISTORY
        return len(read_rows(history)) if history.is_file() else 0

    @functools.cached_property
    def parser(self) -> ConfigParser:
        """The training's config with these settings."""
        parser = ConfigParser(ConfigParser.load_config_file(self.bundle / "configs" / "train.json"))
        parser.update(literal({"bundle_root": self.bundle, "dataset_dir": self.dataset_dir, **self.settings}))
        if self.network_def:
            parser.update({"network_def": dict(self.network_def)})
        return parser

    def network(self) -> nn.Module:
        """The network with random weights."""
        return self.parser.get_parsed_content("network_def")

    def patch_shape(self) -> tuple[int, ...]:
        """``(1, C, [D,] H, W)`` of a patch."""
        sizes, dims = self.parser.get_parsed_content("roi_size"), self.spatial_dims()
        sides = tuple(sizes) if isinstance(sizes, Sequence) else (sizes,) * dims
        return (1, self.parser.get_parsed_content("in_channels"), *sides)

    def spatial_dims(self) -> int:
        """Of the images that the bundle is made for."""
        config = ConfigParser.load_config_file(self.bundle / "configs" / "train.json")
        return int(config["network_def"]["spatial_dims"])

    def command(self, workflow: str, configs: Sequence[str], **more: Any) -> list[str]:
        """Arguments of python that run a workflow of the bundle."""
        files = [str(self.bundle / "configs" / f"{name}.json") for name in configs]
        given = {
            "config_file": files[0] if len(files) == 1 else files,
            "bundle_root": literal(self.bundle),
            "dataset_dir": literal(self.dataset_dir),
            "output_dir": literal(self.folder),
            "ckpt_dir": literal(self.models),
            **literal(dict(self.settings)),
            **({"network_def": dict(self.network_def)} if self.network_def else {}),
            **more,
        }
        words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        return ["-m", "monai.bundle", "run", workflow, *words]

    def _run(self, workflow: str, configs: Sequence[str], lock: int, **more: Any) -> None:
        run_logged(self.command(workflow, configs, **more), self.folder / LOG, lock)


def run_logged(arguments: Sequence[str], log: Path, lock: int | None = None) -> None:
    """Run a command of this Python; what it says goes to a log.

    Args:
        arguments: of python.
        log: to which the command and what it says are appended.
        lock: of ``alone_in``, which the command holds even if this process is killed before; or None.

    Raises:
        OSError: if it fails; the message shows the end of the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as file:
        print(f"$ {shell(['python', *arguments])}", file=file, flush=True)
        kept = [] if lock is None else [lock]
        command = [sys.executable, "-W", "ignore", *arguments]
        status = subprocess.run(command, stdout=file, stderr=file, pass_fds=kept).returncode
    if status:
        last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])
        raise OSError(f"a command failed with status {status}; its log {log} ends with\n{last}")
