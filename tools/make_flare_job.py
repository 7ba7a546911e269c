"""A job of NVIDIA FLARE in which sites train a bundle together, as ``nvflare simulator`` and a federation run it.

python -m tools.make_flare_job BUNDLE --output_dir JOB --clients 2 --dataset_dirs "['data/north','data/south']"
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lunet_networks.authoring.checking.bundle import INFERENCE, TRAIN, Bundle
from lunet_networks.authoring.command_line import as_bool, run_commands
from lunet_networks.bundle.runtime.checks import check_whole_number
from lunet_networks.bundle.runtime.command_line import check_names

PACKAGE = "lunet_networks"  # a packed bundle brings its own
WEIGHTS = "models/model.pt"
LEFT_BEHIND = ("eval", "runs", "pruning", "models", PACKAGE, "__pycache__")
SERVER = "app_server"
KEY_METRIC = "val_mean_dice"


def make_flare_job(
    bundle: str,
    output_dir: str,
    clients: int = 2,
    dataset_dirs: Sequence[str] | None = None,
    rounds: int = 2,
    local_epochs: int = 1,
    settings: Mapping[str, Any] | None = None,
    fresh: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a job of NVIDIA FLARE: training in rounds, averaged by the server, then cross-site evaluation.

    Server and clients need the packages that docs/federated.md lists. A packed bundle brings its own lunet_networks,
    otherwise it has to be installed at every site. Data stay where they are: the job holds paths only.

    Args:
        bundle: the bundle's folder; a packed one is unzipped first.
        output_dir: folder of the job.
        clients: number of sites, which are called site-1, site-2 ...
        dataset_dirs: folder of dataset.json at each site; without it every site uses that of the bundle's train.json.
        rounds: of training.
        local_epochs: epochs of a site in each round.
        settings: of train.json for all sites, such as "{'learning_rate': 0.01, 'scheduler_name': 'none'}".
        fresh: start from new weights, even if the bundle has trained ones.
        overwrite: replace an earlier job.
    """
    source, job = Bundle(str(bundle)), Path(str(output_dir))
    for name, value in (("clients", clients), ("rounds", rounds), ("local_epochs", local_epochs)):
        check_whole_number(f"--{name}", value, least=1)
    for file in (TRAIN, INFERENCE):
        if file not in source.runnable:
            raise FileNotFoundError(f"{source.root} has no {file} that can be read: name the folder of a bundle")
    given = _given(source, settings)
    places = _places(dataset_dirs, clients)
    if job.exists():
        if not as_bool("overwrite", overwrite):
            raise FileExistsError(f"{job} is there already: replace it with --overwrite True, or name another folder")
        if not (job / "meta.json").is_file():
            raise FileExistsError(f"{job} is no job of FLARE: name another folder")
        shutil.rmtree(job)
    trained = (source.root / WEIGHTS).is_file() and not as_bool("fresh", fresh)
    name = source.root.name
    apps = {SERVER: _server(name, clients, rounds, trained)}
    for site, place in places.items():
        apps[f"app_{site}"] = _client(
            name, local_epochs, {**given, **({} if place is None else {"dataset_dir": place})}
        )
    for app, (file, config) in apps.items():
        _write_app(source.root, job / app, file, config, trained)
    deploy_map = {SERVER: ["server"], **{f"app_{site}": [site] for site in places}}
    _write_json(
        job / "meta.json",
        {"name": name, "resource_spec": {}, "min_clients": clients, "deploy_map": deploy_map},
    )
    start = f"the weights in {WEIGHTS}" if trained else "new weights"
    print(
        f"{job}: {clients} sites, {rounds} rounds, from {start}\n"
        f"try it: nvflare simulator {job} -w {job}_workspace -n {clients} -t {clients} -c {','.join(places)}"
    )


def _given(source: Bundle, settings: Mapping[str, Any] | None) -> dict[str, Any]:
    if settings is None:
        return {}
    if not isinstance(settings, Mapping):
        raise ValueError(f"--settings takes settings by name, such as \"{{'batch_size': 1}}\", not {settings!r}")
    check_names(settings, source.parser(TRAIN), "train.json")
    return dict(settings)


def _places(dataset_dirs: Sequence[str] | None, clients: int) -> dict[str, str | None]:
    """The folder of each site's data by its name; None: that of the bundle."""
    sites = [f"site-{number}" for number in range(1, clients + 1)]
    if dataset_dirs is None:
        return dict.fromkeys(sites)
    if isinstance(dataset_dirs, str):
        dataset_dirs = dataset_dirs.split(",")
    if len(dataset_dirs) != clients:
        raise ValueError(f"--dataset_dirs names {len(dataset_dirs)} folders for {clients} clients: name one for each")
    return {site: str(Path(str(place)).resolve()) for site, place in zip(sites, dataset_dirs, strict=True)}


def _write_app(bundle: Path, app: Path, file: str, config: dict[str, Any], trained: bool) -> None:
    _write_json(app / "config" / file, config)
    inside = app / "config" / bundle.name  # FLARE hands on only what is below config and custom
    shutil.copytree(bundle, inside, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    if trained:
        (inside / WEIGHTS).parent.mkdir(parents=True)
        shutil.copyfile(bundle / WEIGHTS, inside / WEIGHTS)
    if (bundle / PACKAGE).is_dir():  # custom is on the path of server and clients
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(bundle / PACKAGE, app / "custom" / PACKAGE, ignore=ignored)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _component(name: str, path: str, **arguments: Any) -> dict[str, Any]:
    return {"id": name, "path": path, "args": arguments}


def _server(name: str, clients: int, rounds: int, trained: bool) -> tuple[str, dict[str, Any]]:
    common, torch = "nvflare.app_common", "nvflare.app_opt.pt"
    start = {"source_ckpt_filename": WEIGHTS} if trained else {}
    components = [
        _component(
            "persistor",
            "monai_nvflare.monai_bundle_persistor.MonaiBundlePersistor",
            bundle_root=f"config/{name}",
            **start,
        ),
        _component(
            "generator", f"{common}.shareablegenerators.full_model_shareable_generator.FullModelShareableGenerator"
        ),
        _component(  # clients send what a round has added to the weights
            "aggregator",
            f"{common}.aggregators.intime_accumulate_model_aggregator.InTimeAccumulateWeightedAggregator",
            expected_data_kind="WEIGHT_DIFF",
        ),
        _component("selector", f"{common}.widgets.intime_model_selector.IntimeModelSelector"),
        _component("locator", f"{torch}.file_model_locator.PTFileModelLocator", pt_persistor_id="persistor"),
        _component("results", f"{common}.widgets.validation_json_generator.ValidationJsonGenerator"),
    ]
    training = _component(
        "training",
        f"{common}.workflows.scatter_and_gather.ScatterAndGather",
        min_clients=clients,
        num_rounds=rounds,
        aggregator_id="aggregator",
        persistor_id="persistor",
        shareable_generator_id="generator",
        train_task_name="train",
    )
    evaluation = _component(
        "evaluation", f"{common}.workflows.cross_site_model_eval.CrossSiteModelEval", model_locator_id="locator"
    )
    return "config_fed_server.json", {
        "format_version": 2,
        "task_data_filters": [],
        "task_result_filters": [],
        "components": components,
        "workflows": [training, evaluation],
    }


def _client(name: str, local_epochs: int, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    algorithm = _component(
        "algorithm",
        "monai.fl.client.MonaiAlgo",
        bundle_root=f"config/{name}",
        local_epochs=local_epochs,
        send_weight_diff=True,
        train_kwargs=dict(settings),
        eval_kwargs=dict(settings),
    )
    executor = {
        "path": "monai_nvflare.client_algo_executor.ClientAlgoExecutor",
        "args": {"client_algo_id": "algorithm", "key_metric": KEY_METRIC},
    }
    return "config_fed_client.json", {
        "format_version": 2,
        "executors": [{"tasks": ["train", "submit_model", "validate"], "executor": executor}],
        "task_data_filters": [],
        "task_result_filters": [],
        "components": [algorithm],
    }


if __name__ == "__main__":
    run_commands(make_flare_job)
