"""Times of things that take turns, so that a noisy neighbour disturbs all of them alike."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

Work = Callable[[int], object]
"""Does its argument's number of steps."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds per step: the quickest of the repeats, their median, and how many there were."""

    quickest: float
    median: float
    repeats: int


def alternate(works: Mapping[str, Work], *, seconds: float, repeats: int) -> dict[str, Timing]:
    """Time all works in turn, `repeats` times, each turn about `seconds` long.

    The quickest repeat is the least disturbed one; the median says how disturbed the others were.
    """
    steps = {name: _steps_in(work, seconds) for name, work in works.items()}
    seen: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            seen[name].append(_seconds(work, steps[name]) / steps[name])
    return {
        name: Timing(quickest=min(times), median=statistics.median(times), repeats=repeats)
        for name, times in seen.items()
    }


MOST_STEPS = 10**9
"""Work whose time does not grow with its steps never fills a turn."""


def _steps_in(work: Work, seconds: float) -> int:
    """How many steps fill a turn; what happens only once (compiling, caches) happens here."""
    work(1)
    steps = 1
    while True:
        spent = _seconds(work, steps)
        if spent >= 0.2 * seconds or steps >= MOST_STEPS:
            spent = max(spent, 1e-9)
            return max(1, min(MOST_STEPS, round(steps * seconds / spent)))
        steps = max(2 * steps, min(100 * steps, round(0.5 * steps * seconds / max(spent, 1e-9))))


def _seconds(work: Work, steps: int) -> float:
    begin = time.perf_counter()
    work(steps)
    return time.perf_counter() - begin


@contextmanager
def one_core() -> Iterator[None]:
    """Keep the process on one core, so that nobody's hidden threads count as speed.

    Threads that a library starts meanwhile stay there as well. Where the operating system cannot
    do that, the libraries' own settings have to.
    """
    try:
        before = os.sched_getaffinity(0)
    except AttributeError:  # not on macOS or Windows
        yield
        return
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
