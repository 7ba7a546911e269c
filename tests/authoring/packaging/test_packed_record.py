"""The records of a training in a packed bundle."""

from lunet_networks.authoring.packaging.packed_record import Records
from lunet_networks.bundle.training.records import DATASET_DIR


def test_no_path_of_the_machine_is_packed():
    settings = {"label_names": ["tumour"], "pretrained": "/home/me/models/model.pt"}
    run = {"settings": settings, DATASET_DIR: "/home/me/data", "cases": {"training": ["a.nii.gz"], "validation": []}}
    packed = Records(run, "", "").files()["docs/training_run.json"]
    assert "/home" not in packed
    assert DATASET_DIR not in packed
    assert run[DATASET_DIR] == "/home/me/data"
