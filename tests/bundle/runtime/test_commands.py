"""Commands that follow from the one that runs."""

import subprocess

import pytest

from lunet_networks.bundle.runtime.commands import config_command, next_command, running_command

FILES = "['configs/train.json','configs/multi_gpu_train.json']"


def test_files_and_settings_are_taken_over_as_they_were_typed():
    arguments = ["training", "--config_file", FILES, "--dataset_dir=my data", "--roi_size", "[32,32,32]"]
    made = next_command(arguments, "evaluation", lambda files: [files[0], "b.json"], lambda given: given)
    assert made == (
        "python -m monai.bundle run evaluation --config_file \"['configs/train.json','b.json']\" "
        "--dataset_dir 'my data' --roi_size '[32,32,32]'"
    )


@pytest.mark.parametrize("value", ["{'a': ['b']}", "it's", "it's $5", "'`!\"\\", "my data", "$@x", ""])
def test_values_reach_a_shell_as_they_are(value):
    typed = config_command("training", ["a.json"], {"network_def": value})
    printed = subprocess.run(["bash", "-c", typed.replace("python", "printf '%s\\0'")], capture_output=True, check=True)
    assert printed.stdout.decode().split("\0")[-2] == value


@pytest.mark.parametrize("arguments", [["training"], ["training", "--fold", "1"]])
def test_a_command_without_config_is_not_understood(arguments):
    assert next_command(arguments, "training", list, dict) == ""


def test_a_process_that_was_started_in_another_way_has_no_command(monkeypatch):
    assert running_command() == []
    monkeypatch.setattr("sys.orig_argv", ["python", "-u", "-m", "monai.bundle", "run", "training", "--fold", "1"])
    assert running_command() == ["training", "--fold", "1"]
