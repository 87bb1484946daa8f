"""`benchmarks/.venv/bin/python -m benchmarks.plots`: draw `benchmarks/results/peers.json` as SVG files beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

__all__: list[str] = []

_RESULTS = Path(__file__).parent / "results"
_Record = dict[str, Any]


class _Plot(NamedTuple):
    """One value of all peers over one other."""

    file: str
    title: str
    across: str
    up: str
    belongs: Callable[[_Record], bool]
    x: str
    value: Callable[[_Record], float]


def _live(record: _Record) -> bool:
    return not record["late"]


_PLOTS = (
    _Plot(
        "viewers", "Deliveries at 1,000 lines/s", "viewers", "lines delivered per second",
        lambda record: _live(record) and record["lines"] == 1000, "viewers",
        lambda record: record["speed"],
    ),
    _Plot(
        "rates", "Deliveries to 1,000 viewers", "lines per second", "lines delivered per second",
        lambda record: _live(record) and record["viewers"] == 1000, "lines",
        lambda record: record["speed"],
    ),
    _Plot(
        "delays", "Median delay before 1,000 viewers", "lines per second", "milliseconds",
        lambda record: _live(record) and record["viewers"] == 1000, "lines",
        lambda record: record["p50"] * 1000,
    ),
    _Plot(
        "costs", "CPU of the server before 1,000 viewers", "lines per second",
        "seconds per million deliveries",
        lambda record: _live(record) and record["viewers"] == 1000, "lines",
        lambda record: record["server"],
    ),
    _Plot(
        "history", "50 viewers who come late", "lines before they come",
        "lines delivered per second", lambda record: record["late"], "lines",
        lambda record: record["speed"],
    ),
)  # fmt: skip


def main() -> None:
    """Draw all."""
    records = json.loads((_RESULTS / "peers.json").read_text(encoding="utf-8"))["records"]
    measured = [record for record in records if "reason" not in record]
    peers = list(dict.fromkeys(record["peer"] for record in records))
    for plot in _PLOTS:
        _draw(plot, [record for record in measured if plot.belongs(record)], peers)


def _draw(plot: _Plot, records: list[_Record], peers: list[str]) -> None:
    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    shown = {record["peer"] for record in records}
    for number, peer in enumerate(peers):
        if peer not in shown:
            continue
        points = sorted(
            (record[plot.x], plot.value(record)) for record in records if record["peer"] == peer
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
    figure.savefig(_RESULTS / f"{plot.file}.svg")
    plt.close(figure)


if __name__ == "__main__":
    main()
