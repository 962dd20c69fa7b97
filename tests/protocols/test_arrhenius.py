"""Minibatch noise does not leave the trap; additive noise does, over the barrier theory gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas
from pydantic import TypeAdapter

from spinodal.protocols import arrhenius, langevin_arrhenius
from spinodal.protocols.arrhenius import Record
from spinodal.protocols.arrhenius_records import ArrheniusSettings, Slope
from spinodal.protocols.langevin_arrhenius import judged, regime, temperatures
from spinodal.report.sections import fig2b
from spinodal.theory.free_energy import (
    free_energy_barriers,
    hidden_rotations,
    mode_first_passage_time,
)

SMALL = ArrheniusSettings(
    learning_rates=(5e-4, 2e-3, 5e-3),
    sweep_replicas=10,
    sweep_epochs=16,
    widths=(1,),
    replicas=(120,),
    barriers=(2.0, 2.6, 3.2),
    cold_barriers=(5.0, 7.0),
    repetitions=6,
    copies=48,
    test_replicas=150,
    horizon=1.0,
)
MODE = {"depth": 3, "signal": 0.8, "weight_decay": 0.32}


@pytest.fixture(scope="module")
def record() -> Record:
    return arrhenius.run(SMALL, seed=3)


FEWER = SMALL.model_copy(
    update={"replicas": (20,), "test_replicas": 20, "repetitions": 2, "copies": 16}
)


@pytest.fixture(scope="module")
def other() -> Record:
    """Fewer replicas of the same temperatures, and another seed."""
    return arrhenius.run(FEWER, seed=77)


@pytest.mark.parametrize("width", [1, 2, 4, 10])
def test_temperatures_put_the_free_energy_barrier_where_it_was_asked(width: int) -> None:
    rotations = hidden_rotations(depth=3, width=width, rank=0)
    chosen = temperatures(ArrheniusSettings(), width)
    out, _ = free_energy_barriers(temperature=np.array(chosen), rotations=rotations, **MODE)
    np.testing.assert_allclose(out / chosen, ArrheniusSettings().barriers, rtol=1e-8)
    assert sorted(chosen, reverse=True) == chosen


def test_no_minibatch_run_leaves_the_trap_and_the_bound_is_three_over_the_exposure(
    record: Record,
) -> None:
    sweep = record.sweep
    assert (sweep.escapes, sweep.replicas) == (0, 30)
    # Only runs on data sets with a rank-2 phase can escape, and only they bound the rate.
    assert sweep.eligible == 30 * sweep.holds_second // sweep.datasets
    bound = -np.log(0.05) / (sweep.eligible * 16 * 8)
    np.testing.assert_allclose(sweep.rate_bound_per_step, bound)
    np.testing.assert_allclose(sweep.rate_bound_per_epoch, 8 * sweep.rate_bound_per_step)


def test_the_dead_feature_decays_at_depth_times_weight_decay(record: Record) -> None:
    for point in record.sweep.points:
        assert point.decay_rate is not None
        assert abs(point.decay_rate / point.decay_predicted - 1) < 0.01


def test_gradient_noise_in_the_trap_is_large_but_never_raises_the_rank(record: Record) -> None:
    sweep = record.sweep
    assert sweep.noise_rank_raising == 0
    # Isserlis' theorem with unit covariances at the rank-1 phase of signal 0.9.
    z = (sweep.noise_trace - 1.1392964037914) / sweep.noise_trace_se
    assert abs(z) < 4, f"{z:+.1f} standard errors"


def test_the_window_of_the_sweep_bounds_the_barrier(record: Record) -> None:
    window = record.window
    np.testing.assert_allclose(window.steepest, np.log(20_000) / 1800)
    np.testing.assert_allclose(window.barrier_over_t_fastest, np.log(20_000) / 1800 / 5e-3)
    np.testing.assert_allclose(window.largest_c * 0.15 * 64 * 1800, np.log(20_000))
    line = np.polyfit([2000, 500, 200], np.log(window.drift_epochs), 1)
    left = np.log(window.drift_epochs) - np.polyval(line, [2000, 500, 200])
    share = 1 - left @ left / np.var(np.log(window.drift_epochs)) / 3
    np.testing.assert_allclose(window.drift_r_squared, share)


def test_pure_barrier_escape_times_are_the_exact_passage_times(record: Record) -> None:
    for point in record.langevin[0].points:
        assert point.ratio is not None
        z = np.log(point.ratio) * np.sqrt(point.escapes)
        assert abs(z) < 4, f"T = {point.temperature:.4g}: {z:+.1f} standard errors"


def test_noise_of_a_wrong_temperature_would_have_been_noticed(record: Record) -> None:
    point = record.langevin[0].points[-1]
    assert point.mean is not None
    wrong = mode_first_passage_time(
        **MODE, temperature=1.5 * point.temperature, rotations=0, start=0.0
    )
    assert abs(np.log(point.mean / wrong)) * np.sqrt(point.escapes) > 6


def standard_errors(slope: Slope, truth: float) -> float:
    assert slope.value is not None
    assert slope.low is not None
    assert slope.high is not None
    return (slope.value - truth) / ((slope.high - slope.low) / 3.92)


def test_the_slope_without_rotations_is_the_one_of_the_exact_times_and_near_the_barrier(
    record: Record,
) -> None:
    one = record.langevin[0]
    assert one.raw.value == one.corrected.value
    assert abs(standard_errors(one.raw, one.raw.predicted)) < 4
    assert standard_errors(one.raw, record.stated_barrier) < -10
    # At barriers of 2 to 3 T the exact slope is still a few per cent from the barrier.
    assert abs(one.raw.predicted / record.barrier - 1) < 0.05


def test_the_controls_do_not_escape_without_noise(record: Record) -> None:
    one = record.langevin[0]
    assert not one.trap_learns
    assert not one.below_saddle_learns
    assert one.above_saddle_learns
    assert one.halving is not None
    z = np.log(one.halving) / np.sqrt(2 / one.halving_events)
    assert abs(z) < 4


def test_splitting_goes_on_where_waiting_ends_and_agrees_with_the_exact_times(
    record: Record,
) -> None:
    one = record.langevin[0]
    assert len(one.cold) == 2
    for point in one.cold:
        assert point.ratio is not None
        assert point.relative_error is not None
        z = np.log(point.ratio) / point.relative_error
        assert abs(z) < 4, f"barrier {point.free_barrier_over_t:.3g} T: {z:+.1f} standard errors"
    assert one.coldest_slope is not None
    assert one.coldest_slope_error is not None
    assert one.coldest_slope_predicted == record.barrier  # no rotations at width 1
    assert abs(one.coldest_slope - record.barrier) < 4 * one.coldest_slope_error


def test_single_times_prefer_arrhenius_or_leave_it_open(record: Record) -> None:
    one = record.langevin[0]
    assert {law.name for law in one.laws} == {"arrhenius", "power", "drift"}
    assert one.law in ("arrhenius", "undecided")
    fit = next(law for law in one.laws if law.name == "arrhenius")
    assert fit.estimate is not None
    assert one.raw.value is not None
    assert abs(fit.estimate / one.raw.value - 1) < 0.1


def test_barriers_never_see_escape_times(record: Record, other: Record) -> None:
    assert other.barrier == record.barrier
    one, two = record.langevin[0], other.langevin[0]
    assert one.raw.value != two.raw.value
    for first, second in ((one.points, two.points), (one.cold, two.cold)):
        for p, q in zip(first, second, strict=True):
            assert p.mean != q.mean
            assert (p.temperature, p.barrier_over_t, p.free_barrier_over_t, p.predicted) == (
                q.temperature, q.barrier_over_t, q.free_barrier_over_t, q.predicted,
            )  # fmt: skip


def test_low_barriers_are_not_called_activated(record: Record) -> None:
    regimes = [point.regime for point in record.langevin[0].points]
    assert regimes == ["crossover", "crossover", "barrier"]
    assert record.langevin[0].verdict == "cannot_tell"


def test_a_point_near_the_thermal_spinodal_is_drift_and_enters_no_fit() -> None:
    assert regime(0.85, 0.35) == "drift"
    assert regime(0.5, 3.9) == "barrier"
    assert regime(None, None) == "drift"


def test_a_record_survives_json_and_does_not_depend_on_workers(
    record: Record, other: Record
) -> None:
    adapter = TypeAdapter(Record)
    assert adapter.validate_json(adapter.dump_json(record)) == record
    assert arrhenius.run(FEWER, seed=77, workers=2) == other


def test_the_section_draws_every_figure(record: Record) -> None:
    for figure in fig2b.section(record).figures():
        canvas = Canvas()
        figure.draw(canvas)
        assert canvas.axes


def test_verdicts_follow_the_numbers(record: Record) -> None:
    found = {row.what: row.verdict for row in fig2b.section(record).stated}
    assert found["escape from the rank-1 trap by minibatch noise"] == "not reproduced as described"
    assert found["effective barrier"] == "cannot be derived"
    # Noise that reaches the rank-raising weights would leave the question open.
    noisy = replace(record, sweep=replace(record.sweep, noise_rank_raising=0.1))
    found = {row.what: row.verdict for row in fig2b.section(noisy).stated}
    assert found["escape from the rank-1 trap by minibatch noise"] == "not checked"
    # In a window that holds the stated barrier, the fit decides.
    wide = replace(record, window=replace(record.window, log_window=1e6))
    found = {row.what: row.verdict for row in fig2b.section(wide).stated}
    assert found["effective barrier"] == "not reproduced as described"


def test_the_verdict_does_not_hang_on_the_dead_time(record: Record) -> None:
    one = record.langevin[0]
    assert one.escapes_within_dead_time > 0
    assert one.memoryless_p_whole is not None
    split = replace(
        record,
        langevin=(replace(one, memoryless="consistent", memoryless_p_whole=1e-3),),
    )
    assert "depends on the dead time" in fig2b._controls_text(split)


def test_memorylessness_of_several_widths_is_judged_by_holm(record: Record) -> None:
    one = replace(record.langevin[0], memoryless="rejected", memoryless_p_whole=0.5)
    p_values = (0.03, 0.2, 0.01, None)
    found = judged(tuple(replace(one, memoryless_p=p) for p in p_values))
    adjusted = [each.memoryless_p_adjusted for each in found]
    assert adjusted[3] is None
    assert adjusted[:3] == pytest.approx([0.06, 0.2, 0.03])
    verdicts = [each.memoryless for each in found[:3]]
    assert verdicts == ["consistent", "consistent", "rejected"]
    untested = replace(one, memoryless="untested", memoryless_p=0.5)
    assert judged((untested,))[0].memoryless == "untested"


def test_activation_needs_every_control(record: Record) -> None:
    one = record.langevin[0]
    several = tuple(p for p in one.points if p.regime == "barrier")
    good = replace(
        one, points=several, memoryless="consistent", memoryless_p=0.5, memoryless_p_whole=0.5
    )
    assert judged((good,))[0].verdict == "noise_activated"
    for broken in (
        {"below_saddle_learns": True},
        {"trap_learns": True},
        {"above_saddle_learns": False},
        {"memoryless_p": 0.01},
        {"memoryless_p_whole": 0.001},
        {"points": one.points},
    ):
        assert judged((replace(good, **broken),))[0].verdict == "cannot_tell"


def test_what_the_section_says_of_laws_and_slopes_follows_the_record(record: Record) -> None:
    one = record.langevin[0]
    open_law = replace(record, langevin=(replace(one, law="undecided"),))
    assert "law undecided; cannot tell" in fig2b._answer(open_law)
    assert "prefer a power of T" in fig2b._answer(
        replace(record, langevin=(replace(one, law="power"),))
    )
    assert one.raw.value is not None
    assert one.raw.high is not None
    far = {"coldest_slope": 3 * record.barrier, "coldest_slope_error": 1e-3 * record.barrier}
    assert "at 0 of 1 widths" in fig2b._colder(replace(record, langevin=(replace(one, **far),)))
    near = far | {"coldest_slope": record.barrier}
    off = replace(one, raw=replace(one.raw, value=0.1, low=0.09, high=0.11), **near)
    assert "at 1 of 1 widths, by more than the errors at 1" in fig2b._colder(
        replace(record, langevin=(off,))
    )
    assert fig2b._slopes_alt(record, [off.raw]).startswith("0 of 1 fitted slopes lie at or below")
    warned = replace(one, cold=tuple(replace(p, warning="heavy") for p in one.cold))
    assert "may be too narrow" in fig2b._laws_text(replace(record, langevin=(warned,)))
    rejected = replace(record, langevin=(replace(one, memoryless="rejected"),))
    alts = {figure.name: figure.alt for figure in fig2b.section(rejected).figures()}
    assert "width 1 rejected" in alts["fig2b_survival"]
    fast = replace(record.sweep.points[0], decay_rate=0.1)
    assert "does not simply decay" in fig2b._falls([fast])


def test_a_fixed_fraction_of_the_spinodal_has_no_barrier_at_small_width() -> None:
    settings = ArrheniusSettings()
    heights = [
        langevin_arrhenius._drift_barrier(settings, hidden_rotations(depth=3, width=w, rank=0))
        for w in (1, 2, 10)
    ]
    assert heights[0] is None
    assert heights[1] is not None
    assert heights[2] is not None
    assert heights[1] < 1 < 3 < heights[2]


def test_whether_the_claim_is_falsified_follows_the_sweep(record: Record) -> None:
    assert "That result was seen" in fig2b._falsifier(record)
    escaped = replace(record, sweep=replace(record.sweep, eligible_escapes=3))
    assert "That result was not seen" in fig2b._falsifier(escaped)


def test_weight_decay_without_a_barrier_is_refused() -> None:
    with pytest.raises(ValueError, match=r"below the spinodal, 0\.350882"):
        ArrheniusSettings(weight_decay=0.4)
