"""The settings of the templates with what they mean: the comments behind them.

It imports nothing else, so that tab completion is quick.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"  # of all bundles; its folders hold more, see families.template_dirs
END_OF_SETTINGS = "# ---- the rest follows"  # the line below the settings of a template
SETTING = re.compile(r"^(?P<name>[a-z_]+): (?P<default>.+?)(?: # (?P<comment>.+))?$")
POSITIONAL = ("bundle_root", "dataset_dir")  # which the commands of lunet take as arguments


def described_settings(templates: Iterable[Path]) -> list[tuple[str, str, str | None]]:
    """Name, default and comment of each; a later template may change those of an earlier one."""
    found: dict[str, tuple[str, str, str | None]] = {}
    for template in templates:
        for line in template.read_text(encoding="utf-8").split(END_OF_SETTINGS)[0].splitlines():
            match = SETTING.match(line)
            if match and not line.startswith(("imports:", "#")):
                found[match["name"]] = match["name"], match["default"], match["comment"]
    return list(found.values())


def meanings(configs: Sequence[str], common: bool = False) -> dict[str, str]:
    """What the settings of configs mean, by name.

    Args:
        configs: such as "train".
        common: whether to leave out the settings that only some families have.

    Example:
        >>> meanings(["train"])["epochs"]
        'passes over the training cases'
    """
    found: dict[str, str] = {}
    for config in configs:
        of_config: dict[str, str] = {}
        for path in [TEMPLATES / f"{config}.yaml", *([] if common else sorted(TEMPLATES.glob(f"*/{config}.yaml")))]:
            for name, _, comment in described_settings([path] if path.is_file() else []):
                of_config.setdefault(name, comment or "")
        found |= of_config
    return {name: text for name, text in found.items() if name not in POSITIONAL}
