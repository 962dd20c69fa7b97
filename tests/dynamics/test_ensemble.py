"""Ensembles: partition invariance, stationary laws, statuses, events and prepared traps."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import pytest

from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.ensemble import Ensemble, Event, learned_error, logarithmic_grid, run
from spinodal.dynamics.networks import Network
from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError
from spinodal.theory import modes

TASK = GaussianTask(signals=(0.9, 0.8), samples=64, test_samples=32)
SGD = Update(learning_rate=0.08, weight_decay=0.2, batch_size=16)
SMALL = Ensemble(
    task=TASK,
    network=Network(width=4),
    update=SGD,
    events=(Event(mode=1, threshold=0.2), Event(mode=2, threshold=0.2, persistence=3)),
    steps=240,
    check_every=4,
    datasets=3,
)
LANGEVIN = Update(learning_rate=0.05, weight_decay=0.2, sampling="population", temperature=2e-3)


def same(a, b):
    """Every array of two outcomes, bit for bit."""
    for field in fields(a):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if field.name == "passages":
            for one, other in zip(left, right, strict=True):
                for column in fields(one):
                    np.testing.assert_array_equal(
                        getattr(one, column.name), getattr(other, column.name)
                    )
        else:
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"update": SGD.model_copy(update={"sampling": "replacement"})},
        {"update": SGD.model_copy(update={"sampling": "fresh", "temperature": 1e-3})},
        {"record_at": logarithmic_grid(240, 4)},
        {
            "network": Network(width=4, biases=True),
            "start": Start(kind="trap", rank=1, rung_steps=60, residual=1e-3),
        },
        {"network": Network(width=1, depth=2), "task": GaussianTask(signals=(0.5,), samples=16)},
    ],
)
def test_any_partition_gives_the_same_bits(changes):
    if "task" in changes:
        changes["events"] = (Event(mode=1, threshold=0.2),)
    ensemble = SMALL.twin(**changes)
    whole = run(ensemble, seed=5, replicas=9)
    with ThreadPoolExecutor(2) as threads:
        for workers in (2, 9):
            same(whole, run(ensemble, seed=5, replicas=9, workers=workers, executor=threads))


def test_two_processes_give_the_bits_of_one():
    same(run(SMALL, seed=5, replicas=6), run(SMALL, seed=5, replicas=6, workers=2))


def test_another_seed_gives_other_data_starts_and_batches():
    first, second = (run(SMALL, seed=seed, replicas=3) for seed in (1, 2))
    assert not (first.initial_strengths == second.initial_strengths).any()


def test_one_layer_with_langevin_noise_is_an_ornstein_uhlenbeck_process():
    """Stationary variance T / (h (1 - lr h / 2)) about signal / h with h = 1 + weight_decay."""
    update = LANGEVIN.model_copy(update={"learning_rate": 0.4, "temperature": 0.01})
    out = run(
        Ensemble(
            task=GaussianTask(signals=(0.5,)),
            network=Network(depth=1),
            update=update,
            steps=60,
            check_every=60,
        ),
        seed=3,
        replicas=2000,
    )
    h = 1.2
    variance = 0.01 / (h * (1 - 0.4 * h / 2))
    values = out.strengths[:, 0]
    assert abs(values.mean() - 0.5 / h) / np.sqrt(variance / 2000) < 4
    assert abs(values.var() / variance - 1) * np.sqrt(1000) < 4


def test_noise_free_training_ends_on_the_learned_points_of_the_theory():
    update = LANGEVIN.model_copy(update={"temperature": 0.0})
    out = run(
        Ensemble(
            task=GaussianTask(signals=(0.9, 0.8)), update=update, steps=4000, check_every=4000
        ),
        seed=1,
        replicas=20,
    )
    learned = [modes.learned(depth=3, signal=s, weight_decay=0.2) for s in (0.9, 0.8)]
    np.testing.assert_allclose(out.strengths, np.tile(learned, (20, 1)), rtol=1e-9)
    data = draw(GaussianTask(signals=(0.9, 0.8)), seed=1, dataset=0)
    expected = 0.5 * (2 + sum(x * x - 2 * x * s for x, s in zip(learned, (0.9, 0.8), strict=True)))
    assert learned_error(data, Network(), 0.2) == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(out.test_error, expected, rtol=1e-9)


def test_either_side_of_the_saddle_flows_to_its_own_minimum():
    saddle = modes.saddle(depth=3, signal=0.8, weight_decay=0.2)
    update = LANGEVIN.model_copy(update={"temperature": 0.0})
    for factor, learns in ((0.99, False), (1.01, True)):
        start = Start(kind="balanced", strengths=(float(saddle) * factor,))
        out = run(
            Ensemble(
                task=GaussianTask(signals=(0.8,)),
                update=update,
                start=start,
                steps=4000,
                check_every=4000,
            ),
            seed=1,
            replicas=1,
        )
        assert bool(out.strengths[0, 0] > 0.3) is learns


def test_divergence_is_a_status_and_touches_nobody_else():
    wild = SMALL.twin(
        update=Update(learning_rate=0.4, weight_decay=0.2, batch_size=16),
        network=Network(width=4, initial_scale=1.3),
        events=(Event(mode=2, threshold=9.0),),
    )
    out = run(wild, seed=5, replicas=40)
    counts = out.passages[0].status_counts
    assert counts["diverged"] > 0
    assert counts["censored"] > 0
    survivors = np.flatnonzero(out.passages[0].status == "censored")
    alone = run(wild, seed=5, replicas=int(survivors[0]) + 1)
    np.testing.assert_array_equal(alone.strengths[survivors[0]], out.strengths[survivors[0]])
    recorded = run(wild.twin(record_at=(0, 4, 240)), seed=5, replicas=40)
    assert recorded.recorded_strengths.shape == (40, 3, 2)
    assert np.isfinite(recorded.strengths).all()


def test_a_persistent_event_is_dated_at_its_first_check():
    quick, slow = (
        run(SMALL.twin(events=(Event(mode=1, threshold=0.2, persistence=p),)), seed=5, replicas=6)
        for p in (1, 3)
    )
    np.testing.assert_array_equal(quick.passages[0].steps, slow.passages[0].steps)


def test_who_does_not_escape_is_watched_to_the_horizon():
    out = run(SMALL.twin(events=(Event(mode=1, threshold=5.0),)), seed=5, replicas=4)
    assert out.passages[0].status_counts["censored"] == 4
    assert (out.passages[0].steps == 240).all()
    np.testing.assert_allclose(out.passages[0].time, 240 * 0.08)


def test_the_paper_event_lies_halfway_between_plateau_and_final_error():
    ensemble = SMALL.twin(
        start=Start(kind="trap", rank=1, residual=0.0),
        update=SGD.model_copy(update={"weight_decay": 0.05}),
        events=(Event(observable="test_error", threshold="midpoint", direction="below"),),
        record_at=(0,),
    )
    out = run(ensemble, seed=5, replicas=3)
    final = [learned_error(draw(TASK, seed=5, dataset=i), Network(width=4), 0.05) for i in range(3)]
    middle = 0.5 * (out.recorded_test_error[:, 0] + final)
    np.testing.assert_allclose(out.thresholds[:, 0], middle, rtol=1e-12)


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("residual", [1e-4, 1e-9, 0.0])
def test_a_trap_holds_its_rank_and_the_residual_asked_for(rank, residual):
    ensemble = SMALL.twin(start=Start(kind="trap", rank=rank, residual=residual), events=())
    out = run(ensemble, seed=5, replicas=6)
    dead = out.initial_strengths[:, rank]
    if residual:
        assert ((dead <= residual) & (dead > 0.5 * residual)).all()
    else:
        assert (dead < 1e-16).all()
    assert (out.initial_strengths[:, :rank] > 0.1).all()
    assert (out.prepared_at >= 0.2).all()


def test_a_well_converged_trap_never_opens_under_sgd_and_does_under_langevin_noise():
    trap = SMALL.twin(
        start=Start(kind="trap", rank=1, residual=1e-9),
        events=(Event(mode=2, threshold=0.2),),
        steps=2000,
    )
    assert run(trap, seed=5, replicas=12).passages[0].events == 0
    hot = trap.twin(update=SGD.model_copy(update={"temperature": 4e-3}))
    assert run(hot, seed=5, replicas=12).passages[0].events == 12
    assert run(hot.noise_off, seed=5, replicas=12).passages[0].events == 0


def test_single_precision_traps_are_as_good_as_their_rounding():
    ensemble = SMALL.twin(
        network=Network(width=4, precision="float32"), start=Start(kind="trap", rank=1), events=()
    )
    out = run(ensemble, seed=5, replicas=4)
    assert (out.initial_strengths[:, 1] < 2e-6).all()


def test_wrong_questions_are_answered_with_what_is_allowed():
    with pytest.raises(ValueError, match="multiples of check_every"):
        SMALL.twin(record_at=(3,))
    with pytest.raises(ValueError, match="needs a training set"):
        SMALL.twin(task=GaussianTask(signals=(0.9,)))
    with pytest.raises(ValueError, match="midpoint rule belongs"):
        Event(threshold="midpoint")
    with pytest.raises(InputError, match="at least one replica"):
        run(SMALL, seed=1, replicas=0)
    with pytest.raises(InputError, match="have no rank 3"):
        run(SMALL.twin(start=Start(kind="trap", rank=3), events=()), seed=1, replicas=2)
