"""Simulation-based calibration: every likelihood belongs to its data, every mistake is found."""

import numpy as np
import pytest
from helpers import assert_consistent
from posteriors import CASES, DRAWS, MISTAKES, ranks

from spinodal.errors import InputError
from spinodal.statistics.calibration import holm, uniformity


@pytest.mark.parametrize("name", CASES)
def test_the_likelihood_belongs_to_the_data(name):
    g = np.random.default_rng(1)
    simulations = 60 if name == "frailty sd" else 200  # its quadrature takes longest
    found = uniformity(ranks(CASES[name], simulations, g), draws=DRAWS, generator=g)
    # Six cases, two tests each, never wrong by chance in a thousand suites like this one.
    assert min(found.chi2_p, found.envelope_p) > 1e-3


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("name", ["exponential", "shifted: rate", "Weibull", "regression slope"])
def test_the_two_classical_mistakes_are_found_out(name, mistake):
    g = np.random.default_rng(2)
    wrong = ranks(CASES[name], 100, g, MISTAKES[mistake])
    found = uniformity(wrong, draws=DRAWS, generator=g)
    assert found.chi2_p < 1e-3
    assert found.envelope_p < 1e-2


def test_uniform_ranks_are_rejected_as_often_as_promised():
    g = np.random.default_rng(3)
    found = [uniformity(g.integers(0, 100, 300), draws=99, generator=g) for _ in range(60)]
    for p in ([f.chi2_p for f in found], [f.envelope_p for f in found]):
        share = float(np.mean(np.array(p) <= 0.1))
        assert_consistent(share, 0.1, np.sqrt(0.1 * 0.9 / 60))


def test_ranks_that_crowd_in_the_middle_or_at_one_end_are_not_uniform():
    g = np.random.default_rng(4)
    for crowded in (g.binomial(99, 0.5, 200), g.integers(0, 80, 200)):
        found = uniformity(crowded, draws=99, generator=g)
        assert found.chi2_p < 1e-4
        assert found.envelope_p < 1e-3


def test_holms_correction_by_hand():
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03]), [0.06, 0.03, 0.06])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1.0, 1.0])


@pytest.mark.parametrize("wrong", [[-1], [100], []])
def test_ranks_outside_their_range_are_refused(wrong):
    with pytest.raises(InputError, match="between 0 and 99"):
        uniformity(np.array(wrong, dtype=int), draws=99, generator=np.random.default_rng(0))
