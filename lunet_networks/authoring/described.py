"""What a command's function says of itself, read from it or, without importing it, from its source.

The commands import PyTorch and MONAI, which takes seconds. Their help, the tab completion and the check of what was
typed need neither.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple


class Described(NamedTuple):
    """A function's docstring and arguments.

    Args:
        doc: without the indent.
        parameters: without annotations where they come from the source.
    """

    doc: str
    parameters: tuple[inspect.Parameter, ...]

    @classmethod
    def of(cls, function: Callable) -> Described:
        """Those of a function.

        Example:
            >>> [parameter.name for parameter in Described.of(described_in).parameters]
            ['source', 'functions']
        """
        return cls(inspect.getdoc(function), tuple(inspect.signature(function).parameters.values()))

    def option_names(self) -> list[str]:
        """The arguments that have a name on the command line."""
        return [each.name for each in self.parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]

    def stand_in(self, name: str) -> Callable[..., None]:
        """A function that takes what this one takes and does nothing.

        Args:
            name: of the function.

        Example:
            >>> inspect.signature(Described("Greet.", (inspect.Parameter("whom", 1),)).stand_in("greet"))
            <Signature (whom)>
        """

        def function(*_args: object, **_options: object) -> None: ...

        function.__name__ = name
        function.__signature__ = inspect.Signature(self.parameters)
        return function


def described_in(source: Path, functions: Sequence[str]) -> dict[str, Described]:
    """Functions by name, as their module's source has them.

    Args:
        source: the module's file, which defines all of them; their defaults are literals.
        functions: their names.

    Example:
        >>> described_in(Path(__file__), ["described_in"])["described_in"].doc.splitlines()[0]
        "Functions by name, as their module's source has them."
    """
    body = ast.parse(source.read_bytes()).body
    found = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    return {name: Described(ast.get_docstring(found[name]), _parameters(found[name].args)) for name in functions}


def _parameters(arguments: ast.arguments) -> tuple[inspect.Parameter, ...]:
    kinds = inspect.Parameter
    missing = [None] * (len(arguments.args) - len(arguments.defaults))
    return (
        *_alike(arguments.args, [*missing, *arguments.defaults], kinds.POSITIONAL_OR_KEYWORD),
        *_alike([arguments.vararg] if arguments.vararg else [], [None], kinds.VAR_POSITIONAL),
        *_alike(arguments.kwonlyargs, arguments.kw_defaults, kinds.KEYWORD_ONLY),
        *_alike([arguments.kwarg] if arguments.kwarg else [], [None], kinds.VAR_KEYWORD),
    )


def _alike(
    arguments: Sequence[ast.arg], defaults: Sequence[ast.expr | None], kind: inspect._ParameterKind
) -> Iterator[inspect.Parameter]:
    for argument, default in zip(arguments, defaults, strict=False):
        value = inspect.Parameter.empty if default is None else ast.literal_eval(default)
        yield inspect.Parameter(argument.arg, kind, default=value)
