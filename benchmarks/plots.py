"""`benchmarks/.venv/bin/python -m benchmarks.plots`: draw what is in benchmarks/results, as SVG files beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl

mpl.use("svg")
# Letters stay letters: the reader's own, and a tenth of the size.
mpl.rcParams["svg.fonttype"] = "none"
mpl.rcParams["svg.hashsalt"] = "outlive"
from matplotlib import pyplot as plt  # noqa: E402 - the backend is chosen before

__all__: list[str] = []

_RESULTS = Path(__file__).parent / "results"
#: Readable on white and on black.
_INK = "#808080"
_Record = dict[str, Any]


class _Plot(NamedTuple):
    """One value of all peers over one other."""

    file: str
    title: str
    across: str
    up: str
    belongs: Callable[[_Record], bool]
    x: Callable[[_Record], float]
    value: Callable[[_Record], float]


def _is_live(record: _Record) -> bool:
    return not (record["late"] or record["computing"]) and record["runs"] == 1


def _speed(record: _Record) -> float:
    return float(record["speed"])


def _lines(record: _Record) -> float:
    return float(record["lines"] if record["late"] else record["rate"])


_PLOTS = (
    _Plot(
        "viewers", "Deliveries at 1,000 lines/s", "viewers", "lines delivered per second",
        lambda record: _is_live(record) and record["rate"] == 1000,
        lambda record: record["viewers"], _speed,
    ),
    _Plot(
        "rates", "Deliveries to 1,000 viewers", "lines per second", "lines delivered per second",
        lambda record: _is_live(record) and record["viewers"] == 1000, _lines, _speed,
    ),
    _Plot(
        "delays", "Median delay before 1,000 viewers", "lines per second", "milliseconds",
        lambda record: _is_live(record) and record["viewers"] == 1000, _lines,
        lambda record: record["p50"] * 1000,
    ),
    _Plot(
        "costs", "CPU of the server before 1,000 viewers", "lines per second",
        "seconds per million deliveries",
        lambda record: _is_live(record) and record["viewers"] == 1000, _lines,
        lambda record: record["server"],
    ),
    _Plot(
        "history", "50 viewers who come late", "lines before they come",
        "lines delivered per second", lambda record: record["late"], _lines, _speed,
    ),
)  # fmt: skip

#: Of the README: who is in it, under which name, and how.
_SHOWN = {
    "plain sender in C": ("plain sender in C", _INK, ":"),
    "Outlive: Flask, gunicorn sync": ("Outlive (Flask, gunicorn, one worker)", "#e8590c", "-"),
    "nginx nchan, line by line": ("nginx nchan", "#2f9e44", "--"),
    "FastAPI EventSourceResponse, uvicorn": ("FastAPI EventSourceResponse", "#1c7ed6", "--"),
    "sse-starlette, uvicorn": ("sse-starlette", "#9c36b5", "--"),
}


def main() -> None:
    """Draw all that there is."""
    if records := _load("peers"):
        peers = list(dict.fromkeys(record["peer"] for record in records))
        for plot in _PLOTS:
            chosen = [record for record in records if plot.belongs(record)]
            if chosen:
                _draw(plot, chosen, peers)
    if records := _load("targets"):
        _draw_deliveries([record for record in records if "viewers" in record])


def _load(name: str) -> list[_Record]:
    path = _RESULTS / f"{name}.json"
    if not path.exists():
        return []
    records = json.loads(path.read_text(encoding="utf-8"))["records"]
    return [record for record in records if "reason" not in record]


def _draw(plot: _Plot, records: list[_Record], peers: list[str]) -> None:
    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    shown = {record["peer"] for record in records}
    for number, peer in enumerate(peers):
        if peer not in shown:
            continue
        points = sorted(
            (plot.x(record), plot.value(record)) for record in records if record["peer"] == peer
        )
        # Ours stand out; there are more peers than colours.
        style = "-" if peer.startswith("Outlive") else "--" if number < 10 else ":"
        axes.plot(
            *zip(*points, strict=True), style,
            color=f"C{number}", marker="o", markersize=4, label=peer,
        )  # fmt: skip
    axes.set(title=plot.title, xlabel=plot.across, ylabel=plot.up, xscale="log", yscale="log")
    axes.grid(visible=True, alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    _save(figure, plot.file)


def _draw_deliveries(records: list[_Record]) -> None:
    """Draw how much of what there is to deliver is delivered: the plot of the README."""
    figure, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
    for peer, (name, color, style) in _SHOWN.items():
        points = sorted(
            (record["viewers"] * record["rate"], record["speed"], record["viewers"])
            for record in records
            if record["peer"] == peer and _is_live(record) and record["viewers"] <= 1000
        )
        if points:
            due, speeds, _ = zip(*points, strict=True)
            axes.plot(
                due, speeds, style, color=color, marker="o", markersize=5, label=name,
                linewidth=2.5 if style == "-" else 1.5,
            )  # fmt: skip
    axes.set(
        xscale="log", yscale="log", xlabel="viewers × lines per second",
        ylabel="lines delivered per second",
    )  # fmt: skip
    _mark_loads(axes, [record for record in records if _is_live(record)])
    axes.grid(visible=True, color=_INK, alpha=0.25)
    axes.legend(frameon=False, labelcolor=_INK)
    axes.tick_params(colors=_INK, which="both")
    for part in (axes.xaxis.label, axes.yaxis.label):
        part.set_color(_INK)
    for spine in axes.spines.values():
        spine.set_color(_INK)
    _save(figure, "deliveries")


def _mark_loads(axes: Any, records: Sequence[_Record]) -> None:  # noqa: ANN401 - of matplotlib
    """Say at each place across how many viewers and lines that is."""
    loads = sorted({(r["viewers"] * r["rate"], r["viewers"], r["rate"]) for r in records})
    shown = [load for load in loads if load[1] <= 1000]
    labels = [f"{viewers:,} × {rate:,}" for _, viewers, rate in shown]
    axes.set_xticks([due for due, _, _ in shown], labels)
    powers = (10**power for power in range(3, 8))
    axes.set_yticks([*powers], ["1,000", "10,000", "100,000", "1 million", "10 million"])
    axes.minorticks_off()


def _save(figure: Any, name: str) -> None:  # noqa: ANN401 - of matplotlib
    figure.savefig(_RESULTS / f"{name}.svg", transparent=True, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
