"""Write dataset.json for a folder of images and labels that has none."""

import json
import shutil
from pathlib import Path
from typing import Any

from lunet_networks.authoring.command_line import as_bool
from lunet_networks.authoring.planning.licences import HOW_TO_NAME, check_licence
from lunet_networks.authoring.planning.pairing import find_cases
from lunet_networks.authoring.staging import write_json
from lunet_networks.authoring.subprocesses import shell
from lunet_networks.bundle.data.checks import DataFacts, check_data
from lunet_networks.bundle.data.datalist import BY_A_COMMAND, read_dataset_json
from lunet_networks.bundle.data.nnunet_dataset import is_nnunet
from lunet_networks.bundle.data.picture_files import is_picture
from lunet_networks.bundle.runtime.files import next_numbered

WRITTEN_BY, OURS = "written_by", "lunet make-datalist"


def make_datalist(
    dataset_dir: str,
    label_names: str | tuple[str, ...] = (),
    modality: str | tuple[str, ...] = "unknown",
    licence: str | None = None,
    overwrite: bool = False,
) -> None:
    """Pair the images and labels of a folder by their names, check every file, and write dataset.json.

    Known layouts, each of NIfTI (.nii, .nii.gz) or NRRD (.nrrd) files or pictures (.png, .jpg, .tif): imagesTr/ID with
    labelsTr/ID (an image may have a file per channel, ID_0000, ID_0001 ...), imagesTs and labelsTs beside them become
    the test cases; images/ID with masks/ID; ct_ID with label_ID in the folder itself, or in its train (train_dir) and
    val (val_dir) folders; val becomes the validation set. Masks that are pictures hold 0 and 255, or 0 and 1; if
    several labels are named, 0, 1, 2 ...

    The dataset.json of nnU-Net is read as it is by every command, and never replaced.

    Args:
        dataset_dir: the folder.
        label_names: names of the label values 1, 2 ..., such as anterior,posterior; without it label_1, label_2 ...
        modality: of the images, such as MRI or CT; or of each channel, such as T1,T2.
        licence: of the data, such as CC-BY 4.0; lunet package needs it to say what covers the weights.
        overwrite: replace an existing dataset.json; one that this command has not written is kept as
            dataset_before_1.json, dataset_before_2.json ...
    """
    folder = Path(str(dataset_dir))
    path = folder / "dataset.json"
    existing = _content(path)
    if is_nnunet(existing):
        print(_of_nnunet(folder))
        return
    if path.exists() and not as_bool("overwrite", overwrite):
        raise FileExistsError(f"{path} already exists: replace it with --overwrite True")
    sections = find_cases(folder)
    labelled = [case for cases in sections.values() for case in cases if "label" in case]
    given = _names(label_names)
    masks = all(is_picture(case["label"]) for case in labelled)
    facts = check_data(
        [_absolute(case, folder) for case in labelled],
        label_values=range(max(2, len(given) + 1)) if masks or given else None,
    )
    names = given or _numbered_labels(facts.label_values)
    modalities = _modality(_names(modality), facts.in_channels)
    if path.exists() and not _is_ours(existing):
        kept = next_numbered(folder / "dataset_before_*.json")
        shutil.copy2(path, kept)
        print(f"{kept} is a copy of the dataset.json that was here")
    write_json(
        path,
        {
            "name": folder.resolve().name,
            **({} if licence is None else {"licence": check_licence(licence)}),
            WRITTEN_BY: OURS,
            "tensorImageSize": f"{len(facts.shapes[0])}D",
            "modality": modalities,
            "labels": {str(value): name for value, name in enumerate(["background", *names])},
            "numTraining": len(sections["training"]),
            "numTest": len(sections.get("test", [])),
            **sections,
        },
    )
    print(f"{path}: {', '.join(f'{len(cases)} {section}' for section, cases in sections.items())} cases")
    print(_summary(facts))
    if licence is None:
        print(f"the licence of the data is not named, which lunet package needs: {HOW_TO_NAME}")
    print(_next(folder))


def _content(path: Path) -> Any:
    """What a file holds, if it is JSON."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder: rename it")
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None


def _is_ours(content: Any) -> bool:
    return isinstance(content, dict) and (content.get(WRITTEN_BY) == OURS or content.get("description") in BY_A_COMMAND)


def _of_nnunet(folder: Path) -> str:
    description = read_dataset_json(folder)
    return (
        f"{folder / 'dataset.json'} is nnU-Net's: it is read as it is, and not replaced "
        f"({len(description['training'])} training, {len(description['test'])} test cases)\n{_next(folder)}"
    )


def _next(folder: Path) -> str:
    command = ["lunet", "new-bundle", "lunet_small", "--dataset_dir", str(folder), "--output_dir", "my_bundle"]
    return f"next, make a bundle for it:\n  {shell(command)}"


def _absolute(case: dict, folder: Path) -> dict:
    def absolute(path: str | list[str]) -> str | list[str]:
        return [absolute(channel) for channel in path] if isinstance(path, list) else str(folder / path)

    return {key: absolute(path) for key, path in case.items()}


def _names(given: str | tuple[str, ...]) -> list[str]:
    return [str(name) for name in ([given] if isinstance(given, str) else given)]


def _numbered_labels(values: tuple[int, ...]) -> list[str]:
    """Names of the label values 1, 2 ... without gaps, because the network has one output for each."""
    if len(values) < 2 or max(values) != len(values) - 1:
        raise ValueError(
            f"the labels hold the values {', '.join(map(str, values))}, but they have to be 0 for the background and "
            "1, 2 ... without gaps; a value that no case holds needs a name in --label_names"
        )
    return [f"label_{value}" for value in values[1:]]


def _modality(given: list[str], in_channels: int) -> dict[str, str]:
    if len(given) == 1:
        given = given * in_channels
    if len(given) != in_channels:
        raise ValueError(f"--modality names {len(given)} channels, the images have {in_channels}")
    return {str(channel): name for channel, name in enumerate(given)}


def _summary(facts: DataFacts) -> str:
    def span(rows: tuple[tuple[float, ...], ...]) -> str:
        least, most = (" x ".join(f"{pick(column):g}" for column in zip(*rows, strict=True)) for pick in (min, max))
        return least if least == most else f"{least} to {most}"

    return (
        f"channels {facts.in_channels}, label values {', '.join(map(str, facts.label_values))}\n"
        f"shapes {span(facts.shapes)} voxels, spacing {span(facts.spacings)} mm"
    )
