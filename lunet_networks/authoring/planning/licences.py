"""What covers code, data and weights of a bundle: the terms of the weights follow from the licence of the data."""

import re

NOT_NAMED = "Licence: not named in dataset.json."
HOW_TO_NAME = 'name it with --licence, such as --licence "CC-BY 4.0", and --overwrite True'
UNNAMED = re.compile(r"(unknown|none|unspecified|n/?a|no licen[cs]e|not (stated|named|known|given|specified))\b", re.I)
PUBLIC_DOMAIN = re.compile(r"\b(cc0|cc zero|creative ?commons (zero|licen[cs]e 0)|public ?domain|pddl)\b")
CREATIVE_COMMONS = re.compile(r"\b(cc|creative ?commons)\b")
SOFTWARE = re.compile(r"\b(apache|bsd|mit)\b")
NAMED = re.compile(r"^Licence: (?P<licence>.+)\. The data are not part of this bundle\.$", re.MULTILINE)
OTHER = "other"  # the Hub's word for a licence that it does not list
ON_THE_HUB = {  # names of licences that the Hugging Face Hub lists, of those that datasets have
    *("apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "mit", "pddl"),
    *(f"cc-by-{version}" for version in ("2.0", "2.5", "3.0", "4.0")),
    *(f"cc-by-{letters}-{version}" for letters in ("sa", "nc-sa", "nc-nd") for version in ("3.0", "4.0")),
    *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-sa-2.0"),
}

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
LETTERS = {ATTRIBUTION: "by", NON_COMMERCIAL: "nc", NO_DERIVATIVES: "nd", SHARE_ALIKE: "sa"}  # in the order of a name


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
    words = _words(licence)
    if CREATIVE_COMMONS.search(words):
        conditions = [terms for words_of_it, terms in ELEMENTS.items() if re.search(words_of_it, words)]
        if conditions:
            return conditions
    if PUBLIC_DOMAIN.search(words):
        return [NOTHING_ASKED]
    return [ATTRIBUTION] if SOFTWARE.search(words) else [NOT_KNOWN]


def licence_identifier(licence: str) -> str:
    """The name under which the Hugging Face Hub lists a licence; "other" where it is none of its list, or several.

    Example:
        >>> [licence_identifier(licence) for licence in ("CC-BY-SA 4.0", "CC0-1.0", "see the hospital's contract")]
        ['cc-by-sa-4.0', 'cc0-1.0', 'other']
    """
    words = _words(licence)
    name = words.replace(" ", "-")
    listed = {identifier.replace(".", "-"): identifier for identifier in ON_THE_HUB}
    if name in listed:
        return listed[name]
    terms, versions = weights_terms(licence), set(re.findall(r"\b(\d) (\d)\b", words))
    if terms == [NOTHING_ASKED]:
        return "cc0-1.0" if re.search(r"\b(cc0|zero|licen[cs]e 0)\b", words) else OTHER
    if PUBLIC_DOMAIN.search(words) or not CREATIVE_COMMONS.search(words) or len(versions) != 1:
        return OTHER
    letters = [letter for condition, letter in LETTERS.items() if condition in terms]
    identifier = f"cc-{'-'.join(letters)}-{'.'.join(*versions)}"
    return identifier if identifier in ON_THE_HUB else OTHER


def licence_in(document: str) -> str:
    """The licence that a text of ``licence_document`` names; "" if it names none, as a text of one's own.

    Example:
        >>> licence_in(licence_document("Nuclei", "Somebody, 2019", "CC0-1.0")), licence_in("Ask us.")
        ('CC0-1.0', '')
    """
    match = NAMED.search(document)
    return match["licence"] if match else ""


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


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
