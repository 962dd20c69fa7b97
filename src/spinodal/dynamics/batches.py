"""The batches of every step: which samples, or which moments, each replica sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.networks import Real, contract
from spinodal.dynamics.noise import unpack
from spinodal.dynamics.plan import Draw, Plan
from spinodal.dynamics.wishart import bartlett
from spinodal.seeding import Stream, indices, normals_from_words, permutations

Array = NDArray[np.floating]


class Batches:
    """The batch of every step, for replicas that each own their order of samples."""

    def __init__(self, plan: Plan) -> None:
        """Batches of the plan's replicas, each drawn from its own stream."""
        self._plan = plan
        self._stream = stream(plan, plan.batches)
        self._epoch, self._order = -1, np.empty((0, 0), dtype=np.int64)
        self._load_exact()

    def moments(self, step: int) -> tuple[Array, Array]:
        """<x x^T> and <y x^T> of the batch of this step, shapes (rows, columns, replicas)."""
        plan = self._plan
        if self._stream is None:
            return self._exact
        if plan.sampling == "fresh":
            return self._from_samples(*self._fresh(step))
        if plan.sampling == "wishart":
            return self._wishart(step)
        assert plan.products is not None
        rows = self._rows(plan.products, self.chosen(step))
        # A plain sum over the first axis adds row after row.
        return unpack((rows.sum(axis=0) / len(rows)).T, plan.inputs)

    def samples(self, step: int) -> tuple[Array, Array]:
        """x (n, d, replicas) and y (n, p, replicas) of the batch of this step."""
        plan = self._plan
        if plan.sampling == "fresh":
            x, y = self._fresh(step)
            return x.astype(plan.precision, copy=False), y.astype(plan.precision, copy=False)
        assert plan.x is not None
        assert plan.y is not None
        if self._stream is None:
            return self._all
        chosen = self.chosen(step)
        return (
            np.moveaxis(self._rows(plan.x, chosen), 1, -1),
            np.moveaxis(self._rows(plan.y, chosen), 1, -1),
        )

    def size(self, step: int) -> int:
        """Number of samples in the batch of this step."""
        plan = self._plan
        now = plan.stretch(step)
        if plan.sampling == "shuffled":
            within = (step - now.first) % now.per_epoch
            return min(now.batch_size, plan.samples - within * now.batch_size)
        return now.batch_size

    def chosen(self, step: int) -> NDArray[np.int64]:
        """Numbers of the samples in the batch of this step, (n, replicas), in their order."""
        plan = self._plan
        assert self._stream is not None
        now = plan.stretch(step)
        if plan.sampling == "replacement":
            return indices(self._stream.words(step), plan.samples, now.batch_size)
        epoch, within = divmod(step - now.first, now.per_epoch)
        epoch += now.first_epoch
        if epoch != self._epoch:
            self._epoch, self._order = epoch, permutations(self._stream.words(epoch))
        return self._order[within * now.batch_size : (within + 1) * now.batch_size]

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Go on with the replicas of the mask only; their numbers do not change."""
        self._plan = self._plan.keep(mask)
        if self._stream is not None:
            self._stream.keep(mask)
        self._epoch = -1
        self._load_exact()

    def _load_exact(self) -> None:
        plan = self._plan
        if plan.exact is not None:
            self._exact = unpack(np.ascontiguousarray(plan.exact[plan.dataset_of].T), plan.inputs)
        elif self._stream is None and plan.x is not None and plan.y is not None:
            self._all = lanes(plan.x, plan.dataset_of), lanes(plan.y, plan.dataset_of)

    def _rows(self, table: Array, chosen: NDArray[np.int64]) -> Array:
        """Rows (n, replicas, columns) of the chosen samples, from each replica's data set."""
        return table[self._plan.dataset_of, chosen]

    def _fresh(self, step: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """New samples (x, y) = factor * normals, and the constant input where there is one."""
        plan = self._plan
        assert self._stream is not None
        assert plan.factor is not None
        size, variables = plan.stretch(step).batch_size, len(plan.factor)
        normals = normals_from_words(self._stream.words(step))[: size * variables]
        normals = normals.reshape(size, variables, -1)
        joint = contract("vkr,nkr->nvr", plan.factor[..., None], normals)
        inputs = variables - plan.outputs
        x, y = joint[:, :inputs], joint[:, inputs:]
        if inputs < plan.inputs:
            x = np.concatenate([x, np.ones_like(x[:, :1])], axis=1)
        return x, y

    def _wishart(self, step: int) -> tuple[Array, Array]:
        """Moments F A A^T F^T / n of n fresh samples, F the factor and A Bartlett's."""
        plan = self._plan
        assert self._stream is not None
        assert plan.factor is not None
        size, variables = plan.stretch(step).batch_size, len(plan.factor)
        lower = bartlett(self._stream.words(step), variables, size)
        joint = contract("ikr,kjr->jir", plan.factor[..., None], lower)
        x, y = joint[:, : plan.inputs], joint[:, plan.inputs :]
        return self._from_samples(x, y, size)

    def _from_samples(
        self, x: NDArray[np.float64], y: NDArray[np.float64], size: int | None = None
    ) -> tuple[Array, Array]:
        """<x x^T> and <y x^T> over the first axis, in float64 and then rounded."""
        n, precision = size or len(x), self._plan.precision
        xx, yx = contract("nir,njr->ijr", x, x) / n, contract("nir,njr->ijr", y, x) / n
        return xx.astype(precision, copy=False), yx.astype(precision, copy=False)


def stream(plan: Plan, draw: Draw | None) -> Stream | None:
    """The stream of a draw for the plan's replicas, None where nothing is drawn."""
    return None if draw is None else Stream(plan.seed, draw.name, plan.replicas, draw.words)


def lanes(table: NDArray[Real], dataset_of: NDArray[np.int64]) -> NDArray[Real]:
    """(sets, n, columns) of every replica's data set, replicas last: (n, columns, R)."""
    return np.ascontiguousarray(np.moveaxis(table[dataset_of], 0, -1))
