"""The cases of a training: their names in its record, and the check that an evaluation measures others."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from lunet_networks.bundle.data.case_files import nfc
from lunet_networks.bundle.data.datalist import check_label_names
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.checks import option
from lunet_networks.bundle.runtime.errors import shortened_list
from lunet_networks.bundle.runtime.files import as_path
from lunet_networks.bundle.training.records import DATASET_DIR, WEIGHTS, check_model, is_model_of, read_record

__all__ = [
    "SPLIT",
    "TrainedCases",
    "case_names",
    "differ",
    "found_in",
    "other_training",
    "recorded_names",
    "same_cases",
]

Case = Mapping[str, Any]
IN_DATASET = "./"  # begins the names that are paths from dataset_dir, as in many a dataset.json
SPLIT = ("fold", "num_folds")  # the settings that choose the validation cases
# with another value of these, the figures would not be those of the trained model
OF_THE_MODEL = ("preset", "label_names", "ignore_label", "in_channels", "pixdim")
BOTH_OF_ONE_RUN = "give --output_dir of its run, or --ckpt_dir of the model of this one"
logger = logging.getLogger(__name__)


def case_names(cases: Sequence[Case], dataset_dir: str | Path) -> list[str]:
    """The names of cases: their label files, because a case may have several images.

    A name is the path from ``dataset_dir``, which may move, or for a label elsewhere its whole path. It is in the
    unicode form NFC, because systems differ in the form of file names.

    Args:
        cases: ``{"image": path or paths, "label": path}``, with absolute paths.
        dataset_dir: the folder that holds dataset.json.

    Example:
        >>> case_names([{"label": "/data/labelsTr/a.nii"}, {"label": "/other/a.nii"}], "/data")
        ['./labelsTr/a.nii', '/other/a.nii']
    """
    root = Path(nfc(str(as_path(dataset_dir).resolve())))
    labels = [Path(nfc(str(case["label"]))) for case in cases]
    return [
        IN_DATASET + label.relative_to(root).as_posix() if label.is_relative_to(root) else label.as_posix()
        for label in labels
    ]


def recorded_names(cases: Sequence[Case], dataset_dir: str | Path) -> list[str]:
    """The names of cases in a record: those of ``case_names``, but for labels elsewhere, as in the lists of MONAI
    Label, the end of the path, as short as tells these labels apart.

    Example:
        >>> cases = [{"label": "/data/a/label.nii"}, {"label": "/data/b/label.nii"}]
        >>> recorded_names(cases, "/data"), recorded_names(cases, "/other")
        (['./a/label.nii', './b/label.nii'], ['a/label.nii', 'b/label.nii'])
    """
    names = case_names(cases, dataset_dir)
    elsewhere = [name for name in names if not name.startswith(IN_DATASET)]
    ends = dict(zip(elsewhere, _distinct_ends(elsewhere), strict=True))
    return [ends.get(name, name) for name in names]


def found_in(names: Sequence[str], recorded: Sequence[str]) -> list[bool]:
    """Whether each of the names is that of a case in a record.

    The record of an older version, or of a training on other folders, has only the end of a path.

    Args:
        names: from ``case_names`` or ``recorded_names``.
        recorded: the names in the record.

    Example:
        >>> found_in(["./labelsTr/a.nii", "./labelsTs/a.nii"], ["./labelsTr/a.nii"])
        [True, False]
        >>> found_in(["./labelsTr/a.nii", "./labelsTr/b.nii"], ["a.nii"])
        [True, False]
    """
    known = set(map(nfc, recorded))
    return [not known.isdisjoint(_ends(name)) for name in names]


def same_cases(names: Sequence[str], recorded: Sequence[str]) -> bool:
    """Whether a record has these cases in this order."""
    return len(names) == len(recorded) and all(
        found_in([name], [other])[0] for name, other in zip(names, recorded, strict=True)
    )


def other_training(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What tells that a record does not belong to the weights of a run; "" if nothing does.

    Args:
        then: the settings in the record.
        now: the settings of the run.

    Example:
        >>> other_training({"preset": "lunet_small_4f"}, {"preset": "lunet_small_2f"})
        'a training with the preset lunet_small_4f'
    """
    for name in ("preset", "label_names"):
        if name in then and name in now and then[name] != now[name]:
            return f"a training with the {name} {then[name]}"
    return ""


class TrainedCases:
    """The cases that weights were trained on, from the record of their training.

    The record is ``OUTPUT_DIR/run.json``, or for weights that come with a bundle the one in its docs, or one beside the
    folder of the weights that names them.

    Args:
        output_dir: folder of the evaluation, and of the training.
        bundle_root: the bundle's folder.
        ckpt_dir: folder of the weights.
        dataset_dir: the folder that holds dataset.json.
        settings: the checked settings of the evaluation.
        cure: what to do if the weights are not those of the record in ``output_dir``.

    Example::

        TrainedCases("eval", ".", "models", "data", settings).check(cases, "validation")
    """

    def __init__(
        self,
        output_dir: str | Path,
        bundle_root: str | Path,
        ckpt_dir: str | Path,
        dataset_dir: str | Path,
        settings: Mapping[str, Any],
        cure: str = BOTH_OF_ONE_RUN,
    ) -> None:
        self.output_dir = as_path(output_dir)
        self.bundle_root = as_path(bundle_root)
        self.ckpt_dir = as_path(ckpt_dir)
        self.dataset_dir = dataset_dir
        self.settings = settings
        self.cure = cure

    def find(self) -> tuple[Path, dict[str, Any]] | None:
        """The path and the content of the record; None if there is none of these weights.

        Raises:
            ValueError: if it is damaged, or that in ``output_dir`` is of other weights.
        """
        model = self.ckpt_dir / "model.pt"
        for path in filter(Path.is_file, self._places()):
            record = read_record(path)
            if path.parent == self.output_dir:
                check_model(model, path, record, self.cure)
            elif not is_model_of(model, record):
                continue
            if WEIGHTS in record or not other_training(record["settings"], self.settings):
                return path, record
        beside = ((path, read_record(path)) for path in filter(Path.is_file, self._beside_weights()))
        return next((found for found in beside if WEIGHTS in found[1] and is_model_of(model, found[1])), None)

    def check(self, cases: Sequence[Case], section: str) -> None:
        """Refuse to evaluate weights that are not those of the record, cases that they were trained on, and settings
        that they were not trained with. Without a record the log says that it is not known.

        Args:
            cases: that are to be evaluated.
            section: of dataset.json; the cases of "training" are never refused.

        Raises:
            FileNotFoundError: if there are no weights.
            ValueError: if the weights are those of another training, the training was on one of the cases, or had other
                settings; the message says which are right. Also if the dataset has other labels than the bundle.
        """
        found = self._fitting_record()
        check_label_names(self.dataset_dir, self.settings["label_names"], self.settings.get("ignore_label"))
        if section == "training":
            return
        if found is None:
            reason = f"there is no {outputs.RUN_RECORD} of their training in {self.output_dir}"
            logger.info(f"whether these weights were trained on the {section} cases is not known: {reason}")
            return
        path, record = found
        training, validation = (record["cases"][name] for name in ("training", "validation"))
        if isinstance(training, int):
            logger.info(f"whether these weights were trained on the {section} cases is not known: {path} names none")
            return
        if path in self._beside_weights() and record.get(DATASET_DIR) != str(as_path(self.dataset_dir).resolve()):
            logger.info(f"these weights were trained on another dataset, {record.get(DATASET_DIR)}, as {path} says")
            return
        names = case_names(cases, self.dataset_dir)
        # images may share a label; what the training validated was held out
        seen = zip(names, found_in(names, training), found_in(names, validation), strict=True)
        trained = [name for name, in_training, in_validation in seen if in_training and not in_validation]
        if trained:
            raise ValueError(self._refusal(path, record["settings"], section, trained, len(names)))

    def _fitting_record(self) -> tuple[Path, dict[str, Any]] | None:
        model = self.ckpt_dir / "model.pt"
        if not model.is_file():
            own = self.bundle_root / "models"
            raise FileNotFoundError(
                f"there are no weights at {model}: train with this --output_dir first, or name their folder, such as "
                f"--ckpt_dir {own}"
            )
        found = self.find()
        if found is not None:
            self._check_settings(*found)
        return found

    def _check_settings(self, path: Path, record: Mapping[str, Any]) -> None:
        then, now = record["settings"], json.loads(json.dumps(dict(self.settings)))  # turns tuples into lists
        changed = [name for name in OF_THE_MODEL if name in then and name in now and differ(then[name], now[name])]
        if changed:
            differences = "\n".join(f"  {name}: {then[name]!r} in the training, {now[name]!r} here" for name in changed)
            right = " ".join(option(name, then[name]) for name in changed)
            raise ValueError(f"the training in {path} had other settings:\n{differences}\ngive {right}")
        if "roi_size" in then and "roi_size" in now and differ(then["roi_size"], now["roi_size"]):
            logger.info(
                f"roi_size is {now['roi_size']} here, {then['roi_size']} in the training: the figures are those of "
                "windows of another size"
            )

    def _places(self) -> Iterator[Path]:
        yield self.output_dir / outputs.RUN_RECORD
        models, weights = (self.bundle_root / "models").resolve(), self.ckpt_dir.resolve()
        # a training in the bundle's own folder replaces models/model.pt, but not the records in docs
        replaced = weights == models and (self.bundle_root / "eval" / outputs.RUN_RECORD).is_file()
        if weights.is_relative_to(models) and not replaced:
            yield self.bundle_root / "docs" / weights.relative_to(models) / outputs.RECORDS[outputs.RUN_RECORD]

    def _beside_weights(self) -> list[Path]:
        """Records of trainings that had another ``output_dir`` than this evaluation."""
        places = (self.ckpt_dir.parent / folder / outputs.RUN_RECORD for folder in ("", "eval"))
        return [path for path in places if path.parent.resolve() != self.output_dir.resolve()]

    def _refusal(self, path: Path, then: Mapping[str, Any], section: str, trained: Sequence[str], number: int) -> str:
        trained_on = f"{len(trained)} of {number} cases were trained on"
        changed = [name for name in SPLIT if name in then and then[name] != self.settings[name]]
        if section == "validation" and changed:
            here = ", ".join(f"{name} is {self.settings[name]}" for name in changed)
            right = " ".join(f"--{name} {then[name]}" for name in changed)
            validated = f"fold {then.get('fold')} (num_folds {then.get('num_folds')})"
            message = f"{here} here, the training in {path} validated {validated}: {trained_on}; give {right}"
        else:
            message = (
                f"{trained_on}, as {path} says: evaluate {section} cases that it did not train on, or train again\n"
                f"{shortened_list(trained)}"
            )
        if path.parent == self.output_dir:
            message += "\nif these are other cases with the same names, evaluate them into another --output_dir"
        return message


def differ(then: Any, now: Any) -> bool:
    """Whether two values of a setting differ; one number may stand for one per axis."""
    if isinstance(then, list) == isinstance(now, list):
        return then != now
    several, one = (then, now) if isinstance(then, list) else (now, then)
    return any(number != one for number in several)


def _ends(name: str) -> Iterator[str]:
    """A name and what is left of it without its first folders."""
    parts = name.split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))


def _distinct_ends(paths: Sequence[str]) -> list[str]:
    """The ends of paths with as few folders as tell them apart."""
    candidates = (["/".join(path.split("/")[-length:]) for path in paths] for length in count(1))
    return next(ends for ends in candidates if len(set(ends)) == len(set(paths)))
