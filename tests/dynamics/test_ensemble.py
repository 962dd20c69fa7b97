"""Ensembles: partition invariance, stationary laws, statuses, events and prepared traps."""

import io
import pickle
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from helpers import assert_covers

from spinodal.dynamics import crew, executors
from spinodal.dynamics import ensemble as ensembles
from spinodal.dynamics import shard as shards
from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.cut import rounds
from spinodal.dynamics.ensemble import Ensemble, Event, learned_error, logarithmic_grid, run
from spinodal.dynamics.networks import Network, strengths
from spinodal.dynamics.shard import Shard
from spinodal.dynamics.snapshots import pack, unpack
from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.dynamics.updates import Update
from spinodal.errors import DamagedFileError, InputError
from spinodal.statistics.survival import exponential_rate
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


VARIED = SMALL.twin(events=(Event(mode=2, threshold=0.2, persistence=3),))


@pytest.mark.parametrize("looks", [1, 50, 700])
@pytest.mark.parametrize("changes", [{}, {"record_at": logarithmic_grid(240, 4)}])
def test_the_size_of_a_block_of_looks_changes_nothing(monkeypatch, looks, changes):
    ensemble = VARIED.twin(**changes)
    whole = run(ensemble, seed=5, replicas=9, checkpoints=True)
    monkeypatch.setattr(shards, "LOOKS", looks)
    same(whole, run(ensemble, seed=5, replicas=9, checkpoints=True))


@pytest.mark.parametrize("checkpoints", [False, True])
def test_work_stops_and_goes_on_between_two_looks(monkeypatch, checkpoints):
    """A look after every 40 updates, in stretches of three, taken down after each of them."""
    update = SGD.model_copy(update={"optimizer": "adam", "learning_rate": 0.004})
    rare = VARIED.twin(check_every=40, update=update)
    whole = Shard(rare, 5, range(9), checkpoints=checkpoints)
    whole.advance()
    monkeypatch.setattr(shards, "UPDATES", 3)
    monkeypatch.setattr(shards, "_first_stretch", lambda machine, samples: 3)
    shard, steps = Shard(rare, 5, range(9), checkpoints=checkpoints), [0]
    while not shard.finished:
        shard.advance(stop=lambda: True)
        assert shard.step - steps[-1] <= 3
        steps.append(shard.step)
        state = unpack(pack(shard.state()), "a snapshot")
        if not shard.finished:
            shard = Shard(rare, 5, range(9), checkpoints=checkpoints, state=state)
    assert len(steps) > 20
    same(whole.outcome(), shard.outcome())


@pytest.mark.parametrize("checkpoints", [False, True])
def test_a_shard_can_be_taken_down_and_set_up_again_anywhere(checkpoints):
    whole = Shard(VARIED, 5, range(9), checkpoints=checkpoints)
    whole.advance()
    shard = Shard(VARIED, 5, range(9), checkpoints=checkpoints)
    for until in (4, 8, 36, 120, 240):
        shard.advance(until)
        state = unpack(pack(shard.state()), "a snapshot")
        if not shard.finished:
            shard = Shard(VARIED, 5, range(9), checkpoints=checkpoints, state=state)
    same(whole.outcome(), shard.outcome())


class Elsewhere(Executor):
    """Another machine: what goes there and comes back is pickled, and some of it gets lost."""

    def __init__(self, lose: int) -> None:
        self.lose = lose

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        self.lose -= 1
        if self.lose == 0:
            future.set_exception(OSError("the worker was killed"))
        else:
            task = pickle.loads(pickle.dumps((fn, args, kwargs)))
            future.set_result(pickle.loads(pickle.dumps(task[0](*task[1], **task[2]))))
        return future


@pytest.mark.parametrize("lose", [0, 1, 3])
def test_workers_elsewhere_may_be_lost_without_a_trace(tmp_path, lose):
    whole = run(VARIED, seed=5, replicas=9)
    same(whole, run(VARIED, seed=5, replicas=9, shard_size=2, executor=Elsewhere(lose)))
    goal: dict[str, Any] = {"stop_after_events": 5, "shard_size": 2}
    same(
        run(VARIED, seed=5, replicas=9, **goal),
        run(VARIED, seed=5, replicas=9, **goal, executor=Elsewhere(lose), out=tmp_path),
    )


def test_a_directory_is_continued_by_any_partition_and_refuses_other_settings(tmp_path):
    whole = run(VARIED, seed=5, replicas=9)
    for size in (4, 2, 9):
        same(whole, run(VARIED, seed=5, replicas=9, shard_size=size, out=tmp_path, workers=2))
    for changes in ({"seed": 6}, {"replicas": 8}, {"stop_after_events": 3}, {"checkpoints": True}):
        arguments: dict[str, Any] = {"seed": 5, "replicas": 9, **changes}
        with pytest.raises(InputError, match="another run"):
            run(VARIED, out=tmp_path, **arguments)
    data = [draw(TASK, seed=5, dataset=i) for i in range(3)]
    with pytest.raises(InputError, match="another run"):
        run(VARIED, seed=5, replicas=9, out=tmp_path, data=data)
    same(whole, run(VARIED, seed=5, replicas=9, data=data))


def test_shards_that_were_interrupted_go_on_from_their_snapshots(tmp_path, monkeypatch):
    monkeypatch.setattr(crew, "BREATH", 1e-3)
    monkeypatch.setattr(crew, "TELL_EVERY", 0.0)
    trap = VARIED.twin(events=(), steps=4000)

    def interrupt(fraction, text):
        if fraction > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(trap, seed=5, replicas=4, shard_size=2, out=tmp_path, progress=interrupt)
    assert list(tmp_path.glob("records/state-*.npz"))
    resumed: list[float] = []
    whole = run(trap, seed=5, replicas=4)
    same(
        whole,
        run(trap, seed=5, replicas=4, out=tmp_path, progress=lambda f, text: resumed.append(f)),
    )
    assert resumed[0] > 0
    assert not list(tmp_path.glob("records/state-*.npz"))


def test_a_file_of_arrays_cannot_bring_code_or_a_flood():
    evil, flood = io.BytesIO(), io.BytesIO()
    np.savez(evil, a=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez_compressed(flood, a=np.zeros(10**6))
    for raw in (
        evil.getvalue(),
        flood.getvalue(),
        b"",
        b"PK\x03\x04",
        pack({"a": np.ones(3)})[:-9],
    ):
        with pytest.raises(DamagedFileError, match="the file"):
            unpack(raw, "the file")


@pytest.mark.parametrize("events", [1, 4, 9])
def test_stopping_at_an_event_is_the_same_cut_for_every_partition(events):
    full = run(VARIED, seed=5, replicas=9).passages[0]
    first = np.lexsort((full.replica, full.steps))[events - 1]
    for size in (9, 4, 1):
        cut = run(VARIED, seed=5, replicas=9, stop_after_events=events, shard_size=size).passages[0]
        assert cut.events == events
        assert cut.steps.max() == full.steps[first]
        np.testing.assert_array_equal(cut.steps, np.minimum(full.steps, full.steps[first]))


def test_more_events_than_there_are_leave_the_horizon_as_it_is():
    never = SMALL.twin(events=(Event(mode=1, threshold=5.0),))
    same(run(never, seed=5, replicas=4), run(never, seed=5, replicas=4, stop_after_events=2))


def test_rounds_rise_to_the_horizon_in_whole_checks():
    marks = list(rounds(SMALL.twin(steps=1001, check_every=7)))
    assert marks[-1] == 1001
    assert all(mark % 7 == 0 for mark in marks)
    assert all(b > a for a, b in pairwise(marks))


def test_the_interval_of_a_fixed_number_of_events_keeps_its_promise():
    """Memoryless escapes of a one-weight network, watched until the fifth of eight."""
    hot = Ensemble(
        task=GaussianTask(signals=(0.5,)),
        network=Network(depth=1),
        update=LANGEVIN.model_copy(update={"learning_rate": 0.2, "temperature": 0.02}),
        start=Start(kind="balanced", strengths=(0.4,)),
        events=(Event(threshold=0.7),),
        steps=20_000,
    )
    pooled = exponential_rate(run(hot, seed=1, replicas=600).passages[0])
    hits, trials = 0, 80
    for seed in range(2, 2 + trials):
        times = run(hot, seed=seed, replicas=8, stop_after_events=5).passages[0]
        found = exponential_rate(times, method="fixed_events", confidence=0.9)
        assert found.events == 5
        hits += found.low <= pooled.rate <= found.high
    assert_covers(hits, trials, 0.9)
    assert hits < trials


def test_of_competing_events_the_first_one_ends_a_replica():
    later = SMALL.twin(
        start=Start(kind="balanced", strengths=(0.19, 0.19)),
        update=SGD.model_copy(update={"temperature": 2e-3}),
    )
    apart = run(later, seed=5, replicas=9)
    together = run(later.twin(competing=True), seed=5, replicas=9)
    one, two = apart.passages
    first = np.where(one.steps <= two.steps, 0, 1)
    for e, passage in enumerate(together.passages):
        names = np.where(first == e, "escaped", "escaped_elsewhere")
        np.testing.assert_array_equal(passage.status, names)
        np.testing.assert_array_equal(passage.steps, np.minimum(one.steps, two.steps))


def test_of_competing_events_a_start_beyond_one_is_not_at_risk():
    out = run(SMALL.twin(competing=True), seed=5, replicas=9, checkpoints=True)
    same(out, run(SMALL.twin(competing=True), seed=5, replicas=9, shard_size=1, checkpoints=True))
    beyond = (out.initial_strengths > 0.2).any(axis=1)
    assert beyond.sum() > 4
    for passage in out.passages:
        assert (passage.status[beyond] == "censored").all()
        assert (passage.steps[beyond] == 0).all()
    assert (np.abs(out.weights).max(axis=1) > 0).all()


def test_checkpoints_hold_the_weights_of_the_look_that_ended_a_replica():
    out = run(VARIED, seed=5, replicas=6, checkpoints=True)
    ends = np.cumsum([8, 16, 8])
    layers = [
        part.T.reshape(rows, -1, 6)
        for part, rows in zip(np.split(out.weights, ends[:-1], axis=1), (4, 4, 2), strict=True)
    ]
    np.testing.assert_array_equal(strengths(layers).T, out.strengths)
    np.testing.assert_allclose(out.weight_norms, np.linalg.norm(out.weights, axis=1), rtol=1e-12)
    np.testing.assert_array_equal(out.strengths, out.escape_strengths)


def test_a_nonlinear_network_is_observed_on_its_training_set():
    bent = SMALL.twin(
        network=Network(depth=2, width=4, activation="tanh"),
        events=(Event(mode=2, threshold=0.2),),
        steps=120,
    )
    out = run(bent, seed=5, replicas=5, checkpoints=True)
    same(out, run(bent, seed=5, replicas=5, checkpoints=True, shard_size=2))
    for i in range(5):
        data = draw(TASK, seed=5, dataset=i % 3)
        assert data.x is not None
        assert data.y is not None
        first, last = np.split(out.weights[i], [8])
        f = np.tanh(data.x @ first.reshape(4, 2).T) @ last.reshape(2, 4).T
        cross = (f - f.mean(axis=0)).T @ (data.x - data.x.mean(axis=0)) / len(f)
        found = np.linalg.svd(cross, compute_uv=False)
        np.testing.assert_allclose(out.strengths[i], found, rtol=1e-10)
        error = 0.5 * ((f - data.y) ** 2).sum(axis=1).mean()
        assert out.train_error[i] == pytest.approx(error, rel=1e-12)


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
    diverged = out.passages[0].status == "diverged"
    assert np.isfinite(out.weight_norms).all()
    assert out.weight_norms[diverged].min() > 2 * out.weight_norms[~diverged].max()


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
    with pytest.raises(InputError, match="There are 2 strengths"):
        run(SMALL.twin(events=(Event(mode=3, threshold=1.0),)), seed=1, replicas=2)
    with pytest.raises(InputError, match="give the ensemble an event"):
        run(SMALL.twin(events=()), seed=1, replicas=2, stop_after_events=1)
    with pytest.raises(InputError, match="between 1 and the 2 replicas"):
        run(SMALL, seed=1, replicas=2, stop_after_events=3)
    with pytest.raises(InputError, match="at least 1"):
        run(SMALL, seed=1, replicas=2, shard_size=0)


@pytest.mark.parametrize("activation", ["identity", "tanh"])
@pytest.mark.parametrize("shape", [(1, 20), (20, 1)])
def test_a_single_output_or_input_has_the_same_bits_in_any_company(activation, shape):
    outputs, inputs = shape
    ensemble = SMALL.twin(
        task=GaussianTask(
            signals=(0.9,), inputs=inputs, outputs=outputs, samples=64, test_samples=32
        ),
        network=Network(depth=2, width=4, activation=activation),
        events=(Event(threshold=0.7),),
        record_at=tuple(range(0, 241, 4)),
    )
    whole = run(ensemble, seed=1, replicas=5, shard_size=5)
    for size in (1, 4):
        same(whole, run(ensemble, seed=1, replicas=5, shard_size=size))


def test_the_learned_error_of_steep_inputs_is_that_of_the_theory_or_refused():
    """With covariance c the optimum of W is signal / c, but for the weight decay."""
    task = GaussianTask(signals=(0.9, 0.8), input_covariance=((100.0, 0.0), (0.0, 100.0)))
    found = learned_error(draw(task, seed=1, dataset=0), Network(depth=1), 1.0)
    expected = 0.5 * sum(1 - 2 * s * s / 101 + 100 * (s / 101) ** 2 for s in (0.9, 0.8))
    assert found == pytest.approx(expected, rel=1e-6)
    steep = GaussianTask(signals=(0.9, 0.8), input_covariance=((1e9, 0.0), (0.0, 1.0)))
    with pytest.raises(InputError, match="has not come to rest"):
        learned_error(draw(steep, seed=1, dataset=0), Network(depth=2), 0.1)


def test_shards_are_small_where_networks_are_large_and_never_too_many():
    large = SMALL.twin(network=Network(width=2000))
    with pytest.raises(InputError, match="shards of"):
        run(large, seed=1, replicas=10**12)
    assert ensembles._size(large, 1000, 1) * 4_000_000 * 8 < 2**29
    assert ensembles._size(SMALL, 1000, 2) == 256


class Asked:
    """A job of a scheduler that cannot be asked, or of one that can."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken

    def done(self) -> bool:
        if self.broken:
            raise OSError("sacct is gone")
        return True

    def result(self) -> int:
        return 7

    def cancel(self) -> None:
        pass


def test_a_scheduler_that_cannot_be_asked_leaves_nobody_waiting():
    class Inner:
        def submit(self, broken: bool) -> Asked:
            return Asked(broken)

    with executors.Submitit(Inner(), poll=0.01) as scheduler:
        lost, fine = scheduler.submit(True), scheduler.submit(False)  # pyright: ignore[reportArgumentType]
        assert fine.result(timeout=10) == 7
        with pytest.raises(OSError, match="sacct"):
            lost.result(timeout=10)


def test_a_broken_pool_is_a_sentence_and_is_not_used_again(monkeypatch):
    class Broken(Elsewhere):
        def submit(self, fn, /, *args, **kwargs):
            future: Future = Future()
            future.set_exception(BrokenProcessPool("killed"))
            return future

    monkeypatch.setattr(executors, "default", lambda workers: Broken(0))
    with pytest.raises(InputError, match="fewer threads"):
        run(SMALL, seed=5, replicas=4, shard_size=2, workers=2)
    pool = executors.processes(2)
    assert executors.processes(2) is pool
    pool._broken = "killed"  # pyright: ignore[reportAttributeAccessIssue]
    assert executors.processes(2) is not pool


def test_a_strength_that_a_narrow_layer_excludes_is_refused_as_an_event():
    narrow = Ensemble(
        task=GaussianTask(signals=(0.9, 0.8)),
        network=Network(width=1),
        update=Update(learning_rate=0.1, weight_decay=0.3, sampling="population"),
        events=(Event(mode=2, threshold=0.1),),
        steps=10,
    )
    with pytest.raises(InputError, match="narrowest layer"):
        run(narrow, seed=1, replicas=2)
