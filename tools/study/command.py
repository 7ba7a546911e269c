"""Do the runs of the study."""

import contextlib
import fnmatch
import io
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lunet_networks.authoring.command_line import as_bool
from lunet_networks.bundle.runtime.errors import shortened_list
from lunet_networks.bundle.training.time_left import in_words
from tools import ROOT
from tools.build_bundles import HIPPOCAMPUS
from tools.study.datasets import DATASETS, stage
from tools.study.peers import peer_config
from tools.study.prunings import PrunedTraining
from tools.study.records import RECORDS, Record, read_records, write_record
from tools.study.running import BundleTraining, epochs_done, log_command
from tools.study.table import TABLE, Planned, read_table


def study(
    run: str = "*",
    list: bool = False,
    data_dir: str = str(ROOT / "data"),
    work_dir: str = str(ROOT / "study"),
    records: str = str(RECORDS),
    table: str = str(TABLE),
) -> None:
    """Train and evaluate the runs of tools/study/runs.yaml that have no record yet, one after the other, and record
    them. A run that was stopped goes on from its checkpoint. Every step is a command that a user would type; the run's
    run.log in work_dir holds it.

    Then python -m tools.make_results writes the documents.

    Args:
        run: name of a run, or a pattern such as "hippocampus-*"; --list shows the names.
        list: only show which runs are recorded and which are missing, with the time that they take.
        data_dir: folder that holds the datasets, such as Task04_Hippocampus.
        work_dir: where bundles, trainings and their weights go.
        records: folder of the records.
        table: file with the runs.
    """
    plan = Study(Path(str(data_dir)), Path(str(work_dir)).resolve(), Path(str(records)), read_table(Path(str(table))))
    chosen = [planned for planned in plan.table if fnmatch.fnmatchcase(planned.name, str(run))]
    if not chosen:
        raise ValueError(f"--run {run} is no run of {table}: see the names with --list True")
    if as_bool("list", list):
        print(plan.listed(chosen))
        return
    failed = [planned.name for planned in chosen if not plan.do(planned)]
    if failed:
        raise ValueError(f"failed runs ({len(failed)}):\n{shortened_list(failed)}")


@dataclass(frozen=True)
class Study:
    """The study in some folders.

    Args:
        data_dir: of all data.
        work_dir: of bundles and trainings.
        records_dir: of the records.
        table: the runs.
    """

    data_dir: Path
    work_dir: Path
    records_dir: Path
    table: Sequence[Planned]

    def recorded(self) -> dict[str, Record]:
        """The records by name.

        Raises:
            ValueError: if a record is of another run than the table has under its name.
        """
        found = {record.name: record for record in read_records(self.records_dir)}
        for planned in self.table:
            record = found.get(planned.name)
            if record and dict(record.planned) != planned.described():
                raise ValueError(
                    f"{self.records_dir / planned.name} is the record of {dict(record.planned)}, and the table has "
                    f"{planned.described()}: give one of them another variant, or remove the record"
                )
        return found

    def do(self, planned: Planned) -> bool:
        """Do a run, or the rest of it, unless it is recorded; whether that went well."""
        if planned.name in self.recorded():
            return True
        print(f"{planned.name} ...", flush=True)
        try:
            training = self.training(planned)
            training.finish()
            folder = write_record(planned.name, planned.described(), training, self.records_dir)
        except (OSError, ValueError) as error:
            print(f"{planned.name} failed: {error}", file=sys.stderr, flush=True)
            return False
        record = self.recorded()[planned.name]
        dice = ", ".join(f"{label} {record.mean('dice', label):.4f}" for label in record.labels)
        print(f"{folder}: {dice}; {record.cpu_minutes:.0f} minutes of processor time", flush=True)
        may_go = DATASETS[planned.dataset].weights_may_go
        print(f"weights{'' if may_go else ', which the data do not allow to pass on'}: {training.models}", flush=True)
        return True

    def training(self, planned: Planned) -> BundleTraining:
        """The training of a run; its dataset and its bundle are made if need be."""
        if planned.pruned:
            before = self.training(planned.before_pruning())
            return PrunedTraining.of(before, self.folder(planned), planned.pruned)
        with contextlib.redirect_stdout(io.StringIO()):  # what make-datalist says
            dataset_dir, fold = stage(DATASETS[planned.dataset], planned.part, self.data_dir, self.work_dir / "data")
        settings = {**DATASETS[planned.dataset].settings, **planned.settings}
        settings |= {"epochs": planned.epochs, "seed": planned.seed, "fold": fold}
        if not planned.is_peer:
            settings["preset"] = planned.network
        return BundleTraining(
            self.bundle(planned, dataset_dir),
            dataset_dir,
            self.folder(planned),
            settings,
            peer_config(planned.network) if planned.is_peer else None,
        )

    def folder(self, planned: Planned) -> Path:
        """Where the files of a run are."""
        return self.work_dir / "runs" / planned.name

    def bundle(self, planned: Planned, dataset_dir: Path) -> Path:
        """The repository's bundle if it is made for the dataset, otherwise one that ``lunet new-bundle`` makes."""
        dataset = DATASETS[planned.dataset]
        if dataset.folder == HIPPOCAMPUS and dataset.spatial_dims == 3:
            return ROOT / "bundles" / planned.bundle
        folder = self.work_dir / "bundles" / f"{planned.dataset}-{planned.part}"
        bundle = folder / planned.bundle
        if not (bundle / "configs" / "train.json").is_file():
            options = {"dataset_dir": dataset_dir, "output_dir": bundle, "overwrite": True}
            options |= {"licence": dataset.licence} if dataset.licence else {}
            words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
            log = folder / f"{planned.bundle}.log"
            log_command(["-m", "lunet_networks", "new-bundle", planned.bundle, *words], log)
        return bundle

    def listed(self, chosen: Sequence[Planned]) -> str:
        """Which runs are done, with their Dice, and which are missing, with their time."""
        recorded = self.recorded()
        lines, left = [], 0.0
        for planned in chosen:
            if record := recorded.get(planned.name):
                mean = statistics.fmean(record.mean("dice", label) for label in record.labels)
                lines.append(f"done     {planned.name}: Dice {mean:.3f}, {record.cpu_minutes:.0f} min of CPU")
                continue
            rows = epochs_done(self.folder(planned))
            seconds = _seconds_of_epoch(planned, rows, recorded)
            time = "time not known yet" if seconds is None else in_words(seconds * (planned.epochs - len(rows)))
            left += (seconds or 0) * (planned.epochs - len(rows))
            begun = f"{len(rows)} of {planned.epochs} epochs, " if rows else ""
            lines.append(f"missing  {planned.name}: {begun}{time}")
        done = sum(planned.name in recorded for planned in chosen)
        return "\n".join([*lines, f"{done} of {len(chosen)} done; known of the rest: {in_words(left)}"])


def _seconds_of_epoch(
    planned: Planned, rows: Sequence[Mapping[str, str]], recorded: Mapping[str, Record]
) -> float | None:
    """Of the run itself, else of a recorded run of the same network on the same dataset; None if neither is known."""
    if rows:
        return statistics.median(float(row["seconds"]) for row in rows)
    same = [
        row["seconds"]
        for record in recorded.values()
        if (record.planned["network"], record.planned["dataset"]) == (planned.network, planned.dataset)
        for row in record.history
    ]
    return statistics.median(same) if same else None
