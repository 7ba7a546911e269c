"""The command line of ``python -m monai.bundle run``: names that stand for nothing end the run before it begins.

MONAI adds what it does not know to the config, where nobody reads it: with ``--epoch 1`` a run trains all its epochs.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from pydoc import locate
from shlex import quote
from typing import Any

import monai.bundle
from monai.bundle import ConfigComponent, ConfigParser
from monai.bundle.config_item import ComponentLocator
from monai.bundle.utils import DEFAULT_EXP_MGMT_SETTINGS

from lunet_networks.bundle.runtime.fit import ANOTHER_BUNDLE
from lunet_networks.bundle.runtime.settings import PATHS, SETTINGS

__all__ = ["check_arguments", "check_command_line", "check_names", "check_run_id"]

OTHER_NAMES = {  # what other programs call a setting
    "epochs": "epoch max_epochs num_epochs n_epochs nb_epochs total_epochs train_epochs",
    "batch_size": "bs batch batchsize train_batch_size",
    "learning_rate": "lr learningrate initial_lr base_lr init_lr",
    "loss_name": "loss loss_function criterion",
    "optimizer_name": "optimizer optim opt optimiser",
    "scheduler_name": "scheduler lr_scheduler lr_policy schedule",
    "preset": "network model arch architecture net backbone model_name",
    "roi_size": "patch_size crop_size img_size image_size input_size patch window_size",
    "pixdim": "spacing voxel_size voxel_spacing resolution target_spacing",
    "dataset_dir": "data dataset data_dir data_path dataroot data_root input input_dir images image",
    "output_dir": "output out out_dir output_path save_dir log_dir results",
    "ckpt_dir": "checkpoint checkpoint_dir ckpt ckpt_path model_dir weights_dir",
    "pretrained": "weights pretrained_weights pretrained_path init_weights load_from",
    "num_workers": "workers n_workers num_processes",
    "num_folds": "folds n_folds k kfold",
    "fold": "val_fold fold_id",
    "val_interval": "val_every validate_every eval_interval validation_interval",
    "save_interval": "save_every save_freq",
    "foreground_prior": "prior prior_probability bias_init head_bias",
    "ema_decay": "ema ema_rate model_ema weight_averaging swa",
    "early_stop_patience": "early_stopping early_stop patience",
    "augment": "augmentation aug data_augmentation",
    "amp": "fp16 mixed_precision half",
    "device": "gpu gpus gpu_id cuda devices",
    "resume": "continue restart resume_training",
    "overwrite": "force overwrite_output",
    "seed": "random_seed manual_seed random_state",
    "flip_tta": "tta test_time_augmentation mirror",
    "largest_component_only": "keep_largest largest_component postprocess",
    "sw_batch_size": "window_batch_size",
    "save_probabilities": "save_prob probabilities save_npz softmax",
}
OF_THE_DATA = {  # what the dataset decides when a bundle is made, by the names in use for it
    "spatial_dims": "spatial_dims ndim dims dimensions",
    "out_channels": "out_channels num_classes n_classes classes num_labels num_outputs",
}
NO_RUN = {"imports", "initialize", "finalize", "handlers"}  # lists of a config that are no run, though they hold steps


def check_command_line() -> None:
    """End the process if its command line names a setting, or a run, that its configs do not have.

    It does nothing unless ``python -m monai.bundle run`` is the program, also under torchrun: MONAI Label, federated
    clients and Python programs have names of their own. The exit status is 2, as that of other wrong command lines.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None or spec.name != "monai.bundle.__main__" or sys.argv[1:2] not in (["run"], ["run_workflow"]):
        return
    try:
        check_arguments(sys.argv[1], sys.argv[2:])
        _check_tracking(sys.argv[1], sys.argv[2:])
    except ValueError as error:
        if os.environ.get("RANK", "0") == "0":  # with torchrun all processes find the same
            print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(2)


def check_arguments(command: str, arguments: Sequence[str]) -> None:
    """Check the arguments of ``python -m monai.bundle COMMAND``, and those in its ``args_file``.

    Args:
        command: "run" or "run_workflow".
        arguments: what is typed behind it.

    Raises:
        ValueError: if the configs lack a name or the run id, or if a path is not what was typed.

    Example::

        check_arguments("run", ["training", "--config_file", "configs/train.json", "--epochs", "20"])
    """
    given, typed = _given(command, arguments)
    given = monai.bundle.update_kwargs(given.pop("args_file", None), **given)
    if files := given.get("config_file"):  # otherwise MONAI says that it is missing
        paths = files.split(",") if isinstance(files, str) and not Path(files).is_file() else files
        paths = [paths] if isinstance(paths, str) else list(paths)
        parser, where = _parser(paths, given.get("meta_file")), " and ".join(Path(path).name for path in paths)
        of_monai = (monai.bundle.run, monai.bundle.run_workflow, monai.bundle.ConfigWorkflow.__init__)
        own = {name for function in of_monai for name in _parameters(function)}
        own |= _names_of_tracking(given.get("tracking"))
        check_names({name: value for name, value in given.items() if name not in own}, parser, where)
        check_run_id(str(given.get("run_id", "run")), parser, where)
        _check_one_run(given, parser)
        _check_typed_paths(given, typed)


def check_names(given: Mapping[str, Any], parser: ConfigParser, where: str = "the configs") -> None:
    """Check that each name stands for a setting, or for another part of the configs.

    Args:
        given: values by name; a name may be an id such as ``train#trainer#max_epochs``.
        parser: the configs, without what is given.
        where: the configs' names, for the message.

    Raises:
        ValueError: it tells for each wrong name which one is meant.

    Example:
        >>> check_names({"epoch": 1}, ConfigParser({"epochs": 100, "seed": 42}))
        Traceback (most recent call last):
        ValueError: there is no setting 'epoch': do you mean epochs?
    """
    faults = [fault for name, value in given.items() if (fault := _fault(name, value, parser, where))]
    if faults:
        raise ValueError("\n".join(faults))


def check_run_id(run_id: str, parser: ConfigParser, where: str = "the configs") -> None:
    """Check that a run id names steps.

    Args:
        run_id: behind ``python -m monai.bundle run``; the empty one of 3D Slicer stands for the whole config.
        parser: the configs.
        where: the configs' names, for the message.

    Raises:
        ValueError: it names the ids that run.

    Example:
        >>> check_run_id("train", ConfigParser({"train": {}, "training": ["$print(1)"]}))
        Traceback (most recent call last):
        ValueError: 'train' runs nothing: do you mean training? What runs in the configs: training
    """
    if run_id == "" or _runs(run_id, parser):
        return
    names = [name for name, steps in parser.get().items() if isinstance(steps, list) and _runs(name, parser)]
    names.sort(key=lambda name: name == "run")  # last: it is that of the others which the last config names
    near = get_close_matches(run_id, names, n=1)
    what = f"{run_id!r} runs nothing" if run_id in parser else f"there is no run {run_id!r}"
    hint = f"do you mean {near[0]}? What" if near else "what"
    raise ValueError(f"{what}: {hint} runs in {where}: {', '.join(names)}")


def _check_one_run(given: Mapping[str, Any], parser: ConfigParser) -> None:
    """MONAI takes a second and a third word for the ids of what it does before and after the run."""
    for name in ("init_id", "final_id"):
        value = given.get(name)
        if value in (None, ""):
            continue
        if _runs(str(value), parser):
            raise ValueError(f"there are two runs, {given.get('run_id', 'run')} and {value}: give each its own command")
        if str(value) not in parser:
            raise ValueError(
                f"there is no {value!r} to do {'before' if name == 'init_id' else 'after'} the run: one word names the "
                "run, settings are given as --NAME VALUE"
            )


def _runs(run_id: str, parser: ConfigParser) -> bool:
    """Whether a part of a config is steps, rather than something that other parts use."""
    steps = parser.get(run_id) if run_id in parser else None
    if run_id in SETTINGS or run_id in NO_RUN:
        return False
    if isinstance(steps, str):
        return steps.startswith("$") and f"@{run_id}" not in json.dumps(parser.get())
    return isinstance(steps, list) and bool(steps) and all(map(_is_step, steps))


def _is_step(step: Any) -> bool:
    return ConfigComponent.is_instantiable(step) or (isinstance(step, str) and step.startswith(("$", "@")))


def _given(command: str, arguments: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What MONAI gets from the command line, and what was typed."""
    import fire  # MONAI's command line is made of it
    from fire.decorators import SetParseFn

    found: dict[str, Any] = {}
    typed: dict[str, str] = {}
    names = _parameters(getattr(monai.bundle, command))

    def note(*words: Any, **named: Any) -> None:
        found.update(dict(zip(names, words, strict=False)) | named)

    def note_text(*words: str, **named: str) -> None:
        typed.update(named)

    fire.Fire(note, command=list(arguments))
    fire.Fire(SetParseFn(str)(note_text), command=list(arguments))
    return found, typed


def _parser(paths: Sequence[str], meta_file: str | Sequence[str] | None) -> ConfigParser:
    """The configs as MONAI merges them, and the metadata."""
    parser = ConfigParser()
    parser.read_config(paths)
    metadata = meta_file or Path(paths[0]).with_name("metadata.json")
    if isinstance(metadata, list | tuple) or Path(metadata).is_file():
        parser.read_meta(metadata)
    return parser


def _check_tracking(command: str, arguments: Sequence[str]) -> None:
    if _given(command, arguments)[0].get("tracking") == "mlflow" and find_spec("mlflow") is None:
        raise ValueError("--tracking mlflow needs a package that is not installed: pip install mlflow")


def _names_of_tracking(tracking: Any) -> set[str]:
    """Names that MONAI's tracking of experiments takes from the command line."""
    if tracking is None:
        return set()
    known = DEFAULT_EXP_MGMT_SETTINGS.get(tracking) if isinstance(tracking, str) else tracking
    settings = ConfigParser.load_config_files(tracking) if known is None else known
    return set(settings.get("configs", {}))


def _check_typed_paths(given: Mapping[str, Any], typed: Mapping[str, str]) -> None:
    """Refuse a path that arrives as something else: fire reads words as Python, and what follows ``#`` as a comment."""
    for name in PATHS & typed.keys() & given.keys():
        text, value = typed[name], given[name]
        if str(value) != text and not text.startswith(("[", "(", "'", '"', "$", "%")) and "," not in text:
            raise ValueError(f"--{name} {text} arrives as {value!r}: write --{name} {quote(f'./{text}')}")


def _fault(name: str, value: Any, parser: ConfigParser, where: str) -> str | None:
    if name in parser:
        return _no_setting(name, value, parser)
    parent, _, last = name.rpartition("#" if "#" in name else "::")
    if parent and parent in parser and _takes(parser[parent], last):
        return None
    if parent:
        return _no_id(name, parser, where)
    for decided, others in OF_THE_DATA.items():
        if name in others.split():
            return f"there is no setting {name!r}: {_another_bundle(decided)}"
    if name in SETTINGS:
        return f"there is no setting {name!r} in {where}: it belongs to other configs, as docs/README.md tells"
    near = _nearest(name, _settings(parser))
    hint = f"do you mean {near}?" if near else f"those of {where} are {', '.join(_settings(parser))}"
    return f"there is no setting {name!r}: {hint}"


def _another_bundle(decided: str) -> str:
    option = " --spatial_dims 2" if decided == "spatial_dims" else ""
    return f"the dataset decides {decided} when a bundle is made: {ANOTHER_BUNDLE}{option}"


def _no_setting(name: str, value: Any, parser: ConfigParser) -> str | None:
    """A word for a part that follows from the settings, such as ``--optimizer adam``: nothing could use the word."""
    part = parser[name]
    follows = isinstance(part, dict) or (isinstance(part, str) and part.startswith(("$", "@")))
    is_word = not isinstance(value, dict) and not (isinstance(value, str) and value.startswith(("$", "@", "%")))
    if name in SETTINGS or "#" in name or "::" in name or not follows or not is_word:
        return None
    if name in OF_THE_DATA:
        return f"{name} is not a setting: {_another_bundle(name)}"
    near = _nearest(name, _settings(parser))
    hint = f": do you mean {near}?" if near else ", and cannot be " + repr(value)
    return f"{name} is a part of the config that follows from its settings{hint}"


def _takes(component: Any, argument: str) -> bool:
    """Whether a component of a config can be given another argument."""
    if not ConfigComponent.is_instantiable(component):
        return False
    if argument in ConfigComponent.non_arg_keys:
        return True
    target = ConfigComponent(component, locator=ComponentLocator()).resolve_module_name()
    made = locate(target) if isinstance(target, str) else target
    try:
        parameters = inspect.signature(made).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):  # built into Python
        return True
    return any(each.name == argument or each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)


def _no_id(name: str, parser: ConfigParser, where: str) -> str:
    near = get_close_matches(name.replace("::", "#"), list(_ids(parser.get())), n=1, cutoff=0.8)
    return f"there is no {name} in {where}" + (f": do you mean {near[0]}?" if near else "")


def _ids(config: Any, prefix: str = "") -> Iterable[str]:
    """The ids of all parts of a config."""
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    for key, part in items:
        yield f"{prefix}{key}"
        yield from _ids(part, f"{prefix}{key}#")


def _settings(parser: ConfigParser) -> list[str]:
    return [name for name in parser.get() if name in SETTINGS]


def _nearest(name: str, settings: Sequence[str]) -> str | None:
    """The setting that is probably meant: one of that name in other programs, or one that is spelled alike."""
    lowered = name.lower()
    for setting in settings:
        if lowered in OTHER_NAMES.get(setting, "").split():
            return setting
    return next(iter(get_close_matches(lowered, [*settings, *_parameters(monai.bundle.run)], n=1)), None)


def _parameters(function: Callable[..., Any]) -> list[str]:
    """Names of a function's arguments, but for those that it collects."""
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD]
