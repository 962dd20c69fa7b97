"""Paths over saddles: exact saddles, the barriers of deep networks, and what is no path."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import root

from spinodal.dynamics.problems import MatrixCompletion
from spinodal.errors import InputError
from spinodal.rare import hessians
from spinodal.rare.hessians import Landscape, curvatures
from spinodal.rare.paths import relax, string_method
from spinodal.theory import modes

Array = NDArray[np.float64]

DECAY = {3: 0.32, 4: 0.2, 5: 0.15}


def bent_double_well(x: Array) -> tuple[Array, Array]:
    """E = (u^2 - 1)^2 / 4 + (v - u^2)^2: minima (+-1, 1), at (0, 0) curvatures -1 and 2."""
    u, v = x.T
    off = v - u**2
    return (u**2 - 1) ** 2 / 4 + off**2, np.stack([u * (u**2 - 1) - 4 * u * off, 2 * off], axis=1)


def mueller_brown(x: Array) -> tuple[Array, Array]:
    """Mueller and Brown's surface (1979): three minima and two saddles."""
    dx = x[:, :1] - np.array([1, 0, -0.5, -1])
    dy = x[:, 1:] - np.array([0, 0.5, 1.5, 1])
    a, b, c = ([-1, -1, -6.5, 0.7], [0, 0, 11, 0.6], [-10, -10, -6.5, 0.7])
    a, b, c = np.array(a), np.array(b), np.array(c)
    part = np.array([-200, -100, -170, 15]) * np.exp(a * dx**2 + b * dx * dy + c * dy**2)
    slopes = [part * (2 * a * dx + b * dy), part * (b * dx + 2 * c * dy)]
    return part.sum(axis=1), np.stack([slope.sum(axis=1) for slope in slopes], axis=1)


def sliding(x: Array) -> tuple[Array, Array]:
    """E = u^4/4 - u^3/3: an inflection at 0, where it is flat, and a minimum at 1."""
    return (x**4 / 4 - x**3 / 3).sum(axis=1), x**2 * (x - 1)


class Net:
    """The exact population of two features as a completion with everything observed."""

    def __init__(self, depth: int, width: int, decay: float | None = None) -> None:
        self.depth, self.decay = depth, DECAY[depth] if decay is None else decay
        self.problem = MatrixCompletion(
            target=np.diag([0.9, 0.8]), observed=np.ones((2, 2), bool), depth=depth, width=width,
            weight_decay=self.decay,
        )  # fmt: skip
        self.landscape: Landscape = self.problem.landscape

    def phase(self, rank: int) -> Array:
        values = [
            float(modes.learned(depth=self.depth, signal=s, weight_decay=self.decay))
            for s in (0.9, 0.8)[:rank]
        ]
        return self.problem.balanced(values, np.eye(2, rank), np.eye(2, rank))

    def barriers(self, rank: int) -> tuple[float, float]:
        """Out of and back to the phase of this rank, by formula."""
        mode = {"depth": self.depth, "signal": (0.9, 0.8)[rank], "weight_decay": self.decay}
        return float(modes.barrier_out(**mode)), float(modes.barrier_back(**mode))


def wild(start: Array, end: Array, seed: int, size: float = 0.5) -> Array:
    """A random path between two points: smooth in some random directions of all coordinates."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, 21)[:, None]
    length = size * float(np.linalg.norm(end - start)) / np.sqrt(start.size)
    bumps = [np.sin(k * np.pi * t) * rng.standard_normal(start.size) / k for k in (1, 2, 3)]
    return start + (end - start) * t + length * np.sum(bumps, axis=0)


def test_the_path_over_a_bent_double_well_has_its_exact_saddle():
    path = string_method(bent_double_well, [-1.0, 1.0], [1.0, 1.0], images=81)
    assert path.converged
    assert path.saddle is not None
    np.testing.assert_allclose(path.saddle, 0.0, atol=1e-9)
    assert path.barrier_out == pytest.approx(0.25, abs=1e-12)
    assert path.barrier_back == pytest.approx(0.25, abs=1e-12)
    assert (path.index, path.passes) == (1, 1)
    assert path.curvatures is not None
    np.testing.assert_allclose(path.curvatures.eigenvalues, [-1.0, 2.0], atol=1e-7)
    # The way down is along the gradient everywhere.
    along = path.positions[2:] - path.positions[:-2]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    gradients = bent_double_well(path.positions[1:-1])[1]
    across = gradients - (gradients * along).sum(axis=1, keepdims=True) * along
    assert np.abs(across).max() < 0.02 * np.abs(gradients).max()


@pytest.mark.parametrize("images", [9, 40])
def test_the_highest_of_two_saddles_is_found_on_the_surface_of_mueller_and_brown(images):
    ends = [relax(mueller_brown, start) for start in ([-0.5, 1.4], [0.6, 0.0])]
    path = string_method(mueller_brown, *ends, images=images)
    exact = root(lambda x: mueller_brown(x[None])[1][0], [-0.8, 0.6], tol=1e-13).x
    assert path.converged
    assert path.saddle is not None
    assert (path.index, path.passes) == (1, 2)
    np.testing.assert_allclose(path.saddle, exact, atol=1e-8)
    # The highest image climbs; a string that only slides would not come near in this time.
    assert path.iterations < 1000
    assert path.saddle_loss == pytest.approx(-40.66484, abs=1e-5)
    losses = [mueller_brown(end[None])[0][0] for end in ends]
    assert path.barrier_out == pytest.approx(path.saddle_loss - losses[0])
    assert path.barrier_back == pytest.approx(path.saddle_loss - losses[1])


@pytest.mark.parametrize(("depth", "width", "rank"), [(3, 4, 0), (3, 4, 1), (4, 3, 1), (5, 2, 0)])
def test_random_paths_between_phases_of_a_deep_network_settle_on_the_exact_barrier(
    depth, width, rank
):
    net = Net(depth, width)
    start, end = net.phase(rank), net.phase(rank + 1)
    for seed in range(2 if depth == 3 else 1):
        path = string_method(net.landscape, start, end, initial=wild(start, end, seed))
        assert path.converged
        assert path.index == 1
        assert path.passes == 1
        found = path.barrier_out, path.barrier_back
        np.testing.assert_allclose(found, net.barriers(rank), rtol=1e-9)


def test_the_paper_network_has_the_barriers_and_the_zero_modes_of_theory():
    net = Net(3, 10)
    for rank, barrier, zeros in ((0, 0.0214338, 18), (1, 0.0284535, 34)):
        path = string_method(net.landscape, net.phase(rank), net.phase(rank + 1), images=9)
        assert path.converged
        assert path.barrier_out == pytest.approx(barrier, abs=5e-8)
        assert path.curvatures is not None
        assert (path.index, path.curvatures.zeros) == (1, zeros)


def test_neither_the_number_of_images_nor_their_spacing_at_the_start_matters():
    net = Net(3, 2)
    start, end = net.phase(0), net.phase(1)
    found = []
    for images, power in ((7, 1.0), (24, 1.0), (24, 4.0)):
        share = np.linspace(0, 1, 12)[:, None] ** power
        initial = start + share * (end - start)
        path = string_method(net.landscape, start, end, images=images, initial=initial)
        assert path.converged
        steps = np.linalg.norm(np.diff(path.positions, axis=0), axis=1)
        top = int(np.argmax(path.losses))
        for part in (steps[: top - 1], steps[top + 1 :]):
            assert np.ptp(part) < 0.05 * part.mean()
        found.append(path.barrier_out)
    np.testing.assert_allclose(found, net.barriers(0)[0], rtol=1e-9)


def test_turned_coordinates_turn_the_path():
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    def turned(x: Array) -> tuple[Array, Array]:
        losses, gradients = bent_double_well(x @ turn)
        return losses, gradients @ turn.T

    ends = np.array([[-1.0, 1.0], [1.0, 1.0]])
    path = string_method(bent_double_well, *ends, initial=wild(*ends, seed=1))
    other = string_method(turned, *(ends @ turn.T), initial=wild(*ends, seed=1) @ turn.T)
    np.testing.assert_allclose(other.positions, path.positions @ turn.T, atol=1e-6)


def test_a_way_through_a_phase_between_passes_two_saddles_and_names_the_higher():
    net = Net(3, 3)
    path = string_method(net.landscape, net.phase(0), net.phase(2), images=41,
                         initial=[net.phase(0), net.phase(1), net.phase(2)])  # fmt: skip
    assert path.passes == 2
    assert path.barrier_out == pytest.approx(net.barriers(0)[0], rel=1e-9)


def test_the_lowest_end_of_the_spectrum_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch):
    net = Net(3, 6)
    values = [float(modes.saddle(depth=3, signal=s, weight_decay=0.32)) for s in (0.9, 0.8)]
    # Both features at their saddles: index 2 (and more: features of unequal signals can turn).
    point = net.problem.balanced(values, np.eye(2), np.eye(2))
    whole = curvatures(net.landscape, point, scale=1.0)
    monkeypatch.setattr(hessians, "DENSE", 10)
    lowest = curvatures(net.landscape, point, scale=1.0, lowest=2)
    assert whole.complete
    assert not lowest.complete
    assert lowest.index == whole.index >= 2
    count = lowest.eigenvalues.size
    np.testing.assert_allclose(lowest.eigenvalues, whole.eigenvalues[:count], atol=1e-6)
    assert lowest.largest == pytest.approx(whole.largest, rel=0.02)
    path = string_method(net.landscape, net.phase(0), net.phase(1), images=9)
    assert path.converged
    assert path.barrier_out == pytest.approx(net.barriers(0)[0], rel=1e-9)


def test_a_path_that_only_falls_or_rises_has_no_saddle():
    down = string_method(sliding, [0.0], [1.0])
    assert down.saddle is None
    assert down.index is None
    assert (down.barrier_out, down.passes) == (0.0, 0)
    assert down.barrier_back == pytest.approx(1 / 12)
    up = string_method(sliding, [1.0], [0.0])
    assert up.barrier_back == 0.0
    assert up.barrier_out == pytest.approx(1 / 12)


def test_a_path_that_symmetry_keeps_on_a_summit_has_not_converged():
    def ring(x: Array) -> tuple[Array, Array]:
        off = (x**2).sum(axis=1) - 1
        return off**2 / 4, off[:, None] * x

    path = string_method(ring, [-1.0, 0.0], [1.0, 0.0])
    assert path.index == 2
    assert not path.converged


def test_descent_ends_in_the_minimum_below():
    np.testing.assert_allclose(relax(bent_double_well, [-0.3, 2.0]), [-1.0, 1.0], atol=1e-9)
    again = relax(bent_double_well, [-1.0, 1.0])
    np.testing.assert_allclose(again, [-1.0, 1.0], atol=1e-12)
    with pytest.raises(InputError, match="No minimum was reached in 500 steps"):
        relax(lambda x: (x.sum(axis=1), np.ones_like(x)), [1.0, 2.0], most=500)


def test_ends_that_are_no_minima_are_refused():
    with pytest.raises(InputError, match="The end is no minimum: its gradient has length"):
        string_method(bent_double_well, [-1.0, 1.0], [1.2, 1.0])
    with pytest.raises(InputError, match="start is no minimum but a saddle of index 1"):
        string_method(bent_double_well, [0.0, 0.0], [1.0, 1.0])
    # With two layers every further feature is learned downhill.
    shallow = MatrixCompletion(
        target=np.array([[0.9]]),
        observed=np.array([[True]]),
        depth=2,
        width=1,
        weight_decay=0.32,
    )
    learned = shallow.balanced([0.58], [[1]], [[1]])
    with pytest.raises(InputError, match="no barrier to climb"):
        string_method(shallow.landscape, np.zeros(2), learned)


def test_losses_that_are_no_numbers_are_refused():
    def broken(x: Array) -> tuple[Array, Array]:
        losses, gradients = bent_double_well(x)
        return np.where(np.abs(x[:, 0]) < 0.1, np.nan, losses), gradients

    with pytest.raises(InputError, match="not finite"):
        string_method(broken, [-1.0, 1.0], [1.0, 1.0])
    with pytest.raises(InputError, match="losses of shape"):
        string_method(lambda x: (x, x), [-1.0, 1.0], [1.0, 1.0])
    with pytest.raises(InputError, match="two different points"):
        string_method(bent_double_well, [-1.0, 1.0], [-1.0, 1.0])
    with pytest.raises(InputError, match="finite numbers"):
        string_method(bent_double_well, [-1.0, np.nan], [1.0, 1.0])
    with pytest.raises(InputError, match="initial path"):
        string_method(bent_double_well, [-1.0, 1.0], [1.0, 1.0], initial=np.ones((4, 3)))
