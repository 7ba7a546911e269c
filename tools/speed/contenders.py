"""Contenders of a comparison of speed, each in a process of its own, which computes when it is asked to."""

import multiprocessing
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from monai.networks.blocks.mednext_block import MedNeXtBlock, MedNeXtDownBlock, MedNeXtUpBlock
from torch import nn

from lunet_networks import create_network, deploy
from lunet_networks.bundle.inference.formats import FORMATS
from lunet_networks.bundle.runtime.freed_memory import keep_freed_memory
from lunet_networks.nets.layers import ConvUnit
from tools.tables.peers import VOLUME_PEERS

PRODUCT = "matrix product"  # of two matrices of this size, the measure of what the machine can do
PRODUCT_SIZE = 2048
ENGINES = ("onnx", "openvino")
FORMS = ("published", "ours", "deployed", *ENGINES)
PEER_FORMS = ("published", *ENGINES)
# Seconds of a visit that do not count, and that do; a run at least each. Threads of the contender before, such as ONNX
# Runtime's, spin for some hundredths of a second when they wait for more work, and take a core away.
WARM_UP, TIMED = 0.15, 0.15
PATIENCE = 300  # seconds within which a contender is set up or visited; it takes a minute at most

Run = Callable[[], object]


@dataclass(frozen=True)
class Contender:
    """What computes.

    Args:
        network: a preset, a peer of MONAI, or the matrix product.
        form: one of ``FORMS``.
        input_shape: ``(B, C, [D,] H, W)``.
        num_threads: of the CPU.
    """

    network: str
    form: str
    input_shape: tuple[int, ...]
    num_threads: int

    def prepare(self) -> Run:
        """What is timed."""
        torch.set_num_threads(self.num_threads)
        torch.set_grad_enabled(False)
        keep_freed_memory()  # or which form takes fresh pages, and how many, would be chance
        if self.network == PRODUCT:
            return partial(torch.mm, *torch.randn(2, PRODUCT_SIZE, PRODUCT_SIZE))
        network, image = make_network(self.network).eval(), torch.randn(self.input_shape)
        if self.form in ENGINES:
            return partial(_engine(network, self.form, image), image)
        return partial(
            {"published": with_plain_layers, "ours": nn.Identity(), "deployed": deploy}[self.form](network), image
        )


def make_network(name: str) -> nn.Module:
    """A preset or a peer."""
    return VOLUME_PEERS[name].make_network() if name in VOLUME_PEERS else create_network(name)


def _engine(network: nn.Module, engine: str, image: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter, which takes every peer, announces its end
        path = str(Path(folder, "network.onnx"))
        torch.onnx.export(network, (image,), path, dynamo=False, input_names=["image"])
        return FORMATS[engine].read(path, torch.device("cpu"))[0]


class Contest:
    """Contenders that are set up and take turns.

    Args:
        contenders: of them all; each gets a process.
    """

    def __init__(self, contenders: Sequence[Contender]) -> None:
        # a server that has imported everything forks them: an import takes longer than what is measured
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, "onnxruntime", "openvino"])
        self.contenders = contenders
        self.connections: list[Connection] = []
        self.processes = []
        for contender in contenders:
            ours, theirs = context.Pipe()
            self.processes.append(context.Process(target=_serve, args=(contender, theirs), daemon=True))
            self.connections.append(ours)
            self.processes[-1].start()
            theirs.close()
        for number in range(len(contenders)):
            self._receive(number)

    def __enter__(self) -> "Contest":
        return self

    def __exit__(self, *_: object) -> None:
        for connection, process in zip(self.connections, self.processes, strict=True):
            connection.close()
            process.join(PATIENCE)
            process.kill()

    def visit(self, number: int) -> float:
        """The median of some runs of a contender, in seconds, after some that do not count."""
        self.connections[number].send(None)
        return self._receive(number)

    def _receive(self, number: int) -> float:
        try:
            answered = self.connections[number].poll(PATIENCE)
            answer = self.connections[number].recv() if answered else f"no answer for {PATIENCE} seconds"
        except EOFError:
            answer = "its process ended"
        if isinstance(answer, str):
            contender = self.contenders[number]
            raise RuntimeError(f"{contender.network}, {contender.form}, cannot be measured: {answer}")
        return answer


def _serve(contender: Contender, connection: Connection) -> None:
    try:
        run = contender.prepare()
        connection.send(0.0)
        while True:
            try:
                connection.recv()
            except EOFError:
                return
            connection.send(_time(run))
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")


def _time(run: Run) -> float:
    _runs(run, WARM_UP)
    return statistics.median(_runs(run, TIMED))


def _runs(run: Run, together: float) -> list[float]:
    """Seconds of each of the runs that take so many seconds together."""
    seconds = [_seconds(run)]
    while sum(seconds) < together:
        seconds.append(_seconds(run))
    return seconds


def _seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


KINDS = (
    *(nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.MaxPool2d, nn.MaxPool3d),
    *(nn.GroupNorm, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(MedNeXtDownBlock, MedNeXtUpBlock, MedNeXtBlock),  # the first two are of the last class, too
)


class PlainUnit(ConvUnit):
    """A unit whose layers run one by one."""

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        return self.adn(self.conv(torch.cat(inputs, dim=1)))


def with_plain_layers(network: nn.Module) -> nn.Module:
    """Take all that ``lunet_networks`` does for speed away from a network.

    Args:
        network: of this package; changed in place.

    Returns:
        The same network.

    Example:
        >>> from lunet_networks import create_network
        >>> type(with_plain_layers(create_network("lunet_small_4f")).head).__module__
        'torch.nn.modules.conv'
    """
    for module in network.modules():
        kind = next((kind for kind in (ConvUnit, *KINDS) if isinstance(module, kind)), None)
        if kind is not None:
            module.__class__ = PlainUnit if kind is ConvUnit else kind
    return network
