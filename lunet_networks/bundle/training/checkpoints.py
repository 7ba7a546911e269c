"""Weights and training state on disk: never half written, and sufficient to resume a training exactly."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.networks import get_state_dict
from torch import nn
from torch.optim import Optimizer

from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.distributed import from_rank_0
from lunet_networks.bundle.runtime.files import as_path, next_numbered, write_atomically
from lunet_networks.bundle.training.averaging import WeightAverage
from lunet_networks.bundle.training.history import History
from lunet_networks.bundle.training.records import is_model_of, note_weights, read_record
from lunet_networks.bundle.training.replaced_outputs import discard_replaced

__all__ = ["Checkpoints", "save_atomically"]

logger = logging.getLogger(__name__)


def save_atomically(content: Any, path: str | Path) -> None:
    """``torch.save``, but at every moment ``path`` is either the complete old file or the complete new one.

    Raises:
        OSError: as for ``write_atomically``.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "model.pt")
        >>> save_atomically(nn.Linear(2, 1).state_dict(), path)
        >>> list(torch.load(path, weights_only=True))
        ['weight', 'bias']
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getbuffer())


class Checkpoints:
    """Handler that saves a training after every epoch and can resume it.

    - ``CKPT_DIR/model.pt``: the weights of the best epoch as a plain state dict; the newest weights until the first
      validation. A model.pt from before the run is copied to ``OUTPUT_DIR/model_before_N.pt`` first.
    - ``OUTPUT_DIR/checkpoint.pt``: the state after the last completed epoch: network, optimizer, gradient scaler,
      average of the weights, epoch, history. Random states are not needed, see ``seeding``.
    - ``OUTPUT_DIR/model_epochNNNN.pt``: the weights of every ``save_interval``-th epoch.

    Where the weights are averaged, model.pt and model_epochNNNN.pt hold the average.

    The checkpoint is written before model.pt. A model.pt without a checkpoint is therefore from another run, and if the
    process is killed between the two, the checkpoint holds the weights that belong into model.pt. Between the two the
    digest of the weights is noted in the run's record, see ``note_weights``. The first checkpoint of a training that
    replaces an older one deletes the output of that. MONAI's ``CheckpointSaver`` has neither.

    With several processes rank 0 reads and writes, and all of them load the state.

    Args:
        network: the network to save, or to load into when resuming; not wrapped in DistributedDataParallel.
        optimizer: the optimizer to save, or to load into when resuming.
        history: history of the run; its recorder is attached before this handler.
        ckpt_dir: folder of model.pt.
        output_dir: folder of the run.
        save_interval: keep the weights of every so many epochs; 0: keep none.
        resume: continue from checkpoint.pt if there is one.
        average: of the weights; None: the newest weights are kept.

    Raises:
        OSError: during the training, if a file cannot be written; the message names it.
        ValueError: if checkpoint.pt is damaged or from another network.

    Example::

        SupervisedTrainer(..., train_handlers=[history, Checkpoints(network, optimizer, history, "models", "eval")])
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        history: History,
        ckpt_dir: str | Path,
        output_dir: str | Path,
        save_interval: int = 0,
        resume: bool = False,
        average: WeightAverage | None = None,
    ) -> None:
        self.network = network
        self.average = WeightAverage(network) if average is None else average
        self.optimizer = optimizer
        self.history = history
        self.model_path = as_path(ckpt_dir) / "model.pt"
        self.output_dir = as_path(output_dir)
        self.checkpoint_path = self.output_dir / outputs.CHECKPOINT
        self.save_interval = save_interval
        self.resume = resume

    def attach(self, engine: Engine) -> None:
        """Attach this handler to a trainer."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    def _begin(self, engine: Engine) -> None:
        if engine.state.epoch > 0:  # a federated client runs the same trainer again in every round
            return
        checkpoint = from_rank_0(self._read_checkpoint) if self.resume else None
        if checkpoint is not None:
            self._load(engine, checkpoint)
        elif idist.get_rank() == 0:
            self._keep_older_model()

    def _read_checkpoint(self) -> bytes | None:
        """The content of the file, which is also sent to processes on machines that cannot read the file."""
        return self.checkpoint_path.read_bytes() if self.checkpoint_path.is_file() else None

    def _load(self, engine: Engine, checkpoint: bytes) -> None:
        try:
            state = torch.load(io.BytesIO(checkpoint), map_location="cpu", weights_only=True)
            self.restore_form(state)
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
        except Exception as error:  # pickle, zip and torch raise many kinds of errors for a damaged file
            raise ValueError(
                f"{self.checkpoint_path} cannot be resumed, it is damaged or from another network; "
                f"start a new training with --overwrite True: {error}"
            ) from None  # so that the last line shows the first cause
        self.optimizer.load_state_dict(state["optimizer"])
        if engine.scaler is not None:
            engine.scaler.load_state_dict(state["scaler"])
        self.history.rows = state["history"]
        engine.state.epoch = state["epoch"]
        engine.state.iteration = state["epoch"] * engine.state.epoch_length
        logger.info(f"resumed after epoch {state['epoch']} of {engine.state.max_epochs}")
        if idist.get_rank() == 0:
            self.history.write()
            self.save_model(state["epoch"])
            self._tell_lost_model()

    def _save(self, engine: Engine) -> None:
        if idist.get_rank() != 0:
            return
        epoch = engine.state.epoch
        state = {
            "network": get_state_dict(self.network),
            "optimizer": self.optimizer.state_dict(),
            "scaler": engine.scaler.state_dict() if engine.scaler is not None else {},
            "average": self.average.state_dict(),
            "epoch": epoch,
            "history": self.history.rows,
            **self.form(),
        }
        save_atomically(state, self.checkpoint_path)
        discard_replaced(self.output_dir)
        self.save_model(epoch)
        if self.save_interval and epoch % self.save_interval == 0:
            name = outputs.EPOCH_MODELS.replace("*", f"{epoch:04d}")
            save_atomically(get_state_dict(self.average.network), self.output_dir / name)

    def form(self) -> dict[str, Any]:
        """Additional state to save if a training changes the structure of its network."""
        return {}

    def restore_form(self, state: dict[str, Any]) -> None:
        """Restore the structure of network and optimizer, before their state is loaded."""

    def save_model(self, epoch: int) -> None:
        """Write model.pt if this epoch is the best so far."""
        best = self.history.best
        if best is None or best["epoch"] == epoch:
            weights = get_state_dict(self.average.network)
            note_weights(self.output_dir, weights, epoch)
            save_atomically(weights, self.model_path)

    def _tell_lost_model(self) -> None:
        """Say it if the best weights so far are not where the resumed training would leave better ones."""
        best = self.history.best
        problem = "" if best is None else self._problem_of_model()
        if problem:
            logger.warning(
                f"{self.model_path} {problem}: it held the best weights of this training, those of epoch "
                f"{best['epoch']}; give the --ckpt_dir of the earlier run, or only a better epoch will write it again"
            )
            self._keep_older_model()

    def _problem_of_model(self) -> str:
        record = self.output_dir / outputs.RUN_RECORD
        if not self.model_path.is_file():
            return "is missing"
        try:
            fits = not record.is_file() or is_model_of(self.model_path, read_record(record))
        except ValueError:
            return "is damaged"
        return "" if fits else "is of another training"

    def _keep_older_model(self) -> None:
        if not self.model_path.is_file():
            return
        content = self.model_path.read_bytes()
        kept = self.output_dir.glob("model_before_*.pt")
        if any(path.read_bytes() == content for path in kept):
            return
        copy = next_numbered(self.output_dir / "model_before_*.pt")
        write_atomically(copy, content)
        logger.info(f"{self.model_path} is from an earlier run: a copy is kept as {copy}")
