"""Settings that are fine alone but not together are refused, with what to use instead."""

import numpy as np
import pytest

from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.ensemble import Ensemble, Event
from spinodal.dynamics.networks import WIDEST, Network
from spinodal.dynamics.plan import bytes_per_replica, make_plan
from spinodal.dynamics.tasks import ArraysTask, ClassTask, GaussianTask, draw, from_arrays
from spinodal.dynamics.together import check_together, noise_off
from spinodal.dynamics.updates import Stage, Update
from spinodal.errors import InputError

SAMPLES = GaussianTask(signals=(0.9, 0.8), samples=64, test_samples=32)
BARE = GaussianTask(signals=(0.9, 0.8), samples=64)
POPULATION = GaussianTask(signals=(0.9, 0.8))
FRAMES = GaussianTask(signals=(0.9, 0.8), random_frames=True)
CLASSES = ClassTask(samples=64)
LINEAR, TANH, BIASED = Network(), Network(activation="tanh"), Network(biases=True)


def update(**changes):
    settings = {"learning_rate": 0.1, "weight_decay": 0.1, "batch_size": 8, **changes}
    return Update.model_validate(settings)


FROZEN = {"sampling": "full", "gaussian": "frozen"}

REFUSED = {
    "cross-entropy of real numbers": (
        SAMPLES, LINEAR, update(loss="cross_entropy"), Start(), "task of kind 'classes'",
    ),
    "wishart with finite data": (
        SAMPLES, LINEAR, update(sampling="wishart"), Start(), "use sampling 'replacement'",
    ),
    "wishart with classes": (
        CLASSES, LINEAR, update(sampling="wishart"), Start(), "use sampling 'replacement'",
    ),
    "wishart with biases": (
        POPULATION, BIASED, update(sampling="wishart"), Start(), "use sampling 'fresh'",
    ),
    "wishart in small batches": (
        POPULATION, LINEAR, update(sampling="wishart", batch_size=3), Start(), "= 4 samples",
    ),
    "wishart in small batches later": (
        POPULATION, LINEAR,
        update(sampling="wishart", schedule=(Stage(at=9, batch_size=3),)), Start(), "= 4 samples",
    ),
    "wishart in random frames": (
        FRAMES, LINEAR, update(sampling="wishart"), Start(), "random_frames = false",
    ),
    "fresh classes": (CLASSES, TANH, update(sampling="fresh"), Start(), "finite: use sampling"),
    "population of a nonlinear network": (
        SAMPLES, TANH, update(sampling="population"), Start(), "use sampling 'full'",
    ),
    "population of classes": (
        CLASSES, LINEAR, update(sampling="population"), Start(), "no exact moments",
    ),
    "batches of nothing": (POPULATION, LINEAR, update(), Start(), "give the task samples"),
    "nothing to observe": (
        POPULATION, TANH, update(sampling="fresh"), Start(), "give the task samples",
    ),
    "no test error": (BARE, TANH, update(), Start(), "test_samples"),
    "batch too large": (SAMPLES, LINEAR, update(batch_size=65), Start(), "does not fit into 64"),
    "batch too large later": (
        SAMPLES, LINEAR, update(schedule=(Stage(at=5, batch_size=65),)), Start(), "does not fit",
    ),
    "trap of a nonlinear network": (
        SAMPLES, TANH, update(), Start(kind="trap", rank=1), "'zeros' or 'checkpoint'",
    ),
    "balanced classes by cross-entropy": (
        CLASSES, LINEAR, update(loss="cross_entropy"),
        Start(kind="balanced", strengths=(0.5,)), "use kind 'random'",
    ),
    "balanced with biases": (
        SAMPLES, BIASED, update(), Start(kind="balanced", strengths=(0.5,)), "biases = false",
    ),
    "too many strengths": (
        SAMPLES, LINEAR, update(), Start(kind="balanced", strengths=(0.5,) * 3), "at most 2",
    ),
    "frozen in a nonlinear network": (
        SAMPLES, TANH, update(**FROZEN, frozen_strengths=(0.5,)), Start(), "use gaussian = 'local'",
    ),
    "frozen at too many strengths": (
        SAMPLES, LINEAR, update(**FROZEN, frozen_strengths=(0.5,) * 3), Start(), "at most 2",
    ),
    "widths that do not fit": (
        SAMPLES, Network(depth=3, widths=(4,)), update(), Start(), "has 2 hidden layers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_impossible_combinations_are_refused_with_what_to_use_instead(name):
    task, network, rule, start, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        check_together(task, network, rule, start)


@pytest.mark.parametrize(
    ("task", "network", "rule", "start"),
    [
        (SAMPLES, LINEAR, update(), Start(kind="trap", rank=1)),
        (SAMPLES, TANH, update(sampling="fresh"), Start(kind="zeros", jitter=0.1)),
        (POPULATION, LINEAR, update(sampling="wishart"), Start(kind="balanced")),
        (POPULATION, BIASED, update(sampling="fresh", label_noise=0.1), Start()),
        (CLASSES, TANH, update(loss="cross_entropy"), Start()),
        (CLASSES, LINEAR, update(sampling="full", gaussian="local"), Start(kind="balanced")),
        (POPULATION, LINEAR, update(sampling="population", gaussian="local"), Start()),
        (SAMPLES, LINEAR, update(**FROZEN, frozen_strengths=(0.5,)), Start()),
    ],
)
def test_possible_combinations_are_left_alone(task, network, rule, start):
    check_together(task, network, rule, start)


def test_the_users_own_data_are_not_judged_by_the_task_that_stands_in():
    check_together(POPULATION, TANH, update(loss="cross_entropy"), Start(), own_data=True)
    with pytest.raises(InputError, match="these data are finite"):
        check_together(SAMPLES, LINEAR, update(sampling="fresh"), Start(), own_data=True)


def test_cross_entropy_refuses_targets_that_are_no_probabilities(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "real.npz"
    np.savez(path, allow_pickle=False, x=rng.standard_normal((9, 2)), y=rng.random((9, 2)))
    task = ArraysTask(path=str(path))
    for data in (draw(task, seed=1, dataset=0), from_arrays(np.ones((9, 2)), np.ones((9, 1)))):
        with pytest.raises(InputError, match="class probabilities of at least two classes"):
            make_plan(
                LINEAR, update(loss="cross_entropy"), [data], np.zeros(1, dtype=int), seed=1,
                replicas=[0],
            )  # fmt: skip


def test_data_sets_side_by_side_have_equally_many_samples():
    rng = np.random.default_rng(0)
    data = [from_arrays(*rng.standard_normal((2, n, 2))) for n in (8, 9)]
    with pytest.raises(InputError, match=r"equally many samples, got \[8, 9\]"):
        make_plan(LINEAR, update(), data, np.array([0, 1]), seed=1, replicas=[0, 1])


def test_the_noise_off_twin_of_fresh_samples_is_what_the_network_can_have():
    fresh = update(sampling="fresh", temperature=0.1)
    assert noise_off(LINEAR, fresh).sampling == "population"
    assert noise_off(TANH, fresh).sampling == "full"
    assert noise_off(TANH, fresh).temperature == 0


def test_the_midpoint_rule_is_refused_where_no_learned_state_is_known():
    settings = {
        "task": SAMPLES, "network": TANH, "update": update(), "steps": 9,
        "events": (Event(observable="test_error", threshold="midpoint", direction="below"),),
    }  # fmt: skip
    with pytest.raises(ValueError, match="give the event's threshold as a number"):
        Ensemble.model_validate(settings)
    Ensemble.model_validate({**settings, "network": LINEAR})


@pytest.mark.parametrize("sampling", ["fresh", "wishart"])
def test_impossible_populations_are_refused_where_something_is_drawn_from_them(sampling):
    large = GaussianTask(signals=(3.0, 0.8))
    check_together(large, LINEAR, update(sampling="population"), Start())
    with pytest.raises(InputError, match=f"'{sampling}' needs Gaussian x and y, but none have"):
        check_together(large, LINEAR, update(sampling=sampling), Start())


@pytest.mark.parametrize("settings", [{"gaussian": "local"}, FROZEN | {"frozen_strengths": (0.5,)}])
def test_impossible_populations_have_no_gaussian_noise(settings):
    rule = update(**{**settings, "sampling": "population"})
    with pytest.raises(InputError, match=r"Gaussian noise '.*' needs Gaussian x and y"):
        check_together(GaussianTask(signals=(3.0, 0.8)), LINEAR, rule, Start())
    check_together(GaussianTask(signals=(1.0, 0.8)), LINEAR, rule, Start())


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Network(depth=2, width=WIDEST + 1), "has 8193 units, at most 8192"),
        (Network(depth=2, width=WIDEST, biases=True), "has 8193 units with that of the biases"),
        (Network(depth=9, width=WIDEST), "smaller width or depth"),
    ],
)
def test_networks_beyond_the_engine_are_refused_before_anything_is_allocated(network, message):
    with pytest.raises(InputError, match=message):
        check_together(POPULATION, network, update(sampling="population"), Start())
    check_together(POPULATION, Network(depth=2, width=WIDEST), update(sampling="fresh"), Start())


@pytest.mark.parametrize(
    ("settings", "lower"),
    [
        ({"sampling": "fresh"}, "fresh batches .* lower batch_size, inputs or outputs"),
        ({"sampling": "replacement"}, "with replacement .* lower batch_size"),
        ({"sampling": "fresh", "label_noise": 0.1, "network": TANH}, "lower batch_size"),
    ],
)
def test_steps_that_draw_too_many_words_name_the_setting_to_lower(settings, lower):
    network = settings.get("network", LINEAR)
    rule = update(batch_size=2**30, **{k: v for k, v in settings.items() if k != "network"})
    data = draw(SAMPLES, seed=1, dataset=0)
    with pytest.raises(InputError, match=lower):
        make_plan(network, rule, [data], np.zeros(1, dtype=int), seed=1, replicas=[0], task=SAMPLES)


@pytest.mark.parametrize("network", [LINEAR, TANH])
def test_data_that_the_precision_cannot_hold_are_refused(network):
    rng = np.random.default_rng(0)
    data = from_arrays(*(1e40 * rng.standard_normal((2, 9, 2))))
    single = network.model_copy(update={"precision": "float32"})
    with pytest.raises(InputError, match="too large for float32"):
        make_plan(single, update(), [data], np.zeros(1, dtype=int), seed=1, replicas=[0])


def test_the_memory_of_a_replica_grows_with_its_weights_and_its_optimiser():
    def needed(optimizer="sgd", **network):
        return bytes_per_replica(Network(depth=2, **network), update(optimizer=optimizer), 2, 2)

    # 4 * 1000 weights: machine's, start's, a copy, and twice each for Adam's two moments.
    assert needed(width=1000) - needed(width=10) == 4 * 990 * (3 * 8 + 24)
    assert needed("adam", width=10) - needed(width=10) == 40 * 4 * 8
    assert needed(width=10) - needed(width=10, precision="float32") == 40 * 3 * 4
