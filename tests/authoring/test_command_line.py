"""Commands and what is said of a mistyped one."""

import os
import subprocess
import sys

import pytest

from lunet_networks.authoring.command_line import as_bool, run_commands


def call(monkeypatch, *arguments, commands):
    monkeypatch.setattr(sys, "argv", ["tool", *arguments])
    run_commands(*commands)


@pytest.fixture
def calls():
    return []


@pytest.fixture
def greet(calls):
    def greet(name: str, times: int = 1) -> None:
        if times < 1:
            raise ValueError("--times is a number from 1 on")
        calls.append((name, times))

    return greet


def test_one_command_needs_no_name_and_several_do(monkeypatch, calls, greet):
    call(monkeypatch, "you", "--times", "2", commands=[greet])
    call(monkeypatch, "greet", "--name", "you", commands=[greet, print])
    assert calls == [("you", 2), ("you", 1)]


def test_a_mistyped_option_is_told_before_anything_is_done(monkeypatch, calls, greet):
    with pytest.raises(SystemExit) as exit_:
        call(monkeypatch, "you", "--tims", "2", commands=[greet])
    assert exit_.value.code == 2
    assert calls == []


def test_a_mistake_of_the_user_ends_in_its_message(monkeypatch, greet):
    with pytest.raises(SystemExit, match=r"^error: --times is a number from 1 on$"):
        call(monkeypatch, "you", "--times", "0", commands=[greet])


@pytest.mark.parametrize("value", [1, "yes", "", None])
def test_a_boolean_that_is_none(value):
    with pytest.raises(ValueError, match=r"--overwrite takes True or False, not"):
        as_bool("overwrite", value)


@pytest.mark.parametrize(
    "text", ["study#1", "2026_01", "1e3", "Doe,Roe", "$x", "[1, 2]", "None", "'quoted'", "a b", "# nothing else"]
)
def test_a_text_is_read_as_it_was_typed(monkeypatch, calls, greet, text):
    call(monkeypatch, text, commands=[greet])
    call(monkeypatch, "--name", text, commands=[greet])
    call(monkeypatch, f"--name={text}", commands=[greet])
    assert calls == [(text, 1)] * 3


def test_what_may_be_none_or_anything(monkeypatch, calls):
    def name(folder: str | None = "here", sides: int | tuple[int, ...] = 0, **settings: object) -> None:
        calls.append((folder, sides, settings))

    call(monkeypatch, "--folder", "None", "--sides", "1,2", "--other", "a#1", commands=[name])
    call(monkeypatch, "--folder", "a#1", "--other", "T1,T2", commands=[name])
    assert calls == [(None, (1, 2), {"other": "a#1"}), ("a#1", 0, {"other": ("T1", "T2")})]


PROGRAM = """
from lunet_networks.authoring.command_line import run_commands

def greet(name: str = "you") -> None:
    "Greet somebody.\\n\\nArgs:\\n    name: of the person."
    print("hello", name)
    if name == "nobody":
        raise ValueError("nobody is there")

def leave() -> None:
    "Leave."

run_commands({commands}, name="tool")
"""


@pytest.mark.parametrize(
    ("commands", "arguments", "status", "told"),
    [
        ("greet", ["--help"], 1, ""),
        ("greet, leave", ["--help"], 1, ""),
        ("greet, leave", ["greet", "-h"], 1, ""),
        ("greet", ["me"], 1, ""),
        ("greet", ["nobody"], 1, "error: nobody is there\n"),
    ],
)
def test_a_reader_that_has_ended_is_no_error(commands: str, arguments: list[str], status: int, told: str) -> None:
    program = [sys.executable, "-c", PROGRAM.replace("{commands}", commands), *arguments]
    assert _without_reader(program) == (status, told)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["--", "--completion"], ["get-data", "--help"]])
def test_nor_for_the_command_lunet(arguments: list[str]) -> None:
    assert _without_reader([sys.executable, "-m", "lunet_networks", *arguments]) == (1, "")


def _without_reader(program: list[str]) -> tuple[int, str]:
    """Exit status and messages of a program whose output goes into a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(program, stdout=write, stderr=subprocess.PIPE, text=True, env=buffered) as process:
        os.close(write)
        told = process.communicate()[1]
    return process.returncode, told
