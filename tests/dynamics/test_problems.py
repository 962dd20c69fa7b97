"""Problems beside networks: gradients, exact landscapes, the same answer alone and among others."""

from __future__ import annotations

import numpy as np
import pytest

from spinodal.dynamics.penalised_regression import PenalisedRegression, correlated_design
from spinodal.dynamics.problems import MatrixCompletion, circulant_mask
from spinodal.errors import InputError
from spinodal.theory import modes, penalties

SIGNS = np.array([1.0, -1.0, 1.0, 1.0])


def completion(depth: int = 3, observed: int = 2, decay: float = 0.5) -> MatrixCompletion:
    """A 4 x 4 matrix of rank one and entries +-1/2, partly observed."""
    return MatrixCompletion(
        target=0.5 * np.outer(SIGNS, np.ones(4)),
        observed=circulant_mask(4, observed),
        depth=depth,
        width=3,
        weight_decay=decay,
    )


REGRESSION = PenalisedRegression(
    design=np.random.default_rng(1).standard_normal((6, 4)),
    outputs=np.array([1.0, -2.0, 0.5, 0.3, 0.0, 1.0]),
    weight_decay=2.5,
    scale=0.3,
)


@pytest.mark.parametrize(
    "problem",
    [
        completion(),
        completion(depth=2, observed=3),
        MatrixCompletion(
            target=np.arange(6.0).reshape(2, 3),
            observed=np.array([[1, 0, 1], [1, 1, 0]], dtype=bool),
            depth=4,
            width=5,
            weight_decay=0.1,
        ),
        REGRESSION,
    ],
    ids=["depth 3", "depth 2", "depth 4", "regression"],
)
def test_gradients_are_those_of_the_loss(problem):
    rng = np.random.default_rng(0)
    x, v = rng.standard_normal((2, 5, problem.size))
    step = 1e-6
    change = (problem.loss(x + step * v) - problem.loss(x - step * v)) / (2 * step)
    slope = (problem.gradient(x) * v).sum(axis=1)
    np.testing.assert_allclose(slope, change, rtol=1e-6, atol=1e-6)
    alone = [part[0] for part in problem.landscape(x[3:4])]
    among = [part[3] for part in problem.landscape(x)]
    for one, other in zip(alone, among, strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_observed_entries_count():
    problem = completion()
    x = np.random.default_rng(2).standard_normal((1, problem.size))
    wrong = (problem.matrix(x)[0] - problem.target)[problem.observed]
    expected = 0.5 * np.sum(wrong**2) + 0.25 * np.sum(x**2)
    assert problem.loss(x)[0] == pytest.approx(expected, rel=1e-13)
    left, right = np.arange(4.0), np.array([1.0, 0.0, -2.0, 0.5])
    expected = left @ problem.matrix(x)[0] @ right
    assert problem.along(x, left, right)[0] == pytest.approx(expected, rel=1e-12)
    assert problem.observed.sum(axis=0).tolist() == problem.observed.sum(axis=1).tolist() == [2] * 4


@pytest.mark.parametrize(("depth", "observed"), [(3, 2), (3, 4), (4, 3)])
def test_completing_a_rank_one_matrix_seen_evenly_is_one_mode_with_fewer_inputs(depth, observed):
    # Of 4 entries in every row and column k are seen: signal k / 2, input variance k / 4.
    mode = {"depth": depth, "signal": observed / 2, "input_variance": observed / 4}
    decay = 0.8 * float(modes.spinodal(depth, observed / 2, input_variance=observed / 4))
    problem = completion(depth, observed, decay)
    points = modes.stationary_points(weight_decay=decay, **mode)
    left, right = SIGNS[:, None] / 2, np.full((4, 1), 0.5)
    places = np.array([problem.balanced([float(p)], left, right) for p in points])
    np.testing.assert_allclose(problem.gradient(places), 0, atol=1e-12)
    losses = problem.loss(places)
    expected = modes.barrier_out(weight_decay=decay, **mode)
    assert losses[1] - losses[0] == pytest.approx(float(expected), rel=1e-10)
    np.testing.assert_allclose(problem.strengths(places)[:, 0], points, rtol=1e-12)
    np.testing.assert_allclose(problem.strengths(places)[:, 1:], 0, atol=1e-12)


def test_orthonormal_features_are_penalised_one_by_one():
    signals = np.array([0.9, 0.2, 0.0])
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((5, 3)))[0]
    problem = PenalisedRegression(
        design=turn, outputs=turn @ signals, weight_decay=15.0, scale=0.12
    )
    w = np.random.default_rng(4).standard_normal((7, 3))
    given = {"weight_decay": 15.0, "scale": 0.12}
    expected = penalties.log_penalty_loss(w, signal=signals, **given).sum(axis=1)
    np.testing.assert_allclose(problem.loss(w), expected, rtol=1e-12)
    slopes = penalties.log_penalty_slope(w, signal=signals, **given)
    np.testing.assert_allclose(problem.gradient(w), slopes, rtol=1e-10, atol=1e-12)


def test_a_correlated_design_has_the_correlation_asked_for():
    design = correlated_design(4, 0.3)
    np.testing.assert_allclose(design.T @ design, 0.7 * np.eye(4) + 0.3, atol=1e-14)
    with pytest.raises(InputError, match=r"between -0\.333 and 1, got -0\.5"):
        correlated_design(4, -0.5)


def test_what_is_no_problem_is_refused():
    with pytest.raises(InputError, match="of its shape"):
        MatrixCompletion(
            target=np.eye(2), observed=np.ones((2, 3), bool), depth=3, width=2, weight_decay=0.1
        )
    with pytest.raises(InputError, match="at least one entry"):
        MatrixCompletion(
            target=np.eye(2), observed=np.zeros((2, 2), bool), depth=3, width=2, weight_decay=0.1
        )
    with pytest.raises(InputError, match="depth >= 2"):
        completion(depth=1)
    with pytest.raises(InputError, match="no room for rank 4"):
        completion().balanced([1.0] * 4, np.eye(4), np.eye(4))
    with pytest.raises(InputError, match="Between 1 and 4"):
        circulant_mask(4, 5)
    with pytest.raises(InputError, match="one row per output"):
        PenalisedRegression(design=np.eye(3), outputs=np.ones(2), weight_decay=1.0, scale=1.0)
    with pytest.raises(InputError, match="scale positive"):
        PenalisedRegression(design=np.eye(2), outputs=np.ones(2), weight_decay=1.0, scale=0.0)
