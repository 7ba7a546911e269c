"""Cross-validation: a model for every fold of a dataset, one table over all cases, and the models as an ensemble."""

import hashlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from lunet_networks.authoring.literals import literal
from lunet_networks.authoring.subprocesses import alone_in, run_python, typed
from lunet_networks.bundle.data.datalist import load_datalist, read_dataset_json
from lunet_networks.bundle.evaluation.metrics import CaseMetrics
from lunet_networks.bundle.evaluation.tables import (
    case_names,
    case_rows,
    read_cases,
    summary_rows,
    summary_table,
    write_csv,
)
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.errors import shortened_list
from lunet_networks.bundle.runtime.files import write_atomically
from lunet_networks.bundle.runtime.settings import SETTINGS, check_settings
from lunet_networks.bundle.training.run_record import differing_settings

OWN_SETTINGS = {  # settings of train.json that crossval sets by itself, and how
    "bundle_root": "the first argument is the bundle",
    "ckpt_dir": "every fold has its own, output_dir/fold_K/models",
    "fold": "--folds 0,2 names the folds to do",
    "resume": "folds that were begun are always continued",
}
FINISHED = "finished.json"
PLACES = "crossval.json"  # where the bundle is; lunet choose reads it


def crossval(
    bundle: str,
    dataset_dir: str,
    output_dir: str,
    folds: int | tuple[int, ...] | None = None,
    num_folds: int | None = None,
    **settings: Any,
) -> None:
    """Train and evaluate the folds of a dataset, then write one table over all cases.

    Each fold is evaluated on the cases that it was not trained on. Every step is a command that a user could type; it
    is printed before it runs. The same command again continues where an earlier one was stopped and skips the folds
    that are finished. When all folds are finished, cases.csv and summary.csv are written.

    Args:
        bundle: the bundle's folder.
        dataset_dir: the folder that holds dataset.json.
        output_dir: where fold_0, fold_1 ... and the tables go.
        folds: the folds to do now, such as 0,2; without it all. Several commands may do a fold each at the same time.
        num_folds: number of folds; without it that of the bundle's train.json.
        settings: any setting of train.json, such as --epochs 20 --preset lunet_small_2f, and --device.
    """
    if num_folds is not None:
        settings["num_folds"] = num_folds
    run = CrossValidation.plan(Path(str(bundle)), Path(str(dataset_dir)), Path(str(output_dir)), settings)
    chosen = run.chosen(folds)
    run.check_begun(chosen)
    write_atomically(run.output_dir / PLACES, (json.dumps({"bundle": str(run.bundle)}) + "\n").encode())
    try:
        for fold in chosen:
            run.finish(fold)
        run.report()
    except KeyboardInterrupt:
        print("\nstopped: the same command continues", file=sys.stderr)
        sys.exit(130)


@dataclass(frozen=True)
class CrossValidation:
    """A cross-validation as it was asked for.

    Args:
        bundle: its folder.
        dataset_dir: folder of dataset.json.
        output_dir: where everything goes.
        given: settings to pass on, as the command line had them.
        settings: all of train.json's, types put right.
        held_out: for every fold the images that it is evaluated on.
    """

    bundle: Path
    dataset_dir: Path
    output_dir: Path
    given: Mapping[str, Any]
    settings: Mapping[str, Any]
    held_out: Sequence[Sequence[str]]

    @classmethod
    def plan(cls, bundle: Path, dataset_dir: Path, output_dir: Path, given: Mapping[str, Any]) -> "CrossValidation":
        """Check what was asked for; nothing is written.

        Raises:
            FileNotFoundError: if the bundle, the dataset or files that it lists are absent.
            ValueError: if a setting is unknown or has no such value, or the dataset has no folds.
        """
        settings = _checked(given, bundle)
        if "validation" in read_dataset_json(dataset_dir):
            raise ValueError(
                f"{dataset_dir / 'dataset.json'} has a validation list of its own, hence no folds: train once on that "
                "split, or move its cases to the training list to have folds"
            )
        held_out = [
            [_first_image(case) for case in load_datalist(dataset_dir, "validation", fold, settings["num_folds"])]
            for fold in range(settings["num_folds"])
        ]
        return cls(bundle.resolve(), dataset_dir.resolve(), output_dir.resolve(), dict(given), settings, held_out)

    def chosen(self, folds: int | Sequence[int] | None) -> list[int]:
        """The folds that a command is to do.

        Raises:
            ValueError: if one of them does not exist.
        """
        existing = range(len(self.held_out))
        if folds is None:
            return list(existing)
        numbers = folds if isinstance(folds, (list, tuple)) else [folds]
        if not numbers or not all(type(number) is int and number in existing for number in numbers):
            raise ValueError(f"--folds is {folds!r}: it names folds from 0 to {existing[-1]}, such as 0,1")
        return list(dict.fromkeys(numbers))

    def folder(self, fold: int) -> Path:
        """Where the output of a fold goes."""
        return self.output_dir / f"fold_{fold}"

    def check_begun(self, chosen: Sequence[int]) -> None:
        """See that what lies in ``output_dir`` belongs to this cross-validation, before hours are spent on another part
        of it.

        Raises:
            ValueError: if a fold was trained with other settings and is not to be overwritten now.
        """
        replaced = [self.folder(fold) for fold in chosen if self.settings["overwrite"]]
        for record in sorted(self.output_dir.glob(f"fold_*/{outputs.RUN_RECORD}")):
            if record.parent in replaced or not (record.parent / outputs.CHECKPOINT).is_file():
                continue
            then = json.loads(record.read_text(encoding="utf-8"))["settings"]
            differences = differing_settings(then, {**self.settings, "fold": then["fold"]})
            epochs = len((record.parent / outputs.HISTORY).read_text(encoding="utf-8").splitlines()) - 1
            if epochs > self.settings["epochs"]:
                differences.append(f"epochs: {epochs} done, {self.settings['epochs']} now")
            if differences:
                raise ValueError(
                    f"{record.parent} is of another cross-validation:\n{shortened_list(differences)}\n"
                    "give the same settings again, start anew with --overwrite True, or name another --output_dir"
                )

    def finish(self, fold: int) -> None:
        """Train and evaluate a fold, or what is left of that."""
        with alone_in(self.folder(fold)) as lock:
            if self.is_finished(fold) and not self.settings["overwrite"]:
                print(f"fold {fold} is finished")
                return
            for workflow, arguments in self.steps(fold).items():
                run_python(self.command(workflow, **arguments), lock)
            write_atomically(self.folder(fold) / FINISHED, self._evidence(fold).encode())

    def steps(self, fold: int) -> dict[str, dict[str, Any]]:
        """What a fold takes: arguments by the workflow of the bundle."""
        places = {"output_dir": self.folder(fold), "ckpt_dir": self.folder(fold) / "models"}
        common = {"dataset_dir": self.dataset_dir, **places, **self.given, "fold": fold}
        common.pop("overwrite", None)
        begin = {"overwrite": True} if self.settings["overwrite"] else {"resume": True}
        return {"training": {**common, **begin}, "evaluation": {**common, "section": "validation"}}

    def command(self, workflow: str, **arguments: Any) -> list[str]:
        """Arguments of python that run a workflow of the bundle."""
        names = {"training": ["train"], "evaluation": ["train", "evaluate"], "inference": ["inference", "ensemble"]}
        files = [str(self.bundle / "configs" / f"{name}.json") for name in names[workflow]]
        config_file = files[0] if len(files) == 1 else str(files)
        command = ["-m", "monai.bundle", "run", workflow, "--bundle_root", literal(str(self.bundle))]
        return command + _options({"config_file": config_file, **literal(arguments)})

    def is_finished(self, fold: int) -> bool:
        """Whether a fold was trained and evaluated with these settings on these cases, and is as it was then."""
        marker = self.folder(fold) / FINISHED
        return marker.is_file() and marker.read_text(encoding="utf-8") == self._evidence(fold)

    def _evidence(self, fold: int) -> str:
        """What a finished fold is known by."""
        files = [self.folder(fold) / "models" / "model.pt", self.folder(fold) / outputs.CASES]
        evidence = {
            "settings": {name: value for name, value in self.settings.items() if SETTINGS[name].changes_result},
            "fold": fold,
            "cases": list(case_names(self.held_out[fold]).values()),
            "sha256": {path.name: _sha256(path) for path in files},
        }
        return json.dumps(evidence, indent=1) + "\n"

    def report(self) -> None:
        """Write the tables if all folds are finished, otherwise say what is missing."""
        missing = [fold for fold in range(len(self.held_out)) if not self.is_finished(fold)]
        if missing:
            folds = ",".join(map(str, missing))
            print(
                f"\nthe table over all cases is written when all folds are finished; missing: {folds}. "
                "This command does them:\n"
                f"$ {typed(self.again(folds))}"
            )
            return
        with alone_in(self.output_dir):
            tables = write_tables(self.output_dir, [self._measured(fold) for fold in range(len(self.held_out))])
        print(f"\n{tables}\n\nnew images, the models averaged:\n$ {typed(self.ensemble())}")

    def again(self, folds: str) -> list[str]:
        """Arguments of python that do some folds of this cross-validation."""
        given = {name: value for name, value in self.given.items() if name != "overwrite"}
        places = {"dataset_dir": self.dataset_dir, "output_dir": self.output_dir, "folds": folds}
        return ["-m", "lunet_networks", "crossval", str(self.bundle), *_options({**places, **given})]

    def ensemble(self) -> list[str]:
        """Arguments of python that label new images by the models of all folds."""
        known = ConfigParser.load_config_file(self.bundle / "configs" / "inference.json").keys()
        models = [str(self.folder(fold) / "models") for fold in range(len(self.held_out))]
        settings = {name: value for name, value in self.given.items() if name in known}
        places = {"dataset_dir": "IMAGES", "output_dir": "LABELS"}
        return self.command("inference", ckpt_dirs=models, **settings, **places)

    def _measured(self, fold: int) -> dict[str, dict[str, CaseMetrics]]:
        """Metrics of the cases of a fold by the path of the image, then by label."""
        found = read_cases(self.folder(fold) / outputs.CASES)
        return {path: found[name] for path, name in case_names(self.held_out[fold]).items()}


def _checked(given: Mapping[str, Any], bundle: Path) -> dict[str, Any]:
    """All settings of the bundle's training with those that were given, types put right."""
    path = bundle / "configs" / "train.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{bundle} is not a bundle, there is no {path}: name a folder such as bundles/lunet_small"
        )
    parser = ConfigParser(ConfigParser.load_config_file(path))
    names = parser["settings"].keys() - {"_target_"} - OWN_SETTINGS.keys()
    for name in given:
        _check_name(name, sorted({*names, "device"}))
    parser.update(literal(dict(given)))
    return check_settings(**{name: parser.get_parsed_content(name) for name in sorted(names)})


def _check_name(name: str, allowed: Sequence[str]) -> None:
    if name in OWN_SETTINGS:
        raise ValueError(f"--{name} is not for crossval: {OWN_SETTINGS[name]}")
    if name not in allowed:
        near = get_close_matches(name, [*allowed, "folds"], n=1)
        hint = f"did you mean --{near[0]}? " if near else ""
        raise ValueError(f"crossval has no option --{name}: {hint}There are folds, {', '.join(allowed)}")


def _options(arguments: Mapping[str, Any]) -> list[str]:
    return [word for name, value in arguments.items() for word in (f"--{name}", str(value))]


def _first_image(case: Mapping[str, Any]) -> str:
    """The path that an evaluation knows a case by; its channels may have a file each."""
    return case["image"][0] if isinstance(case["image"], list) else case["image"]


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


FOLD_MEAN = "mean_fold_"  # columns of summary.csv

Measured = Mapping[str, Mapping[str, CaseMetrics]]  # by the path of the case's image, then by label


def write_tables(output_dir: Path, folds: Sequence[Measured]) -> str:
    """Write ``cases.csv`` and ``summary.csv``. Their columns are those of an evaluation; of a case there is also the
    fold, of a label and metric also the mean of each fold.

    Args:
        output_dir: where to write.
        folds: what was measured of the cases of each.

    Returns:
        The summary as a text for the screen.
    """
    measured = {path: found for fold in folds for path, found in fold.items()}
    names = case_names(measured)
    fold_of = {names[path]: number for number, fold in enumerate(folds) for path in fold}
    summary = summary_rows(measured, "cross-validation", chose_best_model=True)
    for number, fold in enumerate(folds):
        for row, of_fold in zip(summary, summary_rows(fold, "validation", chose_best_model=True), strict=True):
            row[f"{FOLD_MEAN}{number}"] = of_fold["mean"]
    rows = [{"case": row["case"], "fold": fold_of[row["case"]], **row} for row in case_rows(measured)]
    write_csv(output_dir / outputs.CASES, rows)
    write_csv(output_dir / outputs.SUMMARY, summary)
    return (
        f"{len(measured)} cases, each by the model that was not trained on its fold (these cases also chose the best "
        f"models):\n{summary_table(summary)}\n\n{_fold_table(summary)}\n"
        f"more in {output_dir / outputs.SUMMARY} and {outputs.CASES} beside it"
    )


def _fold_table(summary: Sequence[Mapping[str, Any]]) -> str:
    """Mean Dice of every fold, a line a label; "-" if no case of the fold has it."""
    rows = [row for row in summary if row["metric"] == "dice"]
    columns = [column for column in rows[0] if column.startswith(FOLD_MEAN)]
    width = max(len("mean Dice"), *(len(row["label"]) for row in rows))
    titles = [f"fold {column.removeprefix(FOLD_MEAN)}" for column in columns]
    lines = [f"{'mean Dice':{width}}" + "".join(f"{title:>9}" for title in titles)]
    for row in rows:
        means = (float(row[column]) for column in columns)
        shown = ("-" if math.isnan(mean) else f"{mean:.3f}" for mean in means)
        lines.append(f"{row['label']:{width}}" + "".join(f"{mean:>9}" for mean in shown))
    return "\n".join(lines)
