"""What changes while training goes on: stretches of constant coefficients, Adam's corrections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.updates import MINIBATCHES, Update, batches_per_epoch


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Updates number `first` ... `last` - 1 (`last` None: without end), of constant coefficients.

    `weight_decay` is None where that of the stretch before goes on; else it is set, for all
    replicas, before update `first`. `batch_size` is the number of samples of a complete batch
    (all samples with sampling `full`, 0 in a population without Gaussian noise). With shuffled
    batches update t belongs to epoch first_epoch + (t - first) // per_epoch. `kick` is
    sqrt(2 T learning_rate); 0 adds no Langevin noise. `spread` scales Gaussian gradient noise:
    1 / sqrt(batch_size), or sqrt(N / batch_size) for local noise on the path of samples.
    """

    first: int
    last: int | None
    learning_rate: float
    weight_decay: float | None
    temperature: float
    batch_size: int
    first_epoch: int
    per_epoch: int
    kick: float
    spread: float


def stretches(update: Update, samples: int, path: str) -> tuple[Stretch, ...]:
    """The schedule resolved: what holds between two stages."""
    now: dict[str, float | None] = {
        "learning_rate": update.learning_rate,
        "weight_decay": update.weight_decay,
        "temperature": update.temperature,
        "batch_size": update.batch_size,
    }
    starts = [0, *(stage.at for stage in update.schedule)]
    ends = [*starts[1:], None]
    changes = [{}, *(stage.changes for stage in update.schedule)]
    result: list[Stretch] = []
    epoch = 0
    for first, last, change in zip(starts, ends, changes, strict=True):
        now.update(change)
        size = int(now["batch_size"] or 0)
        in_batches = update.sampling in MINIBATCHES
        per_epoch = 1
        if update.sampling == "shuffled":
            per_epoch = batches_per_epoch(samples, size, drop_last=update.drop_last)
        rate, temperature = float(now["learning_rate"] or 0), float(now["temperature"] or 0)
        spread = 0.0
        if update.gaussian is not None:
            weighted = update.gaussian == "local" and path == "samples"
            spread = float(np.sqrt((samples if weighted else 1) / size))
        decay = None
        if first == 0 or "weight_decay" in change:
            decay = float(now["weight_decay"] or 0)
        result.append(
            Stretch(
                first=first,
                last=last,
                learning_rate=rate,
                weight_decay=decay,
                temperature=temperature,
                batch_size=size if in_batches else samples,
                first_epoch=epoch,
                per_epoch=per_epoch,
                kick=float(np.sqrt(2 * temperature * rate)),
                spread=spread,
            )
        )
        if last is not None:
            epoch += -(-(last - first) // per_epoch)
    return tuple(result)


def adam_corrections(
    momentum: float, second_momentum: float, first: int, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """1 - momentum^t and sqrt(1 - second_momentum^t) for t = first + 1 ... first + count.

    `first` is the number of the first update, counted from 0. Machines divide the learning rate
    by the one, in float64, and then round both to the network's precision.
    """
    t = np.arange(first + 1, first + count + 1)
    return 1.0 - _powers(momentum, t), np.sqrt(1.0 - _powers(second_momentum, t))


def _powers(base: float, exponents: NDArray[np.int64]) -> NDArray[np.float64]:
    """base^n by repeated squaring: multiplications only, so the same bits on every machine."""
    result, square, left = np.ones(exponents.shape), base, exponents.copy()
    while left.any():
        result = np.where(left & 1, result * square, result)
        left >>= 1
        square *= square
    return result
