"""How functions become commands: fire reads the arguments, mistakes of the user end in one clear line."""

import functools
import sys
from collections.abc import Callable, Sequence

import fire


def run_commands(*commands: Callable[..., None], name: str | None = None, arguments: Sequence[str] = ()) -> None:
    """Run the one of ``commands`` that the command line asks for; a single command needs no name there.

    A ``ValueError`` or ``OSError`` is the user's to mend: its message goes to stderr and the exit status is 1.
    Anything else is a fault of ours and keeps its traceback.

    Args:
        commands: functions whose arguments are the options.
        name: of the command of ``lunet`` that they are; None: the program's own commands.
        arguments: behind that name; without one those of the command line count.

    Example::

        if __name__ == "__main__":
            run_commands(build_bundles)
    """
    calls: list[Callable[[], None]] = []

    # fire runs a function before it finds that an argument is left over, so a mistyped option would be told of after
    # the work is done. Hence fire only notes the call, and the call is made when all arguments are accounted for.
    def noted(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def note(*args: object, **kwargs: object) -> None:
            calls.append(functools.partial(command, *args, **kwargs))

        return note

    component = noted(commands[0]) if len(commands) == 1 else {each.__name__: noted(each) for each in commands}
    if name is None:
        fire.Fire(component)
    else:
        fire.Fire({name: component}, command=[name, *arguments], name="lunet")
    try:
        for call in calls:
            call()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


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
