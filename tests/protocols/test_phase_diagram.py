"""Weight-decay sweeps: every transition beside the prediction from its own sample."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy.integrate import quad

from spinodal.dynamics.tasks import draw
from spinodal.protocols import phase_diagram
from spinodal.protocols.phase_diagram import PhaseDiagramRecord, PhaseDiagramSettings
from spinodal.protocols.quasi_static import predict, predict_population, strength_at
from spinodal.protocols.sweep_records import Mean, ModeSummary
from spinodal.protocols.weight_decay_sweep import last_held
from spinodal.report.figures import rendered
from spinodal.report.sections import fig3
from spinodal.theory import modes

SETTINGS = PhaseDiagramSettings(
    samples=512, batch_size=128, learning_rate=0.15, step=0.02, top=0.52, rung_epochs=60,
    datasets=3, spectra=6,
)  # fmt: skip


@pytest.fixture(scope="module")
def record() -> PhaseDiagramRecord:
    return phase_diagram.run(SETTINGS, seed=3)


def assert_transitions_follow_the_own_sample(record: PhaseDiagramRecord) -> None:
    """Never early beyond the grid, late by no more than a rung's worth of lingering."""
    for sweep in record.sweeps:
        for found in sweep.transitions:
            assert found.noiseless is not None
            assert -0.51 * record.step < found.noiseless - found.predicted < 1.51 * record.step


def test_every_sample_loses_its_features_where_its_own_moments_say(record):
    assert_transitions_follow_the_own_sample(record)
    for sweep in record.sweeps:
        for found in sweep.transitions:
            assert found.measured is not None
            assert abs(found.measured - found.predicted) < 2 * record.step


def test_a_wrong_regulariser_in_the_simulator_would_be_noticed(monkeypatch):
    honest = phase_diagram.sweep
    monkeypatch.setattr(
        phase_diagram, "sweep", lambda state, rungs, **how: honest(state, rungs / 1.15, **how)
    )
    settings = SETTINGS.model_copy(update={"datasets": 2, "spectra": 3, "rung_epochs": 30})
    with pytest.raises(AssertionError):
        assert_transitions_follow_the_own_sample(phase_diagram.run(settings, seed=3))


def test_shorter_rungs_and_their_twins_never_lose_a_feature_sooner(record):
    for sweep in record.sweeps:
        for found in sweep.transitions:
            assert found.short_noiseless is not None
            assert found.noiseless is not None
            assert found.short_noiseless >= found.noiseless


def test_the_strength_before_the_jump_is_the_theorys_at_that_rung(record):
    for sweep in record.sweeps:
        for found in sweep.transitions:
            # The full batch has no noise; what is left is slowness near the end of the branch.
            # There d' = -K d^2 at worst for the distance d, so after a rung d < 1 / (K time):
            # K = L l^(2 - 2/L) (1 - 1/L) / l at the strength l where the branch ends.
            end = found.jump_predicted
            slowest = 1 / (3 * end ** (4 / 3) * (2 / 3) / end * record.rung_time)
            assert -1e-3 < found.before_noiseless - found.before_predicted < slowest
            assert found.before_predicted > found.jump_predicted
            assert found.after is not None
            assert found.after < 1e-3


def test_no_sweep_down_regains_a_rank(record):
    assert [group.regained for group in record.regained] == [0, 0, 0]
    assert all(group.lanes > 0 for group in record.regained)
    assert all(0 < group.bound < 1 for group in record.regained)
    for sweep in record.sweeps:
        assert max(sweep.down.effective_rank) == 0
        if sweep.turned is not None:
            assert max(sweep.turned.effective_rank) == 1
            assert sweep.turned.strengths[0][0] > 0.7


def test_the_loop_area_is_the_predicted_one_but_for_the_lag(record):
    for sweep in record.sweeps:
        for found in sweep.transitions:
            assert found.noiseless is not None
            lag = abs(found.noiseless - found.predicted) + record.step
            late = found.area_noiseless - found.area_predicted
            assert abs(late) < lag * 1.3 * found.jump_predicted


def test_the_conditioned_sample_has_the_transitions_that_the_paper_states():
    task = SETTINGS.task.model_copy(update={"empirical_signals": (0.9155, 0.8155)})
    found = predict(draw(task, seed=9, dataset=4).train, 3)
    np.testing.assert_allclose(found.spinodals, modes.spinodal(3, [0.9155, 0.8155]), rtol=1e-9)
    np.testing.assert_allclose(found.spinodals, [0.42, 0.36], atol=5e-5)
    closed = predict_population((0.9155, 0.8155), 3)
    np.testing.assert_allclose(found.jumps, closed.jumps, rtol=1e-4)
    np.testing.assert_allclose(found.areas, closed.areas, rtol=1e-4)


def test_the_population_area_is_the_integral_of_the_learned_branch():
    def learned(decay: float) -> float:
        return float(modes.learned(depth=3, signal=0.8, weight_decay=decay))

    limit = float(modes.spinodal(3, 0.8))
    whole = quad(learned, 0, limit * (1 - 1e-12), limit=200)[0]
    assert predict_population((0.9, 0.8), 3).areas[1] == pytest.approx(whole, rel=1e-5)


def test_the_predicted_strength_ends_at_the_predicted_jump():
    moments = draw(SETTINGS.task, seed=1, dataset=0).train
    found = predict(moments, 3)
    for mode, (limit, jump) in enumerate(zip(found.spinodals, found.jumps, strict=True), start=1):
        near, far = (strength_at(moments, 3, mode, limit * (1 - gap)) for gap in (1e-6, 4e-6))
        # A square-root end: the distance from the jump doubles when that from the end quadruples.
        assert (far - jump) / (near - jump) == pytest.approx(2, rel=0.02)


def test_transitions_of_larger_samples_scatter_less_as_the_root_of_their_size():
    count, spreads = 40, []
    for samples in (256, 1024):
        settings = SETTINGS.model_copy(update={"samples": samples, "spectra": count})
        found, _ = phase_diagram.spectra(settings, 5, range(settings.spectra))
        spreads.append(found.std(axis=0, ddof=1))
    logs = np.log(spreads[0] / spreads[1])
    # Each log spread has the standard error 1/sqrt(2 (n - 1)); quadrupled size halves the spread.
    z = (logs - np.log(2)) / np.sqrt(1 / (count - 1))
    assert np.all(np.abs(z) < 4), f"{z} standard errors"


def test_last_held_wants_a_fall_inside_the_range():
    assert last_held(np.array([0.9, 0.5, 0.3, 0.0]), 0.1) == 2
    assert last_held(np.array([0.9, 0.5, 0.3]), 0.1) is None
    assert last_held(np.array([0.0, 0.0]), 0.1) is None


def test_a_mean_carries_its_interval_and_leaves_out_what_does_not_exist():
    found = Mean.of([1.0, None, 2.0, 3.0])
    assert (found.mean, found.count, found.deviation) == (2.0, 3, 1.0)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 2.0 - 2 * 3**-0.5
    assert found.high - 2.0 == pytest.approx(2.0 - found.low)
    assert Mean.of([None]).mean is None


def test_sweeps_that_cannot_show_the_transitions_are_refused():
    with pytest.raises(ValidationError, match=r"0\.4105"):
        PhaseDiagramSettings(top=0.4)
    with pytest.raises(ValidationError, match="depth >= 3"):
        PhaseDiagramSettings(depth=2)
    with pytest.raises(ValidationError, match="as many as signals"):
        PhaseDiagramSettings(signals=(0.9,))


def test_other_depths_and_numbers_of_features_give_records_too():
    settings = PhaseDiagramSettings(
        depth=4, width=4, signals=(0.9, 0.6, 0.3), empirical_signals=None, samples=256,
        batch_size=128, learning_rate=0.15, step=0.05, top=0.5, rung_epochs=10, datasets=2,
        spectra=3,
    )  # fmt: skip
    found = phase_diagram.run(settings, seed=1)
    assert found.stated is None
    assert [mode.stated_z for mode in found.summaries] == [None] * 3
    assert fig3.section(found).tables()


def test_the_same_seed_gives_an_equal_record_that_survives_json(record):
    small = SETTINGS.model_copy(update={"datasets": 2, "spectra": 3, "rung_epochs": 4})
    once = phase_diagram.run(small, seed=3)
    assert phase_diagram.run(small, seed=3) == once
    assert phase_diagram.run(small, seed=4) != once
    adapter = TypeAdapter(PhaseDiagramRecord)
    assert adapter.validate_json(adapter.dump_json(record)) == record


def test_the_section_draws_its_record(record):
    section = fig3.section(record)
    assert all(rendered(figure, resolution=40).png for figure in section.figures())
    assert isinstance(record.summaries[0], ModeSummary)
    assert "0 of" in section.answer
