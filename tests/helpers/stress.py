"""``python -m tests.helpers.stress FOLDER``: label damaged images, and make bundles of datasets that hold one.

Every file is given to a process of its own, which is forked from this one. It has to end within a time and with a
memory that are limited, with the right answer or with one error that names the file. The right answer is that for what
plain readers read in the file: see ``plain_copy``.
"""

import contextlib
import gc
import io
import json
import math
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import nibabel as nib
import nrrd
import numpy as np
import torch
from PIL import Image

from lunet_networks.authoring.planning.fingerprint import write_fingerprint
from lunet_networks.authoring.planning.make_datalist import make_datalist
from lunet_networks.authoring.planning.measuring import fingerprint_dataset
from lunet_networks.authoring.planning.new_bundle import new_bundle
from lunet_networks.bundle.runtime.errors import root_cause
from tests.helpers.damage import (
    FORMATS,
    KINDS,
    Format,
    damaged,
    damaged_json,
    foreign_contents,
    make_voxels,
    plain_copy,
    write_image,
)
from tests.helpers.runnable import THRESHOLD_NETWORK, THRESHOLD_WEIGHTS, RunnableBundle

FILES = 500
SECONDS = 60  # in which a process has to end; a fraction of a second is usual
MEBIBYTES = 2048
CAP = 8 * 2**30  # bytes that a process can get, so that a fault does not take the whole machine
CYCLE = [KINDS[number] for number in (0, 1, 0, 2, 3, 0, 1, 4, 0, 2, 3, 0, 1, 4, 0, 2, 3, 1, 4, 5)]
JSON = "dataset.json"
LABELS = {"0": "background", "1": "block", "2": "core"}


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Args:
        number: of the file, from which its damage follows.
        kind: of damage.
        form: format of the file.
        task: "inference" or "new-bundle".
        answer: "right", "refused", or what is wrong.
        seconds: that the process took.
        mebibytes: its peak memory.
    """

    number: int
    kind: str
    form: str
    task: str
    answer: str
    seconds: float
    mebibytes: float

    @property
    def is_fault(self) -> bool:
        return self.answer not in ("right", "refused")


def stress(folder: Path, files: int = FILES, seed: int = 0) -> list[Outcome]:
    """Damage files and give each of them to an inference and to ``lunet new-bundle``.

    Args:
        folder: where everything is written; it must not exist.
        files: number of damaged files. One of ten is a dataset.json, which only new-bundle takes.
        seed: of the damage. A file depends on the seed and its number only.
    """
    torch.set_num_threads(1)  # a process with threads is not to be forked
    folder = folder.resolve()
    stage = _Stage(folder)
    gc.freeze()  # otherwise every process copies the memory in which its collector marks objects
    outcomes = [outcome for form in FORMATS for outcome in stage.try_whole(form)]
    for number in range(files):
        random = np.random.default_rng([seed, number])
        if number % 10 == 9:
            outcomes.append(stage.try_json(number, FORMATS[number // 10 % len(FORMATS)], random))
        else:
            image = number - number // 10
            form, round_number = FORMATS[image % len(FORMATS)], image // len(FORMATS)
            kind = CYCLE[round_number % len(CYCLE)]
            if kind == "bits of voxels" and form.packed:
                kind = "bits of a stream"
            elif kind == "bits of a stream" and not form.packed:
                kind = "bits of voxels"
            is_label = round_number % 3 == 2 and form.ending != ".jpg"  # a JPG alters the values of labels
            outcomes += stage.try_image(number, kind, form, is_label, random)
    return outcomes


def figures(outcomes: list[Outcome]) -> str:
    """A table of the outcomes by kind of damage and task."""
    lines = [
        "| damage | task | files | right | refused | wrong | longest, s | peak, MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, task in sorted({(outcome.kind, outcome.task) for outcome in outcomes}):
        some = [outcome for outcome in outcomes if (outcome.kind, outcome.task) == (kind, task)]
        right, refused = (sum(outcome.answer == answer for outcome in some) for answer in ("right", "refused"))
        longest, peak = max(outcome.seconds for outcome in some), max(outcome.mebibytes for outcome in some)
        wrong = len(some) - right - refused
        lines.append(f"| {kind} | {task} | {len(some)} | {right} | {refused} | {wrong} | {longest:.1f} | {peak:.0f} |")
    return "\n".join(lines)


class _Stage:
    """Bundles and datasets of undamaged files, and the attempts on a file among them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.foreign = foreign_contents(folder / "foreign")
        self.workflows = {dims: _labelling(folder / f"bundle_{dims}d", dims) for dims in (2, 3)}
        for form in FORMATS:
            _write_dataset(self._dataset(form), form)
        # Once here, so that the processes find what it imports and caches.
        shutil.copytree(self._dataset(FORMATS[0]), folder / "first" / "dataset")
        with contextlib.redirect_stdout(io.StringIO()):
            _make_bundle(folder / "first", from_files=False)

    def try_whole(self, form: Format) -> list[Outcome]:
        """The undamaged file: it has to be right, and its label map is known."""
        path = self._case(f"whole {form}", form)
        write_image(path, make_voxels(form, False, np.random.default_rng(1)), form)
        found = self._infer(0, "none", form, path)
        if not found.is_fault:
            found = _replaced(found, _wrong_labels(path, _above_one_deviation(path, form)) or found.answer)
        both = [found, self._new_bundle(0, "none", form, path, is_label=False, from_files=True)]
        return [_replaced(one, "an undamaged file is refused") if one.answer == "refused" else one for one in both]

    def try_image(
        self, number: int, kind: str, form: Format, is_label: bool, random: np.random.Generator
    ) -> list[Outcome]:
        """A damaged image or label as the image of an inference and as a file of a dataset."""
        path = self._case(f"{number:04d}", form)
        write_image(path, make_voxels(form, is_label, random), form)
        path.write_bytes(damaged(kind, path.read_bytes(), form, self.foreign, random))
        return [
            self._infer(number, kind, form, path),
            self._new_bundle(number, kind, form, path, is_label, from_files=number % 2 == 0),
        ]

    def try_json(self, number: int, form: Format, random: np.random.Generator) -> Outcome:
        """A dataset with a damaged dataset.json."""
        case = self.folder / f"{number:04d}"
        path = shutil.copytree(self._dataset(form), case / "dataset") / JSON
        path.write_bytes(damaged_json(path.read_text(), random))
        ended = _in_process(partial(_make_bundle, case, from_files=False), case / "new_bundle", f"{case / 'dataset'}")
        wrong = ended.fault or (None if ended.refused else _wrong_names(case / "bundle", path))
        return self._outcome(number, JSON, form, "new-bundle", ended, wrong or _left_over(case, ended))

    def _infer(self, number: int, kind: str, form: Format, path: Path) -> Outcome:
        """Label a folder with the file and one that is not damaged."""
        whole = Format(".nii.gz", form.dims, packed=True)
        write_image(path.with_name("whole.nii.gz"), make_voxels(whole, False, np.random.default_rng(2)), whole)
        case, workflow = path.parents[1], self.workflows[form.dims]
        ended = _in_process(partial(_label, workflow, case), case / "inference", path.name)
        wrong = ended.fault or _wrong_labels(
            path.with_name("whole.nii.gz"), _above_one_deviation(path.with_name("whole.nii.gz"), whole)
        )
        expected = {"whole_seg.nii.gz"}
        if not wrong and not ended.refused:
            wrong = self._wrong_label_map(path, form)
            expected.add(_label_map(path).name)
        written = {each.name for each in (case / "labels").glob("[!.]*_seg.*")}
        wrong = wrong or (None if written == expected else f"the label maps are {sorted(written)}")
        return self._outcome(number, kind, form, "inference", ended, wrong)

    def _wrong_label_map(self, path: Path, form: Format) -> str | None:
        """Compare a label map with that of a plain copy of the image."""
        case = path.parents[1] / "plain"

        def label_copy() -> None:
            plain_copy(path, case / "images")
            _label(self.workflows[form.dims], case)

        ended = _in_process(label_copy, path.parents[1] / "plain_inference", "damaged")
        if ended.fault or ended.refused:
            return f"labelled, but plain readers or checks of a plain copy refuse it: {ended.error}"
        found, right = (_read_labels(_label_map(image)) for image in (path, *(case / "images").iterdir()))
        return _difference(found, right)

    def _new_bundle(
        self, number: int, kind: str, form: Format, path: Path, is_label: bool, from_files: bool
    ) -> Outcome:
        """Make a bundle of a dataset in which one file is damaged, with its dataset.json or after make-datalist."""
        case = path.parents[1] / "with_dataset"
        place = Path("labelsTr" if is_label else "imagesTr", path.name)
        shutil.copytree(self._dataset(form), case / "dataset")
        shutil.copy(path, case / "dataset" / place)
        if from_files:
            (case / "dataset" / JSON).unlink()
        # the image of the case or its label map: if they do not fit together, either may be named
        ended = _in_process(partial(_make_bundle, case, from_files), case / "new_bundle", "/damaged.")
        wrong = ended.fault or (None if ended.refused else _wrong_fingerprint(case, place))
        return self._outcome(number, kind, form, "new-bundle", ended, wrong or _left_over(case, ended))

    def _dataset(self, form: Format) -> Path:
        return self.folder / "datasets" / str(form).replace(" ", "_")

    def _case(self, name: str, form: Format) -> Path:
        return self.folder / name.replace(" ", "_") / "images" / f"damaged{form.ending}"

    def _outcome(self, number: int, kind: str, form: Format, task: str, ended: "_Ended", wrong: str | None) -> Outcome:
        answer = wrong or ("refused" if ended.refused else "right")
        return Outcome(number, kind, str(form), task, answer, ended.seconds, ended.mebibytes)


def _labelling(root: Path, dims: int) -> Any:
    """An inference of images in the working directory. Voxels above one standard deviation become label 1, so that
    every change of voxels shows."""
    flat = {} if dims == 3 else {"roi_size": [32, 32], "pixdim": [1.0, 1.0], "mirrored_axes": [0, 1]}
    bundle = RunnableBundle(root, label_names=["block", "core"], **flat)
    weight = THRESHOLD_WEIGHTS["weight"].view(3, *[1] * (dims + 1))
    torch.save({**THRESHOLD_WEIGHTS, "weight": weight}, bundle.model)
    network = {**THRESHOLD_NETWORK, "_target_": f"torch.nn.Conv{dims}d"}
    places = {"dataset_dir": "images", "output_dir": "labels"}
    workflow = bundle.workflow("inference", network_def=network, **places)
    for part in ("network", "preprocessing", "inferer", "postprocessing"):  # once for all processes
        workflow.parser.get_parsed_content(part)
    return workflow


def _label(workflow: Any, case: Path) -> None:
    os.chdir(case)
    workflow.run()


def _make_bundle(case: Path, from_files: bool) -> None:
    if from_files:
        make_datalist(str(case / "dataset"), label_names=("block", "core"), modality="MRI")
    new_bundle("lunet_small", str(case / "dataset"), str(case / "bundle"), preset="lunet_small_1f")


def _write_dataset(folder: Path, form: Format) -> None:
    """Three cases, the last one of which gives its place to the damaged file."""
    random = np.random.default_rng(3)
    cases = [
        {"image": f"./imagesTr/{name}{form.ending}", "label": f"./labelsTr/{name}{_label_ending(form)}"}
        for name in ("a", "b", "damaged")
    ]
    for case in cases:
        write_image(folder / case["image"], make_voxels(form, False, random), form)
        label = Format(_label_ending(form), form.dims, form.packed)
        write_image(folder / case["label"], make_voxels(label, True, random), label)
    description = {"name": "Blocks", "description": "blocks of noise", "licence": "CC0-1.0", "modality": {"0": "MRI"}}
    (folder / JSON).write_text(json.dumps({**description, "labels": LABELS, "training": cases, "test": []}, indent=1))


def _label_ending(form: Format) -> str:
    return ".png" if form.ending == ".jpg" else form.ending


@dataclass(frozen=True)
class _Ended:
    """How a process ended: an empty ``error`` if it did what it had to, ``fault`` if it did not end as it may."""

    error: str
    fault: str | None
    seconds: float
    mebibytes: float

    @property
    def refused(self) -> bool:
        return bool(self.error) and self.fault is None


def _in_process(action: Callable[[], None], at: Path, names: str) -> _Ended:
    """Run an action in a process of its own, whose output and end are written beside ``at``.

    An error may be an exit with a message, a ValueError or an OSError, and it has to contain ``names``.
    """
    at.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    process = os.fork()
    if process == 0:
        _run_and_exit(action, at)
    _, status, usage = os.wait4(process, 0)
    seconds, mebibytes = time.perf_counter() - began, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        error = fault = f"more than {SECONDS} s" if number == signal.SIGALRM else signal.Signals(number).name
    else:
        error, may_be_raised = json.loads(at.with_suffix(".json").read_text())
        named = may_be_raised and names in error
        fault = None if not error or named else f"{'unnamed file' if may_be_raised else 'unexpected error'}: {error}"
    if fault is None and mebibytes > MEBIBYTES:
        fault = f"{mebibytes:.0f} MiB"
    return _Ended(error, fault, seconds, mebibytes)


def _run_and_exit(action: Callable[[], None], at: Path) -> NoReturn:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, also within a library
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_DATA, (CAP, CAP))
    with open(at.with_suffix(".log"), "w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.stdout = sys.stderr = log
        error, may_be_raised = "", True
        try:
            action()
        except BaseException as caught:
            traceback.print_exc()
            cause = root_cause(caught)
            exits = isinstance(cause, SystemExit) and isinstance(cause.code, str)
            may_be_raised = exits or isinstance(cause, (ValueError, OSError))
            error = f"{type(cause).__name__}: {cause}"
        at.with_suffix(".json").write_text(json.dumps([error, may_be_raised]))
    os._exit(0)


def _above_one_deviation(path: Path, form: Format) -> np.ndarray:
    """The label map of an undamaged file."""
    if form.is_picture:
        voxels = np.asarray(Image.open(path)).T
    elif form.ending == ".nrrd":
        voxels = nrrd.read(str(path))[0]
    else:
        voxels = nib.load(path).get_fdata()
    return voxels > voxels.mean() + voxels.std()


def _label_map(image: Path) -> Path:
    name, _, ending = image.name.partition(".")
    is_picture = f".{ending}" in (".png", ".jpg", ".tif")
    return image.parents[1] / "labels" / f"{name}_seg{'.png' if is_picture else '.nii.gz'}"


def _read_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Label map and affine."""
    if path.suffix == ".png":
        return np.asarray(Image.open(path)).T, np.eye(4)
    image = nib.load(path)
    return np.asarray(image.dataobj), image.affine


def _wrong_labels(image: Path, right: np.ndarray) -> str | None:
    """Whether the label map of an undamaged image differs from the right one, or lies elsewhere."""
    path = _label_map(image)
    if not path.is_file():
        return f"{path.name} is missing"
    geometry = nib.load(image).affine if image.name.endswith((".nii", ".nii.gz")) else None
    labels, affine = _read_labels(path)
    return _difference((labels, affine), (right.astype(np.uint8), affine if geometry is None else geometry))


def _difference(found: tuple[np.ndarray, np.ndarray], right: tuple[np.ndarray, np.ndarray]) -> str | None:
    """What differs between two label maps with their affines. Where a damaged affine makes the image be resampled, the
    last digits of the affine may move single voxels."""
    if found[0].shape != right[0].shape:
        return f"the label map has the shape {found[0].shape}, it has to be {right[0].shape}"
    if not np.allclose(found[1], right[1], rtol=1e-5, atol=1e-4 * np.abs(right[1]).max()):
        return f"the label map has the affine {found[1].tolist()}, it has to be {right[1].tolist()}"
    wrong = np.count_nonzero(found[0] != right[0])
    may_differ = 0 if np.allclose(np.abs(right[1][:3, :3]), np.eye(3)) else 0.01 * right[0].size
    return f"{wrong} of {right[0].size} voxels are wrong" if wrong > may_differ else None


def _wrong_fingerprint(case: Path, place: Path) -> str | None:
    """Compare the fingerprint of a bundle with that of the same dataset with a plain copy of the damaged file."""
    plain = shutil.copytree(case / "dataset", case / "plain")

    def measure() -> None:
        (plain / place).unlink()
        copy = plain_copy(case / "dataset" / place, plain / place.parent)
        text = (plain / JSON).read_text()
        (plain / JSON).write_text(text.replace(place.as_posix(), copy.relative_to(plain).as_posix()))
        write_fingerprint(fingerprint_dataset(plain), case / "plain.json")

    ended = _in_process(measure, case / "plain_fingerprint", "damaged")
    if ended.error:
        return f"measured, but plain readers or checks of a plain copy refuse it: {ended.error}"
    found, right = (json.loads((case / name).read_text()) for name in ("bundle_fingerprint.json", "plain.json"))
    names = [name for name in right if name != "name" and not _alike(found[name], right[name])]
    return f"the fingerprint has other {', '.join(names)}" if names else None


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6)
    return one == other


def _wrong_names(bundle: Path, path: Path) -> str | None:
    """Compare the labels of a bundle with those of the dataset.json that was read."""
    labels = json.loads(path.read_bytes())["labels"]
    by_value = labels if all(isinstance(name, str) for name in labels.values()) else {v: k for k, v in labels.items()}
    right = [by_value[value] for value in sorted(by_value, key=int)][1:]
    found = json.loads((bundle / "configs" / "inference.json").read_text())["label_names"]
    return None if found == right else f"the labels are {found}, they have to be {right}"


def _left_over(case: Path, ended: _Ended) -> str | None:
    """What a refusal has left of a bundle; otherwise a file of a bundle that is not whole."""
    written = sorted(path for path in case.glob("bundle*"))
    if ended.refused:
        return f"refused, but {', '.join(path.name for path in written)} is there" if written else None
    for path in (case / "bundle" / "configs").glob("*.json"):
        json.loads(path.read_text())
    return None


def _replaced(outcome: Outcome, answer: str) -> Outcome:
    return Outcome(**{**outcome.__dict__, "answer": answer})


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    found = stress(folder)
    print(figures(found))
    for outcome in found:
        if outcome.is_fault:
            print(f"{outcome.number:04d} {outcome.form}, {outcome.kind}, {outcome.task}: {outcome.answer}")
    sys.exit(any(outcome.is_fault for outcome in found))
