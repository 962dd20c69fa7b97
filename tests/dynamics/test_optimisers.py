"""Optimisers do what torch.optim does, and schedules change what they say, when they say it."""

import numpy as np
import pytest

from spinodal.dynamics.batches import Batches
from spinodal.dynamics.data import from_arrays
from spinodal.dynamics.networks import Network
from spinodal.dynamics.plan import adam_corrections, make_plan
from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.dynamics.twin import Twin
from spinodal.dynamics.updates import Stage, Update
from spinodal.errors import InputError
from spinodal.seeding import Stream, permutations

TASK = GaussianTask(signals=(0.9, 0.8), samples=48, test_samples=16)


NETWORK = Network(width=4)


def twin(update, network=NETWORK, replicas=range(2), data=None, seed=3):
    sets = [draw(TASK, seed=seed, dataset=0)] if data is None else data
    of = np.zeros(len(replicas), dtype=int)
    outputs, inputs = sets[0].train.yx.shape
    layers = network.initial(outputs, inputs, seed=seed, replicas=replicas)
    plan = make_plan(network, update, sets, of, seed=seed, replicas=replicas, task=TASK)
    return Twin(plan, layers)


@pytest.mark.needs("torch")
@pytest.mark.parametrize("activation", ["identity", "tanh"])
@pytest.mark.parametrize("optimizer", ["momentum", "adam", "adamw"])
def test_a_thousand_updates_agree_with_torch(optimizer, activation):
    import torch

    torch.set_num_threads(1)
    # Batches, because Adam divides by a gradient that would vanish: that magnifies rounding.
    update = Update(
        learning_rate=0.01, weight_decay=0.05, batch_size=12, optimizer=optimizer,
        momentum=0.85, second_momentum=0.99,
    )  # fmt: skip
    machine = twin(update, Network(width=4, activation=activation))
    weights = [torch.tensor(layer[..., 1], requires_grad=True) for layer in machine.layers]
    if optimizer == "momentum":
        rule = torch.optim.SGD(weights, lr=0.01, weight_decay=0.05, momentum=0.85)
    else:
        kind = torch.optim.Adam if optimizer == "adam" else torch.optim.AdamW
        rule = kind(weights, lr=0.01, weight_decay=0.05, betas=(0.85, 0.99))
    data = draw(TASK, seed=3, dataset=0)
    x, y = torch.tensor(data.x), torch.tensor(data.y)
    source = Batches(machine.plan)
    for now in range(1000):
        rule.zero_grad()
        chosen = source.chosen(now)[:, 1]
        h = x[chosen]
        for weight in weights[:-1]:
            h = h @ weight.T
            h = torch.tanh(h) if activation == "tanh" else h
        (0.5 * ((h @ weights[-1].T - y[chosen]) ** 2).sum(dim=1).mean()).backward()
        rule.step()
    machine.advance(1000, 1000)
    for ours, theirs in zip(machine.layers, weights, strict=True):
        np.testing.assert_allclose(ours[..., 1], theirs.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.needs("torch")
def test_classification_with_biases_agrees_with_torch():
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=30)
    data = from_arrays(rng.standard_normal((30, 2)) + labels[:, None], np.eye(3)[labels])
    network = Network(depth=2, width=5, activation="softplus", biases=True)
    update = Update(
        learning_rate=0.1, weight_decay=0.01, sampling="full", optimizer="momentum",
        loss="cross_entropy",
    )  # fmt: skip
    layers = network.initial(3, 2, seed=1, replicas=range(2))
    plan = make_plan(
        network, update, [data.with_constant_input()], np.zeros(2, dtype=int), seed=1,
        replicas=range(2),
    )  # fmt: skip
    machine = Twin(plan, layers)
    model = torch.nn.Sequential(
        torch.nn.Linear(2, 5).double(), torch.nn.Softplus(), torch.nn.Linear(5, 3).double()
    )
    parameters = list(model.parameters())
    with torch.no_grad():
        for weight, bias, layer in zip(parameters[::2], parameters[1::2], layers, strict=True):
            weight.copy_(torch.tensor(layer[: weight.shape[0], :-1, 1]))
            bias.zero_()
    rule = torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(200):
        rule.zero_grad()
        value = torch.nn.functional.cross_entropy(model(torch.tensor(data.x)), torch.tensor(labels))
        value.backward()
        rule.step()
    seen = machine.advance(200, 200)
    for weight, bias, layer in zip(parameters[::2], parameters[1::2], machine.layers, strict=True):
        rows = weight.shape[0]
        np.testing.assert_allclose(layer[:rows, :-1, 1], weight.detach().numpy(), rtol=1e-9)
        np.testing.assert_allclose(layer[:rows, -1, 1], bias.detach().numpy(), rtol=1e-8)
    with torch.no_grad():
        final = torch.nn.functional.cross_entropy(model(torch.tensor(data.x)), torch.tensor(labels))
    assert seen.train is not None
    assert seen.train[-1, 1] == pytest.approx(final.item(), rel=1e-9)


def test_decoupled_decay_shrinks_weights_that_have_no_gradient():
    update = Update(learning_rate=0.1, weight_decay=0.5, sampling="population", optimizer="adamw")
    machine = idle(update)
    machine.advance(5, 5)
    np.testing.assert_allclose(machine.state()["weights"][1], 0.7 * 0.95**5, rtol=1e-14)


def idle(update):
    """A middle weight of 0.7 between layers that are zero, so that no gradient reaches any."""
    data = draw(GaussianTask(signals=(0.9,)), seed=1, dataset=0)
    plan = make_plan(
        Network(depth=3, widths=(1, 1)), update, [data], np.zeros(2, dtype=int), seed=1,
        replicas=range(2),
    )  # fmt: skip
    return Twin(plan, [np.zeros((1, 1, 2)), np.full((1, 1, 2), 0.7), np.zeros((1, 1, 2))])


def test_the_corrections_of_adam_are_powers():
    first, second = adam_corrections(0.9, 0.999, 3, 5)
    t = np.arange(4, 9)
    np.testing.assert_allclose(first, 1 - 0.9**t, rtol=1e-15)
    np.testing.assert_allclose(second, np.sqrt(1 - 0.999**t), rtol=1e-13)
    late = adam_corrections(0.9, 0.999, 10**9, 1)
    assert late[0][0] == late[1][0] == 1


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize(("precision", "tiny"), [("float64", 1e-100), ("float32", 1e-30)])
def test_numbers_too_small_to_matter_become_zero(precision, tiny, optimizer):
    update = Update(learning_rate=0.1, weight_decay=0, sampling="population", optimizer=optimizer)
    data = draw(GaussianTask(signals=(0.9,)), seed=1, dataset=0)
    plan = make_plan(
        Network(depth=3, width=1, precision=precision), update, [data], np.zeros(2, dtype=int),
        seed=1, replicas=range(2),
    )  # fmt: skip
    machine = Twin(plan, [np.zeros((1, 1, 2))] * 3)
    state = machine.state()
    state["momentum"][:], state["weights"][:] = 1.1 * tiny, 0.9 * tiny
    if optimizer == "adam":
        state["second"][:] = 1.0
    machine.restore(7, state)
    machine.advance(1, 1)
    after = machine.state()
    assert not after["weights"].any()
    assert not after["momentum"].any()  # 0.9 * 1.1 is below 1
    if optimizer == "momentum":
        return
    assert after["second"].all()
    small = plan.smallest_square
    machine.restore(7, {**state, "second": np.full_like(state["second"], small)})
    machine.advance(1, 1)
    assert not machine.state()["second"].any()


def test_time_is_the_sum_of_the_learning_rates():
    plain = Update(learning_rate=0.3, weight_decay=0, sampling="full")
    assert plain.time(7) == 0.3 * 7
    update = plain.model_copy(
        update={
            "schedule": (
                Stage(at=4, learning_rate=0.1),
                Stage(at=6, temperature=1e-3),
                Stage(at=9, learning_rate=0.2),
            )
        }
    )
    rates = [0.3] * 4 + [0.1] * 5 + [0.2] * 11
    expected = np.concatenate([[0], np.cumsum(rates)])
    np.testing.assert_allclose(update.time(np.arange(21)), expected, rtol=1e-14)


@pytest.mark.parametrize("sampling", ["full", "replacement", "fresh"])
def test_stages_are_runs_with_other_coefficients_one_after_the_other(sampling):
    common = {"sampling": sampling, "weight_decay": 0.1, "optimizer": "momentum"}
    size = None if sampling == "full" else 8
    scheduled = Update(
        learning_rate=0.05, temperature=1e-3, batch_size=size,
        schedule=(Stage(at=7, learning_rate=0.02), Stage(at=11, weight_decay=0.3, temperature=0)),
        **common,
    )  # fmt: skip
    whole = twin(scheduled)
    whole.advance(20, 20)
    stages = [
        (7, {"learning_rate": 0.05, "temperature": 1e-3}),
        (4, {"learning_rate": 0.02, "temperature": 1e-3}),
        (9, {"learning_rate": 0.02, "temperature": 0.0, "weight_decay": 0.3}),
    ]
    state, step = None, 0
    for count, changes in stages:
        part = twin(Update(**{**common, "batch_size": size, **changes}))
        if state is not None:
            decay = np.full(2, part.plan.first_weight_decay)
            part.restore(step, {**state, "decay": decay})
        part.advance(count, count)
        state, step = part.state(), part.step
    assert state is not None
    np.testing.assert_array_equal(whole.state()["weights"], state["weights"])


def test_a_stage_of_shuffled_batches_begins_a_new_epoch():
    update = Update(
        learning_rate=0.1, weight_decay=0, batch_size=12, schedule=(Stage(at=6, batch_size=20),)
    )
    plan = twin(update).plan
    first, second = plan.stretches
    assert (first.per_epoch, first.first_epoch) == (4, 0)
    # Six updates use one epoch and half of the next.
    assert (second.per_epoch, second.first_epoch, second.batch_size) == (2, 2, 20)
    order = permutations(Stream(3, "shuffled batches", range(2), 48).words(2))
    np.testing.assert_array_equal(Batches(plan).chosen(7), order[20:40])


def test_a_weight_decay_of_its_own_for_every_replica():
    update = Update(learning_rate=0.05, weight_decay=0.1, sampling="full")
    machine = twin(update, replicas=range(3))
    machine.decay = np.array([0.1, 0.2, 0.3])
    machine.advance(50, 50)
    for replica, decay in enumerate((0.1, 0.2, 0.3)):
        alone = twin(
            update.model_copy(update={"weight_decay": decay}), replicas=range(replica, replica + 1)
        )
        alone.advance(50, 50)
        np.testing.assert_array_equal(
            machine.state()["weights"][:, replica], alone.state()["weights"][:, 0]
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": (Stage(at=5, learning_rate=1), Stage(at=5, learning_rate=2))}, "follow"),
        ({"schedule": (Stage(at=5, batch_size=4),)}, "no batches whose size"),
        ({"gaussian": "local"}, "set batch_size"),
        ({"gaussian": "local", "sampling": "shuffled", "batch_size": 4}, "'full' or 'population'"),
        ({"gaussian": "frozen", "batch_size": 4}, "both or neither"),
        ({"frozen_strengths": (0.5,)}, "both or neither"),
        ({"label_noise": 0.1, "loss": "cross_entropy"}, "squared"),
        ({"label_noise": 0.1, "sampling": "population"}, "any sampling but 'population'"),
        ({"sampling": "wishart"}, "needs a batch_size"),
        ({"momentum": 1.0}, "less than 1"),
        ({"optimizer": "lbfgs"}, "'sgd', 'momentum', 'adam' or 'adamw'"),
    ],
)
def test_updates_that_make_no_sense_are_refused(changes, message):
    settings = {"learning_rate": 0.1, "weight_decay": 0, "sampling": "full", **changes}
    with pytest.raises((InputError, ValueError), match=message):
        Update.model_validate(settings)


def test_a_stage_that_changes_nothing_is_refused():
    with pytest.raises(ValueError, match="changes nothing"):
        Stage(at=3)


def test_the_noise_off_twin_keeps_the_coefficients_and_drops_every_noise():
    noisy = Update(
        learning_rate=0.1, weight_decay=0.2, sampling="wishart", batch_size=9, temperature=0.1,
        optimizer="momentum",
        schedule=(Stage(at=3, temperature=0.3), Stage(at=5, learning_rate=0.05, temperature=0.2)),
    )  # fmt: skip
    quiet = noisy.noiseless
    assert (quiet.sampling, quiet.temperature, quiet.optimizer) == ("population", 0, "momentum")
    assert quiet.schedule == (Stage(at=5, learning_rate=0.05),)
    labelled = Update(
        learning_rate=0.1, weight_decay=0, sampling="replacement", batch_size=3, label_noise=0.2
    ).noiseless
    assert (labelled.sampling, labelled.label_noise) == ("full", 0)
    frozen = Update(
        learning_rate=0.1, weight_decay=0, sampling="full", batch_size=3, gaussian="frozen",
        frozen_strengths=(0.4,),
    ).noiseless  # fmt: skip
    assert (frozen.gaussian, frozen.frozen_strengths) == (None, ())
