"""Tab completion of a program's commands and options, as a script for bash.

fire makes such a script, too, but its script knows no option behind an argument, and completes no path.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence

SCRIPT = """\
_{name}()
{{
  local words="" word="${{COMP_WORDS[COMP_CWORD]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="{commands}"
  else
    case "${{COMP_WORDS[1]}}:$COMP_CWORD:$word" in
{cases}
    esac
  fi
  COMPREPLY=( $(compgen -W "$words" -- "$word") )
}}
complete -o default -F _{name} {name}"""


def completion_script(name: str, commands: Mapping[str, Sequence[Callable]]) -> str:
    """A script for bash, which completes commands and options, and paths for everything else.

    Args:
        name: of the program.
        commands: by name the functions; of several the next word selects one.

    Example:
        >>> def greet(name: str, times: int = 1) -> None: ...
        >>> print(completion_script("hello", {"greet": [greet]}).splitlines()[7])
            greet:*:-*) words="--name --times";;
    """
    cases = []
    for command, functions in commands.items():
        if len(functions) > 1:
            names = " ".join(function.__name__.replace("_", "-") for function in functions)
            cases.append(f'{command}:2:*) words="{names}";;')
        options = dict.fromkeys(option for function in functions for option in _options(function))
        cases.append(f'{command}:*:-*) words="{" ".join(options)}";;')
    lines = "\n".join(f"    {case}" for case in cases)
    return SCRIPT.format(name=name, commands=" ".join(commands), cases=lines)


def _options(function: Callable) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    own = [each.name for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
    further = getattr(function, "further_options", list)()
    return [f"--{each}" for each in dict.fromkeys([*own, *further])]
