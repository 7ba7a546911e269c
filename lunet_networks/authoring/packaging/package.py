"""A trained bundle as one zip in the model zoo's form, which runs where lunet_networks is not installed."""

import copy
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from torch import nn

from lunet_networks.authoring.checking.bundle import INFERENCE, METADATA, TRAIN, Bundle
from lunet_networks.authoring.checking.files import LARGE_FILES
from lunet_networks.authoring.checking.metadata import check_metadata
from lunet_networks.authoring.checking.monai_label_ids import check_ids
from lunet_networks.authoring.checking.verify import find_faults, list_faults
from lunet_networks.authoring.command_line import as_bool
from lunet_networks.authoring.literals import literal_value
from lunet_networks.authoring.packaging.archive import take_large_files, zip_bytes
from lunet_networks.authoring.packaging.configs import choose_packed_preset, packed_configs
from lunet_networks.authoring.packaging.contents import CARD, LICENCE, packed_files
from lunet_networks.authoring.packaging.hub_card import DATA_LICENCE
from lunet_networks.authoring.packaging.packed_record import Records, read_records
from lunet_networks.authoring.planning.families import FAMILIES
from lunet_networks.authoring.planning.licences import NOT_NAMED
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.errors import shortened_list
from lunet_networks.bundle.runtime.files import write_atomically
from lunet_networks.bundle.runtime.outputs import RECORDS
from lunet_networks.bundle.training.records import check_model, is_model_of
from lunet_networks.bundle.training.trained_cases import OF_THE_MODEL
from lunet_networks.bundle.training.weights import load_weights

NEEDED = {
    METADATA: "what the bundle is",
    TRAIN: "its training",
    INFERENCE: "its inference",
    CARD: "the model card",
    LICENCE: "the licence",
    DATA_LICENCE: "the terms of the data that the model was trained on",
}
RELEASE = re.compile(r"\d+\.\d+\.\d+")


def package_bundle(
    bundle: str,
    ckpt_file: str,
    preset: str | None = None,
    output_dir: str = "dist",
    records: str | None = None,
    base_url: str | None = None,
    overwrite: bool = False,
) -> None:
    """Pack a trained bundle as NAME_vVERSION.zip, which runs where lunet_networks is not installed.

    The zip holds configs, model card, licences, the weights as state dict and as TorchScript, and the part of
    lunet_networks that the configs need; it holds no names of cases. It is checked before it is written. A bundle
    whose data name no licence is not packed.

    Args:
        bundle: the bundle's folder.
        ckpt_file: the weights, a state dict such as models/model.pt.
        preset: preset of the weights, where it is another one of the family than the bundle's own.
        output_dir: folder of the zip.
        records: output_dir of the training and evaluation of these weights; their figures go into model card and
            metadata. Without it the records in docs are used, where they are of these weights.
        base_url: address that files larger than 25 MB will be uploaded to; they are written beside the zip.
        overwrite: replace an earlier zip of this version.
    """
    overwrite = as_bool("overwrite", overwrite)
    if base_url is not None and not re.match(r"https?://\S+$", str(base_url)):
        raise ValueError(f"--base_url {base_url}: give an address such as https://host/folder")
    source = Bundle(str(bundle))
    _check_source(source)
    preset = choose_packed_preset(source.configs, None if preset is None else str(preset))
    name = _name(source.root.name, preset)
    release = f"{name}_v{source.metadata['version']}"
    output = Path(str(output_dir))
    _check_output(output, release, overwrite)
    ckpt_file = Path(str(ckpt_file))
    configs = packed_configs(source.configs, preset)
    network = _trained_network(configs[INFERENCE], ckpt_file)
    measured = _records(source, preset, ckpt_file, None if records is None else Path(str(records)))
    files = packed_files(source, configs, preset, network, measured, own_notes=records is None)
    left_out = [file for file in source.files if file not in files and not file.startswith("models/")]
    files, large = take_large_files(files, release, None if base_url is None else str(base_url))
    with tempfile.TemporaryDirectory() as folder:
        _check_packed(Path(folder, name), files, str(bundle))
    archive = output / f"{release}.zip"
    for file, content in {**large, archive.name: zip_bytes(name, files)}.items():
        write_atomically(output / file, content)
    print(_report(archive, large, measured, left_out))


def _check_source(source: Bundle) -> None:
    """Find what prevents packing, before anything is computed; the checks of the packed bundle find everything else."""
    for file, purpose in NEEDED.items():
        if file in source.unreadable:
            raise ValueError(f"{source.root / file} cannot be read ({source.unreadable[file]})")
        if file not in source.files:
            raise FileNotFoundError(f"{source.root} has no {file}: add {purpose}")
    for file in (CARD, LICENCE, DATA_LICENCE):
        if not (source.root / file).read_text(encoding="utf-8").strip():
            raise ValueError(f"{source.root / file} is empty: write {NEEDED[file]}")
    if NOT_NAMED in (source.root / DATA_LICENCE).read_text(encoding="utf-8"):
        raise ValueError(
            f"{source.root / DATA_LICENCE} names no licence of the data, so it is unknown whether the weights may be "
            'passed on: add "licence" to dataset.json and make the bundle again with lunet new-bundle ... --overwrite '
            "True, or with --licence NAME, or write the terms into this file"
        )
    version = str(source.metadata.get("version"))
    if not RELEASE.fullmatch(version):
        raise ValueError(f"{source.root / METADATA}: version is {version!r}: write X.Y.Z, such as 0.1.0")
    faults = [*check_metadata(source), *check_ids(source)]
    if faults:
        raise ValueError(f"{source.root} cannot be packed:\n{list_faults(faults)}")


def _name(bundle: str, preset: str | None) -> str:
    """Name of the packed bundle.

    Example:
        >>> _name("lunet_small", "lunet_small_2f"), _name("my_liver", "lunet_small_2f"), _name("pruned", None)
        ('lunet_small_2f', 'my_liver_lunet_small_2f', 'pruned')
    """
    if preset is None:
        return bundle
    return preset if bundle in FAMILIES else f"{bundle}_{preset}"


def _check_output(output: Path, release: str, overwrite: bool) -> None:
    if output.is_file():
        raise NotADirectoryError(f"{output} is a file: name a folder with --output_dir")
    older = [*output.glob(f"{release}.zip"), *output.glob(f"{release}_*")]
    if older and not overwrite:
        raise FileExistsError(
            f"{older[0]} is there already: replace it with --overwrite True, name another --output_dir, or give the "
            f"bundle a new version in {METADATA}"
        )


def _records(source: Bundle, preset: str | None, ckpt_file: Path, records: Path | None) -> Records | None:
    defaults = {name: literal_value(value) for name, value in source.configs[TRAIN].items() if name in OF_THE_MODEL}
    if records is not None:
        found = read_records(records, preset, defaults)
        cure = "give --records of its run, or --ckpt_file of the model of this one"
        check_model(ckpt_file, records / outputs.RUN_RECORD, found.run, cure)
        if not found.are_of(ckpt_file):
            raise ValueError(f"the evaluation in {records} is one of other weights than {ckpt_file}: evaluate again")
        return found
    for models, docs in (("models", "docs"), (f"models/{preset}", f"docs/{preset}")):
        of_these = ckpt_file.resolve() == source.root / models / "model.pt"
        told = (source.root / docs / RECORDS[outputs.RUN_RECORD]).is_file()
        # a training in the bundle's own folder replaces models/model.pt, but not the records in docs
        if of_these and told and not (source.root / "eval" / outputs.RUN_RECORD).is_file():
            found = read_records(source.root / docs, preset, defaults)
            return found if is_model_of(ckpt_file, found.run) and found.are_of(ckpt_file) else None
    return None


def _trained_network(inference: dict[str, Any], ckpt_file: Path) -> nn.Module:
    network = ConfigParser(copy.deepcopy(inference)).get_parsed_content("network_def")
    load_weights(network, ckpt_file)
    broken = [name for name, tensor in network.state_dict().items() if not tensor.isfinite().all()]
    if broken:
        raise ValueError(f"{ckpt_file}: {broken[0]} has values that are not finite: the training failed, train again")
    return network.eval()


def _check_packed(folder: Path, files: dict[str, bytes], bundle: str) -> None:
    """The checks of ``lunet verify``, with the package that was packed."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    faults = [fault for found in find_faults(folder).values() for fault in found]
    if faults:
        raise ValueError(f"{bundle} is not packed, its checks found {len(faults)} faults:\n{list_faults(faults)}")


def _report(archive: Path, large: Iterable[str], records: Records | None, left_out: list[str]) -> str:
    lines = [f"{archive}: {archive.stat().st_size / 1e6:.2f} MB, all checks passed"]
    if records is None:
        lines.append(
            "without measured metrics: --records OUTPUT_DIR, that of its training and evaluation, would add them"
        )
    if left_out:
        lines.append(f"not packed, because they name cases or do not belong to a bundle:\n{shortened_list(left_out)}")
    lines += [f"upload {archive.with_name(name)} to its address in {LARGE_FILES[0]}" for name in large]
    return "\n".join(lines)
