"""What the audit reads in the records of the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from spinodal.protocols.audit_rows.bench import Bench
from spinodal.statistics.proportion import Proportion

StartName = Literal["random", "rank 1", "trivial"]


@dataclass(frozen=True, kw_only=True)
class Watched:
    """Runs of one start under minibatch SGD, and the same runs without noise.

    `exposure` is counted in epochs, all runs together; `median` is None where it was not reached.
    `rate_bound` is the upper limit of the escape rate per epoch. `exactly_zero` runs end with only
    zero weights, which no batch can change. `eligible` counts (escapes, runs) on data sets that
    can hold the next rank, None if none can or the record has no such count.
    """

    escaped: int
    trials: int
    fraction: Proportion
    data_sets: Proportion
    epochs: float
    exposure: float
    median: float | None
    rate_bound: float
    by_test_error: int
    without_noise: int
    trials_without_noise: int
    largest_strength: float
    exactly_zero: int
    eligible: tuple[int, int] | None = None

    @property
    def evidence(self) -> dict[str, Any]:
        """Counts and intervals as evidence of a row."""
        shown = (
            {}
            if self.eligible is None
            else {
                "escapes on data sets that can hold the next rank": "{} of {} runs".format(
                    *self.eligible
                )
            }
        )
        return shown | {
            "escapes": f"{self.escaped} of {self.trials} runs",
            "data sets with an escape": f"{self.data_sets.events} of {self.data_sets.trials}",
            "upper bound of the fraction of runs": self.fraction.high,
            "upper bound of the fraction of data sets": self.data_sets.high,
            "upper bound of the rate per epoch": self.rate_bound,
            "epochs watched": self.epochs,
            "epochs watched, all runs": self.exposure,
            "escapes by the paper's rule on the test error": self.by_test_error,
            "escapes of the noise-off twins": f"{self.without_noise} of "
            f"{self.trials_without_noise}",
            "largest strength of the missing feature at the end": self.largest_strength,
            "runs that end with only zero weights": self.exactly_zero,
        }

    def __str__(self) -> str:
        """The counts in words."""
        return f"{self.escaped} of {self.trials} runs of {self.epochs:g} epochs"


def arm(bench: Bench, start: StartName, weight_decay: float | None = None) -> Any | None:
    """One start of figure 1a, by default at the weight decay of the audit; None if it did not run.

    The result is a `minibatch_traps.ArmRecord`.
    """
    record = bench.record("fig1a")
    if record is None:
        return None
    decay = bench.settings.weight_decay if weight_decay is None else weight_decay
    arms = record.minibatch.arms
    return next((a for a in arms if (a.start, a.weight_decay) == (start, decay)), None)


def watched(bench: Bench, start: StartName, weight_decay: float | None = None) -> Watched | None:
    """Escapes of one start of figure 1a, and of its twins without noise."""
    found = arm(bench, start, weight_decay)
    if found is None:
        return None
    seen, eligible = found.by_strength, getattr(found, "eligible", None)
    return Watched(
        escaped=seen.escapes,
        trials=seen.trials,
        fraction=seen.fraction,
        data_sets=seen.datasets,
        epochs=float(found.epochs),
        exposure=seen.rate.exposure / bench.records["fig1a"].minibatch.epoch_time,
        median=seen.median_epochs.value,
        rate_bound=seen.rate_per_epoch_high,
        by_test_error=found.by_test_error.escapes,
        without_noise=found.noise_off.escapes,
        trials_without_noise=found.noise_off.trials,
        largest_strength=found.next_strength_end,
        exactly_zero=found.exactly_zero,
        eligible=None if eligible is None else (eligible.escapes, eligible.trials),
    )


def trap_escapes(bench: Bench) -> Watched | None:
    """The trap whose escape the paper studies."""
    return watched(bench, "rank 1" if bench.settings.trap_rank else "trivial")


@dataclass(frozen=True, kw_only=True)
class Heated:
    """Escapes under additive noise of known temperature at one width, and the fitted slope.

    `slope`, `low` and `high` belong to ln tau against 1/T, relative to the barrier of the loss.
    """

    width: int
    escaped: int
    trials: int
    slope: float | None
    low: float | None
    high: float | None
    verdict: str

    def __str__(self) -> str:
        """The slope in words."""
        limits = ", ".join("-" if x is None else f"{x:.2f}" for x in (self.low, self.high))
        slope = "-" if self.slope is None else f"{self.slope:.2f}"
        return (
            f"width {self.width}: slope {slope} [{limits}] of the barrier, "
            f"{self.escaped} of {self.trials} escaped"
        )


def heated(bench: Bench) -> tuple[Heated, ...]:
    """The Langevin runs of figure 2b, width by width; empty where they were not run."""
    record = bench.record("fig2b")
    if record is None or record.weight_decay != bench.settings.weight_decay:
        return ()
    found = []
    for width in record.langevin:
        low, high = (
            None if limit is None else limit / width.barrier
            for limit in (width.raw.low, width.raw.high)
        )
        found.append(
            Heated(
                width=width.width,
                escaped=sum(point.escapes for point in width.points),
                trials=sum(point.replicas for point in width.points),
                slope=None if width.raw.value is None else width.raw.value / width.barrier,
                low=low,
                high=high,
                verdict=width.verdict,
            )
        )
    return tuple(found)


def stages(bench: Bench) -> list[str]:
    """The staged escapes under additive noise of figure 1a, in words; empty without a record."""
    record = bench.record("fig1a")
    if record is None:
        return []
    langevin = record.langevin
    return [
        f"{stage.start} start, rank {stage.stage}: {stage.escapes} of {stage.trials} "
        f"at T = {langevin.temperature:g}"
        for stage in langevin.stages
    ]
