"""Contenders that take turns. Each has its own process, which computes on request."""

import multiprocessing
import random
import statistics
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Protocol

import torch

from lunet_networks.bundle.runtime.freed_memory import keep_freed_memory

# Seconds of a visit that do not count, and that do; one run each at least. Threads of the contender before, as of ONNX
# Runtime's, spin for some hundredths of a second when they wait for more work, and take a core away.
WARM_UP, TIMED = 0.15, 0.15
PATIENCE = 300  # seconds within which a contender is set up or visited; it takes a minute at most

Run = Callable[[], object]


class Contender(Protocol):
    """What takes part. It is sent to its process, so it holds how something is made, and not the thing itself; ``str``
    of it names it in messages."""

    num_threads: int

    def prepare(self) -> Run:
        """Make what is timed."""


class Contest:
    """Contenders that are set up and take turns.

    Args:
        contenders: of them all; each gets a process.

    Raises:
        RuntimeError: if one of them cannot be set up or does not answer; names it.
    """

    def __init__(self, contenders: Sequence[Contender]) -> None:
        # a server that has imported everything forks them: an import takes longer than what is measured
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tools.speed.preload"])
        self.contenders = contenders
        self.connections: list[Connection] = []
        self.processes = []
        for contender in contenders:
            ours, theirs = context.Pipe()
            self.processes.append(context.Process(target=_serve, args=(contender, theirs), daemon=True))
            self.connections.append(ours)
            self.processes[-1].start()
            theirs.close()

    def __enter__(self) -> "Contest":
        for number in range(len(self.contenders)):
            self._receive(number)
        return self

    def __exit__(self, *_: object) -> None:
        for connection, process in zip(self.connections, self.processes, strict=True):
            connection.close()
            process.join(PATIENCE)
            process.kill()

    def rounds(self, rounds: int, done: Callable[[], object] = lambda: None) -> list[list[float]]:
        """Visit every contender once a round.

        Args:
            rounds: how many.
            done: called after every visit, for a progress bar.

        Returns:
            Seconds of every round, by contender.
        """
        seconds: list[list[float]] = [[] for _ in self.contenders]
        for number in range(rounds):
            # change the order, so that no contender always follows the same one
            for which in random.Random(number).sample(range(len(seconds)), len(seconds)):
                seconds[which].append(round(self.visit(which), 6))
                done()
        return seconds

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
            raise RuntimeError(f"{self.contenders[number]} cannot be measured: {answer}")
        return answer


def _serve(contender: Contender, connection: Connection) -> None:
    try:
        torch.set_num_threads(contender.num_threads)
        keep_freed_memory()  # otherwise chance decides which contender takes fresh pages
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
    """Seconds of each run; runs are repeated until they take ``together`` seconds."""
    seconds = [_seconds(run)]
    while sum(seconds) < together:
        seconds.append(_seconds(run))
    return seconds


def _seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
