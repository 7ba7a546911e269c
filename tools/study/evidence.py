"""How claims are answered: from the study's records, from the networks, and from what was measured of them."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from scipy.stats import ttest_ind
from torch import nn

from lunet_networks import PRESETS, create_network
from lunet_networks.authoring.comparing.intervals import Difference
from lunet_networks.bundle.report.summaries import read_rows
from lunet_networks.summary import count_macs, count_parameters
from tools import ROOT
from tools.study.datasets import DATASETS
from tools.study.peers import peer_config
from tools.study.records import Record
from tools.study.results import Comparison, Trained, comparisons
from tools.study.splits import difference_over_splits, over_splits
from tools.study.statistics import difference_of_gains, paired_difference
from tools.tables.networks import PEERS as MEASURED
from tools.tables.networks import Subject, make_network, own_shape
from tools.tables.record import read_record

PRUNINGS = ROOT / "docs" / "engineering" / "pruning_comparison.csv"
MARGIN = 0.01  # of Dice, by which a network that is called comparable may be worse
LEAST = {"better": 0.0, "comparable": -MARGIN}  # that a difference has to be
LEARNED = 0.1  # of Dice, which a training that learns anything reaches
NOT_RUN = "not run yet"
DEPLOYED = " deployed"
UNITS = {"K": 1e3, "M": 1e6, "G": 1e9}
MEMORY = ("inference", "training_step")  # what has a peak of memory; all else is timed
FIRST_THIRD = 3


@dataclass(frozen=True)
class Answer:
    """What was measured for a claim.

    Args:
        measured: in words; "" if nothing.
        holds: whether it bears the claim out; None if it does not decide.
        why: it does not decide.
    """

    measured: str = ""
    holds: bool | None = None
    why: str = ""


def dice(records: Sequence[Record], first: str, second: str, asks: str, **where: Any) -> Answer:
    """The difference of Dice of two networks over the same cases, or over the published splits that both have."""
    compared = _comparisons(records, **where)
    if where["part"] == "splits":
        networks = {each.name: each for each in over_splits(compared)}
        if not {first, second} <= networks.keys():
            return Answer(why=NOT_RUN)
        one, other = networks[first], networks[second]
        parts = DATASETS[where["dataset"]].parts
        shared = [part for part in parts if part in one.by_split and part in other.by_split]
        if len(shared) < len(parts):
            return Answer(why=f"{NOT_RUN} on all splits")
        images, found = difference_over_splits(one, other, shared)
        means = one.over_splits("dice")[0], other.over_splits("dice")[0]
        return _of_difference(means, found, f"{images} images of {len(parts)} splits", (one.seeds, other.seeds), asks)
    pair = _pair(compared, first, second)
    if pair is None:
        return Answer(why=NOT_RUN)
    one, other = (each.dice for each in pair)
    means = float(np.nanmean(one)), float(np.nanmean(other))
    cases, seeds = f"{one.shape[1]} cases", (len(one), len(other))
    return _of_learning(pair, _of_difference(means, paired_difference(one, other), cases, seeds, asks))


def gain(records: Sequence[Record], first: Sequence[str], second: Sequence[str], **where: Any) -> Answer:
    """Whether the first of two networks gains more over its second than the first of two others over theirs."""
    compared = _comparisons(records, **where)
    found = [_pair(compared, *names) for names in (first, second)]
    if None in found:
        return Answer(why=NOT_RUN)
    dice = [[each.dice for each in pair] for pair in found]
    told = " and ".join("{:.3f} less {:.3f}".format(*(float(np.nanmean(each)) for each in pair)) for pair in dice)
    seeds = ", ".join(str(len(each)) for pair in dice for each in pair)
    difference = difference_of_gains(*dice)
    told = f"Dice {told}: {difference}, {dice[0][0].shape[1]} cases, {seeds} seeds"
    return _of_learning([each for pair in found for each in pair], _decided(told, difference, "better"))


def _of_learning(pair: Sequence[Trained], answer: Answer) -> Answer:
    """An answer that tells of trainings that did not learn; where none of a network did, nothing is decided."""
    for network in pair:
        of_seeds = np.nanmean(network.dice, axis=1)
        failed = int((of_seeds < LEARNED).sum())
        if failed == len(of_seeds):
            return Answer(answer.measured, None, f"no training of {network.name} learned (Dice below {LEARNED})")
        if failed:
            told = f"{answer.measured}; {failed} of {len(of_seeds)} trainings of {network.name} did not learn"
            answer = Answer(told, answer.holds, answer.why)
    return answer


def minutes(records: Sequence[Record], first: str, second: str, at_least: float, **where: Any) -> Answer:
    """The share of the second network's processor time that a training of the first one saves."""
    pair = _pair(_comparisons(records, **where), first, second)
    if pair is None:
        return Answer(why=NOT_RUN)
    one, other = (each.cpu_minutes for each in pair)
    saved = 1 - one / other
    return Answer(f"{one:.0f} and {other:.0f} minutes: {saved:.0%} saved", saved >= at_least)


def ratio(records: Sequence[Record], of: str, first: str, second: str, at_least: float) -> Answer:
    """How many times more parameters or operations the first network has."""
    one, other = (_count(of, name) for name in (first, second))
    return Answer(f"{one:,} / {other:,} = {one / other:.2f}", one / other >= at_least)


def counts(records: Sequence[Record], of: str, networks: Mapping[str, str]) -> Answer:
    """Whether parameters or operations of networks round to what is printed for them."""
    found = {name: _count(of, name) for name in networks}
    told = ", ".join(f"`{name}` {count:,}" for name, count in found.items())
    return Answer(told, all(_printed(count, networks[name]) == networks[name] for name, count in found.items()))


def costs(records: Sequence[Record], of: str | Sequence[str], first: str, second: str, at_least: float) -> Answer:
    """How many times more time or memory the first network takes, as docs/costs.json has it.

    ``of`` is a form in which the inference of both is timed, or the forms of the first and the second, or what has a
    peak of memory.
    """
    forms = [of, of] if isinstance(of, str) else of
    found = [_cost(form, name) for form, name in zip(forms, (first, second), strict=True)]
    if None in found:
        return Answer(why="not measured yet")
    one, other = found
    unit = "MiB" if forms[0] in MEMORY else "ms"
    digits = 0 if unit == "MiB" else 1
    told = f"{one:.{digits}f} and {other:.{digits}f} {unit}, ratio {one / other:.2f}"
    return Answer(told, one / other >= at_least)


def pruning(records: Sequence[Record], first: str, second: str, at: Sequence[str], asks: str) -> Answer:
    """The difference of Dice of two prunings, or of networks that were trained from scratch, over their seeds.

    ``at`` says where of the first and of the second: "first" and "last" step, "all" steps but the first, the mean of
    which is taken, or the first step at which so small a share of the parameters is left, such as "0.15".
    """
    one, other = (_prunings(name, where) for name, where in zip((first, second), at, strict=True))
    low, high = ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    means = statistics.fmean(one), statistics.fmean(other)
    found = Difference(means[0] - means[1], float(low), float(high))
    return _of_difference(means, found, "interval over seeds only", (len(one), len(other)), asks)


def widest(records: Sequence[Record], rule: str, widths: int) -> Answer:
    """The share of what a rule removes in the first third of its steps that is of the widest layers, and their share of
    all channels."""
    removed, there, all_removed, all_there = 0, 0, 0, 0
    for steps in _steps(rule).values():
        before, after = (_channels(steps[number]) for number in (0, round((len(steps) - 1) / FIRST_THIRD)))
        wide = sorted(set(before.values()))[-widths:]
        removed += sum(before[layer] - after[layer] for layer in before if before[layer] in wide)
        all_removed += sum(before.values()) - sum(after.values())
        there += sum(width for width in before.values() if width in wide)
        all_there += sum(before.values())
    share, expected = removed / all_removed, there / all_there
    return Answer(f"{share:.0%} of what it removes; they hold {expected:.0%} of all channels", share > expected)


def none(records: Sequence[Record], why: str) -> Answer:
    """Nothing was measured."""
    return Answer(why=why)


KINDS: dict[str, Callable[..., Answer]] = {
    each.__name__: each for each in (dice, gain, minutes, ratio, counts, costs, pruning, widest, none)
}


def _of_difference(
    means: tuple[float, float], found: Difference, cases: str, seeds: tuple[int, int], asks: str
) -> Answer:
    of_seeds = f"{seeds[0]} and {seeds[1]} seed{'s' if max(seeds) > 1 else ''}"
    told = f"Dice {means[0]:.3f} and {means[1]:.3f}: {found}, {cases}, {of_seeds}"
    return _decided(told, found, asks)


def _decided(told: str, found: Difference, asks: str) -> Answer:
    holds = is_so(found, asks)
    return Answer(told, holds, "" if holds is not None else f"the interval holds {LEAST[asks]:g}")


def is_so(found: Difference, asks: str) -> bool | None:
    """Whether the first of two networks is what is asked; None if the interval does not tell.

    Args:
        found: the difference of their Dice.
        asks: one of ``LEAST``.

    Example:
        >>> is_so(Difference(-0.05, -0.07, -0.03), "comparable"), is_so(Difference(0.01, -0.01, 0.03), "better")
        (False, None)
    """
    if found.low > LEAST[asks]:
        return True
    return False if found.high < LEAST[asks] else None


def _comparisons(records: Sequence[Record], dataset: str, part: str, epochs: int) -> list[Comparison]:
    return [
        each
        for each in comparisons(records)
        if (each.dataset, each.epochs) == (dataset, epochs) and part in (each.part, "splits")
    ]


def _pair(compared: Sequence[Comparison], *names: str) -> tuple[Trained, Trained] | None:
    networks = {network.name: network for each in compared for network in each.networks}
    if not set(names) <= networks.keys():
        return None
    first, second = (networks[name] for name in names)
    return first, second


def _network(name: str) -> nn.Module:
    preset = name.removesuffix(DEPLOYED)
    if preset in PRESETS:
        return create_network(preset, **({"deployed": True} if preset != name else {}))
    if name in MEASURED:
        return make_network(name)
    given = {**peer_config(name), "in_channels": 1, "out_channels": 1}
    return ConfigParser({"network": given}).get_parsed_content("network")


@cache
def _count(of: str, name: str) -> int:
    with torch.device("meta"):  # nothing is computed
        network = _network(name)
    if of == "parameters":
        return count_parameters(network)
    return count_macs(network, own_shape(name.removesuffix(DEPLOYED)))


def _printed(count: int, like: str) -> str:
    """A count with the unit and the digits of a printed one.

    Example:
        >>> _printed(1_471_921, "1.5M"), _printed(53_374, "53.4K")
        ('1.5M', '53.4K')
    """
    unit = like[-1]
    digits = len(like[:-1].partition(".")[2])
    return f"{count / UNITS[unit]:.{digits}f}{unit}"


def _cost(form: str, name: str) -> float | None:
    subject = Subject(name, own_shape(name)[-1])
    record = read_record()
    return (record.mebibytes if form in MEMORY else record.milliseconds)(subject, form)


def _steps(contender: str, path: Path = PRUNINGS) -> dict[str, list[dict[str, str]]]:
    """The rows of a contender in the comparison of prunings, by seed."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in read_rows(path):
        if row["contender"] == contender:
            found.setdefault(row["seed"], []).append(row)
    return found


def _prunings(contender: str, where: str) -> list[float]:
    """Dice of each seed."""
    return [_dice_at(steps, where) for steps in _steps(contender).values()]


def _dice_at(steps: Sequence[Mapping[str, str]], where: str) -> float:
    if where == "all":
        return statistics.fmean(float(step["dice"]) for step in steps[1:])
    if where in ("first", "last"):
        return float(steps[0 if where == "first" else -1]["dice"])
    most = float(where) * int(steps[0]["parameters"])
    return float(next(step for step in steps if int(step["parameters"]) <= most)["dice"])


def _channels(step: Mapping[str, str]) -> dict[str, int]:
    return {layer: int(width) for layer, width in (each.split("=") for each in step["channels"].split())}
