"""Additive noise of known temperature on one feature: arms, points, fits and controls."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.events import Event
from spinodal.dynamics.networks import Network
from spinodal.dynamics.shard import Ensemble, Outcome
from spinodal.dynamics.tasks import GaussianTask
from spinodal.dynamics.updates import Update
from spinodal.protocols.activation import DRIFT_FROM, SEVERAL
from spinodal.protocols.arrhenius_cold import cold_point, coldest_slope
from spinodal.protocols.arrhenius_records import (
    Arm,
    ArrheniusSettings,
    Key,
    LangevinPoint,
    LangevinWidth,
    LawFit,
    Slope,
)
from spinodal.rare.estimates import SplittingRate
from spinodal.records import EscapeTimes
from spinodal.seeding import generator
from spinodal.statistics.calibration import holm
from spinodal.statistics.designs import design
from spinodal.statistics.escape_laws import EscapeLaw, arrhenius_fit
from spinodal.statistics.law_choice import choose
from spinodal.statistics.laws import fit_laws
from spinodal.statistics.survival import exponential_rate, kaplan_meier
from spinodal.statistics.waiting_times import memorylessness
from spinodal.theory import modes
from spinodal.theory.amplitudes import log_mean_time
from spinodal.theory.free_energy import (
    free_energy_barriers,
    hidden_rotations,
    thermal_spinodal,
)

LOOK = 2.0
"""Time between two looks at the strength."""

LEVEL = 0.05
"""Level of the test of memorylessness after the dead time, for all widths together."""

WHOLE_LEVEL = 0.01
"""The waiting times with their beginning, too, must not contradict memorylessness at this level.

The usual level of 0.05 holds for what remains after the dead time. The beginning, in which no
memoryless law can hold, costs the whole sample some of its p-value without deciding anything; but
where it takes the p-value below this level the verdict would hang on the choice of the dead time.
"""


def langevin_arms(settings: ArrheniusSettings) -> dict[Key, Arm]:
    """All temperatures of all widths, and the controls."""
    arms: dict[Key, Arm] = {}
    for width, replicas in zip(settings.widths, settings.replicas, strict=True):
        chosen = temperatures(settings, width)
        rotations = hidden_rotations(depth=settings.depth, width=width, rank=0)
        critical = _critical(settings, rotations)
        hot = [] if critical is None else [r * critical for r in settings.drift_ratios]
        hottest, test = chosen[0], _test_temperature(settings, width)
        for temperature in [*chosen, *hot]:
            count = settings.test_replicas if temperature in (hottest, test) else replicas
            ensemble = langevin(settings, width, temperature)
            arms[width, temperature, "noise"] = ensemble, count
        slower = langevin(settings, width, hottest, settings.langevin_learning_rate / 2)
        arms[width, hottest, "half"] = slower, settings.test_replicas
        quiet = langevin(settings, width, hottest).noise_off
        # One start, no noise: every replica, at every temperature, is this one run.
        arms[width, "trap", "off"] = quiet.twin(steps=2000), 1
        for part, factor in (("below", 0.9), ("above", 1.1)):
            strength = float(modes.saddle(depth=settings.depth, **settings.mode))
            near = Start(kind="balanced", strengths=(strength * factor**settings.depth,))
            arms[width, part, "off"] = quiet.twin(start=near, steps=2000), 1
    return arms


def langevin(
    settings: ArrheniusSettings, width: int, temperature: float, rate: float | None = None
) -> Ensemble:
    """One feature, population gradient, noise of known temperature, from the trivial phase."""
    rate = rate or settings.langevin_learning_rate
    due = predicted_time(settings, width, temperature)
    return Ensemble(
        task=GaussianTask(signals=settings.signals[1:]),
        network=Network(depth=settings.depth, width=width),
        update=Update(
            learning_rate=rate,
            weight_decay=settings.weight_decay,
            sampling="population",
            temperature=temperature,
        ),
        start=Start(kind="balanced", strengths=()),
        events=(
            Event(mode=1, threshold=float(modes.learned(depth=settings.depth, **settings.mode))),
        ),
        steps=int(min(settings.horizon * due / rate, 1e15)) + 1,
        check_every=round(LOOK / rate),
    )


def temperatures(settings: ArrheniusSettings, width: int, *, cold: bool = False) -> list[float]:
    """Temperatures at which the free-energy barrier is `barriers` times T, hottest first.

    With `cold` those of `cold_barriers`.
    """
    wanted = sorted(settings.cold_barriers if cold else settings.barriers)
    rotations = hidden_rotations(depth=settings.depth, width=width, rank=0)
    critical = _critical(settings, rotations)
    if critical is None:
        return [settings.barrier / b for b in wanted]

    def height(temperature: float) -> float:
        out, _ = free_energy_barriers(
            depth=settings.depth, temperature=temperature, rotations=rotations, **settings.mode
        )
        return float(out) / temperature

    ends = 1e-3 * critical, (1 - 1e-6) * critical
    return [
        float(np.asarray(brentq(lambda t, b=b: height(t) - b, *ends, xtol=1e-12))) for b in wanted
    ]


def _test_temperature(settings: ArrheniusSettings, width: int) -> float:
    """Where memorylessness is tested: cold enough that the passage itself takes no time."""
    chosen = temperatures(settings, width)
    return chosen[len(chosen) // 2 - 1]


def _critical(settings: ArrheniusSettings, rotations: int) -> float | None:
    """Thermal spinodal, None where there is none."""
    limit = thermal_spinodal(depth=settings.depth, rotations=rotations, **settings.mode)
    return float(limit) if np.isfinite(limit) else None


def predicted_time(settings: ArrheniusSettings, width: int, temperature: float) -> float:
    """Mean passage time of the reduced generator, zero weights to the learned strength."""
    return float(
        np.exp(
            log_mean_time(
                depth=settings.depth,
                width=width,
                signal=settings.signals[1],
                weight_decay=settings.weight_decay,
                temperature=temperature,
                look_every=LOOK,
            )
        )
    )


def _point(
    settings: ArrheniusSettings, width: int, temperature: float, outcome: Outcome
) -> LangevinPoint:
    """One temperature as plain numbers."""
    rotations = hidden_rotations(depth=settings.depth, width=width, rank=0)
    critical = _critical(settings, rotations)
    out, _ = free_energy_barriers(
        depth=settings.depth, temperature=temperature, rotations=rotations, **settings.mode
    )
    free = float(out) / temperature if np.isfinite(out) else None
    over = None if critical is None else temperature / critical
    times = outcome.passages[0]
    estimate, curve = exponential_rate(times), kaplan_meier(times)
    predicted = predicted_time(settings, width, temperature)
    mean = 1 / estimate.rate if estimate.events else None
    ensemble = langevin(settings, width, temperature)
    return LangevinPoint(
        width=width,
        temperature=temperature,
        over_spinodal=over,
        barrier_over_t=settings.barrier / temperature,
        free_barrier_over_t=free,
        regime=regime(over, free),
        learning_rate=ensemble.update.learning_rate,
        steps=ensemble.steps,
        horizon=ensemble.steps * ensemble.update.learning_rate,
        replicas=times.status.size,
        escapes=times.events,
        mean=mean,
        mean_low=1 / estimate.high,
        mean_high=1 / estimate.low if estimate.low > 0 else None,
        predicted=predicted,
        ratio=None if mean is None else mean / predicted,
        time=tuple(times.time.tolist()),
        escaped=tuple(times.escaped.tolist()),
        curve_time=tuple(curve.time.tolist()),
        curve_survival=tuple(curve.survival.tolist()),
        curve_low=tuple(curve.low.tolist()),
        curve_high=tuple(curve.high.tolist()),
    )


def regime(
    over_spinodal: float | None, free_barrier: float | None
) -> Literal["barrier", "crossover", "drift"]:
    """Drift near the thermal spinodal; crossover below a barrier of several T. No verdict."""
    if free_barrier is None or (over_spinodal is not None and over_spinodal > DRIFT_FROM):
        return "drift"
    return "barrier" if free_barrier > SEVERAL - 1e-6 else "crossover"


def width_results(
    settings: ArrheniusSettings,
    width: int,
    outcomes: dict[tuple[float | str, str], Outcome],
    rates: dict[float, SplittingRate],
    seed: int,
) -> LangevinWidth:
    """Points, fits and controls of one width; `rates` by splitting at the cold temperatures."""
    rotations = hidden_rotations(depth=settings.depth, width=width, rank=0)
    points = tuple(
        _point(settings, width, value, outcome)
        for (value, part), outcome in outcomes.items()
        if part == "noise" and isinstance(value, float)
    )
    points = tuple(sorted(points, key=lambda point: -point.temperature))
    used = [p for p in points if p.regime != "drift"]
    x = np.array([1 / p.temperature for p in used])
    weight = np.array([float(p.escapes) for p in used])
    test, hottest = _test_temperature(settings, width), temperatures(settings, width)[0]
    dead = dead_time(depth=settings.depth, **settings.mode)
    tested = outcomes[test, "noise"].passages[0]
    memory, whole = (
        memorylessness(
            times,
            generator=generator(seed, "arrhenius", "memorylessness", width),
            check_every=LOOK,
            level=LEVEL,
        )
        for times in (later(tested, dead), tested)
    )
    halfway = 0.5 * float(modes.learned(depth=settings.depth, **settings.mode))
    learns = {
        part: bool(outcomes[part, "off"].strengths[0, 0] > halfway)
        for part in ("trap", "below", "above")
    }
    mean_temperature = float(weight.sum() / (weight @ x))
    slower = outcomes[hottest, "half"].passages[0]
    halving = _mean_ratio(slower, outcomes[hottest, "noise"].passages[0])
    cold = tuple(
        cold_point(
            settings, width, temperature, found,
            rotations=rotations, critical=_critical(settings, rotations),
            predicted=predicted_time(settings, width, temperature),
        )
        for temperature, found in rates.items()
    )  # fmt: skip
    laws, law = _laws(used, rotations)
    coldest = coldest_slope(settings, cold, rotations)
    return LangevinWidth(
        width=width,
        rotations=rotations,
        thermal_spinodal=_critical(settings, rotations),
        drift_barrier_over_t=_drift_barrier(settings, rotations),
        barrier=settings.barrier,
        points=points,
        cold=cold,
        laws=laws,
        law=law,
        coldest_slope=coldest[0],
        coldest_slope_error=coldest[1],
        coldest_slope_predicted=coldest[2],
        raw=_slope(used, 0.0),
        corrected=_slope(used, rotations / 2),
        apparent_barrier=settings.barrier - rotations * mean_temperature / 2,
        mean_temperature=mean_temperature,
        r_squared=_r_squared(used),
        trap_learns=learns["trap"],
        below_saddle_learns=learns["below"],
        above_saddle_learns=learns["above"],
        test_temperature=test,
        memoryless=memory.verdict,
        memoryless_p=memory.p_value,
        memoryless_p_adjusted=memory.p_value,
        memoryless_events=memory.events,
        memoryless_p_whole=whole.p_value,
        escapes_within_dead_time=tested.events - int(tested.escaped[tested.time > dead].sum()),
        dead_time=dead,
        halving=halving[0],
        halving_low=halving[1],
        halving_high=halving[2],
        halving_events=slower.events,
        verdict="cannot_tell",
    )


def judged(widths: tuple[LangevinWidth, ...]) -> tuple[LangevinWidth, ...]:
    """The same with their verdicts: memorylessness was tested once per width, so Holm adjusts it.

    Noise-activated: no noise-free escape from below the saddle, barriers of several T, waiting
    without memory after the dead time, and not contradicted by the whole of it.
    """
    known = [one.memoryless_p for one in widths if one.memoryless_p is not None]
    adjusted = iter(holm(known).tolist())
    found = []
    for one in widths:
        p_value = None if one.memoryless_p is None else float(next(adjusted))
        memory = one.memoryless
        if memory != "untested" and p_value is not None:
            memory = "consistent" if p_value > LEVEL else "rejected"
        quiet = one.above_saddle_learns and not (one.below_saddle_learns or one.trap_learns)
        several = all(p.regime == "barrier" for p in one.points if p.regime != "drift")
        robust = one.memoryless_p_whole is not None and one.memoryless_p_whole > WHOLE_LEVEL
        activated = quiet and several and memory == "consistent" and robust
        found.append(
            replace(
                one,
                memoryless=memory,
                memoryless_p_adjusted=p_value,
                verdict="noise_activated" if activated else "cannot_tell",
            )
        )
    return tuple(found)


def _drift_barrier(settings: ArrheniusSettings, rotations: int) -> float | None:
    """Barrier of the free energy over T at DRIFT_FROM of the thermal spinodal."""
    critical = _critical(settings, rotations)
    if critical is None:
        return None
    out, _ = free_energy_barriers(
        depth=settings.depth,
        temperature=DRIFT_FROM * critical,
        rotations=rotations,
        **settings.mode,
    )
    return float(out) / (DRIFT_FROM * critical)


def dead_time(*, depth: int, signal: float, weight_decay: float) -> float:
    """Ten times 1 / |curvature| at the saddle, for the relaxation into the quasi-stationary state.

    It is a choice: after it the start, zero weights, is forgotten, and only what is left of the
    waiting can be memoryless. Replicas do escape earlier; they are left out of the test.
    """
    mode = {"depth": depth, "signal": signal, "weight_decay": weight_decay}
    amplitude = float(modes.saddle(**mode)) ** (1 / depth)
    return float(10 / abs(modes.curvature(amplitude, **mode)))


def later(times: EscapeTimes, dead: float) -> EscapeTimes:
    """What remains of the waiting for replicas that were still there after `dead`."""
    left = times.time > dead
    return EscapeTimes(
        replica=times.replica[left],
        dataset=times.dataset[left],
        steps=times.steps[left],
        time=times.time[left] - dead,
        status=times.status[left],
    )


def _slope(points: list[LangevinPoint], power: float) -> Slope:
    """Censored likelihood fit of ln tau = intercept + slope / T + power ln T to single times."""
    counts = [p.replicas for p in points]
    temperature = np.repeat([p.temperature for p in points], counts)
    status = np.where(np.concatenate([p.escaped for p in points]), "escaped", "censored")
    fit: EscapeLaw = arrhenius_fit(
        np.concatenate([p.time for p in points]),
        status,
        1 / temperature,
        offset=power * np.log(temperature),
    )
    x = np.array([1 / p.temperature for p in points])
    y = np.array([np.log(p.predicted) - power * np.log(p.temperature) for p in points])
    weight = np.sqrt([max(float(p.escapes), 1e-9) for p in points])
    return Slope(
        value=fit.slope,
        low=fit.low,
        high=fit.high,
        intercept=fit.intercept,
        predicted=float(np.polyfit(x, y, 1, w=weight)[0]),
        events=fit.events,
        replicas=fit.replicas,
    )


def _laws(points: list[LangevinPoint], rotations: int) -> tuple[tuple[LawFit, ...], str]:
    """Laws on the single times of waiting, and which is preferred.

    `entropic` is Arrhenius's law with the known term (N_z / 2) ln T; without rotations there is
    none, and it is left out.
    """
    counts = [p.replicas for p in points]
    table = design(
        np.concatenate([p.time for p in points]),
        np.where(np.concatenate([p.escaped for p in points]), "escaped", "censored"),
        temperature=np.repeat([p.temperature for p in points], counts),
    )
    plain = fit_laws(table, names=("arrhenius", "power", "drift"))
    fits = [(law.name, law) for law in plain.laws]
    if rotations:
        found = fit_laws(table, names=("arrhenius",), rotations=float(rotations))
        fits.append(("entropic", found["arrhenius"]))
    laws = []
    for name, law in fits:
        parameter = {"power": "exponent", "drift": "log_prefactor"}.get(name, "barrier")
        value = law.parameters[parameter]
        laws.append(
            LawFit(
                name=name,
                parameter=parameter,
                estimate=value.estimate,
                low=value.low,
                high=value.high,
                log_likelihood=law.log_likelihood,
                aicc=law.aicc,
            )
        )
    return tuple(laws), choose(plain).law


def _r_squared(points: list[LangevinPoint]) -> float | None:
    """R^2 of the least-squares line through ln mean time against 1/T, as a plot would show it."""
    pairs = [(1 / p.temperature, np.log(p.mean)) for p in points if p.mean is not None]
    if len(pairs) < 3:
        return None
    x, y = np.array(pairs).T
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def _mean_ratio(
    first: EscapeTimes, second: EscapeTimes
) -> tuple[float | None, float | None, float | None]:
    """Mean escape time of the first over that of the second, with 95 % limits.

    The ratio of two exponential rates, each with d events, has variance 1/d + 1/d' on the
    logarithm.
    """
    if not (first.events and second.events):
        return None, None, None
    log = np.log(first.exposure / first.events) - np.log(second.exposure / second.events)
    half = 1.96 * np.sqrt(1 / first.events + 1 / second.events)
    return float(np.exp(log)), float(np.exp(log - half)), float(np.exp(log + half))
