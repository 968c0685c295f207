"""Draw what the benches measured: JSON lines in, SVG out. Runs in an environment of its own, which has matplotlib."""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    Line = dict[str, Any]
    Lines = dict[str, list[Line]]  # by bench, oldest first

SIZE_IN = (7.2, 4.2)
# Distinct to most kinds of colour vision, and against white (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
LEAST_ERRORS = 40  # a curve over fewer is chance
DASHES = ("-", "--", "-.", ":")

mpl.rcParams |= {
    "svg.fonttype": "none",  # text stays text: small files that can be searched
    "svg.hashsalt": "ostiary",  # the same figures give the same file
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 10,
    "axes.prop_cycle": mpl.cycler(color=COLOURS),
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


class NoLineError(Exception):
    """The results hold no line of a bench, or one without the points that the picture needs."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("results", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def root(results: Path, folder: Path) -> None:
    """Draw RESULTS, the last lines of the benches, into FOLDER: one SVG a picture."""
    content = results.read_bytes()
    lines: Lines = defaultdict(list)
    for line in content.decode().splitlines():
        if line.strip():
            found = json.loads(line)
            lines[found["bench"]].append(found)
    folder.mkdir(parents=True, exist_ok=True)
    origin = f"drawn from results of SHA-256 {hashlib.sha256(content).hexdigest()}"
    for name, draw in PICTURES.items():
        try:
            figure = draw(lines)
        except NoLineError as fault:
            print(f"{name}: not drawn, {fault}", file=sys.stderr)
            continue
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None, "Description": origin})
        (folder / name).write_text(slim(drawn.getvalue()), encoding="utf-8")
        print(f"{name}: {(folder / name).stat().st_size / 1024:.0f} KB")


def slim(svg: str) -> str:
    """Return the picture without comments and names of groups, and with hundredths of a point, not millionths."""
    short = re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), svg)
    plain = re.sub(r"<!--.*?-->", "", re.sub(r'<g id="[^"]*">', "<g>", short), flags=re.DOTALL)
    return re.sub(r"\s*\n\s*", "\n", plain)


def roc(lines: Lines) -> Figure:
    """Return true-accept rate over false-match rate, verification."""
    figure, (axes,) = _figure(1)
    for line in _with(lines, "lfw", "curve"):
        fmr, fnmr = zip(*line["curve"], strict=True)
        axes.plot(fmr, [100 * (1 - v) for v in fnmr], label=_pairs(line))
    axes.set(xscale="log", xlabel="false-match rate", ylabel="true-accept rate, %", title="Verification, ROC")
    axes.legend(loc="lower right")
    return figure


def det(lines: Lines) -> Figure:
    """Return both detection error trade-offs: verification, and identification among many."""
    figure, (left, right) = _figure(2)
    for line in _with(lines, "lfw", "curve"):
        _trade_off(left, line["curve"], _embedder(line))
    left.set(xlabel="false-match rate", ylabel="false non-match rate", title="One to one")
    for line in _with(lines, "openset", "curve"):
        enrolled = f"{line['enrolled']:,} x {line['images_per_person']}"
        _trade_off(right, line["curve"], f"{_embedder(line)}, {enrolled} enrolled, {line['fused']} to a probe")
    right.set(xlabel="false-positive identification rate", ylabel="false-negative identification rate")
    right.set_title("Among many")
    for axes in (left, right):
        axes.legend(loc="best", fontsize=7)
    return figure


def scores(lines: Lines) -> Figure:
    """Return how similar mated and other pairs are."""
    found = _with(lines, "lfw", "histogram")
    figure, panels = _figure(len(found))
    for axes, line in zip(panels, found, strict=True):
        histogram = line["histogram"]
        for kind, colour in (("nonmated", COLOURS[1]), ("mated", COLOURS[0])):
            counts = histogram[kind]
            shares = [count / sum(counts) for count in counts]
            label = f"{kind.replace('nonmated', 'not mated')}, n {sum(counts):,}"
            axes.stairs(shares, histogram["edges"], fill=True, alpha=0.55, color=colour, label=label)
        axes.set(xlabel="similarity (cosine)", ylabel="share of comparisons", title=f"Embedder {_embedder(line)}")
        axes.set(yscale="log", ylim=(1e-5, 1))
        axes.legend(loc="upper right")
    return figure


def reject(lines: Lines) -> Figure:
    """Return error against discard for every attribute of quality."""
    (line, *_) = _with(lines, "quality", "attributes")[-1:]
    figure, (axes,) = _figure(1)
    told = {name: found for name, found in line["attributes"].items() if found["errors"] >= LEAST_ERRORS}
    for number, (name, found) in enumerate(told.items()):
        shares, rates = zip(*found["curve"], strict=True)
        first = rates[0]
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number // len(COLOURS)]}
        label = f"{name.replace('_', ' ')} ({found['area']:.2f})"
        axes.plot([100 * share for share in shares], [rate / first for rate in rates], label=label, **style)
    axes.axhline(1, color="#777777", linewidth=0.8)
    axes.set(xlabel="discarded, worst value first, %", ylabel="error rate of the rest, 1 at the start")
    axes.set(ylim=(0, 1.3), title="Error against discard (area, 1 is a random discard)")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def degraded(lines: Lines) -> Figure:
    """Return error by level of each degradation, of all pictures and of those that quality lets through."""
    (line, *_) = _with(lines, "quality", "degradations")[-1:]
    found = line["degradations"]
    figure = Figure(figsize=(9.6, 6.4), layout="constrained", facecolor="white")
    panels = list(figure.subplots(3, 5, sharey=True).flat)
    for axes, (name, degradation) in zip(panels, found.items(), strict=False):
        levels = degradation["levels"]
        series = (("fnmr", "all", "-"), ("fnmr_of_read", "those read", "--"), ("not_read", "not read", ":"))
        for key, label, dash in series:
            shown = [float("nan") if level[key] is None else 100 * level[key] for level in levels]
            axes.plot(range(len(levels)), shown, dash, label=label)
        axes.set(ylim=(-3, 103), yticks=(0, 50, 100))
        axes.grid(visible=False, axis="x")
        axes.set_title(name, fontsize=9)
        axes.set_xticks(range(len(levels)), [f"{level['level']:g}" for level in levels], fontsize=7)
        axes.set_xlabel(degradation["unit"], fontsize=7)
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="lower right", fontsize=9)
    figure.supylabel("% of probes", fontsize=9)
    return figure


def latency(lines: Lines) -> Figure:
    """Return the time of each stage: quartiles in the box, 1st and 99th percentile at the whiskers.

    In shares of a whole frame: these hold on another machine, and on one that is busy; milliseconds do not.
    """
    (line, *_) = _with(lines, "latency", "stages_ms")[-1:]
    named = line["stages_ms"] | {"whole frame": line["one_thread_ms"], "whole, two threads": line["two_threads_ms"]}
    whole_ms = line["one_thread_ms"]["p50"]
    ends = {"whislo": "p1", "q1": "p25", "med": "p50", "q3": "p75", "whishi": "p99"}
    boxes = [
        {"label": name} | {end: 100 * spent_ms[part] / whole_ms for end, part in ends.items()}
        for name, spent_ms in reversed(named.items())
    ]
    figure, (axes,) = _figure(1)
    axes.bxp(boxes, showfliers=False, orientation="horizontal", medianprops={"color": COLOURS[1]})
    title = f"Time by stage, {line['frames']} frames, {line['gallery']:,} references"
    axes.set(xscale="log", xlabel="% of the median frame, one thread", title=title)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    return figure


def pad(lines: Lines) -> Figure:
    """Return the liveness scores of bona fide frames and of each species of attack, and the errors by threshold."""
    (line, *_) = _with(lines, "pad", "histogram")[-1:]
    figure, (left, right) = _figure(2)
    histogram = line["histogram"]
    kinds = [kind for kind in histogram if kind != "edges"]
    for kind in kinds:
        counts = histogram[kind]
        total = max(sum(counts), 1)
        label = f"{'bona fide' if kind == 'live' else kind}, n {sum(counts):,}"
        left.stairs([100 * count / total for count in counts], histogram["edges"], label=label, linewidth=1.4)
    left.axvline(line["threshold"], color="#777777", linewidth=0.8)
    left.set(xlabel="score, 1 is bona fide", ylabel="% of frames", yscale="log", title="Liveness of one frame")
    if "tuned" in line["models"]["liveness"]:
        figure.suptitle("Frames of the sources that the model was tuned on: no evidence for any other", fontsize=10)
    left.legend(loc="upper center", fontsize=8)
    for kind, values in line["errors"].items():
        thresholds, rates = zip(*values, strict=True)
        label = "BPCER" if kind == "live" else f"APCER {kind}"
        right.plot(thresholds, [100 * rate for rate in rates], label=label)
    right.axvline(line["threshold"], color="#777777", linewidth=0.8)
    right.set(xlabel="threshold", ylabel="% of frames wrong", title="Errors by threshold")
    right.legend(loc="upper center", fontsize=8)
    return figure


def growth(lines: Lines) -> Figure:
    """Return how long a start, an enrolment and a search take as the gallery grows."""
    (line, *_) = _with(lines, "growth", "sizes")[-1:]
    figure, (left, right) = _figure(2)
    sizes = [one["people"] for one in line["sizes"]]
    for axes, keys, scale in ((left, ("load_s", "ready_s"), 1.0), (right, _GROWING_MS, 1.0)):
        for key in keys:
            times = [sorted(one[key]) for one in line["sizes"]]
            middle = [scale * found[len(found) // 2] for found in times]
            label = _GROWING[key]
            axes.plot(sizes, middle, marker="o", label=label)
            axes.fill_between(sizes, [found[0] for found in times], [found[-1] for found in times], alpha=0.15)
        axes.set(xscale="log", yscale="log", xlabel=f"people, {line['references']} references each")
        axes.legend(loc="upper left", fontsize=8)
    left.set(ylabel="seconds", title="Start")
    right.set(ylabel="milliseconds", title="Changes, and the command line")
    return figure


_GROWING = {
    "load_s": "load, decrypt and verify",
    "ready_s": "start of the reader to READY",
    "enrol_ms": "enrol, with its audit entry",
    "follow_ms": "the door takes it in",
    "erase_ms": "erase",
    "list_ms": "person list --limit 50",
    "search_common_ms": "person search, a common name",
    "version_ms": "ostiary --version, for comparison",
}
_GROWING_MS = tuple(key for key in _GROWING if key.endswith("_ms"))

PICTURES: dict[str, Callable[[Lines], Figure]] = {
    "roc.svg": roc,
    "det.svg": det,
    "scores.svg": scores,
    "reject.svg": reject,
    "degraded.svg": degraded,
    "latency.svg": latency,
    "pad.svg": pad,
    "growth.svg": growth,
}


def _figure(panels: int) -> tuple[Figure, list[Axes]]:
    """Return a white card with so many axes side by side: white, so that it reads on a dark page too."""
    figure = Figure(figsize=SIZE_IN if panels == 1 else (9.6, SIZE_IN[1]), layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    return figure, list(figure.subplots(1, panels, squeeze=False).flat)


def _with(lines: Lines, bench: str, key: str) -> list[Line]:
    found = [line for line in lines.get(bench, []) if key in line]
    if not found:
        raise NoLineError(f"no line of {bench} has {key}")
    return found


def _embedder(line: Line) -> str:
    return "A" if line["models"]["embedder"].startswith("faceplugin") else "B"


def _pairs(line: Line) -> str:
    mated, others = line["curve_n"]
    return f"embedder {_embedder(line)}: {mated:,} mated, {others:,} other comparisons"


def _trade_off(axes: Axes, curve: list[list[float]], label: str) -> None:
    """Draw one detection error trade-off; an error of 0, which a logarithm has no place for, ends the line."""
    shown = [(wrong, missed) for wrong, missed in curve if wrong > 0 and missed > 0]
    axes.plot(*zip(*shown, strict=True), label=label)
    axes.set(xscale="log", yscale="log")


if __name__ == "__main__":
    root()
