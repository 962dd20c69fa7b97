"""Fractions with exact intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spinodal.errors import InputError
from spinodal.statistics.proportion import escape_probability

counts = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(deadline=None)
@given(count=counts, confidence=st.floats(0.5, 0.999))
def test_the_limits_are_where_the_count_becomes_improbable(count, confidence):
    events, trials = count
    found = escape_probability(events, trials, confidence=confidence)
    tail = (1 - confidence) if events in (0, trials) else (1 - confidence) / 2
    assert found.low <= events / trials <= found.high
    if events:
        assert stats.binom.sf(events - 1, trials, found.low) == pytest.approx(tail, rel=1e-6)
    if events < trials:
        assert stats.binom.cdf(events, trials, found.high) == pytest.approx(tail, rel=1e-6)


@settings(deadline=None)
@given(count=counts)
def test_not_escaping_is_escaping_in_the_mirror(count):
    events, trials = count
    here, there = escape_probability(events, trials), escape_probability(trials - events, trials)
    assert here.low == pytest.approx(1 - there.high, abs=1e-9)
    assert here.high == pytest.approx(1 - there.low, abs=1e-9)


@pytest.mark.parametrize("trials", [10, 100, 1000])
def test_no_escape_gives_the_rule_of_three(trials):
    found = escape_probability(0, trials)
    assert (found.fraction, found.low) == (0, 0)
    assert found.high == pytest.approx(1 - 0.05 ** (1 / trials), rel=1e-9)
    assert found.high * trials == pytest.approx(3, rel=2 / trials + 2e-3)


def test_two_sided_and_one_sided_limits_are_told_apart():
    assert escape_probability(0, 10, sides="two").high == pytest.approx(1 - 0.025 ** (1 / 10))
    upper = escape_probability(3, 10, sides="upper")
    assert upper.low == 0
    assert stats.binom.cdf(3, 10, upper.high) == pytest.approx(0.05)
    assert escape_probability(3, 10, sides="lower").high == 1


@pytest.mark.parametrize("truth", [0.03, 0.3, 0.5])
def test_the_interval_never_promises_too_much(truth):
    law = stats.binom(40, truth)
    covered = sum(
        law.pmf(k)
        for k in range(41)
        if escape_probability(k, 40, sides="two").low
        <= truth
        <= escape_probability(k, 40, sides="two").high
    )
    assert covered >= 0.95


def test_nothing_counted_is_known_to_be_unknown():
    nothing = escape_probability(0, 0)
    assert (nothing.fraction, nothing.low, nothing.high) == (None, 0.0, 1.0)
    assert str(nothing) == "unknown (0 of 0)"


@pytest.mark.parametrize(("events", "trials"), [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(events, trials):
    with pytest.raises(InputError, match="can escape"):
        escape_probability(events, trials)


def test_it_prints_what_a_paper_would_print():
    assert str(escape_probability(3, 10)) == "0.3 [0.0667, 0.652] at 95% (3 of 10)"
    assert np.isclose(escape_probability(3, 10).high, 0.6524528)
