"""Balanced networks: all layers share every strength equally along the data's singular vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.data import Data
from spinodal.dynamics.networks import Layers, Network
from spinodal.errors import InputError


def balanced(
    network: Network,
    datasets: Sequence[Data],
    dataset_of: NDArray[np.int64],
    values: tuple[float, ...],
) -> Layers:
    """Layers whose product has the strengths `values` along the data's singular vectors.

    Each of the L layers carries the amplitude strength^(1/L) of its mode on its first units.
    """
    rank = len(values)
    if network.biases:
        raise InputError("Balanced starts have no biases: set biases = false.")
    outputs, inputs = datasets[0].train.yx.shape
    if rank > min(outputs, inputs, *network.hidden, outputs):
        raise InputError(
            f"{rank} strengths do not fit through layers of widths {network.hidden} between "
            f"{inputs} inputs and {outputs} outputs."
        )
    amplitudes = np.diag(np.asarray(values, dtype=float) ** (1 / network.depth))
    layers: Layers = []
    for layer, (rows, columns) in enumerate(network.shapes(outputs, inputs), start=1):
        block = np.zeros((len(datasets), rows, columns))
        for i, data in enumerate(datasets):
            left, _, right = np.linalg.svd(data.train.yx)
            core = amplitudes
            if layer == 1:
                core = core @ right[:rank]
            if layer == network.depth:
                core = left[:, :rank] @ core
            block[i, : core.shape[0], : core.shape[1]] = core
        lanes = np.moveaxis(block[dataset_of], 0, -1)
        layers.append(np.ascontiguousarray(lanes, dtype=network.precision))
    return layers
