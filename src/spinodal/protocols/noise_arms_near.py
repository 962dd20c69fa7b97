"""Starts beside the trap: dead weights that are small instead of zero.

In the trap itself minibatch noise has no part in any weight that could raise the rank, so that no
escape from there is a matter of construction. With a second strength left over it is not: the noise
of such a start reaches the second feature, and carries it over the saddle or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.ensemble import Ensemble, Outcome
from spinodal.dynamics.tasks import Data
from spinodal.protocols.noise_arms_records import NearRecord, NoiseArmsSettings, NoiseSetting
from spinodal.protocols.side_by_side import Job, ensemble_job, own_seed
from spinodal.records import EscapeTimes
from spinodal.statistics.proportion import escape_probability
from spinodal.theory import modes

BACK = 1e-6
"""A second strength that ends below this, far below any start's, is back in the trap."""


def starts(settings: NoiseArmsSettings, one: NoiseSetting) -> dict[float, float]:
    """Second strength of every start: (fraction of the saddle's amplitude)^depth times its own."""
    saddle = float(modes.saddle(**settings.mode(one)))
    return {
        fraction: saddle * fraction**settings.network.depth for fraction in settings.near_saddle
    }


def plan_near(
    settings: NoiseArmsSettings,
    one: NoiseSetting,
    seed: int,
    data: Sequence[Data],
    minibatch: Ensemble,
) -> dict[str, Job]:
    """The minibatch arm from every start, and its twins without noise; none without replicas."""
    jobs: dict[str, Job] = {}
    if one.near_replicas is None:
        return jobs
    for fraction, second in starts(settings, one).items():
        noisy = minibatch.twin(
            start=Start(kind="balanced", strengths=(settings.learned(one)[0], second)),
            steps=settings.steps_without_noise,
        )
        jobs[_name(one, fraction, "noise")] = ensemble_job(
            noisy,
            seed=own_seed(seed, "noise arms", one.name, "near", f"{fraction:g}"),
            replicas=one.near_replicas,
            data=data,
        )
        jobs[_name(one, fraction, "noise off")] = ensemble_job(
            noisy.noise_off, seed=seed, replicas=settings.datasets, data=data
        )
    return jobs


def read_near(
    settings: NoiseArmsSettings,
    one: NoiseSetting,
    temperatures: Mapping[float, float],
    holds: Sequence[int],
    results: Mapping[str, Any],
) -> tuple[NearRecord, ...]:
    """Escapes from every start, from what the jobs of `plan_near` returned."""
    found = []
    for fraction, second in starts(settings, one).items():
        noisy: Outcome | None = results.get(_name(one, fraction, "noise"))
        if noisy is None:
            continue
        quiet: Outcome = results[_name(one, fraction, "noise off")]
        times = waiting(noisy)
        sane = np.isin(times.dataset, holds) & (times.status != "diverged")
        rest = sane & (times.status == "censored")
        off = quiet.passages[0].select(np.isin(quiet.passages[0].dataset, holds))
        escapes = times.select(sane).events
        chance = escape_probability(escapes, int(sane.sum()))
        found.append(
            NearRecord(
                fraction=fraction,
                strength=second,
                temperature=temperatures[fraction],
                steps=settings.steps_without_noise,
                trials=int(sane.sum()),
                escapes=escapes,
                low=chance.low,
                high=chance.high,
                fell=times.select(sane).status_counts["escaped_elsewhere"],
                back=int((rest & (noisy.strengths[:, 1] < BACK)).sum()),
                quiet_escapes=off.events,
                quiet_runs=off.status.size,
            )
        )
    return tuple(found)


def _name(one: NoiseSetting, fraction: float, part: str) -> str:
    return f"{one.name}, minibatch, start at {fraction:g} of the saddle, {part}"


def waiting(outcome: Outcome) -> EscapeTimes:
    """Times to the second feature; losing the first one before ends the waiting elsewhere."""
    up, *others = outcome.passages
    if not others:
        return up
    down = others[0]
    fell = down.escaped & ~(up.escaped & (up.steps <= down.steps))
    return EscapeTimes(
        replica=up.replica,
        dataset=up.dataset,
        steps=np.where(fell, down.steps, up.steps),
        time=np.where(fell, down.time, up.time),
        status=np.where(fell, "escaped_elsewhere", up.status),
    )
