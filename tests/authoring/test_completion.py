"""Tab completion in bash: commands, options behind arguments, settings of a bundle, and paths for the rest."""

import shutil
import subprocess

import pytest

from lunet_networks.authoring.completion import completion_script
from lunet_networks.commands import COMMANDS, functions

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def complete(*words: str) -> list[str]:
    script = completion_script("lunet", {name: functions(name) for name in COMMANDS})
    typed = " ".join(f"'{word}'" for word in ("lunet", *words))
    ask = f'{script}\nCOMP_WORDS=({typed}) COMP_CWORD={len(words)}\n_lunet\necho "${{COMPREPLY[@]}}"'
    return subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.split()


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
