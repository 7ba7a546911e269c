"""What was measured of networks that are compared: docs/benchmark.json, run by run."""

import functools
import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.tables.measurement import static_costs
from tools.tables.peers import COMPARISONS, Comparison

Run = Mapping[str, Any]

FEWEST_ROUNDS = 3
IDLE = 0.7  # load average of a machine that does nothing else


@dataclass(frozen=True)
class Figures:
    """The figures of a comparison, measured in one run or in several.

    Args:
        comparison: that they are of.
        runs: as ``tools.tables.measurement.measure_networks`` gives them, from the first to the last. Each has the
            reference; where it was measured only for the ratios of the others, ``along`` names it.
    """

    comparison: Comparison
    runs: Sequence[Run]

    def run(self, name: str) -> Run:
        """That gave the figures of a network."""
        return next(run for run in self.runs if name in rows(run))

    def costs(self, name: str) -> Mapping[str, Any]:
        """Parameters, MACs, seconds and peaks of memory of a network."""
        return self.run(name)["networks"][name]

    def milliseconds(self, name: str, what: str) -> float | None:
        """Median of the rounds; None for what is not done with this network."""
        seconds = self.costs(name)["seconds"].get(what)
        return statistics.median(seconds) * 1000 if seconds else None

    def ratio(self, name: str, other: str, what: str) -> float | None:
        """How many times as long as another network it takes, round by round: what slows a round slows both. Networks
        of different runs are compared by way of the reference, which stood beside each of them."""
        run, run_of_other, reference = self.run(name), self.run(other), self.comparison.reference
        if other in run["networks"]:
            return _ratio(run, name, other, what)
        ratio, ratio_of_other = _ratio(run, name, reference, what), _ratio(run_of_other, other, reference, what)
        return ratio / ratio_of_other if ratio and ratio_of_other else None

    def missing(self) -> Iterator[str]:
        """Networks that were not measured, or have other parameters or MACs by now."""
        measured = {name: run["networks"][name] for run in self.runs for name in rows(run)}
        for name, costs in _static_costs(self.comparison).items():
            if any(measured.get(name, {}).get(cost) != value for cost, value in costs.items()):
                yield name

    def provisional(self) -> list[str]:
        """Networks whose times are no measure."""
        return [name for run in self.runs if reservations(run) for name in rows(run)]

    def with_run(self, new: Run) -> "Figures":
        """These figures and those of another run, which replace older ones of the same networks. A run stays as long as
        a network is left whose figures count; with it stays the reference."""
        kept = []
        for run in self.runs:
            left = [name for name in rows(run) if name in self.comparison.networks and name not in rows(new)]
            if left:
                names = [name for name in run["networks"] if name in left or name == self.comparison.reference]
                networks = {name: run["networks"][name] for name in names}
                kept.append({**run, "along": [name for name in names if name not in left], "networks": networks})
        return Figures(self.comparison, [*kept, new])


def rows(run: Run) -> list[str]:
    """The networks for whose own figures a run was made."""
    return [name for name in run["networks"] if name not in run["along"]]


def reservations(run: Run) -> list[str]:
    """Why the times of a run are no measure."""
    reasons = []
    if run["rounds"] < FEWEST_ROUNDS:
        reasons.append(f"fewer than {FEWEST_ROUNDS} rounds")
    if run["load_before"] is not None and run["load_before"] > IDLE:
        reasons.append(f"the machine was busy with something else (load {run['load_before']})")
    return reasons


def _ratio(run: Run, name: str, other: str, what: str) -> float | None:
    own, of_other = (run["networks"][each]["seconds"].get(what) for each in (name, other))
    if not own or not of_other:
        return None
    return statistics.median(one / another for one, another in zip(own, of_other, strict=True))


@functools.cache
def _static_costs(comparison: Comparison) -> dict[str, dict[str, int]]:
    shape = comparison.input_shape
    return {name: static_costs(make_network(), shape) for name, make_network in comparison.networks.items()}


def read_figures(path: str | Path) -> dict[str, Figures]:
    """What was measured of each comparison; nothing where there is no such file."""
    path = Path(path)
    runs = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {title: Figures(comparison, runs.get(title, [])) for title, comparison in COMPARISONS.items()}


def as_json(figures: Mapping[str, Figures]) -> str:
    """The figures with a line for every network."""
    parts = (f' "{title}": [\n{_joined(_run_as_json(run) for run in each.runs)}\n ]' for title, each in figures.items())
    return f"{{\n{_joined(parts)}\n}}\n"


def _run_as_json(run: Run) -> str:
    networks = _joined(f'    "{name}": {json.dumps(costs)}' for name, costs in run["networks"].items())
    rest = _joined(f'   "{name}": {json.dumps(value)}' for name, value in run.items() if name != "networks")
    return f'  {{\n{rest},\n   "networks": {{\n{networks}\n   }}\n  }}'


def _joined(parts: Iterable[str]) -> str:
    return ",\n".join(parts)
