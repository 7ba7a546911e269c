"""Results over the published splits of a dataset, beside the figures that others have published for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tools.study.datasets import DATASETS, Dataset
from tools.study.results import Comparison, Trained, budget, pairs_of
from tools.study.statistics import Difference, over_seeds, paired_difference

METRICS = ("iou", "dice")


@dataclass(frozen=True)
class OverSplits:
    """A network that was trained on one or several splits.

    Args:
        by_split: what was trained on each.
    """

    by_split: Mapping[str, Trained]

    @property
    def first(self) -> Trained:
        """Of the splits, the first one that is recorded."""
        return next(iter(self.by_split.values()))

    @property
    def name(self) -> str:
        """Of the network, and what its settings have of their own."""
        return self.first.name

    @property
    def by_the_recipe(self) -> str:
        """Of a variant, the name of the network by the recipe."""
        return self.first.by_the_recipe

    @property
    def parameters(self) -> int:
        """Of the network."""
        return self.first.parameters

    @property
    def splits(self) -> str:
        """Their numbers, in words."""
        return ", ".join(name.removeprefix("split") for name in self.by_split)

    @property
    def seeds(self) -> int:
        """Trainings that every split has at least."""
        return min(len(trained.records) for trained in self.by_split.values())

    @property
    def cpu_minutes(self) -> float:
        """Of a training, the mean over all."""
        return float(np.mean([record.cpu_minutes for each in self.by_split.values() for record in each.records]))

    def over_splits(self, metric: str) -> tuple[float, float]:
        """Mean and standard deviation over the splits of the mean over seeds, labels and cases."""
        return over_seeds([_mean(trained, metric) for trained in self.by_split.values()])

    def dice_by_image(self, splits: Sequence[str]) -> tuple[list[str], np.ndarray]:
        """The images that were validated in some of the splits, and of each seed the mean Dice of each image over the
        splits that validate it, ``(seeds, images)``."""
        records = [self.by_split[split].records[: self.seeds] for split in splits]
        images = sorted({case for of_split in records for record in of_split for case in record.cases})
        found = np.full((len(splits), self.seeds, len(images)), np.nan)
        for split, of_split in enumerate(records):
            for seed, record in enumerate(of_split):
                dice = record.dice()
                found[split, seed] = [dice.get(image, np.nan) for image in images]
        return images, np.nanmean(found, axis=0)


def _mean(trained: Trained, metric: str) -> float:
    labels = trained.records[0].labels
    return float(np.mean([trained.over_seeds(metric, label)[0] for label in labels]))


def over_splits(compared: Sequence[Comparison]) -> list[OverSplits]:
    """The networks of the comparisons of a dataset's splits, in the order of their parameters."""
    networks: dict[str, dict[str, Trained]] = {}
    for comparison in compared:
        for network in comparison.networks:
            networks.setdefault(network.name, {})[comparison.part] = network
    return sorted(map(OverSplits, networks.values()), key=lambda each: (each.parameters, each.name))


def section_of_splits(compared: Sequence[Comparison]) -> str:
    """The part of the document for the splits of a dataset that are recorded.

    Args:
        compared: of the same dataset and number of epochs, one a split.
    """
    dataset, epochs = DATASETS[compared[0].dataset], compared[0].epochs
    heading = f"## {dataset.heading}: the published splits, {epochs} epochs"
    networks = over_splits(compared)
    how = (
        "Mean over the cases of a split, then over the splits ± the standard deviation over them. F1 is Dice; the IoU "
        "of a case is Dice / (2 - Dice)."
    )
    parts = [heading, f"{budget(compared)} {how}", missing(dataset, networks), table_of_splits(dataset, networks)]
    return "\n\n".join(filter(None, (*parts, differences_of_splits(networks))))


def missing(dataset: Dataset, networks: Sequence[OverSplits]) -> str:
    """Which networks lack splits, in a sentence; "" if none does."""
    short = [each for each in networks if len(each.by_split) < len(dataset.parts)]
    if not short:
        return ""
    told = "; ".join(f"`{each.name}` has split {each.splits}" for each in short)
    return f"Not all splits are recorded yet: {told}. A mean over fewer splits is not compared with one over all."


def table_of_splits(dataset: Dataset, networks: Sequence[OverSplits]) -> str:
    """Costs, IoU and F1 of every network, and what others have published."""
    lines = [
        "| network | parameters | G MACs | CPU min | splits | seeds a split | IoU | F1 |",
        f"|---|{'---:|' * 7}",
    ]
    for each in networks:
        macs = each.first.records[0].run["macs"] / 1e9
        cost = f"{each.parameters:,} | {macs:.2f} | {each.cpu_minutes:.0f} | {each.splits} | {each.seeds}"
        cells = [_with_deviation(*each.over_splits(metric)) for metric in METRICS]
        lines.append(f"| `{each.name}` | {cost} | {' | '.join(cells)} |")
    numbers = ", ".join(part.removeprefix("split") for part in dataset.parts)
    for name, (iou, dice) in dataset.published.items():
        lines.append(f"| {name}, as published | | | | {numbers} | | {iou:.3f} | {dice:.3f} |")
    note = (
        "Published: Medical-Image-Segmentation-Benchmarks, on these splits by that project's own training and "
        "measurement; not trained here."
    )
    return "\n".join([*lines, "", note]) if dataset.published else "\n".join(lines)


def _with_deviation(mean: float, deviation: float) -> str:
    return f"{mean:.3f}" + ("" if np.isnan(deviation) else f" ± {deviation:.3f}")


def differences_of_splits(networks: Sequence[OverSplits]) -> str:
    """The pairs with the difference of their Dice over the splits that both have; "" if there is no pair."""
    lines = [
        "| first, second | parameters, first / second | splits | images | Dice, first less second [95 %] |",
        "|---|---:|---:|---:|---|",
    ]
    for one, other in pairs_of(networks):
        if splits := [split for split in one.by_split if split in other.by_split]:
            images, found = difference_over_splits(one, other, splits)
            numbers = ", ".join(split.removeprefix("split") for split in splits)
            ratio = f"{one.parameters / other.parameters:.3g}"
            lines.append(f"| `{one.name}`, `{other.name}` | {ratio} | {numbers} | {images} | {found} |")
    note = "An image that several splits validate counts once, with the mean of its Dice."
    return "\n".join([*lines, "", note]) if len(lines) > 2 else ""


def difference_over_splits(one: OverSplits, other: OverSplits, splits: Sequence[str]) -> tuple[int, Difference]:
    """Number of images, and the difference of Dice with its interval over images and seeds."""
    images, dice = one.dice_by_image(splits)
    same, others = other.dice_by_image(splits)
    if images != same:
        raise ValueError(f"{one.name} and {other.name} are not of the same cases: they are not compared")
    return len(images), paired_difference(dice, others)
