"""Lines through points with known errors."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import assert_consistent, assert_covers

from spinodal.statistics.lines import line_through


def test_points_on_a_line_give_its_slope_whatever_their_errors() -> None:
    x = np.array([0.5, 1.0, 4.0])
    assert line_through(x, 3 - 2 * x, [0.1, 1.0, 0.3]).slope == pytest.approx(-2)


def test_two_points_have_the_error_of_their_difference() -> None:
    line = line_through([1.0, 3.0], [0.0, 1.0], [0.3, 0.4])
    assert line.slope == pytest.approx(0.5)
    assert line.standard_error == pytest.approx(0.5 / 2)
    assert line.centre == pytest.approx((1 / 0.09 + 3 / 0.16) / (1 / 0.09 + 1 / 0.16))


def test_slopes_scatter_by_the_error_that_is_told() -> None:
    generator = np.random.default_rng(1)
    x, error = np.array([1.0, 2.0, 5.0]), np.array([0.2, 0.1, 0.6])
    lines = [line_through(x, 2 * x + error * generator.normal(size=3), error) for _ in range(1000)]
    slopes, told = [one.slope for one in lines], lines[0].standard_error
    assert_consistent(float(np.mean(slopes)), 2.0, told / np.sqrt(1000))
    assert_covers(int(sum(abs(s - 2) < 1.96 * told for s in slopes)), 1000, 0.95)
    assert np.std(slopes) == pytest.approx(told, rel=0.1)
