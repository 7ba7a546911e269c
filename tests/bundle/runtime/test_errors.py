"""A run that fails ends with one line that says what to do; Ctrl-C says how far it has come."""

import errno
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from lunet_networks.bundle.data import PrefetchDataLoader
from lunet_networks.bundle.runtime import show_root_cause
from lunet_networks.bundle.runtime.checks import choose
from lunet_networks.bundle.runtime.errors import tell_if_stopped


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[Callable], str]]:
    """What stands on the screen when a step of a config raises an error that ends the process."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    handler = signal.getsignal(signal.SIGINT)

    def told(step: Callable[[], object]) -> str:
        try:
            try:
                step()
            except Exception as error:
                raise RuntimeError("Failed to evaluate ConfigExpression") from error
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
        return capsys.readouterr().err

    with warnings.catch_warnings():
        show_root_cause()
        yield told
    signal.signal(signal.SIGINT, handler)
    tell_if_stopped(None)


def wrong_setting() -> None:
    choose("loss_name", "focal", {"dice": 1})


LINE = "error: loss_name is 'focal': it has to be one of dice\n"


def test_a_message_of_this_package_stands_alone(told):
    assert told(wrong_setting) == LINE


def test_the_traceback_is_shown_on_request(told, monkeypatch):
    monkeypatch.setenv("LUNET_TRACEBACK", "1")
    shown = told(wrong_setting)
    assert shown.startswith("Traceback")
    assert shown.endswith(LINE)


def test_a_log_file_has_the_traceback(told, tmp_path):
    handler = logging.FileHandler(tmp_path / "log.txt")
    logging.getLogger().addHandler(handler)
    try:
        assert told(wrong_setting) == LINE
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
    assert "Traceback (most recent call last)" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize(
    ("step", "last"),
    [
        (lambda: {}["fold"], "error: KeyError: 'fold'"),
        (lambda: len(3), "error: TypeError: object of type 'int' has no len()"),
        (lambda: torch.zeros(2) @ torch.zeros(3), "error: RuntimeError: inconsistent tensor size"),
    ],
)
def test_what_may_be_a_fault_of_this_package_keeps_its_traceback(told, step, last):
    shown = told(step)
    assert shown.startswith("Traceback")
    assert shown.splitlines()[-1].startswith(last)


def test_the_systems_reason_names_the_file(told, tmp_path):
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "labels/a.nii.gz")

    assert told(full) == "error: labels/a.nii.gz: No space left on device\n"


def test_too_little_memory_names_the_settings(told):
    shown = told(lambda: torch.empty(2**60))
    assert shown.startswith("error: there is too little memory: use a smaller batch_size")
    assert len(shown.splitlines()) == 1


class Failing(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, number: int) -> None:
        wrong_setting()


def test_the_error_of_a_worker_is_told_as_its_own(told):
    assert told(lambda: list(PrefetchDataLoader(Failing(), num_workers=1))) == LINE


def test_ctrl_c_says_where_the_run_stopped(told, capsys):
    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        told(stopped)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "stopped\n"
    tell_if_stopped(lambda: "stopped in epoch 12 of 100")
    with pytest.raises(SystemExit):
        told(stopped)
    assert capsys.readouterr().err == "stopped in epoch 12 of 100\n"


def command(bundle: Path, *options: object) -> list[str]:
    run = [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "training", "--bundle_root", bundle]
    return [*map(str, [*run, "--config_file", bundle / "configs" / "train.json", *options])]


def test_nothing_stands_before_the_line_of_a_failed_run(bundle):
    options = ("--logging_file", bundle.root / "configs" / "logging.conf", "--dataset_dir", "nowhere")
    ended = subprocess.run(command(bundle.root, *options), capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr == "error: dataset_dir nowhere is not a folder: give the folder that holds dataset.json\n"
    assert len(ended.stdout.splitlines()) == 1  # MONAI's, before it reads logging.conf


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 2])
def test_ctrl_c_says_how_to_go_on_with_a_training(bundle, num_workers):
    options = [f"--{name}={value}" for name, value in bundle.settings(epochs=1000).items() if name != "bundle_root"]
    started = subprocess.Popen(
        command(bundle.root, f"--num_workers={num_workers}", *options),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal sends the signal to all processes of a command
    )
    while not bundle.checkpoint.is_file() and started.poll() is None:
        time.sleep(0.02)
    os.killpg(started.pid, signal.SIGINT)
    _, errors = started.communicate(timeout=120)
    assert started.returncode == 130
    first, last = errors.strip().splitlines()[-2:]
    assert first.startswith("stopped ")
    assert f"is in {bundle.eval}: go on with" in first
    assert last.strip().startswith("python -m monai.bundle run training --config_file ")
    assert last.endswith(" --resume True")
    assert "Traceback" not in errors.replace("Exception ignored", "")
