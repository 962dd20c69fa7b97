"""The settings of a training step: batches, noise, loss, optimiser, and how they change in time."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from spinodal.errors import InputError
from spinodal.records import Settings

Sampling = Literal["shuffled", "replacement", "fresh", "wishart", "full", "population"]
Optimizer = Literal["sgd", "momentum", "adam", "adamw"]
Loss = Literal["squared", "cross_entropy"]

MINIBATCHES = ("shuffled", "replacement", "fresh", "wishart")
"""The samplings whose batches are random; the others give the same gradient every time."""


class Stage(Settings):
    """From update number `at` on, these coefficients hold instead of those before."""

    at: PositiveInt
    learning_rate: PositiveFloat | None = None
    batch_size: PositiveInt | None = None
    weight_decay: NonNegativeFloat | None = None
    temperature: NonNegativeFloat | None = None

    @property
    def changes(self) -> dict[str, float]:
        """The coefficients that the stage names, with their new values."""
        named = self.model_dump(exclude={"at"}, exclude_none=True)
        return {name: value for name, value in named.items() if value is not None}

    @model_validator(mode="after")
    def _consistent(self) -> Stage:
        if not self.changes:
            raise InputError(
                f"The stage at update {self.at} changes nothing: give it a learning_rate, "
                "batch_size, weight_decay or temperature, or leave it out."
            )
        return self


class Update(Settings):
    """One training step: where the gradient comes from, what is added, what is made of it.

    With `sgd`

        theta <- theta - lr (grad E_batch + weight_decay theta) + sqrt(2 T lr) xi,  xi ~ N(0, 1)

    `sampling` names the batches: `shuffled` (every epoch a new order, as a DataLoader does),
    `replacement` (independent draws from the training set), `fresh` (new samples of the
    population), `wishart` (the moments of such a batch drawn directly: the same law, at a cost
    that does not depend on the batch size), `full` (the whole training set: no sampling noise)
    or `population` (the exact gradient). `drop_last` leaves out the incomplete batch of an
    epoch. `temperature` T adds isotropic (Langevin) noise; 0 adds none.

    `gaussian` adds Gaussian noise to the gradient of sampling `full` or `population` with the
    covariance C / batch_size that independent batches have: `local` where the network is, or
    `frozen` at the balanced network of strengths `frozen_strengths`. `label_noise` is the
    standard deviation of fresh noise on every target at every use.

    `loss` is `squared`, 1/2 ||y - f||^2, or `cross_entropy`, -sum_j y_j ln softmax(f)_j.
    `momentum`, `adam` (weight decay in the gradient, so L2) and `adamw` (decoupled decay) are
    those of torch.optim; `momentum` is also Adam's first coefficient.

    `schedule` lists `Stage`s: piecewise constant coefficients. With shuffled batches a stage
    begins a new epoch.
    """

    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    sampling: Sampling = "shuffled"
    batch_size: PositiveInt | None = None
    drop_last: bool = True
    temperature: NonNegativeFloat = 0.0
    gaussian: Literal["local", "frozen"] | None = None
    frozen_strengths: tuple[NonNegativeFloat, ...] = ()
    label_noise: NonNegativeFloat = 0.0
    loss: Loss = "squared"
    optimizer: Optimizer = "sgd"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    second_momentum: float = Field(default=0.999, ge=0, lt=1)
    epsilon: PositiveFloat = 1e-8
    schedule: tuple[Stage, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Update:
        if self.sampling in MINIBATCHES and self.batch_size is None:
            raise InputError(f"Sampling '{self.sampling}' needs a batch_size.")
        self._check_noise()
        starts = [stage.at for stage in self.schedule]
        if any(b <= a for a, b in pairwise(starts)):
            raise InputError(f"The stages of a schedule must follow each other, got {starts}.")
        sized = any(stage.batch_size for stage in self.schedule)
        if sized and self.sampling not in MINIBATCHES and self.gaussian is None:
            raise InputError(
                f"Sampling '{self.sampling}' has no batches whose size a stage could change: use "
                "another sampling, or gaussian noise."
            )
        return self

    def _check_noise(self) -> None:
        if self.gaussian is not None and self.sampling in MINIBATCHES:
            raise InputError(
                f"Gaussian noise '{self.gaussian}' stands in place of the noise of batches, but "
                f"sampling is '{self.sampling}': use sampling 'full' or 'population'."
            )
        if self.gaussian is not None and self.batch_size is None:
            raise InputError(
                f"Gaussian noise '{self.gaussian}' has the covariance of a batch: set batch_size."
            )
        if (self.gaussian == "frozen") != bool(self.frozen_strengths):
            raise InputError(
                "frozen_strengths are the strengths at which gaussian = 'frozen' takes its "
                f"covariance; got gaussian {self.gaussian!r} and frozen_strengths "
                f"{self.frozen_strengths}: set both or neither."
            )
        if self.label_noise > 0 and (
            self.loss != "squared" or self.sampling == "population" or self.gaussian is not None
        ):
            raise InputError(
                "label_noise is Gaussian noise on the targets of samples: it needs the squared "
                "loss, samples (any sampling but 'population') and no gaussian gradient noise; got "
                f"loss '{self.loss}', sampling '{self.sampling}', gaussian {self.gaussian!r}."
            )

    @property
    def noiseless(self) -> Update:
        """The noise-off twin: same coefficients and optimiser, no noise of any kind."""
        exact: Sampling = "full" if self.sampling in ("shuffled", "replacement") else self.sampling
        if exact in ("fresh", "wishart"):
            exact = "population"
        kept = [
            stage.model_copy(update={"temperature": None, "batch_size": None})
            for stage in self.schedule
        ]
        return self.model_copy(
            update={
                "sampling": exact,
                "temperature": 0.0,
                "gaussian": None,
                "frozen_strengths": (),
                "label_noise": 0.0,
                "schedule": tuple(stage for stage in kept if stage.changes),
            }
        )

    @property
    def idle_batch_size(self) -> bool:
        """Whether a batch size is given although there are neither batches nor their noise."""
        return (
            self.batch_size is not None
            and self.sampling not in MINIBATCHES
            and self.gaussian is None
        )

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Every batch size of the run, that of the first stage first."""
        later = [stage.batch_size for stage in self.schedule if stage.batch_size is not None]
        return (*(() if self.batch_size is None else (self.batch_size,)), *later)

    def time(self, steps: ArrayLike) -> NDArray[np.float64]:
        """Training time after `steps` updates: the sum of their learning rates, elementwise."""
        steps = np.asarray(steps)
        rate, start = self.learning_rate, 0
        before = np.zeros(steps.shape)
        for stage in self.schedule:
            if stage.learning_rate is None:
                continue
            before = before + rate * np.clip(steps - start, 0, stage.at - start)
            rate, start = stage.learning_rate, stage.at
        return before + rate * np.maximum(steps - start, 0)

    def steps_per_epoch(self, samples: int | None) -> int:
        """Updates per pass over the training set; 1 where there is no such pass."""
        if samples is None or self.batch_size is None or self.sampling in ("full", "population"):
            return 1
        return batches_per_epoch(samples, self.batch_size, drop_last=self.drop_last)


def batches_per_epoch(samples: int, batch_size: int, *, drop_last: bool) -> int:
    """How many batches a pass over `samples` gives; an `InputError` if none."""
    steps = samples // batch_size
    if not drop_last and samples % batch_size:
        steps += 1
    if steps == 0:
        raise InputError(
            f"A batch of {batch_size} does not fit into {samples} samples and incomplete "
            "batches are dropped, so an epoch has no steps: use sampling 'full', a smaller "
            "batch, or drop_last = false."
        )
    return steps
