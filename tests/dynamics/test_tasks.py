"""Tasks: prescribed moments, conditioning on them, and the same data in any company."""

import numpy as np
import pytest

from spinodal.dynamics.tasks import GaussianTask, draw, from_arrays, moments
from spinodal.errors import InputError


def test_the_population_has_exactly_the_prescribed_moments():
    task = GaussianTask(signals=(0.9, 0.4), inputs=3, outputs=2)
    data = draw(task, seed=1, dataset=0)
    np.testing.assert_array_equal(data.train.yx, [[0.9, 0, 0], [0, 0.4, 0]])
    np.testing.assert_array_equal(data.train.xx, np.eye(3))


def test_sample_moments_scatter_around_the_population_as_gaussian_products_do():
    task = GaussianTask(signals=(0.9, 0.8), samples=512)
    drawn = [draw(task, seed=3, dataset=i).train for i in range(300)]
    yx = np.array([m.yx for m in drawn])
    # Var(y_i x_i) = 1 + signal^2 and Var(y_i x_j) = 1 for unit variances.
    spread = np.sqrt(np.array([[1.81, 1.0], [1.0, 1.64]]) / 512)
    z = (yx.mean(axis=0) - np.diag([0.9, 0.8])) / (spread / np.sqrt(300))
    assert np.abs(z).max() < 4
    ratio = yx.var(axis=0, ddof=1) / spread**2
    assert np.abs((ratio - 1) / np.sqrt(2 / 299)).max() < 4


def test_conditioned_data_sets_differ_but_share_their_moments():
    task = GaussianTask(signals=(0.9, 0.8), samples=64, empirical_signals=(0.9155, 0.8155))
    first, second = (draw(task, seed=1, dataset=i) for i in (0, 1))
    assert first.x is not None
    assert second.x is not None
    assert np.abs(first.x - second.x).max() > 0.1
    for data in (first, second):
        np.testing.assert_allclose(data.train.yx, np.diag([0.9155, 0.8155]), atol=1e-12)
        np.testing.assert_allclose(data.train.xx, np.eye(2), atol=1e-12)


def test_a_data_set_does_not_depend_on_its_company():
    task = GaussianTask(signals=(0.9, 0.8), samples=30, pool=100, test_samples=20)
    alone = draw(task, seed=9, dataset=5)
    again = [draw(task, seed=9, dataset=i) for i in range(6)][5]
    np.testing.assert_array_equal(alone.x, again.x)
    np.testing.assert_array_equal(alone.test.yx, again.test.yx)


def test_random_frames_keep_the_singular_values():
    task = GaussianTask(signals=(0.7, 0.5, 0.1), random_frames=True)
    yx = draw(task, seed=2, dataset=0).train.yx
    np.testing.assert_allclose(np.linalg.svd(yx)[1], [0.7, 0.5, 0.1], rtol=1e-12)
    assert np.abs(yx - np.diag(np.diag(yx))).max() > 0.05


def test_the_error_is_the_mean_of_the_squared_residuals():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    maps = rng.standard_normal((5, 2, 3))
    direct = [0.5 * ((y - x @ w.T) ** 2).sum(axis=1).mean() for w in maps]
    np.testing.assert_allclose(from_arrays(x, y).train.error(maps), direct, rtol=1e-12)


def test_the_constant_input_carries_means_into_the_moments():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 2)) + 1, rng.standard_normal((40, 2))
    data = from_arrays(x, y).with_constant_input()
    np.testing.assert_allclose(data.train.xx[2, :2], x.mean(axis=0))
    np.testing.assert_allclose(data.train.yx[:, 2], y.mean(axis=0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"signals": (1.2,), "samples": 10}, "not positive definite"),
        ({"signals": (-0.1,)}, "at least 0"),
        ({"signals": (0.5, 0.5), "inputs": 1}, "as many inputs"),
        ({"signals": (0.5,), "samples": 10, "pool": 5}, "pool of 5"),
        ({"signals": (0.5,), "empirical_signals": (0.4,)}, "at least inputs"),
        ({"signals": (float("nan"),)}, "finite"),
        ({"signals": ()}, "at least 1"),
        ({"signals": (0.5,), "sample": 3}, "Extra inputs"),
    ],
)
def test_impossible_tasks_are_refused_with_a_reason(settings, message):
    with pytest.raises(ValueError, match=message):
        GaussianTask(**settings)


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="one row per sample"):
        moments(np.ones((3, 2)), np.ones((4, 2)))
    with pytest.raises(InputError, match="finite"):
        moments(np.full((3, 2), np.nan), np.ones((3, 2)))
