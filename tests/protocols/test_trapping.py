"""Figure 1a: the traps hold without isotropic noise, residuals time escapes, records repeat."""

import math
from dataclasses import replace

import numpy as np
import pytest
from pydantic import TypeAdapter

from spinodal.dynamics.networks import Network
from spinodal.dynamics.tasks import Data
from spinodal.protocols import (
    initialisation,
    langevin_stages,
    minibatch_traps,
    residual_ladder,
    trapping,
)
from spinodal.protocols.abruptness import abruptness
from spinodal.protocols.charity import CharitySettings
from spinodal.protocols.initialisation import BasinSettings
from spinodal.protocols.langevin_stages import LangevinSettings
from spinodal.protocols.minibatch_traps import Arm, MinibatchSettings
from spinodal.protocols.residual_ladder import LadderSettings
from spinodal.protocols.side_by_side import Job, outcomes, own_seed
from spinodal.protocols.trapping import TrappingSettings
from spinodal.records import EscapeTimes
from spinodal.report.sections.fig1a import _excluded, section
from spinodal.theory import modes
from spinodal.theory.plateau import separatrix

NARROW = Network(depth=3, width=4)


def arm(start, weight_decay: float, epochs: int = 40) -> Arm:
    """One short arm."""
    return Arm(start=start, weight_decay=weight_decay, epochs=epochs, twin_epochs=epochs)


TRAPS = MinibatchSettings(
    network=NARROW,
    samples=256,
    datasets=3,
    trajectories=8,
    rung_steps=40,
    arms=tuple(arm(s, b) for b in (0.32, 0.03) for s in ("random", "rank 1", "trivial")),
)
LADDER = LadderSettings(
    rank_one=(0.1, 1e-2, 1e-4, 1e-9, 0.0), trivial=(0.1, 1e-2, 1e-4, 1e-9, 0.0), epochs=60
)
LANGEVIN = LangevinSettings(
    network=Network(depth=3, width=2), signals=(0.9, 0.8), anchor=0, fraction=0.7,
    learning_rate=0.2,
    replicas=12, rank_one_replicas=12, extra=4, rank_one_steps=1500, trivial_steps=1500,
    first_steps=600, second_window=800, random_steps=100, twin_steps=200, thermal_steps=100,
)  # fmt: skip
TEXT_ONLY = tuple(arm for arm in TRAPS.arms if arm.weight_decay == 0.32)
SMALL = TrappingSettings(
    minibatch=TRAPS.model_copy(update={"arms": TEXT_ONLY}),
    ladder=LADDER.model_copy(update={"weight_decays": (0.32,)}),
    langevin=LANGEVIN,
    langevin_paper=LANGEVIN.model_copy(update={"name": "second", "keep_paths": False}),
    basins=BasinSettings(network=NARROW, scales=(0.2, 1.0), starts=20, steps=300),
    charity=CharitySettings(
        residuals=(0.1, 1e-4, 1e-9), variant_epochs=20, sparse_epochs=300, sparse_datasets=3,
        sparse_rung_steps=40,
        noisy_replicas=2, noisy_epochs=100,
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def record() -> trapping.Record:
    """The small figure, computed by one worker."""
    return trapping.run(SMALL, seed=5)


@pytest.fixture(scope="module")
def data() -> list[Data]:
    """The data sets of the small figure."""
    return minibatch_traps.training_sets(TRAPS, 3)


@pytest.fixture(scope="module")
def climbed(data) -> residual_ladder.LadderRecord:
    """A small residual ladder."""
    return residual_ladder.read(
        LADDER, TRAPS, outcomes(residual_ladder.plan(LADDER, TRAPS, 3, data))
    )


@pytest.fixture(scope="module")
def minibatch(data) -> minibatch_traps.MinibatchRecord:
    """The small experiment of the paper."""
    return minibatch_traps.read(TRAPS, data, outcomes(minibatch_traps.plan(TRAPS, 3, data)))


def test_minibatch_noise_frees_no_network_from_a_converged_trap(minibatch):
    for arm in minibatch.arms:
        if arm.start == "random":
            continue
        assert arm.by_strength.escapes == arm.by_test_error.escapes == arm.noise_off.escapes == 0
        assert arm.same_as_noise_off == arm.trajectories
        assert arm.next_strength_end < arm.next_strength_start
        # One-sided exact bound on the fraction of trajectories: 1 - 0.05^(1/n).
        bound = 1 - 0.05 ** (1 / arm.trajectories)
        assert arm.by_strength.fraction.high == pytest.approx(bound)
        assert arm.by_strength.datasets.trials == TRAPS.datasets + 1


def test_only_data_sets_with_a_next_phase_count_as_able_to_escape(minibatch):
    for arm in minibatch.arms:
        first = arm.start == "trivial"
        able = [
            d.dataset
            for d in minibatch.datasets
            if (d.spinodal_first if first else d.spinodal_second) > arm.weight_decay
        ]
        lanes = np.arange(arm.trajectories) % len(minibatch.datasets)
        assert arm.eligible_datasets == len(able)
        assert arm.eligible_trials == np.isin(lanes, able).sum()
        if arm.start != "random":
            bound = 1 - 0.05 ** (1 / arm.eligible_trials)
            assert arm.eligible.fraction.high == pytest.approx(bound)


def test_the_quick_reproduction_has_two_hundred_trajectories_that_could_escape():
    settings = trapping.preset("quick")
    sets = settings.minibatch.datasets + 1
    # Two of the data sets of seed 42 have no rank-2 phase at weight decay 0.32.
    assert settings.minibatch.trajectories % sets == 0
    assert (sets - 2) * settings.minibatch.trajectories // sets >= 200
    for arm in settings.minibatch.arms:
        if (arm.start, arm.weight_decay) == ("rank 1", 0.32):
            assert arm.epochs >= 5500


def test_random_starts_are_not_trapped_where_every_feature_can_be_held(minibatch):
    arm = minibatch.arm("random", 0.03)
    assert arm.by_strength.escapes == arm.by_test_error.escapes == arm.trajectories
    assert arm.settled_epochs.value is not None


def test_the_last_data_set_has_the_signals_it_is_conditioned_on(data):
    values = np.linalg.svd(data[-1].train.yx, compute_uv=False)
    np.testing.assert_allclose(values, TRAPS.empirical_signals, rtol=1e-12)


def test_noise_free_training_keeps_rank_two_exactly_below_the_empirical_spinodal(minibatch):
    for facts in minibatch.datasets:
        for decay, holds in zip(minibatch.weight_decays, facts.holds_rank_two, strict=True):
            if abs(facts.spinodal_second / decay - 1) > 0.02:  # nearer it is a slow ghost
                assert holds == (facts.spinodal_second > decay)


def test_no_batch_makes_a_layer_inside_the_absorbing_ball_grow(data):
    decay, size = 0.32, TRAPS.batch_size
    radius = minibatch_traps.absorbing_radius(data[0], batch_size=size, weight_decay=decay, depth=3)
    x, y = data[0].x, data[0].y
    assert x is not None
    assert y is not None
    rng = np.random.default_rng(0)
    for _ in range(200):
        layers = [rng.standard_normal(s) for s in ((4, 2), (4, 4), (2, 4))]
        layers = [radius * w / np.linalg.norm(w, 2) for w in layers]
        batch = rng.choice(len(x), size=size, replace=False)
        w1, w2, w3 = layers
        gap = (w3 @ w2 @ w1) @ x[batch].T @ x[batch] / size - y[batch].T @ x[batch] / size
        slopes = ((w3 @ w2).T @ gap, w3.T @ gap @ w1.T, gap @ (w2 @ w1).T)
        for layer, slope in zip(layers, slopes, strict=True):
            after = layer - 0.08 * (slope + decay * layer)
            assert np.linalg.norm(after, 2) <= radius * (1 + 1e-12)


def test_escapes_of_unconverged_checkpoints_are_the_same_with_and_without_noise(climbed):
    assert climbed.noise_decided == 0
    for rung in climbed.rungs:
        # Data sets differ from the population, so only residuals far from its separatrix count.
        if rung.residual > 20 * rung.separatrix:
            assert rung.noise_off.events == rung.noise_off.trials
        if rung.residual < 0.05 * rung.separatrix:
            assert rung.noise_off.events == rung.with_noise.events == 0


def test_a_residual_a_thousand_times_the_separatrix_waits_as_long_as_the_plateau_theory(climbed):
    rung = climbed.rung(0.03, 1, 1e-2)
    assert rung.predicted_epochs is not None
    assert rung.epochs_noise_off.value == pytest.approx(rung.predicted_epochs, rel=0.25)
    assert rung.separatrix == pytest.approx(
        float(separatrix(depth=3, signal=0.8, weight_decay=0.03)) ** 3
    )


def test_a_projected_checkpoint_keeps_its_missing_strength_at_zero_but_for_rounding(data):
    ready = residual_ladder.checkpoints((0.1, 1e-3, 0.0), 1, TRAPS, 3, data)
    climb = residual_ladder._train(ready, TRAPS.update(0.03), 5, TRAPS, 3, data)
    exact = ready.residual == 0
    assert (climb[exact][:, :, 1] < 1e-15).all()
    assert (climb[exact][:, :, 0] > 0.1).all()
    # Each checkpoint is taken at its own residual: the first time it is passed.
    start = climb[ready.residual == 1e-3][:, 0, 1]
    assert ((start <= 1e-3) & (start > 0.8e-3)).all()


def test_a_step_above_seven_tenths_of_its_thermal_spinodal_is_called_drift():
    settings = langevin_stages.LangevinSettings()
    close = [langevin_stages._theory(settings, rank) for rank in (0, 1)]
    assert [step.label for step in close] == ["barrier", "barrier"]
    assert all(0.6 <= (step.fraction or 0) <= 0.7 for step in close)
    assert close[0].rotations, close[1].rotations == (18, 16)
    hotter = settings.model_copy(update={"fraction": 0.75})
    assert langevin_stages._theory(hotter, 0).label == "drift"
    paper = trapping.preset("quick").langevin_paper
    assert [langevin_stages._theory(paper, rank).label for rank in (0, 1)] == ["drift", "barrier"]


def test_a_colder_step_has_a_higher_barrier_and_a_longer_predicted_time():
    colder, hotter = (
        langevin_stages._theory(LANGEVIN.model_copy(update={"fraction": f}), 0) for f in (0.4, 0.6)
    )
    assert colder.predicted_time is not None
    assert hotter.predicted_time is not None
    assert colder.predicted_time > hotter.predicted_time
    assert (colder.barrier_over_t or 0) > (hotter.barrier_over_t or 0) > 0


def test_nothing_is_called_activated_without_silence_and_memorylessness(record):
    part = record.langevin
    step, stage, rows = part.theory[0], part.stage("trivial", "0 -> 1"), part.noise_off
    barrier = replace(step, label="barrier")
    consistent = replace(stage, memoryless=replace(stage.memoryless, verdict="consistent"))
    silent = tuple(replace(n, escapes=0, trials=1 if n.deterministic else 10) for n in rows)
    loud = tuple(replace(n, escapes=1) for n in silent)
    empty = tuple(n if n.deterministic else replace(n, trials=0) for n in silent)
    verdict = langevin_stages._verdict
    assert verdict(barrier, consistent, silent) == "noise_activated"
    assert verdict(barrier, consistent, loud) == "noise_free_drift"
    assert verdict(replace(step, label="drift"), consistent, silent) == "noise_drift"
    # Without a replica that was still trapped when the noise stopped there is no control.
    assert verdict(barrier, consistent, empty) == "cannot_tell"
    untested = replace(stage, memoryless=replace(stage.memoryless, verdict="untested"))
    assert verdict(barrier, untested, silent) == "cannot_tell"


def test_the_second_stage_is_watched_for_one_common_window_after_the_first():
    settings = LANGEVIN.model_copy(update={"trivial_steps": 1000, "second_window": 600})
    steps = {"one": [100, 390, 500, 1000], "two": [300, 1000, 900, 1000]}
    status = {"one": ["escaped"] * 3 + ["censored"], "two": ["escaped", "censored"] * 2}
    table = {
        name: EscapeTimes(
            replica=np.arange(4), dataset=np.zeros(4, dtype=int), steps=np.array(steps[name]),
            time=0.2 * np.array(steps[name]), status=np.array(status[name]),
        )
        for name in ("one", "two")
    }  # fmt: skip

    class Seen:
        passages = (table["one"], table["two"])

    found = langevin_stages._second_stage(settings, Seen())  # type: ignore[arg-type]
    # The third came too late for a whole window, the fourth never had a first stage.
    np.testing.assert_array_equal(found.steps, [200, 600])
    np.testing.assert_array_equal(found.status, ["escaped", "censored"])


def test_small_random_weights_end_trapped_and_the_papers_do_not():
    found = initialisation.read(SMALL.basins, outcomes(initialisation.plan(SMALL.basins, 3)))
    small, usual = (found.basin(0.32, scale) for scale in (0.2, 1.0))
    assert small.rank_zero.events == small.rank_zero.trials
    assert usual.rank_two.low > small.rank_two.high
    for basin in found.basins:
        ranks = (basin.rank_zero, basin.rank_one, basin.rank_two)
        assert sum(part.events for part in ranks) + basin.diverged == found.starts


def test_the_width_of_a_ramp_is_eight_tenths_of_its_length():
    times = np.linspace(0, 10, 101)
    ramp = np.clip((times - 4) / 2, 0, 1)  # from 4 to 6
    found = abruptness([ramp], times, plateau=0.0, final=1.0, arm="ramp")
    assert found.delay == pytest.approx(5.0)
    assert found.width == pytest.approx(1.6)
    assert found.ratio == pytest.approx(0.32)


def test_jobs_return_under_their_names_and_arms_have_seeds_of_their_own():
    jobs = {
        name: Job(math.sqrt, (float(value),), cost=value) for name, value in (("a", 4), ("b", 9))
    }
    assert outcomes(jobs) == {"a": 2.0, "b": 3.0}
    assert len({own_seed(s, arm) for s in (1, 2) for arm in ("x", "y")}) == 4


def test_the_saddles_of_the_record_are_those_of_the_population(minibatch):
    for decay, saddle in zip(minibatch.weight_decays, minibatch.saddle_strengths, strict=True):
        assert saddle == pytest.approx(float(modes.saddle(depth=3, signal=0.8, weight_decay=decay)))


def test_the_same_seed_gives_the_same_record_for_one_worker_and_for_two(record):
    assert trapping.run(SMALL, seed=5, workers=2) == record


def test_the_record_survives_json_and_fills_its_section(record):
    adapter = TypeAdapter(trapping.Record)
    assert adapter.validate_json(adapter.dump_json(record)) == record
    page = section(record)
    assert page.id == "fig1a"
    assert {figure.name[:5] for figure in page.figures()} == {"fig1a"}
    assert "nan" not in page.answer


def test_without_any_noise_there_is_one_run_and_no_interval(record):
    for row in record.langevin.noise_off:
        assert (row.trials == 1) >= row.deterministic
        assert row.fraction is None or (row.trials > 0 and not row.deterministic)


def test_what_was_watched_too_shortly_is_said_to_be_excluded_by_its_missing_strength(record):
    for row in record.charity.rows:
        longest = all(
            q.value is not None or q.low >= stated
            for q, stated in zip(row.epochs, record.charity.stated_epochs, strict=True)
        )
        assert row.watched_enough == longest
        if row.setting == "as described, converged":
            assert not row.watched_enough
            assert 0 <= row.missing_end < 0.01 * row.separatrix
            assert _excluded(row) == "not excluded by watching alone"
        if row.watched_enough:
            assert _excluded(row) == "watched long enough"


def test_a_finer_step_at_the_same_temperature_is_run_beside_the_stage_of_the_temperature(record):
    control, first = record.langevin.step_control, record.langevin.stage("trivial", "0 -> 1")
    assert control.stage == "0 -> 1"
    assert trapping.preset("quick").langevin_paper.anchor == 1
    assert control.learning_rate == LANGEVIN.learning_rate / LANGEVIN.finer
    assert control.trials == LANGEVIN.extra
    assert (control.ratio is None) == (control.escapes == 0 or first.escapes == 0)
    if control.ratio is not None:
        spread = np.log(control.ratio_high / control.ratio_low) / (2 * 1.96)
        assert spread == pytest.approx(np.sqrt(1 / control.escapes + 1 / first.escapes))
