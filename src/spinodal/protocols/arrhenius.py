"""Is escape from the trap activated? The learning-rate sweep, and additive noise beside it.

Two experiments share the axes of figure 2b, ln tau against inverse temperature.

The sweep repeats the paper's: minibatch SGD from a converged rank-1 trap at five learning
rates. Where nothing escapes the answer is a one-sided bound. Beside it stands what the sweep could
have shown at best: the R^2 that a noise-free drift tau ~ 1 / learning_rate gives on these rates,
and the largest barrier compatible with the watching time.

The second uses noise whose temperature is known, d theta = -grad E dt + sqrt(2T) dB, on one
feature learned by the population gradient. At width 1 there are no hidden rotations and the
slope of ln tau against 1/T must be the energy barrier; at larger width the raw slope lies below
it, near barrier - N_z T / 2, because the hidden rotations gain entropy on the way up. The mean
time of the reduced generator (`theory.amplitudes`) stands beside every point. Where it is too cold
for waiting the rate comes from splitting, and with it the slope there.
Temperatures are chosen from the landscape alone; no barrier on the page has seen an escape time.
"""

from __future__ import annotations

from collections.abc import Callable

from spinodal.dynamics.shard import Outcome, simulate
from spinodal.protocols.arrhenius_cold import split
from spinodal.protocols.arrhenius_records import Arm, ArrheniusRecord, ArrheniusSettings, Key
from spinodal.protocols.arrhenius_sweep import sweep_arms, sweep_results, window
from spinodal.protocols.langevin_arrhenius import (
    judged,
    langevin,
    langevin_arms,
    temperatures,
    width_results,
)
from spinodal.protocols.side_by_side import Job, outcomes, own_seed
from spinodal.rare.estimates import SplittingRate
from spinodal.theory import modes

Progress = Callable[[float, str], None] | None

Record = ArrheniusRecord


def preset(effort: str) -> ArrheniusSettings:
    """Settings of the quick or the full reproduction."""
    if effort == "paper":
        return ArrheniusSettings(
            sweep_replicas=100,
            datasets=50,
            sweep_epochs=20_000,
            widths=(1, 2, 4, 10),
            replicas=(512, 256, 256, 128),
            barriers=(3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0),
            cold_barriers=(8.0, 10.0, 12.0, 15.0, 18.0, 22.0, 26.0),
            repetitions=20,
            copies=256,
            test_replicas=512,
            langevin_learning_rate=0.1,
            horizon=2.0,
        )
    return ArrheniusSettings(
        datasets=20,
        sweep_epochs=20_000,
        replicas=(160, 96, 64, 32),
        cold_barriers=(8.0, 14.0),
        test_replicas=320,
        horizon=1.4,
    )


def run(
    settings: ArrheniusSettings, *, seed: int, workers: int = 1, progress: Progress = None
) -> ArrheniusRecord:
    """Run the sweep and the additive-noise experiment; every arm is one task for the workers."""
    sweep, langevin = sweep_arms(settings), langevin_arms(settings)
    tell = progress or (lambda f, t: None)
    seen, rates = _simulate(settings, {**sweep, **langevin}, seed, workers, tell)
    result = sweep_results(settings, [seen[key] for key in sweep], seed)
    return ArrheniusRecord(
        weight_decay=settings.weight_decay,
        signal=settings.signals[1],
        saddle=float(modes.saddle(depth=settings.depth, **settings.mode)),
        barrier=settings.barrier,
        stated_barrier=settings.stated_barrier,
        stated_barrier_error=settings.stated_barrier_error,
        sweep=result,
        window=window(settings, result.noise_trace),
        langevin=judged(
            tuple(
                width_results(
                    settings,
                    width,
                    {k[1:]: o for k, o in seen.items() if k[0] == width},
                    rates[width],
                    seed,
                )
                for width in settings.widths
            )
        ),
    )


def _simulate(
    settings: ArrheniusSettings,
    arms: dict[Key, Arm],
    seed: int,
    workers: int,
    tell: Callable[[float, str], None],
) -> tuple[dict[Key, Outcome], dict[int, dict[float, SplittingRate]]]:
    """Every arm as one job, and every cold temperature of every width as one of splitting.

    Arm number k owns the replicas from 10,000 k on, so that no two arms share their noise.
    """
    cost = {key: ensemble.steps * (150 + n) for key, (ensemble, n) in arms.items()}
    ranges = {key: range(10_000 * k, 10_000 * k + arms[key][1]) for k, key in enumerate(arms)}
    jobs = {
        _spoken(key): Job(simulate, (arms[key][0], seed, ranges[key]), cost[key]) for key in arms
    }
    cold = {
        (width, temperature): f"splitting at width {width}, {temperature}"
        for width in settings.widths
        for temperature in temperatures(settings, width, cold=True)
    }
    for (width, temperature), name in cold.items():
        jobs[name] = Job(
            split,
            (langevin(settings, width, temperature), settings, own_seed(seed, "arrhenius", name)),
            settings.repetitions * settings.copies * 3e4,
        )
    results = outcomes(jobs, workers=workers, progress=tell)
    rates: dict[int, dict[float, SplittingRate]] = {width: {} for width in settings.widths}
    for (width, temperature), name in cold.items():
        rates[width][temperature] = results[name]
    return {key: results[_spoken(key)] for key in arms}, rates


def _spoken(key: Key) -> str:
    where, value, part = key
    if where == "sweep":
        return f"minibatch sweep at learning rate {value}, {part}"
    return f"additive noise at width {where}, {value}, {part}"
