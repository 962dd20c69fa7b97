"""Do other problems in which a regulariser switches features on show the same metastability?

Completion of a partly observed matrix by three layers, with two layers as the control in which
nothing jumps, and sparse regression with a concave penalty, on orthonormal and on correlated
features. Each problem is swept without noise up and down in weight decay; the string method climbs
to the saddle; under Langevin noise escapes are waited for at several temperatures and reached by
splitting, at some of the same temperatures and at colder ones.

Barriers never see escape times: the string works on the loss alone, its barrier sets the
temperatures, and the slope of ln(mean time) against 1/T comes from the waiting times alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from spinodal.dynamics.diffusion_passages import first_passages
from spinodal.dynamics.diffusions import Array, Walkers
from spinodal.protocols.other_problems_cases import Case, Problem, case
from spinodal.protocols.other_problems_reading import cold_slope, jump, verdict, waiting_slope
from spinodal.protocols.other_problems_records import (
    EscapeRecord,
    OtherProblemsSettings,
    PathRecord,
    ProblemRecord,
    ProblemSetting,
    Record,
    SweepRecord,
)
from spinodal.protocols.side_by_side import own_seed
from spinodal.rare.hessians import curvatures
from spinodal.rare.paths import relax, string_method
from spinodal.rare.splitting import SplittingSettings, rate
from spinodal.rare.swarms import DiffusionSwarm
from spinodal.records import EscapeTimes
from spinodal.seeding import generator
from spinodal.statistics.survival import exponential_rate
from spinodal.statistics.waiting_times import memorylessness

__all__ = ["OtherProblemsSettings", "Record", "preset", "run"]

KICK = 1e-3
"""Length of the random push before every descent of a sweep: enough to leave a saddle."""

BEYOND = 0.6
"""The target lies this far from the saddle's score to the learned one's."""


def preset(effort: str) -> OtherProblemsSettings:
    """Settings of the quick or the full reproduction."""
    paper = effort == "paper"
    return OtherProblemsSettings(
        problems=(
            ProblemSetting(
                name="completion",
                fraction=0.25,
                barriers=(5.0, 6.0, 7.0, 8.0) if paper else (5.5, 7.0),
                deep=(14.0,) if paper else (11.0,),
                horizon=1000.0 if paper else 160.0,
                step=0.01 if paper else 0.02,
            ),
            ProblemSetting(name="completion, two layers", fraction=0.5),
            ProblemSetting(
                name="regression",
                fraction=0.5,
                barriers=(3.0, 4.0, 5.0) if paper else (2.5, 3.25),
                deep=(12.0,) if paper else (8.0,),
                horizon=1000.0 if paper else 130.0,
                step=0.01 if paper else 0.02,
            ),
            ProblemSetting(
                name="regression, correlated",
                fraction=0.5,
                barriers=(3.0, 4.0, 5.0) if paper else (2.5, 3.25),
                deep=(12.0,) if paper else (8.0,),
                horizon=1000.0 if paper else 130.0,
                step=0.01 if paper else 0.02,
            ),
        ),
        sweep=40 if paper else 10,
        replicas=400 if paper else 192,
        repetitions=24 if paper else 6,
        copies=128 if paper else 32,
    )


def run(
    settings: OtherProblemsSettings,
    *,
    seed: int,
    workers: int = 1,
    progress: Callable[[float, str], None] | None = None,
) -> Record:
    """Every problem; the record does not depend on `workers`."""
    problems: list[ProblemRecord] = []
    for number, one in enumerate(settings.problems):
        if progress is not None:
            progress(number / len(settings.problems), one.name)
        problems.append(
            _problem(settings, one, own_seed(seed, "other problems", one.name), workers)
        )
    return Record(problems=tuple(problems))


def _problem(
    settings: OtherProblemsSettings, one: ProblemSetting, seed: int, workers: int
) -> ProblemRecord:
    what = case(one.name)
    low, high = what.range
    known = what.spinodals
    # Both states exist between the spinodals; without jump, below the single one.
    if known is not None and known[0] < known[1]:
        low, high = max(low, known[0]), known[1]
    elif known is not None:
        high = known[1]
    decay = low + one.fraction * (high - low)
    problem = what.at(decay)
    off, on = _ends(what, problem)
    start = curvatures(problem.landscape, off, scale=float(np.linalg.norm(on - off)))
    path = None
    escapes: tuple[EscapeRecord, ...] = ()
    slope: tuple[float | None, float | None, float | None] = (None, None, None)
    if start.index == 0:
        path = _path(what, decay, off, on, settings.images, start.zeros)
        escapes, slope = _escapes(settings, one, what, decay, off, on, path, seed, workers)
    scores = what.score(np.stack([off, on]))
    cold = cold_slope(escapes, 0 if path is None else path.zeros)
    return ProblemRecord(
        name=one.name,
        feature=what.feature,
        coordinates=problem.size,
        weight_decay=decay,
        off=float(scores[0]),
        on=float(scores[1]),
        start_index=start.index,
        sweep=_sweep(settings.sweep, what, seed),
        path=path,
        escapes=escapes,
        exact_time=what.exact_time,
        slope=slope[0],
        slope_low=slope[1],
        slope_high=slope[2],
        cold_slope=cold[0],
        cold_slope_low=cold[1],
        cold_slope_high=cold[2],
        verdict=verdict(path, escapes),
    )


def _ends(what: Case, problem: Problem) -> tuple[Array, Array]:
    """The states without and with the feature, by descent."""
    return relax(problem.landscape, np.zeros(problem.size)), relax(problem.landscape, what.on)


def _sweep(points: int, what: Case, seed: int) -> SweepRecord:
    """Weight decay up from the learned state, then down again, relaxed at every value."""
    decays = np.linspace(*what.range, points)
    push = generator(seed, "push").standard_normal(what.on.size)
    push *= KICK / np.linalg.norm(push)
    x, found = what.on, []
    for decay in [*decays, *decays[::-1]]:
        x = relax(what.at(float(decay)).landscape, x + push)
        found.append(float(what.score(x[None])[0]))
    up, down = np.array(found[:points]), np.array(found[points:])[::-1]
    return SweepRecord(
        weight_decays=tuple(decays.tolist()),
        up=tuple(up.tolist()),
        down=tuple(down.tolist()),
        lost=jump(decays, up),
        regained=jump(decays, down),
        spinodal_on=None if what.spinodals is None else what.spinodals[0],
        spinodal_off=None if what.spinodals is None else what.spinodals[1],
    )


def _path(
    what: Case, decay: float, off: Array, on: Array, images: int, zeros: int
) -> PathRecord | None:
    found = string_method(what.at(decay).landscape, off, on, images=images)
    if found.saddle is None or found.curvatures is None:
        return None
    exact = (None, None) if what.barriers is None else what.barriers(decay)
    return PathRecord(
        arc=tuple(found.arc.tolist()),
        losses=tuple((found.losses - found.losses[0]).tolist()),
        scores=tuple(what.score(found.positions).tolist()),
        barrier_out=found.barrier_out,
        barrier_back=found.barrier_back,
        exact_out=exact[0],
        exact_back=exact[1],
        saddle_score=float(what.score(found.saddle[None])[0]),
        index=found.curvatures.index,
        zeros=found.curvatures.zeros - zeros,
        converged=found.converged,
        residual=found.residual,
    )


def _escapes(
    settings: OtherProblemsSettings,
    one: ProblemSetting,
    what: Case,
    decay: float,
    off: Array,
    on: Array,
    path: PathRecord | None,
    seed: int,
    workers: int,
) -> tuple[tuple[EscapeRecord, ...], tuple[float | None, float | None, float | None]]:
    """Every temperature, and the slope over those that were waited for."""
    if path is None or not one.barriers:
        return (), (None, None, None)
    top, learned = path.saddle_score, float(what.score(on[None])[0])
    target = top + BEYOND * (learned - top)
    records, waited = [], []
    # Splitting is tried at the coldest temperature that can be waited for, and below.
    for ratio in (*one.barriers, *one.deep):
        heat = path.barrier_out / ratio
        tell = partial(own_seed, seed, f"{ratio:g}")
        times = None
        if ratio in one.barriers:
            times = first_passages(
                what.diffusion(decay, heat, one.step), off, target=target,
                steps=round(one.horizon / one.step), seed=tell("waiting"),
                replicas=settings.replicas, bridge=what.bridge,
            )  # fmt: skip
            waited.append((heat, times))
        split = ratio >= max(one.barriers)
        records.append(
            _escape(
                settings, one, what, decay, off, path, target, ratio, times, split, tell, workers
            )
        )
    return tuple(records), waiting_slope(waited, path.zeros)


def _escape(
    settings: OtherProblemsSettings,
    one: ProblemSetting,
    what: Case,
    decay: float,
    off: Array,
    path: PathRecord,
    target: float,
    ratio: float,
    times: EscapeTimes | None,
    split: bool,
    tell: Callable[[str], int],
    workers: int,
) -> EscapeRecord:
    heat = path.barrier_out / ratio
    diffusion = what.diffusion(decay, heat, one.step)
    start = float(what.score(off[None])[0])
    mean = None if what.mean_time is None else what.mean_time(decay, heat, start, target)
    free = None if what.free_barrier is None else what.free_barrier(decay, heat) / heat
    estimate = None if times is None or not times.events else exponential_rate(times)
    test = None
    if times is not None:
        test = memorylessness(times, generator=generator(tell("memory")), check_every=one.step)
    found = None
    if split and settings.repetitions:
        found = rate(
            DiffusionSwarm(diffusion, off, every=4), target=target, seed=tell("splitting"),
            settings=SplittingSettings(repetitions=settings.repetitions, copies=settings.copies,
                                       watchers=16),
            time_per_step=one.step, workers=workers,
        )  # fmt: skip
    away = behind = 0
    if ratio == max(one.barriers):
        away, behind = _cooled(settings, what, decay, off, path, target, heat, one.step, tell)
    return EscapeRecord(
        barrier_over_t=ratio,
        temperature=heat,
        free_barrier=None if free is None or np.isnan(free) else free,
        predicted=None if mean is None or not np.isfinite(mean) else 1 / mean,
        rate=None if estimate is None else estimate.rate,
        low=None if estimate is None else estimate.low,
        high=None if estimate is None else estimate.high,
        events=0 if times is None else times.events,
        replicas=0 if times is None else len(times.time),
        diverged=0 if times is None else times.status_counts["diverged"],
        memoryless="not waited for" if test is None else test.verdict,
        p_value=None if test is None else test.p_value,
        cooled_escapes=away,
        cooled_trapped=behind,
        split=None if found is None else found.rate,
        split_low=None if found is None else found.low,
        split_high=None if found is None else found.high,
        split_steps=0 if found is None else found.steps,
        split_warning="" if found is None else found.warning,
    )


def _cooled(
    settings: OtherProblemsSettings,
    what: Case,
    decay: float,
    off: Array,
    path: PathRecord,
    target: float,
    heat: float,
    step: float,
    tell: Callable[[str], int],
) -> tuple[int, int]:
    """(escapes, walkers): noise for ten time units, then none for those still well behind.

    Behind: at less than half of the way from the off state's score to the saddle's.
    """
    noisy = what.diffusion(decay, heat, step)
    walkers = Walkers(noisy, np.tile(off, (settings.cooled, 1)), seed=tell("cooled"))
    walkers.advance(round(10 / step))
    start = float(what.score(off[None])[0])
    walkers.keep(walkers.scores() < start + 0.5 * (path.saddle_score - start))
    if not len(walkers):
        return 0, 0
    quiet = Walkers(noisy.quiet(), walkers.positions, seed=0)
    quiet.advance(round(30 / step))
    return int((quiet.scores() >= target).sum()), len(walkers)
