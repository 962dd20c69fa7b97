"""`spinodal bench`: the benchmark for people, or as one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from spinodal.cli.interruption import say_when_interrupted
from spinodal.cli.printing import Printer
from spinodal.report.progress import progress
from spinodal.speed.benchmark import BenchSettings, benchmark

TWIN = "twin"
"""What our own NumPy code is called among the rivals."""


def bench(*, quick: bool, threads: Any, as_json: bool) -> None:
    """Measure, and print what was found."""
    settings = BenchSettings(quick=quick, threads=threads)
    say_when_interrupted("a benchmark stores nothing: the same command begins anew.")
    with progress() as watch:
        watch.begin("bench", 1, 1)
        found = benchmark(settings, say=lambda text: watch(None, text))
    if as_json:
        json.dump(found, sys.stdout, indent=1, ensure_ascii=False, allow_nan=False)
        sys.stdout.write("\n")
        return
    console = Printer()
    for line in _sentences(found):
        console.print(line, markup=False, soft_wrap=True)
    for title, rows in _tables(found):
        if rows:
            console.print()
            console.print(title, style="bold")
            console.print(_table(rows))


def _sentences(found: dict[str, Any]) -> Iterator[str]:
    machine = found["machine"]
    clock = "" if machine["clock_ghz"] is None else f", {machine['clock_ghz']:g} GHz now"
    yield f"{machine['processor']}, {machine['cores']} cores{clock}"
    for build, rates in found["peak"].items():
        if isinstance(rates, dict):
            rate = rates["float64"]
            yield f"peak of one core, {build}: {rate:.1f} Gflop/s in float64, none fused"
    for row in found["headline"]:
        if "us_per_replica_step" not in row:
            yield "There is no compiled engine here; only its rivals and its twin were timed."
            break
        other = f"the best rival ({row['best_rival']})"
        if row["best_rival"] == TWIN:
            other = "our own NumPy code (twin)"
        yield (
            f"{_network(row)}: {row['us_per_replica_step']:.3g} us per replica and step, "
            f"{row['times_faster_than_best_rival']:.3g} times faster than {other}"
            + _optional(", {:.4g} times faster than a PyTorch loop", row["times_faster_than_loop"])
            + _optional(", {:.0%} of the core's peak", row["fraction_of_peak"])
        )
    for rival in found["rivals_not_installed"]:
        yield f"not measured, because it is not installed: {rival['name']} ({rival['install']})"
    if _alone(found):
        yield "No rival was measured here: the twin is this package's own NumPy code."


def _alone(found: dict[str, Any]) -> bool:
    """Was there nobody but our own twin to compare with?"""
    return all(row["rival"] == TWIN for row in found["rivals"])


def _tables(found: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    alone = _alone(found)
    yield (
        "The engine, one core",
        [
            {
                "depth x width": _network(row),
                "build": row["build"],
                "us/step": f"{row['us_per_replica_step']:.4g}",
                "of peak": _optional("{:.0%}", row["fraction_of_peak"]),
                "x twin" if alone else "x rival": _optional(
                    "{:.3g}", row["times_faster_than_best_rival"]
                ),
                "x loop": _optional("{:.4g}", row["times_faster_than_loop"]),
            }
            for row in found["engine"]
        ],
    )
    yield (
        "The NumPy twin, one core" if alone else "Rivals and the NumPy twin, one core",
        [
            {
                "depth x width": _network(row),
                "rival": row["rival"],
                "replicas": str(row["replicas"]),
                "us/step": f"{row['us_per_replica_step']:.4g}",
            }
            for row in found["rivals"]
        ],
    )
    for title, rows in found["scaling"].items():
        if isinstance(rows, list):
            yield title.replace("_", " "), [_plain(row) for row in rows]


def _network(row: dict[str, Any]) -> str:
    """The paper's choices go without saying."""
    kind = "linear" if row["activation"] == "identity" else row["activation"]
    told = f"{kind} {row['depth']} x {row['width']}, batch {row['batch_size']}"
    usual = ("float64", "replacement")
    others = [row[name] for name in ("precision", "sampling") if row[name] not in usual]
    return ", ".join([told, *others])


def _plain(row: dict[str, Any]) -> dict[str, str]:
    return {key.replace("_", " "): _optional("{:.4g}", value) for key, value in row.items()}


def _optional(template: str, value: Any) -> str:
    """A number in words; nothing where there is none, and names as they are."""
    if value is None:
        return ""
    return template.format(value) if isinstance(value, int | float) else str(value)


def _table(rows: Sequence[dict[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for key in rows[0]:
        table.add_column(key, justify="left" if key == next(iter(rows[0])) else "right")
    for row in rows:
        table.add_row(*row.values())
    return table
