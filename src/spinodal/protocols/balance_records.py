"""Two phases in balance: settings, and what is recorded of them."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from spinodal.errors import InputError
from spinodal.records import Settings


class BalanceSettings(Settings):
    """One feature, networks of several widths, temperature = heat / width.

    At every width the weight decay is chosen so that theory expects ln(time in the learned phase /
    time in the trivial phase) to be each of `log_ratios`; one of them must be 0, coexistence.
    `replicas` wait in either phase, for at most `horizon` times the passage time of the reduced
    free energy. The minibatch arm has the first of the widths, batches of fresh samples of
    `batch_size`, and the learning rate that gives the learned phase the same temperature along its
    radial direction.
    """

    depth: PositiveInt = Field(default=3, ge=3)
    signal: PositiveFloat = 0.8
    widths: tuple[PositiveInt, ...] = Field(default=(3, 4, 5), min_length=2)
    heat: PositiveFloat = 0.009
    log_ratios: tuple[float, ...] = (-1.0, 0.0, 1.0)
    replicas: PositiveInt = Field(default=120, ge=10)
    learning_rate: PositiveFloat = 0.2
    horizon: PositiveFloat = 12.0
    batch_size: PositiveInt = 4
    confidence: float = Field(default=0.95, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _consistent(self) -> BalanceSettings:
        if 0.0 not in self.log_ratios:
            raise InputError(
                f"One of log_ratios must be 0, which is coexistence; got {self.log_ratios}."
            )
        if len(set(self.widths)) < 2 or min(self.widths) < 2:
            raise InputError(
                f"A comparison of sizes needs two different widths of at least 2, got "
                f"{self.widths}."
            )
        return self


@dataclass(frozen=True, kw_only=True)
class Passage:
    """Mean time from one phase to the other, with limits from censored single times.

    `mean` is None, and `low` a one-sided bound, when nothing escaped.
    """

    mean: float | None
    low: float
    high: float | None
    escapes: int
    replicas: int
    exposure: float


@dataclass(frozen=True, kw_only=True)
class BalancePoint:
    """One width at one weight decay, both ways; times in units of learning_rate * steps.

    `log_ratio` = ln(rate up / rate down) as measured, with limits, and `exact_log_ratio` the
    equilibrium value. `learned_share` = rate up / (rate up + rate down), the share of a long run
    that is spent in the learned phase. `free_out`, `free_back`: barriers of the reduced free energy
    over T. `predicted_up`: its passage time.
    """

    width: int
    temperature: float
    weight_decay: float
    over_spinodal: float
    free_out: float
    free_back: float
    exact_log_ratio: float
    predicted_up: float
    up: Passage
    down: Passage
    log_ratio: float | None
    log_ratio_low: float | None
    log_ratio_high: float | None
    learned_share: float | None

    @property
    def deviation(self) -> float | None:
        """Measured minus exact log ratio, in standard errors."""
        if self.log_ratio is None:
            return None
        error = (1 / self.up.escapes + 1 / self.down.escapes) ** 0.5
        return (self.log_ratio - self.exact_log_ratio) / error


@dataclass(frozen=True, kw_only=True)
class Line:
    """A straight line fitted by weighted least squares, with the limits of its slope."""

    slope: float
    low: float
    high: float
    predicted: float


@dataclass(frozen=True, kw_only=True)
class Sharpness:
    """How abruptly one width changes phase: d ln(rate up / rate down) / d weight_decay.

    `window` is the range of weight decay in which theory expects the learned share to fall from
    e / (1 + e) to 1 / (1 + e), 73 % to 27 %.
    """

    width: int
    coexistence: float
    measured: Line
    window: float


@dataclass(frozen=True, kw_only=True)
class Minibatches:
    """The same two phases under minibatch noise of equal radial temperature."""

    width: int
    weight_decay: float
    temperature: float
    learning_rate: float
    batch_size: int
    up: Passage
    down: Passage
    boltzmann_up: float


@dataclass(frozen=True, kw_only=True)
class BalanceRecord:
    """Both rates at all widths and weight decays, and what follows from them."""

    signal: float
    depth: int
    heat: float
    learning_rate: float
    confidence: float
    points: tuple[BalancePoint, ...]
    growth: Line
    sharpness: tuple[Sharpness, ...]
    chi_square: float
    chi_square_p: float
    minibatches: Minibatches
