"""A run of a bundle: its settings checked, as a command, and as a process that has the terminal."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from lunet_networks.authoring.literals import literal
from lunet_networks.authoring.running.configs import CONFIGS, config_files
from lunet_networks.authoring.subprocesses import shell
from lunet_networks.bundle.runtime.command_line import check_names
from lunet_networks.bundle.runtime.files import as_path
from lunet_networks.bundle.runtime.settings import PATHS, SETTINGS, check_settings

RUN_IDS = {"ensemble": "inference"}  # where it is not the name of the run
MULTI_GPU = "multi_gpu_train"
OWN_PACKAGE = "lunet_networks"  # a folder of packed bundles
SIGNALLED = 128  # exit statuses of shells: this and the number of the signal


@dataclass(frozen=True)
class BundleRun:
    """A run of a bundle with settings.

    Args:
        run_id: of its configs.
        bundle: its folder, absolute.
        configs: names of its config files.
        given: settings by name, with absolute paths.
        processes: that train together.

    Example::

        run = BundleRun.of("training", Path("my_bundle"), {"dataset_dir": "data", "epochs": 20})
        run.check_names()
        run.check_values()
        print(run.typed())
        status = run.run()
    """

    run_id: str
    bundle: Path
    configs: Sequence[str]
    given: Mapping[str, Any]
    processes: int = 1

    @classmethod
    def of(cls, name: str, bundle: Path, given: Mapping[str, Any], processes: int = 1) -> "BundleRun":
        """A run.

        Args:
            name: a key of ``CONFIGS``.
            bundle: its folder.
            given: settings by name; relative paths are those of the current folder.
            processes: that train together.

        Raises:
            FileNotFoundError: if there is no such bundle.
        """
        configs = [*CONFIGS[name], *([MULTI_GPU] if processes > 1 else [])]
        config_files(bundle, configs)
        paths = {setting: _absolute(value) for setting, value in given.items() if setting in PATHS}
        return cls(RUN_IDS.get(name, name), bundle.resolve(), configs, {**given, **paths}, processes)

    def check_names(self) -> None:
        """Check the names of the settings.

        Raises:
            ValueError: if the configs lack one.
        """
        check_names(
            self.given, read_configs(self.bundle, self.configs), " and ".join(f"{name}.json" for name in self.configs)
        )

    def check_values(self) -> None:
        """Check the values of the settings, those in the configs too.

        Raises:
            ValueError: for the first wrong one.
        """
        parser = self._parser(self.given)
        names = [name for name in parser["settings"] if name in SETTINGS]
        check_settings(**{name: parser.get_parsed_content(name) for name in names})

    def value(self, name: str) -> Any:
        """The value of a setting in this run."""
        return self._parser(self.given).get_parsed_content(name)

    def defaults(self, names: Iterable[str]) -> dict[str, Any]:
        """Values in the configs, of the settings that they have."""
        parser = self._parser({})
        return {name: parser.get_parsed_content(name) for name in names if name in parser}

    def taking_over(self, settings: Mapping[str, Any]) -> "BundleRun":
        """This run with further settings; their paths stay as they are."""
        return replace(self, given={**self.given, **settings})

    def _parser(self, given: Mapping[str, Any]) -> ConfigParser:
        parser = read_configs(self.bundle, self.configs)
        parser.update({**_as_in_configs(given), "bundle_root": literal(str(self.bundle))})
        return parser

    def arguments(self) -> list[str]:
        """The arguments of ``python``, or of ``torchrun`` for several processes.

        A packed bundle has a package of its own, which Python finds in the current folder. Any other bundle runs from
        wherever one is.
        """
        files = [f"configs/{name}.json" for name in self.configs]
        places = {}
        if not self.is_packed and self.bundle != Path.cwd():
            files = [str(self.bundle / file) for file in files]
            places = {"bundle_root": literal(str(self.bundle))}
        config_file = files[0] if len(files) == 1 else "[" + ",".join(map(repr, files)) + "]"
        options = {"config_file": config_file, **places, **_as_in_configs(self.given)}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        torchrun = ["--standalone", f"--nproc_per_node={self.processes}"] if self.processes > 1 else []
        return [*torchrun, "-m", "monai.bundle", "run", self.run_id, *words]

    @property
    def is_packed(self) -> bool:
        """Whether the bundle has a package of its own."""
        return (self.bundle / OWN_PACKAGE).is_dir()

    @property
    def folder(self) -> Path:
        """The current folder of the command."""
        return self.bundle if self.is_packed else Path.cwd()

    def typed(self) -> str:
        """The command as one would type it in the current folder."""
        there = f"cd {shell([str(self.folder)])} && " if self.folder != Path.cwd() else ""
        return there + shell(["torchrun" if self.processes > 1 else "python", *self.arguments()])

    def run(self) -> int:
        """Run the command in the terminal of this process.

        Returns:
            Its exit status; as in a shell, 128 and the signal's number if a signal has ended it.
        """
        launcher = ["-m", "torch.distributed.run"] if self.processes > 1 else []
        return in_terminal([sys.executable, *launcher, *self.arguments()], self.folder)


def read_configs(bundle: Path, names: Sequence[str]) -> ConfigParser:
    """The configs of a bundle, merged as MONAI merges them.

    Raises:
        FileNotFoundError: as ``config_files``.
    """
    parser = ConfigParser()
    parser.read_config([str(path) for path in config_files(bundle, names)])
    return parser


def in_terminal(command: Sequence[str], folder: Path) -> int:
    """Run a command that has this process's streams. Ctrl-C reaches it by itself, as the terminal sends it to both; a
    request to end is handed on.

    Args:
        command: and its arguments. Python's warnings, which are not for users, are off.
        folder: its current folder.

    Returns:
        Its exit status; as in a shell, 128 and the signal's number if a signal has ended it.
    """
    with subprocess.Popen(command, cwd=folder, env={"PYTHONWARNINGS": "ignore", **os.environ}) as process:
        before = signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
        try:
            while True:
                try:
                    status = process.wait()
                    break
                except KeyboardInterrupt:  # what the command says of it is what there is to say
                    continue
        finally:
            signal.signal(signal.SIGTERM, before)
    return status if status >= 0 else SIGNALLED - status


def _as_in_configs(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings stay what they are. A part of a config, such as network_def, is read as MONAI reads it."""
    return {
        name: value if isinstance(value, dict) and name not in SETTINGS else literal(value)
        for name, value in given.items()
    }


def _absolute(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_absolute(each) for each in value]
    return value if value is None else str(as_path(value).absolute())
