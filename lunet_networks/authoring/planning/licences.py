"""What covers code, data and weights of a bundle: the terms of the weights follow from the licence of the data."""

import re

NOT_NAMED = "Licence: not named in dataset.json."
HOW_TO_NAME = 'name it with --licence, such as --licence "CC-BY 4.0", and --overwrite True'
UNNAMED = re.compile(r"(unknown|none|unspecified|n/?a|no licen[cs]e|not (stated|named|known|given|specified))\b", re.I)
PUBLIC_DOMAIN = re.compile(r"\b(cc0|cc zero|creative ?commons (zero|licen[cs]e 0)|public ?domain|pddl)\b")
CREATIVE_COMMONS = re.compile(r"\b(cc|creative ?commons)\b")
SOFTWARE = re.compile(r"\b(apache|bsd|mit)\b")

NOTHING_ASKED = "The licence of the data asks for nothing. Pass the weights on under the licence of the code."
ATTRIBUTION = "Attribution: name the data, their source and their licence wherever you pass the weights on."
SHARE_ALIKE = "Share alike: pass the weights on under the licence of the data."
NON_COMMERCIAL = "Non-commercial: do not use the weights commercially, nor pass them on for commercial use."
NO_DERIVATIVES = "No derivatives: weights may count as one. Ask the owner of the data before you pass them on."
NOT_KNOWN = (
    "This licence is not among the usual ones. Do not pass the weights on before you have read it; where it says "
    "nothing of trained models, ask the owner of the data."
)
ASK = "Do not pass the weights on before the owner of the data has told you the terms."
UNSETTLED = (
    "Courts have not settled whether weights fall under the licence of the data that they were trained on.\n"
    "This file treats them as if they did."
)
ELEMENTS = {  # of the Creative Commons licences, by their letters and their words
    r"\b(by|attribution)\b": ATTRIBUTION,
    r"\b(sa|share ?alike)\b": SHARE_ALIKE,
    r"\b(nc|non ?commercial)\b": NON_COMMERCIAL,
    r"\b(nd|no ?deriv\w*)\b": NO_DERIVATIVES,
}


def names_terms(licence: str) -> bool:
    """Whether a text from dataset.json says under which terms the data may be used.

    Example:
        >>> [names_terms(licence) for licence in ("CC-BY 4.0", "see LICENSE.pdf", "unknown", "not stated", "")]
        [True, True, False, False, False]
    """
    text = licence.strip(" \t\n.-?")
    return bool(text) and UNNAMED.match(text) is None


def check_licence(licence: str) -> str:
    """The value of an option for the licence of the data.

    Raises:
        ValueError: if it names none.
    """
    if not names_terms(str(licence)):
        raise ValueError(f'--licence {licence}: name the licence of the data or its terms, such as "CC-BY 4.0"')
    return str(licence)


def weights_terms(licence: str) -> list[str]:
    """What the licence of the data asks of weights that are trained on them, a sentence or two for each condition.

    Args:
        licence: what dataset.json says, such as the name of a licence, its address or a sentence.

    Example:
        >>> weights_terms("CC-BY-SA 4.0") == weights_terms("https://creativecommons.org/licenses/by-sa/4.0/")
        True
        >>> [terms.partition(":")[0] for terms in weights_terms("Creative Commons Attribution-NonCommercial 4.0")]
        ['Attribution', 'Non-commercial']
        >>> weights_terms("CC0-1.0") == [NOTHING_ASKED], weights_terms("see the hospital's contract") == [NOT_KNOWN]
        (True, True)
    """
    if not names_terms(licence):
        return [ASK]
    words = " ".join(re.findall(r"[a-z0-9]+", licence.lower()))
    if CREATIVE_COMMONS.search(words):
        conditions = [terms for words_of_it, terms in ELEMENTS.items() if re.search(words_of_it, words)]
        if conditions:
            return conditions
    if PUBLIC_DOMAIN.search(words):
        return [NOTHING_ASKED]
    return [ATTRIBUTION] if SOFTWARE.search(words) else [NOT_KNOWN]


def licence_document(name: str, reference: str, licence: str) -> str:
    """Text of ``docs/data_license.txt`` of a bundle.

    Args:
        name: of the dataset.
        reference: where the data are from; may be "".
        licence: what dataset.json says of it; may be "".
    """
    named = f"Licence: {licence.rstrip('.')}." if names_terms(licence) else NOT_NAMED
    source = f"{name}. {reference.rstrip('.')}." if reference else f"{name}."
    terms = "\n".join(f"- {each}" for each in weights_terms(licence))
    paragraphs = [
        "What covers the parts of this bundle",
        "Code: configs, documents and the package lunet_networks are under the Apache License 2.0, see LICENSE.",
        f"Data: {source}\n{named} The data are not part of this bundle.",
        f"Weights: the files in models that were trained on these data.\n{terms}",
        UNSETTLED,
    ]
    return "\n\n".join(paragraphs) + "\n"
