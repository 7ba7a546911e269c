"""Make a complete bundle for a dataset: measure it, plan by the rules of docs/new_bundle.md, write the files."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from lunet_networks.authoring.bundle_folder import check_bundle_folder, write_bundle
from lunet_networks.authoring.command_line import as_bool
from lunet_networks.authoring.literals import literal
from lunet_networks.authoring.planning.bundle_files import bundle_files, bundle_settings
from lunet_networks.authoring.planning.decisions import Plan, plan_bundle
from lunet_networks.authoring.planning.families import choose_preset
from lunet_networks.authoring.planning.fingerprint import Fingerprint, summarise, write_fingerprint
from lunet_networks.authoring.planning.fingerprint_picture import draw_fingerprint
from lunet_networks.authoring.planning.licences import HOW_TO_NAME, check_licence, names_terms
from lunet_networks.authoring.planning.measuring import check_names, fingerprint_dataset, one_line
from lunet_networks.authoring.planning.texts import authorship
from lunet_networks.authoring.subprocesses import shell

TRAIN = ["python", "-m", "monai.bundle", "run", "training", "--config_file", "configs/train.json"]


def new_bundle(
    family: str,
    dataset_dir: str,
    output_dir: str,
    preset: str | None = None,
    spatial_dims: int | None = None,
    memory_gib: float = 8,
    pixdim: tuple[float, ...] | None = None,
    roi_size: tuple[int, ...] | None = None,
    modality: str | tuple[str, ...] | None = None,
    authors: str | None = None,
    licence: str | None = None,
    overwrite: bool = False,
) -> None:
    """Make a bundle for a dataset; print what was decided, why, and how to change it.

    The measurements are written beside the bundle, as OUTPUT_DIR_fingerprint.json and .png. They name the cases, so
    they are not part of the bundle.

    Args:
        family: an architecture and a size: unet_small, lunet_small, unet_large, lunet_large, unetpp_small,
            lunetpp_small, unetpp_large, lunetpp_large, mednext_small, pspseg_small, pspseg_base, pspseg_large,
            lmsc_unet, lv_unet, unext, malunet, ege_unet.
        dataset_dir: the folder that holds dataset.json; lunet make-datalist writes one.
        output_dir: the bundle's folder, which is made.
        preset: another network of the family, such as lunet_small_2f; lunet list shows them.
        spatial_dims: 2 or 3; without it that of most images.
        memory_gib: memory in GiB that a training may take, cached cases included.
        pixdim: spacing in mm to resample to, such as 1,1,1.
        roi_size: patch in voxels, such as 48,64,48.
        modality: of the channels, such as CT or T1,T2, if dataset.json does not name it or is wrong.
        authors: of the bundle, for its model card and metadata.json.
        licence: of the data, such as CC-BY 4.0, if dataset.json does not name it or is wrong; lunet package needs it.
        overwrite: overwrite the generated files of an existing bundle and its fingerprint; its models and eval stay.
    """
    preset = choose_preset(family, preset)
    target = Path(str(output_dir)).resolve()
    overwrite = as_bool("overwrite", overwrite)
    check_bundle_folder(target, overwrite)
    beside = {kind: target.with_name(f"{target.name}_fingerprint.{kind}") for kind in ("json", "png")}
    for path in beside.values():
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} is there already: name another --output_dir, or give --overwrite True")
    _check_numbers("memory_gib", memory_gib, (int, float))
    fingerprint = _with_modality(fingerprint_dataset(str(dataset_dir), spatial_dims), modality)
    if licence is not None:
        fingerprint = dataclasses.replace(fingerprint, licence=check_licence(licence))
    given = {"pixdim": pixdim, "roi_size": roi_size}
    for name, kinds in (("pixdim", (int, float)), ("roi_size", (int,))):
        if given[name] is not None:
            _check_numbers(name, given[name], kinds, fingerprint.spatial_dims)
    plan = plan_bundle(fingerprint, family, preset, memory_gib, **given)
    settings = bundle_settings(fingerprint, family, preset, plan)
    files = bundle_files({**settings, **authorship(None if authors is None else one_line(authors))})
    write_bundle(target, {path: text.encode() for path, text in files.items()}, overwrite)
    write_fingerprint(fingerprint, beside["json"])
    draw_fingerprint(fingerprint, beside["png"])
    print(_report(fingerprint, plan, target, beside.values(), str(dataset_dir)))


def _check_numbers(name: str, given: object, kinds: tuple[type, ...], count: int | None = None) -> None:
    numbers = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    right = all(isinstance(number, kinds) and not isinstance(number, bool) and number > 0 for number in numbers)
    if not right or (count is not None and len(numbers) != count):
        what = "a number above 0" if count is None else f"{count} numbers above 0, one per axis"
        raise ValueError(f"--{name} takes {what}, not {given!r}")


def _with_modality(fingerprint: Fingerprint, modality: str | tuple[str, ...] | None) -> Fingerprint:
    if modality is None:
        return fingerprint
    names = [modality] * fingerprint.in_channels if isinstance(modality, str) else [str(name) for name in modality]
    if len(names) != fingerprint.in_channels:
        raise ValueError(f"--modality names {len(names)} channels, the images have {fingerprint.in_channels}")
    check_names("--modality", "channel", names)
    return dataclasses.replace(fingerprint, modalities=tuple(names))


def _report(fingerprint: Fingerprint, plan: Plan, target: Path, beside: Iterable[Path], dataset_dir: str) -> str:
    width = max(len(decision.setting) for decision in plan.decisions)
    lines = [
        f"  {decision.setting:{width}}  {decision.value}: {decision.why} ({decision.change})"
        for decision in plan.decisions
    ]
    older = target / "models" / "model.pt"
    notes = [f"{older} is kept: weights of the older bundle"] if older.is_file() else []
    if not names_terms(fingerprint.licence):
        notes.append(f"the licence of the data is not named, so lunet package will refuse the bundle: {HOW_TO_NAME}")
    return "\n".join(
        [
            summarise(fingerprint),
            "",
            "decided, and in brackets how to change it:",
            *lines,
            "",
            f"{target} is a bundle; {' and '.join(map(str, beside))} show the dataset",
            *notes,
            "train it:",
            f"  {shell(['lunet', 'train', str(target), str(Path(dataset_dir).resolve())])}",
            "which stands for",
            f"  {shell(['cd', str(target)])}",
            f"  {shell([*TRAIN, '--dataset_dir', literal(str(Path(dataset_dir).resolve()))])}",
        ]
    )
