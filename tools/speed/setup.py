"""What figures were measured with: the machine, the versions, the threads, the rounds, and how busy the machine was."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lunet_networks.bundle.runtime.machine import describe_machine
from lunet_networks.bundle.runtime.versions import describe_versions

Setup = Mapping[str, Any]

FEWEST_ROUNDS = 3
IDLE = 0.7  # load average of a machine that does nothing else


def describe_setup(num_threads: int, rounds: int) -> Setup:
    """The set-up of figures that are measured from now on.

    Args:
        num_threads: of the CPU.
        rounds: visits to everything that is timed.
    """
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "num_threads": num_threads,
        "rounds": rounds,
        "load": load_average(),
    }


def load_average() -> float | None:
    """How many processes ran or waited for a processor in the last minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def machine_text(setup: Setup) -> str:
    """Threads, machine and versions in words.

    Example:
        >>> machine = {"cpu": "X", "cpu_cores": 2, "cpu_instructions": "AVX2", "ram_gib": 8, "os": "Linux x86_64"}
        >>> machine_text({"machine": machine, "versions": {"torch": "2.13.0", "openvino": None}, "num_threads": 2})
        '2 threads of X (2 cores, AVX2, 8 GiB, Linux x86_64); torch 2.13.0'
    """
    machine = setup["machine"]
    parts = f"{machine['cpu_cores']} cores, {machine['cpu_instructions']}, {machine['ram_gib']} GiB, {machine['os']}"
    versions = ", ".join(f"{name} {version}" for name, version in setup["versions"].items() if version)
    plural = "s" if setup["num_threads"] > 1 else ""
    return f"{setup['num_threads']} thread{plural} of {machine['cpu']} ({parts}); {versions}"


def times_text(setup: Setup) -> str:
    """When times were measured, in how many rounds, and, if they are provisional, why.

    Example:
        >>> times_text({"date": "2030-01-31", "rounds": 5, "load": 0.1})
        'on 2030-01-31, medians of 5 rounds'
        >>> times_text({"date": "2030-01-31", "rounds": 2, "load": 1.5})
        'on 2030-01-31, medians of 2 rounds (provisional: fewer than 3 rounds, other work on the machine, load 1.5)'
    """
    reasons = reservations(setup)
    warning = f" (provisional: {', '.join(reasons)})" if reasons else ""
    return f"on {setup['date']}, medians of {setup['rounds']} rounds{warning}"


def reservations(setup: Setup) -> list[str]:
    """The reasons why times that were measured with a set-up are provisional."""
    reasons = []
    if setup["rounds"] < FEWEST_ROUNDS:
        reasons.append(f"fewer than {FEWEST_ROUNDS} rounds")
    if setup["load"] is not None and setup["load"] > IDLE:
        reasons.append(f"other work on the machine, load {setup['load']}")
    return reasons
