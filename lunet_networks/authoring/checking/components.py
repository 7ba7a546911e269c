"""Whether everything that configs name exists: components, imports, names in expressions, references."""

import ast
import builtins
import importlib
import pydoc
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import packages_distributions

from monai.bundle import ComponentLocator, ReferenceResolver

from lunet_networks.authoring.checking.bundle import METADATA, Bundle, Fault, strings
from lunet_networks.authoring.checking.isolated_folder import isolated_folder

TARGET = "_target_"
GIVEN = {"monai", "torch", "np", "numpy"}  # what MONAI hands to every expression
ALWAYS_THERE = {"monai", "torch", "numpy"}  # with versions of their own in metadata.json


def check_components(bundle: Bundle) -> Iterator[Fault]:
    """Every ``_target_`` and every import of every config names something that is installed."""
    locator = ComponentLocator()
    for file, config in bundle.configs.items():
        for key, text in strings(config):
            if key.split("#")[-1] == TARGET and not text.startswith(("$", "@")):
                problem = _unresolved_target(text, locator)
                cure = "write the name of a component of MONAI, or the whole dotted path of any other"
            else:
                problem = next(filter(None, map(_unresolved_import, _imports(text))), None)
                cure = "correct the name"
            if problem:
                yield Fault(file, key, problem, cure)


def check_packages(bundle: Bundle) -> Iterator[Fault]:
    """Every package that configs or sources name is one that pip installs, and metadata.json requires it."""
    if bundle.metadata is None:
        return
    listed = [bundle.metadata.get(f"{kind}_packages_version") for kind in ("required", "optional")]
    declared = {_distribution(name) for packages in listed if isinstance(packages, dict) for name in packages}
    own = (file for file in bundle.files if file.endswith(".py"))
    seen = {file.partition("/")[0].removesuffix(".py") for file in own}  # what the bundle brings along
    for file, key, packages in _named_packages(bundle):
        for package in sorted(packages - seen):
            seen.add(package)
            distributions = _distributions().get(package)
            if distributions is None:
                if _unresolved_import((package, None)) is None:
                    problem = f"{package} can be imported on this machine but is not part of an installed distribution"
                    yield Fault(file, key, problem, "name a package that pip can install")
            elif not declared.intersection(map(_distribution, distributions)):
                name = distributions[0]
                place = f"required_packages_version#{name}"
                yield Fault(METADATA, place, f"is missing but {file} needs it", f"add {name} with its version")


def _named_packages(bundle: Bundle) -> Iterator[tuple[str, str, set[str]]]:
    """File, key and packages, for everything that names packages; without MONAI and what MONAI needs."""
    for file, config in bundle.configs.items():
        for key, text in strings(config):
            yield file, key, _packages(key, text)
    for file in (file for file in bundle.files if file.endswith(".py")):
        with suppress(SyntaxError):
            nodes = ast.walk(ast.parse((bundle.root / file).read_text(encoding="utf-8")))
            statements = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
            yield file, "", _outside_of_monai([module for module, _ in _imported(statements)])


def check_expressions(bundle: Bundle) -> Iterator[Fault]:
    """Every name in an expression is known and every reference leads to an id, once the files are merged."""
    for file in bundle.runnable:
        parser = bundle.parser(file)
        try:
            with isolated_folder():
                parser.resolve_macro_and_relative_ids()
        except (KeyError, ValueError, OSError) as error:
            yield Fault(file, "", f"holds a macro that cannot be resolved ({error})", "write its value instead")
            continue
        texts = dict(strings(parser.config))
        imported = {name for text in texts.values() for name in _bound_by_imports(text)}
        for key, text in texts.items():
            try:
                unknown = _free_names(text) - imported - GIVEN
            except SyntaxError as error:
                yield Fault(
                    bundle.place(file, key), key, f"{text!r} is not a Python expression ({error.msg})", "correct it"
                )
                continue
            for name in sorted(unknown):
                cure = f"import it: '$from MODULE import {name}' under imports"
                yield Fault(bundle.place(file, key), key, f"{name} in {text!r} is not defined", cure)
            for reference in ReferenceResolver.match_refs_pattern(text):
                if reference not in parser:
                    reference = reference.replace("::", "#")
                    cure = f"define {reference}, or correct the name"
                    yield Fault(bundle.place(file, key), key, f"@{reference} is not defined", cure)


def _unresolved_target(target: str, locator: ComponentLocator) -> str | None:
    if locator.get_component_module_name(target):
        return None
    try:
        found = pydoc.locate(target)
    except pydoc.ErrorDuringImport as error:
        return f"{target} cannot be imported ({error.value})"
    if found is None:
        return f"{target} is not found"
    return None if callable(found) else f"{target} is a {type(found).__name__}, which cannot be called"


@cache
def _unresolved_import(imported: tuple[str, str | None]) -> str | None:
    module, name = imported
    try:
        found = importlib.import_module(module)
        if name is not None and not hasattr(found, name):
            importlib.import_module(f"{module}.{name}")
    except Exception as error:
        return f"{module}{f'.{name}' if name else ''} cannot be imported ({error})"
    return None


def _imports(text: str) -> list[tuple[str, str | None]]:
    """The modules, and the names in them, that an import statement of a config asks for.

    Example:
        >>> _imports("$from os import path"), _imports("$import os.path"), _imports("$@os")
        ([('os', 'path')], [('os.path', None)], [])
    """
    return _imported(_import_statements(text))


def _imported(statements: list[ast.Import | ast.ImportFrom]) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for statement in statements:
        if not isinstance(statement, ast.ImportFrom):
            found += [(alias.name, None) for alias in statement.names]
        elif statement.level == 0:  # others are of the same package
            found += [(statement.module or "", alias.name) for alias in statement.names]
    return found


def _bound_by_imports(text: str) -> set[str]:
    aliases = (alias for statement in _import_statements(text) for alias in statement.names)
    return {alias.asname or alias.name.split(".")[0] for alias in aliases}


def _import_statements(text: str) -> list[ast.Import | ast.ImportFrom]:
    if not re.match(r"\$\s*(import|from)\s", text):
        return []
    try:
        body = ast.parse(text[1:].strip()).body
    except SyntaxError:
        return []
    return [statement for statement in body if isinstance(statement, ast.Import | ast.ImportFrom)]


def _packages(key: str, text: str) -> set[str]:
    """The packages, beside MONAI and what it needs, of a ``_target_`` or an import statement."""
    modules = [module for module, _ in _imports(text)]
    if key.split("#")[-1] == TARGET and "." in text and not text.startswith(("$", "@")):
        modules.append(text)
    return _outside_of_monai(modules)


def _outside_of_monai(modules: list[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules} - ALWAYS_THERE - _standard_library()


@cache
def _standard_library() -> frozenset[str]:
    import sys

    return frozenset(sys.stdlib_module_names)


def _distribution(name: str) -> str:
    """The one spelling of a name that pip takes in several."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


def _free_names(text: str) -> set[str]:
    """Names in an expression that something else has to define.

    Raises:
        SyntaxError: if it is no expression.

    Example:
        >>> sorted(_free_names("$[pad(x, @roi_size) for x in items]"))
        ['items', 'pad']
    """
    if not text.startswith("$") or _import_statements(text):
        return set()
    # within quotes as well: MONAI makes no difference there
    code = ReferenceResolver.id_matcher.sub("None", ReferenceResolver.normalize_id(text[1:]))
    names = [node for node in ast.walk(ast.parse(code.strip(), mode="eval")) if isinstance(node, ast.Name | ast.arg)]
    bound = {_name(node) for node in names if isinstance(node, ast.arg) or isinstance(node.ctx, ast.Store)}
    return {_name(node) for node in names} - bound - set(dir(builtins))


def _name(node: ast.Name | ast.arg) -> str:
    return node.id if isinstance(node, ast.Name) else node.arg
