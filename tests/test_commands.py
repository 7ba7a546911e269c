"""The command ``lunet``, as a user meets it: help, spellings, mistakes, exit statuses, a missing extra."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from fire import docstrings

from lunet_networks import __version__, list_presets
from lunet_networks.commands import COMMANDS, functions, main

EVERY_FUNCTION = [(name, number) for name, command in COMMANDS.items() for number in range(len(command.functions))]
BUNDLE_EXTRA = ["ignite", "jinja2", "jsonschema", "matplotlib", "nibabel", "nrrd", "PIL", "scipy", "tqdm", "yaml"]


def lunet(*arguments: str, without: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    """A process of its own, in which packages are as if they were not installed."""
    absent = f"import sys; sys.modules.update(dict.fromkeys({without or []}))"
    code = f"{absent}; from lunet_networks.commands import main; main()"
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def status(*arguments: str) -> object:
    """What the command ends with in this process: None when all went well, a number, or a message that makes it 1."""
    try:
        main(arguments)
    except SystemExit as exit_:
        return exit_.code
    return None


# ---- help


@pytest.mark.parametrize(("name", "number"), EVERY_FUNCTION)
def test_every_command_tells_what_it_does_and_takes(
    name: str, number: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    function = functions(name)[number]
    told = docstrings.parse(inspect.getdoc(function))
    assert [each.name for each in told.args] == list(inspect.signature(function).parameters)
    assert len(told.summary) < 110, "a line for the list of commands"
    words = [name] if len(functions(name)) == 1 else [name, COMMANDS[name].functions[number]]
    assert status(*words, "--help") is None
    shown = capsys.readouterr().out
    assert all(option in shown.lower() for option in inspect.signature(function).parameters if option != "settings")
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_the_commands_are_listed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(arguments)
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("arguments", [["get-data"], ["get-data", "--help"], ["get_data", "-h"]])
def test_without_a_name_the_datasets_are_listed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(arguments)
    shown = capsys.readouterr().out
    assert all(f"\n  {name.replace('_', '-')} " in shown for name in COMMANDS["get-data"].functions)


def test_the_module_is_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "lunet_networks", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == f"{__version__}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="terminals are made with pty")
def test_in_a_terminal_help_is_printed_and_no_pager_waits() -> None:
    import pty

    code = (
        f"import pty, sys; sys.exit(pty.spawn([{sys.executable!r}, '-m', 'lunet_networks', 'describe', '--help']) >> 8)"
    )
    assert pty
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    assert run.returncode == 0
    assert b"--spatial_size" in run.stdout


# ---- spellings and values


@pytest.mark.parametrize("dataset", ["rf-spectrograms", "rf_spectrograms"])
@pytest.mark.parametrize("command", ["get-data", "get_data"])
def test_hyphens_and_underscores_are_one(command: str, dataset: str, tmp_path: Path) -> None:
    assert status(command, dataset, str(tmp_path / "data"), "--num-cases", "1", "--num_test=0") is None
    assert len(list((tmp_path / "data" / "images").iterdir())) == 1


def test_lists_and_booleans(tmp_path: Path) -> None:
    small = ["get-data", "phantom", "--output_dir", str(tmp_path / "1"), "--num_cases", "1", "--shape", "16,20,16"]
    for overwrite in ("false", "True", "true"):
        assert status(*small, "--overwrite", overwrite) is None
    assert status(*small, "--overwrite") is None
    assert "is not empty" in status(*small)
    assert "is not empty" in status(*small, "--overwrite", "False")
    assert status(*small, "--overwrite", "yes") == "error: --overwrite takes True or False, not 'yes'"
    assert "--shape takes three numbers" in status("get-data", "phantom", str(tmp_path / "2"), "--shape", "16,20")


def test_a_folder_that_looks_like_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert status("get-data", "phantom", "2026", "--num_cases", "1", "--shape", "[16,20,16]") is None
    assert (tmp_path / "2026" / "dataset.json").is_file()


def test_presets_are_listed_and_described(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list", "lunet_small*", "--spatial-size", "32,32", "--in_channels", "3"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == list_presets("lunet_small*")
    main(["describe", "lunet_small_4f"])
    assert "total" in capsys.readouterr().out


# ---- mistakes


WRONG_USAGE = {
    "a command": (["lis"], "lunet has no command lis: did you mean list?"),
    "no command at all": (["xyz"], "lunet has no command xyz: there are list, describe"),
    "a dataset": (["get-data", "phantm", "x"], "lunet get-data has no command phantm: did you mean phantom?"),
    "an option": (
        ["list", "--spacial-size", "64,64"],
        "lunet list does not take --spacial-size: did you mean --spatial_size?",
    ),
    "an option of a dataset": (
        ["get-data", "phantom", "x", "--num_caess=3"],
        "lunet get-data phantom does not take --num_caess: did you mean --num_cases?",
    ),
    "one argument too many": (["verify", "a", "b"], "lunet verify does not take b: it takes --bundle"),
    "nothing": (["verify"], "lunet verify needs BUNDLE: lunet verify --help shows what it takes"),
}


@pytest.mark.parametrize("mistake", WRONG_USAGE)
def test_a_mistyped_command_line_ends_with_status_2_and_does_nothing(
    mistake: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, message = WRONG_USAGE[mistake]
    assert status(*arguments) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"error: {message}")
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_is_told_before_anything_large_is_imported() -> None:
    run = lunet("verify", "a", "b", without=["torch", "numpy"])
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "error: lunet verify does not take b: it takes --bundle\n"


NOT_POSSIBLE = [
    (["verify", "nowhere"], "nowhere is not there"),
    (["describe", "lunet_smal_4f"], "did you mean lunet_small_"),
    (["list", "nothing*"], "no preset matches 'nothing*'"),
    (["make-datalist", "nowhere"], "nowhere is not a folder"),
    (["fingerprint", "nowhere"], "nowhere is not a folder"),
    (["new-bundle", "lunet_smal", "data", "bundle"], "lunet_small"),
    (["train", "nowhere", "data"], "nowhere is not a bundle, there is no nowhere/configs/train.json"),
    (["evaluate", "nowhere"], "nowhere is not a bundle"),
    (["label", "nowhere", "images"], "nowhere is not a bundle"),
    (["report", "nowhere"], "nowhere is not a bundle"),
    (["score", "nowhere", "nowhere"], "nowhere is not a folder"),
    (["choose", "nowhere"], "there is no nowhere/models/model.pt"),
    (["crossval", "nowhere", "data", "out"], "there is no nowhere/configs/train.json"),
    (["package", "nowhere", "model.pt"], "nowhere is not a folder"),
    (["export", "nowhere", "onnx"], "nowhere is not a folder"),
    (["deploy", "nowhere", "deployed"], "nowhere is not a folder"),
    (["convert-checkpoint", "nowhere.pth", "model.pt"], "nowhere.pth is not there"),
    (["demo", "--num_cases", "2"], "--num_cases"),
]


@pytest.mark.parametrize(("arguments", "message"), NOT_POSSIBLE)
def test_what_cannot_be_done_is_told(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ending = status(*arguments)
    assert ending.startswith("error: ")
    assert message in ending
    assert "Errno" not in ending
    assert list(tmp_path.iterdir()) == []


def test_a_process_ends_with_the_status_and_the_message_on_stderr() -> None:
    for arguments, expected in (["verify", "nowhere"], 1), (["verify"], 2), (["get-data"], 0):
        run = lunet(*arguments)
        assert run.returncode == expected, run.stderr
        assert bool(run.stderr) == bool(expected)
        assert bool(run.stdout) != bool(expected)


def test_ctrl_c_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(bundle: str) -> None:
        """Check a bundle."""
        raise KeyboardInterrupt

    monkeypatch.setattr("lunet_networks.authoring.checking.verify.verify_bundle", stopped)
    assert status("verify", "bundle") == 130
    assert capsys.readouterr().err == "\nstopped\n"


def test_a_reader_that_ends_early_is_no_mistake() -> None:
    command = f"{sys.executable} -W ignore -m lunet_networks list | head -1"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert run.stdout.startswith("preset")
    assert run.stderr == ""


# ---- without the extra


def test_networks_are_listed_without_the_extra() -> None:
    run = lunet("list", "lunet_small_4f", without=BUNDLE_EXTRA)
    assert (run.returncode, run.stderr) == (0, "")
    assert "9,929" in run.stdout


@pytest.mark.parametrize("words", [("verify", "my_bundle"), ("get-data", "phantom", "my_data")])
def test_a_missing_extra_is_named_in_one_line(words: tuple[str, ...]) -> None:
    run = lunet(*words, without=BUNDLE_EXTRA)
    assert run.returncode == 1
    assert run.stderr.startswith(f"error: lunet {words[0]} needs the package ")
    assert run.stderr.endswith(': pip install "lunet-networks[bundle]"\n')
    assert run.stderr.count("\n") == 1


# ---- what is typed


def test_names_and_folders_are_taken_as_they_are_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    main(["get-data", "phantom", "study#1", "--num_cases", "2", "--num_channels", "2", "--shape", "24,24,24"])
    Path("study#1", "dataset.json").unlink()
    main(["make-datalist", "study#1", "--modality", "T1,T2", "--label_names", "a#1,b"])
    written = json.loads(Path("study#1", "dataset.json").read_text())
    assert written["modality"] == {"0": "T1", "1": "T2"}
    assert written["labels"] == {"0": "background", "1": "a#1", "2": "b"}
