"""What labels of common tasks are in the terms of DICOM, which viewers and archives read: SNOMED CT codes by name."""

import re
from collections.abc import Sequence
from typing import Any

from lunet_networks.bundle.inference.segments import PRIVATE, TISSUE, Code, default_colour

__all__ = ["described_segments"]

ANATOMY: Code = ("91723000", "SCT", "Anatomical Structure")
ABNORMAL: Code = ("49755003", "SCT", "Morphologically Abnormal Structure")
# Values and meanings as pydicom lists them. Sides, and words such as "left" and "anterior", are left out of the name.
ANATOMICAL = {
    "adrenal gland": ("23451007", "Adrenal gland"),
    "aorta": ("15825003", "Aorta"),
    "artery": ("51114001", "Artery"),
    "bladder": ("89837001", "Bladder"),
    "bone": ("272673000", "Bone"),
    "brain": ("12738006", "Brain"),
    "brain stem": ("119238007", "Brain Stem"),
    "breast": ("76752008", "Breast"),
    "cerebellum": ("113305005", "Cerebellum"),
    "colon": ("71854001", "Colon"),
    "duodenum": ("38848004", "Duodenum"),
    "esophagus": ("32849002", "Esophagus"),
    "eye": ("81745001", "Eye"),
    "femur": ("71341001", "Femur"),
    "gallbladder": ("28231008", "Gallbladder"),
    "heart": ("80891009", "Heart"),
    "hepatic vein": ("8993003", "Hepatic vein"),
    "hippocampus": ("5366008", "Hippocampus"),
    "inferior vena cava": ("64131007", "Inferior vena cava"),
    "kidney": ("64033007", "Kidney"),
    "left atrium": ("82471001", "Left atrium"),
    "left ventricle": ("87878005", "Left ventricle"),
    "liver": ("10200004", "Liver"),
    "lung": ("39607008", "Lung"),
    "mandible": ("91609006", "Mandible"),
    "muscle": ("71616004", "Muscle"),
    "myocardium": ("49848007", "Left Ventricle Myocardium"),
    "nucleus": ("84640000", "Nucleus"),
    "optic nerve": ("18234004", "optic nerve"),
    "pancreas": ("15776009", "Pancreas"),
    "portal vein": ("32764006", "Portal vein"),
    "prostate": ("41216001", "Prostate"),
    "pulmonary artery": ("81040000", "Pulmonary artery"),
    "rectum": ("34402009", "Rectum"),
    "rib": ("113197003", "Rib"),
    "right atrium": ("73829009", "Right atrium"),
    "right ventricle": ("53085002", "Right ventricle"),
    "skin": ("39937001", "Skin"),
    "small intestine": ("30315005", "Small intestine"),
    "spinal cord": ("2748008", "Spinal cord"),
    "spleen": ("78961009", "Spleen"),
    "stomach": ("69695003", "Stomach"),
    "trachea": ("44567001", "Trachea"),
    "uterus": ("35039007", "Uterus"),
    "vein": ("29092000", "Vein"),
    "vertebra": ("51282000", "Vertebra"),
    "vessel": ("59820001", "Blood Vessel"),
}
ABNORMALITIES = {
    "cyst": ("367643001", "Cyst"),
    "edema": ("79654002", "Edema"),
    "lesion": ("52988006", "Lesion"),
    "mass": ("4147007", "Mass"),
    "necrosis": ("6574001", "Necrosis"),
    "nodule": ("27925004", "Nodule"),
    "tumor": ("108369006", "Neoplasm"),
}
OTHER_NAMES = {
    "brainstem": "brain stem",
    "blood vessel": "vessel",
    "cancer": "tumor",
    "gall bladder": "gallbladder",
    "ivc": "inferior vena cava",
    "lv": "left ventricle",
    "neoplasm": "tumor",
    "nuclei": "nucleus",
    "oedema": "edema",
    "oesophagus": "esophagus",
    "postcava": "inferior vena cava",
    "rv": "right ventricle",
    "tumour": "tumor",
    "urinary bladder": "bladder",
}
WITHOUT_SIDES = re.compile(r"\b(left|right|anterior|posterior|upper|lower|middle)\b")


def described_segments(label_names: Sequence[str], task: str = "") -> list[dict[str, Any]]:
    """What metadata.json says of the labels under ``segments``: value, name, colour, category and kind.

    Args:
        label_names: names of the labels 1, 2, ...
        task: name of the dataset; where a label is only a side, such as anterior, it is one of what the task names.

    Example:
        >>> described_segments(["left_kidney"])[0]["type"]
        ['64033007', 'SCT', 'Kidney']
        >>> described_segments(["anterior"], task="Hippocampus")[0]["type"]
        ['5366008', 'SCT', 'Hippocampus']
        >>> described_segments(["widget"])[0]["type"]
        ['label-1', '99LUNET', 'widget']
    """
    described = []
    for value, name in enumerate(label_names, start=1):
        category, kind = _codes(name) or (_codes(task) if not _bare(name) else None) or _private(value, name)
        entry = {"label": value, "name": name, "color": list(default_colour(value))}
        described.append({**entry, "category": list(category), "type": list(kind)})
    return described


def _codes(name: str) -> tuple[Code, Code] | None:
    """Category and kind of what a name says, with its side where that has a code of its own, or without it."""
    for words in (_words(name), _bare(name)):
        known = OTHER_NAMES.get(words, words)
        for category, table in ((ANATOMY, ANATOMICAL), (ABNORMAL, ABNORMALITIES)):
            if found := table.get(known) or table.get(known.removesuffix("s")):
                return category, (found[0], "SCT", found[1])
    return None


def _private(value: int, name: str) -> tuple[Code, Code]:
    return TISSUE, (f"label-{value}", PRIVATE, name)


def _words(name: str) -> str:
    return " ".join(re.findall(r"[a-z]+", name.lower().replace("task", "")))


def _bare(name: str) -> str:
    return " ".join(WITHOUT_SIDES.sub("", _words(name)).split())
