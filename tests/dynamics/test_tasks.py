"""Tasks: prescribed moments, conditioning on them, and the same data in any company."""

import os

import numpy as np
import pytest
from helpers import assert_consistent
from pydantic import TypeAdapter
from scipy import stats

from spinodal.dynamics.tasks import (
    ArraysTask,
    ClassTask,
    GaussianTask,
    Task,
    draw,
    from_arrays,
    moments,
)
from spinodal.errors import DamagedFileError, InputError


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


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_classes_sit_at_the_corners_of_a_regular_simplex(classes):
    centres = ClassTask(classes=classes, inputs=6, separation=1.5, samples=9).centres()
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    np.testing.assert_allclose(distances[~np.eye(classes, dtype=bool)], 1.5, rtol=1e-13)
    np.testing.assert_allclose(centres.sum(axis=0), 0, atol=1e-14)
    assert not centres[:, classes - 1 :].any()


def test_classes_overlap_as_two_gaussians_do():
    task = ClassTask(separation=2.0, samples=20_000, inputs=3)
    data = draw(task, seed=1, dataset=0)
    assert data.x is not None
    assert data.y is not None
    wrong = (data.x[:, 0] > 0) != (data.y[:, 0] == 1)
    expected = stats.norm.cdf(-1)
    assert_consistent(wrong.mean(), expected, np.sqrt(expected * (1 - expected) / 20_000))
    assert_consistent(data.y[:, 0].mean(), 0.5, 0.5 / np.sqrt(20_000))
    assert (data.y.sum(axis=1) == 1).all()
    noise = data.x - data.y @ task.centres()
    assert_consistent(float((noise**2).mean()), 1.0, np.sqrt(2 / noise.size))


def test_a_simplex_needs_room():
    with pytest.raises(ValueError, match="need at least 3 inputs, got 2"):
        ClassTask(classes=4, inputs=2, samples=9)


def test_arrays_from_a_file_are_a_task(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "data.npz"
    arrays = {"x": rng.standard_normal((9, 3)), "y": rng.standard_normal(9)}
    np.savez(path, allow_pickle=False, **arrays)
    task = ArraysTask(path=str(path))
    data = draw(task, seed=1, dataset=0)
    assert (task.shape, task.samples) == ((1, 3), 9)
    np.testing.assert_array_equal(data.y, arrays["y"][:, None])
    np.testing.assert_array_equal(data.test.yx, data.train.yx)
    assert TypeAdapter(Task).validate_python(task.model_dump()) == task
    with pytest.raises(InputError, match="datasets = 1"):
        draw(task, seed=1, dataset=1)
    np.savez(path, allow_pickle=False, **{**arrays, "x": arrays["x"] + 1})
    assert ArraysTask(path=str(path)).digest != task.digest
    with pytest.raises(ValueError, match="has changed since"):
        TypeAdapter(Task).validate_python(task.model_dump())


def test_class_numbers_become_one_hot_rows(tmp_path):
    path = tmp_path / "data.npz"
    x = np.arange(12.0).reshape(6, 2)
    labels = np.array([0, 2, 1, 2, 0, 1])
    np.savez(path, allow_pickle=False, x=x, y=labels, x_test=x[:2], y_test=labels[:2])
    data = draw(ArraysTask(path=str(path)), seed=1, dataset=0)
    np.testing.assert_array_equal(data.y, np.eye(3)[labels])
    np.testing.assert_array_equal(data.y_test, np.eye(3)[labels[:2]])
    np.testing.assert_array_equal(data.x_test, x[:2])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.ones((4, 2))}, "must hold arrays x and y"),
        ({"x": np.ones((4, 2)), "y": np.ones(4), "z": np.ones(4)}, "it holds x, y, z"),
        ({"x": np.ones((4, 2)), "y": np.array([0, 1, -1, 0])}, "integers of at least 0"),
        ({"x": np.ones((4, 2)), "y": np.ones(3)}, "one row per sample"),
        ({"x": np.ones((0, 2)), "y": np.zeros(0, dtype=int)}, r"x is empty, its shape is \(0, 2\)"),
        ({"x": np.ones((4, 0)), "y": np.ones(4)}, "x is empty"),
        ({"x": np.full((4, 2), np.nan), "y": np.ones(4)}, "finite numbers"),
        ({"x": np.ones((4, 2)), "y": np.ones(4), "x_test": np.ones((1, 2))}, "both x_test and"),
    ],
)
def test_files_with_other_arrays_are_refused(tmp_path, arrays, message):
    path = tmp_path / "data.npz"
    np.savez(path, allow_pickle=False, **arrays)
    with pytest.raises(InputError, match=message):
        draw(ArraysTask(path=str(path)), seed=1, dataset=0)


def test_settings_without_a_kind_are_those_of_the_gaussian_task():
    adapter = TypeAdapter(Task)
    assert adapter.validate_python({"signals": [0.5]}) == GaussianTask(signals=(0.5,))
    made = adapter.validate_python({"kind": "classes", "samples": 5})
    assert made == ClassTask(samples=5)
    with pytest.raises(ValueError, match="'gaussian', 'classes', 'arrays'"):
        adapter.validate_python({"kind": "images"})


def test_held_out_samples_keep_their_means_when_biases_look_at_them():
    rng = np.random.default_rng(1)
    x, x_test = rng.standard_normal((30, 2)) + 3, rng.standard_normal((40, 2)) + 3
    data = from_arrays(x, x, x_test, x_test).with_constant_input()
    np.testing.assert_allclose(data.test.xx[2, :2], x_test.mean(axis=0), rtol=1e-13)
    w = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.5]])
    assert data.test.error(w) == pytest.approx(0.125, rel=1e-12)


def test_covariances_that_are_not_symmetric_are_refused():
    with pytest.raises(ValueError, match="must be symmetric"):
        GaussianTask(signals=(0.5, 0.4), input_covariance=((1.0, 0.2), (0.3, 1.0)))


@pytest.mark.parametrize("name", ["input_covariance", "output_covariance"])
def test_covariances_with_negative_eigenvalues_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be a covariance matrix"):
        GaussianTask.model_validate({"signals": (0.9, 0.8), name: ((1.0, 2.0), (2.0, 1.0))})
    GaussianTask.model_validate({"signals": (0.9, 0.8), name: ((1.0, 1.0), (1.0, 1.0))})


def test_signals_of_any_size_have_an_exact_gradient():
    assert GaussianTask(signals=(3.0, 0.8)).population().yx[0, 0] == 3


def test_data_without_finite_moments_or_of_complex_numbers_are_refused():
    ones = np.ones((4, 2))
    with pytest.raises(InputError, match="largest number is 1e\\+200: scale"):
        from_arrays(1e200 * ones, ones)
    for complex_numbers in (ones + 1j, [[1j, 2.0]]):
        with pytest.raises(InputError, match="must be real numbers"):
            from_arrays(complex_numbers, ones)
    with pytest.raises(InputError, match="tables of real numbers"):
        moments([["one"]], ones)
    with pytest.raises(InputError, match="at least one input"):
        moments(np.ones((4, 0)), ones)


def test_a_file_of_complex_numbers_is_damaged(tmp_path):
    path = tmp_path / "complex.npz"
    np.savez(path, allow_pickle=False, x=np.ones((4, 2)) + 1j, y=np.ones(4))
    with pytest.raises(DamagedFileError, match="x is of type complex128"):
        draw(ArraysTask(path=str(path)), seed=1, dataset=0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path):
    pipe = tmp_path / "pipe.npz"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, "/dev/zero"):
        with pytest.raises(ValueError, match="a directory, a pipe or a device"):
            ArraysTask(path=str(path))


@pytest.mark.parametrize(
    ("path", "message"), [("no/such.npz", "check the path"), ("a\0b", "not the name of a file")]
)
def test_paths_that_lead_nowhere_are_named(path, message):
    with pytest.raises(ValueError, match=message):
        ArraysTask(path=path)
