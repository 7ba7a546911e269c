"""Compare ways to prune a U-Net with each other and with networks that were narrow from the start."""

import json
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from torch import nn
from tqdm import tqdm

from lunet_networks import create_network
from lunet_networks.authoring.command_line import run_commands
from lunet_networks.authoring.literals import literal
from lunet_networks.authoring.subprocesses import alone_in, shell
from lunet_networks.bundle.pruning.channels import PruningSchedule
from lunet_networks.bundle.report.summaries import read_rows
from lunet_networks.bundle.runtime.checks import check_whole_number, choose
from lunet_networks.bundle.runtime.files import write_atomically
from lunet_networks.presets import conventional_twin
from lunet_networks.pruning import SELECTIONS
from lunet_networks.summary import count_parameters
from tools import ROOT
from tools.study.pruning_results import Result, read_pruning, read_training, write_results

FINISHED, LOG = "finished.json", "run.log"
LOG_LINES = 15  # shown of a run that failed
CKPT_DIR = "$@output_dir + '/models'"
OWN_SETTINGS = {"epochs", "overwrite", "preset", "pretrained", "resume", "seed"}  # that the comparison gives


def compare_pruning(
    dataset_dir: str,
    output_dir: str,
    seeds: int = 3,
    bundle: str = str(ROOT / "bundles" / "unet_small"),
    start: str | None = None,
    selections: str | tuple[str, ...] = tuple(SELECTIONS),
    presets: str | tuple[str, ...] = ("lunet_small_4f", "lunet_small_2f"),
    epochs: int = 24,
    jobs: int = 1,
    document: str | None = None,
    **settings: Any,
) -> None:
    """Prune a trained network by several rules, train networks that are narrow from the start, each with several seeds,
    and compare what they reach.

    Every run is a command that a user would type; its run.log begins with it. Repeat the command to continue after a
    stop. output_dir/comparison.csv, dice.png and channels.png are of the runs finished so far.

    Args:
        dataset_dir: folder that holds dataset.json.
        output_dir: where a folder for every contender and seed goes, and the results.
        seeds: runs of each contender, with the seeds 0, 1, ...
        bundle: whose network is pruned.
        start: its trained weights, with which every pruning begins; models/model.pt of the bundle by default.
        selections: rules by which channels are picked, such as stamp,random_in_layer.
        presets: networks to train from scratch. Each lean one adds a network whose channels double, with
            about as many parameters.
        epochs: of the trainings from scratch.
        jobs: runs at the same time.
        document: a Markdown file with the marks of the tables; the CSV and the pictures go beside it.
        settings: any other setting of train.json and prune.json, such as --batch_size 4 --channels_per_step 24.
    """
    for name, value in {"seeds": seeds, "jobs": jobs, "epochs": epochs}.items():
        check_whole_number(f"--{name}", value, least=1)
    plan = Plan(Path(str(bundle)).resolve(), {"dataset_dir": Path(str(dataset_dir)).resolve(), **settings})
    contenders = plan.pruned(_several(selections), start) + plan.fixed(_several(presets), epochs)
    output = Path(str(output_dir)).resolve()
    runs = [Run(contender, seed, output) for seed in range(seeds) for contender in contenders]
    try:
        with alone_in(output):
            do_runs(runs, jobs)
    except KeyboardInterrupt:
        print("\nstopped: run the same command again to continue", file=sys.stderr)
        sys.exit(130)
    finally:
        results = [run.read() for run in runs if run.is_finished()]
        if results:
            print(write_results(results, len(runs), output, Path(str(document)) if document else None))


@dataclass(frozen=True, eq=False)
class Contender:
    """A way to a narrow network.

    Args:
        name: of its folder and in the results.
        command: arguments of python that run it, without what differs between its runs.
        network: as it is before anything is pruned.
        patch_shape: for which multiply-accumulates are counted.
        epochs: of a run.
        pruned: whether channels are removed from ``network``; otherwise it is trained from scratch.
    """

    name: str
    command: Sequence[str]
    network: nn.Module
    patch_shape: tuple[int, ...]
    epochs: int
    pruned: bool


class Plan:
    """What there is to compare.

    Args:
        bundle: whose workflows are run.
        given: settings of its train.json and prune.json.

    Raises:
        FileNotFoundError: if it is no bundle whose network can be pruned.
        ValueError: if there is no such setting, or it is not the user's to give.
    """

    def __init__(self, bundle: Path, given: Mapping[str, Any]) -> None:
        self.bundle = bundle
        self.files = [bundle / "configs" / name for name in ("train.json", "prune.json")]
        if not all(file.is_file() for file in self.files):
            raise FileNotFoundError(f"{bundle} has no train.json and prune.json in configs: name a bundle of a U-Net")
        self.train, prune = (ConfigParser.load_config_file(file) for file in self.files)
        of_training = self.train["settings"].keys() - {"_target_"}
        of_pruning = {name.removeprefix("settings#") for name in prune if name.startswith("settings#")}
        of_pruning -= {*of_training, "selection"}
        known = {"dataset_dir", "device", *of_training, *of_pruning} - OWN_SETTINGS
        for name in given:
            choose("a setting", name, dict.fromkeys(sorted(known)))
        self.given = given
        self.of_training = {name: value for name, value in given.items() if name not in of_pruning}
        self.merged = ConfigParser(ConfigParser.load_config_files(self.files))
        self.merged.update(literal(dict(given)))
        self.patch_shape = tuple(self.merged.get_parsed_content("roi_size"))
        self.shape = {
            "spatial_dims": len(self.patch_shape),
            "in_channels": self.merged.get_parsed_content("in_channels"),
            "out_channels": self.merged.get_parsed_content("out_channels"),
        }

    def pruned(self, selections: Sequence[str], start: str | None) -> list[Contender]:
        """The bundle's network pruned by several rules.

        Raises:
            FileNotFoundError: if there are no weights to start from.
            ValueError: if there is no such rule, or the settings make no schedule.
        """
        weights = Path(str(start)).resolve() if start else self.bundle / "models" / "model.pt"
        if selections and not weights.exists():
            raise FileNotFoundError(f"there are no weights in {weights}: train {self.bundle} first, or give --start")
        network = create_network(self.train["preset"], **self.shape)
        schedule = {field.name: self.merged.get_parsed_content(field.name) for field in fields(PruningSchedule)}
        epochs = PruningSchedule(**schedule).epochs
        contenders = []
        for name in selections:
            choose("--selections", name, dict.fromkeys(SELECTIONS))
            command = self._command("pruning", self.files, **self.given, pretrained=weights, selection=name)
            contenders.append(Contender(name, command, network, self.patch_shape, epochs, pruned=True))
        return contenders

    def fixed(self, presets: Sequence[str], epochs: int) -> list[Contender]:
        """Presets trained from scratch, and beside the lean ones their equals in parameters.

        Raises:
            ValueError: if there is no such preset.
        """
        contenders = []
        for preset in presets:
            network = create_network(preset, **self.shape)
            contenders.append(self._fixed(preset, network, epochs, preset=preset))
            if conventional := conventional_twin(preset):
                twin = doubling_twin(network)
                channels = twin.describe()["channels"]
                name = "_".join([conventional.partition("_")[0], *map(str, channels)])
                twin_of = {"preset": conventional, "network_def#channels": channels}
                contenders.append(self._fixed(name, twin, epochs, **twin_of))
        return contenders

    def _fixed(self, name: str, network: nn.Module, epochs: int, **options: Any) -> Contender:
        places = {"ckpt_dir": CKPT_DIR}
        command = self._command("training", self.files[:1], **self.of_training, **places, epochs=epochs, **options)
        return Contender(name, command, network, self.patch_shape, epochs, pruned=False)

    def _command(self, workflow: str, files: Sequence[Path], **options: Any) -> list[str]:
        given = {"bundle_root": self.bundle, **options}
        given = {name: value if value == CKPT_DIR else literal(value) for name, value in given.items()}
        given = {"config_file": [str(file) for file in files], **given}
        words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        return ["-m", "monai.bundle", "run", workflow, *words, "--resume", "True"]


def doubling_twin(network: nn.Module) -> nn.Module:
    """A network like a lean one, with channels that double from level to level instead, and as many parameters.

    The widths are a first width, not necessarily whole, times powers of two, rounded. Of all such networks this is
    the nearest in parameters.

    Example:
        >>> twin = doubling_twin(create_network("lunet_small_4f"))
        >>> twin.describe()["channels"], count_parameters(twin)
        ([1, 1, 3, 5, 11], 9970)
    """
    description = network.describe()
    levels = len(description["channels"])
    shape = {name: value for name, value in description.items() if name not in ("channels", "conv_channels", "dropout")}

    def twin(channels: Sequence[int]) -> nn.Module:
        return type(network)(**shape, channels=channels)

    def doubling(first: float) -> tuple[int, ...]:
        return tuple(max(1, round(first * 2**level)) for level in range(levels))

    def parameters(hundredths: int) -> int:
        return count_parameters(twin(doubling(hundredths / 100)))

    wanted = count_parameters(network)
    firsts = range(1, 100 * max(description["channels"]) + 1)  # the last one has more parameters
    place = bisect_left(firsts, wanted, key=parameters)
    nearest = min(firsts[max(0, place - 1) : place + 1], key=lambda first: abs(parameters(first) - wanted))
    return twin(doubling(nearest / 100))


@dataclass(frozen=True, eq=False)
class Run:
    """A contender with a seed.

    Args:
        contender: what is run.
        seed: of the run.
        output_dir: of all runs.
    """

    contender: Contender
    seed: int
    output_dir: Path

    @property
    def folder(self) -> Path:
        """Where its output goes."""
        return self.output_dir / self.contender.name / f"seed_{self.seed}"

    def command(self) -> list[str]:
        """Arguments of python for the run, or for the rest of it."""
        return [*self.contender.command, "--output_dir", literal(str(self.folder)), "--seed", str(self.seed)]

    def is_finished(self) -> bool:
        """Whether it is done.

        Raises:
            ValueError: if it was done with other options.
        """
        marker = self.folder / FINISHED
        if not marker.is_file():
            return False
        then = json.loads(marker.read_text(encoding="utf-8"))
        if then != self.command():
            raise ValueError(
                f"{self.folder} was done by\n{shell(['python', *then])}\nand not by\n"
                f"{shell(['python', *self.command()])}\ngive the same options again, or name another --output_dir"
            )
        return True

    def epochs_done(self) -> int:
        """Number of epochs that are done."""
        history = self.folder / "history.csv"
        return len(read_rows(history)) if history.is_file() else 0

    def read(self) -> Result:
        """The result of the run."""
        contender = self.contender
        if contender.pruned:
            return read_pruning(contender.name, self.seed, contender.network, self.folder)
        return read_training(contender.name, self.seed, contender.network, contender.patch_shape, self.folder)

    def start(self) -> subprocess.Popen:
        """Start the command; what it says goes to its log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / LOG, "a", encoding="utf-8") as log:
            print(f"$ {shell(['python', *self.command()])}", file=log, flush=True)
            return subprocess.Popen([sys.executable, "-W", "ignore", *self.command()], stdout=log, stderr=log)

    def finish(self, status: int) -> None:
        """Note that it is done.

        Raises:
            OSError: if it failed.
        """
        if status:
            log = self.folder / LOG
            last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])
            raise OSError(f"{self.contender.name} with seed {self.seed} failed; its log {log} ends with\n{last}")
        write_atomically(self.folder / FINISHED, json.dumps(self.command(), indent=1).encode())


def do_runs(runs: Sequence[Run], jobs: int) -> None:
    """Do the runs that are not finished, some at the same time; a bar counts the epochs of all.

    Raises:
        OSError: if one fails; the others are stopped.
    """
    waiting = [run for run in runs if not run.is_finished()]
    working: dict[Run, subprocess.Popen] = {}
    with tqdm(total=sum(run.contender.epochs for run in runs), unit="epoch", desc=f"{len(waiting)} runs to do") as bar:
        try:
            while waiting or working:
                while waiting and len(working) < jobs:
                    run = waiting.pop(0)
                    working[run] = run.start()
                time.sleep(1)
                for run in [run for run, process in working.items() if process.poll() is not None]:
                    run.finish(working.pop(run).returncode)
                bar.set_description(f"{len(waiting) + len(working)} runs to do", refresh=False)
                bar.n = sum(run.epochs_done() for run in runs)
                bar.refresh()
        finally:
            for process in working.values():
                process.terminate()
                process.wait()


def _several(names: str | Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names


if __name__ == "__main__":
    run_commands(compare_pruning)
