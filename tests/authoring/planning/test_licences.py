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
    licence_identifier,
    licence_in,
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


ON_THE_HUB = {
    "CC0-1.0": "cc0-1.0",
    "released under Creative Commons license 0 (CC0 public domain)": "cc0-1.0",
    "https://creativecommons.org/publicdomain/zero/1.0/": "cc0-1.0",
    "CC-BY 4.0": "cc-by-4.0",
    "CC_BY 4.0": "cc-by-4.0",
    "Creative Commons Attribution 4.0 International": "cc-by-4.0",
    "CC-BY-SA 4.0": "cc-by-sa-4.0",
    "https://creativecommons.org/licenses/by-nc-sa/4.0/": "cc-by-nc-sa-4.0",
    "CC-BY-NC-ND 4.0": "cc-by-nc-nd-4.0",
    "MIT": "mit",
    "Apache-2.0": "apache-2.0",
    "CC BY": "other",
    "CC-BY 7.0": "other",
    "CC-BY 3.0 or 4.0": "other",
    "masks CC0, pictures CC BY-NC 4.0": "other",
    "Public Domain": "other",
    "by contract with the hospital, 4.0": "other",
}


@pytest.mark.parametrize("licence", ON_THE_HUB)
def test_the_hubs_name_of_a_licence(licence: str) -> None:
    assert licence_identifier(licence) == ON_THE_HUB[licence]
    assert licence_in(licence_document("Nuclei", "Somebody, 2019.", licence)) == licence
