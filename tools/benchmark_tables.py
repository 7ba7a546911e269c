"""The tables of what presets and peers cost, out of the figures in docs/benchmark.json."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lunet_networks import PRESETS, list_presets
from tools.benchmark_networks import TRAINING
from tools.families import FAMILIES
from tools.peers import PEERS

Figures = Mapping[str, Any]

FEWEST_ROUNDS = 3
IDLE = 0.7  # load average of a machine that does nothing else
REFERENCE = "lunet_small_4f"
COMPARED = (
    REFERENCE,
    "unet_small_4f",
    "lunet_large_24f",
    "unet_large_24f",
    "mednext_small",
)  # with the peers, in words
TIMES = {"eager": "PyTorch", "onnx": "ONNX Runtime", "openvino": "OpenVINO", TRAINING: "training step"}
PEAKS = {"inference": "inference", TRAINING: "training step"}


def readme_table(figures: Figures) -> str:
    """The presets that bundles start from, and the peers: parameters, operations, time."""
    shape = _shape(figures)
    columns = [f"{TIMES[what]}, ms" for what in ("eager", "openvino")]
    lines = [
        f"| network | | parameters | MACs at {shape} | {' | '.join(columns)} | training step, MiB |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    titles = {family.preset: family.title for family in FAMILIES.values()}
    titles |= dict.fromkeys(PEERS, "[of MONAI](docs/presets.md#peers)")
    for name, title in titles.items():
        times = (f"{_milliseconds(figures, name, what):,.0f}" for what in ("eager", "openvino"))
        peak = _mebibytes(figures["networks"][name]["peak_memory_bytes"][TRAINING])
        lines.append(f"| `{name}` | {title} | {_costs(figures, name)} | {' | '.join(times)} | {peak} |")
    return "\n".join([*lines, "", conditions(figures)])


def conditions(figures: Figures) -> str:
    """What was measured, on which machine, with which versions."""
    machine, versions = figures["machine"], figures["versions"]
    packages = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    return (
        f"{_shape(figures)} voxels, one volume in a batch, float32, {figures['num_threads']} threads on "
        f"{machine['cpu']} ({machine['cpu_cores']} cores, {machine['cpu_instructions']}, {machine['ram_gib']} GiB, "
        f"{machine['os']}); "
        f"{packages}. Medians of {figures['rounds']} rounds through all networks.{_reservation(figures)}"
    )


def _reservation(figures: Figures) -> str:
    """A warning where the times are no measure."""
    reasons = []
    if figures["rounds"] < FEWEST_ROUNDS:
        reasons.append(f"fewer than {FEWEST_ROUNDS} rounds")
    if figures["load_before"] is not None and figures["load_before"] > IDLE:
        reasons.append(f"the machine was busy with something else (load {figures['load_before']})")
    return f" **Provisional, the times are no measure: {', '.join(reasons)}.**" if reasons else ""


def summary(figures: Figures) -> str:
    """What the figures say of lean networks and of peers, in words."""
    twins = [(name, name.removeprefix("l")) for name in lean_presets()]
    of = figures["networks"]
    ranges = {
        "parameters": [of[twin]["parameters"] / of[lean]["parameters"] for lean, twin in twins],
        "MACs": [of[twin]["macs"] / of[lean]["macs"] for lean, twin in twins],
        **{
            f"time ({title})": [_ratio(figures, twin, lean, what) for lean, twin in twins]
            for what, title in TIMES.items()
        },
    }
    saved = "; ".join(f"{name} {min(ratios):.2g} to {max(ratios):.2g}" for name, ratios in ranges.items())
    lines = [f"Conventional over lean, from the least to the most of {len(twins)} pairs: {saved}.", ""]
    for name in COMPARED:
        beaten = (f"{title}: {_names(_faster_peers(figures, name, what))}" for what, title in TIMES.items())
        fewer = _names(peer for peer in PEERS if of[peer]["macs"] < of[name]["macs"])
        lines.append(f"- Peers that are faster than `{name}`. {'; '.join(beaten)}. With fewer MACs: {fewer}.")
    return "\n".join(lines)


def network_table(figures: Figures) -> str:
    """Every preset and every peer with all figures."""
    return "\n".join([*_header(figures), *(_row(figures, name) for name in (*list_presets(), *PEERS))])


def twin_table(figures: Figures) -> str:
    """Lean networks against their conventional twins: how many times less of each cost."""
    headings = ("parameters", "MACs", *TIMES.values(), *(f"memory of {peak}" for peak in PEAKS.values()))
    lines = [f"| lean network | twin | {' | '.join(headings)} |", f"|---|---|{'---:|' * len(headings)}"]
    for name in lean_presets():
        lean, twin = (figures["networks"][each] for each in (name, name.removeprefix("l")))
        ratios = [twin[cost] / lean[cost] for cost in ("parameters", "macs")]
        ratios += [_ratio(figures, name.removeprefix("l"), name, what) for what in TIMES]
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


def _faster_peers(figures: Figures, name: str, what: str) -> list[str]:
    return [peer for peer in PEERS if _ratio(figures, peer, name, what) < 1]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def lean_presets() -> list[str]:
    """The presets that have a conventional twin of the same width.

    Example:
        >>> lean_presets()[0]
        'lunet_small_4f'
    """
    return [name for name in list_presets() if name.startswith("l") and name.removeprefix("l") in PRESETS.names]


def _header(figures: Figures) -> list[str]:
    times = [f"{title}, ms (x)" for title in TIMES.values()]
    peaks = [f"{title}, MiB" for title in PEAKS.values()]
    return [
        f"| network | parameters | MACs | {' | '.join((*times, *peaks))} |",
        f"|---|---:|---:|{'---:|' * len((*times, *peaks))}",
    ]


def _row(figures: Figures, name: str) -> str:
    times = (
        f"{_milliseconds(figures, name, what):,.0f} ({_ratio(figures, name, REFERENCE, what):.2g})" for what in TIMES
    )
    peaks = (_mebibytes(figures["networks"][name]["peak_memory_bytes"][peak]) for peak in PEAKS)
    return f"| `{name}` | {_costs(figures, name)} | {' | '.join((*times, *peaks))} |"


def _costs(figures: Figures, name: str) -> str:
    costs = figures["networks"][name]
    return f"{costs['parameters']:,} | {costs['macs'] / 1e9:.3f} G"


def _milliseconds(figures: Figures, name: str, what: str) -> float:
    return statistics.median(_seconds(figures, name, what)) * 1000


def _ratio(figures: Figures, name: str, other: str, what: str) -> float:
    """How many times as long as another network it takes, round by round: what slows a round slows both."""
    pairs = zip(_seconds(figures, name, what), _seconds(figures, other, what), strict=True)
    return statistics.median(own / of_other for own, of_other in pairs)


def _seconds(figures: Figures, name: str, what: str) -> Sequence[float]:
    return figures["networks"][name]["seconds"][what]


def _mebibytes(number: int | None) -> str:
    return "-" if number is None else f"{number / 2**20:,.0f}"


def _shape(figures: Figures) -> str:
    return " x ".join(map(str, figures["input_shape"][2:]))


def missing_networks(figures: Figures, names: Iterable[str]) -> list[str]:
    """Networks that were not measured."""
    return [name for name in names if name not in figures["networks"]]
