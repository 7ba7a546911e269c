"""What a network costs: parameters, operations, the times of all its forms, and memory."""

from collections.abc import Callable
from typing import Any

from lunet_networks.bundle.benchmark.memory import measure_peak_memory
from lunet_networks.summary import count_macs, count_parameters
from tools.speed.contenders import MatrixProduct, NetworkForm, forms, steps
from tools.speed.contest import Contest
from tools.tables.networks import Subject, make_network


def static_costs(subject: Subject) -> dict[str, int]:
    """Parameters, and multiply-accumulates of an input."""
    network = make_network(subject.network)
    return {"parameters": count_parameters(network), "macs": count_macs(network, subject.input_shape)}


def measure_costs(subject: Subject, rounds: int, num_threads: int, done: Callable[[], object]) -> dict[str, Any]:
    """Measure a network.

    Args:
        subject: the network and the size of its input.
        rounds: visits to every form of it, and to a matrix product between them.
        num_threads: of the CPU.
        done: called ``num_parts`` times, for a progress bar.

    Returns:
        The figures as the record holds them: seconds of every round, bytes.

    Raises:
        RuntimeError: if one of the forms cannot be measured.
        ChildProcessError: if there is too little memory.
    """
    figures: dict[str, Any] = {"network": subject.network, "size": subject.size, **static_costs(subject)}
    names = forms(subject)
    contenders = [NetworkForm(subject, form, num_threads) for form in names]
    with Contest([*contenders, MatrixProduct(num_threads)]) as contest:
        done()
        *seconds, product = contest.rounds(rounds, done)
    peaks = {}
    for name, step in steps(subject).items() if subject.is_trained else ():
        peaks[name] = measure_peak_memory(step, num_threads)
        done()
    return {
        **figures,
        "seconds": dict(zip(names, seconds, strict=True)),
        "product_seconds": product,
        "peak_bytes": {name: peak for name, peak in peaks.items() if peak is not None},
    }


def num_parts(subject: Subject, rounds: int) -> int:
    """Into how many parts a bar divides the measuring of a network."""
    return 1 + (len(forms(subject)) + 1) * rounds + (len(steps(subject)) if subject.is_trained else 0)
