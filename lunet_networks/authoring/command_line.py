"""Functions as commands: fire reads the arguments, and a user's mistake ends in one clear line.

Exit status: 0 when all went well, 1 when the command could not do what was asked, 2 when the command line itself is
wrong, 130 when Ctrl-C stopped it.
"""

import ast
import contextlib
import functools
import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import fire
from fire.core import FireExit

from lunet_networks.authoring.command_help import command_help, list_commands, summary
from lunet_networks.authoring.described import Described

HELP = {"--help", "-h"}
MISSING = re.compile(r"no value for the required argument: (\w+)")  # as fire says it


def run_commands(
    *commands: Callable[..., None], name: str | None = None, arguments: Sequence[str] | None = None
) -> None:
    """Run the one of ``commands`` that the command line asks for; a single command needs no name there.

    A ``ValueError`` or ``OSError`` is the user's to correct: its message goes to stderr and the exit status is 1. Any
    other error is a fault of this package and keeps its traceback.

    Args:
        commands: functions whose arguments are the options.
        name: of the program, such as "lunet get-data"; None: that of the script.
        arguments: behind that name; None: those of the command line.

    Example::

        if __name__ == "__main__":
            run_commands(build_bundles)
    """
    name = Path(sys.argv[0]).name if name is None else name
    with mistakes_told():
        _run(name, [*(sys.argv[1:] if arguments is None else arguments)], commands)


@contextlib.contextmanager
def mistakes_told() -> Iterator[None]:
    """Whatever is printed or done within: a user's mistake, Ctrl-C, or a reader of the output that has ended, such as
    ``head``, ends the process without a traceback.

    Example::

        with mistakes_told():
            print(long_table)
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_output()
        sys.exit(1)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        sys.exit(130)
    finally:
        try:  # what was printed before an error or an exit status
            sys.stdout.flush()
        except BrokenPipeError:
            _give_up_output()


def _give_up_output() -> None:
    """Let Python find nothing to complain of when it flushes the output at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(name: str, arguments: list[str], commands: Sequence[Callable[..., None]]) -> None:
    by_word = {each.__name__.replace("_", "-"): each for each in commands}
    help_ = help_asked_for(name, arguments, {word: Described.of(by_word[word]) for word in by_word})
    if help_ is not None:
        print(help_)
        return
    _call(name, arguments, by_word)()


def check_usage(name: str, arguments: Sequence[str], functions: Mapping[str, Described]) -> None:
    """End the process if a command line is wrong, before anything that the command needs is imported.

    Args:
        name: of the program.
        arguments: behind that name.
        functions: by name those that it may run; of several the first argument selects one.

    Example:
        >>> check_usage("greet", [], {"greet": Described("Greet everybody.", ())})
    """
    _call(name, arguments, {each.replace("_", "-"): functions[each].stand_in(each) for each in functions})


def _call(name: str, arguments: Sequence[str], by_word: Mapping[str, Callable[..., None]]) -> Callable[[], None]:
    """The call that a command line asks for; where it is wrong the process ends."""
    chosen, *rest = arguments if len(by_word) > 1 else [*by_word, *arguments]
    chosen = choose_command(name, chosen, by_word)
    return _parse(f"{name} {chosen}" if len(by_word) > 1 else name, by_word[chosen], rest)


def help_asked_for(name: str, arguments: Sequence[str], functions: Mapping[str, Described]) -> str | None:
    """What ``--help`` prints; None where the arguments do not ask for it.

    Args:
        name: of the program.
        arguments: behind that name.
        functions: by name those that it may run; of several the first argument selects one, and without arguments they
            are listed.

    Example:
        >>> print(help_asked_for("greet", ["--help"], {"greet": Described("Greet everybody.", ())}))
        usage: greet
        <BLANKLINE>
        Greet everybody.
        <BLANKLINE>
        <BLANKLINE>
    """
    by_word = {each.replace("_", "-"): function for each, function in functions.items()}
    if len(by_word) > 1 and (not arguments or arguments[0] in HELP):
        return list_commands(name, {word: summary(function) for word, function in by_word.items()})
    if not HELP & {*arguments}:
        return None
    chosen = next(iter(by_word))
    if len(by_word) > 1:
        chosen = choose_command(name, arguments[0], by_word)
        name = f"{name} {chosen}"
    return command_help(name, by_word[chosen])


def choose_command(name: str, word: str, commands: Iterable[str]) -> str:
    """The command that a word of the command line names, with hyphens or underscores; otherwise the process ends.

    Args:
        name: of the program.
        word: behind it.
        commands: their names, with hyphens.

    Example:
        >>> choose_command("lunet", "new_bundle", ["new-bundle", "verify"])
        'new-bundle'
    """
    commands, chosen = list(commands), word.replace("_", "-")
    if chosen not in commands:
        near = get_close_matches(chosen, commands, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(commands)}"
        wrong_usage(f"{name} has no command {word}: {hint}")
    return chosen


def wrong_usage(message: str) -> NoReturn:
    """End the process because the command line is wrong."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def as_bool(name: str, value: object) -> bool:
    """The boolean that the option ``name`` was given; fire hands ``true`` over as a string.

    Raises:
        ValueError: when it is none of True, true, False, false.

    Example:
        >>> as_bool("overwrite", "true")
        True
    """
    if str(value) in ("True", "true"):
        return True
    if str(value) in ("False", "false"):
        return False
    raise ValueError(f"--{name} takes True or False, not {value!r}")


def _parse(name: str, command: Callable[..., None], arguments: Sequence[str]) -> Callable[[], None]:
    """The call that a command line asks for; where it is wrong the process ends."""
    calls: list[Callable[[], None]] = []

    # fire runs a function before it finds that an argument is left over, so a mistyped option would be found after the
    # work is done. Hence fire only notes the call, and it is made when all arguments are accounted for.
    @functools.wraps(command)
    def note(*args: object, **kwargs: object) -> None:
        calls.append(functools.partial(command, *args, **kwargs))

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            fire.Fire(_with_texts_as_typed(note), command=arguments, name=name)
    except FireExit as exit_:
        missing = MISSING.search(complaint.getvalue())
        if calls:
            wrong_usage(f"{name} does not take {_not_taken(command, exit_.trace.elements[-1].args[0])}")
        wrong_usage(
            f"{name} needs {missing[1].upper()}: {name} --help shows what it takes" if missing else complaint.getvalue()
        )
    return calls[0]


def _with_texts_as_typed(command: Callable[..., None]) -> Callable[..., None]:
    """Let fire hand over texts as they were typed. By itself it reads Python: a folder study#1 as study and a comment,
    2026_01 as a number, and authors Doe,Roe as a pair."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    for texts, read in ((str, str), (str | None, lambda text: None if text == "None" else text)):
        names = [parameter.name for parameter in parameters if parameter.annotation == texts]
        if names:  # without names it would be set for all
            command = fire.decorators.SetParseFn(read, *names)(command)
    return fire.decorators.SetParseFn(_value)(command)


def _value(text: str) -> Any:
    """A value as fire reads it, except that nothing in it is a comment.

    Example:
        >>> _value("3"), _value("T1,T2"), _value("study#1"), _value("a#1,b"), _value("['#1', 2]")
        (3, ('T1', 'T2'), 'study#1', ('a#1', 'b'), ['#1', 2])
    """
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        if "#" in text:
            return tuple(text.split(",")) if "," in text else text
        return fire.parser.DefaultParseValue(text)


def _not_taken(command: Callable[..., None], argument: str) -> str:
    """An argument that a command does not take, and what to write instead."""
    option = argument.partition("=")[0]
    known = [f"--{parameter}" for parameter in inspect.signature(command).parameters]
    near = get_close_matches(f"--{option.lstrip('-').replace('-', '_')}", known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known)}"
    return f"{option}: {hint}"
