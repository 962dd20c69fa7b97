"""Clones of training runs go on as the run itself would, and splitting finds what waiting finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import assert_consistent

from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.ensemble import Ensemble, Event, run
from spinodal.dynamics.gaussian import GaussianTask
from spinodal.dynamics.networks import Network
from spinodal.dynamics.updates import Stage, Update
from spinodal.errors import InputError
from spinodal.rare.committor import pilot_committor
from spinodal.rare.splitting import SplittingSettings
from spinodal.rare.training import TrainingSwarm, training_rate
from spinodal.statistics.survival import exponential_rate
from spinodal.theory import modes

TRAP = {"depth": 3, "signal": 0.9, "weight_decay": 0.32}
LEARNED = float(modes.learned(**TRAP))
FRESH = ("fresh", "wishart")
HOT = Update(learning_rate=0.1, weight_decay=0.3, sampling="population", temperature=1e-3)
LATER = Stage(at=10, temperature=1e-2)
FEW = SplittingSettings(repetitions=5, copies=28, watchers=16, resolution=1e-3)


def langevin(temperature: float = 3e-3, width: int = 1, **changes: object) -> Ensemble:
    """One feature in the trivial trap, shaken by noise of known temperature."""
    settings = {
        "task": GaussianTask(signals=(0.9,)),
        "network": Network(depth=3, width=width),
        "update": Update(
            learning_rate=0.1,
            weight_decay=0.32,
            sampling="population",
            temperature=temperature,
        ),
        "start": Start(kind="balanced", strengths=()),
        "events": (Event(mode=1, threshold=LEARNED),),
        "steps": 10**6,
        "check_every": 20,
    }
    return Ensemble.model_validate({**settings, **changes})


def sgd(**changes: object) -> Ensemble:
    """Minibatches from a data set, weights of two features."""
    settings = {
        "task": GaussianTask(
            signals=(0.9, 0.5), samples=None if changes["sampling"] in FRESH else 32
        ),
        "network": Network(depth=2, width=3),
        "update": {"learning_rate": 0.05, "weight_decay": 0.1, "batch_size": 8, **changes},
        "start": Start(kind="random"),
        "events": (Event(mode=1, threshold=0.05, direction="below"),),
        "steps": 1000,
        "check_every": 4,
    }
    return Ensemble.model_validate(settings)


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling": "shuffled"},
        {"sampling": "replacement", "optimizer": "momentum"},
        {"sampling": "shuffled", "optimizer": "adam", "second_momentum": 0.9},
        {"sampling": "wishart", "optimizer": "adamw", "second_momentum": 0.9},
        {"sampling": "fresh", "temperature": 1e-3},
    ],
    ids=str,
)
def test_a_clone_with_its_parents_numbers_goes_on_bit_for_bit(changes):
    """Weights, moments and sampler are all there: nothing tells the clone from the run."""
    swarm = TrainingSwarm(sgd(**changes), seed=3)
    numbers = [5, 6, 7]
    swarm.launch(swarm.start(3, numbers), 3, numbers)
    for _ in range(3):
        swarm.advance()
    state, begun = swarm.states(np.arange(3)), swarm.birth
    uninterrupted = [swarm.advance().score for _ in range(4)]
    clone = swarm.fork()
    clone.birth = begun + 3 * swarm.every
    clone.launch(state[[1, 2]], 3, [6, 7])
    for score in uninterrupted:
        np.testing.assert_array_equal(clone.advance().score, score[1:])


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_forgetting_what_the_optimiser_remembers_is_seen(optimizer):
    swarm = TrainingSwarm(
        sgd(sampling="replacement", optimizer=optimizer, second_momentum=0.9), seed=3
    )
    swarm.launch(swarm.start(3, [1]), 3, [1])
    for _ in range(3):
        swarm.advance()
    state = swarm.states(np.array([0]))
    forgetful = state.copy()
    weights = (state.shape[1] - 1) // (2 if optimizer == "momentum" else 3)
    forgetful[:, weights:-1] = 0
    swarm.launch(np.concatenate([state, state, forgetful]), 3, [9, 9, 9])
    same, again, lost = swarm.advance().score
    assert same == again != lost


def test_clones_with_numbers_of_their_own_go_different_ways():
    swarm = TrainingSwarm(sgd(sampling="shuffled"), seed=3)
    swarm.launch(swarm.start(3, [1]), 3, [1])
    swarm.advance()
    state = swarm.states(np.array([0, 0]))
    swarm.launch(state, 3, [2, 3])
    first, second = swarm.advance().score
    assert first != second


def test_adams_corrections_have_faded_before_anybody_is_cloned():
    swarm = TrainingSwarm(sgd(sampling="shuffled", optimizer="adam", second_momentum=0.99), seed=3)
    assert 0.99**swarm.birth < 2**-53
    assert swarm.birth % 4 == 0  # between two epochs


def test_splitting_and_waiting_find_the_same_rate():
    ensemble = langevin()
    split = training_rate(ensemble, seed=1, settings=FEW)
    outcome = run(ensemble, seed=2, replicas=100, stop_after_events=80)
    waited = exponential_rate(outcome.passages[0])
    # 1 / (mean time), as splitting has it; the watching of 100 replicas together ends early.
    error = math.hypot(split.relative_error, 1 / math.sqrt(waited.events))
    assert_consistent(math.log(split.rate / waited.rate), 0.0, error)


def test_looking_more_often_for_branching_changes_nothing_but_the_variance():
    coarse, fine = (training_rate(langevin(), seed=1, settings=FEW, look_every=n) for n in (20, 4))
    error = math.hypot(coarse.relative_error, fine.relative_error)
    assert_consistent(math.log(coarse.rate / fine.rate), 0.0, error)


def test_the_rate_is_the_same_on_any_number_of_threads():
    one, two = (training_rate(langevin(), seed=1, settings=FEW, workers=n) for n in (1, 2))
    assert one == two


def test_a_threshold_halfway_to_the_learned_error_is_that_of_brute_force():
    event = Event(observable="test_error", threshold="midpoint", direction="below")
    ensemble = langevin(events=(event,))
    outcome = run(ensemble.twin(steps=20), seed=1, replicas=1)
    swarm = TrainingSwarm(ensemble, seed=1)
    assert swarm.threshold == pytest.approx(float(outcome.thresholds[0, 0]), rel=1e-12)
    look = swarm.launch(swarm.start(1, [0]), 1, [0])
    assert look.score[0] < -swarm.threshold
    assert look.arrived is not None
    assert not look.arrived[0]


def test_a_jump_down_of_minibatches_is_split_as_well():
    """From the learned state with Wishart batches until the strength is lost."""
    ensemble = langevin(
        update=Update(learning_rate=0.3, weight_decay=0.32, sampling="wishart", batch_size=4),
        start=Start(kind="balanced", strengths=(LEARNED,)),
        events=(Event(mode=1, threshold=0.02, direction="below"),),
        check_every=5,
    )
    split = training_rate(ensemble, seed=1, settings=FEW)
    outcome = run(ensemble, seed=2, replicas=100, stop_after_events=80)
    waited = exponential_rate(outcome.passages[0])
    error = math.hypot(split.relative_error, 1 / math.sqrt(waited.events))
    assert_consistent(math.log(split.rate / waited.rate), 0.0, error)


def test_an_estimated_committor_of_layer_norms_and_amplitudes_estimates_the_same_rate():
    ensemble = langevin(2.4e-3)
    committor = pilot_committor(
        TrainingSwarm(ensemble, seed=1), target=math.inf, seed=1, settings=FEW
    )
    assert committor.separation > 0.8
    own, better = (training_rate(ensemble, seed=1, settings=FEW, rank=r) for r in (None, committor))
    error = math.hypot(own.relative_error, better.relative_error)
    assert_consistent(math.log(own.rate / better.rate), 0.0, error)


def test_a_score_of_ones_own_sees_strengths_and_layers():
    def norm(strengths, layers):
        return sum((layer**2).sum(axis=(0, 1)) for layer in layers) ** 0.5

    own = training_rate(langevin(), seed=1, settings=FEW)
    other = training_rate(
        langevin(), seed=1, settings=FEW.model_copy(update={"resolution": 0.0}), score=norm
    )
    error = math.hypot(own.relative_error, other.relative_error)
    assert_consistent(math.log(own.rate / other.rate), 0.0, error)
    with pytest.raises(InputError, match="one number per copy"):
        training_rate(langevin(), seed=1, settings=FEW, score=lambda s, layers: s)


@pytest.mark.parametrize(
    ("ensemble", "said"),
    [
        (lambda: langevin(events=()), "one event"),
        (
            lambda: langevin(events=(Event(mode=1, threshold=0.5, persistence=2),)),
            "persistence",
        ),
        (
            lambda: langevin(update=HOT.model_copy(update={"schedule": (LATER,)})),
            "no one rate",
        ),
        (
            lambda: sgd(sampling="shuffled").twin(check_every=3),
            "multiple of 4",
        ),
        (lambda: langevin(events=(Event(mode=2, threshold=0.5),)), "1 strengths"),
        (lambda: langevin(start=Start(kind="balanced", strengths=(0.8,))), "starts at the target"),
        (
            lambda: langevin(temperature=0.0),
            "without noise",
        ),
    ],
)
def test_what_cannot_be_split_is_refused_with_a_reason(ensemble, said):
    with pytest.raises(InputError, match=said):
        training_rate(ensemble(), seed=1, settings=FEW)


def test_looks_that_do_not_divide_the_ensembles_are_refused():
    with pytest.raises(InputError, match="use one of 1, 2, 4, 5, 10, 20"):
        TrainingSwarm(langevin(), seed=1, look_every=3)


def test_a_network_that_diverges_is_told():
    wild = langevin(update=HOT.model_copy(update={"learning_rate": 8.0, "temperature": 1.0}))
    with pytest.raises(InputError, match="diverged"):
        training_rate(wild.twin(events=(Event(mode=1, threshold=1e5),)), seed=1, settings=FEW)
