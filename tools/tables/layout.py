"""The tables of what presets and peers cost, out of the figures in docs/benchmark.json."""

from collections.abc import Iterable, Mapping

from lunet_networks import PRESETS, list_presets
from lunet_networks.authoring.planning.families import FAMILIES
from lunet_networks.presets import conventional_twin
from tools.tables.figures import Figures, Run, reservations, rows
from tools.tables.measurement import TRAINING
from tools.tables.peers import DEPLOYED, PEERS

COMPARED = (
    "lunet_small_4f",
    "unet_small_4f",
    "lunet_large_24f",
    "unet_large_24f",
    "mednext_small",
)  # with the peers, in words
TIMES = {"eager": "PyTorch", "onnx": "ONNX Runtime", "openvino": "OpenVINO", TRAINING: "training step"}
PEAKS = {"inference": "inference", TRAINING: "training step"}
SETUP = ("machine", "versions", "num_threads")  # what one run may have in common with another


def readme_table(figures: Mapping[str, Figures]) -> str:
    """The presets that bundles start from, and their peers: parameters, operations, time."""
    of_bundles = {family.preset: family.title for family in FAMILIES.values()}
    parts = []
    for each in figures.values():
        titles = {name: title for name, title in of_bundles.items() if name in each.comparison.presets}
        if titles:
            titles |= dict.fromkeys(each.comparison.peers, "[of MONAI](docs/presets.md#peers)")
            parts.append(_short_table(each, titles))
    return "\n\n".join(parts)


def _short_table(figures: Figures, titles: Mapping[str, str]) -> str:
    columns = [f"{TIMES[what]}, ms" for what in ("eager", "openvino")]
    lines = [
        f"| network | | parameters | MACs at {_shape(figures)} | {' | '.join(columns)} | training step, MiB |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, title in titles.items():
        times = (_number(figures.milliseconds(name, what)) for what in ("eager", "openvino"))
        cells = (_label(figures, name), title, _costs(figures, name), *times, _mebibytes(figures, name, TRAINING))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", conditions(figures, titles)])


def conditions(figures: Figures, names: Iterable[str] | None = None) -> str:
    """What was measured and when, on which machine, with which versions.

    Args:
        figures: of a comparison.
        names: of its networks, those that matter; all unless they are given.
    """
    names = [*(figures.comparison.networks if names is None else names)]
    runs = [(run, measured) for run in figures.runs if (measured := [name for name in rows(run) if name in names])]
    (first, _), *others = sorted(runs, key=lambda run: -len(run[1]))
    elements = "voxels, one volume" if len(figures.comparison.input_shape) == 5 else "pixels, one picture"
    lines = [
        f"{_shape(figures)} {elements} in a batch, float32. Measured on {first['date']} with {_setup(first)}. "
        f"Medians of {first['rounds']} rounds through all networks.{_reservation(first)}"
    ]
    reference = figures.comparison.reference
    for run, measured in others:
        same = all(run[part] == first[part] for part in SETUP)
        setup = "with the same threads, machine and versions" if same else f"with {_setup(run)}"
        lines.append(
            f"- {_names(measured)}: measured later or anew, on {run['date']} {setup}, beside `{reference}`. Medians of "
            f"{run['rounds']} rounds.{_reservation(run)}"
        )
    return "\n".join([lines[0], *([""] if others else []), *lines[1:]])


def _setup(run: Run) -> str:
    machine, versions = run["machine"], run["versions"]
    packages = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    return (
        f"{run['num_threads']} threads on {machine['cpu']} ({machine['cpu_cores']} cores, "
        f"{machine['cpu_instructions']}, {machine['ram_gib']} GiB, {machine['os']}); {packages}"
    )


def _reservation(run: Run) -> str:
    """A warning where the times are no measure."""
    reasons = reservations(run)
    return f" **Provisional, the times are no measure: {', '.join(reasons)}.**" if reasons else ""


def summary(figures: Figures) -> str:
    """What the figures say of lean networks and of peers, in words."""
    twins = {name: conventional_twin(name) for name in lean_presets()}
    of = {name: figures.costs(name) for name in figures.comparison.networks}
    ranges = {
        "parameters": [of[twin]["parameters"] / of[lean]["parameters"] for lean, twin in twins.items()],
        "MACs": [of[twin]["macs"] / of[lean]["macs"] for lean, twin in twins.items()],
        **{
            f"time ({title})": [figures.ratio(twin, lean, what) for lean, twin in twins.items()]
            for what, title in TIMES.items()
        },
    }
    saved = "; ".join(f"{name} {min(ratios):.2g} to {max(ratios):.2g}" for name, ratios in ranges.items())
    lines = [f"Conventional over lean, from the least to the most of {len(twins)} pairs: {saved}.", ""]
    peers = figures.comparison.peers
    for name in COMPARED:
        faster = {what: [peer for peer in peers if figures.ratio(peer, name, what) < 1] for what in TIMES}
        beaten = "; ".join(f"{title}: {_names(faster[what])}" for what, title in TIMES.items())
        fewer = _names(peer for peer in peers if of[peer]["macs"] < of[name]["macs"])
        lines.append(f"- Peers that are faster than `{name}`. {beaten}. With fewer MACs: {fewer}.")
    return "\n".join(lines)


def network_table(figures: Figures) -> str:
    """Every preset and every peer of a comparison with all figures."""
    times = [f"{title}, ms (x)" for title in TIMES.values()]
    peaks = [f"{title}, MiB" for title in PEAKS.values()]
    header = [
        f"| network | parameters | MACs | {' | '.join((*times, *peaks))} |",
        f"|---|---:|---:|{'---:|' * len((*times, *peaks))}",
    ]
    return "\n".join([*header, *(_row(figures, name) for name in figures.comparison.networks)])


def _row(figures: Figures, name: str) -> str:
    times = (_time(figures, name, what) for what in TIMES)
    peaks = (_mebibytes(figures, name, peak) for peak in PEAKS)
    return f"| {' | '.join((_label(figures, name), _costs(figures, name), *times, *peaks))} |"


def twin_table(figures: Figures) -> str:
    """Lean networks against their conventional twins: how many times less of each cost."""
    headings = ("parameters", "MACs", *TIMES.values(), *(f"memory of {peak}" for peak in PEAKS.values()))
    lines = [f"| lean network | twin | {' | '.join(headings)} |", f"|---|---|{'---:|' * len(headings)}"]
    for name in lean_presets():
        lean, twin = (figures.costs(each) for each in (name, conventional_twin(name)))
        ratios = [twin[cost] / lean[cost] for cost in ("parameters", "macs")]
        ratios += [figures.ratio(conventional_twin(name), name, what) for what in TIMES]
        for peak in PEAKS:
            of_lean, of_twin = lean["peak_memory_bytes"][peak], twin["peak_memory_bytes"][peak]
            ratios.append(of_twin / of_lean if of_lean and of_twin else None)
        cells = " | ".join(
            "-" if ratio is None else f"{ratio:.1f}" if ratio > 5 else f"{ratio:.2f}" for ratio in ratios
        )
        lines.append(f"| `{name}` | `{name.removeprefix('l')}` | {cells} |")
    return "\n".join(lines)


def peer_table() -> str:
    """What exactly each peer is."""
    rows = (f"| `{name}` | {peer.description} |" for name, peer in PEERS.items())
    return "\n".join(["| peer | configuration |", "|---|---|", *rows])


def preset_table() -> str:
    """What each preset is."""
    rows = (f"| `{name}` | {PRESETS.components[name].description} |" for name in list_presets())
    return "\n".join(["| preset | network |", "|---|---|", *rows])


def lean_presets() -> list[str]:
    """The presets that have a conventional twin of the same width.

    Example:
        >>> lean_presets()[0]
        'lunet_small_4f'
    """
    return [name for name in list_presets() if conventional_twin(name)]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _label(figures: Figures, name: str) -> str:
    deployed = name in figures.comparison.inference_only
    label = f"`{name.removesuffix(DEPLOYED)}`, deployed" if deployed else f"`{name}`"
    return f"{label} (provisional)" if name in figures.provisional() else label


def _costs(figures: Figures, name: str) -> str:
    costs = figures.costs(name)
    return f"{costs['parameters']:,} | {costs['macs'] / 1e9:.3f} G"


def _time(figures: Figures, name: str, what: str) -> str:
    milliseconds, ratio = figures.milliseconds(name, what), figures.ratio(name, figures.comparison.reference, what)
    return "-" if ratio is None else f"{_number(milliseconds)} ({ratio:.2g})"


def _mebibytes(figures: Figures, name: str, peak: str) -> str:
    peak_bytes = figures.costs(name)["peak_memory_bytes"].get(peak)
    return _number(peak_bytes and peak_bytes / 2**20)


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:,.0f}"


def _shape(figures: Figures) -> str:
    return " x ".join(map(str, figures.comparison.input_shape[2:]))
