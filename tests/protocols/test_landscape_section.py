"""The landscape of one feature: saddle and barriers from theory, and found again by training."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from spinodal.errors import InputError
from spinodal.protocols import landscape_section, saddle_search
from spinodal.protocols.landscape_section import Cut, LandscapeRecord, LandscapeSettings
from spinodal.report.figures import rendered
from spinodal.report.sections import fig2a
from spinodal.theory import modes

SETTINGS = LandscapeSettings(resolution=1e-6, points=41)


@pytest.fixture(scope="module")
def record() -> LandscapeRecord:
    return landscape_section.run(SETTINGS, seed=1)


def assert_found_by_training(cut: Cut) -> None:
    """Training knows no formula; its saddle, barriers and minimum must be the theory's."""
    assert cut.saddle is not None
    assert cut.learned is not None
    assert cut.barrier_out is not None
    assert cut.barrier_back is not None
    assert {edge.starts for edge in cut.edges} == {"balanced", "displaced"}
    for edge in cut.edges:
        # The hesitation point is off by the last gap, and by what is left of the push: about the
        # square root of the resolution for a push that decays as fast as the saddle repels.
        reach = 20 * edge.uncertainty + SETTINGS.resolution
        assert abs(edge.saddle - cut.saddle) < min(reach, 1e-3)
        # At a saddle the loss is flat, so barriers are right to the second order.
        np.testing.assert_allclose(edge.barrier_out, cut.barrier_out, rtol=0, atol=1e-6)
        np.testing.assert_allclose(edge.barrier_back, cut.barrier_back, rtol=0, atol=1e-6)
        np.testing.assert_allclose(edge.learned, cut.learned, rtol=0, atol=1e-9)


def test_the_saddle_at_weight_decay_0_32_is_the_exact_root(record):
    here = record.at_reference
    assert here.saddle == pytest.approx(0.09254518033414291, rel=1e-12)
    assert here.learned == pytest.approx(0.342742839981987, rel=1e-12)
    assert here.barrier_out == pytest.approx(0.02845346173057813, rel=1e-12)
    assert here.barrier_back == pytest.approx(0.008828980096701275, rel=1e-12)
    assert here.gap == pytest.approx(0.01962448163387686, rel=1e-12)


def test_training_alone_finds_the_same_saddles_and_barriers(record):
    for cut in record.cuts:
        assert_found_by_training(cut)


def test_a_wrong_regulariser_in_the_simulator_would_be_noticed(monkeypatch):
    honest, train = saddle_search.gradients, saddle_search.trainer

    def weaker(*moments):
        return [1.02 * slope for slope in honest(*moments)]

    def trainer(*where, weight_decay):
        return train(*where, weight_decay=weight_decay / 1.02)

    monkeypatch.setattr(saddle_search, "gradients", weaker)
    monkeypatch.setattr(saddle_search, "trainer", trainer)
    spoilt = landscape_section.run(
        LandscapeSettings(weight_decays=(0.32,), resolution=1e-4, points=5), seed=1
    )
    with pytest.raises(AssertionError):
        assert_found_by_training(spoilt.at_reference)


def test_the_stated_saddle_is_a_learned_point_at_another_weight_decay(record):
    assert record.learned_there is not None
    there = modes.stationary_points(depth=3, signal=0.8, weight_decay=record.learned_there)
    assert there.learned == pytest.approx(record.stated_saddle, rel=1e-12)
    assert record.residual == pytest.approx(0.0407, abs=5e-5)
    assert record.barrier_there is not None
    height = modes.barrier_out(depth=3, signal=0.8, weight_decay=record.barrier_there)
    assert height == pytest.approx(record.stated_barrier, rel=1e-9)


@given(depth=st.integers(3, 60), fraction=st.floats(1e-3, 1 - 1e-9))
def test_no_depth_and_no_weight_decay_puts_a_saddle_beyond_half_the_signal(depth, fraction):
    decay = fraction * float(modes.spinodal(depth, 0.8))
    assert modes.saddle(depth=depth, signal=0.8, weight_decay=decay) < 0.4


def test_equation_1_as_printed_gives_neither_stated_number(record):
    literal = record.readings[1]
    assert literal.saddle == pytest.approx(0.00239, abs=5e-6)
    assert literal.barrier_out == pytest.approx(0.00095, abs=5e-6)
    assert literal.spinodal == pytest.approx(1.0526, abs=5e-5)


def test_depth_four_has_the_golden_ratio_saddle_also_in_training():
    settings = LandscapeSettings(
        depth=4, width=3, signals=(0.8,), mode=1, weight_decays=(0.2,), reference=0.2,
        resolution=1e-6, points=5,
    )  # fmt: skip
    here = landscape_section.run(settings, seed=2).at_reference
    assert here.saddle == pytest.approx((3 - np.sqrt(5)) / 10, rel=1e-12)
    assert here.edges[0].saddle == pytest.approx((3 - np.sqrt(5)) / 10, abs=1e-6)
    assert here.edges[0].barrier_out == pytest.approx((3 + np.sqrt(5)) / 100, abs=1e-9)


def test_above_the_spinodal_there_is_a_curve_but_no_saddle():
    settings = LandscapeSettings(weight_decays=(0.32, 0.4), resolution=1e-2, points=5)
    there = landscape_section.run(settings, seed=1).cuts[1]
    assert not there.exists
    assert (there.saddle, there.barrier_out, there.gap, there.edges) == (None, None, None, ())
    assert np.all(np.diff(there.losses) > 0)


def test_asking_only_above_the_spinodal_is_refused_by_its_name():
    settings = LandscapeSettings(weight_decays=(0.36,), reference=0.4)
    with pytest.raises(InputError, match=r"spinodal, 0\.350882"):
        landscape_section.run(settings, seed=1)
    with pytest.raises(InputError, match="depth >= 3"):
        landscape_section.run(LandscapeSettings(depth=2), seed=1)


def test_a_mode_without_a_signal_is_refused():
    with pytest.raises(ValidationError, match="mode 3"):
        LandscapeSettings(mode=3)


def test_the_same_seed_gives_an_equal_record_that_survives_json(record):
    small = LandscapeSettings(weight_decays=(0.3,), reference=0.3, resolution=1e-3, points=5)
    once = landscape_section.run(small, seed=1)
    assert landscape_section.run(small, seed=1) == once
    assert landscape_section.run(small, seed=2) != once
    adapter = TypeAdapter(LandscapeRecord)
    assert adapter.validate_json(adapter.dump_json(record)) == record


def test_the_section_tells_the_numbers_of_its_record(record):
    section = fig2a.section(record)
    assert "0.092545" in section.answer
    assert [row.verdict for row in section.stated] == ["wrong", "wrong"]
    for figure in section.figures():
        assert rendered(figure, resolution=40).png
