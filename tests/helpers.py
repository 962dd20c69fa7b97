"""What tests share: agreement in standard errors, coverage of intervals, optional tools."""

from __future__ import annotations

import math
import shutil
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray


def assert_consistent(estimate: float, truth: float, se: float, *, z_max: float = 4.0) -> None:
    """A fixed tolerance hides both bugs and good luck; measure in standard errors instead."""
    z = (estimate - truth) / se
    assert abs(z) < z_max, f"{estimate:.6g} against {truth:.6g}: {z:+.1f} standard errors"


def assert_covers(hits: int, trials: int, level: float, *, z_max: float = 4.0) -> None:
    """Intervals may over-cover (counts are discrete) but must not promise too much."""
    z = (hits / trials - level) / math.sqrt(level * (1 - level) / trials)
    assert z > -z_max, f"{hits / trials:.3f} covered, {level} promised: {z:+.1f} standard errors"


def absent(tool: str) -> bool:
    """Is there neither a module nor a program of this name?"""
    return find_spec(tool) is None and shutil.which(tool) is None


def import_or_skip(module: str) -> ModuleType:
    """An optional module for a whole test file, which is skipped and named where it is absent."""
    if absent(module):
        pytest.skip(f"needs {module}", allow_module_level=True)
    return import_module(module)


def assert_covariance(
    rows: NDArray[np.float64],
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    *,
    z_max: float = 5.0,
) -> None:
    """Independent rows (n, k) have this mean and covariance, entry by entry in standard errors."""
    n, k = rows.shape
    centred = rows - mean
    squares = centred[:, :, None] * centred[:, None, :]
    for name, values, truth in (
        ("mean", centred, np.zeros(k)),
        ("covariance", squares.reshape(n, -1), np.ravel(covariance)),
    ):
        # Where nothing varies, only rounding is allowed.
        se = values.std(axis=0) / math.sqrt(n) + 1e-15
        z = (values.mean(axis=0) - truth) / se
        worst = int(np.abs(z).argmax())
        assert abs(z[worst]) < z_max, (
            f"{name}, entry {worst}: {values.mean(axis=0)[worst]:.6g} against {truth[worst]:.6g}: "
            f"{z[worst]:+.1f} standard errors"
        )
