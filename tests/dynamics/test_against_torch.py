"""Our convention is PyTorch's: the same batches through torch.optim.SGD give the same weights."""

from itertools import pairwise

import numpy as np
import pytest

from spinodal.dynamics.batches import Batches
from spinodal.dynamics.gradients import gradients
from spinodal.dynamics.networks import Network
from spinodal.dynamics.optimisers import step
from spinodal.dynamics.plan import make_plan
from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.dynamics.updates import Update
from spinodal.seeding import Stream, permutations


@pytest.mark.needs("torch")
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_two_epochs_of_sgd_agree_with_torch_weight_for_weight(biases, drop_last):
    import torch

    task = GaussianTask(signals=(0.9, 0.8), samples=20)
    update = Update(learning_rate=0.08, weight_decay=0.32, batch_size=8, drop_last=drop_last)
    network = Network(width=4, biases=biases)
    bare = draw(task, seed=3, dataset=0)
    data = bare.with_constant_input() if biases else bare
    source = Batches(
        make_plan(network, update, [data], np.zeros(2, dtype=int), seed=3, replicas=[0, 1])
    )
    layers = network.initial(2, 2, seed=3, replicas=range(2))

    sizes = (2, 4, 4, 2)
    modules = [torch.nn.Linear(i, o, bias=biases).double() for i, o in pairwise(sizes)]
    model = torch.nn.Sequential(*modules)
    with torch.no_grad():
        for module, layer in zip(modules, layers, strict=True):
            rows, columns = module.weight.shape
            module.weight.copy_(torch.from_numpy(layer[:rows, :columns, 1]))
            if biases:
                module.bias.zero_()
    # With two outputs the mean over batch and outputs is half the squared error of a sample.
    optimizer = torch.optim.SGD(
        model.parameters(), lr=update.learning_rate, weight_decay=update.weight_decay
    )
    loss = torch.nn.MSELoss()
    x, y = torch.from_numpy(np.asarray(bare.x)), torch.from_numpy(np.asarray(bare.y))
    per_epoch = update.steps_per_epoch(20)
    orders = Stream(3, "shuffled batches", [1], 20)
    for epoch in range(2):
        order = permutations(orders.words(epoch))[:, 0]
        for at in range(per_epoch):
            chosen = order[at * 8 : (at + 1) * 8]
            optimizer.zero_grad()
            loss(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
            now = epoch * per_epoch + at
            step(
                layers,
                gradients(layers, *source.moments(now)),
                None,
                update,
                network.trainable(2, 2),
            )
    for module, layer in zip(modules, layers, strict=True):
        rows, columns = module.weight.shape
        ours = layer[:rows, :columns, 1]
        np.testing.assert_allclose(module.weight.detach().numpy(), ours, rtol=1e-12, atol=1e-15)
        if biases:
            np.testing.assert_allclose(
                module.bias.detach().numpy(), layer[:rows, -1, 1], rtol=1e-12, atol=1e-15
            )
