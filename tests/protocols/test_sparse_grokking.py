"""The sparse delay is a noise-free drift that the checkpoint's residual sets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure as Canvas
from pydantic import TypeAdapter

from spinodal.dynamics.networks import Network
from spinodal.dynamics.tasks import Data, Moments
from spinodal.protocols import sparse_grokking
from spinodal.protocols.sparse_grokking import (
    Record,
    growth_signal,
    growth_time,
    implied_signal,
    residual_for_time,
)
from spinodal.protocols.sparse_records import SparseGrokkingSettings
from spinodal.report.sections import fig1b
from spinodal.theory.plateau import plateau_time

SMALL = SparseGrokkingSettings(
    datasets=3,
    residuals=(1e-4, 1e-5, 1e-9, 0.0),
    noisy_residuals=(1e-4, 1e-5, 1e-9, 0.0),
    horizon=1500,
    stated_epochs=400,
    test_samples=500,
)


@pytest.fixture(scope="module")
def record() -> Record:
    return sparse_grokking.run(SMALL, seed=7)


@given(
    depth=st.integers(3, 6),
    signal=st.floats(0.3, 1.5),
    time=st.floats(5, 400),
    weight_decay=st.floats(1e-3, 5e-3),
)
def test_the_needed_residual_and_the_implied_signal_invert_the_growth_time(
    depth: int, signal: float, time: float, weight_decay: float
) -> None:
    end = (10 * weight_decay / signal) ** (depth / (depth - 2))
    start = residual_for_time(time, end, depth=depth, signal=signal, weight_decay=weight_decay)
    back = growth_time(start, end, depth=depth, signal=signal, weight_decay=weight_decay)
    # Close to the separatrix the time is the logarithm of a small difference.
    slack = 1e-12 * math.exp((depth - 2) * weight_decay * time) / weight_decay
    assert abs(back - time) <= slack + 1e-9 * time
    implied = implied_signal(time, start, end, depth=depth, weight_decay=weight_decay)
    np.testing.assert_allclose(implied, signal, rtol=1e-9)


@pytest.mark.parametrize("depth", [3, 4, 5])
def test_growth_of_a_small_strength_is_the_exact_flow_up_to_its_size(depth: int) -> None:
    mode = {"depth": depth, "signal": 0.8, "weight_decay": 0.0025}
    errors = []
    for end in (1e-2, 1e-3):
        start = end / 8
        exact = np.subtract(
            *(plateau_time(amplitude=s ** (1 / depth), **mode) for s in (start, end))
        )
        errors.append(float(exact / growth_time(start, end, **mode) - 1))
    assert 0 < errors[1] < errors[0] < 0.02
    assert 5 < errors[0] / errors[1] < 20


def test_below_the_separatrix_a_strength_never_arrives() -> None:
    mode = {"depth": 3, "signal": 0.8, "weight_decay": 0.0025}
    wall = (0.0025 / 0.8) ** 3
    times = growth_time([0.0, 0.99 * wall, 1.01 * wall], 1e-3, **mode)
    assert np.isinf(times).tolist() == [True, True, False]


def test_the_growth_signal_of_aligned_data_is_the_second_signal() -> None:
    moments = Moments(xx=np.eye(2), yx=np.diag([0.9, 0.8]), yy=np.eye(2))
    signal = growth_signal(Data(train=moments, test=moments), depth=3, weight_decay=0.0025)
    np.testing.assert_allclose(signal, 0.8, rtol=1e-10)


def test_noise_free_delays_follow_the_prediction_from_the_samples_own_moments(
    record: Record,
) -> None:
    rows = [e for e in record.escapes if e.residual in (1e-4, 1e-5)]
    assert len(rows) == 6
    for row in rows:
        assert row.predicted is not None
        assert row.full_batch is not None
        # The network first relearns its first feature at the new weight decay, in some tens
        # of updates; nothing else separates the two numbers.
        assert abs(row.full_batch - row.predicted) < 5 + 0.01 * row.predicted


def test_the_populations_signal_would_not_predict_them(record: Record) -> None:
    off = [
        growth_time(e.strength, 1e-3, depth=3, signal=0.8, weight_decay=0.0025) / 0.1
        for e in record.escapes
        if e.residual == 1e-5
    ]
    seen = [e.full_batch or 0 for e in record.escapes if e.residual == 1e-5]
    assert np.abs(np.log(np.divide(off, seen))).max() > 0.1


def test_converged_and_projected_checkpoints_never_escape(record: Record) -> None:
    rows = [e for e in record.escapes if e.residual in (1e-9, 0.0)]
    assert len(rows) == 6
    assert all(e.predicted is e.full_batch is e.small_batch is None for e in rows)
    assert record.wrong_side == 0


def test_sampling_noise_does_not_shorten_the_wait(record: Record) -> None:
    assert record.small_batch_pairs == 6
    assert record.small_batch_only == 0
    assert record.small_batch_earlier == 0
    assert record.noise_signal.mean is not None
    assert record.noise_signal_half_rate.mean is not None
    assert record.noise_signal.mean < record.noise_signal_half_rate.mean < 0


def test_a_batch_larger_than_the_sample_is_the_full_batch_or_no_step_at_all(
    record: Record,
) -> None:
    assert record.steps_per_epoch_floor is None
    assert record.refusal is not None
    assert record.steps_per_epoch_keep == 1
    assert record.literal_batch_difference == 0


def test_any_delay_can_be_ordered_by_the_residual(record: Record) -> None:
    for row in record.datasets:
        assert row.epochs_there is not None
        assert abs(row.epochs_there / record.stated_epochs - 1) < 0.03
        assert row.abruptness is not None
        assert row.abruptness < 0.2
        assert row.final_train < row.plateau_train


def test_a_record_survives_json_and_depends_on_the_seed_alone(record: Record) -> None:
    adapter = TypeAdapter(Record)
    assert adapter.validate_json(adapter.dump_json(record)) == record
    assert sparse_grokking.run(SMALL, seed=7, workers=2) == record


def test_the_section_draws_every_figure(record: Record) -> None:
    section = fig1b.section(record)
    for figure in section.figures():
        canvas = Canvas()
        figure.draw(canvas)
        assert canvas.axes


def test_settings_without_a_plateau_are_refused() -> None:
    with pytest.raises(ValueError, match="depth >= 3"):
        SparseGrokkingSettings(network=Network(depth=2))
