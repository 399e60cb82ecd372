"""The picture of docs/howto/reboot-strategies.md, from what `bench.rollout` found."""

from __future__ import annotations

import io
from typing import Any

from argosy.base.errors import ArgosyError
from bench.rollout import Result

_HOURS = {1: "1 h", 2: "2 h", 6: "6 h", 12: "12 h", 24: "1 day", 72: "3 days", 168: "7 days"}
_COLOURS = ("#0072b2", "#009e73", "#cc79a7", "#d55e00")
_MARKS = ("o", "s", "^", "D")


def draw(result: Result) -> bytes:
    """As SVG, the same bytes for the same result. Raises `ArgosyError` without matplotlib."""
    figure, axes = _axes(result)
    for curve, colour, mark in zip(result.curves, _COLOURS, _MARKS, strict=True):
        xs, ys = zip(*((point.max, point.hours) for point in curve.points), strict=True)
        axes.plot(xs, ys, marker=mark, color=colour, label=curve.case, linewidth=1.8, markersize=5)
    maxima = [point.max for point in result.curves[0].points]
    least = [result.machines * result.lock_s / most / 3600 for most in maxima]
    label = f"{result.machines:,} times {result.lock_s:.0f} s with the lock, divided by max"
    axes.plot(maxima, least, linestyle="--", color="#777777", label=label, linewidth=1.2)
    axes.set_ylim(bottom=0.5)
    axes.legend(fontsize=8, framealpha=1)
    target = io.BytesIO()
    figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    return b"\n".join(line.rstrip() for line in target.getvalue().splitlines()) + b"\n"


def need() -> Any:
    """matplotlib, told to draw the same every time. Raises `ArgosyError` if it is not there."""
    try:
        import matplotlib
    except ImportError as error:
        raise ArgosyError(
            "the plot needs matplotlib", hint="`make bench` installs it into the checkout's environment"
        ) from error
    matplotlib.rcParams["svg.hashsalt"] = "argosy"
    matplotlib.rcParams["svg.fonttype"] = "none"
    return matplotlib


def _axes(result: Result) -> tuple[Any, Any]:
    need()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.set_title(f"Time to update {result.machines:,} machines", fontsize=11)
    axes.set_xlabel("max: machines that may hold the reboot lock at once")
    maxima = [point.max for point in result.curves[0].points]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(maxima, [str(each) for each in maxima])
    axes.set_yticks(list(_HOURS), list(_HOURS.values()))
    axes.minorticks_off()
    axes.grid(color="#dddddd", linewidth=0.6)
    return figure, axes
