"""LV-UNet's slope during a training, up to the deployed network."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler, from_engine
from monai.transforms import Activationsd, AsDiscreted, Compose

from lunet_networks import UNet, create_network, deploy
from lunet_networks.bundle.training.checkpoints import Checkpoints
from lunet_networks.bundle.training.deep_training import DeepTraining
from lunet_networks.bundle.training.dice import MeanDice
from lunet_networks.bundle.training.history import TRAIN_METRIC, EpochRecorder, History
from lunet_networks.bundle.training.losses import SegmentationLoss

EPOCHS = 2


def train(folder: Path, stop_after: int = EPOCHS, resume: bool = False) -> History:
    """Train an LV-UNet on noise and its bright spots."""
    torch.manual_seed(0)
    network = create_network("lv_unet")
    image = torch.randn(2, 3, 64, 64)
    cases = [{"image": each, "label": (each[:1] > 1).float()} for each in image]
    loader = DataLoader(cases, batch_size=2)
    discrete = Compose([Activationsd("pred", sigmoid=True), AsDiscreted("pred", threshold=0.5)])
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    history = History(folder, ["spots"])

    def dice() -> MeanDice:
        return MeanDice(2, from_engine(["pred", "label"]))

    evaluator = SupervisedEvaluator(
        "cpu", loader, network, postprocessing=discrete, key_val_metric={"val_mean_dice": dice()}, decollate=False
    )
    trainer = SupervisedTrainer(
        "cpu",
        EPOCHS,
        loader,
        network,
        optimizer,
        SegmentationLoss("dice_half_bce", out_channels=1),
        postprocessing=discrete,
        key_train_metric={TRAIN_METRIC: dice()},
        decollate=False,
        train_handlers=[
            ValidationHandler(1, evaluator),
            DeepTraining(network, history),
            EpochRecorder(history, evaluator, optimizer),
            Checkpoints(network, optimizer, history, folder / "models", folder, resume=resume),
        ],
    )
    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=stop_after), trainer.terminate)
    trainer.run()
    return history


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "models" / "model.pt", weights_only=True)


@pytest.mark.parametrize("course", ["cosine", "linear"])
@pytest.mark.parametrize("epochs", [1, 2, 7, 25, 300])
def test_the_slope_rises_to_1_before_the_end(course, epochs, tmp_path):
    deep_training = DeepTraining(create_network("lv_unet"), History(tmp_path, []), course)
    slopes = [deep_training.slope(epoch, epochs) for epoch in range(1, epochs + 1)]
    assert slopes == sorted(slopes)
    at_1 = slopes.count(1.0)
    assert at_1 == max(1, round(epochs / 10))
    rising = epochs - at_1
    published = {"cosine": lambda e: 1 - math.cos(math.pi * e / (2 * rising)), "linear": lambda e: e / rising}
    assert slopes[:rising] == pytest.approx([published[course](e) for e in range(rising)])


def test_only_epochs_with_a_slope_of_1_are_candidates(tmp_path):
    history, noted = History(tmp_path, []), []
    handler = DeepTraining(create_network("lv_unet"), history, "linear")
    for epoch in range(1, 7):
        handler(SimpleNamespace(state=SimpleNamespace(epoch=epoch, max_epochs=6)))
        noted.append((round(history.notes["slope"], 3), history.notes["candidate"]))
    assert noted == [(0, 0), (0.2, 0), (0.4, 0), (0.6, 0), (0.8, 0), (1, 1)]


def test_the_best_model_can_be_deployed_and_a_resumed_training_is_the_same(tmp_path):
    history = train(tmp_path / "whole")
    assert [(row["slope"], row["candidate"]) for row in history.rows] == [(0, 0), (1, 1)]
    assert history.best["epoch"] == EPOCHS
    network = create_network("lv_unet").eval()
    network.load_state_dict(weights(tmp_path / "whole"))
    deploy(network)

    train(tmp_path / "parts", stop_after=1)
    network.load_state_dict(weights(tmp_path / "parts"))
    assert network.slope == 0  # the newest weights, as none of them could be deployed
    train(tmp_path / "parts", resume=True)
    whole = weights(tmp_path / "whole")
    assert all(torch.equal(value, whole[key]) for key, value in weights(tmp_path / "parts").items())


@pytest.mark.parametrize(
    ("network", "course", "message"),
    [
        (UNet(), "cosine", "deep_training is 'cosine', but a UNet has no slope: use --deep_training none"),
        (create_network("lv_unet", deployed=True), "linear", "but a deployed network has no slope"),
        (create_network("lv_unet"), "sine", "deep_training is 'sine': it has to be one of cosine, linear"),
    ],
)
def test_what_cannot_be_trained_so(network, course, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        DeepTraining(network, History(tmp_path, []), course)
