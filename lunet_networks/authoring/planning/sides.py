"""Whether names of labels tell left from right, so that mirrored training images would have wrong labels.

People write sides in many ways and languages. Doubt means no mirroring: that costs a little accuracy, a confused side
costs the result.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Whole parts of a name, as left_kidney has the parts "left" and "kidney", and kidneyL2 has "kidney", "l" and "2"
PARTS = _words(
    """
    l r lt rt lh rh lhs rhs lft rgt rght li re
    sin sinist sx dex dext dx
    link linke linker linkes linken
    izq izqda izdo izda der dcha dcho drcha esq dir
    destra destro destre destri
    lava lavy lave leva levo leve levy levou prava pravo prave pravy lewa lewe lewy lewej lewego
    lijevo lijeva lijevi desna desno desni
    sol sag bal jobb kiri kanan trai phai stang stanga drept
    """
)
# Anywhere in a part. Accents are gone: gauche, vänster and höyre have become plain letters
WITHIN = re.compile(
    """
    left | right | sinist | dext(?!r[aoi]n) | links | recht | gauche | droit | izquierd | derech | esquerd | direit
    | sinistr | venstre | vanster | hoger | hojre | hoyre | vasen | vasem | oikea | prawa | prawe | prawy | dreapt
    | лев | прав | лів | αριστερ | δεξι | 左 | 右 | 왼 | 오른 | 좌 | 우
    | يسار | يسر | يمين | يمن | שמאל | ימין | ימנ
    """,
    re.VERBOSE,
)
# Words that begin like this merely contain one of the above
OTHER_WORDS = re.compile("^(cleft|bright|upright|leftover)")
PAIRS = ({"od", "os"},)  # the right and the left eye; each alone may also be the optic disc, or a bone
# What people call a label when they have not named it
NO_NAMES = _words("label lab lbl class cls roi mask seg segment unknown unnamed")
# ... and with a number or a letter behind it
NO_NAMES_NUMBERED = NO_NAMES | _words(
    "annotation area category component foreground id index instance item object organ part region structure target "
    "tissue type value"
)
NUMBER = re.compile(r"\d+|[a-z]|[ivx]+")
MOST_NAMED = 6  # labels in the reason


@dataclass(frozen=True)
class Sides:
    """What the names of labels say about left and right.

    Args:
        names: of the labels that tell left from right, or may do so.
        certain: whether the names say so; otherwise they say too little.
    """

    names: tuple[str, ...]
    certain: bool

    def __bool__(self) -> bool:
        return bool(self.names)

    @property
    def why(self) -> str:
        """The reason not to mirror, as a part of a sentence; "" where there is none."""
        more = len(self.names) - MOST_NAMED
        listed = ", ".join(self.names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        if self.certain and self.names:
            return f"{listed} tell left from right, or may do so"
        return f"{listed} may be a left and a right part, the names do not say" if self.names else ""


def find_sides(label_names: Sequence[str]) -> Sides:
    """The labels of a dataset that tell left from right, or may do so.

    One label alone does so only if its name says it. Of several, names that say nothing, such as ``label_1``, may do
    so, and two that differ only in a number or a letter.

    Example:
        >>> find_sides(["liver", "kidney_L", "kidney_R"]).names
        ('kidney_L', 'kidney_R')
        >>> find_sides(["label_1", "label_2"]).why
        'label_1, label_2 may be a left and a right part, the names do not say'
        >>> bool(find_sides(["label_1"])), bool(find_sides(["anterior", "posterior"]))
        (False, False)
    """
    parts = {name: _parts(name) for name in label_names}
    sided = {name for name in label_names if any(map(_is_side, parts[name]))}
    sided |= {
        name for pair in combinations(label_names, 2) if _mirrored(*(parts[one] for one in pair)) for name in pair
    }
    if sided:
        return Sides(_in_order(sided, label_names), certain=True)
    if len(label_names) == 1:
        return Sides((), certain=True)
    unnamed = {name for name in label_names if _says_nothing(parts[name])}
    return Sides(_in_order(unnamed | _numbered_pairs(parts), label_names), certain=False)


def _parts(name: str) -> list[str]:
    """The parts of a name: words, single letters and numbers, in small letters and without accents.

    Example:
        >>> _parts("LeftKidney"), _parts("LKidney"), _parts("ctx-lh_Área2")
        (['left', 'kidney'], ['l', 'kidney'], ['ctx', 'lh', 'area', '2'])
    """
    decomposed = unicodedata.normalize("NFKD", name).replace("ø", "o").replace("Ø", "O")
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    plain = unicodedata.normalize("NFC", bare)  # Hangul is whole syllables again
    words = re.sub(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", plain)
    return re.findall(r"\d+|[^\W\d_]+", words.lower())


def _is_side(part: str) -> bool:
    return part in PARTS or WITHIN.search(OTHER_WORDS.sub("", part)) is not None


def _mirrored(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two names differ in one part only, by l and r at its beginning or its end, or as one of ``PAIRS``.

    Example:
        >>> _mirrored(["lkidney"], ["rkidney"]), _mirrored(["lv"], ["rv"]), _mirrored(["lung"], ["liver"])
        (True, True, False)
    """
    differing = [pair for pair in zip(one, other, strict=False) if pair[0] != pair[1]]
    if len(one) != len(other) or len(differing) != 1:
        return False
    a, b = differing[0]
    at_an_end = (a[1:] == b[1:] and {a[0], b[0]} == {"l", "r"}) or (a[:-1] == b[:-1] and {a[-1], b[-1]} == {"l", "r"})
    return at_an_end or {a, b} in PAIRS


def _says_nothing(parts: Sequence[str]) -> bool:
    words = [part for part in parts if not NUMBER.fullmatch(part)]
    return len(words) == 0 or (len(words) == 1 and words[0] in (NO_NAMES if len(parts) == 1 else NO_NAMES_NUMBERED))


def _numbered_pairs(parts: dict[str, list[str]]) -> set[str]:
    """Names that are alike but for a number or a letter, where there are two of them: sides come in twos.

    Example:
        >>> sorted(_numbered_pairs({"kidney 1": ["kidney", "1"], "kidney 2": ["kidney", "2"], "liver": ["liver"]}))
        ['kidney 1', 'kidney 2']
    """
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, of_name in parts.items():
        words = tuple(part for part in of_name if not NUMBER.fullmatch(part))
        if len(words) < len(of_name):
            alike.setdefault(words, []).append(name)
    return {name for names in alike.values() if len(names) == 2 for name in names}


def _in_order(names: Iterable[str], label_names: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=label_names.index))
