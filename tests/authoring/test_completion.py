"""Tab completion in bash: commands, options behind arguments, settings of a bundle, and paths for the rest."""

import inspect
import shutil
import subprocess
import sys

import pytest

from lunet_networks.authoring.completion import completion_script
from lunet_networks.authoring.described import Described
from lunet_networks.bundle.runtime.settings import SETTINGS
from lunet_networks.commands import COMMANDS, described, functions, options

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def complete(*words: str) -> list[str]:
    script = completion_script("lunet", {name: options(name) for name in COMMANDS})
    typed = " ".join(f"'{word}'" for word in ("lunet", *words))
    ask = f'{script}\nCOMP_WORDS=({typed}) COMP_CWORD={len(words)}\n_lunet\necho "${{COMPREPLY[@]}}"'
    return subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.split()


@needs_bash
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["new"], ["new-bundle"]),
        (["get-data", "ph"], ["phantom"]),
        (["train", "my_bundle", "data", "--ep"], ["--epochs"]),
        (["label", "my_bundle", "images", "--flip"], ["--flip_tta"]),
        (["train", "my_b"], []),  # bash completes the path
    ],
)
def test_completed(words: list[str], completed: list[str]) -> None:
    assert complete(*words) == completed


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_that_are_read_are_those_of_the_functions(command: str) -> None:
    for function in functions(command):
        parameters = inspect.signature(function).parameters.values()
        own = [each.name for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
        found = options(command)[function.__name__]
        assert found[: len(own)] == own
        assert SETTINGS.keys() >= set(found[len(own) :])


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_read_of_the_functions_is_what_they_say(command: str) -> None:
    for function in functions(command):
        read, said = described(command)[function.__name__], Described.of(function)
        assert read.doc == said.doc
        assert read.parameters == tuple(each.replace(annotation=each.empty) for each in said.parameters)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["--", "--completion"], ["train", "--help"], ["get-data", "phantom", "--help"]],
)
def test_what_a_shell_asks_for_imports_no_torch(arguments: list[str]) -> None:
    ask = "import sys; from lunet_networks.commands import main; main(sys.argv[1:]); assert 'torch' not in sys.modules"
    told = subprocess.run([sys.executable, "-c", ask, *arguments], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert told.stdout
