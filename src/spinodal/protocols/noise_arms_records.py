"""What the comparison of noises is set to, and what is recorded of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from spinodal.dynamics.networks import Network
from spinodal.dynamics.tasks import GaussianTask
from spinodal.errors import InputError
from spinodal.records import Settings
from spinodal.theory import modes
from spinodal.theory.free_energy import hidden_rotations, thermal_spinodal
from spinodal.theory.gradient_noise import mode_trace, trace_temperature

ArmName = Literal[
    "minibatch", "fresh", "isotropic", "local", "frozen at rank 2", "frozen at rank 1"
]

ARMS: tuple[ArmName, ...] = (
    "minibatch",
    "fresh",
    "local",
    "frozen at rank 1",
    "isotropic",
    "frozen at rank 2",
)
"""Every arm: first those whose noise vanishes in all weights that could raise the rank."""

Verdict = Literal["absorbed", "noise_activated", "noise_drift", "noise_free_drift", "cannot_tell"]


class NoiseSetting(Settings):
    """One learning rate, batch size and weight decay, under every noise.

    `steps` is how long each replica is watched; `isotropic_replicas` may exceed `replicas`, for
    the test of memorylessness. In the cooled control the noise of an arm that escapes is switched
    off after `cool_isotropic` or `cool_frozen` updates (None: no such control). `near_replicas`
    start beside the trap under the minibatch noise (None: no such starts).
    """

    name: str
    weight_decay: PositiveFloat
    learning_rate: PositiveFloat
    batch_size: PositiveInt
    steps: PositiveInt
    check_every: PositiveInt = 20
    replicas: PositiveInt = 64
    isotropic_replicas: PositiveInt | None = None
    cool_isotropic: PositiveInt | None = None
    cool_frozen: PositiveInt | None = None
    near_replicas: PositiveInt | None = None


class NoiseArmsSettings(Settings):
    """The rank-1 phase of a network under equal amounts of different noise.

    The first of the `signals` is learned at the start, the second one is what there is to escape
    to. Replica i trains on data set i modulo `datasets`, of `samples` each, drawn so that its
    second moments are exactly the population's: every arm has one landscape, the trap is a
    stationary point of it, and only the noise differs. `steps_without_noise` is the horizon of
    everything without noise, the time for a state to roll to one side or the other. Starts beside
    the trap have the second amplitude at the fractions `near_saddle` of the saddle's.
    """

    network: Network = Network(depth=3, width=10)
    signals: tuple[PositiveFloat, PositiveFloat] = (0.9, 0.8)
    samples: PositiveInt = 512
    datasets: PositiveInt = 16
    steps_without_noise: PositiveInt = 4000
    near_saddle: tuple[PositiveFloat, ...] = (0.25, 0.5, 0.75, 0.95)
    settings: tuple[NoiseSetting, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> NoiseArmsSettings:
        names = [one.name for one in self.settings]
        if len(set(names)) < len(names):
            raise InputError(f"Every setting needs a name of its own, got {names}.")
        for one in self.settings:
            modes.saddle(**self.mode(one))  # an InputError names the spinodal where there is none
        return self

    @property
    def population(self) -> GaussianTask:
        """The exact moments."""
        return GaussianTask(signals=self.signals)

    @property
    def task(self) -> GaussianTask:
        """Finite training sets with the population's second moments."""
        return GaussianTask(
            signals=self.signals, samples=self.samples, empirical_signals=self.signals
        )

    @property
    def weights(self) -> int:
        """D, the number of weights."""
        return self.network.parameters(2, 2)

    def mode(self, one: NoiseSetting) -> dict[str, Any]:
        """The feature that the trap lacks."""
        return {
            "depth": self.network.depth,
            "signal": self.signals[1],
            "weight_decay": one.weight_decay,
        }

    def rotating(self, one: NoiseSetting) -> dict[str, Any]:
        """The same with the hidden rotations that it sets free."""
        depth, width = self.network.depth, self.network.width
        return self.mode(one) | {"rotations": hidden_rotations(depth=depth, width=width, rank=1)}

    def learned(self, one: NoiseSetting) -> tuple[float, float]:
        """Strengths of both features in the rank-2 phase; the first alone is the trap."""
        first, second = (
            float(
                modes.learned(
                    depth=self.network.depth, signal=signal, weight_decay=one.weight_decay
                )
            )
            for signal in self.signals
        )
        return first, second

    def threshold(self, one: NoiseSetting) -> float:
        """Half the learned second strength: beyond the saddle and all recrossings."""
        return 0.5 * self.learned(one)[1]

    def trace(self, one: NoiseSetting) -> float:
        """tr C of single samples in the trap, for the population."""
        return mode_trace(self.learned(one)[0], depth=self.network.depth, signals=self.signals)

    def temperature(self, one: NoiseSetting) -> float:
        """T = lr tr C / (2 B D): isotropic noise with the trace of the minibatch noise."""
        return float(
            trace_temperature(
                self.trace(one),
                learning_rate=one.learning_rate,
                batch_size=one.batch_size,
                weights=self.weights,
            )
        )

    def spinodal(self, one: NoiseSetting) -> float:
        """Thermal spinodal of the step from rank 1 to 2; infinite without rotations."""
        return float(thermal_spinodal(**self.rotating(one)))


@dataclass(frozen=True, kw_only=True)
class SettingTheory:
    """What theory says of one setting before any simulation.

    `temperature` has the trace of the minibatch noise, `trace` = tr C of the population in the
    trap and `trace_datasets` its mean over the data sets, with the standard error. None stands
    for what does not exist (no free-energy barrier, no thermal spinodal) or exceeds any float.
    `predicted_steps` is the passage time of the reduced free energy under the isotropic noise,
    from amplitude 0 to the threshold. `regime` is where theory puts the temperature: no verdict.
    """

    temperature: float
    trace: float
    trace_datasets: float
    trace_datasets_se: float
    thermal_spinodal: float | None
    over_spinodal: float | None
    energy_barrier: float
    energy_barrier_over_t: float
    free_barrier_over_t: float | None
    predicted_steps: float | None
    regime: Literal["barrier", "crossover", "drift"]


@dataclass(frozen=True, kw_only=True)
class ArmNoise:
    """The noise of an arm in the trap, for the population.

    `directions` of all weights that it moves; `trace_temperature` = lr tr C / (2 B D);
    `radial_temperature` along the feature that is learned; `raising_temperature` the largest
    along any direction that could raise the rank, and `raising_datasets` the same for the worst
    data set.
    """

    directions: int
    trace_temperature: float
    radial_temperature: float
    raising_temperature: float
    raising_datasets: float


@dataclass(frozen=True, kw_only=True)
class ArmRecord:
    """One arm of one setting. Only replicas on data sets that hold rank 2 are counted.

    `diverged` of them blew up and enter nothing else; `eligible` are the others, of which `fell`
    lost the first feature before any escape, which ends the waiting. `rate` is per time unit,
    `median_steps` Kaplan-Meier; without escapes `rate_high` is a one-sided bound.
    `noise_off_escapes` of `noise_off_runs`: the same start and data sets without noise, one
    deterministic run each. `cooled_escapes` of `cooled_trapped`: replicas still behind the barrier
    when the noise stopped after `cooled_after` updates (None: no such control). `memoryless` tests
    what is left of the waiting after `dead_time`, `memoryless_p_whole` all of it.
    `second_start` and `second_end` are the largest second strengths of any replica that did not
    diverge.
    """

    arm: ArmName
    noise: ArmNoise
    steps: int
    replicas: int
    eligible: int
    escapes: int
    fell: int
    diverged: int
    datasets: int
    datasets_with_escape: int
    probability_low: float
    probability_high: float
    exposure: float
    rate: float
    rate_low: float
    rate_high: float
    median_steps: float | None
    median_low: float
    median_high: float | None
    memoryless: str
    memoryless_p: float | None
    memoryless_p_whole: float | None
    memoryless_events: int
    dead_time: float
    noise_off_escapes: int
    noise_off_runs: int
    cooled_after: int | None
    cooled_escapes: int | None
    cooled_trapped: int | None
    second_start: float
    second_end: float
    verdict: Verdict
    curve_steps: tuple[float, ...]
    curve_survival: tuple[float, ...]
    curve_low: tuple[float, ...]
    curve_high: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class NearRecord:
    """Minibatch noise from one start beside the trap.

    The second amplitude starts at `fraction` of the saddle's, the second strength at `strength`;
    `temperature` = lr n.Cn / (2 B) of the noise along the second feature there. Of `trials`
    replicas that did not diverge (on data sets that hold rank 2) `escapes` learned, with 95 %
    limits `low` and `high` of their probability (one-sided where none did); `fell` lost the
    first feature, `back` were in the trap after `steps` updates.
    The same start without noise learns in `quiet_escapes` of `quiet_runs`.
    """

    fraction: float
    strength: float
    temperature: float
    steps: int
    trials: int
    escapes: int
    low: float
    high: float
    fell: int
    back: int
    quiet_escapes: int
    quiet_runs: int


@dataclass(frozen=True, kw_only=True)
class SettingRecord:
    """All arms of one setting.

    `below_learns` and `above_learns`: noise-free runs from 10 % below and above the amplitude of
    the saddle. `holds_second` of `datasets` data sets have a rank-2 phase at all. `near`: starts
    beside the trap, under minibatch noise.
    """

    name: str
    weight_decay: float
    learning_rate: float
    batch_size: int
    steps: int
    theory: SettingTheory
    datasets: int
    holds_second: int
    below_learns: bool
    above_learns: bool
    arms: tuple[ArmRecord, ...]
    near: tuple[NearRecord, ...]

    def arm(self, name: ArmName) -> ArmRecord:
        """The arm of this name."""
        return next(arm for arm in self.arms if arm.arm == name)


@dataclass(frozen=True, kw_only=True)
class Record:
    """The comparison of noises in the rank-1 trap of the same networks."""

    signals: tuple[float, float]
    width: int
    depth: int
    weights: int
    samples: int
    settings: tuple[SettingRecord, ...]
