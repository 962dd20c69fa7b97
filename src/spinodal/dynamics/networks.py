"""Dense networks, many at once: shapes, starts, order parameters, exact low-rank sets.

Inside the simulator a layer of all replicas is one array of shape (rows, columns, replicas):
the replica axis is last, so that one instruction works on neighbouring replicas.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from spinodal.errors import InputError
from spinodal.records import Settings
from spinodal.seeding import Stream

WIDEST, MOST_WEIGHTS = 8192, 2**28
"""Units of the widest layer, the constant one of biases included, and entries of all layers: the
engine counts with 32 bits, and what runs on it runs on its twin."""

Layers = list[NDArray[np.floating]]

Real = TypeVar("Real", bound=np.floating)

Activation = Literal["identity", "tanh", "sigmoid", "softplus", "relu", "gelu"]


class Network(Settings):
    """A dense network with `depth` layers; linear, W = W_L ... W_1, unless it has an `activation`.

    `width` is the size of every hidden layer; `widths` lists them when they differ. The
    activation follows every layer but the last. With `biases` every layer has one (regularised
    like the weights, as PyTorch's `weight_decay` does). `precision` is that of the weights.
    """

    depth: PositiveInt = 3
    width: PositiveInt = 10
    widths: tuple[PositiveInt, ...] | None = None
    activation: Activation = "identity"
    biases: bool = False
    precision: Literal["float64", "float32"] = "float64"
    initial_scale: PositiveFloat = Field(
        default=1.0, description="Initial standard deviation times the root of the width."
    )

    @property
    def linear(self) -> bool:
        """Is the output a linear (with biases: affine) function of the input?"""
        return self.activation == "identity"

    @property
    def hidden(self) -> tuple[int, ...]:
        """Sizes of the hidden layers, depth - 1 of them."""
        sizes = (self.width,) * (self.depth - 1) if self.widths is None else self.widths
        if len(sizes) != self.depth - 1:
            raise InputError(
                f"A network of depth {self.depth} has {self.depth - 1} hidden layers, "
                f"got widths {self.widths}."
            )
        return sizes

    def shapes(self, outputs: int, inputs: int) -> list[tuple[int, int]]:
        """Shape (rows, columns) of every layer, first layer first."""
        sizes = (inputs, *self.hidden, outputs)
        return list(zip(sizes[1:], sizes[:-1], strict=True))

    def blocks(self, outputs: int, inputs: int) -> list[tuple[int, int]]:
        """Shape of every layer's array: `shapes`, and with biases the constant units too."""
        shapes = self.shapes(outputs, inputs)
        if not self.biases:
            return shapes
        return [(r + (layer < self.depth), c + 1) for layer, (r, c) in enumerate(shapes, start=1)]

    def modes(self, outputs: int, inputs: int) -> int:
        """How many strengths can be more than zero: as many as the narrowest layer has units."""
        return min(outputs, inputs, *self.hidden)

    def split_weights(self, weights: NDArray[np.floating], outputs: int, inputs: int) -> Layers:
        """Layers (rows, columns, replicas) from weights (replicas, parameters) of an outcome."""
        blocks = self.blocks(outputs, inputs)
        sizes = [rows * columns for rows, columns in blocks]
        if weights.ndim != 2 or weights.shape[1] != sum(sizes):
            raise InputError(
                f"This network has {sum(sizes)} weights with {inputs} inputs and {outputs} outputs "
                f"(constant units of biases included), got an array of shape {weights.shape}: run "
                "with checkpoints = True and give this the outcome's weights."
            )
        return as_layers(weights.T, blocks)

    def check_size(self, outputs: int, inputs: int) -> None:
        """Refuse networks larger than those that are simulated."""
        blocks = self.blocks(outputs, inputs)
        widest = max(max(block) for block in blocks)
        if widest > WIDEST:
            raise InputError(
                f"The widest layer has {widest} units{' with that of the biases' * self.biases}, "
                f"at most {WIDEST} are simulated: use fewer inputs or outputs, or a smaller width."
            )
        weights = sum(rows * columns for rows, columns in blocks)
        if weights > MOST_WEIGHTS:
            raise InputError(
                f"The network has {weights:,} weights, at most {MOST_WEIGHTS:,} are simulated: "
                "use a smaller width or depth."
            )

    def parameters(self, outputs: int, inputs: int) -> int:
        """Number of trainable parameters."""
        shapes = self.shapes(outputs, inputs)
        return sum(r * c for r, c in shapes) + (sum(r for r, _ in shapes) if self.biases else 0)

    def trainable(self, outputs: int, inputs: int) -> list[NDArray[np.bool_]] | None:
        """Masks of what is trained, shape (rows, columns, 1), or None when all is.

        A bias is a weight from a constant unit: layer l becomes [[W_l, b_l], [0, 1]], whose
        last row is fixed (and absent from the last layer).
        """
        if not self.biases:
            return None
        masks = [np.ones((*block, 1), dtype=bool) for block in self.blocks(outputs, inputs)]
        for mask in masks[:-1]:
            mask[-1:] = False
        return masks

    def initial(self, outputs: int, inputs: int, *, seed: int, replicas: Sequence[int]) -> Layers:
        """Independent N(0, initial_scale^2 / width) weights, each replica from its own stream.

        The width is that of the widest hidden layer (1 for a network without any); biases
        start at zero.
        """
        deviation = self.initial_scale / np.sqrt(max(self.hidden, default=1))
        return self.gaussian(outputs, inputs, deviation, seed=seed, replicas=replicas)

    def gaussian(
        self, outputs: int, inputs: int, deviation: float, *, seed: int, replicas: Sequence[int]
    ) -> Layers:
        """Independent Gaussian weights of this standard deviation, biases zero."""
        shapes = self.shapes(outputs, inputs)
        sizes = [r * c for r, c in shapes]
        draws = Stream(seed, "initial weights", replicas, -(-sum(sizes) // 2)).normals(0)
        draws *= deviation
        layers: Layers = []
        for layer, ((rows, columns), at) in enumerate(
            zip(shapes, np.cumsum([0, *sizes[:-1]]), strict=True), start=1
        ):
            block = draws[at : at + rows * columns].reshape(rows, columns, -1)
            if self.biases:
                block = np.pad(block, ((0, int(layer < self.depth)), (0, 1), (0, 0)))
                if layer < self.depth:
                    block[-1, -1] = 1.0
            layers.append(np.ascontiguousarray(block, dtype=self.precision))
        return layers


def contract(subscripts: str, a: NDArray[Real], b: NDArray[Real]) -> NDArray[Real]:
    """`np.einsum` of two arrays whose last axis is the replica, in a fixed order of operations.

    Sums run in ascending order from zero, one multiplication and one addition at a time, so a
    compiled engine can repeat them bit for bit. NumPy sums a lone replica in blocks, so that one
    gets company here.
    """
    if a.shape[-1] == b.shape[-1] == 1:
        a, b = np.repeat(a, 2, axis=-1), np.repeat(b, 2, axis=-1)
        return np.einsum(subscripts, a, b)[..., :1]
    # The order of the loops follows the layout in memory: replicas must be innermost.
    return np.einsum(subscripts, np.ascontiguousarray(a), np.ascontiguousarray(b))


def as_layers(weights: NDArray[np.floating], shapes: Sequence[tuple[int, int]]) -> Layers:
    """Views (rows, columns, R) of weights (P, R) that hold the layers one after another."""
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    parts = np.split(weights, ends[:-1])
    return [part.reshape(*shape, -1) for part, shape in zip(parts, shapes, strict=True)]


def multiply(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    """Matrix products of all replicas: (m, k, R) times (k, n, R)."""
    return contract("ikr,kjr->ijr", a, b)


def end_to_end(layers: Layers) -> NDArray[np.float64]:
    """The map W_L ... W_1, (outputs, inputs, replicas), multiplied in the layers' precision."""
    product = reduce(lambda product, layer: multiply(layer, product), layers)
    return product.astype(np.float64, copy=False)


def strengths(layers: Layers, inputs: int | None = None) -> NDArray[np.float64]:
    """Order parameters: singular values of the end-to-end map, strongest first.

    Shape (min(outputs, inputs), replicas). `inputs` leaves out the constant input of biases.
    """
    maps = end_to_end(layers)[:, :inputs]
    return singular_values(np.moveaxis(maps, -1, 0)).T


def singular_values(matrices: NDArray[np.floating]) -> NDArray[np.float64]:
    """Singular values of (..., m, n), strongest first, accurate also when tiny.

    LAPACK's error is relative to the largest value; a residual of 1e-12 beside a strength of
    0.5 is still resolved, one of 1e-18 is not, and reads as rounding.
    """
    if matrices.shape[-2:] == (2, 2):  # looked at thousands of times in a run
        (a, b), (c, d) = np.moveaxis(matrices.astype(np.float64), (-2, -1), (0, 1))
        plus, minus = (a + d) ** 2 + (b - c) ** 2, (a - d) ** 2 + (b + c) ** 2
        first = 0.5 * (np.sqrt(plus) + np.sqrt(minus))
        # The product of both is the determinant, which does not cancel as their difference does.
        second = np.abs(a * d - b * c) / np.where(first > 0, first, 1)
        return np.stack([first, second], axis=-1)
    values = np.linalg.svd(matrices.astype(np.float64), compute_uv=False)
    return np.asarray(values, dtype=np.float64)


def effective_rank(strengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """exp of the entropy of the normalised strengths along axis 0 (Roy and Vetterli 2007).

    1 for one mode, d for d equal ones, and 0 when all strengths vanish.
    """
    total = strengths.sum(axis=0)
    share = strengths / np.where(total > 0, total, 1)
    logs = np.log(np.where(share > 0, share, 1))
    return np.where(total > 0, np.exp(-(share * logs).sum(axis=0)), 0.0)


def dead_amplitudes(layers: Layers, rank: int) -> NDArray[np.float64]:
    """Singular value number rank + 1 of every layer, shape (depth, replicas).

    Zero on the set of networks of that rank: the distance that a checkpoint still has to go.
    Layers too small to have it count as zero.
    """
    rows = []
    for layer in layers:
        values = singular_values(np.moveaxis(layer, -1, 0))
        rows.append(values[:, rank] if values.shape[1] > rank else np.zeros(len(values)))
    return np.array(rows)


def project_to_rank(layers: Layers, rank: int) -> Layers:
    """The nearby network exactly on the set of rank `rank`, its dead channels exactly zero.

    Every hidden layer keeps the `rank` directions that carry the strongest part of the map so
    far, and is rotated so that they are its first units. Training is equivariant under such
    rotations (SGD, momentum, isotropic noise), so nothing else changes, and exact zeros stay
    exact zeros in floating point.
    """
    count = layers[0].shape[-1]
    projected = [np.zeros_like(layer) for layer in layers]
    for replica in range(count):
        weights = [layer[:, :, replica].astype(np.float64) for layer in layers]
        basis = [np.eye(weights[0].shape[1])]
        reach = np.eye(weights[0].shape[1])
        kept = np.linalg.svd(reduce(lambda p, w: w @ p, weights))[2][:rank]
        for weight in weights[:-1]:
            reach = weight @ reach
            # Directions of the hidden layer that the kept input directions excite.
            basis.append(np.linalg.qr(reach @ kept.T)[0])
        basis.append(np.eye(weights[-1].shape[0]))
        for layer, weight in enumerate(weights):
            core = basis[layer + 1].T @ weight @ basis[layer]
            projected[layer][: core.shape[0], : core.shape[1], replica] = core
    return projected
