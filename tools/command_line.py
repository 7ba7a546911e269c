"""How every tool's functions become commands: fire reads the arguments, mistakes of the user end in one clear line."""

import functools
import sys
from collections.abc import Callable

import fire


def run_commands(*commands: Callable[..., None]) -> None:
    """Run the one of ``commands`` that the command line asks for; a single command needs no name there.

    A ``ValueError`` or ``OSError`` is the user's to mend: its message goes to stderr and the exit status is 1.
    Anything else is a fault of ours and keeps its traceback.

    Example::

        if __name__ == "__main__":
            run_commands(phantom, hippocampus)  # python -m tools.get_data phantom --output_dir data
    """
    calls: list[Callable[[], None]] = []

    # fire runs a function before it finds that an argument is left over, so a mistyped option would be told of after
    # the work is done. Hence fire only notes the call, and the call is made when all arguments are accounted for.
    def noted(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def note(*args: object, **kwargs: object) -> None:
            calls.append(functools.partial(command, *args, **kwargs))

        return note

    if len(commands) == 1:
        fire.Fire(noted(commands[0]))
    else:
        fire.Fire({command.__name__: noted(command) for command in commands})
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
