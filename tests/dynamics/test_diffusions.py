"""Walkers of a diffusion: exact discrete laws, streams of their own, first passages."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from helpers import assert_consistent
from scipy.special import ndtr

from spinodal.dynamics.diffusion_passages import first_passages
from spinodal.dynamics.diffusions import Diffusion, Walker, Walkers
from spinodal.errors import InputError
from spinodal.statistics.survival import exponential_rate
from spinodal.theory.free_energy import first_passage_time

STIFFNESS = np.array([1.0, 3.0, 0.5])
SPRING = Diffusion(
    gradient=lambda x: np.multiply(STIFFNESS, x), score=lambda x: x[:, 0], step=0.2, temperature=0.7
)


def drifting(speed: float, step: float, temperature: float) -> Diffusion:
    return Diffusion(
        gradient=lambda x: np.full_like(x, -speed),
        score=lambda x: x[:, 0],
        step=step,
        temperature=temperature,
    )


def test_a_spring_has_the_stationary_variance_of_the_discrete_rule():
    walkers = Walkers(SPRING, np.zeros((6000, 3)), seed=1)
    walkers.advance(120)
    x = walkers.positions
    variance = [2 * 0.7 * 0.2 / (1 - (1 - 0.2 * k) ** 2) for k in STIFFNESS]
    for i in range(3):
        assert_consistent(x[:, i].var(), variance[i], variance[i] * math.sqrt(2 / 6000))
        assert_consistent(x[:, i].mean(), 0.0, math.sqrt(variance[i] / 6000))
    correlation = np.asarray(np.corrcoef(x.T))[np.triu_indices(3, 1)]
    assert np.abs(correlation).max() < 4 / math.sqrt(6000)


def test_noise_of_ones_own_is_the_temperature_it_amounts_to():
    alike = math.sqrt(2 * 0.7)
    start = np.linspace(-1, 1, 15).reshape(5, 3)
    expected = Walkers(SPRING, start, seed=4)
    expected.advance(7)
    for noise in (
        lambda x: np.full_like(x, alike),
        lambda x: np.broadcast_to(alike * np.eye(3), (len(x), 3, 3)),
    ):
        own = replace(SPRING, temperature=None, noise=noise)
        walkers = Walkers(own, start, seed=4)
        walkers.advance(7)
        np.testing.assert_allclose(walkers.positions, expected.positions, rtol=1e-13)


def test_a_matrix_of_noise_gives_its_covariance():
    root = np.array([[1.0, 0.0], [-0.8, 0.6]])
    flat = Diffusion(
        gradient=np.zeros_like,
        score=lambda x: x[:, 0],
        step=0.25,
        noise=lambda x: np.broadcast_to(root, (len(x), 2, 2)),
    )
    walkers = Walkers(flat, np.zeros((8000, 2)), seed=2)
    walkers.advance(4)
    np.testing.assert_allclose(np.cov(walkers.positions.T), root @ root.T, atol=0.06)


def test_without_noise_walkers_slide():
    walkers = Walkers(SPRING.quiet(), [[1.0, 1.0, 1.0]], seed=0)
    walkers.advance(3)
    np.testing.assert_allclose(walkers.positions[0], (1 - 0.2 * STIFFNESS) ** 3, rtol=1e-14)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_walker_goes_the_same_way_alone_among_others_and_after_being_stored(size):
    free = Diffusion(
        gradient=lambda x: x**3 - x, score=lambda x: x[:, 0], step=0.05, temperature=0.3
    )
    start = np.linspace(-0.5, 0.5, 4 * size).reshape(4, size)
    together = Walkers(free, start, seed=9, name="way")
    together.advance(150)
    alone = Walkers(free, start[2:3], seed=9, name="way", numbers=[2])
    alone.advance(150)
    np.testing.assert_array_equal(alone.positions[0], together.positions[2])

    one = Walker(free, start[2], seed=9, path=("way", 2))
    one.advance(77)
    state = one.get_state()
    one.advance(73)
    np.testing.assert_array_equal(one.position, together.positions[2])
    assert one.score() == together.scores()[2]
    other = Walker(free, np.zeros(size), seed=1, path=("elsewhere", 5))
    other.set_state(state)
    other.advance(73)
    np.testing.assert_array_equal(other.position, one.position)
    assert other.get_state() == one.get_state()


def test_walkers_that_are_left_out_change_nothing_for_the_others():
    mask = np.array([True, False, True, True, False])
    start = np.ones((5, 3))
    all_of_them, some = (Walkers(SPRING, start, seed=5) for _ in range(2))
    all_of_them.advance(90)
    some.advance(30)
    some.keep(mask)
    some.advance(60)
    assert some.numbers == (0, 2, 3)
    np.testing.assert_array_equal(some.positions, all_of_them.positions[mask])


def test_clones_start_where_their_source_is_and_go_ways_of_their_own():
    walkers = Walkers(SPRING, np.ones((3, 3)), seed=5)
    walkers.advance(10)
    clones = walkers.clone([1, 1, 2], seed=5, name="clones")
    np.testing.assert_array_equal(clones.positions, walkers.positions[[1, 1, 2]])
    clones.advance(1)
    assert np.all(clones.positions[0] != clones.positions[1])
    one = Walker(SPRING, walkers.positions[1], seed=5, path=("walkers", 1))
    here = one.position.copy()
    one.reseed(8, "fresh", 3)
    np.testing.assert_array_equal(one.position, here)
    one.advance(1)
    again = Walker(SPRING, here, seed=5, path=("walkers", 1))
    again.advance(1)
    assert np.all(again.position != one.position)


def chance_to_pass(distance: float, speed: float, temperature: float, time: float) -> float:
    """P(tau <= time) of drifting Brownian motion: the inverse Gaussian law."""
    spread = math.sqrt(2 * temperature * time)
    reflected = math.exp(speed * distance / temperature)
    late = ndtr((-distance - speed * time) / spread)
    return float(ndtr((speed * time - distance) / spread) + reflected * late)


@pytest.mark.parametrize(("speed", "steps"), [(0.5, 6), (-0.3, 6), (0.5, 30)])
def test_with_bridges_drifting_brownian_motion_passes_exactly_at_any_step(speed, steps):
    n = 6_000
    motion = drifting(speed, step=3.0 / steps, temperature=0.6)
    chance = chance_to_pass(1.0, speed, 0.6, 3.0)
    se = math.sqrt(chance * (1 - chance) / n)
    seen = first_passages(motion, [0.0], target=1.0, steps=steps, seed=1, replicas=n, bridge=True)
    assert_consistent(seen.events / n, chance, se)
    assert np.all(seen.steps[seen.status == "censored"] == steps)
    missed = first_passages(motion, [0.0], target=1.0, steps=steps, seed=1, replicas=n)
    assert missed.events / n < chance - 6 * se
    # The paths are the same, so that bridges can only bring a passage forward.
    assert np.all(seen.steps <= missed.steps)


def test_the_mean_first_passage_of_a_double_well_is_that_of_the_quadrature():
    double_well = Diffusion(
        gradient=lambda x: x**3 - x, score=lambda x: x[:, 0], step=0.01, temperature=0.25
    )
    truth = first_passage_time(
        lambda x: x**4 / 4 - x**2 / 2, start=-1.0, absorbing=0.5, temperature=0.25
    )
    times = first_passages(
        double_well, [-1.0], target=0.5, steps=10_000, seed=3, replicas=700, bridge=True
    )
    assert times.events == 700
    spread = times.time.std() / math.sqrt(700)
    assert_consistent(times.time.mean(), truth, spread)
    assert exponential_rate(times).events == 700


def test_every_walker_has_a_status():
    explosive = Diffusion(
        gradient=lambda x: np.where(x < -1, -(x**3) * 1e9, -0.1 + 0 * x),
        score=lambda x: x[:, 0],
        step=0.1,
        temperature=0.0,
    )
    starts = np.array([[3.0], [0.0], [-2.0], [-0.9], [-0.5]])
    found = first_passages(
        explosive, starts, target=0.505, steps=60, seed=1,
        elsewhere=lambda x: ((x[:, 0] > -0.85) & (x[:, 0] < -0.8)) | (x[:, 0] > 0.505),
    )  # fmt: skip
    assert list(found.status) == [
        "escaped",
        "escaped",
        "diverged",
        "escaped_elsewhere",
        "censored",
    ]
    assert found.steps[0] == 0
    assert found.steps[1] == 51
    assert found.steps[2] < 10
    assert found.steps[3] in (5, 6)
    assert found.steps[4] == 60
    np.testing.assert_array_equal(found.time, 0.1 * found.steps)


def test_passages_do_not_depend_on_who_else_walks():
    motion = drifting(0.1, step=0.05, temperature=0.5)
    given = {"target": 1.0, "steps": 400, "seed": 6, "bridge": True}
    many = first_passages(motion, [0.0], replicas=50, **given)
    few = first_passages(motion, [0.0], replicas=5, **given)
    np.testing.assert_array_equal(few.steps, many.steps[:5])
    np.testing.assert_array_equal(few.status, many.status[:5])


def test_what_cannot_be_simulated_is_refused():
    with pytest.raises(InputError, match="step must be finite and positive"):
        replace(SPRING, step=0.0)
    with pytest.raises(InputError, match="exactly one"):
        replace(SPRING, noise=np.ones_like)
    with pytest.raises(InputError, match="at least 0, got -1"):
        replace(SPRING, temperature=-1.0)
    with pytest.raises(InputError, match="walkers come first"):
        Walkers(replace(SPRING, gradient=lambda x: x.sum(axis=1)), np.ones((2, 3)), seed=0)
    with pytest.raises(InputError, match="with NaN"):
        Walkers(SPRING, [[np.nan, 0, 0]], seed=0)
    with pytest.raises(InputError, match="3 numbers for 2 walkers"):
        Walkers(SPRING, np.ones((2, 3)), seed=0, numbers=[1, 2, 3])
    with pytest.raises(InputError, match="no state of a walker of 3"):
        Walker(SPRING, np.ones(3), seed=0, path=("a", 0)).set_state(b"abc")
    with pytest.raises(InputError, match="at least 1 step"):
        first_passages(SPRING, np.ones(3), target=2.0, steps=0, seed=0, replicas=3)
    with pytest.raises(InputError, match="number of replicas"):
        first_passages(SPRING, np.ones(3), target=2.0, steps=5, seed=0)
    own = replace(SPRING, temperature=None, noise=np.ones_like)
    with pytest.raises(InputError, match="bridge"):
        first_passages(own, np.ones(3), target=2.0, steps=5, seed=0, replicas=2, bridge=True)
