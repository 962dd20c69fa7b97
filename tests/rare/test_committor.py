"""The fitted committor finds the coefficients of a known one and separates its own trials."""

from __future__ import annotations

import numpy as np
import pytest

from spinodal.dynamics.diffusions import Diffusion
from spinodal.errors import InputError
from spinodal.rare.committor import fit_committor, pilot_committor, score_effect
from spinodal.rare.splitting import SplittingSettings
from spinodal.rare.swarms import DiffusionSwarm
from spinodal.seeding import generator

FEW = SplittingSettings(repetitions=10, copies=40, watchers=8)


def trials(count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes of a logistic law with slopes 2 and -1 and offset 0.5."""
    draw = generator(3, "trials")
    x = draw.normal(size=(count, 2))
    chance = 1 / (1 + np.exp(-(0.5 + 2 * x[:, 0] - x[:, 1])))
    return x, draw.random(count) < chance


def test_slopes_of_a_known_law_are_found():
    x, arrived = trials()
    fitted = fit_committor(10 * x + 3, arrived)
    slopes = np.array(fitted.slopes) / np.array(fitted.scales) * 10
    np.testing.assert_allclose(slopes, [2, -1], rtol=0.05)
    centre = fitted(np.array([[3.0, 3.0]]))[0]
    assert centre == pytest.approx(0.5, abs=0.1)
    assert fitted.probability(np.array([[3.0, 3.0]]))[0] == pytest.approx(1 / (1 + np.exp(-centre)))


def test_separation_is_one_half_without_information_and_one_with_all():
    draw = generator(4, "trials")
    x, arrived = draw.normal(size=(5000, 1)), draw.random(5000) < 0.3
    assert fit_committor(x, arrived).separation == pytest.approx(0.5, abs=0.05)
    told = fit_committor(np.where(arrived, 1.0, -1.0)[:, None], arrived)
    assert told.separation == 1.0
    assert np.isfinite(told.slopes).all()


def test_the_score_of_one_copy_does_not_depend_on_its_company():
    x, arrived = trials(500)
    fitted = fit_committor(x, arrived)
    alone = np.concatenate([fitted(row[None]) for row in x])
    np.testing.assert_array_equal(alone, fitted(x))


def test_outcomes_that_are_all_alike_and_features_that_are_no_numbers_are_refused():
    x = np.ones((4, 1))
    with pytest.raises(InputError, match="some arrive and some return"):
        fit_committor(x, np.zeros(4, dtype=bool))
    with pytest.raises(InputError, match="finite"):
        fit_committor(x * np.nan, np.array([True, False, True, False]))


def valley() -> DiffusionSwarm:
    """Two coordinates whose way over the barrier runs slantwise; the score sees the first only."""

    def gradient(x: np.ndarray) -> np.ndarray:
        pull = 4 * (x[:, 1] - x[:, 0])
        return np.stack([8 * x[:, 0] * (x[:, 0] ** 2 - 1) - pull, pull], axis=1)

    slant = Diffusion(gradient=gradient, score=lambda x: x[:, 0], step=0.02, temperature=0.3)
    return DiffusionSwarm(slant, [-1.0, -1.0])


def test_the_committor_of_a_slanted_barrier_sees_both_coordinates():
    fitted = pilot_committor(valley(), target=0.9, seed=5, settings=FEW)
    assert min(fitted.slopes) > 0.1
    assert fitted.separation > 0.9
    assert fitted.steps > 0


def test_the_effect_of_a_score_is_its_cost_at_equal_accuracy():
    effect = score_effect(valley(), target=0.9, seed=5, settings=FEW)
    cost = [one.relative_error**2 * one.steps for one in (effect.own, effect.by_committor)]
    assert effect.gain == pytest.approx(cost[0] / cost[1])
    # The same rate, whatever the score.
    error = np.hypot(effect.own.relative_error, effect.by_committor.relative_error)
    assert abs(np.log(effect.own.rate / effect.by_committor.rate)) < 4 * error
