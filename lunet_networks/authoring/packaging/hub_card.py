"""README.md at the top of a packed bundle: the model card with the front matter that the Hugging Face Hub reads."""

from typing import Any

import yaml

from lunet_networks.authoring.planning.licences import OTHER, licence_identifier, licence_in
from lunet_networks.bundle.report.summaries import TITLES

HUB_CARD = "README.md"
DATA_LICENCE = "docs/data_license.txt"
TASK = ": segmentation of "  # what metadata.json says behind the name of the dataset
FENCE = "---\n"


def hub_card(card: str, metadata: dict[str, Any], data_licence: str) -> str:
    """The text of README.md.

    Args:
        card: docs/README.md.
        metadata: of the packed bundle.
        data_licence: docs/data_license.txt, which names the licence of the data. The weights are passed on under it.

    Example:
        >>> print(hub_card("# A model", {"task": "Spleen: segmentation of spleen in CT images"}, "Ask the hospital."))
        ---
        license: other
        license_name: see-docs-data_license.txt
        license_link: docs/data_license.txt
        library_name: monai
        pipeline_tag: image-segmentation
        tags:
        - monai
        - medical
        - segmentation
        datasets:
        - Spleen
        ---
        # A model
    """
    front = yaml.safe_dump(front_matter(metadata, data_licence), sort_keys=False, allow_unicode=True, width=120)
    return f"{FENCE}{front}{FENCE}{card}"


def front_matter(metadata: dict[str, Any], data_licence: str) -> dict[str, Any]:
    """The entries of the front matter, under the names of the Hub's model cards.

    Args:
        metadata: of the packed bundle.
        data_licence: the text of docs/data_license.txt.
    """
    dataset, named, _ = str(metadata.get("task", "")).partition(TASK)
    metrics = [metric for metric in TITLES if any(name.endswith(metric) for name in metadata.get("eval_metrics", {}))]
    image = metadata.get("network_data_format", {}).get("inputs", {}).get("image", {})
    modalities = [part.strip() for part in str(image.get("modality", "")).split(",")]
    return {
        **_licence(data_licence),
        "library_name": "monai",
        "pipeline_tag": "image-segmentation",
        "tags": ["monai", "medical", "segmentation", *(name for name in modalities if name)],
        **({"datasets": [dataset.replace(" ", "_")]} if named and dataset else {}),
        **({"metrics": metrics} if metrics else {}),
    }


def _licence(document: str) -> dict[str, str]:
    licence = licence_in(document)
    identifier = licence_identifier(licence) if licence else OTHER
    if identifier != OTHER:
        return {"license": identifier}
    name = "-".join(licence.split()).lower() or "see-docs-data_license.txt"
    return {"license": OTHER, "license_name": name, "license_link": DATA_LICENCE}
