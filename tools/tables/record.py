"""The record of what networks cost: docs/costs.json, run by run."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunet_networks.bundle.runtime.files import write_atomically
from tools import ROOT
from tools.speed.contenders import ENGINES, forms
from tools.speed.measurement import static_costs
from tools.speed.setup import Setup, reservations
from tools.tables.networks import Subject

RECORD = ROOT / "docs" / "costs.json"

Figures = Mapping[str, Any]
Run = Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """What was measured, from the first run to the last.

    Args:
        runs: each a set-up, as ``tools.speed.setup.describe_setup`` gives it, and ``figures``, as
            ``tools.speed.measurement.measure_costs`` gives them. The figures of a network may stand in several runs.
    """

    runs: Sequence[Run]

    def figures(self, subject: Subject) -> Figures:
        """All figures of a network; nothing where none were measured."""
        found: dict[str, Any] = {}
        for run in self.runs:
            for each in run["figures"]:
                if _subject(each) == subject:
                    parts = {part: {**found.get(part, {}), **each.get(part, {})} for part in ("seconds", "peak_bytes")}
                    found = {**found, **each, **parts}
        return found

    def setup(self, subject: Subject, part: str, name: str) -> Setup | None:
        """The set-up with which a figure was measured; None if it was not measured.

        Args:
            subject: the network.
            part: "seconds" or "peak_bytes".
            name: of the figure: a form, or what has a peak of memory.
        """
        for run in reversed(self.runs):
            if any(_subject(each) == subject and name in each.get(part, {}) for each in run["figures"]):
                return {key: value for key, value in run.items() if key != "figures"}
        return None

    def milliseconds(self, subject: Subject, form: str) -> float | None:
        """Median of the rounds; None where it was not measured."""
        seconds = self.figures(subject).get("seconds", {}).get(form)
        return 1e3 * statistics.median(seconds) if seconds else None

    def best_engine(self, subject: Subject) -> float | None:
        """Milliseconds in the faster engine; None where none was measured."""
        return min(filter(None, (self.milliseconds(subject, engine) for engine in ENGINES)), default=None)

    def mebibytes(self, subject: Subject, name: str) -> float | None:
        """Peak of memory of "inference" or "training_step"; None where it was not measured."""
        peak = self.figures(subject).get("peak_bytes", {}).get(name)
        return None if peak is None else peak / 2**20

    def is_missing(self, subject: Subject) -> bool:
        """Whether times are lacking, or the network had other parameters or operations when it was measured."""
        figures = self.figures(subject)
        lacking = set(forms(subject)) - figures.get("seconds", {}).keys()
        return bool(lacking) or any(figures[name] != value for name, value in static_costs(subject).items())

    def is_provisional(self, subject: Subject) -> bool:
        """Whether figures are missing, unreliable, or of several runs."""
        runs = [run for run in self.runs if any(_subject(each) == subject for each in run["figures"])]
        return len(runs) != 1 or bool(reservations(runs[0])) or self.is_missing(subject)

    def with_figures(self, setup: Setup, figures: Figures) -> "Record":
        """This record with other figures of a network instead of all earlier ones."""
        runs = []
        for run in self.runs:
            kept = [each for each in run["figures"] if _subject(each) != _subject(figures)]
            runs.append({**run, "figures": kept})
        if not runs or {**runs[-1], "figures": 0} != {**setup, "figures": 0}:
            runs.append({**setup, "figures": []})
        runs[-1]["figures"].append(figures)
        return Record([run for run in runs if run["figures"]])

    def write(self, path: Path) -> None:
        """Write the file, a line for the figures of a network."""
        runs = []
        for run in self.runs:
            setup = [f'  "{name}": {json.dumps(value)}' for name, value in run.items() if name != "figures"]
            figures = ",\n".join(f"   {json.dumps(each)}" for each in run["figures"])
            joined = ",\n".join([*setup, f'  "figures": [\n{figures}\n  ]'])
            runs.append(f" {{\n{joined}\n }}")
        text = ",\n".join(runs)
        write_atomically(path, f"[\n{text}\n]\n".encode())


def read_record(path: Path = RECORD) -> Record:
    """The record in a file; an empty one where there is no such file."""
    return Record(json.loads(path.read_text(encoding="utf-8")) if path.is_file() else [])


def _subject(figures: Figures) -> Subject:
    return Subject(figures["network"], figures["size"])
