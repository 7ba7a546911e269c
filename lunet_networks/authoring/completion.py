"""Tab completion of a program's commands and options, as a script for bash.

fire makes such a script, too, but its script knows no option behind an argument, and completes no path. Shells ask for
the script when they start, so it must not take seconds: the options are read from the sources of the commands, which
are not imported.
"""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path

Options = Mapping[str, Sequence[str]]  # by the name of the function

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


def completion_script(name: str, commands: Mapping[str, Options]) -> str:
    """A script for bash, which completes commands and options, and paths for everything else.

    Args:
        name: of the program.
        commands: by name their functions with the options; of several the next word selects one.

    Example:
        >>> print(completion_script("hello", {"greet": {"greet": ["name", "times"]}}).splitlines()[7])
            greet:*:-*) words="--name --times";;
    """
    cases = []
    for command, functions in commands.items():
        if len(functions) > 1:
            names = " ".join(function.replace("_", "-") for function in functions)
            cases.append(f'{command}:2:*) words="{names}";;')
        options = dict.fromkeys(f"--{option}" for options in functions.values() for option in options)
        cases.append(f'{command}:*:-*) words="{" ".join(options)}";;')
    lines = "\n".join(f"    {case}" for case in cases)
    return SCRIPT.format(name=name, commands=" ".join(commands), cases=lines)


def options_in(source: Path, functions: Sequence[str]) -> dict[str, list[str]]:
    """The arguments of functions, read from their source.

    Args:
        source: the module's file, which defines all of them.
        functions: their names.

    Example:
        >>> options_in(Path(__file__), ["options_in"])
        {'options_in': ['source', 'functions']}
    """
    body = ast.parse(source.read_bytes()).body
    found = {node.name: node.args for node in body if isinstance(node, ast.FunctionDef)}
    return {name: [argument.arg for argument in (*found[name].args, *found[name].kwonlyargs)] for name in functions}
