"""From arms with and without noise to a verdict: what must be called what, and what never."""

import itertools
from typing import get_args

import numpy as np
import pytest
from posteriors import table

from spinodal.errors import InputError
from spinodal.records import EscapeTimes, VerdictName
from spinodal.statistics.mechanism import Barrier, Control, Findings, Memory, judge, mechanism
from spinodal.statistics.waiting_times import memorylessness


def exponential(seed: int, n: int = 200, mean: float = 1.0, cutoff: float = 3.0) -> EscapeTimes:
    return table(np.random.default_rng(seed).exponential(mean, n), cutoff)


def narrow(seed: int, n: int = 200) -> EscapeTimes:
    return table(np.random.default_rng(seed).normal(1.0, 0.1, n), 3.0)


def nobody(n: int = 200, watched: float = 3.0) -> EscapeTimes:
    return table(np.full(n, 99.0), watched)


def recalled(times: EscapeTimes):
    return memorylessness(times, generator=np.random.default_rng(0), resamples=199)


def verdict(noisy: EscapeTimes, **evidence) -> str:
    return mechanism(noisy, memory=recalled(noisy), **evidence).verdict


def test_memoryless_escapes_over_a_barrier_with_a_silent_twin_are_activated():
    for barrier in (None, 5.0):
        assert verdict(exponential(0), quiet=nobody(), barrier_over_t=barrier) == "noise_activated"


def test_nothing_is_activated_without_a_control():
    found = mechanism(exponential(0), memory=recalled(exponential(0)), barrier_over_t=5.0)
    assert found.verdict == "cannot_tell"
    assert "There is no control without noise." in found.evidence
    assert "without noise" in found.advice


def test_what_escapes_as_well_without_noise_is_noise_free_drift_however_exponential():
    assert verdict(exponential(0), quiet=exponential(1), barrier_over_t=5.0) == "noise_free_drift"
    assert verdict(narrow(0), quiet=narrow(1)) == "noise_free_drift"


def test_narrow_times_with_a_silent_twin_are_driven_by_noise_over_no_barrier():
    assert verdict(narrow(0), quiet=nobody()) == "noise_drift"
    few = narrow(1, n=12)  # a rising hazard shows long before a hundred events
    assert verdict(few, quiet=nobody()) == "noise_drift"
    assert verdict(table(np.full(50, 1.0), 3.0), quiet=nobody()) == "noise_drift"


def test_a_control_watched_for_too_short_a_time_is_not_silent():
    assert verdict(narrow(0), quiet=nobody(watched=0.5)) == "cannot_tell"
    assert verdict(exponential(0), quiet=nobody(n=2, watched=0.1)) == "cannot_tell"
    # One deterministic run is one run, but where it starts at rest the saddle's sides settle it.
    assert verdict(exponential(0), quiet=nobody(n=1)) == "cannot_tell"
    assert verdict(exponential(0), quiet=nobody(n=1), sides=True) == "noise_activated"


def test_replicas_cooled_in_the_trap_are_a_control_and_one_that_escapes_decides():
    assert verdict(exponential(0), cooled=nobody()) == "noise_activated"
    assert verdict(exponential(0), quiet=nobody(), cooled=exponential(1)) == "noise_free_drift"


def test_a_control_that_escapes_far_more_slowly_needs_a_known_barrier():
    slow = exponential(2, mean=60.0)
    assert slow.events > 0
    assert verdict(exponential(0), quiet=slow, barrier_over_t=5.0) == "noise_activated"
    assert verdict(exponential(0), quiet=slow) == "cannot_tell"
    # Slower, but not by enough.
    rather = exponential(3, mean=2.5)
    assert verdict(exponential(0), quiet=rather, barrier_over_t=5.0) == "noise_free_drift"


def test_without_a_barrier_of_several_t_nothing_is_activated():
    quiet = nobody()
    assert verdict(exponential(0), quiet=quiet, barrier_over_t=1.0) == "cannot_tell"
    assert verdict(exponential(0), quiet=quiet, barrier_over_t=float("nan")) == "noise_drift"
    assert (
        verdict(exponential(0), quiet=quiet, barrier_over_t=5.0, over_spinodal=0.9) == "noise_drift"
    )


def test_below_a_hundred_escapes_memorylessness_is_untested_and_nothing_is_activated():
    found = mechanism(
        exponential(0, n=60),
        quiet=nobody(),
        memory=recalled(exponential(0, n=60)),
        barrier_over_t=5,
    )
    assert found.verdict == "cannot_tell"
    assert "100" in found.advice


def test_a_mixture_of_fast_and_slow_data_sets_is_not_activated_by_this_evidence():
    g = np.random.default_rng(4)
    mixed = table(g.exponential(np.where(np.arange(300) % 2, 0.05, 2.0)), 3.0)
    assert verdict(mixed, quiet=nobody()) == "cannot_tell"


def test_where_nothing_escapes_only_absent_noise_makes_it_absorbed():
    found = mechanism(nobody(), quiet=nobody(), reachable=False)
    assert found.verdict == "absorbed"
    assert found.cost is not None
    assert "more than" in found.cost
    assert mechanism(nobody(), quiet=nobody()).verdict == "cannot_tell"
    assert mechanism(nobody(), quiet=exponential(0), reachable=False).verdict == "cannot_tell"


def test_what_diverges_is_numerical():
    times = exponential(0, n=20)
    blown = EscapeTimes(
        replica=times.replica,
        dataset=times.dataset,
        steps=times.steps,
        time=times.time,
        status=np.full(20, "diverged"),
    )
    assert mechanism(blown, quiet=nobody()).verdict == "numerical"
    assert verdict(exponential(0), quiet=blown) == "cannot_tell"


def test_every_combination_has_a_verdict_and_activated_needs_all_of_its_evidence():
    activated = []
    for control, memory, barrier in itertools.product(
        get_args(Control), get_args(Memory), get_args(Barrier)
    ):
        found = judge(Findings(escapes=9, control=control, memory=memory, barrier=barrier))
        assert found in get_args(VerdictName)
        if found == "noise_activated":
            activated.append((control, memory, barrier))
    assert activated == [
        ("silent", "consistent", "several"),
        ("silent", "consistent", "unknown"),
        ("slower", "consistent", "several"),
    ]


@pytest.mark.parametrize("unit", [1e-300, 1e300])
def test_one_replica_and_any_unit_of_time_have_a_verdict(unit):
    one = table([unit], 2 * unit)
    assert mechanism(one, quiet=table([3 * unit], 2 * unit)).verdict == "cannot_tell"
    many = table(unit * np.random.default_rng(0).exponential(size=200), 3 * unit)
    assert verdict(many, quiet=table(np.full(200, 9 * unit), 3 * unit)) == "noise_activated"
    with pytest.raises(InputError, match="at least one"):
        mechanism(table([], 1.0))
