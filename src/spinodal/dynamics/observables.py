"""From what a machine measures to order parameters and errors, many looks at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.networks import singular_values
from spinodal.dynamics.tasks import Data, Moments

LARGEST = 1e6
"""A map with an entry beyond this, or with one that is no number, has diverged."""

Losses = NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class Observation:
    """Observables of some replicas: strengths (replicas, modes), errors (replicas,)."""

    strengths: NDArray[np.float64]
    train_error: NDArray[np.float64]
    test_error: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """What a machine saw: maps (looks, outputs, inputs, replicas), the rest (looks, replicas).

    `train` and `test` are losses of networks that are run sample by sample, None where the
    maps are all there is to know.
    """

    maps: NDArray[np.float64]
    norms: NDArray[np.float64]
    train: Losses = None
    test: Losses = None

    def pick(self, look: NDArray[np.intp], lane: NDArray[np.intp]) -> Measured:
        """Look number `look[k]` at replica number `lane[k]`, as the k-th replica of one look."""
        maps = np.moveaxis(self.maps[look, :, :, lane], 0, -1)[None]
        others = (
            None if values is None else values[look, lane][None]
            for values in (self.norms, self.train, self.test)
        )
        return Measured(maps, *others)  # pyright: ignore[reportArgumentType]

    def keep(self, mask: NDArray[np.bool_]) -> Measured:
        """Some of the replicas."""
        return Measured(
            np.ascontiguousarray(self.maps[..., mask]),
            self.norms[:, mask],
            None if self.train is None else self.train[:, mask],
            None if self.test is None else self.test[:, mask],
        )


class Gauge:
    """Reads order parameters and errors off the maps of replicas, each with its own data set.

    Linear networks: the map is the end-to-end map W, its strengths are its singular values, and
    the errors are 1/2 E||y - W x||^2 from the moments of the data. Nonlinear ones: the map holds
    the sums of f(x) (x, 1)^T over the N training samples, its strengths are the singular values
    of the centred cross-covariance of output and input, and the machine measures the losses.
    """

    def __init__(
        self, data: Sequence[Data], dataset_of: NDArray[np.int64], *, inputs: int, linear: bool
    ) -> None:
        """A gauge for replicas on `data[dataset_of[i]]`; a constant input comes after `inputs`."""
        self._dataset_of, self._inputs, self._linear = dataset_of, inputs, linear
        self._train = _Table([d.train for d in data])
        self._test = _Table([d.test for d in data])
        if not linear:
            self._mean = np.stack([_samples(d)[:, :inputs].mean(axis=0) for d in data], axis=-1)
            self._count = len(_samples(data[0]))

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Go on with the replicas of the mask only."""
        self._dataset_of = self._dataset_of[mask]

    def finite(self, seen: Measured) -> NDArray[np.bool_]:
        """Where a replica is still among the living, shape (looks, replicas)."""
        bound = LARGEST if self._linear else LARGEST * self._count
        fine = np.abs(seen.maps).max(axis=(1, 2)) < bound
        fine &= np.isfinite(seen.norms)
        return fine if seen.train is None else fine & np.isfinite(seen.train)

    def strengths(self, seen: Measured, lanes: NDArray[np.intp]) -> NDArray[np.float64]:
        """Order parameters, shape (looks, replicas, modes), strongest first."""
        maps = seen.maps[:, :, : self._inputs]
        if not self._linear:
            mean = self._mean[:, self._dataset_of[lanes]]
            average = seen.maps[:, :, self._inputs :] / self._count
            maps = maps / self._count - average * mean
        if min(maps.shape[1:3]) == 1:  # a single row or column: its length
            squares = np.square(maps).reshape(len(maps), -1, maps.shape[-1])
            total = np.zeros_like(squares[:, 0])
            for k in range(squares.shape[1]):  # ascending: the bits depend on no company
                total += squares[:, k]
            return np.sqrt(total)[..., None]
        if maps.shape[1:3] == (2, 2):
            return _two_by_two(maps)
        return singular_values(np.moveaxis(maps, 3, 1))

    def errors(
        self, seen: Measured, lanes: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Train and test error without the price of the weights, shapes (looks, replicas).

        Where nothing is held out the test error is the training error.
        """
        if seen.train is not None:
            return seen.train, seen.train if seen.test is None else seen.test
        sets = self._dataset_of[lanes]
        return self._train.error(seen.maps, sets), self._test.error(seen.maps, sets)

    def observe(self, seen: Measured, lanes: NDArray[np.intp]) -> Observation:
        """Everything about a single look."""
        train, test = self.errors(seen, lanes)
        return Observation(self.strengths(seen, lanes)[0], train[0], test[0])


def _two_by_two(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """`singular_values`, six times as fast on this layout: every look of a run comes by here."""
    a, b, c, d = maps[:, 0, 0], maps[:, 0, 1], maps[:, 1, 0], maps[:, 1, 1]
    values = np.empty((2, *a.shape))
    plus, minus = (a + d) ** 2 + (b - c) ** 2, (a - d) ** 2 + (b + c) ** 2
    first = np.multiply(0.5, np.sqrt(plus) + np.sqrt(minus), out=values[0])
    np.divide(np.abs(a * d - b * c), np.where(first > 0, first, 1), out=values[1])
    return np.moveaxis(values, 0, -1)


def _samples(data: Data) -> NDArray[np.float64]:
    assert data.x is not None
    return data.x


class _Table:
    """Moments of several data sets, the data set last."""

    def __init__(self, parts: Sequence[Moments]) -> None:
        self.xx = np.stack([m.xx for m in parts], axis=-1)
        self.yx = np.stack([m.yx for m in parts], axis=-1)
        self.yy = np.array([np.trace(m.yy) for m in parts])

    def error(self, maps: NDArray[np.float64], sets: NDArray[np.int64]) -> NDArray[np.float64]:
        """1/2 E||y - W x||^2 of maps (looks, outputs, inputs, replicas).

        A constant input that carries biases has mean square 1 and no part in the targets' means.
        """
        xx, yx = self.xx[..., sets], self.yx[..., sets]
        total = np.zeros_like(maps[:, 0, 0])
        # Sums in ascending order, one replica beside the other: the bits depend on no company.
        for j in range(maps.shape[2]):
            row = maps[:, :, 0] * xx[0, j]
            for k in range(1, maps.shape[2]):
                row += maps[:, :, k] * xx[k, j]
            row -= 2 * yx[:, j]
            row *= maps[:, :, j]
            for i in range(maps.shape[1]):
                total += row[:, i]
        total += self.yy[sets]
        total *= 0.5
        return total


class Looks:
    """A block of looks at some replicas, and the look just before it; computed when asked for."""

    def __init__(
        self,
        steps: NDArray[np.int64],
        seen: Measured,
        before: Measured,
        gauge: Gauge,
    ) -> None:
        """Looks after `steps` updates at all replicas that `gauge` knows."""
        self.steps, self.seen, self.before, self._gauge = steps, seen, before, gauge
        self.finite = gauge.finite(seen)
        if not self.finite.all():
            fine = self.finite[:, None, None]
            maps = np.where(fine, seen.maps, 0.0)
            self._clean = Measured(maps, seen.norms, seen.train, seen.test)
        else:
            self._clean = seen

    @property
    def _lanes(self) -> NDArray[np.intp]:
        return np.arange(self.seen.maps.shape[-1])

    @cached_property
    def strengths(self) -> NDArray[np.float64]:
        """Order parameters at every look, shape (looks, replicas, modes)."""
        return self._gauge.strengths(self._clean, self._lanes)

    @cached_property
    def test_error(self) -> NDArray[np.float64]:
        """Test error at every look, shape (looks, replicas)."""
        return self._gauge.errors(self._clean, self._lanes)[1]

    def pick(self, look: NDArray[np.intp], lane: NDArray[np.intp]) -> Observation:
        """Observables of replicas `lane` at their own looks; -1 is the look before the block."""
        chosen = self._clean.pick(np.maximum(look, 0), lane)
        if (look < 0).any():
            chosen = _where(look < 0, self.before.pick(np.zeros_like(look), lane), chosen)
        return self._gauge.observe(chosen, lane)

    @property
    def last(self) -> Measured:
        """The last look."""
        return Measured(
            self.seen.maps[-1:].copy(),
            self.seen.norms[-1:].copy(),
            None if self.seen.train is None else self.seen.train[-1:].copy(),
            None if self.seen.test is None else self.seen.test[-1:].copy(),
        )


def _where(early: NDArray[np.bool_], first: Measured, second: Measured) -> Measured:
    """Replica by replica, `first` where it is early and `second` elsewhere."""

    def losses(a: Losses, b: Losses) -> Losses:
        return None if a is None or b is None else np.where(early, a, b)

    return Measured(
        np.where(early, first.maps, second.maps),
        np.where(early, first.norms, second.norms),
        losses(first.train, second.train),
        losses(first.test, second.test),
    )
