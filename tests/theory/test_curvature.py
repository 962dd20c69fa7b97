"""Closed-form spectra against Hessians that were differentiated by hand, block by block."""

from __future__ import annotations

from collections import Counter
from functools import reduce
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spinodal.errors import InputError
from spinodal.theory import curvature, modes, roots
from spinodal.theory.curvature import Choice

Array = NDArray[np.float64]


def balanced(strengths: Array, *, depth: int, width: int, inputs: int, outputs: int) -> list[Array]:
    """Balanced layers, first to last, whose product is diagonal with these strengths."""
    sizes = [inputs, *[width] * (depth - 1), outputs]
    layers = [np.zeros((sizes[i + 1], sizes[i])) for i in range(depth)]
    for channel, i in enumerate(np.flatnonzero(strengths)):
        for position, layer in enumerate(layers):
            row = i if position == depth - 1 else channel
            column = i if position == 0 else channel
            layer[row, column] = roots.depth_root(strengths[i], depth)
    return layers


def exact_hessian(layers: list[Array], target: Array, decay: float) -> Array:
    """Second derivatives of 1/2 ||W - target||^2 + decay/2 sum ||W_l||^2, weights row by row.

    Jacobian products, plus for layers k < l the error contracted with the second derivative:
    moving entry (a, b) of W_k and (c, d) of W_l moves W by A_l[:, c] M[d, a] B_k[b, :], with M the
    product of the layers between.
    """
    outputs, inputs = target.shape

    def through(low: int, high: int, size: int) -> Array:
        return reduce(lambda x, w: w @ x, layers[low:high], np.eye(size))

    depth = len(layers)
    before = [through(0, i, inputs) for i in range(depth)]
    after = [through(i + 1, depth, layers[i].shape[0]) for i in range(depth)]
    jacobian = np.hstack(
        [np.kron(a, b.T).reshape(outputs * inputs, -1) for a, b in zip(after, before, strict=True)]
    )
    error = through(0, depth, inputs) - target
    hessian = jacobian.T @ jacobian + decay * np.eye(jacobian.shape[1])
    starts = np.cumsum([0, *[layer.size for layer in layers]])
    for low in range(depth):
        for high in range(low + 1, depth):
            between = through(low + 1, high, layers[low].shape[0])
            outer = after[high].T @ error @ before[low].T  # (c, b)
            block = np.einsum("cb,da->abcd", outer, between)
            block = block.reshape(layers[low].size, layers[high].size)
            hessian[starts[low] : starts[low + 1], starts[high] : starts[high + 1]] += block
            hessian[starts[high] : starts[high + 1], starts[low] : starts[low + 1]] += block.T
    return hessian


def loss(flat: Array, shapes: list[tuple[int, ...]], target: Array, decay: float) -> float:
    cuts = np.cumsum([a * b for a, b in shapes])[:-1]
    layers = [part.reshape(s) for part, s in zip(np.split(flat, cuts), shapes, strict=True)]
    matrix = reduce(lambda x, w: w @ x, layers)
    return float(0.5 * np.sum((matrix - target) ** 2) + 0.5 * decay * flat @ flat)


def test_the_hessian_by_hand_is_that_of_the_loss():
    rng = np.random.default_rng(0)
    layers = [rng.standard_normal(s) for s in ((3, 2), (4, 3), (2, 4))]
    target, shapes = rng.standard_normal((2, 2)), [layer.shape for layer in layers]
    flat = np.concatenate([layer.ravel() for layer in layers])
    hessian = exact_hessian(layers, target, 0.3)
    h = 1e-3
    for _ in range(10):
        # Along a line the loss is a polynomial of degree 6: seven points differentiate it exactly.
        way = rng.standard_normal(flat.size)
        way /= np.linalg.norm(way)
        x = h * np.arange(-3, 4) * 100
        values = [loss(flat + t * way, shapes, target, 0.3) for t in x]
        second = 2 * np.polynomial.Polynomial.fit(x, values, 6).convert().coef[2]
        assert way @ hessian @ way == pytest.approx(second, rel=1e-8)


def compare(
    configuration: tuple[Choice, ...],
    *,
    depth: int,
    width: int,
    signals: list[float],
    decay: float,
    inputs: int,
    outputs: int,
    tolerance: float = 1e-8,
) -> None:
    common = {"depth": depth, "signals": signals, "weight_decay": decay}
    strengths = curvature.configuration_strengths(configuration, **common)
    shape = {"width": width, "inputs": inputs, "outputs": outputs}
    spectrum = curvature.hessian_spectrum(configuration, **common, **shape)
    weights = (depth - 2) * width**2 + width * (inputs + outputs)
    assert sum(level.multiplicity for level in spectrum) == weights
    assert all(level.multiplicity > 0 for level in spectrum)
    target = np.zeros((outputs, inputs))
    target[range(len(signals)), range(len(signals))] = signals
    layers = balanced(strengths, depth=depth, **shape)
    levels = np.linalg.eigvalsh(exact_hessian(layers, target, decay))
    closed = np.sort([value for value, n, _ in spectrum for _ in range(n)])
    np.testing.assert_allclose(closed, levels, rtol=0, atol=tolerance)
    rank = np.count_nonzero(strengths)
    if len(set(signals)) == len(signals) and depth > 2:
        valley = (depth - 1) * (rank * (width - rank) + rank * (rank - 1) // 2)
        assert curvature.zero_modes(spectrum) == valley


CASES = [
    # depth, width, signals, weight decay, inputs, outputs
    (2, 3, [0.9, 0.8], 0.3, 2, 3),
    (2, 10, [0.9, 0.5], 0.3, 4, 2),
    (3, 10, [0.9, 0.8], 0.32, 2, 2),
    (3, 3, [0.9, 0.6, 0.4], 0.05, 3, 3),
    (3, 5, [0.9, 0.8], 0.25, 4, 2),
    (3, 4, [0.7, 0.9], 0.2, 2, 3),
    (3, 4, [0.8, 0.8], 0.2, 2, 2),
    (4, 6, [0.9, 0.8], 0.15, 2, 3),
    (5, 5, [1.1, 0.7], 0.1, 3, 2),
    (6, 1, [1.0], 0.05, 1, 1),
]


def choices(depth: int) -> tuple[Choice, ...]:
    return ("trivial", "learned") if depth == 2 else ("trivial", "saddle", "learned")


@pytest.mark.parametrize("case", CASES)
def test_closed_form_spectra_are_those_of_hessians(case: tuple):
    depth, width, signals, decay, inputs, outputs = case
    for configuration in product(choices(depth), repeat=len(signals)):
        if sum(choice != "trivial" for choice in configuration) <= width:
            compare(
                configuration,
                depth=depth,
                width=width,
                signals=signals,
                decay=decay,
                inputs=inputs,
                outputs=outputs,
                tolerance=2e-10,
            )


@settings(max_examples=20, deadline=None)
@given(
    depth=st.integers(2, 5),
    width=st.integers(3, 6),
    signals=st.lists(st.integers(8, 24), min_size=1, max_size=3),
    share=st.floats(0.05, 0.9),
    spare=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    data=st.data(),
)
def test_any_choice_of_points_has_the_spectrum_of_its_hessian(
    depth, width, signals, share, spare, data
):
    eta = [s / 16 for s in signals]
    picked = data.draw(st.tuples(*[st.sampled_from(choices(depth))] * len(eta)))
    compare(
        picked,
        depth=depth,
        width=width,
        signals=eta,
        decay=share * float(np.min(modes.spinodal(depth, eta))),
        inputs=len(eta) + spare[0],
        outputs=len(eta) + spare[1],
    )


def test_multiplicities_of_the_paper_network():
    network = {"depth": 3, "width": 10, "signals": [0.9, 0.8], "weight_decay": 0.32}
    minimum = curvature.hessian_spectrum(["learned", "trivial"], **network)
    saddle = curvature.hessian_spectrum(["learned", "saddle"], **network)

    def counts(spectrum: tuple[curvature.Level, ...]) -> Counter[float]:
        total: Counter[float] = Counter()
        for level in spectrum:
            total[level.value] += level.multiplicity
        return total

    assert [counts(minimum)[value] for value in (0.0, 0.32, 0.64)] == [18, 99, 20]
    assert [counts(saddle)[value] for value in (0.0, 0.32, 0.64)] == [34, 64, 38]
    assert sum(counts(minimum).values()) == sum(counts(saddle).values()) == 140
    assert sum(level.value < 0 for level in saddle) == 1


def test_tied_signals_make_a_valley_with_one_more_zero_mode():
    network = {"depth": 3, "width": 4, "weight_decay": 0.2}
    choice: list[Choice] = ["learned", "trivial"]
    tied = curvature.hessian_spectrum(choice, signals=[0.8, 0.8], **network)
    split = curvature.hessian_spectrum(choice, signals=[0.8, 0.7], **network)
    assert curvature.zero_modes(tied) == curvature.zero_modes(split) + 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"depth": 1}, "depth >= 2"),
        ({"width": 1, "configuration": ["learned", "learned"]}, "need width >= 2"),
        ({"inputs": 1}, "as many inputs and outputs"),
        ({"configuration": ["learned"]}, "one point per signal"),
        ({"configuration": ["learned", "melted"]}, "trivial, saddle or learned"),
        ({"weight_decay": 0.5}, "its spinodal is"),
    ],
)
def test_spectra_that_do_not_exist_are_refused(change: dict, words: str):
    arguments = {
        "configuration": ["learned", "trivial"],
        "depth": 3,
        "width": 4,
        "signals": [0.9, 0.8],
        "weight_decay": 0.3,
        **change,
    }
    with pytest.raises(InputError, match=words):
        curvature.hessian_spectrum(**arguments)
