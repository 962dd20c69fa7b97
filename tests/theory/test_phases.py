"""Phases, their order and their index, against Hessians differentiated numerically."""

from __future__ import annotations

from functools import reduce
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from spinodal.errors import InputError
from spinodal.theory import curvature, modes, phases, roots
from spinodal.theory.curvature import Choice

Array = NDArray[np.float64]


def weights(strengths: Array, *, depth: int, width: int, inputs: int, outputs: int) -> list[Array]:
    """Balanced layers, first to last, whose product is diagonal with these strengths."""
    sizes = [inputs, *[width] * (depth - 1), outputs]
    layers = [np.zeros((sizes[i + 1], sizes[i])) for i in range(depth)]
    active = [i for i in range(len(strengths)) if strengths[i] > 0]
    for channel, i in enumerate(active):
        for position, layer in enumerate(layers):
            row = i if position == depth - 1 else channel
            column = i if position == 0 else channel
            layer[row, column] = roots.depth_root(strengths[i], depth)
    return layers


def gradient(layers: list[Array], variances: Array, target: Array, decay: float) -> list[Array]:
    """Gradient of 1/2 tr(W S W^T) - tr(W^T target) + decay/2 sum of squares, layer by layer."""
    result = []
    for i, layer in enumerate(layers):
        after = reduce(np.matmul, layers[:i:-1], np.eye(len(target)))
        before = reduce(lambda x, w: w @ x, layers[:i], np.eye(target.shape[1]))
        error = after @ layer @ before * variances - target
        result.append(after.T @ error @ before.T + decay * layer)
    return result


def numerical_hessian(layers: list[Array], variances: Array, target: Array, decay: float) -> Array:
    """Fourth-order central differences of the exact gradient, shape (weights, weights)."""
    flat = np.concatenate([layer.ravel() for layer in layers])
    cuts = np.cumsum([layer.size for layer in layers])[:-1]

    def slope(theta: Array) -> Array:
        parts = [
            part.reshape(layer.shape)
            for part, layer in zip(np.split(theta, cuts), layers, strict=True)
        ]
        return np.concatenate([g.ravel() for g in gradient(parts, variances, target, decay)])

    h = 1e-3
    assert np.abs(slope(flat)).max() < 1e-13
    rows = [
        (8 * (slope(flat + e) - slope(flat - e)) - slope(flat + 2 * e) + slope(flat - 2 * e))
        / (12 * h)
        for e in h * np.eye(len(flat))
    ]
    return np.array(rows)


def target_of(signals: list[float], inputs: int, outputs: int) -> Array:
    target = np.zeros((outputs, inputs))
    target[range(len(signals)), range(len(signals))] = signals
    return target


SPECTRA = [
    # depth, width, signals, weight decay, inputs, outputs
    (3, 3, [0.9, 0.8], 0.32, 2, 2),
    (4, 2, [0.9, 0.8], 0.15, 2, 2),
    (5, 2, [1.1, 0.7], 0.1, 2, 2),
    (3, 2, [0.9, 0.8], 0.25, 4, 2),
    (3, 3, [0.9, 0.6, 0.4], 0.05, 3, 3),
    (3, 2, [0.8, 0.8], 0.2, 2, 2),
    (2, 3, [0.9, 0.8], 0.3, 2, 3),
    (6, 1, [1.0], 0.05, 1, 1),
]


@pytest.mark.parametrize("case", SPECTRA)
def test_the_index_counts_negative_curvatures(case):
    depth, width, signals, decay, inputs, outputs = case
    choices: tuple[Choice, ...] = (
        ("trivial", "learned") if depth == 2 else ("trivial", "saddle", "learned")
    )
    network = {"depth": depth, "width": width, "signals": signals, "weight_decay": decay}
    for configuration in product(choices, repeat=len(signals)):
        if sum(choice != "trivial" for choice in configuration) > width:
            continue
        spectrum = curvature.hessian_spectrum(
            configuration, inputs=inputs, outputs=outputs, **network
        )
        negative = sum(level.multiplicity for level in spectrum if level.value < 0)
        assert phases.index(configuration, **network) == negative, configuration


@pytest.mark.parametrize(
    ("signals", "variances", "decay"),
    [
        ([0.9, 0.8], [1.3, 0.7], 0.2),
        ([0.9, 0.8], [0.6, 1.4], 0.2),
        ([1.0, 0.9], [2.0, 0.5], 0.05),
        ([1.0, 0.95], [3.0, 1.0], 0.02),
        ([0.9, 0.9], [1.0, 1.2], 0.1),
    ],
)
@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_index_with_unequal_input_variances_is_that_of_numerical_hessians(
    depth, signals, variances, decay
):
    choices: tuple[Choice, ...] = (
        ("trivial", "learned")
        if depth == 2
        else (
            "trivial",
            "saddle",
            "learned",
        )
    )
    common = {"depth": depth, "signals": signals, "weight_decay": decay}
    for configuration in product(choices, repeat=2):
        strengths = curvature.configuration_strengths(
            configuration, input_variances=variances, **common
        )
        layers = weights(strengths, depth=depth, width=2, inputs=2, outputs=2)
        levels = np.linalg.eigvalsh(
            numerical_hessian(layers, np.array(variances), np.diag(signals), decay)
        )
        found = phases.index(configuration, width=2, input_variances=variances, **common)
        assert found == np.sum(levels < -1e-7), (configuration, levels)


def test_unequal_variances_unnest_the_minima():
    # The weaker signal on the quieter input is the better single mode, and the stronger one alone
    # is a minimum only if signal_1 (s_2 strength + signal_1 - s_1 strength) > signal_2**2.
    network = {"depth": 3, "width": 4, "weight_decay": 0.02}
    signals, variances = [1.0, 0.9], [3.0, 0.5]
    alone = phases.index(
        ["learned", "trivial"], signals=signals, input_variances=variances, **network
    )
    rival = phases.index(
        ["trivial", "learned"], signals=signals, input_variances=variances, **network
    )
    assert (alone, rival) == (1, 0)
    rank1 = phases.phases(signals=signals, input_variances=variances, **network)[1]
    assert rank1.local_minimum
    assert rank1.strengths[0] == 0 < rank1.strengths[1]


spectra = st.lists(st.floats(0.2, 3), min_size=1, max_size=6)


@given(depth=st.integers(3, 8), signals=spectra, decay=st.floats(1e-3, 1), width=st.integers(1, 8))
def test_minima_are_the_nested_phases_below_their_spinodals(depth, signals, decay, width):
    network = {"depth": depth, "width": width, "signals": signals, "weight_decay": decay}
    found = phases.phases(**network)
    alive = int(np.sum(decay < modes.spinodal(depth, signals)))
    assert [phase.rank for phase in found] == list(range(len(signals) + 1))
    assert [phase.exists for phase in found] == [r <= min(alive, width) for r in range(len(found))]
    assert [phase.local_minimum for phase in found] == [phase.exists for phase in found]
    assert phases.count_minima(**network) == sum(phase.local_minimum for phase in found)
    assert sum(phase.global_minimum for phase in found) >= 1
    for phase in found[: min(alive, width) + 1]:
        kept = sorted(signals, reverse=True)[: phase.rank]
        assert sorted(np.array(signals)[np.array(phase.strengths) > 0], reverse=True) == kept


@given(depth=st.integers(3, 8), signals=st.sets(st.floats(0.2, 3), min_size=1, max_size=5))
def test_the_nested_saddle_has_index_one_and_inverted_pairs_add_one_each(depth, signals):
    ordered = sorted(signals, reverse=True)
    decay = 0.5 * float(modes.spinodal(depth, ordered[-1]))
    network = {"depth": depth, "width": len(ordered), "signals": ordered, "weight_decay": decay}
    for rank in range(len(ordered)):
        upper: list[Choice] = ["learned"] * rank
        rest: list[Choice] = ["trivial"] * (len(ordered) - rank - 1)
        assert phases.index([*upper, "saddle", *rest], **network) == 1
        alone: list[Choice] = ["trivial"] * rank
        assert phases.index([*alone, "learned", *rest], **network) == rank


def test_losses_of_the_phases_are_sums_of_mode_losses():
    signals, decay = [0.9, 0.8], 0.32
    found = phases.phases(depth=3, width=10, signals=signals, weight_decay=decay)
    gaps = modes.gap(depth=3, signal=signals, weight_decay=decay)
    assert [phase.loss for phase in found] == pytest.approx([1.0, 1 + gaps[0], 1 + gaps.sum()])
    assert [phase.global_minimum for phase in found] == [False, True, False]
    cheap = phases.phases(depth=3, width=10, signals=signals, weight_decay=0.03)
    assert [phase.global_minimum for phase in cheap] == [False, False, True]
    wide = phases.phases(depth=3, width=10, signals=signals, weight_decay=decay, outputs=5)
    assert wide[0].loss == 2.5


def test_both_phases_are_global_at_coexistence():
    found = phases.phases(depth=3, width=2, signals=[2.0], weight_decay=1.0)
    assert [phase.global_minimum for phase in found] == [True, True]


def test_shallow_networks_have_one_minimum():
    signals = [0.9, 0.5, 0.1]
    deep2 = phases.phases(depth=2, width=5, signals=signals, weight_decay=0.3)
    assert [phase.exists for phase in deep2] == [True, True, True, False]
    assert [phase.local_minimum for phase in deep2] == [False, False, True, False]
    origin: list[Choice] = ["trivial"] * 3
    assert phases.index(origin, depth=2, width=5, signals=signals, weight_decay=0.3) == 10
    deep1 = phases.phases(depth=1, width=1, signals=signals, weight_decay=0.3)
    assert [phase.local_minimum for phase in deep1] == [False, False, False, True]
    for depth in (1, 2):
        common = {"depth": depth, "width": 5, "signals": signals}
        assert phases.count_minima(weight_decay=0.3, **common) == 1


def test_without_weight_decay_only_the_full_phase_is_a_minimum():
    found = phases.phases(depth=3, width=2, signals=[0.9, 0.5, 0.1], weight_decay=0.0)
    assert [phase.local_minimum for phase in found] == [False, False, True, False]
    assert [phase.exists for phase in found] == [True, True, True, False]
    assert phases.count_minima(depth=3, width=2, signals=[0.9, 0.5], weight_decay=0.0) == 1


def test_tied_signals_are_learned_one_after_the_other():
    network = {"depth": 3, "width": 4, "signals": [0.8, 0.8], "weight_decay": 0.2}
    assert phases.count_minima(**network) == 3
    assert all(phase.local_minimum for phase in phases.phases(**network))


def test_no_map_on_the_way_is_cheaper_than_the_saddle():
    # The barrier is the true minimum over paths: any map whose second strength equals the saddle's
    # (every path from rank 1 to rank 2 crosses that surface) costs at least as much.
    signals, decay, depth = np.array([0.9, 0.8]), 0.32, 3
    saddle = modes.saddle(depth=depth, signal=signals, weight_decay=decay)
    learned = modes.learned(depth=depth, signal=signals, weight_decay=decay)
    rng = np.random.default_rng(0)

    def cost(left: Array, strengths: Array, right: Array) -> float:
        matrix = left @ np.diag(strengths) @ right.T
        price = depth * decay / 2 * np.sum(strengths ** (2 / depth))
        return 0.5 * np.sum((matrix - np.diag(signals)) ** 2) + price

    top = cost(np.eye(2), np.array([learned[0], saddle[1]]), np.eye(2))
    for _ in range(2000):
        spread = rng.choice([1e-2, 0.3, 3.0])
        left, right = (
            np.linalg.qr(np.eye(2) + spread * rng.standard_normal((2, 2)))[0] for _ in range(2)
        )
        left, right = left * np.sign(np.diag(left)), right * np.sign(np.diag(right))
        first = max(saddle[1], learned[0] + spread * rng.standard_normal())
        assert cost(left, np.array([first, saddle[1]]), right) >= top - 1e-15


def test_bifurcation_branches_meet_at_the_spinodal():
    decay = np.linspace(0, 0.4, 81)
    branches = phases.bifurcation(3, 0.8, decay)
    limit = modes.spinodal(3, 0.8)
    np.testing.assert_array_equal(np.isnan(branches.learned), decay >= limit)
    tip = phases.bifurcation(3, 0.8, limit * (1 - 1e-10))
    assert tip.learned - tip.saddle < 1e-4 * tip.learned
    np.testing.assert_allclose(tip.learned, modes.spinodal_strength(3, 0.8), rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: phases.phases(depth=3, width=0, signals=[1], weight_decay=0.1), "width"),
        (lambda: phases.phases(depth=3, width=2, signals=[1], weight_decay=-1), "weight_decay"),
        (
            lambda: phases.phases(depth=3, width=2, signals=[1, 2], weight_decay=0, inputs=1),
            "inputs",
        ),
        (
            lambda: phases.index(["learned"], depth=3, width=2, signals=[0.8], weight_decay=0.5),
            "spinodal is 0.350882",
        ),
        (
            lambda: phases.index(
                ["learned", "learned"], depth=3, width=1, signals=[0.8, 0.9], weight_decay=0.1
            ),
            "width 1",
        ),
        (
            lambda: phases.index(["learned"], depth=3, width=2, signals=[1, 2], weight_decay=0.1),
            "one point per signal",
        ),
    ],
)
def test_impossible_networks_are_refused(call, complaint):
    with pytest.raises(InputError, match=complaint):
        call()
