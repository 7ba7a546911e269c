"""Which label map belongs to which truth: two folders, paired by the names of their files."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lunet_networks.bundle.data.case_files import files_by_name
from lunet_networks.bundle.runtime.errors import shortened_list

# What programs put behind the name of a case; several may follow each other.
SUFFIX = re.compile(
    r"[_.-](?:seg|segmentation|pred|prediction|predicted|label|labels|labelmap|mask|gt|truth|ground_?truth)$", re.I
)


@dataclass(frozen=True)
class Pairs:
    """Label maps and their truth.

    Args:
        files: the label map and the truth, by the name of the truth.
        missing: names of truths without a label map.
        extra: names of label maps without a truth.
    """

    files: Mapping[str, tuple[Path, Path]]
    missing: list[str]
    extra: list[str]


def find_pairs(labels: Path, truth: Path) -> Pairs:
    """Pair the files of two folders by name. Names may differ by suffixes such as ``_seg`` or ``_pred``, as long as
    there is no doubt.

    Raises:
        NotADirectoryError: if one of them is not a folder.
        ValueError: if a folder has no label maps, files cannot be told apart, or none belongs to another.
    """
    found, true = _files(labels), _files(truth)
    of_case = {name: [name] for name in true if name in found}
    others: dict[str, list[str]] = defaultdict(list)
    for name in found:
        others[_bare(name)].append(name)
    cases: dict[str, list[str]] = defaultdict(list)
    for name in true:
        cases[_bare(name)].append(name)
    doubts = []
    for bare, names in cases.items():
        candidates = [name for name in others[bare] if name not in of_case]
        left = [name for name in names if name not in of_case]
        if candidates and (len(candidates) > 1 or len(left) != 1):
            # with one truth and a file of its very name, another file may be the one that is meant
            paths = [*(found[name] for name in others[bare])]
            doubts.append(f"{', '.join(map(str, paths))} may belong to {', '.join(str(true[name]) for name in names)}")
        elif candidates:
            of_case[left[0]] = candidates
    if doubts:
        raise ValueError(f"it is not clear which label maps are meant, keep one of each:\n{shortened_list(doubts)}")
    if not of_case:
        raise ValueError(
            f"no label map in {labels} has the name of one in {truth}: there are {next(iter(found.values())).name} and "
            f"{next(iter(true.values())).name}, for example"
        )
    files = {name: (found[of_case[name][0]], true[name]) for name in true if name in of_case}
    paired = {names[0] for names in of_case.values()}
    return Pairs(files, [name for name in true if name not in files], [name for name in found if name not in paired])


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder: name a folder of label maps")
    files, faults = files_by_name(folder, ".")
    if faults:
        raise ValueError(f"{folder} has files that cannot be told apart:\n{shortened_list(faults)}")
    if not files:
        inside = [str(path) for path in sorted(folder.glob("labels*")) if path.is_dir()]
        hint = f"; do you mean {' or '.join(inside)}?" if inside else ""
        raise ValueError(f"{folder} holds no label map (NIfTI, NRRD, PNG or TIFF){hint}")
    return {name: folder / path for name, path in files.items()}


def _bare(name: str) -> str:
    """A name without suffixes.

    Example:
        >>> _bare("case_1_pred"), _bare("liver-seg_mask"), _bare("seg")
        ('case_1', 'liver', 'seg')
    """
    while shorter := SUFFIX.sub("", name):
        if shorter == name:
            break
        name = shorter
    return name
