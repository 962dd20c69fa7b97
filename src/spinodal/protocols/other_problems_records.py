"""What the other problems are set to, and what is recorded of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from spinodal.errors import InputError
from spinodal.protocols.other_problems_cases import ProblemName, case
from spinodal.records import Settings, VerdictName

Verdict = VerdictName | Literal["no_barrier"]


class ProblemSetting(Settings):
    """One problem at one weight decay, `fraction` of the way through its sweep.

    `barriers` are the ratios of the string's barrier to the temperature at which escapes are waited
    for, `deep` those at which only splitting is tried; `horizon` time units long, at steps of
    `step`. A problem without barrier has neither. `remark` is told with the results.
    """

    name: ProblemName
    fraction: float = Field(gt=0, lt=1)
    barriers: tuple[PositiveFloat, ...] = ()
    deep: tuple[PositiveFloat, ...] = ()
    step: PositiveFloat = 0.02
    horizon: PositiveFloat = 400.0
    remark: str = ""


class OtherProblemsSettings(Settings):
    """Problems, and how much is done with each.

    `sweep` weight decays on the way up and on the way down; `images` of the string; `replicas`
    waited for; `repetitions` of splitting with `copies` each (0: none).
    """

    problems: tuple[ProblemSetting, ...] = Field(min_length=1)
    sweep: PositiveInt = 12
    images: int = Field(default=21, ge=5)
    replicas: PositiveInt = 128
    repetitions: int = Field(default=8, ge=0)
    copies: int = Field(default=64, ge=2)

    @model_validator(mode="after")
    def _consistent(self) -> OtherProblemsSettings:
        names = [one.name for one in self.problems]
        if len(set(names)) < len(names):
            raise InputError(f"Every problem may be listed once, got {names}.")
        for one in self.problems:
            if (
                one.barriers
                and (case(one.name).spinodals or (0, 1))[0]
                == (case(one.name).spinodals or (0, 1))[1]
            ):
                raise InputError(
                    f"The problem {one.name!r} has no barrier: leave `barriers` empty for it."
                )
            if one.deep and not one.barriers:
                raise InputError(
                    f"The problem {one.name!r} has `deep` ratios but no `barriers` to compare with."
                )
        return self


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """Order parameter along a slow sweep of the weight decay without noise, up and then down.

    `lost` and `regained`: midpoints of the steps at which the feature jumped off and on; None where
    it did not jump. `spinodal_on`, `spinodal_off`: the weight decays at which theory has it appear
    and disappear; None where it has no formula, 0 where the feature never comes back by itself.
    """

    weight_decays: tuple[float, ...]
    up: tuple[float, ...]
    down: tuple[float, ...]
    lost: float | None
    regained: float | None
    spinodal_on: float | None
    spinodal_off: float | None


@dataclass(frozen=True, kw_only=True)
class PathRecord:
    """The string's path and saddle; `exact_*` by formula where there is one.

    `zeros`: directions without curvature at the saddle beyond those at the start, which enter the
    prefactor as T^(-zeros/2). Of `beside` starts on either side of the saddle `fell_back` without
    noise from below, and `went_on` from above.
    """

    arc: tuple[float, ...]
    losses: tuple[float, ...]
    scores: tuple[float, ...]
    barrier_out: float
    barrier_back: float
    exact_out: float | None
    exact_back: float | None
    saddle_score: float
    index: int
    zeros: int
    converged: bool
    residual: float
    beside: int
    fell_back: int
    went_on: int


@dataclass(frozen=True, kw_only=True)
class EscapeRecord:
    """Escapes at one temperature, per unit of time.

    `rate` by waiting (None: not waited for) and `split` by splitting (None: not tried).
    `predicted` is 1 / (mean time) by theory. `memoryless` is the verdict of the test of the waiting
    times, `free_barrier` the free-energy barrier over T. `look` is the time between two looks of
    splitting.
    """

    barrier_over_t: float
    temperature: float
    free_barrier: float | None
    predicted: float | None
    rate: float | None
    low: float | None
    high: float | None
    events: int
    replicas: int
    diverged: int
    memoryless: str
    p_value: float | None
    split: float | None
    split_low: float | None
    split_high: float | None
    split_steps: int
    split_warning: str
    look: float


@dataclass(frozen=True, kw_only=True)
class ProblemRecord:
    """Everything about one problem.

    `slope` of ln(mean time) - (zeros/2) ln T against 1/T, fitted to the individual waiting times:
    the barrier that the escapes show; None with fewer than two temperatures. `cold_slope` is the
    same between the two coldest temperatures of splitting. `verdict`, with its `evidence`, is about
    the coldest temperature waited for.
    """

    name: str
    feature: str
    coordinates: int
    weight_decay: float
    off: float
    on: float
    start_index: int
    sweep: SweepRecord
    path: PathRecord | None
    escapes: tuple[EscapeRecord, ...]
    exact_time: bool
    slope: float | None
    slope_low: float | None
    slope_high: float | None
    cold_slope: float | None
    cold_slope_low: float | None
    cold_slope_high: float | None
    verdict: Verdict
    evidence: tuple[str, ...]
    remark: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """All problems."""

    problems: tuple[ProblemRecord, ...]
