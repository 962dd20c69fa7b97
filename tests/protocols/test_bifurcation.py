"""Bifurcation diagram: branches of the theory and the endpoints of training upon them."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from spinodal.protocols import bifurcation
from spinodal.protocols.bifurcation import BifurcationRecord, BifurcationSettings
from spinodal.report.figures import rendered
from spinodal.report.sections import fig4

SETTINGS = BifurcationSettings(grid=12, curve=41, time=600.0)


@pytest.fixture(scope="module")
def record() -> BifurcationRecord:
    return bifurcation.run(SETTINGS, seed=1)


def assert_endpoints_lie_on_the_branches(record: BifurcationRecord) -> None:
    for check in record.checks:
        assert check.ends > 0
        assert check.on_branch == check.ends
        assert check.parted == check.pairs


def test_training_ends_on_the_stable_branches_and_parts_at_the_unstable_one(record):
    assert_endpoints_lie_on_the_branches(record)
    assert all(check.pairs > 0 for check in record.checks)


def test_the_endpoint_depends_on_the_start_exactly_where_the_branches_coexist(record):
    for branch in record.branches:
        mine = [end for end in record.endpoints if end.mode == branch.mode and end.settled]
        kept = {e.weight_decay for e in mine if e.start == "learned" and e.strength > 0.01}
        grid = {end.weight_decay for end in mine if end.start == "learned"}
        assert kept == {decay for decay in grid if decay < branch.spinodal}
        assert all(end.strength < 1e-6 for end in mine if end.start == "trivial")


def test_a_wrong_regulariser_in_the_simulator_would_be_noticed(monkeypatch):
    honest = bifurcation.trainer
    monkeypatch.setattr(
        bifurcation,
        "trainer",
        lambda *where, weight_decay: honest(*where, weight_decay=weight_decay / 1.01),
    )
    with pytest.raises(AssertionError):
        assert_endpoints_lie_on_the_branches(bifurcation.run(SETTINGS, seed=1))


def test_saddle_and_learned_branch_meet_like_a_square_root(record):
    for branch in record.branches:
        # The curve's points lie at spinodal (1 - (1 - share)^2): linear in the square root.
        width = np.array(branch.learned[-6:-1], float) - np.array(branch.saddles[-6:-1], float)
        steps = np.diff(width)
        assert width[-1] == 0
        np.testing.assert_allclose(steps, steps[-1], rtol=0.05)


def test_spinodal_and_coexistence_are_the_closed_forms(record):
    strong, weak = record.branches
    assert strong.spinodal == pytest.approx(0.4105486347012045, rel=1e-13)
    assert weak.spinodal == pytest.approx(0.3508821285855439, rel=1e-13)
    assert weak.coexistence == pytest.approx(0.2947225198912309, rel=1e-13)
    assert strong.coexistence / strong.spinodal == pytest.approx(2 ** (4 / 3) / 3, rel=1e-13)
    assert weak.coexistence_strength == pytest.approx(2 * weak.spinodal_strength, rel=1e-13)


def test_at_depth_two_there_is_no_trap_and_the_branch_ends_at_zero():
    flat = bifurcation.run(BifurcationSettings(depth=2, grid=7, curve=21, time=300.0), seed=1)
    assert_endpoints_lie_on_the_branches(flat)
    for branch in flat.branches:
        assert branch.spinodal == branch.coexistence == pytest.approx(branch.signal, rel=1e-15)
        assert branch.spinodal_strength == 0
        assert set(branch.saddles) == {None}


def test_nothing_bifurcates_at_depth_one():
    with pytest.raises(ValidationError, match="depth 2 or more"):
        BifurcationSettings(depth=1)


def test_the_record_is_equal_every_time_and_survives_json(record):
    assert bifurcation.run(SETTINGS, seed=5) == record
    adapter = TypeAdapter(BifurcationRecord)
    assert adapter.validate_json(adapter.dump_json(record)) == record


def test_the_section_draws_its_record(record):
    section = fig4.section(record)
    assert "0.4105" in section.answer
    assert all(rendered(figure, resolution=40).png for figure in section.figures())
