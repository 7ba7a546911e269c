"""Strings that come from data, file names or the command line, written into configs so that they stay strings.

MONAI gives strings in configs a meaning. One that begins with ``$`` is evaluated, ``%`` reads another part of the
config or another file, ``@`` refers to another part, ``@#`` and ``%#`` do so anywhere in a string, and every ``#``
becomes ``::``. Whatever writes a string that this package has not made up itself calls :py:func:`literal`.
"""

import ast
import re
from pathlib import PurePath
from typing import Any

__all__ = ["literal", "literal_value", "readable"]

MEANT_BY_MONAI = re.compile(r"^[$@%]|#|[@%]::|[\ud800-\udfff]")  # surrogates cannot be written as UTF-8
SPECIAL = re.compile(r"[$@%#]")
STRING = re.compile(r"""\$(['"]).*\1""", re.DOTALL)
BEFORE_READING = re.compile(r"^(?=[$@%])|(?<=[@%])(?=#|::|:#)")  # MONAI turns each # into :: first


def literal(value: Any) -> Any:
    """A string as a config holds it, so that it is the same string when MONAI has parsed the config.

    A string without a meaning for MONAI stays as it is. Another one becomes an expression that is nothing but a string
    of Python, in which none of MONAI's characters is left.

    Args:
        value: a string or path; or a list, tuple or dict, of which every string is taken; anything else is returned as
            it is.

    Example:
        >>> literal("left kidney"), literal(["tumour", 1])
        ('left kidney', ['tumour', 1])
        >>> print(literal("$import os"), literal("organ #1"), literal("@label"))
        $'\\x24import os' $'organ \\x231' $'\\x40label'
    """
    if isinstance(value, list | tuple):
        return type(value)(map(literal, value))
    if isinstance(value, dict):
        return {name: literal(each) for name, each in value.items()}
    value = str(value) if isinstance(value, PurePath) else value
    if not isinstance(value, str) or not MEANT_BY_MONAI.search(value):
        return value
    return "$" + SPECIAL.sub(lambda character: f"\\x{ord(character[0]):02x}", repr(value))


def literal_value(value: Any) -> Any:
    """What a config means that holds ``literal(value)``; other expressions stay as they are.

    For those who read a config without parsing it.

    Example:
        >>> literal_value(literal(["organ #1", "tumour"])), literal_value("$@bundle_root")
        (['organ #1', 'tumour'], '$@bundle_root')
    """
    if isinstance(value, list | tuple):
        return type(value)(map(literal_value, value))
    if isinstance(value, dict):
        return {name: literal_value(each) for name, each in value.items()}
    if isinstance(value, str) and STRING.fullmatch(value):
        try:
            found = ast.literal_eval(value[1:])
        except (SyntaxError, ValueError):  # such as $'a' + @b + 'c'
            return value
        return found if isinstance(found, str) else value
    return value


def readable(text: str) -> str:
    """A string for metadata.json, which most programs read without parsing it, and MONAI parses.

    A space stands where the string would have a meaning for MONAI: before a ``$``, ``@`` or ``%`` at its beginning, and
    within ``@#``, ``@:#`` and ``@::``, with ``%`` as well.

    Example:
        >>> readable("Livers, 100 % of them"), readable("$x^2$"), readable("see @#a")
        ('Livers, 100 % of them', ' $x^2$', 'see @ #a')
    """
    return BEFORE_READING.sub(" ", text).encode(errors="replace").decode()
