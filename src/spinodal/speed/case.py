"""What is timed: one network with its training rule, as settings and as plain arrays."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from spinodal.dynamics.networks import Network
from spinodal.dynamics.tasks import Data, GaussianTask, draw
from spinodal.dynamics.updates import Update
from spinodal.records import Settings

SEED = 42
"""Of the data, the starts and the batches on which implementations are compared."""


class Case(Settings):
    """A network between two inputs and two outputs that learns signals 0.9 and 0.8.

    The defaults are the paper's network: three layers, hidden width 10, 512 samples, batches of
    64. With two outputs PyTorch's `MSELoss` and `weight_decay` are exactly the package's loss.
    """

    width: PositiveInt = 10
    depth: PositiveInt = 3
    batch_size: PositiveInt = 64
    activation: Literal["identity", "sigmoid"] = "identity"
    precision: Literal["float64", "float32"] = "float64"
    sampling: Literal["replacement", "shuffled", "wishart"] = "replacement"
    samples: PositiveInt = 512
    learning_rate: PositiveFloat = 0.05
    weight_decay: NonNegativeFloat = 0.2

    inputs: Literal[2] = 2
    outputs: Literal[2] = 2

    @property
    def linear(self) -> bool:
        """Is the network its matrices only?"""
        return self.activation == "identity"

    @property
    def task(self) -> GaussianTask:
        """Where the samples come from; Wishart batches come from the population itself."""
        samples = None if self.sampling == "wishart" else self.samples
        return GaussianTask(signals=(0.9, 0.8), samples=samples)

    @property
    def network(self) -> Network:
        """The network as settings of the simulator."""
        return Network(
            depth=self.depth, width=self.width, activation=self.activation, precision=self.precision
        )

    @property
    def update(self) -> Update:
        """The training rule as settings of the simulator."""
        return Update(
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            sampling=self.sampling,
            batch_size=self.batch_size,
        )

    @cached_property
    def data(self) -> Data:
        """Data set 0, on which every replica trains."""
        return draw(self.task, seed=SEED, dataset=0)

    @property
    def arrays(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Inputs and targets of the training samples, (samples, 2) each, in the precision."""
        assert self.data.x is not None
        assert self.data.y is not None
        return self.data.x.astype(self.precision), self.data.y.astype(self.precision)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Shape (rows, columns) of every layer, first layer first."""
        return self.network.shapes(self.outputs, self.inputs)

    def start(self, replicas: int) -> list[NDArray[np.floating]]:
        """Initial layers of the first replicas, (rows, columns, replicas) each."""
        many = range(replicas)
        return self.network.initial(self.outputs, self.inputs, seed=SEED, replicas=many)

    @property
    def told(self) -> dict[str, Any]:
        """The settings that distinguish rows of the benchmark."""
        names = ("width", "depth", "batch_size", "activation", "precision", "sampling")
        return {name: getattr(self, name) for name in names}
