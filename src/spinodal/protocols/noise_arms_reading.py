"""From simulated arms to counts, rates and verdicts, and what theory says of each noise."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.checkpoints import balanced
from spinodal.dynamics.ensemble import Outcome
from spinodal.dynamics.tasks import Data, draw
from spinodal.protocols.activation import SEVERAL
from spinodal.protocols.langevin_arrhenius import WHOLE_LEVEL, dead_time, later, regime
from spinodal.protocols.noise_arms_near import read_near, starts, waiting
from spinodal.protocols.noise_arms_records import (
    ARMS,
    ArmName,
    ArmNoise,
    ArmRecord,
    NoiseArmsSettings,
    NoiseSetting,
    Record,
    SettingRecord,
    SettingTheory,
    Verdict,
)
from spinodal.seeding import generator
from spinodal.statistics.proportion import escape_probability
from spinodal.statistics.survival import DivergedWarning, kaplan_meier, rate_interval
from spinodal.statistics.waiting_times import memorylessness
from spinodal.theory import gradient_noise, modes
from spinodal.theory.finite_data import empirical_spinodals
from spinodal.theory.free_energy import (
    free_energy_barriers,
    free_energy_points,
    mode_first_passage_time,
)

PLACES: dict[int, tuple[ArmName, ...]] = {
    1: ("minibatch", "fresh", "local", "frozen at rank 1"),
    2: ("frozen at rank 2",),
}
"""At the state of which rank the covariance of an arm is that of samples, seen from the trap."""

ABSORBED = 1e-12
"""A second strength that ends below this is rounding: the rank has not been left."""


def read(
    settings: NoiseArmsSettings, seed: int, data: Sequence[Data], results: Mapping[str, Any]
) -> Record:
    """All settings, from what the jobs of `noise_arms.plan` returned."""
    limits = [
        empirical_spinodals(d.train.xx, d.train.yx, depth=settings.network.depth)[1] for d in data
    ]
    return Record(
        signals=settings.signals,
        width=settings.network.width,
        depth=settings.network.depth,
        weights=settings.weights,
        samples=settings.samples,
        settings=tuple(
            _setting(settings, one, seed, data, limits, results) for one in settings.settings
        ),
    )


def _setting(
    settings: NoiseArmsSettings,
    one: NoiseSetting,
    seed: int,
    data: Sequence[Data],
    limits: Sequence[float],
    results: Mapping[str, Any],
) -> SettingRecord:
    holds = [i for i, limit in enumerate(limits) if limit > one.weight_decay]
    noises = noise_of_arms(settings, one, data)
    theory = _theory(settings, one, data)
    halfway = settings.threshold(one)
    learns = {
        side: bool(results[f"{one.name}, {side} the saddle"].strengths[0, 1] > halfway)
        for side in ("below", "above")
    }
    sides = learns["above"] and not learns["below"]
    return SettingRecord(
        name=one.name,
        weight_decay=one.weight_decay,
        learning_rate=one.learning_rate,
        batch_size=one.batch_size,
        steps=one.steps,
        theory=theory,
        datasets=settings.datasets,
        holds_second=len(holds),
        below_learns=learns["below"],
        above_learns=learns["above"],
        arms=tuple(
            _arm(settings, one, name, noises[name], theory, sides, holds, seed, results)
            for name in ARMS
        ),
        near=read_near(settings, one, _along_second(settings, one), holds, results),
    )


def _along_second(settings: NoiseArmsSettings, one: NoiseSetting) -> dict[float, float]:
    """Minibatch noise along the second feature at every start beside the trap: lr n.Cn / (2 B)."""
    population = draw(settings.population, seed=0, dataset=0)
    first, factor = settings.learned(one)[0], one.learning_rate / (2 * one.batch_size)
    found = {}
    for fraction, second in starts(settings, one).items():
        radial = gradient_noise.radial_direction(_layers(settings, population, (first, second)), 2)
        noise = _covariance(settings, population, (first, second))
        found[fraction] = factor * gradient_noise.along(noise, radial)
    return found


def noise_of_arms(
    settings: NoiseArmsSettings, one: NoiseSetting, data: Sequence[Data]
) -> dict[ArmName, ArmNoise]:
    """What each arm's noise is in the trap: Isserlis for the population, sums over data sets."""
    population = draw(settings.population, seed=0, dataset=0)
    first, second = settings.learned(one)
    trap = _layers(settings, population, (first,))
    raising = gradient_noise.rank_raising_directions(trap, 1)
    radial = gradient_noise.radial_direction(trap)
    factor = one.learning_rate / (2 * one.batch_size)
    temperature = settings.temperature(one)
    found: dict[ArmName, ArmNoise] = {
        "isotropic": ArmNoise(
            directions=settings.weights,
            trace_temperature=temperature,
            radial_temperature=temperature,
            raising_temperature=temperature,
            raising_datasets=temperature,
        )
    }
    for rank, names in PLACES.items():
        strengths = (first, second)[:rank]
        exact = _covariance(settings, population, strengths)
        raised = [_raised(settings, d, strengths, raising) for d in (population, *data)]
        for name in names:
            found[name] = ArmNoise(
                directions=int(np.linalg.matrix_rank(exact, tol=1e-10)),
                trace_temperature=factor * float(np.trace(exact)) / settings.weights,
                radial_temperature=factor * gradient_noise.along(exact, radial),
                raising_temperature=factor * raised[0],
                raising_datasets=factor * max(raised[:1] if name == "fresh" else raised[1:]),
            )
    return found


def _covariance(
    settings: NoiseArmsSettings, data: Data, strengths: tuple[float, ...]
) -> NDArray[np.float64]:
    """C of all weights at the balanced state, in the frame of the data set's singular vectors."""
    layers, w = _state(settings, data, strengths)
    return gradient_noise.lifted(layers, _of_samples(data, w))


def _of_samples(data: Data, w: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance of the end-to-end gradient of single samples."""
    m = data.train
    if data.x is None or data.y is None:
        return gradient_noise.gaussian_covariance(w, m.xx, m.yx, m.yy)
    return gradient_noise.sample_covariance(w, data.x, data.y)


def _raised(
    settings: NoiseArmsSettings,
    data: Data,
    strengths: tuple[float, ...],
    raising: NDArray[np.float64],
) -> float:
    """Largest n^T C n over unit vectors n in the span of the rows of `raising`.

    With B = raising J it is the largest eigenvalue of B Cov(g) B^T, hence of Cov(g) B^T B, a matrix
    as small as the end-to-end map. Of exact zeros it is an exact zero.
    """
    layers, w = _state(settings, data, strengths)
    reach = raising @ gradient_noise.jacobian(layers)
    if not np.any(reach):
        return 0.0
    return float(np.linalg.eigvals(_of_samples(data, w) @ (reach.T @ reach)).real.max())


def _state(
    settings: NoiseArmsSettings, data: Data, strengths: tuple[float, ...]
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Layers of the balanced state, and their product."""
    layers = _layers(settings, data, strengths)
    product = layers[0]
    for layer in layers[1:]:
        product = layer @ product
    return layers, product


def _layers(
    settings: NoiseArmsSettings, data: Data, strengths: tuple[float, ...]
) -> list[NDArray[np.float64]]:
    lanes = balanced(settings.network, [data], np.zeros(1, dtype=np.int64), strengths)
    return [layer[..., 0].astype(np.float64) for layer in lanes]


def _theory(settings: NoiseArmsSettings, one: NoiseSetting, data: Sequence[Data]) -> SettingTheory:
    mode, rotating = settings.mode(one), settings.rotating(one)
    temperature, critical = settings.temperature(one), settings.spinodal(one)
    out, _ = free_energy_barriers(**rotating, temperature=temperature)
    free = float(out) / temperature if np.isfinite(out) else None
    over = temperature / critical if np.isfinite(critical) else None
    target = settings.threshold(one) ** (1 / settings.network.depth)
    time = mode_first_passage_time(**rotating, temperature=temperature, start=0.0, target=target)
    traces = np.array([
        np.trace(_covariance(settings, d, settings.learned(one)[:1])) for d in data
    ])  # fmt: skip
    energy = float(modes.barrier_out(**mode))
    return SettingTheory(
        temperature=temperature,
        trace=settings.trace(one),
        trace_datasets=float(traces.mean()),
        trace_datasets_se=float(traces.std(ddof=1) / np.sqrt(traces.size)),
        thermal_spinodal=critical if np.isfinite(critical) else None,
        over_spinodal=over,
        energy_barrier=energy,
        energy_barrier_over_t=energy / temperature,
        free_barrier_over_t=free,
        predicted_steps=time / one.learning_rate if np.isfinite(time) else None,
        regime=regime(over, free),
    )


def _arm(
    settings: NoiseArmsSettings,
    one: NoiseSetting,
    name: ArmName,
    noise: ArmNoise,
    theory: SettingTheory,
    sides: bool,
    holds: list[int],
    seed: int,
    results: Mapping[str, Any],
) -> ArmRecord:
    noisy: Outcome = results[f"{one.name}, {name}, noise"]
    quiet: Outcome = results[f"{one.name}, noise off"]
    # Fresh samples come from the population, which has both features.
    able = np.isin(noisy.passages[0].dataset, [0] if name == "fresh" else holds)
    times = waiting(noisy).select(able)
    # A replica that diverged tells of its integrator, not of the trap; and beside a first strength
    # of 1e6 the rounding of the second one is no longer small.
    sane = able & (noisy.passages[0].status != "diverged")
    end = float(noisy.strengths[sane, 1].max(initial=0.0))
    events, eligible = times.events, int(sane.sum())
    low, high = rate_interval(events, times.exposure)
    dead = dead_time(**settings.mode(one))
    tests = [
        memorylessness(
            part,
            generator=generator(seed, "noise arms", one.name, name),
            check_every=one.check_every * one.learning_rate,
        )
        for part in (later(times, dead), times)
    ]
    whole = tests[1].p_value
    off = quiet.passages[0].select(np.isin(quiet.passages[0].dataset, holds))
    after = {"isotropic": one.cool_isotropic, "frozen at rank 2": one.cool_frozen}.get(name)
    cold = _cooled(settings, one, name, theory, results.get(f"{one.name}, {name}, cooled"), holds)
    with warnings.catch_warnings():
        # How many diverged stands in the record; without a rate there is no censoring to bias.
        warnings.simplefilter("ignore", DivergedWarning)
        curve = kaplan_meier(times)
    median, lr = curve.median, one.learning_rate
    chance = escape_probability(events, eligible)
    return ArmRecord(
        arm=name,
        noise=noise,
        steps=one.steps,
        replicas=noisy.passages[0].status.size,
        eligible=eligible,
        escapes=events,
        fell=times.status_counts["escaped_elsewhere"],
        diverged=times.status_counts["diverged"],
        datasets=len(np.unique(times.dataset)),
        datasets_with_escape=len(np.unique(times.dataset[times.escaped])),
        probability_low=chance.low,
        probability_high=chance.high,
        exposure=times.exposure,
        rate=events / times.exposure,
        rate_low=float(low),
        rate_high=float(high),
        median_steps=None if median.value is None else median.value / lr,
        median_low=median.low / lr,
        median_high=None if median.high is None else median.high / lr,
        memoryless=tests[0].verdict,
        memoryless_p=tests[0].p_value,
        memoryless_p_whole=whole,
        memoryless_events=tests[0].events,
        dead_time=dead,
        noise_off_escapes=off.events,
        noise_off_runs=off.status.size,
        cooled_after=after,
        cooled_escapes=None if cold is None else cold[0],
        cooled_trapped=None if cold is None else cold[1],
        second_start=float(noisy.initial_strengths[:, 1].max()),
        second_end=end,
        verdict=verdict(
            name,
            noise,
            theory,
            escapes=events,
            second_end=end,
            quiet=off.events == 0 and sides,
            cold=cold,
            memoryless=tests[0].verdict == "consistent"
            and whole is not None
            and whole > WHOLE_LEVEL,
        ),
        curve_steps=tuple((curve.time / lr).tolist()),
        curve_survival=tuple(curve.survival.tolist()),
        curve_low=tuple(curve.low.tolist()),
        curve_high=tuple(curve.high.tolist()),
    )


def _cooled(
    settings: NoiseArmsSettings,
    one: NoiseSetting,
    name: ArmName,
    theory: SettingTheory,
    outcome: Outcome | None,
    holds: list[int],
) -> tuple[int, int] | None:
    """(escapes after the noise stopped, replicas that were behind the barrier then).

    The barrier is the top of the free energy, which is that of isotropic noise, or else the saddle.
    Replicas that diverged are on no side of it.
    """
    if outcome is None:
        return None
    top = np.inf
    if name == "isotropic":
        points = free_energy_points(**settings.rotating(one), temperature=theory.temperature)
        top = float(points.barrier)
    if not np.isfinite(top):
        top = float(modes.saddle(**settings.mode(one)))
    passage = outcome.passages[0]
    counted = np.isin(passage.dataset, holds) & (passage.status != "diverged")
    second = outcome.recorded_strengths[counted, :, 1]
    trapped = second[:, 0] < top
    return int((trapped & (second[:, 1] > settings.threshold(one))).sum()), int(trapped.sum())


def verdict(
    name: ArmName,
    noise: ArmNoise,
    theory: SettingTheory,
    *,
    escapes: int,
    second_end: float,
    quiet: bool,
    cold: tuple[int, int] | None,
    memoryless: bool,
) -> Verdict:
    """What the evidence of one arm supports.

    `absorbed`: nothing escaped, no noise in any weight that could raise the rank, and the second
    strength ends as rounding. `noise_activated`: isotropic noise over a free-energy barrier of
    several T well below the thermal spinodal, memoryless, and nothing escapes without noise or
    after it stopped. `noise_drift`: noise carries replicas out, but over no barrier of several T;
    of frozen noise, too, it is said only if nothing escapes after it stopped.
    """
    if escapes == 0:
        zero = noise.raising_datasets == 0 and second_end < ABSORBED
        return "absorbed" if zero else "cannot_tell"
    if not quiet:
        return "noise_free_drift"
    silent = cold is not None and cold[0] == 0 and cold[1] > 0
    if name == "isotropic":
        if theory.regime == "drift":
            return "noise_drift"
        held = theory.regime == "barrier" and silent and memoryless
        return "noise_activated" if held else "cannot_tell"
    steep = theory.energy_barrier / noise.raising_temperature if noise.raising_temperature else None
    low = steep is not None and steep < SEVERAL
    return "noise_drift" if low and silent else "cannot_tell"
