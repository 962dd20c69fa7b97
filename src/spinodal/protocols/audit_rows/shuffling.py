"""Row on shuffled epochs: how much slow noise they leave, and how it depends on the rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics import checkpoints, ensemble
from spinodal.dynamics.ensemble import Ensemble
from spinodal.dynamics.networks import Network
from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.dynamics.updates import Update
from spinodal.protocols.audit_rows.bench import Bench, Row
from spinodal.protocols.audit_rows.row import Finding
from spinodal.protocols.audit_rows.settings import AuditSettings

LONGEST_RELAXATION = 100_000
"""Steps that the row on shuffled epochs is ready to simulate."""

RELATIVE = "noise relative to independent batches"


def shuffled_epochs(bench: Bench) -> Finding:
    """Row 38: one linear weight of curvature beta, trained with shuffled and independent batches.

    The variance over replicas at the end of an epoch is compared, at the learning rate and at a
    quarter of it; one data set, whose batch noise all share. Noise proportional to lr/B would keep
    the ratio to independent batches at one.
    """
    s = bench.settings
    epoch = s.samples // s.batch_size
    if epoch < 2 or s.learning_rate * s.weight_decay >= 1:
        return bench.finding(
            None, "cannot be derived", "There is no minibatch noise with one batch per epoch."
        )
    # Depth 1: curvature h = input variance; 4 relaxation times from the minimum suffice.
    curvature = s.weight_decay
    signal = 0.5 * curvature
    task = GaussianTask(signals=(signal,), input_covariance=((curvature,),), samples=s.samples)
    rates = np.array([s.learning_rate, s.learning_rate / 4])
    steps = [int(np.ceil(4 / (rate * curvature * epoch))) * epoch for rate in rates]
    if max(steps) > LONGEST_RELAXATION:
        return bench.finding(
            None,
            "not checked",
            f"At this weight decay the noise takes {max(steps)} steps to settle, more than the "
            f"{LONGEST_RELAXATION} that the audit spends.",
        )
    variance = {
        sampling: np.array(
            [
                bench.call(
                    final_weights,
                    task,
                    sampling,
                    s,
                    float(rate),
                    settled,
                    seed=bench.seed,
                    workers=bench.workers,
                ).var(ddof=1)
                for rate, settled in zip(rates, steps, strict=True)
            ]
        )
        for sampling in ("shuffled", "replacement")
    }
    ratios = variance["shuffled"] / variance["replacement"]
    # Two variances of n normal values: ln ratio has standard error 2 / sqrt(n - 1).
    error = 2 / np.sqrt(s.shuffling_replicas - 1)
    room = np.exp(1.96 * error)
    power = float(np.log(ratios[0] / ratios[1]) / np.log(4))
    low, high = power + np.array([-1, 1]) * 1.96 * np.sqrt(2) * error / np.log(4)
    predicted = (rates * curvature) ** 2 * (epoch**2 - 1) / 12 * s.samples / (s.samples - 1)
    if low > 0:
        verdict = "wrong"
        reason = (
            "Within a shuffled epoch the errors of the batches cancel: relative to independent "
            f"batches, whose noise is proportional to lr/B, the slow noise is {ratios[0]:.1e} at "
            f"lr {rates[0]:g} and {ratios[1]:.1e} at lr {rates[1]:g}, a ratio that falls as "
            f"lr^{{{power:.1f}}}."
        )
    elif high < 1 and ratios[0] * room >= bench.stated[RELATIVE]:
        verdict, reason = "reproduces", "Shuffled batches make as much noise as independent ones."
    else:
        verdict, reason = "not checked", "Too few replicas tell how the noise depends on lr."
    return bench.finding(
        {RELATIVE: float(ratios[0]), "power of lr in that ratio": power},
        verdict,
        reason,
        interval=(ratios[0] / room, ratios[0] * room),
        interval_of_the_power=(low, high),
        ratio_at_a_quarter_of_the_learning_rate=ratios[1],
        leading_order=predicted,
        replicas=s.shuffling_replicas,
        steps=steps,
    )


def final_weights(
    task: GaussianTask,
    sampling: str,
    s: AuditSettings,
    learning_rate: float,
    steps: int,
    *,
    seed: int,
    workers: int,
) -> NDArray[np.float64]:
    """Weights of one-layer networks, trained by SGD from the minimum, at the end of an epoch."""
    data = draw(task, seed=seed, dataset=0)
    start = float(data.train.yx[0, 0] / data.train.xx[0, 0])
    trained = Ensemble(
        task=task,
        network=Network(depth=1, width=1),
        update=Update.model_validate(
            {
                "learning_rate": learning_rate,
                "weight_decay": 0.0,
                "sampling": sampling,
                "batch_size": s.batch_size,
            }
        ),
        start=checkpoints.Start(kind="balanced", strengths=(start,)),
        steps=steps,
        check_every=steps,
    )
    outcome = ensemble.run(trained, seed=seed, replicas=s.shuffling_replicas, workers=workers)
    return outcome.strengths[:, 0]


ROWS: dict[str, Row] = {"row-38": shuffled_epochs}
