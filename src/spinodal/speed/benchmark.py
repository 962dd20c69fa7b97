"""The benchmark: which cases are timed, and what is said about them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import PositiveInt

from spinodal.records import Settings
from spinodal.speed import core, scaling
from spinodal.speed.case import Case
from spinodal.speed.contest import ENGINE, Effort, Entry, Say, contest, time_engine
from spinodal.speed.flops import flops_per_step
from spinodal.speed.rivals.rival import absent

PAPER = Case()
"""The paper's linear network."""


QUICK = Effort(
    seconds=0.08, repeats=5, tune=2, widths=(32, 128), depths=(1, 8), batch_sizes=(1, 512)
)
FULL = Effort(
    seconds=0.2, repeats=5, tune=3,
    widths=(2, 4, 16, 32, 64, 128, 256), depths=(1, 2, 4, 5, 6, 7, 8),
    batch_sizes=(1, 2, 4, 8, 16, 32, 128, 256, 512),
)  # fmt: skip


class BenchSettings(Settings):
    """`quick` takes less than a minute; `threads` is the largest number of threads tried."""

    quick: bool = False
    threads: PositiveInt = 1


def cases(effort: Effort) -> Iterator[Case]:
    """The paper's network, linear and sigmoid, and one of its sizes or choices varied at a time."""
    for base in (PAPER, _but(PAPER, activation="sigmoid")):
        yield from (_but(base, width=width) for width in effort.widths)
        yield from (_but(base, depth=depth) for depth in effort.depths)
        yield from (_but(base, batch_size=size) for size in effort.batch_sizes)
        yield _but(base, precision="float32")
    yield _but(PAPER, sampling="wishart")


def benchmark(
    settings: BenchSettings, say: Say = lambda _: None, *, rivals_everywhere: bool = False
) -> dict[str, Any]:
    """Everything in one run, as plain data: rows of the engine, of its rivals, of scaling.

    Rivals are timed on the paper's network, with `rivals_everywhere` on every case.
    """
    effort = QUICK if settings.quick else FULL
    told, builds = core.machine(), core.builds()
    peaks = core.peaks(effort.seconds)
    sigmoid = _but(PAPER, activation="sigmoid")
    contested = [PAPER, sigmoid, *(_but(case, sampling="shuffled") for case in (PAPER, sigmoid))]
    others = list(cases(effort))
    entries: list[Entry] = []
    for case in contested + (others if rivals_everywhere else []):
        entries += contest(case, builds=builds, effort=effort, say=say)
    if builds and not rivals_everywhere:
        for case in others:
            entries += time_engine(case, builds[-1:], effort=effort, say=say)
    say("threads, shards and memory")
    return {
        "machine": told,
        "peak": {"unit": "1e9 multiplications and additions a second, none fused", **peaks},
        "headline": [headline(case, entries, peaks) for case in contested],
        "engine": [engine_row(e, entries, peaks) for e in entries if _is_engine(e)],
        "rivals": [rival_row(e) for e in entries if not _is_engine(e)],
        "rivals_not_installed": absent(),
        "scaling": scaling.measure(quick=settings.quick, threads=settings.threads),
    }


def headline(
    case: Case, entries: list[Entry], peaks: dict[str, dict[str, float]]
) -> dict[str, Any]:
    """The default build against the best rival, and against the loop."""
    own = [e for e in entries if e.case == case and _is_engine(e)]
    others = [e for e in entries if e.case == case and not _is_engine(e)]
    best = min(others, key=lambda e: e.us_per_replica_step)
    told = {**case.told, "best_rival": best.name, "us_best_rival": best.us_per_replica_step}
    return told | (engine_row(own[-1], entries, peaks) if own else {})


def engine_row(
    entry: Entry, entries: list[Entry], peaks: dict[str, dict[str, float]]
) -> dict[str, Any]:
    """Settings, time, arithmetic and ratios of one build on one case; None where there is none."""
    build = entry.name.removeprefix(ENGINE).strip()
    flops = flops_per_step(entry.case)
    rate = flops / entry.us_per_replica_step * 1e-3
    peak = peaks.get(build, {}).get(entry.case.precision)
    others = {
        e.name: e.us_per_replica_step for e in entries if e.case == entry.case and not _is_engine(e)
    }
    best = min(others, key=lambda name: others[name], default=None)
    return {
        **entry.case.told,
        "build": build,
        **_times(entry),
        "flops_per_step": flops,
        "gflops": rate,
        "fraction_of_peak": None if peak is None else rate / peak,
        "best_rival": best,
        "times_faster_than_best_rival": _ratio(entry, others.get(best or "")),
        "times_faster_than_loop": _ratio(entry, others.get("torch_loop")),
    }


def rival_row(entry: Entry) -> dict[str, Any]:
    """Settings and time of one rival on one case."""
    return {**entry.case.told, "rival": entry.name, **_times(entry)}


def _times(entry: Entry) -> dict[str, Any]:
    return {
        "replicas": entry.replicas,
        "us_per_replica_step": entry.us_per_replica_step,
        "us_median": entry.us_median,
        "repeats": entry.timing.repeats,
    }


def _ratio(entry: Entry, other: float | None) -> float | None:
    return None if other is None else other / entry.us_per_replica_step


def _is_engine(entry: Entry) -> bool:
    return entry.name.startswith(ENGINE)


def _but(case: Case, **changes: Any) -> Case:
    return Case.model_validate(case.model_dump() | changes)
