"""Paths in a bundle that exist on one machine only."""

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lunet_networks.authoring.checking.bundle import METADATA, Bundle, Fault, strings

SHARED_ROOT = "/workspace/"  # where the model zoo's bundles expect data
TEXTS = {".csv", ".conf", ".json", ".md", ".py", ".txt", ".yaml", ".yml"}
PERSONAL = re.compile(
    r"(?<![\w.])(?:/(?:home|Users|root|tmp|work|mnt|media|scratch)/|~/|[A-Za-z]:[\\/](?!/))[^\s'\"`)]*"
)
# A literal in an expression that begins with a slash. Behind a plus it goes on a path that stands before it.
ABSOLUTE_LITERAL = re.compile(r"(?:^\$|[^+\s'\"])\s*['\"](/\w[^'\"]*)['\"]")
CURE = f"write {SHARED_ROOT}data/NAME, or a path that begins with @bundle_root"


def check_paths(bundle: Bundle) -> Iterator[Fault]:
    """No file names a path of one machine, such as a home folder; configs name no absolute path but /workspace/..."""
    for file in bundle.files:
        if file in bundle.configs:
            yield from _in_config(file, bundle.configs[file])
        elif file == METADATA:
            for key, text in strings(bundle.metadata):
                yield from _personal(file, key, text)
        elif Path(file).suffix in TEXTS:
            text = (bundle.root / file).read_text(encoding="utf-8", errors="replace")
            for number, line in _texts(text, is_source=file.endswith(".py")):
                yield from _personal(file, f"line {number}", line)


def _texts(text: str, is_source: bool) -> Iterator[tuple[int, str]]:
    r"""Lines with their numbers; of a source its strings, in which a backslash before n is no folder of Windows.

    Example:
        >>> list(_texts("a = 1\nb = '%s:\\n'", is_source=True))
        [(2, '%s:\n')]
    """
    if is_source:
        with suppress(SyntaxError):
            nodes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
            yield from ((node.lineno, node.value) for node in nodes if isinstance(node.value, str))
            return
    yield from enumerate(text.splitlines(), start=1)


def _in_config(file: str, config: dict) -> Iterator[Fault]:
    for key, text in strings(config):
        personal = list(_personal(file, key, text))
        yield from personal
        if text.startswith("%") and re.search(r"\.(json|ya?ml)", text):
            problem = f"{text} is read from the current folder of the run, where it need not be"
            yield Fault(file, key, problem, "copy the value, or merge the files on the command line")
        elif not personal:
            for path in _absolute(text):
                yield Fault(file, key, f"{path} is an absolute path", CURE)


def _personal(file: str, key: str, text: str) -> Iterator[Fault]:
    for match in PERSONAL.finditer(text):
        yield Fault(file, key, f"{match[0]} exists on one machine only", CURE)


def _absolute(text: str) -> list[str]:
    """Absolute paths in a text of a config, except those below /workspace.

    Example:
        >>> _absolute("/nfs/data"), _absolute("$@output_dir + '/labels'"), _absolute("$open('/etc/motd')")
        (['/nfs/data'], [], ['/etc/motd'])
    """
    found = ABSOLUTE_LITERAL.findall(text) if text.startswith("$") else re.findall(r"^/\w.*", text)
    return [path for path in found if not path.startswith(SHARED_ROOT)]
