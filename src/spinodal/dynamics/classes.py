"""The classification task: Gaussian classes around the corners of a simplex."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from spinodal.dynamics.data import Data, from_arrays
from spinodal.errors import InputError
from spinodal.records import Settings
from spinodal.seeding import generator


class ClassTask(Settings):
    """`classes` equally likely classes: x = centre of the class + N(0, 1), y its one-hot row.

    The centres are the corners of a regular simplex around the origin whose edges have the length
    `separation`; it takes up the first classes - 1 of the `inputs` directions, the others hold
    noise only. Two classes overlap by Phi(-separation / 2).
    """

    kind: Literal["classes"] = "classes"
    classes: Annotated[int, Field(ge=2)] = 2
    inputs: PositiveInt = 2
    separation: PositiveFloat = 2.0
    samples: PositiveInt
    test_samples: PositiveInt = 1000

    @model_validator(mode="after")
    def _consistent(self) -> ClassTask:
        if self.inputs < self.classes - 1:
            raise InputError(
                f"The corners of a simplex of {self.classes} classes need at least "
                f"{self.classes - 1} inputs, got {self.inputs}."
            )
        return self

    @property
    def shape(self) -> tuple[int, int]:
        """(outputs, inputs)."""
        return self.classes, self.inputs

    def centres(self) -> NDArray[np.float64]:
        """Centres of the classes, shape (classes, inputs)."""
        # The unit vectors have distances sqrt(2) and their centred span classes - 1 dimensions;
        # Helmert's basis of it is orthonormal and in closed form.
        centres = np.zeros((self.classes, self.inputs))
        for k in range(1, self.classes):
            centres[:k, k - 1] = 1 / np.sqrt(k * (k + 1))
            centres[k, k - 1] = -k / np.sqrt(k * (k + 1))
        return centres * (self.separation / np.sqrt(2))


def draw_classes(task: ClassTask, *, seed: int, dataset: int) -> Data:
    """Data set number `dataset` of the task under `seed`: the same data in any company."""
    rng = generator(seed, "dataset", dataset)
    parts = []
    for count in (task.samples, task.test_samples):
        labels = rng.integers(task.classes, size=count)
        x = task.centres()[labels] + rng.standard_normal((count, task.inputs))
        parts += [x, np.eye(task.classes)[labels]]
    return from_arrays(*parts)
