"""Do 95 % intervals of splitting hold where the mean first-passage time is known exactly?

Run it as

    python benchmarks/calibration/splitting.py

which takes about ten minutes on one core. Every case is estimated REPEATS times, each time by
REPETITIONS independent repetitions of splitting and with the interval that `rare.splitting.rate`
gives from so many; one pilot serves them all.

The exact value is that of the process which is simulated: x <- x - h V'(x) + sqrt(2 T h) normal,
looked at after every step, whose mean time solves a linear integral equation (here by Nystrom's
method with 896 nodes; `tests/rare/exact.py`). Beside it stands what the continuous diffusion has:
the two differ by the error of the step, which no splitting can mend.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "rare"))

from common import Row, arguments, finish
from exact import Walk, birth_death_time, chain_time  # pyright: ignore[reportMissingImports]

from spinodal.dynamics.diffusions import Diffusion
from spinodal.rare.estimates import spread
from spinodal.rare.splitting import SplittingSettings, rate
from spinodal.rare.swarms import DiffusionSwarm, Swarm
from spinodal.theory.free_energy import first_passage_time

REPEATS, REPETITIONS, COPIES, SEED, LEVEL = 400, 10, 48, 4, 0.95
KERNEL = 0.02
"""How far the mean over all repeats may be from the exact value."""


class Case(NamedTuple):
    """A passage, its exact mean as simulated and, for a diffusion, in continuous time."""

    name: str
    swarm: Swarm
    target: float
    step: float
    exact: float
    continuous: float | None


def diffusion(
    name: str,
    potential: Callable[[np.ndarray], np.ndarray],
    slope: Callable[[np.ndarray], np.ndarray],
    *,
    temperature: float,
    start: float,
    target: float,
    step: float,
    wall: float = -np.inf,
    low: float = -2.2,
) -> Case:
    """One coordinate in a potential."""
    moving = Diffusion(gradient=slope, score=lambda x: x[:, 0], step=step, temperature=temperature)
    chain = chain_time(
        lambda x: x - step * slope(x), math.sqrt(2 * temperature * step),
        start=start, target=target, low=low, panels=56,
    )  # fmt: skip
    continuous = first_passage_time(
        potential, start=start, absorbing=target, temperature=temperature, reflecting=wall
    )
    return Case(name, DiffusionSwarm(moving, [start]), target, step, step * chain, continuous)


def cases() -> list[Case]:
    """Five passages of 30 to 65,000 mean times as long as the relaxation."""

    def quartic(x: np.ndarray) -> np.ndarray:
        return x**4 / 4 - x**2 / 2

    def pull(x: np.ndarray) -> np.ndarray:
        return x**3 - x

    up, top = 0.4, 16
    return [
        diffusion(
            "Ornstein-Uhlenbeck, T = 1, 0 to 4", lambda x: x**2 / 2, lambda x: x,
            temperature=1.0, start=0.0, target=4.0, step=0.02, low=-9.0,
        ),
        Case(
            f"birth-death chain, up with {up}, 0 to {top}", DiffusionSwarm(Walk(up), [0.0]),
            top, 1.0, birth_death_time(up, 0, top), None,
        ),
        diffusion(
            "(x^2 - 1)^2, T = 0.1, -1 to 0.5", lambda x: (x**2 - 1) ** 2,
            lambda x: 4 * x * (x**2 - 1),
            temperature=0.1, start=-1.0, target=0.5, step=0.01, wall=-2.0,
        ),
        diffusion(
            "x^4/4 - x^2/2, T = 0.05, -1 to 1", quartic, pull,
            temperature=0.05, start=-1.0, target=1.0, step=0.02,
        ),
        diffusion(
            "x^4/4 - x^2/2, T = 0.025, -1 to 1", quartic, pull,
            temperature=0.025, start=-1.0, target=1.0, step=0.02,
        ),
    ]  # fmt: skip


def rows(case: Case, repeats: int) -> list[Row]:
    """Coverage, mean and cost of one case."""
    began = time.monotonic()
    settings = SplittingSettings(
        repetitions=repeats * REPETITIONS, copies=COPIES, watchers=8, confidence=LEVEL
    )
    found = rate(
        case.swarm, target=case.target, seed=SEED, settings=settings, time_per_step=case.step,
        workers=1,
    )  # fmt: skip
    values = np.array([one.rate for one in found.repetitions]).reshape(repeats, REPETITIONS)
    said = [spread(row.tolist(), LEVEL) for row in values]
    hits = sum(one.low <= 1 / case.exact <= one.high for one in said)
    z = (hits / repeats - LEVEL) / math.sqrt(LEVEL * (1 - LEVEL) / repeats)
    ratio, error = found.rate * case.exact, found.relative_error
    half = float(np.median([one.relative_error for one in said]))
    wall = time.monotonic() - began
    beside = "" if case.continuous is None else f"; continuous {case.continuous:.7g}"
    return [
        Row(
            test="S5 coverage",
            case=case.name,
            measured=f"{hits} of {repeats} = {hits / repeats:.3f}, z = {z:+.1f}; "
            f"relative error of one {half:.2f}",
            wanted="0.95, |z| < 4",
            met=abs(z) < 4,
        ),
        Row(
            test="S5 mean",
            case=case.name,
            measured=f"estimate / exact = {ratio:.4f} +- {error:.4f} "
            f"(exact {case.exact:.7g}{beside})",
            wanted="within 2 %, |z| < 4",
            met=abs(ratio - 1) < max(KERNEL, 4 * error) and abs(ratio - 1) < 4 * error,
        ),
        Row(
            test="S5 cost",
            case=case.name,
            measured=f"{found.gain:.1f} times fewer steps than waiting at equal accuracy; "
            f"{found.steps:.3g} steps, {wall:.0f} s",
            wanted="reported",
            met=None,
        ),
    ]


if __name__ == "__main__":
    told = arguments(__doc__)
    count = 20 if told.quick else REPEATS
    finish(__file__, [row for case in cases() for row in rows(case, count)], quick=told.quick)
