"""OpenVINO's 8-bit form of a trained network: calibrated on training cases, measured on validation cases."""

import statistics
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ignite.handlers
import numpy as np
import torch
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose
from monai.utils import convert_to_numpy
from torch import nn
from tqdm import tqdm

from lunet_networks.authoring.checking.bundle import TRAIN, Bundle
from lunet_networks.authoring.exporting.trained_network import TrainedNetwork, try_export
from lunet_networks.authoring.literals import literal
from lunet_networks.authoring.staging import write_json
from lunet_networks.bundle.inference.exported import load_exported
from lunet_networks.bundle.inference.formats import EXPORT_FILES, import_silently, on_its_own_thread
from lunet_networks.bundle.runtime.errors import root_cause
from lunet_networks.bundle.runtime.machine import describe_machine
from lunet_networks.bundle.training.trained_cases import SPLIT, TrainedCases

ROUNDS, WARM_UP = 30, 3
RECORD = "model_int8.json"


class BundleData:
    """The data of a bundle's train.json: patches as in training, and the validation cases.

    If there is a record of the training of the weights, the cases are divided, and resampled, as they were then. It is
    the run.json beside the folder of the weights, for the bundle's own weights that in its output_dir.

    Args:
        bundle: has configs/train.json.
        dataset_dir: instead of that in train.json.
        ckpt_dir: folder of the weights; None: the bundle's models.

    Raises:
        FileNotFoundError, ValueError: if the config or the dataset does not exist, or the weights were trained on
            validation cases.
    """

    def __init__(self, bundle: Bundle, dataset_dir: str | None, ckpt_dir: Path | None = None) -> None:
        if TRAIN not in bundle.runnable:
            raise FileNotFoundError(
                f"{bundle.root / TRAIN} is not there or cannot be read, and int8 needs it for its data"
            )
        self._parser = bundle.parser(TRAIN)
        self._parser.update({"bundle_root": literal(str(bundle.root)), "device": "cpu"})
        if dataset_dir is not None:
            self._parser["dataset_dir"] = literal(dataset_dir)
        ckpt_dir = bundle.root / "models" if ckpt_dir is None else ckpt_dir
        found = self._trained_cases(bundle, ckpt_dir).find()
        if found is not None:
            then = found[1]["settings"]
            self._parser.update({name: then[name] for name in (*SPLIT, "pixdim") if name in then})
        self.label_names: list[str] = self._parsed("label_names")
        self.training: list[dict[str, Any]] = self._parsed("train#dataset#data")
        self.validation: list[dict[str, Any]] = self._parsed("validate#dataset#data")
        self._trained_cases(bundle, ckpt_dir).check(self.validation, "validation")

    def _trained_cases(self, bundle: Bundle, ckpt_dir: Path) -> TrainedCases:
        places = {name: self._parsed(name) for name in ("output_dir", "dataset_dir", "settings")}
        if ckpt_dir.resolve() != bundle.root / "models":
            places["output_dir"] = ckpt_dir.parent
        cure = "give --ckpt_dir of the model of this one"
        return TrainedCases(bundle_root=bundle.root, ckpt_dir=ckpt_dir, cure=cure, **places)

    def patches(self, num_samples: int) -> list[np.ndarray]:
        """Arrays ``(1, C, [D,] H, W)`` of roi_size, cut from training cases in turn, without augmentation."""
        transforms = self._parsed("train#deterministic_transforms") + self._parsed("train#crop_transforms")
        transform = Compose(transforms).set_random_state(seed=0)
        cases = [self.training[number % len(self.training)] for number in range(num_samples)]
        shown = tqdm(cases, desc="reading", unit="patch", leave=False, disable=None)
        return [convert_to_numpy(transform(case)[0]["image"])[None] for case in shown]

    def dice(self, network: nn.Module, shown_as: str) -> dict[str, float]:
        """Mean over the validation cases, as the training computes it to choose its best epoch, for every label that
        occurs in one of them."""
        ((name, metric),) = self._parsed("validate#key_metric").items()
        evaluator = SupervisedEvaluator(
            device="cpu",
            val_data_loader=self._parsed("validate#dataloader"),
            network=network,
            inferer=self._parsed("validate#inferer"),
            postprocessing=self._parsed("validate#postprocessing"),
            key_val_metric={name: metric},
            val_handlers=[ignite.handlers.ProgressBar(desc=shown_as, persist=False, disable=None)],
        )
        evaluator.run()
        state = evaluator.state
        by_label = zip(self.label_names, state.held_labels, state.metric_details[name].T, strict=True)
        return {label: float(dice.nanmean()) for label, held, dice in by_label if held}

    def _parsed(self, name: str) -> Any:
        try:
            return self._parser.get_parsed_content(name)
        except Exception as error:  # MONAI wraps whatever a config raises
            raise ValueError(str(root_cause(error))) from error


def quantise(
    trained: TrainedNetwork, data: BundleData, exact: Path, folder: Path, num_samples: int, max_dice_loss: float
) -> None:
    """Write the 8-bit form, and its Dice and speed as model_int8.json and on the screen.

    Args:
        trained: the network.
        data: of the bundle.
        exact: folder of the float32 form.
        folder: to write to.
        num_samples: patches that calibrate.
        max_dice_loss: how much the Dice of a label may fall.

    Raises:
        ValueError: if a label lost more, or no validation case has a label.
    """
    paths = {"float32": exact / EXPORT_FILES["openvino"], "int8": folder / EXPORT_FILES["openvino_int8"]}
    _calibrate(*paths.values(), data.patches(num_samples))
    try_export(trained, paths["int8"], "openvino_int8")
    networks = {name: load_exported(path, "openvino") for name, path in paths.items()}
    dice = {name: data.dice(network, f"Dice {name}") for name, network in networks.items()}
    patch = torch.from_numpy(data.patches(1)[0])
    record = {
        "dice": dice,
        "validation_cases": len(data.validation),
        "latency_ms": latencies(networks, patch),
        "input_shape": list(patch.shape),
        "threads": torch.get_num_threads(),
        "graph_bytes": {name: path.stat().st_size for name, path in paths.items()},
        "weights_bytes": {name: path.with_suffix(".bin").stat().st_size for name, path in paths.items()},
        "num_samples": num_samples,
        "machine": describe_machine(),
        "versions": {name: version(name) for name in ("torch", "monai", "openvino", "nncf")},
    }
    print(_report(record))
    check_losses(dice, max_dice_loss)
    write_json(folder / RECORD, record)


def check_losses(dice: Mapping[str, Mapping[str, float]], max_dice_loss: float) -> None:
    """Refuse an 8-bit form that labels worse.

    Args:
        dice: of each label, in float32 and in int8.
        max_dice_loss: how much that of a label may fall.

    Raises:
        ValueError: if a label lost more, or there is none.

    Example:
        >>> check_losses({"float32": {"liver": 0.95}, "int8": {"liver": 0.9}}, max_dice_loss=0.1)
    """
    losses = {label: before - dice["int8"][label] for label, before in dice["float32"].items()}
    if not losses:
        raise ValueError("no validation case has a label, so the loss of int8 cannot be measured: it is not written")
    too_much = {label: loss for label, loss in losses.items() if not loss <= max_dice_loss}  # or is not finite
    if too_much:
        worst = max(too_much, key=too_much.get)
        raise ValueError(
            f"int8 loses {too_much[worst]:.4f} of the Dice of {worst}, more than --max_dice_loss {max_dice_loss}: "
            "it is not written"
        )


def _calibrate(exact_path: Path, path: Path, patches: Sequence[np.ndarray]) -> None:
    openvino, nncf = import_silently("openvino"), import_silently("nncf")
    model = openvino.Core().read_model(exact_path)
    quantised = on_its_own_thread(nncf.quantize, model, nncf.Dataset(patches), subset_size=len(patches))
    openvino.save_model(quantised, path, compress_to_fp16=False)


def latencies(networks: Mapping[str, nn.Module], patch: torch.Tensor) -> dict[str, float]:
    """Median milliseconds for a patch. The networks take turns, so that other load on the machine slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(WARM_UP + ROUNDS):
        for name, network in networks.items():
            start = time.perf_counter()
            with torch.no_grad():
                network(patch)
            seconds[name].append(time.perf_counter() - start)
    return {name: round(1e3 * statistics.median(times[WARM_UP:]), 2) for name, times in seconds.items()}


def _report(record: Mapping[str, Any]) -> str:
    shape, cases = " x ".join(map(str, record["input_shape"])), record["validation_cases"]
    rows = [
        *((f"Dice of {label}, {cases} cases", _both(record["dice"], label), ".4f") for label in record["dice"]["int8"]),
        (f"ms for {shape}", record["latency_ms"], ".1f"),
        ("kB of the weights", {name: size / 1e3 for name, size in record["weights_bytes"].items()}, ".0f"),
        ("kB of the graph", {name: size / 1e3 for name, size in record["graph_bytes"].items()}, ".0f"),
    ]
    lines = [("", record["dice"], "")] + [(title, values.values(), form) for title, values, form in rows]
    return "\n".join(f"{title:36}" + "".join(f"{value:>9{form}}" for value in values) for title, values, form in lines)


def _both(dice: Mapping[str, Mapping[str, float]], label: str) -> dict[str, float]:
    return {name: of_label[label] for name, of_label in dice.items()}
