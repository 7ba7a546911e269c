"""The tables of what networks cost, made from the record. A missing figure is shown as "not measured"."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from lunet_networks import PRESETS, list_presets
from tools.speed.contenders import FORMS, PRODUCT_SIZE, TRAINING, forms
from tools.speed.setup import machine_text, times_text
from tools.tables.networks import PEERS, Subject, family, own_shape, subjects, twins
from tools.tables.record import Record

NOT_MEASURED, DOES_NOT_APPLY = "not measured", "-"
IN_README = ("lunet_small_4f", "unet_small_4f", "lunet_large_24f", "mednext_small", "pspseg_s", "DynUNet")
TIMES = {
    "published": "published",
    "ours": "ours",
    "deployed": "deployed",
    "onnx": "ONNX Runtime",
    "openvino": "OpenVINO",
    TRAINING: "training step",
}
PEAKS = {"inference": "inference", TRAINING: "training step"}
Part = tuple[str, str]  # of the record: "seconds" or "peak_bytes", and the name of a figure in it


def readme_table(record: Record) -> str:
    """A few networks: parameters, operations, time, memory."""
    titles = ("parameters", "MACs", "as published, ms", "here, ms", "best engine, ms", "memory, MiB")
    shown = [Subject(name, own_shape(name)[-1]) for name in IN_README]
    lines = _head(["network", "", *titles], 2)
    for subject in shown:
        kind = "[configuration](docs/presets.md#peers)" if subject.is_peer else family(subject.network)
        times = [_milliseconds(record, subject, form) for form in ("published", "ours")]
        engine = _number(record.best_engine(subject), ".1f")
        peaks = " / ".join(_number(record.mebibytes(subject, peak)) for peak in PEAKS)
        lines.append(_row(_label(subject), kind, *_costs(record, subject), *times, engine, peaks))
    about = f"{_sizes(shown)} Memory: inference / training step."
    return "\n".join([*lines, "", about, "", setups(record, shown, {"times": ("seconds", "published")})])


def cost_table(record: Record, size: int) -> str:
    """Parameters, operations and memory of every network of a size."""
    shown = _trained(size)
    lines = _head(["network", "parameters", "MACs", *(f"{title}, MiB" for title in PEAKS.values())], 1)
    for subject in shown:
        peaks = (_number(record.mebibytes(subject, peak)) for peak in PEAKS)
        lines.append(_row(_label(subject), *_costs(record, subject), *peaks))
    return "\n".join([*lines, "", _sizes(shown), "", setups(record, shown, {"memory": ("peak_bytes", TRAINING)})])


def speed_table(record: Record) -> str:
    """The times of all networks in all forms, a table for every size."""
    every = subjects()
    parts = []
    for size in dict.fromkeys(subject.size for subject in every):
        shown = [subject for subject in every if subject.size == size]
        columns = [form for form in FORMS if any(form in forms(subject) for subject in shown)]
        ratios = ("published / deployed", "best engine / deployed", "share of a matrix product")
        lines = _head([f"{_shape(shown[0])}, ms", *(TIMES[form] for form in columns), *ratios], 1)
        lines += [_speeds(record, subject, columns) for subject in shown]
        parts.append("\n".join(lines))
    groups = {"inference": ("seconds", "published"), "training steps": ("seconds", TRAINING)}
    return "\n\n".join([*parts, setups(record, every, groups)])


def _speeds(record: Record, subject: Subject, columns: Iterable[str]) -> str:
    cells = [_milliseconds(record, subject, form) for form in columns]
    published, deployed = (record.milliseconds(subject, form) for form in ("published", "deployed"))
    engine = record.best_engine(subject)
    best = min(filter(None, (published, engine)), default=None) if subject.is_peer else deployed
    ratios = [DOES_NOT_APPLY] * 2
    if not subject.is_peer:
        ratios = [_ratio(published, deployed, ".1f"), _ratio(engine, deployed, ".2f")]
    share = _number(best and _matrix_share(record, subject, best), ".0%")
    return _row(_label(subject), *cells, *ratios, share)


def _matrix_share(record: Record, subject: Subject, milliseconds: float) -> float:
    """Multiply-accumulates a second as a share of those of a matrix product between the same visits."""
    figures = record.figures(subject)
    product = PRODUCT_SIZE**3 / statistics.median(figures["product_seconds"])
    return figures["macs"] / (milliseconds / 1e3) / product


def twin_table(record: Record) -> str:
    """How many times less memory, parameters and operations a lean network takes than its conventional twin."""
    columns: dict[str, Callable[[Subject], float | None]] = {
        "parameters": lambda subject: record.figures(subject).get("parameters"),
        "MACs": lambda subject: record.figures(subject).get("macs"),
    }
    for peak, title in PEAKS.items():
        columns[f"memory of {title}"] = lambda subject, peak=peak: record.mebibytes(subject, peak)
    return _twins(columns)


def twin_speed_table(record: Record) -> str:
    """How many times faster a lean network is than its conventional twin, form by form."""
    return _twins(
        {title: lambda subject, form=form: record.milliseconds(subject, form) for form, title in TIMES.items()}
    )


def _twins(columns: Mapping[str, Callable[[Subject], float | None]]) -> str:
    lines = _head(["lean network", "twin", *columns], 2)
    for lean, twin in twins().items():
        pair = [Subject(name, own_shape(name)[-1]) for name in (twin, lean)]
        ratios = (_ratio(*map(cost, pair), ".2f") for cost in columns.values())
        lines.append(_row(f"`{lean}`", f"`{twin}`", *ratios))
    return "\n".join(lines)


def peer_table() -> str:
    """What exactly each peer is."""
    return "\n".join(
        [*_head(["peer", "configuration"], 2), *(_row(f"`{name}`", PEERS[name].description) for name in PEERS)]
    )


def preset_table() -> str:
    """What each preset is."""
    rows = (_row(f"`{name}`", PRESETS.components[name].description) for name in list_presets())
    return "\n".join([*_head(["preset", "network"], 2), *rows])


def setups(record: Record, shown: Sequence[Subject], parts: Mapping[str, Part]) -> str:
    """Say with which set-ups the figures of a table were measured, in one sentence per set-up.

    Args:
        record: of the figures.
        shown: networks in the table.
        parts: of the table, by title; each gives a figure whose set-up is taken for the whole part.
    """
    names: dict[tuple[str, str], dict[str, list[str]]] = {}  # of the networks, by set-up and part
    for title, (part, figure) in parts.items():
        for subject in shown:
            if setup := record.setup(subject, part, figure):
                when = times_text(setup) if part == "seconds" else f"on {setup['date']}"
                named = names.setdefault((when, machine_text(setup)), {}).setdefault(title, [])
                named.append(_label(subject) if subject.is_trained else f"{_label(subject)} at {subject.size}")
    if len(names) < 2:
        return "".join(f"Measured {when} with {machine}." for when, machine in names)
    rarest_first = sorted(names, key=lambda setup: sum(map(len, names[setup].values())))
    machines = {machine for _, machine in names}
    lines = [f"Measured with {machines.pop()}:", ""] if len(machines) == 1 else ["Measured:", ""]
    for when, machine in rarest_first:
        told = [_part(title, (when, machine), names) for title in names[when, machine]]
        lines.append(f"- {'; '.join(told)} {when}{f' with {machine}' if machines else ''}.")
    return "\n".join(lines)


def _part(title: str, setup: tuple[str, str], names: Mapping[tuple[str, str], Mapping[str, Sequence[str]]]) -> str:
    """The title of a part of a table, with the names of its networks if their set-ups differ."""
    counts = {each: len(by_part[title]) for each, by_part in names.items() if title in by_part}
    if len(counts) == 1:
        return title
    return f"{title} of {'all others' if setup == max(counts, key=counts.get) else ', '.join(names[setup][title])}"


def _trained(size: int) -> list[Subject]:
    return [subject for subject in subjects() if subject.size == size and subject.is_trained]


def _head(titles: Sequence[str], num_words: int) -> list[str]:
    """The first two lines of a table, whose first columns hold words and the others numbers."""
    return [_row(*titles), f"|{'---|' * num_words}{'---:|' * (len(titles) - num_words)}"]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _label(subject: Subject) -> str:
    return f"MONAI's {subject.network}" if subject.is_peer else f"`{subject.network}`"


def _costs(record: Record, subject: Subject) -> tuple[str, str]:
    figures = record.figures(subject)
    macs = figures.get("macs")
    return _number(figures.get("parameters")), NOT_MEASURED if macs is None else f"{macs / 1e9:.3f} G"


def _milliseconds(record: Record, subject: Subject, form: str) -> str:
    return _number(record.milliseconds(subject, form), ".1f") if form in forms(subject) else DOES_NOT_APPLY


def _ratio(number: float | None, other: float | None, form: str) -> str:
    return _number(number and other and number / other, form)


def _number(number: float | None, form: str = ",.0f") -> str:
    return NOT_MEASURED if number is None else f"{number:{form}}"


def _shape(subject: Subject) -> str:
    return " x ".join(map(str, subject.input_shape[2:]))


def _sizes(shown: Sequence[Subject]) -> str:
    """Of the inputs in a table."""
    elements = "voxels, one volume" if len(shown[0].input_shape) == 5 else "pixels, one picture"
    return f"{_shape(shown[0])} {elements} in a batch, float32."
