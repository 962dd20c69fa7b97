"""Splitting beside waiting for a whole network: the same rate, and then rates nobody can wait for.

Run it as

    python benchmarks/calibration/splitting_network.py

which takes about a quarter of an hour on two cores. A network of 140 weights (depth 3, width 10,
two inputs and outputs, signals .9 and .8, weight decay .32) sits in the trivial trap under Langevin
noise; the event is its strongest strength beyond the learned one, looked at every 25 updates.

- agreement: at six temperatures waiting with many events beside splitting;
- cost: at a mean time of about 1e7 updates, steps of splitting beside those with which waiting
  would have had the same relative error, (mean time) / (relative error)^2;
- reach: a rate of one in about 1e12 updates, with its wall time and the prediction of theory
  (`theory.kramers`, corrected for the radial width of the well and of the barrier).
"""

from __future__ import annotations

import math
import time

from common import Row, arguments, finish

from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.ensemble import Ensemble, Event, run
from spinodal.dynamics.gaussian import GaussianTask
from spinodal.dynamics.networks import Network
from spinodal.dynamics.updates import Update
from spinodal.rare.estimates import SplittingRate
from spinodal.rare.splitting import SplittingSettings
from spinodal.rare.training import training_rate
from spinodal.statistics.survival import exponential_rate
from spinodal.theory import modes
from spinodal.theory.free_energy import hidden_rotations, thermal_spinodal
from spinodal.theory.kramers import log_rate_up

RATE, DECAY, SIGNALS, DEPTH, WIDTH, LOOKS, SEED = 0.08, 0.32, (0.9, 0.8), 3, 10, 25, 7
MODE = {"depth": DEPTH, "signal": SIGNALS[0], "weight_decay": DECAY}
SPINODAL = float(
    thermal_spinodal(rotations=hidden_rotations(depth=DEPTH, width=WIDTH, rank=0), **MODE)
)
AGREEMENT = ((0.66, 800), (0.68, 1000), (0.7, 1000), (0.72, 1000), (0.75, 1000), (0.8, 1000))
"""Temperatures over the thermal spinodal, and events to wait for."""

COST, REACH = 0.54, 0.385
WORKERS = 2


def trapped(ratio: float) -> Ensemble:
    """The network in the trivial trap at a temperature of `ratio` thermal spinodals."""
    return Ensemble(
        task=GaussianTask(signals=SIGNALS),
        network=Network(depth=DEPTH, width=WIDTH),
        update=Update(
            learning_rate=RATE,
            weight_decay=DECAY,
            sampling="population",
            temperature=ratio * SPINODAL,
        ),
        start=Start(kind="balanced", strengths=()),
        events=(Event(mode=1, threshold=float(modes.learned(**MODE))),),
        steps=10**9,
        check_every=LOOKS,
    )


def split(ratio: float, repetitions: int, copies: int) -> SplittingRate:
    """The rate by splitting."""
    settings = SplittingSettings(
        repetitions=repetitions, copies=copies, watchers=64, resolution=1e-3
    )
    return training_rate(trapped(ratio), seed=SEED, settings=settings, workers=WORKERS)


def agreement(ratio: float, events: int, repetitions: int) -> Row:
    """Both rates at one temperature."""
    found = split(ratio, repetitions, 128)
    outcome = run(
        trapped(ratio), seed=SEED, replicas=events + 128, stop_after_events=events, workers=WORKERS
    )
    waited = exponential_rate(outcome.passages[0], method="fixed_events")
    quotient = found.rate / waited.rate
    overlap = found.low <= waited.high and waited.low <= found.high
    return Row(
        test="S9 agreement",
        case=f"T = {ratio:g} T_sp, mean time {1 / waited.rate / RATE:.3g} updates",
        measured=f"splitting / waiting = {quotient:.3f}; {found.rate:.3e} "
        f"[{found.low:.3e}, {found.high:.3e}] beside {waited.rate:.3e} "
        f"[{waited.low:.3e}, {waited.high:.3e}] from {waited.events} events; "
        f"{found.gain:.2g} times fewer steps",
        wanted="within 10 %, intervals overlap",
        met=abs(quotient - 1) < 0.1 and overlap,
    )


def cost(repetitions: int) -> Row:
    """Steps beside those of waiting at a mean time of about 1e7 updates."""
    found = split(COST, repetitions, 256)
    return Row(
        test="S9 cost",
        case=f"T = {COST:g} T_sp, mean time {found.mean_time / RATE:.3g} updates",
        measured=f"{found.gain:.0f} times fewer steps at a relative error of "
        f"{found.relative_error:.3f}: {found.steps:.3g} instead of {found.brute_force_steps:.3g}",
        wanted=">= 100 times fewer at 1e7",
        met=found.gain >= 100,
    )


def reach(repetitions: int) -> Row:
    """A rate of about one in 1e12 updates."""
    began = time.monotonic()
    found = split(REACH, repetitions, 512)
    wall = time.monotonic() - began
    theory = log_rate_up(
        depth=DEPTH, width=WIDTH, signals=SIGNALS, weight_decay=DECAY,
        temperature=REACH * SPINODAL, rank=0,
    )  # fmt: skip
    corrected = theory.corrected_log_rate
    beside = "" if corrected is None else f", theory {math.exp(corrected) * RATE:.2e}"
    said = found.warning or "none"
    return Row(
        test="reach",
        case=f"T = {REACH:g} T_sp, one in {found.mean_time / RATE:.2e} updates",
        measured=f"{found.rate * RATE:.2e} [{found.low * RATE:.2e}, {found.high * RATE:.2e}] per "
        f"update{beside}; {found.steps:.3g} steps in {wall:.0f} s on {WORKERS} cores, "
        f"{found.gain:.1e} times fewer than waiting; warning: {said}",
        wanted="one in 1e12 or less, under 600 s",
        met=found.mean_time / RATE >= 1e12 and wall < 600,
    )


if __name__ == "__main__":
    quick = arguments(__doc__).quick
    points = [(0.8, 100)] if quick else AGREEMENT
    rows = [agreement(ratio, events, 4 if quick else 72) for ratio, events in points]
    rows += [cost(4 if quick else 24), reach(2 if quick else 20)]
    finish(__file__, rows, quick=quick)
