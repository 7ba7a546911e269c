"""Tab completion of a program's commands and options, as a script for bash.

fire makes such a script, too, but its script knows no option behind an argument, and completes no path.
"""

from collections.abc import Mapping, Sequence

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
