"""Names of the files that runs write to ``output_dir``, and the folder of their weights."""

from pathlib import Path

from lunet_networks.bundle.runtime.files import as_path

__all__ = [
    "CASES",
    "CHECKPOINT",
    "CURVES",
    "EPOCH_MODELS",
    "HISTORY",
    "OF_TRAINING",
    "PRUNING_HISTORY",
    "PRUNING_PICTURE",
    "RECORDS",
    "RUN_RECORD",
    "SUMMARY",
    "TENSORBOARD",
    "weights_folder",
]

# of a training
RUN_RECORD = "run.json"
CHECKPOINT = "checkpoint.pt"
HISTORY = "history.csv"
CURVES = "curves.png"
TENSORBOARD = "tensorboard"
EPOCH_MODELS = "model_epoch*.pt"  # * is the epoch
# of a training that prunes
PRUNING_HISTORY = "pruning_history.csv"
PRUNING_PICTURE = "pruning.png"
# of an evaluation
CASES = "cases.csv"
SUMMARY = "summary.csv"

# what a new training replaces if overwrite is set; copies of older models are kept
OF_TRAINING = (RUN_RECORD, CHECKPOINT, HISTORY, CURVES, TENSORBOARD, EPOCH_MODELS, PRUNING_HISTORY, PRUNING_PICTURE)

RECORDS = {  # file in output_dir: its name in the docs of a bundle with weights
    RUN_RECORD: "training_run.json",
    HISTORY: "training_history.csv",
    SUMMARY: "evaluation_summary.csv",
    CASES: "evaluation_cases.csv",
}


def weights_folder(output_dir: str | Path, bundle_root: str | Path) -> str:
    """The folder of model.pt: the bundle's own for a training in its own folder ``eval``, otherwise one in
    ``output_dir``, so that trainings in several folders leave several models.

    Args:
        output_dir: of the training.
        bundle_root: the bundle's folder.

    Example:
        >>> weights_folder("./eval", "."), weights_folder("eval/", "."), weights_folder("runs/first", ".")
        ('models', 'models', 'runs/first/models')
    """
    output, root = as_path(output_dir), as_path(bundle_root)
    return str((root if output.resolve() == (root / "eval").resolve() else output) / "models")
