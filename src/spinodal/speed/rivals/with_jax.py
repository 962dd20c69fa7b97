"""JAX: gradients by automatic differentiation, replicas by `vmap`, steps in one compiled loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax  # pyright: ignore[reportMissingImports]
import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.networks import Layers
from spinodal.speed.case import Case

Loss = Callable[[list[jax.Array], jax.Array], jax.Array]


class _Compiled:
    """Many replicas of a loss of (weights, indices of a batch)."""

    def __init__(self, case: Case, replicas: int, loss: Loss) -> None:
        """Replicas 0 to `replicas` - 1."""
        self.case, self.replicas = case, replicas
        self.weights = self._from(case.start(replicas))
        self._step = jax.vmap(partial(_sgd, case, loss))
        self._steps = jax.jit(self._loop)

    def follow(self, layers: Layers, chosen: NDArray[np.int64]) -> Layers:
        """The layers after given batches."""
        weights, step = self._from(layers), jax.jit(self._step)
        for batch in chosen:
            weights = step(weights, jnp.asarray(batch.T))
        return [np.moveaxis(np.asarray(weight), 0, -1) for weight in weights]

    def run(self, steps: int) -> None:
        """Updates with batches of its own."""
        self.weights = jax.block_until_ready(self._steps(self.weights, steps))

    def _loop(self, weights: list[jax.Array], steps: int) -> list[jax.Array]:
        """A scan whose length is known only when it runs."""
        key = jax.random.key(0)
        return jax.lax.fori_loop(
            0, steps, lambda at, now: self._step(now, self._draw(key, at)), weights
        )

    def _draw(self, key: Any, at: Any) -> jax.Array:
        """Indices of a batch, (replicas, batch): the high part of bits times samples."""
        shape = (self.replicas, self.case.batch_size)
        bits = jax.random.bits(jax.random.fold_in(key, at), shape, jnp.uint32)
        return (bits.astype(jnp.uint64) * self.case.samples >> 32).astype(jnp.int32)

    def _from(self, layers: Layers) -> list[jax.Array]:
        return [jnp.asarray(np.moveaxis(weight, -1, 0)) for weight in layers]


class Samples(_Compiled):
    """Sample by sample."""

    def __init__(self, case: Case, replicas: int) -> None:
        """As the base."""
        jax.config.update("jax_enable_x64", True)
        x, y = map(jnp.asarray, case.arrays)

        def loss(weights: list[jax.Array], batch: jax.Array) -> jax.Array:
            units = x[batch]
            for weight in weights[:-1]:
                units = units @ weight.T
                units = units if case.linear else jax.nn.sigmoid(units)
            return 0.5 * ((units @ weights[-1].T - y[batch]) ** 2).sum(axis=1).mean()

        super().__init__(case, replicas, loss)


class Moments(_Compiled):
    """From the mean products of a batch."""

    def __init__(self, case: Case, replicas: int) -> None:
        """As the base; the products of every sample are tabulated once."""
        jax.config.update("jax_enable_x64", True)
        x, y = map(jnp.asarray, case.arrays)
        table = jnp.hstack([(left[:, :, None] * x[:, None]).reshape(len(x), -1) for left in (x, y)])

        def loss(weights: list[jax.Array], batch: jax.Array) -> jax.Array:
            means = table[batch].mean(axis=0)
            xx = means[: case.inputs**2].reshape(case.inputs, case.inputs)
            yx = means[case.inputs**2 :].reshape(case.outputs, case.inputs)
            total = weights[0]
            for weight in weights[1:]:
                total = weight @ total
            return 0.5 * jnp.trace(total @ xx @ total.T) - jnp.trace(total @ yx.T)

        super().__init__(case, replicas, loss)


def _sgd(case: Case, loss: Loss, weights: list[jax.Array], batch: jax.Array) -> list[jax.Array]:
    slopes = jax.grad(loss)(weights, batch)
    return [
        weight - case.learning_rate * (slope + case.weight_decay * weight)
        for weight, slope in zip(weights, slopes, strict=True)
    ]
