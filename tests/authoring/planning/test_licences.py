"""What a bundle says of the terms of its weights, for licences as datasets name them."""

import pytest

from lunet_networks.authoring.planning.licences import (
    ASK,
    ATTRIBUTION,
    NO_DERIVATIVES,
    NON_COMMERCIAL,
    NOT_KNOWN,
    NOT_NAMED,
    NOTHING_ASKED,
    SHARE_ALIKE,
    licence_document,
    names_terms,
    weights_terms,
)

LICENCES = {
    "CC0-1.0": [NOTHING_ASKED],
    "released under Creative Commons license 0 (CC0 public domain)": [NOTHING_ASKED],
    "https://creativecommons.org/publicdomain/zero/1.0/": [NOTHING_ASKED],
    "Public Domain": [NOTHING_ASKED],
    "CC-BY 4.0": [ATTRIBUTION],
    "cc-by-4.0": [ATTRIBUTION],
    "CC_BY 4.0": [ATTRIBUTION],
    "Creative Commons Attribution 4.0 International": [ATTRIBUTION],
    "CC-BY-SA 4.0": [ATTRIBUTION, SHARE_ALIKE],
    "CC BY-NC 4.0": [ATTRIBUTION, NON_COMMERCIAL],
    "https://creativecommons.org/licenses/by-nc-sa/4.0/": [ATTRIBUTION, SHARE_ALIKE, NON_COMMERCIAL],
    "Creative Commons Attribution-NonCommercial-NoDerivatives 4.0": [ATTRIBUTION, NON_COMMERCIAL, NO_DERIVATIVES],
    "CC-BY-NC-ND 4.0": [ATTRIBUTION, NON_COMMERCIAL, NO_DERIVATIVES],
    "masks CC0, pictures CC BY-NC": [ATTRIBUTION, NON_COMMERCIAL],
    "MIT": [ATTRIBUTION],
    "Apache-2.0": [ATTRIBUTION],
    "by contract with the hospital": [NOT_KNOWN],
    "research and educational use": [NOT_KNOWN],
    "Creative Commons": [NOT_KNOWN],
    "": [ASK],
    "unknown": [ASK],
    "n/a": [ASK],
    "none in the repo": [ASK],
    "not stated in the repo (its MIT LICENSE is for code)": [ASK],
    " - ": [ASK],
}


@pytest.mark.parametrize("licence", LICENCES)
def test_conditions_of_a_licence(licence: str) -> None:
    assert weights_terms(licence) == LICENCES[licence]
    assert names_terms(licence) == (LICENCES[licence] != [ASK])


@pytest.mark.parametrize("licence", LICENCES)
def test_the_document_says_what_covers_code_data_and_weights(licence: str) -> None:
    document = licence_document("Nuclei", "Somebody, 2019.", licence)
    _, code, data, weights, _ = document.split("\n\n")
    assert "Apache License 2.0" in code
    assert data.startswith("Data: Nuclei. Somebody, 2019.\n")
    assert weights.splitlines()[1:] == [f"- {terms}" for terms in LICENCES[licence]]
    assert (NOT_NAMED in document) == (LICENCES[licence] == [ASK])
    assert (f"Licence: {licence.rstrip('.')}." in document) == (LICENCES[licence] != [ASK])
    assert ".." not in document
