"""Do other problems in which a regulariser switches features on show the same metastability?

Completion of a partly observed matrix by three layers, with two layers as the control in which
nothing jumps, and sparse regression with a concave penalty, on orthonormal and on correlated
features. Each problem is swept without noise up and down in weight decay; the string method climbs
to the saddle; under Langevin noise escapes are waited for at several temperatures and reached by
splitting, at some of the same temperatures and at colder ones. The control without noise is
descents from either side of the saddle.

Barriers never see escape times: the string works on the loss alone, its barrier sets the
temperatures, and the slope of ln(mean time) against 1/T comes from the waiting times alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from spinodal.dynamics.diffusion_passages import first_passages
from spinodal.dynamics.diffusions import Array
from spinodal.protocols.other_problems_cases import Case, Problem, case
from spinodal.protocols.other_problems_reading import cold_slope, jump, waiting_slope
from spinodal.protocols.other_problems_records import (
    EscapeRecord,
    OtherProblemsSettings,
    PathRecord,
    ProblemRecord,
    ProblemSetting,
    Record,
    SweepRecord,
    Verdict,
)
from spinodal.protocols.side_by_side import own_seed
from spinodal.rare.hessians import curvatures
from spinodal.rare.paths import SaddlePath, relax, string_method
from spinodal.rare.splitting import SplittingSettings, rate
from spinodal.rare.swarms import DiffusionSwarm
from spinodal.records import EscapeTimes
from spinodal.seeding import generator
from spinodal.statistics.mechanism import mechanism
from spinodal.statistics.survival import exponential_rate
from spinodal.statistics.waiting_times import Memorylessness, memorylessness

__all__ = ["OtherProblemsSettings", "Record", "preset", "run"]

KICK = 1e-3
"""Length of the random push before every descent of a sweep: enough to leave a saddle."""

BEYOND = 0.6
"""The target lies this far from the saddle's score to the learned one's."""

BESIDE = (0.01, 0.03, 0.1)
"""Distances from the saddle of the starts without noise, over that between the states."""

PATIENCE = 400.0
"""Time units after which a descent that is still beside the saddle has gone to neither side."""

EVERY = 4
"""Steps between two looks of splitting."""


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
                remark=""
                if paper
                else "The temperatures of the quick run were chosen after a first look: at its "
                "usual seed and 4.5 temperatures of barrier memorylessness had been rejected.",
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
        repetitions=24 if paper else 10,
        copies=128 if paper else 48,
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
    said: tuple[Verdict, tuple[str, ...]] = ("no_barrier", ())
    if start.index == 0:
        path = _path(what, decay, off, on, settings.images, start.zeros, one.step)
    if path is not None:
        escapes, slope, said = _escapes(settings, one, what, decay, off, on, path, seed, workers)
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
        verdict=said[0],
        evidence=said[1],
        remark=one.remark,
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
    what: Case, decay: float, off: Array, on: Array, images: int, zeros: int, step: float
) -> PathRecord | None:
    found = string_method(what.at(decay).landscape, off, on, images=images)
    if found.saddle is None or found.curvatures is None:
        return None
    exact = (None, None) if what.barriers is None else what.barriers(decay)
    back, onward = _sides(what, decay, found, found.saddle, step)
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
        beside=len(BESIDE),
        fell_back=back,
        went_on=onward,
    )


def _sides(
    what: Case, decay: float, path: SaddlePath, saddle: Array, step: float
) -> tuple[int, int]:
    """How many starts below the saddle fall back without noise, and how many above it go on.

    Starts lie along the path's direction at the saddle; a descent is over once its score is half of
    the way from the saddle's to either end's.
    """
    problem, top = what.at(decay), int(np.argmax(path.losses))
    along = path.positions[min(top + 1, len(path.losses) - 1)] - path.positions[max(top - 1, 0)]
    along *= np.linalg.norm(path.positions[-1] - path.positions[0]) / np.linalg.norm(along)
    far = np.array([*(-np.array(BESIDE)), *BESIDE])
    x = saddle + far[:, None] * along
    off, on, middle = what.score(np.stack([path.positions[0], path.positions[-1], saddle]))
    fallen = gone = np.zeros(len(x), dtype=bool)
    for _ in range(round(PATIENCE / step)):
        x = x - step * problem.gradient(x)
        score = what.score(x)
        fallen, gone = score < (off + middle) / 2, score > (on + middle) / 2
        if np.all(fallen | gone):
            break
    return int(fallen[far < 0].sum()), int(gone[far > 0].sum())


def _escapes(
    settings: OtherProblemsSettings,
    one: ProblemSetting,
    what: Case,
    decay: float,
    off: Array,
    on: Array,
    path: PathRecord,
    seed: int,
    workers: int,
) -> tuple[
    tuple[EscapeRecord, ...],
    tuple[float | None, float | None, float | None],
    tuple[Verdict, tuple[str, ...]],
]:
    """Every temperature, the slope over those waited for, and the verdict on the coldest of them.

    Where no free energy is known the string's barrier stands for it; zero modes would lower it.
    """
    said: tuple[Verdict, tuple[str, ...]] = ("cannot_tell", ())
    if not one.barriers:
        return (), (None, None, None), said
    top, learned = path.saddle_score, float(what.score(on[None])[0])
    target = top + BEYOND * (learned - top)
    records, waited = [], []
    # Splitting is tried at the coldest temperature that can be waited for, and below.
    for ratio in (*one.barriers, *one.deep):
        heat = path.barrier_out / ratio
        tell = partial(own_seed, seed, f"{ratio:g}")
        times = test = None
        if ratio in one.barriers:
            times = first_passages(
                what.diffusion(decay, heat, one.step), off, target=target,
                steps=round(one.horizon / one.step), seed=tell("waiting"),
                replicas=settings.replicas, bridge=what.bridge,
            )  # fmt: skip
            waited.append((heat, times))
            test = memorylessness(times, generator=generator(tell("memory")), check_every=one.step)
        split = ratio >= max(one.barriers)
        free = None if what.free_barrier is None else what.free_barrier(decay, heat) / heat
        records.append(
            _escape(
                settings, one, what, decay, off, target, ratio, heat, free, times, test, split,
                tell, workers,
            )
        )  # fmt: skip
        if times is not None and ratio == max(one.barriers):
            found = mechanism(
                times,
                memory=test,
                barrier_over_t=ratio if free is None else free,
                sides=True if path.fell_back == path.went_on == path.beside else None,
            )
            said = found.verdict, found.evidence
    return tuple(records), waiting_slope(waited, path.zeros), said


def _escape(
    settings: OtherProblemsSettings,
    one: ProblemSetting,
    what: Case,
    decay: float,
    off: Array,
    target: float,
    ratio: float,
    heat: float,
    free: float | None,
    times: EscapeTimes | None,
    test: Memorylessness | None,
    split: bool,
    tell: Callable[[str], int],
    workers: int,
) -> EscapeRecord:
    diffusion = what.diffusion(decay, heat, one.step)
    start = float(what.score(off[None])[0])
    mean = None if what.mean_time is None else what.mean_time(decay, heat, start, target)
    estimate = None if times is None or not times.events else exponential_rate(times)
    found = None
    if split and settings.repetitions:
        found = rate(
            DiffusionSwarm(diffusion, off, every=EVERY), target=target, seed=tell("splitting"),
            settings=SplittingSettings(repetitions=settings.repetitions, copies=settings.copies,
                                       watchers=16),
            time_per_step=one.step, workers=workers,
        )  # fmt: skip
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
        split=None if found is None else found.rate,
        split_low=None if found is None else found.low,
        split_high=None if found is None else found.high,
        split_steps=0 if found is None else found.steps,
        split_warning="" if found is None else found.warning,
        look=EVERY * one.step,
    )
