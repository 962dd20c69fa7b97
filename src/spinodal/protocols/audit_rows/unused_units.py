"""Row 44: does minibatch noise reach unused units of networks that are not linear?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from spinodal.dynamics.gradients import sample_gradients
from spinodal.dynamics.tasks import draw
from spinodal.protocols.audit_rows.bench import Bench
from spinodal.protocols.audit_rows.loss_noise import balanced_layers
from spinodal.protocols.audit_rows.row import Finding
from spinodal.protocols.audit_rows.settings import AuditSettings
from spinodal.protocols.audit_rows.tasks import gaussian_task, largest_of_unused
from spinodal.theory import modes

SAMPLES, STEPS = 512, 100
"""Samples whose gradients are looked at one by one, and minibatch updates made after that."""


@dataclass(frozen=True, kw_only=True)
class Unused:
    """The largest gradient of a weight of an unused unit over single samples, that of the mean
    over all samples, and the largest such weight after `STEPS` minibatch updates."""

    single: float
    mean: float
    after: float


def unused_units(
    settings: AuditSettings, *, activation: Literal["tanh", "sigmoid"], seed: int
) -> Unused:
    """Weights into and out of units that start with zero weights, beside `trap_rank` active ones.

    The active units have the weights of the linear network's phase of that rank (half the signal
    where there is none).
    """
    s, rank = settings, min(settings.trap_rank, settings.width)
    learned = modes.stationary_points(
        depth=s.depth, signal=np.array(s.ordered), weight_decay=s.weight_decay
    ).learned[:rank]
    strengths = np.where(np.isfinite(learned), learned, 0.5 * np.array(s.ordered[:rank]))
    data = draw(gaussian_task(s, SAMPLES), seed=seed, dataset=0)
    x, y = np.asarray(data.x), np.asarray(data.y)
    layers = balanced_layers(s, strengths)

    def slopes(layers, rows_x, rows_y, copies):
        return sample_gradients(
            [np.repeat(layer[..., None], copies, axis=-1) for layer in layers],
            rows_x, rows_y, activation=activation, biases=False, loss="squared",
        )  # fmt: skip

    each = slopes(layers, x.T[None], y.T[None], SAMPLES)
    mean = [g.mean(axis=-1, keepdims=True) for g in each]
    moving = [layer.copy() for layer in layers]
    size = min(s.batch_size, SAMPLES)
    for step in range(STEPS):
        rows = (np.arange(size) + step * size) % SAMPLES
        batch = slopes(moving, x[rows, :, None], y[rows, :, None], 1)
        for layer, slope in zip(moving, batch, strict=True):
            layer -= s.learning_rate * (slope[..., 0] + s.weight_decay * layer)
    return Unused(
        single=largest_of_unused(each, rank),
        mean=largest_of_unused(mean, rank),
        after=largest_of_unused([layer[..., None] for layer in moving], rank),
    )


def activations(bench: Bench) -> Finding:
    """Row 44: the set of unused units is kept by noise with tanh, and is no such set with sigmoid.

    What is checked is the escape mechanism; the order of the transitions is not computed.
    """
    s = bench.settings
    found = {}
    for name in ("tanh", "sigmoid"):
        bench.note(unused_units, "settings", activation=repr(name), seed=str(bench.seed))
        found[name] = unused_units(s, activation=name, seed=bench.seed)
    tanh, sigmoid = found["tanh"], found["sigmoid"]
    recomputed = {
        f"largest gradient of an unused weight, {name}": one.single for name, one in found.items()
    }
    evidence = {
        "the_same_of_the_mean_gradient": [one.mean for one in found.values()],
        f"largest_unused_weight_after_{STEPS}_updates": [one.after for one in found.values()],
        "samples": SAMPLES,
    }
    if s.width <= s.trap_rank:
        return bench.finding(
            recomputed,
            "cannot be derived",
            "No hidden unit is unused at this width, so there is nothing to compare.",
            **evidence,
        )
    alike = (tanh.single == 0) == (sigmoid.single == 0)
    return bench.finding(
        recomputed,
        "not checked" if alike else "wrong",
        "Both treat unused units alike; the order of their transitions is not computed here."
        if alike
        else "No number is given, but they cannot escape alike: with tanh, where the activation of "
        "0 is 0, no sample pushes an unused unit, as in linear networks; with sigmoid every sample "
        f"does (by up to {sigmoid.single:.2g}), and such a state is not even stationary. The order "
        "of their transitions is not computed here.",
        **evidence,
    )
