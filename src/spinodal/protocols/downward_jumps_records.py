"""What the downward jumps of SGD are set to, and what is recorded of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from spinodal.dynamics.networks import Network
from spinodal.errors import InputError
from spinodal.records import Settings
from spinodal.theory.noisy_mode import NoisyMode

Sampling = Literal["wishart", "replacement", "shuffled"]
SAMPLINGS: tuple[Sampling, ...] = ("wishart", "replacement", "shuffled")
"""Fresh independent samples, a training set drawn with replacement, the same set shuffled."""

Told = Literal["exact", "diffusion", "neither", "both", "no_test"]
"""Which of the two exponents lies within the limits of the measured one.

`no_test` where the network is not its one mode: then neither exponent is a prediction for it.
"""


class JumpNetwork(Settings):
    """A network whose weakest learned feature is lost by jumps, and how it is watched.

    `batch_sizes` at one `learning_rate` are fitted, `replicas` of them each; `collapse` lists
    further pairs (learning rate, batch size). `horizon` is the watching time in units of
    the expected mean time.
    """

    name: str
    width: PositiveInt
    signals: tuple[PositiveFloat, ...] = Field(min_length=1)
    weight_decay: PositiveFloat
    learning_rate: PositiveFloat
    batch_sizes: tuple[PositiveInt, ...] = Field(min_length=2)
    replicas: tuple[PositiveInt, ...]
    collapse: tuple[tuple[PositiveFloat, PositiveInt], ...] = ()
    collapse_replicas: PositiveInt = 128
    horizon: PositiveFloat = 3.0
    check_every: PositiveInt = 10

    @model_validator(mode="after")
    def _consistent(self) -> JumpNetwork:
        if len(self.replicas) != len(self.batch_sizes):
            raise InputError(
                f"{len(self.batch_sizes)} batch sizes need as many counts of replicas, got "
                f"{len(self.replicas)}."
            )
        _ = self.weakest.saddle, self.weakest.learned  # an InputError where there are none
        return self

    @property
    def network(self) -> Network:
        """The network; depth 3, as in the paper."""
        return Network(depth=3, width=self.width)

    def mode(self, number: int) -> NoisyMode:
        """One feature, the strongest first."""
        signal = sorted(self.signals, reverse=True)[number]
        return NoisyMode(depth=3, signal=signal, weight_decay=self.weight_decay)

    @property
    def weakest(self) -> NoisyMode:
        """The feature that is lost first."""
        return self.mode(-1)

    @property
    def strengths(self) -> tuple[float, ...]:
        """All features learned."""
        return tuple(self.mode(i).learned ** 3 for i in range(len(self.signals)))

    @property
    def exact_reduction(self) -> bool:
        """Whether the network is its one mode: one input and one output."""
        return len(self.signals) == 1


class SamplingArms(Settings):
    """One feature, one input and output, under three samplings of the same learning rate and batch.

    `datasets` training sets of `samples` each have the second moments of the population.
    """

    signal: PositiveFloat = 0.8
    weight_decay: PositiveFloat = 0.32
    learning_rate: PositiveFloat = 0.08
    batch_size: PositiveInt = 8
    samples: PositiveInt = 64
    datasets: PositiveInt = 16
    replicas: PositiveInt = 128
    steps: PositiveInt = 200_000
    check_every: PositiveInt = 20

    @property
    def mode(self) -> NoisyMode:
        """The feature."""
        return NoisyMode(depth=3, signal=self.signal, weight_decay=self.weight_decay)


class DownwardJumpsSettings(Settings):
    """Networks in which ln tau is measured against B / lr, and the samplings beside each other."""

    networks: tuple[JumpNetwork, ...] = Field(min_length=1)
    samplings: SamplingArms = SamplingArms()

    @model_validator(mode="after")
    def _consistent(self) -> DownwardJumpsSettings:
        names = [one.name for one in self.networks]
        if len(set(names)) < len(names):
            raise InputError(f"Every network needs a name of its own, got {names}.")
        return self


@dataclass(frozen=True, kw_only=True)
class JumpPoint:
    """One learning rate and batch size: times in units of learning_rate * steps.

    `noise` = lr / B. Predicted means: `diffusion` (quadrature), `corrected` = diffusion times
    exp((exact - diffusion exponent) / noise), `chain` (SGD of the one mode, exact). `up_escapes`
    of `up_replicas` networks that started without the weakest feature learned it, whose dead
    weights are exact zeros, and `near_escapes` of `near_replicas` that started beside the lower
    rank, with that feature's amplitude at half of the saddle's.
    """

    learning_rate: float
    batch_size: int
    noise: float
    fitted: bool
    steps: int
    replicas: int
    jumps: int
    diverged: int
    mean: float | None
    mean_low: float
    mean_high: float | None
    diffusion: float
    corrected: float
    chain: float
    ratio_to_chain: float | None
    ratio_low: float | None
    ratio_high: float | None
    up_replicas: int
    up_escapes: int
    up_rate_bound: float
    near_replicas: int
    near_escapes: int
    time: tuple[float, ...]
    jumped: tuple[bool, ...]


@dataclass(frozen=True, kw_only=True)
class JumpRecord:
    """One network: its points and the exponent that they measure.

    `measured` is `diffusion_exponent` plus the fitted slope of ln(tau / diffusion's tau) against
    B / lr, with 95 % limits (profile likelihood, censored replicas included); `finite` is what the
    same fit gives for the exact chain's times at the same points, learning rate not being 0.
    """

    name: str
    width: int
    signals: tuple[float, ...]
    weight_decay: float
    exact_reduction: bool
    diffusion_exponent: float
    exact_exponent: float
    finite: float
    measured: float | None
    low: float | None
    high: float | None
    jumps: int
    told: Told
    quiet_jumps: int
    memoryless: str
    memoryless_p: float | None
    memoryless_events: int
    points: tuple[JumpPoint, ...]


@dataclass(frozen=True, kw_only=True)
class SamplingRecord:
    """One sampling. Rates per unit time; without jumps `rate_high` is a one-sided bound.

    `expected` is the number of jumps in the time watched, by the rate of the exact chain times
    exp(-(the training set's exponent - the population's) B / lr); None for shuffled batches, which
    no exponent here describes. `ratio` = expected / jumps is measured over predicted mean time.
    """

    sampling: Sampling
    replicas: int
    datasets: int
    steps: int
    jumps: int
    rate: float
    rate_low: float
    rate_high: float
    expected: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None


@dataclass(frozen=True, kw_only=True)
class Record:
    """Everything measured and computed; times are learning_rate * steps."""

    networks: tuple[JumpRecord, ...]
    samplings: tuple[SamplingRecord, ...]
    sampling_signal: float
    sampling_weight_decay: float
    sampling_learning_rate: float
    sampling_batch_size: int
    sampling_samples: int
    sample_exponents: tuple[float, ...]
    population_exponent: float
    shuffled_noise_ratio: float
