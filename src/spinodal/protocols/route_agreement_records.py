"""One rate by several routes: settings, and what is recorded."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from spinodal.errors import InputError
from spinodal.records import Settings
from spinodal.theory import modes


class RouteSettings(Settings):
    """The full network at temperatures `ratios` of the thermal spinodal of its next feature.

    From the phase of rank `rank` until the next strength reaches its learned value. Waiting is done
    where a replica needs at most `longest` updates on average, as the reduced free energy predicts,
    with `replicas` replicas watched for `horizon` predicted times; splitting everywhere.
    """

    depth: PositiveInt = Field(default=3, ge=3)
    width: PositiveInt = 10
    signals: tuple[PositiveFloat, ...] = (0.9, 0.8)
    weight_decay: PositiveFloat = 0.32
    rank: int = Field(default=0, ge=0)
    ratios: tuple[PositiveFloat, ...] = Field(default=(0.75, 0.65, 0.55, 0.45, 0.35), min_length=2)
    learning_rate: PositiveFloat = 0.2
    look_time: PositiveFloat = 4.0
    longest: PositiveFloat = 4e4
    replicas: PositiveInt = 100
    horizon: PositiveFloat = 10.0
    repetitions: int = Field(default=10, ge=2)
    copies: PositiveInt = 128
    confidence: float = Field(default=0.95, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _consistent(self) -> RouteSettings:
        if not self.rank < len(self.signals):
            raise InputError(
                f"From rank {self.rank} there is no next feature among {len(self.signals)} "
                "signals; choose a lower rank."
            )
        if max(self.ratios) >= 1:
            raise InputError(
                f"Temperatures must lie below the thermal spinodal, got {max(self.ratios):g} of "
                "it: above there is no barrier."
            )
        modes.saddle(
            depth=self.depth, signal=self.signals[self.rank], weight_decay=self.weight_decay
        )
        return self

    @property
    def mode(self) -> dict[str, float]:
        """The feature that is learned next."""
        return {"signal": self.signals[self.rank], "weight_decay": self.weight_decay}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean time in updates with its limits, and the updates that it cost."""

    mean: float | None
    low: float
    high: float | None
    updates: float
    events: int
    relative_error: float | None
    warning: str = ""


@dataclass(frozen=True, kw_only=True)
class RoutePoint:
    """One temperature; all times are mean times in updates.

    `langer` is Eyring and Kramers' leading order with the volumes of the valleys, `corrected` the
    same with the top of the barrier from the reduced free energy, `reduced` the passage time of
    that free energy, `generator` that of the reduced generator on the amplitudes. All are for the
    diffusion; `step_factor` is what the finite learning rate makes of a rate, to first order.
    """

    ratio: float
    temperature: float
    energy_barrier: float
    free_barrier: float
    expansion: float
    valid: bool
    langer: float
    corrected: float
    reduced: float
    generator: float
    step_factor: float
    waiting: Estimate | None
    splitting: Estimate
    gain: float | None

    @property
    def best(self) -> float:
        """The generator's time with the finite learning rate."""
        return self.generator / self.step_factor


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Splitting over waiting where both were done: ratio of mean times with its limits."""

    ratio: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class RouteRecord:
    """All routes at all temperatures."""

    depth: int
    width: int
    weights: int
    signals: tuple[float, ...]
    weight_decay: float
    rank: int
    learning_rate: float
    thermal_spinodal: float
    rotations: int
    repetitions: int
    copies: int
    confidence: float
    points: tuple[RoutePoint, ...]
    agreement: tuple[Agreement, ...]
    chi_square: float
    chi_square_p: float | None
