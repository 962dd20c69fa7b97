"""Rows on the noise of SGD: its covariance, sample by sample."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from spinodal.dynamics import checkpoints, gradients
from spinodal.dynamics.networks import Network
from spinodal.dynamics.tasks import draw
from spinodal.protocols.audit_rows.bench import Bench, Row
from spinodal.protocols.audit_rows.loss_noise import noise_proportional_to_loss
from spinodal.protocols.audit_rows.row import Finding
from spinodal.protocols.audit_rows.settings import AuditSettings
from spinodal.protocols.audit_rows.tasks import gaussian_task, largest_of_unused
from spinodal.statistics.escape_laws import steepest_slope
from spinodal.theory import modes


@dataclass(frozen=True, kw_only=True)
class GradientNoise:
    """Covariance of the gradients of single samples at a balanced state of a given rank.

    `dead` is the largest gradient, over all samples, of any weight of an unused hidden unit: the
    weights that would have to move for the rank to rise.
    """

    covariance_rank: int
    weights: int
    trace: float
    standard_error: float
    spread: float | None
    dead: float
    samples: int


def gradient_noise(settings: AuditSettings, *, rank: int, seed: int) -> GradientNoise | None:
    """Gradient noise at the phase of this rank, from fresh samples; None where there is none."""
    return _measured(settings.model_dump_json(), rank, seed)


@lru_cache(maxsize=32)
def _measured(settings: str, rank: int, seed: int) -> GradientNoise | None:
    """`gradient_noise`, kept because several rows ask for the same."""
    s = AuditSettings.model_validate_json(settings)
    room = len(s.signals) if s.depth == 1 else min(s.width, len(s.signals))
    strengths = modes.stationary_points(
        depth=s.depth, signal=np.array(s.ordered), weight_decay=s.weight_decay
    ).learned[:rank]
    if rank > room or not np.all(np.isfinite(strengths)):
        return None
    network = Network(depth=s.depth, width=s.width)
    population = draw(gaussian_task(s, None), seed=seed, dataset=0)
    sample = draw(gaussian_task(s, s.gradient_samples), seed=seed, dataset=0)
    outputs, inputs = s.shape
    lanes = np.zeros(s.gradient_samples, dtype=np.int64)
    layers = checkpoints.balanced(network, [population], lanes, tuple(map(float, strengths)))
    products = sample.products.T
    xx = products[: inputs**2].reshape(inputs, inputs, -1)
    yx = products[inputs**2 :].reshape(outputs, inputs, -1)
    gradient = gradients.gradients(layers, xx, yx)
    table = np.concatenate([g.reshape(-1, s.gradient_samples) for g in gradient])
    centred = table - table.mean(axis=1, keepdims=True)
    squares = np.sum(centred**2, axis=0)
    # A few samples per weight show the rank; the trace takes them all.
    values = np.linalg.svd(centred[:, : 4 * len(centred)], compute_uv=False)
    alive = values[values > 1e-9 * max(values[0], 1e-30)]
    count = len(squares)
    return GradientNoise(
        covariance_rank=len(alive),
        weights=network.parameters(outputs, inputs),
        trace=float(squares.sum() / (count - 1)),
        standard_error=float(squares.std(ddof=1) / np.sqrt(count)),
        spread=float((alive[0] / alive[-1]) ** 2) if len(alive) else None,
        dead=largest_of_unused(gradient, rank),
        samples=count,
    )


def constant_temperature(bench: Bench) -> Finding:
    """Row 6: how many directions the noise has, at every rank."""
    s = bench.settings
    found = [_noise(bench, rank) for rank in range(len(s.signals) + 1)]
    ranks = [None if noise is None else noise.covariance_rank for noise in found]
    weights = next(noise.weights for noise in found if noise is not None)
    trap, arms = found[s.trap_rank], _escapes(bench)
    isotropic = trap is not None and trap.covariance_rank == weights and (trap.spread or 0) < 2
    rank, held = next(
        (rank, noise)
        for rank, noise in reversed(list(enumerate(found[: s.trap_rank + 1])))
        if noise is not None
    )
    place = (
        "In the trap "
        if trap is not None
        else f"There is no trap of rank {s.trap_rank} here; at rank {rank} "
    )
    return bench.finding(
        {"directions with noise at rank 0, 1, ...": ranks, "weights": weights},
        "reproduces" if isotropic else "wrong",
        "The noise fills all directions evenly."
        if isotropic
        else f"{place}the noise has {held.covariance_rank} of {weights} directions, "
        "r(inputs + outputs - r) at rank r, and is exactly zero in those that raise the rank: the "
        f"ones an escape needs.{_compared(arms)}",
        largest_gradient_of_an_unused_unit=[None if n is None else n.dead for n in found],
        traces=[None if n is None else n.trace for n in found],
        samples=s.gradient_samples,
        **arms,
    )


def _escapes(bench: Bench) -> dict[str, tuple[int, int]]:
    """(escapes, replicas) of isotropic and of minibatch noise of one trace, where any escape."""
    record = bench.record("noise-arms")
    telling = [one for one in record.settings if one.arm("isotropic").escapes] if record else []
    return {
        f"escapes_of_replicas_by_{name}_noise_of_the_same_trace": (
            sum(one.arm(name).escapes for one in telling),
            sum(one.arm(name).eligible for one in telling),
        )
        for name in ("isotropic", "minibatch")
        if telling
    }


def _compared(arms: dict[str, tuple[int, int]]) -> str:
    """A sentence on the escapes, empty without them."""
    if not arms:
        return ""
    (freed, isotropic), (escaped, minibatch) = arms.values()
    return (
        f" Isotropic noise of the same trace freed {freed} of {isotropic} replicas, minibatches "
        f"{escaped} of {minibatch}."
    )


def trace_of_the_covariance(bench: Bench) -> Finding:
    """Row 21: the trace that the fitted barrier needs, and the trace that there is."""
    s = bench.settings
    barrier = bench.stated["barrier"]
    slope = bench.call(
        steepest_slope, s.sweep_learning_rates, longest_time=s.sweep_epochs, shortest_time=1.0
    )
    needed = slope / (barrier * s.batch_size)
    noise = _noise(bench, s.trap_rank)
    if noise is None:
        return bench.without_saddle()
    high = noise.trace + 1.96 * noise.standard_error
    low = noise.trace - 1.96 * noise.standard_error
    possible = low <= needed
    return bench.finding(
        {"largest C that the sweep allows": needed, "trace of the covariance": noise.trace},
        "not checked" if possible else "cannot be derived",
        "The sweep allows such a trace; the fit itself cannot be repeated without C."
        if possible
        else "C is not given; runs of this length allow ln tau to change so little that C would "
        f"have to be below {needed:.1e}, while the trace is {noise.trace:.2f}: a factor of "
        f"{noise.trace / needed:.0f}.",
        interval_of_the_trace=(low, high),
        samples=noise.samples,
        change_of_ln_tau_predicted_over_the_sweep=barrier
        * s.batch_size
        * noise.trace
        * np.ptp(1 / np.array(s.sweep_learning_rates)),
    )


def _noise(bench: Bench, rank: int) -> GradientNoise | None:
    bench.note(gradient_noise, "settings", rank=str(rank), seed=str(bench.seed))
    return gradient_noise(bench.settings, rank=rank, seed=bench.seed)


ROWS: dict[str, Row] = {
    "row-06": constant_temperature,
    "row-21": trace_of_the_covariance,
    "row-31": noise_proportional_to_loss,
}
