"""The ledger: entering looks in blocks is entering them one by one, whatever was seen."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinodal.dynamics.cut import find_cut
from spinodal.dynamics.ensemble import Ensemble
from spinodal.dynamics.events import Event, Ledger
from spinodal.dynamics.observables import Gauge, Looks, Measured
from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.dynamics.updates import Update

EVERY = 4
TASK = GaussianTask(signals=(0.5,))


@dataclass
class Case:
    """Maps (looks, replicas) of one weight; NaN is divergence."""

    maps: np.ndarray
    events: tuple[Event, ...]
    competing: bool
    record_at: tuple[int, ...]
    blocks: list[int]


@st.composite
def cases(pick) -> Case:
    looks, replicas = pick(st.integers(2, 12)), pick(st.integers(1, 4))
    # 0 is trivial, 1 learned, 2 far out, 3 lost
    codes = st.lists(st.sampled_from([0, 0, 0, 1, 1, 1, 1, 2, 3]), min_size=looks, max_size=looks)
    maps = np.array([0.1, 0.7, 1.5, np.nan])[np.array([pick(codes) for _ in range(replicas)]).T]
    maps[0] = 0.1
    events = [
        Event(threshold=pick(st.sampled_from([0.5, 1.0])), persistence=pick(st.integers(1, 3))),
        Event(observable="test_error", threshold=0.45, direction="below"),
    ]
    records = pick(st.sampled_from([(), (0, EVERY), (EVERY * (looks - 1),)]))
    return Case(
        maps=maps,
        events=tuple(events[: pick(st.integers(1, 2))]),
        competing=pick(st.booleans()),
        record_at=records,
        blocks=pick(st.lists(st.sampled_from([1, 1, 1, 2, 5]), min_size=12, max_size=12)),
    )


def one_by_one(case: Case, maps: np.ndarray) -> dict:
    """What became of one replica, told in the plainest way."""
    errors = 0.5 * (1 - 2 * 0.5 * maps + maps**2)
    hits: list[int | None] = [None] * len(case.events)
    streaks = [0] * len(case.events)
    end, lost, well = len(maps) - 1, False, 0
    for look in range(len(maps)):
        if np.isnan(maps[look]):
            end, lost = look, True
            break
        well = look
        for e, event in enumerate(case.events):
            value = maps[look] if event.observable == "strength" else errors[look]
            assert isinstance(event.threshold, float)
            above = event.direction == "above"
            beyond = value > event.threshold if above else value < event.threshold
            streaks[e] = streaks[e] + 1 if beyond and look > 0 else 0
            free = not case.competing or all(hit is None for hit in hits)
            if streaks[e] == event.persistence and hits[e] is None and free:
                hits[e] = look - event.persistence + 1
        met = [hit is not None for hit in hits]
        if not case.record_at and (any(met) if case.competing else all(met)):
            end = look
            break
    return {"hits": hits, "end": end, "lost": lost, "well": well}


def in_blocks(case: Case) -> Ledger:
    looks, replicas = case.maps.shape
    gauge = Gauge([draw(TASK, seed=1, dataset=0)], np.zeros(replicas, int), inputs=1, linear=True)
    alive = np.arange(replicas)

    def seen(some: slice) -> Measured:
        maps = case.maps[some]
        return Measured(maps[:, None, None], np.where(np.isnan(maps), np.inf, maps**2))

    before = seen(slice(0, 1))
    block = Looks(np.array([0]), before, before, gauge)
    start = block.pick(np.zeros(replicas, dtype=np.intp), alive)
    thresholds = np.tile([float(event.threshold) for event in case.events], (replicas, 1))
    ledger = Ledger(case.events, case.record_at, thresholds, start, competing=case.competing)
    ledger.enter(block, alive)
    at = 1
    for size in case.blocks:
        if at < looks:
            some = slice(at, min(at + size, looks))
            steps = EVERY * np.arange(looks)[some]
            block = Looks(steps, seen(some), before, gauge)
            ledger.enter(block, alive)
            before, at = block.last, some.stop
    ledger.close(block, alive)
    return ledger


@settings(max_examples=800)
@given(cases())
def test_blocks_of_looks_are_looks_one_by_one(case):
    if sum(case.blocks) < len(case.maps) - 1:
        case.blocks[-1] = len(case.maps)
    with np.errstate(invalid="ignore"):
        ledger = in_blocks(case)
    for i in range(case.maps.shape[1]):
        maps = case.maps[:, i]
        told = one_by_one(case, maps)
        found = [None if hit < 0 else hit // EVERY for hit in ledger.hit[i]]
        assert found == told["hits"]
        assert ledger.watched[i] == EVERY * told["end"]
        assert (ledger.diverged[i] >= 0) == told["lost"]
        assert ledger.strengths[i, 0] == pytest.approx(maps[told["well"]])
        assert ledger.norm[i] == pytest.approx(maps[told["well"]] ** 2)
        for record, step in enumerate(case.record_at):
            look = min(step // EVERY, told["well"])
            assert ledger.recorded_strengths[i, record, 0] == pytest.approx(maps[look])


def test_a_cut_waits_until_no_earlier_escape_can_turn_up():
    ensemble = Ensemble(
        task=TASK,
        update=Update(learning_rate=0.1, weight_decay=0.1, sampling="population"),
        events=(Event(threshold=0.5, persistence=3),),
        steps=1000,
        check_every=EVERY,
    )
    dates = np.array([[60, 92, 92, 96], [3, 7, 5, 1]])
    for events, cut in ((1, (60, 3)), (2, (92, 5)), (3, (92, 7)), (4, None)):
        found = find_cut(ensemble, dates, events, 100)  # looks up to 100 confirm dates up to 92
        assert (found and (found.step, found.replica)) == cut
    assert find_cut(ensemble, dates, 4, 104) is not None
    assert find_cut(ensemble, np.array([[996], [0]]), 1, 1000) is not None
