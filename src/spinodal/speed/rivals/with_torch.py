"""PyTorch: a training loop as everybody writes it, and many replicas by batched products."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from spinodal.dynamics.networks import Layers
from spinodal.speed.case import Case

Tensors = list[torch.Tensor]


class Loop:
    """`nn.Sequential`, `MSELoss` and `torch.optim.SGD`; replicas one after another."""

    def __init__(self, case: Case, replicas: int) -> None:
        """A network with the starting weights of replica 0."""
        _quietly()
        self.case, self.replicas = case, 1
        self.x, self.y = (torch.from_numpy(array) for array in case.arrays)
        self._load(case.start(1), 0)
        self.order, self.at = torch.empty(0, dtype=torch.int64), 0

    def _load(self, layers: Layers, replica: int) -> None:
        parts: list[torch.nn.Module] = []
        for number, (rows, columns) in enumerate(self.case.shapes, start=1):
            layer = torch.nn.Linear(columns, rows, bias=False, dtype=self.x.dtype)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(layers[number - 1][..., replica].copy()))
            parts.append(layer)
            if not self.case.linear and number < self.case.depth:
                parts.append(torch.nn.Sigmoid())
        self.model = torch.nn.Sequential(*parts)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=self.case.learning_rate, weight_decay=self.case.weight_decay
        )
        self.loss = torch.nn.MSELoss()

    def follow(self, layers: Layers, chosen: NDArray[np.int64]) -> Layers:
        """The layers after given batches."""
        ends = []
        for replica in range(chosen.shape[-1]):
            self._load(layers, replica)
            for batch in torch.from_numpy(chosen[..., replica].copy()):
                self._step(batch)
            ends.append([w.detach().numpy().copy() for w in self.model.parameters()])
        return [np.stack(parts, axis=-1) for parts in zip(*ends, strict=True)]

    def run(self, steps: int) -> None:
        """Updates with batches of its own."""
        samples, size = self.case.samples, self.case.batch_size
        for _ in range(steps):
            if self.case.sampling == "replacement":
                self._step(torch.randint(samples, (size,)))
                continue
            if self.at + size > len(self.order):
                self.order, self.at = torch.randperm(samples), 0
            self._step(self.order[self.at : self.at + size])
            self.at += size

    def _step(self, batch: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        self.loss(self.model(self.x[batch]), self.y[batch]).backward()
        self.optimizer.step()


class _Batched:
    """Many replicas, the batches of all of them drawn in one call; gradients by hand."""

    def __init__(self, case: Case, replicas: int) -> None:
        """Replicas 0 to `replicas` - 1."""
        _quietly()
        self.case, self.replicas = case, replicas
        self.x, self.y = (torch.from_numpy(array) for array in case.arrays)
        self.weights = self._from(case.start(replicas))
        self.orders: Tensors = []
        self._keep = 1 - case.learning_rate * case.weight_decay

    def follow(self, layers: Layers, chosen: NDArray[np.int64]) -> Layers:
        """The layers after given batches."""
        self.weights = self._from(layers)
        for batch in torch.from_numpy(chosen):
            self._step(batch.T.contiguous())
        return self._to(self.weights)

    def run(self, steps: int) -> None:
        """Updates with batches of its own."""
        for _ in range(steps):
            self._step(self._draw())

    def _draw(self) -> torch.Tensor:
        """Indices of a batch, (replicas, batch)."""
        samples, size = self.case.samples, self.case.batch_size
        if self.case.sampling == "replacement":
            return torch.randint(samples, (self.replicas, size))
        if not self.orders:
            order = torch.rand(self.replicas, samples).argsort(dim=1)
            usable = samples // size * size
            self.orders = list(order[:, :usable].split(size, dim=1))
        return self.orders.pop()

    def _step(self, batch: torch.Tensor) -> None:
        raise NotImplementedError

    def _change(self, layer: int, slope: torch.Tensor, factor: float = 1.0) -> None:
        self.weights[layer].mul_(self._keep).add_(slope, alpha=-self.case.learning_rate * factor)

    def _from(self, layers: Layers) -> Tensors:
        return [torch.from_numpy(np.ascontiguousarray(np.moveaxis(w, -1, 0))) for w in layers]

    def _to(self, weights: Tensors) -> Layers:
        return [np.moveaxis(weight.numpy(), 0, -1) for weight in weights]


class Samples(_Batched):
    """Sample by sample: forward and back with `torch.bmm`."""

    def _step(self, batch: torch.Tensor) -> None:
        weights, linear = self.weights, self.case.linear
        units = [self.x[batch].transpose(1, 2)]
        for weight in weights[:-1]:
            ahead = torch.bmm(weight, units[-1])
            units.append(ahead if linear else ahead.sigmoid_())
        delta = torch.bmm(weights[-1], units[-1]) - self.y[batch].transpose(1, 2)
        for layer in range(len(weights) - 1, -1, -1):
            unit = units[layer]
            slope = torch.bmm(delta, unit.transpose(1, 2))
            if layer:
                delta = torch.bmm(weights[layer].transpose(1, 2), delta)
                if not linear:
                    delta.mul_(unit).mul_(1 - unit)
            self._change(layer, slope, 1 / self.case.batch_size)


class Moments(_Batched):
    """From the mean products of a batch, with `torch.bmm`."""

    def __init__(self, case: Case, replicas: int) -> None:
        """As the base; the products of every sample are tabulated once."""
        super().__init__(case, replicas)
        products = [(left[:, :, None] * self.x[:, None, :]).flatten(1) for left in (self.x, self.y)]
        self.table = torch.cat(products, dim=1)

    def _means(self, batch: torch.Tensor) -> torch.Tensor:
        rows = self.table.index_select(0, batch.reshape(-1))
        return rows.view(*batch.shape, -1).sum(1) / self.case.batch_size

    def _step(self, batch: torch.Tensor) -> None:
        weights, inputs = self.weights, self.case.inputs
        means = self._means(batch)
        xx = means[:, : inputs**2].reshape(-1, inputs, inputs)
        yx = means[:, inputs**2 :].reshape(-1, self.case.outputs, inputs)
        below = [weights[0]]
        for weight in weights[1:]:
            below.append(torch.bmm(weight, below[-1]))
        flow = torch.baddbmm(yx, below[-1], xx, beta=-1)
        for layer in range(len(weights) - 1, 0, -1):
            slope = torch.bmm(flow, below[layer - 1].transpose(1, 2))
            flow = torch.bmm(weights[layer].transpose(1, 2), flow)
            self._change(layer, slope)
        self._change(0, flow)


class Lanes(Moments):
    """From mean products with the replicas last: products by broadcasting, which narrow layers
    prefer to `bmm`.
    """

    def _step(self, batch: torch.Tensor) -> None:
        weights, inputs = self.weights, self.case.inputs
        means = self._means(batch).T.contiguous()
        xx = means[: inputs**2].view(inputs, inputs, -1)
        yx = means[inputs**2 :].view(self.case.outputs, inputs, -1)
        below = [weights[0]]
        for weight in weights[1:]:
            below.append((weight[:, :, None] * below[-1][None]).sum(1))
        flow = (below[-1][:, :, None] * xx[None]).sum(1) - yx
        for layer in range(len(weights) - 1, 0, -1):
            slope = (flow[:, None] * below[layer - 1][None]).sum(2)
            flow = (weights[layer][:, :, None] * flow[:, None]).sum(0)
            self._change(layer, slope)
        self._change(0, flow)

    def _from(self, layers: Layers) -> Tensors:
        return [torch.from_numpy(np.array(weight)) for weight in layers]

    def _to(self, weights: Tensors) -> Layers:
        return [weight.numpy() for weight in weights]


def _quietly() -> None:
    """One thread, and the same random numbers every time."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
