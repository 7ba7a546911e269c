"""A bundle that tests train, within this process or in others that can be killed."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import torch
from monai.bundle import ConfigWorkflow

from tools.build_bundles import repository_bundle

SETTINGS = {"epochs": 2, "batch_size": 2, "roi_size": [32, 32, 32], "num_folds": 2, "device": "cpu"}


class TrainableBundle:
    """A bundle of the repository in a folder of its own."""

    def __init__(self, root: Path, dataset_dir: Path, name: str = "lunet_small") -> None:
        self.root = root
        self.dataset_dir = dataset_dir
        for path, text in repository_bundle(name).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        self.model = root / "models" / "model.pt"
        self.eval = root / "eval"
        self.checkpoint = self.eval / "checkpoint.pt"
        self.errors = root / "errors.txt"

    def settings(self, **override: Any) -> dict[str, Any]:
        return {"bundle_root": str(self.root), "dataset_dir": str(self.dataset_dir), **SETTINGS, **override}

    def workflow(self, **override: Any) -> ConfigWorkflow:
        configs = self.root / "configs"
        workflow = ConfigWorkflow(
            config_file=str(configs / "train.json"),
            meta_file=str(configs / "metadata.json"),
            logging_file=False,
            workflow_type="train",
            **self.settings(**override),
        )
        workflow.initialize()
        return workflow

    def train(self, **override: Any) -> None:
        self.workflow(**override).run()

    def start(self, **override: Any) -> subprocess.Popen:
        """Train in a process of its own."""
        return self._start([], ["train"], override, stderr=subprocess.DEVNULL)

    def start_two(self, *torchrun: str, **override: Any) -> subprocess.Popen:
        """Train in two processes; the one that is returned is torchrun, which has started them, with options of its
        own. What they print as errors is in ``errors``."""
        launcher = ["-m", "torch.distributed.run", *(torchrun or ("--standalone", "--nproc_per_node=2"))]
        with open(self.errors, "w") as stderr:
            return self._start(launcher, ["train", "multi_gpu_train"], override, stderr=stderr)

    def _start(
        self, launcher: list[str], configs: list[str], override: dict[str, Any], stderr: IO | int
    ) -> subprocess.Popen:
        paths = [str(self.root / "configs" / f"{name}.json") for name in configs]
        command = [sys.executable, "-W", "ignore", *launcher, "-m", "monai.bundle", "run", "training"]
        command += ["--config_file", str(paths)]
        for name, value in self.settings(**override).items():
            command += [f"--{name}", str(value)]
        threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums depend on how they are shared out
        return subprocess.Popen(command, env=os.environ | threads, stdout=subprocess.DEVNULL, stderr=stderr)

    def history(self) -> list[dict[str, str]]:
        """The rows of history.csv, without the times."""
        with open(self.eval / "history.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        return [{name: value for name, value in row.items() if not name.endswith("seconds")} for row in rows]

    def weights(self) -> dict[str, torch.Tensor]:
        """Those of the last completed epoch."""
        return torch.load(self.checkpoint, weights_only=True)["network"]

    def averaged_weights(self) -> dict[str, torch.Tensor]:
        """Their average after the last completed epoch; nothing if it is off."""
        average = torch.load(self.checkpoint, weights_only=True)["average"]
        return {name.removeprefix("module."): value for name, value in average.items() if name != "n_averaged"}


def same_results(one: TrainableBundle, other: TrainableBundle) -> bool:
    """Whether two trainings left the same weights, bit for bit, and the same history."""
    weights, others = one.weights(), other.weights()
    return (
        one.model.read_bytes() == other.model.read_bytes()
        and weights.keys() == others.keys()
        and all(torch.equal(weights[name], others[name]) for name in weights)
        and one.history() == other.history()
    )
