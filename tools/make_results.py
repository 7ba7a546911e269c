"""Write what trained networks reach into docs/results.md, and what becomes of the papers' claims into docs/claims.md,
from records alone."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

from matplotlib.figure import Figure

from lunet_networks.authoring.command_line import as_bool, run_commands
from lunet_networks.authoring.planning.families import FAMILIES
from lunet_networks.bundle.report.summaries import TITLES, means_by_label, read_rows
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.files import write_figure
from lunet_networks.bundle.runtime.outputs import RECORDS as RECORDS_OF_WEIGHTS
from tools import ROOT
from tools.study import budgets, twins
from tools.study.claims import claims_table, read_claims
from tools.study.datasets import DATASETS
from tools.study.records import RECORDS, read_records
from tools.study.results import Comparison, comparisons, draw, section
from tools.study.splits import section_of_splits
from tools.tables.generated_sections import write_between_marks

COMMAND = "python -m tools.make_results"
CLAIMS = "claims.md"
FORMATS = {"dice": ".3f", "hd95_mm": ".2f", "nsd_1mm": ".3f"}
NONE = "No run is recorded yet: `python -m tools.study` does them."


def make_results(
    document: str = str(ROOT / "docs" / "results.md"), records: str = str(RECORDS), check: bool = False
) -> None:
    """Write the tables of the study's records and of the bundles' weights between their marks, the pictures, and the
    answers to the papers' claims.

    Args:
        document: with the marks; claims.md lies beside it, and pictures go to the folder pictures there.
        records: folder of the study's records.
        check: write nothing, and fail when a table is not up to date.
    """
    path, check = Path(str(document)), as_bool("check", check)
    found = read_records(Path(str(records)))
    compared = comparisons(found)
    parts = {"study": "\n\n".join(sections(compared)) or NONE, "weights": weights_table()}
    changed = [write_between_marks(path, name, COMMAND, text, check) for name, text in parts.items()]
    claims = claims_table(read_claims(), found)
    changed.append(write_between_marks(path.with_name(CLAIMS), "claims", COMMAND, claims, check))
    if not check:
        for name, draw_it in pictures(compared).items():
            write_figure(path.parent / picture(name), draw_it())
    print(f"{path}, {CLAIMS}: {'tables written' if any(changed) else 'up to date'}")


def sections(compared: Sequence[Comparison]) -> list[str]:
    """The parts of the document: the twins, then one a comparison, and one for all published splits of a dataset."""
    found = [twins.tell_twins(twins.twins(compared), picture(twins.NAME))]
    for alike in parts_of_datasets(compared):
        if has_picture(alike[0]):
            found += [section(each, picture(each.name)) for each in alike]
            found.append(budgets.tell_budgets(alike, picture(budgets_name(alike))))
        else:
            found += [section_of_splits(list(group)) for _, group in groupby(alike, lambda each: each.epochs)]
    return list(filter(None, found))


def pictures(compared: Sequence[Comparison]) -> dict[str, Callable[[], Figure]]:
    """What draws each picture of the document, by its name."""
    alone = [each for each in compared if has_picture(each)]
    drawn = {each.name: partial(draw, each) for each in alone}
    several = [alike for alike in parts_of_datasets(alone) if budgets.have_budgets(alike)]
    drawn |= {budgets_name(alike): partial(budgets.draw, alike) for alike in several}
    pairs = twins.twins(compared)
    return drawn | ({twins.NAME: partial(twins.draw, pairs)} if any(each.have_learned for each in pairs) else {})


def parts_of_datasets(compared: Sequence[Comparison]) -> list[list[Comparison]]:
    """The comparisons of a part of a dataset together; all published splits are one part."""
    groups = groupby(compared, lambda each: (each.dataset, each.part if has_picture(each) else None))
    return [list(group) for _, group in groups]


def budgets_name(alike: Sequence[Comparison]) -> str:
    """Of the picture of what budgets give."""
    return f"{alike[0].dataset}_{alike[0].part}_budgets"


def has_picture(compared: Comparison) -> bool:
    """Whether a comparison stands alone and has a picture: one of a split does not."""
    return DATASETS[compared.dataset].splits is None


def picture(name: str) -> str:
    """The picture of that name, from the document's folder."""
    return f"pictures/results_{name}.png"


def weights_table() -> str:
    """The weights that come with the bundles: how they were trained, and their means over the validation cases. Those
    for other labels have a table of their own."""
    tables: dict[tuple[str, ...], list[str]] = {}
    for bundle, preset, folder in _recorded_weights():
        settings = json.loads((folder / RECORDS_OF_WEIGHTS[outputs.RUN_RECORD]).read_text(encoding="utf-8"))["settings"]
        means = means_by_label(read_rows(folder / RECORDS_OF_WEIGHTS[outputs.SUMMARY]))
        labels = tuple(settings["label_names"])
        figures = [f"{means[label, metric]:{FORMATS[metric]}}" for metric in TITLES for label in labels]
        how = f"{settings['epochs']} | {settings['batch_size']} | {settings['seed']}"
        line = f"| `{bundle}` | `{preset}` | {how} | {' | '.join(figures)} |"
        tables.setdefault(labels, _heading(labels)).append(line)
    return "\n\n".join("\n".join(lines) for lines in tables.values())


def _heading(labels: Sequence[str]) -> list[str]:
    columns = [f"{title} {label}" for title in TITLES.values() for label in labels]
    return [
        f"| bundle | weights | epochs | batch size | seed | {' | '.join(columns)} |",
        f"|---|---|{'---:|' * (3 + len(columns))}",
    ]


def _recorded_weights() -> Iterator[tuple[str, str, Path]]:
    """Bundle, preset and the folder of their records, of all weights that come with the bundles."""
    for bundle, family in FAMILIES.items():
        root = ROOT / "bundles" / bundle
        for model in sorted((root / "models").glob("**/model.pt")):
            preset = family.preset if model.parent.name == "models" else model.parent.name
            yield bundle, preset, family.records_of(root, preset)


if __name__ == "__main__":
    run_commands(make_results)
