"""Does the test of memorylessness reject as often as it says, and see what it should?

    python benchmarks/calibration/memorylessness.py [--quick]

Size at a level of 5 %: 4000 data sets of memoryless times, without censoring and cut off at one
and at half the mean. Power: 1000 data sets of two-stage (Erlang-2) times, Weibull times of shape
0.8 and 1.3, and a lag followed by an exponential time. Size wanted between 0.04 and 0.06; power at
least 0.85 against Erlang-2 at n = 50 and 0.75 against Weibull 0.8 and 1.3 at n = 100. The p-value
is looked at whatever the verdict, which needs a hundred events.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from common import Row, arguments, escape_times, finish

from spinodal.records import EscapeTimes
from spinodal.seeding import generator
from spinodal.statistics.waiting_times import memorylessness

LEVEL = 0.05
Law = Callable[[np.random.Generator, int], np.ndarray]


def erlang(g: np.random.Generator, n: int) -> np.ndarray:
    """Two exponential stages, together of mean 1."""
    return g.exponential(0.5, (2, n)).sum(axis=0)


def lagged(g: np.random.Generator, n: int) -> np.ndarray:
    """A fixed lag of 0.3, then exponential, together of mean 1."""
    return 0.3 + 0.7 * g.exponential(size=n)


def weibull(shape: float) -> Law:
    """Weibull times of scale 1."""
    return lambda g, n: g.weibull(shape, n)


POWER: list[tuple[str, Law, int, float, float | None]] = [
    ("Erlang-2", erlang, 20, np.inf, None),
    ("Erlang-2", erlang, 50, np.inf, 0.85),
    ("Erlang-2", erlang, 100, np.inf, 0.85),
    ("Erlang-2", erlang, 100, 1.0, None),
    ("Erlang-2", erlang, 100, 0.5, None),
    ("Weibull 0.8", weibull(0.8), 100, np.inf, 0.75),
    ("Weibull 1.3", weibull(1.3), 100, np.inf, 0.75),
    ("lag 0.3", lagged, 50, np.inf, None),
    ("lag 0.3", lagged, 100, 1.0, None),
]
"""Law, its name, replicas, cut-off, and the power that is wanted."""


def main() -> None:
    """Size, then power."""
    quick = arguments(__doc__).quick
    size, power, resamples = (200, 60, 99) if quick else (4000, 1000, 199)
    rows = []
    for n in (20, 50, 100, 200):
        for cutoff in (np.inf, 1.0, 0.5):
            g = generator(1, "size", n, str(cutoff))
            share = rejected(lambda g, n=n: g.exponential(size=n), cutoff, size, resamples, g)
            rows.append(
                Row(
                    test="S4 size",
                    case=_words("exponential", n, cutoff),
                    measured=f"{share:.4f}",
                    wanted="0.04 to 0.06",
                    met=None if quick else 0.04 <= share <= 0.06,
                )
            )
    for name, law, n, cutoff, wanted in POWER:
        g = generator(2, "power", name, n, str(cutoff))
        share = rejected(lambda g, law=law, n=n: law(g, n), cutoff, power, resamples, g)
        rows.append(
            Row(
                test="S4 power",
                case=_words(name, n, cutoff),
                measured=f"{share:.3f}",
                wanted="reported" if wanted is None else f">= {wanted:g}",
                met=None if wanted is None or quick else share >= wanted,
            )
        )
    finish(__file__, rows, quick=quick)


def rejected(
    law: Callable[[np.random.Generator], np.ndarray],
    cutoff: float,
    trials: int,
    resamples: int,
    g: np.random.Generator,
) -> float:
    """How often times of this law, cut off there, are rejected."""
    count = 0
    for _ in range(trials):
        found = memorylessness(_cut(law(g), cutoff), generator=g, resamples=resamples, level=LEVEL)
        count += found.p_value is not None and found.p_value <= LEVEL
    return count / trials


def _cut(times: np.ndarray, cutoff: float) -> EscapeTimes:
    return escape_times(np.minimum(times, cutoff), times <= cutoff)


def _words(name: str, n: int, cutoff: float) -> str:
    return f"{name}, n = {n}" + ("" if np.isinf(cutoff) else f", cut off at {cutoff:g} of the mean")


if __name__ == "__main__":
    main()
