"""How many floating-point operations an update needs, counted from its formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from spinodal.speed.case import Case

_ARITHMETIC = frozenset({"add", "subtract", "multiply", "divide", "sqrt", "negative"})


def flops_per_step(case: Case) -> int:
    """Additions, subtractions, multiplications, divisions and roots of one replica's update.

    What the formula needs, once each: sums start from zero, so that n terms are n additions, and
    every change of a weight takes four operations (weight decay, sum, learning rate, sum). Not
    counted: random numbers (integer operations), conversions, comparisons, copies, padding.
    An elementary function counts as the operations that it is made of.
    """
    return _moments_path(case) if case.linear else _samples_path(case)


def _moments_path(case: Case) -> int:
    """Mean of the batch's products, then the gradient of 1/2 <||y - W x||^2> from them."""
    d, p, batch = case.inputs, case.outputs, case.batch_size
    products = d * (d + 1) // 2 + p * d
    # Wishart moments are drawn, not summed; their few dozen operations are left out.
    total = 0 if case.sampling == "wishart" else products * batch + products
    shapes = case.shapes
    total += sum(2 * rows * columns * d for rows, columns in shapes[1:])  # W_l ... W_1
    total += p * d * (2 * d + 1)  # W <xx> - <yx>
    total += sum(4 * rows * columns * d for rows, columns in shapes[1:])  # slopes, and flow back
    return total + 4 * _weights(case)


def _samples_path(case: Case) -> int:
    """Forward and back through the network, sample after sample."""
    shapes = case.shapes
    hidden = sum(rows for rows, _ in shapes[:-1])
    one = 4 * _weights(case)  # forward, and dW += delta h^T
    one += sum(2 * rows * columns + columns for rows, columns in shapes[1:])  # delta, times slope
    one += hidden * (operations(_function(case)) + 2)  # the slope h (1 - h)
    one += case.outputs  # f - y
    return case.batch_size * one + 5 * _weights(case)


def _weights(case: Case) -> int:
    return sum(rows * columns for rows, columns in case.shapes)


def _function(case: Case) -> Callable[[Any], Any]:
    from spinodal.dynamics import elementary

    return getattr(elementary, case.activation)


class _Counter:
    total = 0


class _Counting(np.ndarray):
    """An array that counts the arithmetic done on its floating-point elements."""

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        plain = [i.view(np.ndarray) if isinstance(i, _Counting) else i for i in inputs]
        if out is not None:
            options["out"] = tuple(
                o.view(np.ndarray) if isinstance(o, _Counting) else o for o in out
            )
        result = getattr(ufunc, method)(*plain, **options)
        if ufunc.__name__ in _ARITHMETIC and np.asarray(result).dtype.kind == "f":
            _Counter.total += np.asarray(result).size
        return np.asarray(result).view(_Counting)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        # np.where and its kind hand out plain arrays, which would count no more.
        result = super().__array_function__(function, types, args, kwargs)
        return result.view(_Counting) if isinstance(result, np.ndarray) else result


def operations(function: Callable[[Any], Any], at: float = -0.3) -> int:
    """Floating-point operations of an elementary function, by running it on a counting number."""
    _Counter.total = 0
    function(np.array([at]).view(_Counting))
    return _Counter.total
