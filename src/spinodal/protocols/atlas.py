"""One network's landscape as a table: every mode, every phase, and at a temperature the barriers.

Nothing is simulated; the numbers are those of `spinodal.theory`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field

from spinodal.records import Settings
from spinodal.theory import free_energy, modes
from spinodal.theory.phases import phases

CONVENTION = (
    "E = 1/2 E||y - W x||^2 + (weight_decay/2) sum_l ||W_l||_F^2 with W = W_L ... W_1, inputs of "
    "unit covariance, outputs of unit variance, as many of each as signals; points are strengths "
    "(singular values of W), time is learning_rate * steps, and modes stand strongest signal first"
)

_HIGHEST = 1000.0

Positive = Annotated[float, Field(gt=0, le=1e100)]


class AtlasSettings(Settings):
    """A network and its task: what the landscape depends on.

    `signals` are singular values of the input-output covariance, in any order. `temperature` is
    that of additive noise, d theta = -grad E dt + sqrt(2 T) dB.
    """

    depth: int = Field(ge=1, le=1000)
    width: int = Field(ge=1, le=1_000_000)
    signals: tuple[Positive, ...] = Field(min_length=1, max_length=100)
    weight_decay: float = Field(ge=0, le=1e100)
    temperature: Positive | None = None


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One mode; None where a point, a barrier or a limit does not exist.

    The thermal quantities count the stronger signals as learned. The last three belong to the
    temperature of the settings and are None above the thermal spinodal; the time is also None
    where it exceeds the largest floating-point number.
    """

    signal: float
    spinodal: float | None
    coexistence: float | None
    trivial: float | None
    saddle: float | None
    learned: float | None
    barrier_out: float | None
    barrier_back: float | None
    gap: float | None
    thermal_spinodal: float | None
    free_energy_barrier_out: float | None = None
    free_energy_barrier_back: float | None = None
    first_passage_time_out: float | None = None


@dataclass(frozen=True, kw_only=True)
class RankPhase:
    """The phase that has learned the `rank` strongest signals; no loss where it does not exist."""

    rank: int
    loss: float | None
    local_minimum: bool
    global_minimum: bool


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """The landscape of one network: modes strongest first, phases in the order of their rank."""

    settings: AtlasSettings
    modes: tuple[Mode, ...]
    phases: tuple[RankPhase, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the thermal columns only where a temperature was given."""
        table = [asdict(mode) for mode in self.modes]
        if self.settings.temperature is None:
            table = [dict(list(row.items())[:-3]) for row in table]
        return {
            "convention": CONVENTION,
            "modes": table,
            "phases": [asdict(phase) for phase in self.phases],
        }


def atlas(settings: AtlasSettings) -> Atlas:
    """The table of a network's modes and phases."""
    signals = tuple(sorted(settings.signals, reverse=True))
    return Atlas(
        settings=settings,
        modes=tuple(_mode(settings, signal) for signal in signals),
        phases=tuple(
            RankPhase(
                rank=phase.rank,
                loss=phase.loss,
                local_minimum=phase.local_minimum,
                global_minimum=phase.global_minimum,
            )
            for phase in phases(
                depth=settings.depth,
                width=settings.width,
                signals=signals,
                weight_decay=settings.weight_decay,
            )
        ),
    )


def _mode(settings: AtlasSettings, signal: float) -> Mode:
    depth = settings.depth
    at = {"depth": depth, "signal": signal, "weight_decay": settings.weight_decay}
    points = modes.stationary_points(**at)
    return Mode(
        signal=signal,
        spinodal=_number(modes.spinodal(depth, signal)),
        coexistence=_number(modes.coexistence(depth, signal)),
        trivial=_number(points.trivial),
        saddle=_number(points.saddle),
        learned=_number(points.learned),
        barrier_out=_number(modes.barrier_out(**at)),
        barrier_back=_number(modes.barrier_back(**at)),
        gap=_number(modes.gap(**at)),
        **_thermal(settings, signal, at),
    )


def _thermal(settings: AtlasSettings, signal: float, at: dict[str, Any]) -> dict[str, Any]:
    """What a temperature changes; nothing in a network too narrow to learn this mode as well."""
    rank = sum(other > signal for other in settings.signals)
    if rank >= settings.width:
        return {"thermal_spinodal": None}
    rotations = free_energy.hidden_rotations(depth=settings.depth, width=settings.width, rank=rank)
    limit = _number(free_energy.thermal_spinodal(**at, rotations=rotations))
    if settings.temperature is None:
        return {"thermal_spinodal": limit}
    heated = {**at, "rotations": rotations, "temperature": settings.temperature}
    out, back = map(_number, free_energy.free_energy_barriers(**heated))
    if out is None and (limit is None or settings.temperature < limit):
        # So cold that the well's strength is no float: nothing of the heat is left in the barrier.
        out = _number(modes.barrier_out(**at))
    # Beyond this height the time is no floating-point number: about exp(out / T).
    finite = out is not None and out < _HIGHEST * settings.temperature
    time = _number(free_energy.mode_first_passage_time(**heated)) if finite else None
    return {
        "thermal_spinodal": limit,
        "free_energy_barrier_out": out,
        "free_energy_barrier_back": back,
        "first_passage_time_out": time,
    }


def _number(value: Any) -> float | None:
    """A finite number, or None."""
    number = float(value)
    return number if math.isfinite(number) else None
