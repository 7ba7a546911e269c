"""The model card of a packed bundle: that of the bundle with the costs and figures of the packed weights, and without
presets and the command ``lunet``, which a packed bundle does not have.
"""

import re

HEADING = re.compile(r"^## +(?P<name>.+?) *$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
GET_DATA = re.compile(r" ?`lunet get-data [^`]*`[^.`]*\.")
OF_PRESETS = re.compile(r"^`(--preset NAME|\w+)`(,| trains)")
END_OF_MEANS = "Means over the "
ELSEWHERE = (
    "from elsewhere add `--bundle_root PATH`",
    "from elsewhere set `PYTHONPATH` to it, add `--bundle_root PATH`",
)
OF_IMAGES = re.compile(r"`IMAGES` is .+?\. ", re.DOTALL)
COMMANDS = (
    "`DATASET` is a folder with a `dataset.json` in the layout of the Medical Segmentation Decathlon. {images}The last "
    "command averages several models."
)


def packed_card(card: str, model: str, performance: str, system: str, own_notes: bool) -> str:
    """The text of docs/README.md.

    Args:
        card: of the bundle.
        model: what the network is and what it costs.
        performance: how the packed weights were trained and evaluated.
        system: what has to be installed, and where the package comes from.
        own_notes: whether the card's notes below its figures are about the packed weights.
    """
    sections = _sections(card)
    for name, text in sections.items():
        paragraphs = text.strip().split("\n\n")
        if name == "Model Description":
            paragraphs = [model, *(paragraph for paragraph in paragraphs if not OF_PRESETS.match(paragraph))]
        elif name == "Performance":
            figures = [n for n, paragraph in enumerate(paragraphs) if paragraph.startswith(END_OF_MEANS)]
            paragraphs = [performance, *(paragraphs[figures[-1] + 1 :] if own_notes and figures else [])]
        elif name == "System Configuration":
            paragraphs.append(system)
        elif name == "Data":
            paragraphs = [GET_DATA.sub("", paragraph) for paragraph in paragraphs]
        elif name == "Commands":
            paragraphs = [_without_lunet(paragraph) for paragraph in paragraphs]
            paragraphs = [_without_preset(paragraph).replace(*ELSEWHERE) for paragraph in paragraphs]
        sections[name] = "\n\n".join(paragraphs)
    return "\n\n".join(f"## {name}\n\n{text}" if name else text for name, text in sections.items()) + "\n"


def _sections(card: str) -> dict[str, str]:
    """Text by heading of the second level; the text before the first heading has the key ""."""
    code = [match.span() for match in CODE.finditer(card)]
    headings = [
        match for match in HEADING.finditer(card) if not any(start <= match.start() < end for start, end in code)
    ]
    ends = [match.start() for match in headings] + [len(card)]
    sections = {"": card[: ends[0]].strip()}
    for match, end in zip(headings, ends[1:], strict=True):
        sections[match["name"]] = card[match.end() : end].strip()
    return sections


def _without_lunet(paragraph: str) -> str:
    if "`lunet " not in paragraph:
        return paragraph
    images = OF_IMAGES.search(paragraph)
    return COMMANDS.format(images=images[0] if images else "")


def _without_preset(table: str) -> str:
    return "\n".join(line for line in table.splitlines() if not line.startswith("| `preset` |"))
