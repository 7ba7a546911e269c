"""The rooms: imports point one way, no two modules import each other, and every room says what it holds."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
# From the ground up: a module imports from its own room and from those below it. The rooms of a group stand beside each
# other.
FLOORS = (
    ("lunet_networks.kernels", "lunet_networks.state_dicts", "lunet_networks.memory"),
    ("lunet_networks.nets",),
    ("lunet_networks.published_rules_2d",),
    ("lunet_networks.published_rules",),
    (
        "lunet_networks.deployment",
        "lunet_networks.presets",
        "lunet_networks.published",
        "lunet_networks.pruning",
        "lunet_networks.summary",
    ),
    ("lunet_networks",),
    ("lunet_networks.bundle.runtime",),
    ("lunet_networks.bundle.data",),
    ("lunet_networks.bundle.training",),
    ("lunet_networks.bundle.inference",),
    ("lunet_networks.bundle.evaluation", "lunet_networks.bundle.pruning", "lunet_networks.bundle.benchmark"),
    ("lunet_networks.bundle.report",),
    ("lunet_networks.authoring.command_help",),
    (
        "lunet_networks.authoring.command_line",
        "lunet_networks.authoring.completion",
        "lunet_networks.authoring.presets",
    ),
    (
        "lunet_networks.authoring.literals",
        "lunet_networks.authoring.staging",
        "lunet_networks.authoring.subprocesses",
    ),
    ("lunet_networks.authoring.bundle_folder",),
    ("lunet_networks.authoring.planning", "lunet_networks.authoring.web_page"),
    ("lunet_networks.authoring.checking", "lunet_networks.authoring.running"),
    ("lunet_networks.authoring.packaging", "lunet_networks.authoring.samples", "lunet_networks.authoring.crossval"),
    ("lunet_networks.authoring.exporting", "lunet_networks.authoring.comparing"),
    ("lunet_networks.commands",),
    ("tools",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FREE = {"lunet_networks.__main__", "lunet_networks.bundle", "lunet_networks.authoring"}
SOURCES = sorted(path for folder in ("lunet_networks", "tools") for path in (REPOSITORY / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in SOURCES}


def room_of(module: str) -> str | None:
    """The longest name of a room that holds a module; for those that stand in none, the package itself."""
    names = [module, *(module.rsplit(".", count)[0] for count in range(1, module.count(".") + 1))]
    return next((name for name in names if name in FLOOR_OF), None)


def imported(path: Path) -> Iterator[str]:
    """Modules of the repository that a source imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [
                name if (name := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names
            ]
        else:
            continue
        yield from (name for name in names if name in MODULES)


@pytest.mark.parametrize("module", sorted(MODULES.keys() - FREE))
def test_imports_point_one_way(module: str) -> None:
    floor = FLOOR_OF[room_of(module)]
    higher = [name for name in imported(MODULES[module]) if FLOOR_OF.get(room_of(name), -1) > floor]
    beside = [name for name in imported(MODULES[module]) if FLOOR_OF.get(room_of(name), -1) == floor]
    assert higher == []
    assert {room_of(name) for name in beside} <= {room_of(module)}


def test_no_modules_import_each_other() -> None:
    graph = {name: {other for other in imported(path) if other != name} for name, path in MODULES.items()}
    rooms = {name for name in graph if MODULES[name].name == "__init__.py"}  # they export what stands in them
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in sorted(graph[name] - rooms):
                visit(other, (*trail, name))
            done.add(name)

    for name in sorted(graph.keys() - rooms):
        visit(name, ())


@pytest.mark.parametrize("room", sorted(name for name, path in MODULES.items() if path.name == "__init__.py"))
def test_a_room_says_what_it_holds(room: str) -> None:
    assert ast.get_docstring(ast.parse(MODULES[room].read_text(encoding="utf-8")))
