"""What ``--help`` prints: the commands that there are, and what each takes, out of its docstring."""

import inspect
import shutil
import textwrap
from collections.abc import Iterable, Mapping

from fire import docstrings

from lunet_networks.authoring.described import Described

LEAST_WIDTH, MOST_WIDTH = 60, 120  # columns


def list_commands(name: str, commands: Mapping[str, str]) -> str:
    """Commands and what they do, a line each.

    Args:
        name: of the program.
        commands: what each does, by its name.

    Example:
        >>> print(list_commands("lunet", {"list": "list the networks", "demo": "show the whole way"}))
        usage: lunet COMMAND ...
        <BLANKLINE>
          list  list the networks
          demo  show the whole way
        <BLANKLINE>
        lunet COMMAND --help shows what a command takes
    """
    lines = columns(commands.items())
    return "\n".join(
        [f"usage: {name} COMMAND ...", "", *lines, "", f"{name} COMMAND --help shows what a command takes"]
    )


def summary(command: Described) -> str:
    """The first paragraph of a function's docstring, in one line.

    Example:
        >>> summary(Described.of(list_commands))
        'Commands and what they do, a line each.'
    """
    return docstrings.parse(command.doc).summary


def command_help(name: str, command: Described) -> str:
    """What a function does and takes: arguments without a default by position, all others as options.

    Args:
        name: of the command.
        command: its docstring has a section "Args".

    Example:
        >>> def greet(name: str, times: int = 1) -> None:
        ...     '''Greet somebody.
        ...
        ...     Args:
        ...         name: of the person.
        ...         times: how often.
        ...     '''
        >>> print(command_help("greet", Described.of(greet)))
        usage: greet NAME [--option VALUE ...]
        <BLANKLINE>
        Greet somebody.
        <BLANKLINE>
          NAME     of the person.
        <BLANKLINE>
          --times  how often. Default: 1
    """
    told = docstrings.parse(command.doc)
    about = {argument.name: " ".join(argument.description.split()) for argument in told.args or []}
    required = {each.name.upper(): about[each.name] for each in command.parameters if _is_required(each)}
    options = {
        _option(each): about[each.name] + _default(each) for each in command.parameters if not _is_required(each)
    }
    usage = [f"usage: {name}", *required, *(["[--option VALUE ...]"] if options else [])]
    paragraphs = [" ".join(usage), *_paragraphs(told.summary), *_paragraphs(told.description)]
    lines = columns([*required.items(), ("", ""), *options.items()])
    return "\n\n".join([*(textwrap.fill(paragraph, _width()) for paragraph in paragraphs), "\n".join(lines).rstrip()])


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD


def _option(parameter: inspect.Parameter) -> str:
    return "--SETTING" if parameter.kind is parameter.VAR_KEYWORD else f"--{parameter.name}"


def _default(parameter: inspect.Parameter) -> str:
    told = parameter.default not in (None, parameter.empty, ())  # where it is None the docstring says what that means
    return f" Default: {parameter.default}" if told else ""


def _paragraphs(text: str | None) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in (text or "").split("\n\n") if paragraph.strip()]


def columns(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Names and texts side by side, the texts wrapped.

    Example:
        >>> columns([("--epochs", "passes over the training cases")])
        ['  --epochs  passes over the training cases']
    """
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    lines = []
    for name, text in rows:
        wrapped = textwrap.wrap(text, max(_width() - width - 4, LEAST_WIDTH // 2), break_on_hyphens=False) or [""]
        lines += [f"  {name:{width}}  {wrapped[0]}".rstrip(), *(" " * (width + 4) + line for line in wrapped[1:])]
    return lines


def _width() -> int:
    return min(max(shutil.get_terminal_size().columns, LEAST_WIDTH), MOST_WIDTH)
