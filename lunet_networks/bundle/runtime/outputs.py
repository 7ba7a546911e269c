"""Names of the files that runs write to ``output_dir``."""

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

# what a new training deletes if overwrite is set; copies of older models are kept
OF_TRAINING = (RUN_RECORD, CHECKPOINT, HISTORY, CURVES, TENSORBOARD, EPOCH_MODELS, PRUNING_HISTORY, PRUNING_PICTURE)

RECORDS = {  # file in output_dir: its name in the docs of a bundle with weights
    RUN_RECORD: "training_run.json",
    HISTORY: "training_history.csv",
    SUMMARY: "evaluation_summary.csv",
    CASES: "evaluation_cases.csv",
}
