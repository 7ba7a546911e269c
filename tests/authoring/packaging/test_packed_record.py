"""The records of a training in a packed bundle."""

from lunet_networks.authoring.packaging.packed_record import Records
from lunet_networks.bundle.training.records import DATASET_DIR


def test_no_path_of_the_machine_is_packed():
    settings = {"label_names": ["tumour"], "pretrained": "/home/me/models/model.pt"}
    run = {"settings": settings, DATASET_DIR: "/home/me/data", "cases": {"training": ["a.nii.gz"], "validation": []}}
    packed = Records(run, "", "label,weights\ntumour,d1\n").files()["docs/training_run.json"]
    assert "/home" not in packed
    assert DATASET_DIR not in packed
    assert run[DATASET_DIR] == "/home/me/data"


def test_the_digest_of_weights_with_heads_of_training_is_not_packed():
    run = {"settings": {"label_names": ["tumour"]}, "cases": {"training": [], "validation": []}}
    packed = Records(run, "", "label,mean,weights\ntumour,0.5,d1\n").files()
    assert packed["docs/evaluation_summary.csv"] == "label,mean\r\ntumour,0.5\r\n"
