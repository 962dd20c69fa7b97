"""Batches: every scheme against the exact law of its samples and of their moments."""

import numpy as np
import pytest
from helpers import assert_covariance
from scipy import stats

from spinodal.dynamics.batches import Batches
from spinodal.dynamics.networks import Network
from spinodal.dynamics.noise import unique_products
from spinodal.dynamics.plan import make_plan
from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.dynamics.updates import Stage, Update
from spinodal.dynamics.wishart import _chi_square, _proposal, bartlett
from spinodal.seeding import Stream

FINITE = GaussianTask(signals=(0.9, 0.7), samples=20)
POPULATION = GaussianTask(
    signals=(0.6,), inputs=2, outputs=1, input_covariance=((1.0, 0.4), (0.4, 0.8))
)


def source(task, replicas=200, dtype="float64", **settings):
    update = Update(learning_rate=0.1, weight_decay=0, **settings)
    data = draw(task, seed=3, dataset=0)
    plan = make_plan(
        Network.model_validate({"depth": 1, "precision": dtype}), update, [data],
        np.zeros(replicas, dtype=np.int64), seed=3, replicas=range(replicas), task=task,
    )  # fmt: skip
    return data, Batches(plan)


def samples_of(data):
    """Unique products of the training samples, one row per sample."""
    assert data.x is not None
    assert data.y is not None
    return unique_products(data.x, data.y)


def products(batches, steps):
    """Unique products of the batches of some steps, one row per replica and step."""
    rows = []
    for step in steps:
        xx, yx = batches.moments(step)
        rows.append(np.concatenate([xx[np.triu_indices(len(xx))], yx.reshape(-1, yx.shape[-1])]).T)
    return np.concatenate(rows)


def test_batches_with_replacement_have_the_covariance_of_independent_draws():
    data, batches = source(FINITE, sampling="replacement", batch_size=5)
    table = samples_of(data)
    expected = np.cov(table.T, bias=True) / 5
    assert_covariance(products(batches, range(60)), table.mean(axis=0), expected)


def test_shuffled_batches_have_the_covariance_of_draws_without_replacement():
    data, batches = source(FINITE, sampling="shuffled", batch_size=5)
    table = samples_of(data)
    expected = np.cov(table.T, bias=True) / 5 * (20 - 5) / (20 - 1)
    assert_covariance(products(batches, range(0, 240, 4)), table.mean(axis=0), expected)


def test_batches_of_one_epoch_repel_each_other():
    """Cov(z_i, z_j) = -Cov(z) / (N - 1) for batches i and j of one epoch."""
    data, batches = source(FINITE, sampling="shuffled", batch_size=5)
    table = samples_of(data)
    first, third = products(batches, range(0, 240, 4)), products(batches, range(2, 240, 4))
    mean, covariance = table.mean(axis=0), np.cov(table.T, bias=True)
    cross = (first - mean)[:, 0] * (third - mean)[:, 0]
    z = (cross.mean() + covariance[0, 0] / 19) / (cross.std() / np.sqrt(len(cross)))
    assert abs(z) < 4
    assert cross.mean() < 0


@pytest.mark.parametrize("sampling", ["shuffled", "replacement"])
def test_every_sample_is_drawn_equally_often(sampling):
    _, batches = source(FINITE, sampling=sampling, batch_size=5)
    counts = np.zeros((5, 20))
    for step in range(0, 80, 4):
        for place, row in enumerate(batches.chosen(step)):
            counts[place] += np.bincount(row, minlength=20)
    for place in counts:
        assert stats.chisquare(place).pvalue > 1e-4


def test_neighbouring_indices_from_one_word_are_independent():
    _, batches = source(FINITE, sampling="replacement", batch_size=4)
    pairs = np.zeros((20, 20))
    for step in range(60):
        chosen = batches.chosen(step)
        np.add.at(pairs, (chosen[0], chosen[1]), 1)
        np.add.at(pairs, (chosen[1], chosen[2]), 1)
    assert stats.chisquare(pairs.ravel()).pvalue > 1e-4


def test_a_batch_is_summed_row_after_row():
    """So that a compiled engine can repeat it: neither in pairs nor in blocks."""
    for replicas, dtype in ((1, "float64"), (3, "float64"), (3, "float32")):
        data, batches = source(FINITE, replicas, dtype, sampling="replacement", batch_size=19)
        table = samples_of(data).astype(dtype)
        for replica in range(replicas):
            total = np.zeros(7, dtype=dtype)
            for n in batches.chosen(4)[:, replica]:
                total = total + table[n]
            found = products(batches, [4])[replica]
            np.testing.assert_array_equal(found, total / np.array(19, dtype=dtype))


def joint_covariance(task):
    m = task.population()
    joint = np.block([[m.xx, m.yx.T], [m.yx, m.yy]])
    a, b = np.array([(0, 0), (0, 1), (1, 1), (2, 0), (2, 1)]).T
    isserlis = joint[np.ix_(a, a)] * joint[np.ix_(b, b)] + joint[np.ix_(a, b)] * joint[np.ix_(b, a)]
    return joint[a, b], isserlis


@pytest.mark.parametrize("sampling", ["fresh", "wishart"])
@pytest.mark.parametrize("batch_size", [3, 7, 40])
def test_moments_of_fresh_samples_have_means_and_covariances_of_isserlis(sampling, batch_size):
    _, batches = source(POPULATION, 400, sampling=sampling, batch_size=batch_size)
    mean, covariance = joint_covariance(POPULATION)
    assert_covariance(products(batches, range(40)), mean, covariance / batch_size)


@pytest.mark.parametrize("batch_size", [3, 16, 17, 60])
def test_direct_moments_have_the_law_of_those_of_fresh_samples(batch_size):
    draws = {}
    for sampling in ("fresh", "wishart"):
        _, batches = source(POPULATION, 500, sampling=sampling, batch_size=batch_size)
        draws[sampling] = products(batches, range(16))
    statistics = {
        "each product": lambda z: z,
        "determinant of xx": lambda z: (z[:, 0] * z[:, 2] - z[:, 1] ** 2)[:, None],
        "regression of y on x": lambda z: (
            (z[:, 3] * z[:, 2] - z[:, 4] * z[:, 1]) / (z[:, 0] * z[:, 2] - z[:, 1] ** 2)
        )[:, None],
        "a gradient": lambda z: (0.3 * z[:, 0] - 0.8 * z[:, 1] - z[:, 3])[:, None],
        "a square of it": lambda z: ((0.3 * z[:, 1] - 0.8 * z[:, 2] - z[:, 4]) * z[:, 3])[:, None],
    }
    pvalues = []
    for statistic in statistics.values():
        for a, b in zip(statistic(draws["fresh"]).T, statistic(draws["wishart"]).T, strict=True):
            pvalues.append(stats.ks_2samp(a, b).pvalue)
    assert min(pvalues) > 1e-4


@pytest.mark.parametrize("freedom", [1, 2, 9, 16, 17, 40, 1000])
def test_chi_square_numbers_have_their_law(freedom):
    stream = Stream(8, f"chi-square {freedom}", range(1000), 8)
    drawn = np.concatenate([_chi_square(stream.words(step), freedom) for step in range(15)])
    assert stats.kstest(drawn, "chi2", args=(freedom,)).pvalue > 1e-3


@pytest.mark.parametrize("freedom", [17, 100])
def test_what_is_accepted_has_the_density_of_a_gamma_number(freedom):
    """So few are rejected that draws would hardly show it: phi(x) acceptance = gamma(v) dv/dx."""
    d = freedom / 2 - 1 / 3
    x = np.linspace(-6, 6, 101)
    v, acceptance = _proposal(x, d)
    slope = v ** (2 / 3)  # dv/dx but for a factor
    gamma = stats.gamma(freedom / 2).logpdf(d * v) + np.log(slope)
    difference = stats.norm.logpdf(x) + acceptance - gamma
    np.testing.assert_allclose(difference, difference[0], rtol=1e-11)
    assert (acceptance <= 1e-12).all()
    assert np.exp(acceptance) @ stats.norm.pdf(x) * 0.12 > 0.98


def test_bartletts_factor_is_lower_triangular_and_full_below():
    factor = bartlett(Stream(8, "bartlett", range(4), 8 * 5 + 5).words(0), 5, 12)
    for lower in np.moveaxis(factor, -1, 0):
        assert (np.diag(lower) > 0).all()
        assert (lower[np.tril_indices(5, -1)] != 0).all()
        assert not lower[np.triu_indices(5, 1)].any()


@pytest.mark.parametrize("sampling", ["replacement", "fresh", "wishart"])
def test_a_stage_changes_the_size_of_the_batches(sampling):
    task = FINITE if sampling == "replacement" else POPULATION
    data, batches = source(
        task, 2000, sampling=sampling, batch_size=4, schedule=(Stage(at=2, batch_size=32),)
    )
    small, large = products(batches, [0, 1]), products(batches, [2, 3])
    ratio = small.var(axis=0) / large.var(axis=0)
    # The kurtosis of the variance's own error: batches of 4 Gaussian products are heavy-tailed.
    np.testing.assert_allclose(ratio, 8, rtol=0.25)
    assert (batches.size(1), batches.size(2)) == (4, 32)
    if data.x is None:
        return
    assert batches.chosen(2).shape == (32, 2000)


def test_an_incomplete_batch_has_its_own_size():
    data, batches = source(FINITE, sampling="shuffled", batch_size=6, drop_last=False)
    assert [batches.size(step) for step in range(8)] == [6, 6, 6, 2, 6, 6, 6, 2]
    last = batches.chosen(3)
    assert len(last) == 2
    expected = samples_of(data)[last].mean(axis=0)
    np.testing.assert_allclose(products(batches, [3]), expected, rtol=1e-12)
