"""The readable machine: every update of every replica, in NumPy, as the equations say it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.batches import Batches, lanes, stream
from spinodal.dynamics.gradients import gradients, losses, outputs, sample_gradients
from spinodal.dynamics.machine import Trace, look_after
from spinodal.dynamics.networks import Layers, as_layers, contract, end_to_end
from spinodal.dynamics.noise import unpack
from spinodal.dynamics.optimisers import Optimiser, flush
from spinodal.dynamics.plan import Plan, Stretch
from spinodal.seeding import Stream

Array = NDArray[np.floating]


class Twin:
    """A `Machine` (see there) that is slow and says what the compiled one does."""

    def __init__(self, plan: Plan, layers: Layers) -> None:
        """A machine at step 0 with copies of `layers` (rows, columns, R)."""
        self.plan, self.step = plan, 0
        replicas = len(plan.replicas)
        self._weights = np.concatenate(
            [np.asarray(layer, dtype=plan.precision).reshape(-1, replicas) for layer in layers]
        )
        self.decay: Array = np.full(replicas, plan.first_weight_decay, dtype=plan.precision)
        self._optimiser = Optimiser(plan, self._weights.shape)
        self._batches = Batches(plan)
        self._labels = stream(plan, plan.labels)
        self._gradient_noise = stream(plan, plan.gradients)
        self._kicks = stream(plan, plan.kicks)

    @property
    def layers(self) -> Layers:
        """The layers, (rows, columns, R): views of the weights."""
        return self._split(self._weights)

    def advance(self, count: int, every: int) -> Trace:
        """Make `count` updates; look after every `every` of them and after the last."""
        start, looks = self.step, []
        for after in look_after(count, every):
            while self.step < start + after:
                self._update()
            looks.append(self.observe())
        return _join(looks)

    @np.errstate(over="ignore", invalid="ignore", under="ignore")
    def _update(self) -> None:
        """theta <- theta + change(slope) + sqrt(2 T lr) xi, where theta is trained."""
        step, now = self.step, self.plan.stretch(self.step)
        if step == now.first and now.weight_decay is not None and step > 0:
            self.decay = np.full_like(self.decay, now.weight_decay)
        slope = self._slope(step, now)
        if self.plan.gaussian == "frozen":
            slope = slope + self._shaken(now, step)
        change = self._optimiser.change(slope, self._weights, self.decay, now, step)
        if now.kick > 0:
            assert self._kicks is not None
            xi = self._kicks.normals(step)[: len(change)]
            change = change + self._round(now.kick * xi)
        self._weights += change * self.plan.trainable[:, None]
        flush(self._weights, self.plan.smallest)
        self.step += 1

    def _slope(self, step: int, now: Stretch) -> Array:
        """The gradient of the batch's loss, (P, R)."""
        plan = self.plan
        if plan.path == "moments":
            return self._join(gradients(self.layers, *self._moments(step, now)))
        x, y = self._batches.samples(step)
        if plan.label_noise > 0:
            y = y + self._round(plan.label_noise * _normals(self._labels, step, y.shape))
        weights = self._sample_weights(step, now) if plan.gaussian == "local" else None
        parts = sample_gradients(
            self.layers, x, y, activation=plan.activation, biases=plan.inputs > plan.real_inputs,
            loss=plan.loss, weights=weights,
        )  # fmt: skip
        return self._join(parts)

    def _moments(self, step: int, now: Stretch) -> tuple[Array, Array]:
        """Moments of the batch, with the noise on them that the plan asks for."""
        plan = self.plan
        if plan.gaussian == "local":
            assert plan.centre is not None
            products = plan.centre[plan.dataset_of].T + self._correlated(now, step)
            return unpack(self._round(products), plan.inputs)
        xx, yx = self._batches.moments(step)
        if plan.label_noise > 0:
            # Noise s on n targets shifts <y x^T> by a Gaussian of covariance s^2 <x x^T> / n.
            z = _normals(self._labels, step, (plan.outputs, plan.inputs, xx.shape[-1]))
            root = cholesky(xx.astype(np.float64, copy=False))
            scale = plan.label_noise / np.sqrt(self._batches.size(step))
            yx = yx + self._round(scale * contract("ikr,jkr->ijr", z, root))
        return xx, yx

    def _shaken(self, now: Stretch, step: int) -> Array:
        """Gradient noise of fixed covariance, (P, R)."""
        return self._round(self._correlated(now, step))

    def _correlated(self, now: Stretch, step: int) -> NDArray[np.float64]:
        """F xi of every replica's data set, F F^T = covariance / batch_size."""
        factors = self.plan.noise_factors(now)
        xi = _normals(self._gradient_noise, step, (factors.shape[-1], len(self.plan.replicas)))
        return contract("ikr,kr->ir", lanes(factors, self.plan.dataset_of), xi)

    def _sample_weights(self, step: int, now: Stretch) -> Array:
        """Weights (1 + sqrt(N/B) (xi_n - mean xi)) / N of the samples, (N, R).

        They give the gradient of all samples the covariance of B independent ones.
        """
        count = self.plan.samples
        xi = _normals(self._gradient_noise, step, (count, len(self.plan.replicas)))
        mean = contract("nr,nr->r", xi, np.ones_like(xi)) / count
        return self._round((1.0 + now.spread * (xi - mean)) / count)

    @np.errstate(over="ignore", invalid="ignore", under="ignore")
    def observe(self) -> Trace:
        """One look, now."""
        plan = self.plan
        wide = self._weights.astype(np.float64, copy=False)
        norms = contract("ir,ir->r", wide, wide)
        if plan.path == "moments":
            maps = end_to_end(self.layers).copy()  # a single layer is its own map
            return _look(self.step, maps, norms, None, None)
        assert plan.x is not None
        assert plan.y is not None
        x = lanes(plan.x, plan.dataset_of)
        f, train = self._measure(x, plan.y)
        one = x if plan.inputs > plan.real_inputs else np.pad(
            x, ((0, 0), (0, 1), (0, 0)), constant_values=1.0
        )  # fmt: skip
        sums = contract("nir,njr->ijr", f.astype(np.float64), one.astype(np.float64))
        test = None
        if plan.test_x is not None and plan.test_y is not None:
            test = self._measure(lanes(plan.test_x, plan.dataset_of), plan.test_y)[1]
        return _look(self.step, sums, norms, train, test)

    def _measure(self, x: Array, targets: Array) -> tuple[Array, NDArray[np.float64]]:
        """Outputs (n, p, R) for samples x (n, d, R), and the mean loss (R,)."""
        plan = self.plan
        y = lanes(targets, plan.dataset_of)
        f = outputs(self.layers, x, plan.activation, biases=plan.inputs > plan.real_inputs)
        every = losses(f, y, plan.loss)
        total = np.zeros(every.shape[1])
        for one in every:
            total += one
        return f, total / len(x)

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Go on with the replicas of the mask only; their numbers do not change."""
        self.plan = self.plan.keep(mask)
        self._weights = np.ascontiguousarray(self._weights[:, mask])
        self.decay = self.decay[mask]
        memory = self._optimiser.memory
        memory.update({name: np.ascontiguousarray(m[:, mask]) for name, m in memory.items()})
        self._batches.keep(mask)
        for source in (self._labels, self._gradient_noise, self._kicks):
            if source is not None:
                source.keep(mask)

    def state(self) -> dict[str, Array]:
        """All that changes, but for `step`: copies."""
        now = {"weights": self._weights, "decay": self.decay, **self._optimiser.memory}
        return {name: values.copy() for name, values in now.items()}

    def restore(self, step: int, state: dict[str, Array]) -> None:
        """Go back to a state; streams are addressed by step and need none."""
        self.step = step
        self._weights = np.array(state["weights"], dtype=self.plan.precision)
        self.decay = np.array(state["decay"], dtype=self.plan.precision)
        for name in self._optimiser.memory:
            self._optimiser.memory[name] = np.array(state[name], dtype=self.plan.precision)

    def _split(self, flat: Array) -> Layers:
        return as_layers(flat, self.plan.shapes)

    def _join(self, layers: Layers) -> Array:
        return np.concatenate([layer.reshape(-1, layer.shape[-1]) for layer in layers])

    def _round(self, values: NDArray[np.float64]) -> Array:
        return values.astype(self.plan.precision, copy=False)


def cholesky(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lower factors of matrices (d, d, R); a column without a positive pivot is zero."""
    lower = np.zeros_like(matrices)
    for j in range(len(matrices)):
        rest = matrices[j:, j] - contract("ikr,kr->ir", lower[j:, :j], lower[j, :j])
        pivot = np.where(rest[0] > 0, np.sqrt(np.where(rest[0] > 0, rest[0], 1.0)), np.inf)
        lower[j + 1 :, j] = rest[1:] / pivot
        lower[j, j] = np.where(rest[0] > 0, pivot, 0.0)
    return lower


def _normals(source: Stream | None, step: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Standard normals of a step for arrays of this shape, replicas last."""
    assert source is not None
    return source.normals(step)[: int(np.prod(shape[:-1]))].reshape(shape)


def _look(
    step: int,
    maps: NDArray[np.float64],
    norms: NDArray[np.float64],
    train: NDArray[np.float64] | None,
    test: NDArray[np.float64] | None,
) -> Trace:
    return Trace(
        np.array([step]),
        maps[None],
        norms[None],
        None if train is None else train[None],
        None if test is None else test[None],
    )


def _join(looks: list[Trace]) -> Trace:
    """Several looks in one."""

    def together(name: str) -> NDArray:
        return np.concatenate([getattr(look, name) for look in looks])

    train = None if looks[0].train is None else together("train")
    test = None if looks[0].test is None else together("test")
    return Trace(together("steps"), together("maps"), together("norms"), train, test)
