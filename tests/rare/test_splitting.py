"""Splitting against exact answers: unbiased with ties, bad scores and few copies; honest intervals.

The exact processes are in `exact.py`.
"""

from __future__ import annotations

import json
import math
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_consistent, assert_covers
from pydantic import TypeAdapter

sys.path.insert(0, str(Path(__file__).parent))

from exact import BirthDeath, Walk, birth_death_time, chain_probability, chain_time, ruin

from spinodal.dynamics.diffusions import Diffusion
from spinodal.errors import InputError
from spinodal.rare.estimates import SplittingRate, spread
from spinodal.rare.flux import Numbers
from spinodal.rare.population import Population
from spinodal.rare.splitting import SplittingSettings, probability, rate, split
from spinodal.rare.swarms import DiffusionSwarm, ProcessSwarm, Ranked
from spinodal.seeding import generator

STEP = 0.1
OU = Diffusion(gradient=lambda x: x, score=lambda x: x[:, 0], step=STEP, temperature=1.0)
DEVIATION = math.sqrt(2 * STEP)


FEW = SplittingSettings(repetitions=16, copies=32, watchers=8)


def fall(x: np.ndarray) -> np.ndarray:
    """The deterministic part of a step of `OU`."""
    return x * (1 - STEP)


def many(repetitions: int = 150, copies: int = 16, **more: float) -> SplittingSettings:
    return SplittingSettings.model_validate({"repetitions": repetitions, "copies": copies, **more})


def mean_is(values: tuple[float, ...], truth: float) -> None:
    x = np.array(values)
    assert_consistent(x.mean(), truth, x.std(ddof=1) / math.sqrt(len(x)))


def walk(start: float, up: float = 0.4) -> DiffusionSwarm:
    return DiffusionSwarm(Walk(up), [start])


def ruin_values(**more: float) -> tuple[float, ...]:
    """Estimates of P(12 before 0) from 1 for the walk that drifts down."""
    swarm = walk(1.0)
    settings = SplittingSettings.model_validate({**dict(many()), **more})
    found = probability(swarm, swarm.start(0, [0]), floor=0, target=12, seed=5, settings=settings)
    return found.values


@pytest.mark.parametrize(("copies", "fraction"), [(16, 0.1), (16, 0.5), (5, 0.9)])
def test_the_probability_of_a_walk_with_ties_is_unbiased_for_any_kill_number(copies, fraction):
    values = ruin_values(copies=copies, kill_fraction=fraction)
    mean_is(values, ruin(0.4, 1, 12))


def test_extinct_populations_count_as_zeros():
    values = np.array(ruin_values(copies=3, repetitions=500))
    assert (values == 0).mean() > 0.4
    mean_is(tuple(values), ruin(0.4, 1, 12))


def test_forgetting_ties_is_seen(monkeypatch):
    branch = Population.branch

    def forgetful(self: Population):
        before = self.log_weight
        found = branch(self)
        if found is not None:
            self.log_weight = before + math.log1p(-self.kill / self.copies)
        return found

    monkeypatch.setattr(Population, "branch", forgetful)
    with pytest.raises(AssertionError, match="standard errors"):
        mean_is(ruin_values(), ruin(0.4, 1, 12))


def test_any_process_of_ones_own_can_be_split():
    swarm = ProcessSwarm(lambda: BirthDeath(0.4, start=1))
    found = probability(
        swarm, swarm.start(0, [0]), floor=0, target=8, seed=2, settings=many(100, 12)
    )
    mean_is(found.values, ruin(0.4, 1, 8))


def test_a_chain_in_continuous_space_has_the_probability_of_its_integral_equation():
    swarm = DiffusionSwarm(OU, [0.7])
    truth = chain_probability(fall, DEVIATION, start=0.7, floor=0.0, target=3.5)
    found = probability(
        swarm, swarm.start(0, [0]), floor=0, target=3.5, seed=3, settings=many(100, 20)
    )
    mean_is(found.values, truth)


def test_a_bad_rank_costs_variance_but_no_bias():
    truth = chain_probability(fall, DEVIATION, start=0.7, floor=0.0, target=2.5)
    swarm = DiffusionSwarm(OU, [0.7])
    useless = Ranked(swarm, lambda x: np.sin(20 * x[:, 0]) + 0.1 * x[:, 0])
    values = [
        probability(
            one, swarm.start(0, [0]), floor=0, target=2.5, seed=3, settings=many(120, 16)
        ).values
        for one in (swarm, useless)
    ]
    for some in values:
        mean_is(some, truth)
    assert np.var(values[1]) > 2 * np.var(values[0])


def test_two_channels_are_both_counted_although_the_score_sees_one():
    """From 0 either coordinate may reach 2.5; the rank follows the first one only."""
    both = Diffusion(
        gradient=lambda x: x, score=lambda x: x.max(axis=1), step=STEP, temperature=1.0
    )
    swarm = DiffusionSwarm(both, [0.0, 0.0])
    blind = Ranked(swarm, lambda x: x[:, 0])
    rates = [
        rate(one, target=3.0, seed=8, settings=many(20, 32, watchers=8)) for one in (swarm, blind)
    ]
    difference = rates[0].rate - rates[1].rate
    error = math.hypot(*(one.rate * one.relative_error for one in rates))
    assert_consistent(difference, 0.0, error)


def test_what_is_no_swarm_is_told_how_to_become_one():
    with pytest.raises(InputError, match="DiffusionSwarm"):
        rate(OU, target=1.0, seed=1)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("target", [1.0, 2.0, 4.0])
def test_mean_passage_times_are_those_of_the_integral_equation_high_and_low(target):
    truth = STEP * chain_time(fall, DEVIATION, start=0.0, target=target, low=-8.0)
    found = rate(
        DiffusionSwarm(OU, [0.0]), target=target, seed=11, settings=many(20, 32, watchers=8)
    )
    assert_consistent(found.rate * truth, 1.0, found.relative_error)
    assert found.relative_error < 0.3


@pytest.mark.parametrize(("start", "top"), [(0, 4), (3, 5), (0, 14)])
def test_mean_times_of_the_walk_are_exact_from_any_start(start, top):
    found = rate(walk(float(start)), target=top, seed=1, settings=many(24, 32, watchers=8))
    assert_consistent(found.rate * birth_death_time(0.4, start, top), 1.0, found.relative_error)


def test_time_per_step_and_looking_less_often_change_the_unit_and_what_is_seen():
    every = rate(DiffusionSwarm(OU, [0.0]), target=2.0, seed=4, settings=FEW)
    by_steps = rate(DiffusionSwarm(OU, [0.0]), target=2.0, seed=4, settings=FEW, time_per_step=1.0)
    # A diffusion knows its step, so its rates are per unit of its time.
    assert every.time_per_step == STEP
    assert every.rate == pytest.approx(by_steps.rate / STEP)
    seldom = rate(DiffusionSwarm(OU, [0.0], every=5), target=2.0, seed=4, settings=FEW)
    # Five steps of x <- (1 - h) x + noise are one step of the same kind.
    decay = (1 - STEP) ** 5
    deviation = DEVIATION * math.sqrt((1 - decay**2) / (1 - (1 - STEP) ** 2))
    truth = 5 * STEP * chain_time(lambda x: decay * x, deviation, start=0.0, target=2.0, low=-8.0)
    assert_consistent(seldom.rate * truth, 1.0, seldom.relative_error)


def test_intervals_cover_at_their_nominal_rate():
    truth = chain_probability(fall, DEVIATION, start=0.7, floor=0.0, target=1.8)
    swarm = DiffusionSwarm(OU, [0.7])
    found = probability(
        swarm, swarm.start(0, [0]), floor=0, target=1.8, seed=9, settings=many(800, 12)
    )
    parts = np.array(found.values).reshape(-1, 8)
    said = [spread(part.tolist(), 0.95) for part in parts]
    assert_covers(sum(s.low <= truth <= s.high for s in said), len(said), 0.95)


def test_the_same_seed_gives_the_same_numbers_on_any_number_of_threads():
    swarm = DiffusionSwarm(OU, [0.0])
    one, two, other = (
        rate(swarm, target=3.0, seed=seed, settings=many(6, 40, watchers=8), workers=workers)
        for seed, workers in ((1, 1), (1, 3), (2, 1))
    )
    assert one == two
    assert one.rate != other.rate


class Spy(DiffusionSwarm):
    """Notes the numbers that copies are given."""

    def __init__(self) -> None:
        super().__init__(OU, [0.0])
        self.given: list[int] = []

    def fork(self) -> Spy:
        return self

    def launch(self, states, seed, numbers):
        self.given += list(numbers)
        return super().launch(states, seed, numbers)


def test_no_two_copies_ever_share_a_number_and_so_a_stream(monkeypatch):
    spy = Spy()
    rate(spy, target=3.0, seed=1, settings=many(5, 20, watchers=4))
    assert len(set(spy.given)) == len(spy.given) > 100
    monkeypatch.setattr(Numbers, "take", lambda self, count: [self._next] * count)
    spy, start = Spy(), np.array([[0.7]])
    probability(spy, start, floor=0, target=2, seed=1, settings=many(2, 20))
    assert len(set(spy.given)) < len(spy.given)


def test_two_clones_of_one_parent_go_different_ways_and_the_same_number_the_same():
    swarm = DiffusionSwarm(OU, [0.0])
    swarm.launch(swarm.start(1, [0]), 1, [7])
    swarm.advance()
    parent = swarm.states(np.array([0, 0, 0]))
    swarm.launch(parent, 1, [8, 9, 8])
    a, b, again = swarm.advance().score
    assert a != b
    assert a == again


def test_fewer_steps_than_waiting_where_waiting_is_long():
    found = rate(DiffusionSwarm(OU, [0.0]), target=5.0, seed=2, settings=many(12, 60, watchers=8))
    assert found.mean_time > 1e5
    assert found.gain > 20


def test_quantising_the_score_keeps_fewer_states_and_no_bias():
    swarm = DiffusionSwarm(OU, [0.7])
    truth = chain_probability(fall, DEVIATION, start=0.7, floor=0.0, target=3.5)
    found = probability(
        swarm, swarm.start(0, [0]), floor=0, target=3.5, seed=3,
        settings=many(100, 24, resolution=0.5),
    )  # fmt: skip
    mean_is(found.values, truth)


def test_work_is_given_up_at_once_in_all_threads():
    """An interruption in the one that waits ends the others at their next move."""

    def interrupt(fraction: float, text: str) -> None:
        raise KeyboardInterrupt

    moves = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        rate(
            DiffusionSwarm(OU, [0.0]), target=1.0, seed=2, workers=2, progress=interrupt,
            settings=many(3000, 100),
        )  # fmt: skip
    assert threading.active_count() == moves


def test_all_that_is_said_goes_into_json():
    found = rate(DiffusionSwarm(OU, [0.0]), target=2.0, seed=4, settings=FEW)
    said = json.loads(json.dumps(found.plain(), allow_nan=False))
    assert said["rate"] == found.rate
    assert len(said["repetitions"]) == 16
    assert said["probability"] * said["flux"] == pytest.approx(said["rate"])


def test_heavy_tails_and_extinctions_are_told():
    quiet = spread([1.0, 1.1, 0.9, 1.0, 1.05, 0.95], 0.95)
    assert not quiet.heavy_tails
    assert quiet.warning == ""
    heavy = spread([0.01] * 19 + [30.0], 0.95)
    assert heavy.heavy_tails
    assert "99% of the sum" in heavy.warning
    assert "nobody arrived in 5 of 20" in spread([1.0] * 15 + [0.0] * 5, 0.95, extinct=5).warning
    assert "few" in spread([1.0, 1.2], 0.95).warning
    steady = [1.0, 1.1, 0.9, 1.0, 1.05, 0.95]
    assert "descend from 7 crossings" in spread(steady, 0.95, ancestors=7).warning
    assert spread(steady, 0.95, ancestors=70, copies=32).warning == ""
    assert "8 copies are few" in spread(steady, 0.95, copies=8).warning


@pytest.mark.parametrize("count", [5, 10, 30])
@pytest.mark.parametrize("variance", [0.3, 2.0, 10.0])
def test_intervals_of_skewed_estimates_hold_and_what_misses_is_warned_of(count, variance):
    """Log-normal estimates of mean 1, the tail of which few repetitions do not meet."""
    deviation = math.sqrt(math.log1p(variance))
    draws = np.random.default_rng([count, round(10 * variance)]).normal(size=(800, count))
    values = np.exp(deviation * draws - deviation**2 / 2)
    said = [spread(row.tolist(), 0.95) for row in values]
    holds = np.array([one.low <= 1 <= one.high for one in said])
    assert_covers(int(holds.sum()), len(holds), 0.93)
    silent = np.array([not one.heavy_tails for one in said])
    assert (silent & ~holds).mean() < 0.08
    if variance < 1:
        assert holds[silent].mean() > 0.92
        assert silent.mean() > 0.9
    if variance > 2:
        assert silent.mean() < 0.2


def test_zeros_and_one_positive_value_are_no_certainty():
    found = spread([0.0] * 5 + [1.0] * 5, 0.95, extinct=5)
    assert found.low < 0.5 < found.high
    assert "nobody arrived in 5 of 10" in found.warning
    assert spread([0.0] * 9 + [1.0], 0.95, extinct=9).heavy_tails


def test_when_nobody_arrives_nothing_is_bounded_and_it_is_told():
    found = rate(DiffusionSwarm(OU, [0.0]), target=6.5, seed=2, settings=many(3, 4, watchers=4))
    assert found.rate == 0
    assert found.high == math.inf
    assert found.extinctions == 3
    assert "Nobody arrived" in found.warning
    assert "no bound" in str(found)
    adapter = TypeAdapter(SplittingRate)
    assert adapter.validate_json(adapter.dump_json(found)) == found


class Odd(BirthDeath):
    """A walk with something wrong about it."""

    def __init__(self, value: float | None = None, state: object = None) -> None:
        super().__init__(0.5)
        self.value, self.odd_state = value, state

    def score(self) -> float:
        return super().score() if self.value is None else self.value

    def get_state(self) -> bytes:
        return super().get_state() if self.odd_state is None else self.odd_state  # type: ignore


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Odd(math.nan), "finite"),
        (lambda: Odd(-math.inf), "finite"),
        (lambda: Odd(1.0), "stayed at 1"),
        (lambda: BirthDeath(0.5, start=9), "starts at the target"),
    ],
)
def test_processes_that_cannot_be_split_are_told_why(make, said):
    with pytest.raises(InputError, match=said):
        rate(ProcessSwarm(make), target=5, seed=1, settings=many(2, 4, watchers=2))


def test_states_that_are_not_bytes_are_refused():
    with pytest.raises(InputError, match="must give bytes, got list"):
        ProcessSwarm(lambda: Odd(state=[1, 2]))


def test_a_target_below_the_basin_and_levels_beyond_the_target_are_refused():
    swarm = DiffusionSwarm(OU, [-3.0])
    with pytest.raises(InputError, match="must lie below"):
        rate(swarm, target=1.0, seed=1, settings=many(2, 4, floor=2.0))
    with pytest.raises(InputError, match="lies below the floor"):
        rate(swarm, target=5.0, seed=1, settings=many(2, 4, floor=2.0, first_level=1.0))
    with pytest.raises(InputError, match="above the basin"):
        probability(swarm, swarm.start(0, [0]), floor=1, target=1, seed=1)
    with pytest.raises(InputError, match="at least one state"):
        probability(swarm, np.empty((0, 1)), floor=0, target=1, seed=1)


def test_excursions_that_never_end_and_too_many_states_are_told():
    swarm = DiffusionSwarm(OU, [0.7])
    start = swarm.start(0, [0])
    with pytest.raises(InputError, match="neither returned"):
        probability(swarm, start, floor=-9, target=9, seed=1, settings=many(2, 4, longest=20))
    with pytest.raises(InputError, match="coarser resolution"):
        probability(swarm, start, floor=-9, target=9, seed=1, settings=many(2, 4, memory=1e-4))


@pytest.mark.parametrize("workers", [1, 3])
def test_whether_memory_suffices_does_not_depend_on_workers(workers):
    swarm = DiffusionSwarm(OU, [0.7])
    start = swarm.start(0, [0])
    most = sorted(seen_bytes(swarm, start))
    # Between the two greediest repetitions: one of twelve asks for more than its share.
    share = (most[-1] + most[-2]) / 2
    for bytes_each, enough in ((share, False), (most[-1] + 1, True)):
        settings = many(12, 32, memory=12 * bytes_each / 2**20)
        if enough:
            probability(swarm, start, floor=0, target=3, seed=3, settings=settings, workers=workers)
            continue
        with pytest.raises(InputError, match="more states"):
            probability(swarm, start, floor=0, target=3, seed=3, settings=settings, workers=workers)


def seen_bytes(swarm: DiffusionSwarm, start: np.ndarray) -> list[float]:
    """The most bytes that each of twelve repetitions keeps in any batch."""
    settings = many(12, 32)
    found = []
    for one in range(12):
        sizes: list[float] = []
        split(
            swarm.fork(), [start], settings.rules(0, 3), settings, 3, [Numbers(one)],
            [generator(3, "splitting", one)],
            observe=lambda paths, sizes=sizes: sizes.append(paths.states.nbytes),
        )  # fmt: skip
        found.append(max(sizes))
    return found
