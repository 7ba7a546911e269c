"""Several processes that train one network together, each on a device of its own, as torchrun starts them.

``ignite.distributed`` tells rank and number of processes, gathers and averages; here is what it does not have.
Everything works in a single process too, where it changes nothing.
"""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import ignite.distributed as idist
import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import nn
from torch.nn.parallel import DistributedDataParallel

__all__ = [
    "AverageBuffers",
    "distribute",
    "end_processes",
    "from_rank_0",
    "local_device",
    "start_processes",
    "tell_failure",
]

T = TypeVar("T")

# One machine may take that much longer than another to read and cache the data. Nobody waits that long for a process
# that has ended: torchrun sees it and ends the others.
PATIENCE = timedelta(hours=2)

_store: dist.Store | None = None  # what the processes tell each other apart from tensors; outlives most of them


def local_device() -> torch.device:
    """The device of this process: the GPU of its machine that has the process' number there, or the CPU where there is
    none. It is asked for before the processes are connected, when ``ignite.distributed`` does not know the number.

    Raises:
        ValueError: if the machine has fewer GPUs than processes.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number, gpus = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if number >= gpus:
        raise ValueError(
            f"process {number} of this machine has no GPU, there are {gpus}: start at most as many processes with "
            f"--nproc_per_node={gpus}, or train on the CPU with --device cpu"
        )
    return torch.device("cuda", number)


def start_processes(device: torch.device | str) -> None:
    """Connect this process to the others that torchrun has started: by NCCL if they compute on GPUs, else by gloo. Only
    the first of them goes on to write to the log.

    Args:
        device: where this process computes.

    Raises:
        ValueError: if the process was not started by torchrun.
    """
    global _store
    if "RANK" not in os.environ:
        raise ValueError(
            "multi_gpu_train.json is for several processes, which torchrun starts: torchrun --standalone "
            "--nproc_per_node=2 -m monai.bundle run training "
            "--config_file \"['configs/train.json','configs/multi_gpu_train.json']\""
        )
    backend = "gloo"
    if torch.device(device).type == "cuda":
        backend = "nccl"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # NCCL and whoever says "cuda" mean the current one
    # not by ignite.distributed.initialize: it does not give away the store, in which the processes also write of their
    # failures, and it takes a GPU where the CPU was asked for
    store, number, size = next(dist.rendezvous("env://"))
    # with --max_restarts torchrun keeps the store, and in it what the processes of an earlier attempt have written
    _store = dist.PrefixStore(f"attempt_{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    dist.init_process_group(backend, store=_store, rank=number, world_size=size, timeout=PATIENCE)
    idist.sync()  # here, where all processes take part: the one that asks it first has to wait for the others
    if number != 0:
        logging.disable(logging.ERROR)


def end_processes() -> None:
    """Disconnect this process from the others."""
    global _store
    idist.finalize()
    _store = None


def distribute(network: nn.Module) -> DistributedDataParallel:
    """The form of a network in which a trainer averages the gradients of all processes. It has the network's own
    parameters, so that whatever else needs the network takes it as it is.

    Args:
        network: on the device of this process.
    """
    # a convolution of kernel 1 has its weights in either order at once, which costs a copy of these few numbers
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 knows broadcast_buffers by a name of its own too
        return DistributedDataParallel(network, broadcast_buffers=False)  # AverageBuffers does it once an epoch


def from_rank_0(step: Callable[[], T]) -> T:
    """What a step gives that only the first process takes; the others wait for it.

    Args:
        step: writes files or reads those that other machines need not have. What it returns has to be picklable.

    Raises:
        Exception: whatever the step raises, in the first process. The others end, without a word about it.

    Example:
        >>> from_rank_0(lambda: 7)
        7
    """
    if idist.get_world_size() == 1:
        return step()
    outcome: list[tuple[bool, T | None]] = [(False, None)]
    try:
        if idist.get_rank() == 0:
            outcome = [(True, step())]
    finally:
        dist.broadcast_object_list(outcome, src=0)  # idist.broadcast takes tensors, numbers and texts only
    succeeded, result = outcome[0]
    if not succeeded:
        _wait_until_told()
        raise SystemExit(1)
    return result


def tell_failure(tell: Callable[[], None], message: str) -> None:
    """Have the first process that fails say why. Those that lose it fail too, or all fail in the same way: of one
    mistake a user should read once.

    Args:
        tell: says why.
        message: the same in a line, for the summary that torchrun writes at the end.
    """
    if _store is None:
        tell()
        return
    with suppress(RuntimeError):  # the process that kept the store has ended: it failed before
        if _store.add("failures", 1) > 1:
            _wait_until_told()
            return
        summary = os.environ.get("TORCHELASTIC_ERROR_FILE")
        if summary:
            content = {"message": {"message": message, "extraInfo": {"timestamp": str(int(time.time()))}}}
            Path(summary).write_text(json.dumps(content), encoding="utf-8")
        tell()
        _store.set("told", "")


class AverageBuffers:
    """Handler that gives every process the mean of what their networks keep in buffers, whenever an epoch is over.

    These are the running statistics of batch norm. Training does not read them, so that each process may gather those
    of its own cases; what is validated and saved then has those of all cases, and is the same everywhere.

    Args:
        network: whose buffers.

    Example::

        SupervisedTrainer(..., train_handlers=[AverageBuffers(network), ValidationHandler(1, evaluator)])
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if idist.get_world_size() == 1:
            return
        for buffer in self.network.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer)  # idist.all_reduce would take it to a GPU where the CPU was asked for
                buffer /= idist.get_world_size()


def _wait_until_told() -> None:
    """Go on when the process that failed has said why: torchrun ends it as soon as another one has ended."""
    if _store is not None:
        with suppress(RuntimeError):
            _store.wait(["told"], timedelta(seconds=10))
