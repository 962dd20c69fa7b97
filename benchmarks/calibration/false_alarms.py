"""Is slow motion without noise ever called noise-activated?

    python benchmarks/calibration/false_alarms.py [--quick]

Plateaus without noise, of many lengths: one feature of a deep linear network, started above its
separatrix, waits for the exact `theory.plateau.plateau_time`. What differs between replicas is the
start. Six ways to spread it, among them one that no test of waiting times could tell from
activation: with amplitudes spread evenly above the separatrix the waits are exponential after a
dead time, which the test is granted. Each experiment has 150 replicas, whose 'noise' does nothing,
and a control without noise: the same starts, independent ones, a few, or some watched for a quarter
of the time. The barrier is said to be unknown, or to be 5 T. Not one of the experiments may end in
`noise_activated`; with none of n its probability is below 1 - 0.05^(1/n) at 95 %. At last the same
verdict on escapes that are activated, exponential under noise and none without it: a verdict that
is never given is worth nothing.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from common import Row, arguments, escape_times, finish

from spinodal.records import EscapeTimes
from spinodal.seeding import generator
from spinodal.statistics.mechanism import mechanism
from spinodal.statistics.proportion import escape_probability
from spinodal.statistics.waiting_times import memorylessness
from spinodal.theory.plateau import plateau_time, separatrix

REPLICAS = 150
SPREADS = ("even, above it", "even, across it", "log-normal", "normal", "few starts", "data sets")
CONTROLS = ("same starts", "independent", "twenty", "a quarter of the time")


def main() -> None:
    """Plateaus of every spread with every control, then activated escapes."""
    quick = arguments(__doc__).quick
    each = 1 if quick else 15
    rows, total, wrong = [], 0, 0
    for spread in SPREADS:
        verdicts, exponential, count = Counter(), 0, 0
        for control in CONTROLS:
            for i in range(each):
                g = generator(1, "plateaus", spread, control, i)
                verdict, memoryless = plateaus(g, spread, control)
                verdicts[verdict] += 1
                exponential += memoryless
                count += 1
        wrong, total = wrong + verdicts["noise_activated"], total + count
        said = ", ".join(f"{name} {k}" for name, k in verdicts.most_common())
        case = f"{spread}; {exponential} of {count} pass as memoryless"
        rows.append(
            Row(
                test="S7 plateaus",
                case=case,
                measured=said,
                wanted="0 noise_activated",
                met=verdicts["noise_activated"] == 0,
            )
        )
    bound = escape_probability(wrong, total)
    rows.append(
        Row(
            test="S7 all plateaus",
            case=f"{total} experiments",
            measured=f"{wrong} false alarms, probability < {bound.high:.4f} at 95 %",
            wanted="0 of >= 300, < 0.01",
            met=None if quick else wrong == 0 and total >= 300 and bound.high < 0.01,
        )
    )
    trials = 10 if quick else 200
    verdicts = Counter(activated(generator(2, "activated", i)) for i in range(trials))
    rows.append(
        Row(
            test="activated escapes",
            case=f"{trials} experiments",
            measured=", ".join(f"{name} {k}" for name, k in verdicts.most_common()),
            wanted=">= 0.9 noise_activated",
            met=verdicts["noise_activated"] >= 0.9 * trials,
        )
    )
    finish(__file__, rows, quick=quick)


def plateaus(g: np.random.Generator, spread: str, control: str) -> tuple[str, bool]:
    """The verdict on one experiment, and whether its waits pass for memoryless."""
    depth, decay = int(g.integers(3, 5)), float(g.choice([0.02, 0.05, 0.1]))
    wait = _tabulated(depth, decay)
    # An experiment's own law of starts, from which noisy arm and control both draw.
    width, order = float(g.uniform(0.05, 1.0)), float(g.uniform(-6, -1))
    noisy, dataset = starts(g, spread, width, order)
    times = wait(noisy)
    horizon = float(np.quantile(times[np.isfinite(times)], g.uniform(0.8, 1.0))) * 1.001
    if control == "same starts":
        quiet = times
    else:
        quiet = wait(starts(g, spread, width, order)[0])
        quiet = quiet[:20] if control == "twenty" else quiet
    watched = horizon / 4 if control == "a quarter of the time" else horizon
    table = escape_times(np.minimum(times, horizon), times <= horizon, dataset)
    memory = memorylessness(_after_the_first(table), generator=g, resamples=199)
    found = mechanism(
        table,
        quiet=escape_times(np.minimum(quiet, watched), quiet <= watched),
        memory=memory,
        barrier_over_t=None if g.random() < 0.5 else 5.0,
    )
    return found.verdict, memory.verdict == "consistent"


def _after_the_first(table: EscapeTimes) -> EscapeTimes:
    """What is left of the waiting when one in twenty has escaped: the usual dead time."""
    dead = float(np.quantile(table.time, 0.05))
    late = table.select(table.time > dead)
    return escape_times(late.time - dead, late.escaped, late.dataset)


def starts(
    g: np.random.Generator, spread: str, width: float, order: float
) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes relative to the separatrix, less 1, and the data set of each replica."""
    dataset = np.arange(REPLICAS) % 10
    edge = 10.0**order
    return {
        # Below the separatrix (negative) nothing is ever learned.
        "even, above it": lambda: edge * g.random(REPLICAS),
        "even, across it": lambda: edge * (g.random(REPLICAS) - 0.2),
        "log-normal": lambda: edge * np.exp(width * g.standard_normal(REPLICAS)),
        "normal": lambda: edge * g.standard_normal(REPLICAS),
        "few starts": lambda: edge * g.random(8)[np.arange(REPLICAS) % 8],
        "data sets": lambda: edge * (g.random(10) * 2)[dataset] * g.random(REPLICAS),
    }[spread](), dataset


def _tabulated(depth: int, decay: float):
    """Plateau time of the relative distance from the separatrix, interpolated in its logarithm."""
    wall = float(separatrix(depth=depth, signal=0.8, weight_decay=decay))
    logs = np.linspace(-18, 0.5, 60)
    exact = plateau_time(
        amplitude=wall * (1 + np.exp(logs)), depth=depth, signal=0.8, weight_decay=decay
    )

    def wait(distance: np.ndarray) -> np.ndarray:
        above = distance > np.exp(-18)
        inside = np.log(np.where(above, distance, 1.0))
        return np.where(above, np.interp(inside, logs, exact), np.inf)

    return wait


def activated(g: np.random.Generator) -> str:
    """Exponential waits with noise, none without."""
    times = g.exponential(size=REPLICAS)
    table = escape_times(np.minimum(times, 2.0), times <= 2.0)
    quiet = escape_times(np.full(REPLICAS, 2.0), np.zeros(REPLICAS))
    memory = memorylessness(table, generator=g, resamples=199)
    return _verdict(table, quiet, memory)


def _verdict(table: EscapeTimes, quiet: EscapeTimes, memory) -> str:
    return mechanism(table, quiet=quiet, memory=memory, barrier_over_t=5.0).verdict


if __name__ == "__main__":
    main()
