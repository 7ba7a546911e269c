"""The parts of a training: losses, optimizers, schedules, and the handlers that record, save and resume it."""

from lunet_networks.bundle.training.averaging import WeightAverage, WeightAverageHandler
from lunet_networks.bundle.training.checkpoints import Checkpoints
from lunet_networks.bundle.training.curves import Curves
from lunet_networks.bundle.training.decoupling import DecouplingInferer, DecouplingLoss
from lunet_networks.bundle.training.deep_training import DeepTraining
from lunet_networks.bundle.training.dice import LabelDice, MeanDice, labels_of_batch
from lunet_networks.bundle.training.early_stop import EarlyStop
from lunet_networks.bundle.training.foreground_prior import start_at_prior
from lunet_networks.bundle.training.history import EpochRecorder, History
from lunet_networks.bundle.training.losses import SegmentationLoss
from lunet_networks.bundle.training.optimizers import create_optimizer
from lunet_networks.bundle.training.progress import ProgressBar, TensorBoard
from lunet_networks.bundle.training.run_record import DatasetCases, RunRecord, RunRecordHandler, dataset_of_run
from lunet_networks.bundle.training.schedules import LearningRateSchedule
from lunet_networks.bundle.training.summary import Summary
from lunet_networks.bundle.training.tracking import track_evaluation, track_run, track_training
from lunet_networks.bundle.training.trained_cases import TrainedCases
from lunet_networks.bundle.training.weights import CheckpointLoader, load_pretrained

__all__ = [
    "CheckpointLoader",
    "Checkpoints",
    "Curves",
    "DatasetCases",
    "DecouplingInferer",
    "DecouplingLoss",
    "DeepTraining",
    "EarlyStop",
    "EpochRecorder",
    "History",
    "LabelDice",
    "LearningRateSchedule",
    "MeanDice",
    "ProgressBar",
    "RunRecord",
    "RunRecordHandler",
    "SegmentationLoss",
    "Summary",
    "TensorBoard",
    "TrainedCases",
    "WeightAverage",
    "WeightAverageHandler",
    "create_optimizer",
    "dataset_of_run",
    "labels_of_batch",
    "load_pretrained",
    "start_at_prior",
    "track_evaluation",
    "track_run",
    "track_training",
]
