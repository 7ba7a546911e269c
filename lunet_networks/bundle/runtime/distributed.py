"""Training one network with several processes started by torchrun, each on its own device.

``ignite.distributed`` provides the rank, the number of processes, gathering and averaging; this module adds the rest.
Everything also works in a single process, where it has no effect.
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

# One machine may take that much longer than another to read and cache the data. If a process has ended, the others do
# not wait that long: torchrun ends them.
PATIENCE = timedelta(hours=2)

_store: dist.Store | None = None  # for messages between the processes other than tensors; outlives most processes


def local_device() -> torch.device:
    """The device of this process: the GPU with the local rank of the process, or the CPU if there is no GPU.

    It is needed before the processes are connected, when ``ignite.distributed`` does not know the local rank yet.

    Raises:
        ValueError: if the machine has fewer GPUs than processes.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number, gpus = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if number >= gpus:
        raise ValueError(
            f"process {number} of this machine has no GPU, as there are only {gpus}: start at most {gpus} processes "
            f"with --nproc_per_node={gpus}, or train on the CPU with --device cpu"
        )
    return torch.device("cuda", number)


def start_processes(device: torch.device | str) -> None:
    """Connect this process to the others that torchrun has started: by NCCL on GPUs, otherwise by gloo.

    From then on only rank 0 writes to the log.

    Args:
        device: where this process computes.

    Raises:
        ValueError: if torchrun has not started the process.
    """
    global _store
    if "RANK" not in os.environ:
        raise ValueError(
            "multi_gpu_train.json needs several processes, start them with torchrun: torchrun --standalone "
            "--nproc_per_node=2 -m monai.bundle run training "
            "--config_file \"['configs/train.json','configs/multi_gpu_train.json']\""
        )
    backend = "gloo"
    if torch.device(device).type == "cuda":
        backend = "nccl"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # NCCL and the device "cuda" use the current one
    # ignite.distributed.initialize is no alternative: it does not return the store, in which the processes also report
    # failures, and it uses a GPU even if the CPU was requested
    store, number, size = next(dist.rendezvous("env://"))
    # with --max_restarts torchrun keeps the store and the entries of earlier attempts in it
    _store = dist.PrefixStore(f"attempt_{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    dist.init_process_group(backend, store=_store, rank=number, world_size=size, timeout=PATIENCE)
    idist.sync()  # here, as all processes have to take part; a later call would wait for the others
    if number != 0:
        logging.disable(logging.ERROR)


def end_processes() -> None:
    """Disconnect this process from the others."""
    global _store
    idist.finalize()
    _store = None


def distribute(network: nn.Module) -> DistributedDataParallel:
    """Wrap a network so that the gradients of all processes are averaged in training.

    The wrapper shares the parameters of the network, so all other code can use the network itself.

    Args:
        network: network on the device of this process.
    """
    # the weights of a convolution of kernel 1 fit both memory formats; the warning is about a copy of few numbers
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 has a new name for broadcast_buffers
        return DistributedDataParallel(network, broadcast_buffers=False)  # AverageBuffers does it once per epoch


def from_rank_0(step: Callable[[], T]) -> T:
    """Run a step in rank 0 only and return its result in all processes; the others wait for it.

    Args:
        step: writes files, or reads files that other machines may lack. Its result has to be picklable.

    Raises:
        Exception: in rank 0, any error of the step. The other processes end without a message.

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
        dist.broadcast_object_list(outcome, src=0)  # idist.broadcast takes only tensors, numbers and strings
    succeeded, result = outcome[0]
    if not succeeded:
        _wait_until_told()
        raise SystemExit(1)
    return result


def tell_failure(tell: Callable[[], None], message: str) -> None:
    """Report a failure in the first process that fails only, so that the user reads about a mistake once.

    The other processes fail too, either in the same way or because they lose the first one.

    Args:
        tell: prints the reason.
        message: the reason in one line, for the summary that torchrun writes at the end.
    """
    if _store is None:
        tell()
        return
    with suppress(RuntimeError):  # the process that holds the store has ended: it failed earlier
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
    """Handler that averages the buffers of the network over all processes after every epoch.

    The buffers are the running statistics of batch norm. Training does not read them, so each process can collect those
    of its own cases. After averaging, the validated and saved network has the statistics of all cases and is the same
    in every process.

    Args:
        network: the network whose buffers are averaged.

    Example::

        SupervisedTrainer(..., train_handlers=[AverageBuffers(network), ValidationHandler(1, evaluator)])
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Attach this handler to a trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if idist.get_world_size() == 1:
            return
        for buffer in self.network.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer)  # idist.all_reduce would move it to a GPU even if the CPU was requested
                buffer /= idist.get_world_size()


def _wait_until_told() -> None:
    """Wait until the failed process has reported: torchrun ends it as soon as another process has ended."""
    if _store is not None:
        with suppress(RuntimeError):
            _store.wait(["told"], timedelta(seconds=10))
