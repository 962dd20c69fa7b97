"""Known numbers: each key is recomputed by a call, and exact surds are met to rounding."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TypedDict

import numpy as np
import pytest

from spinodal.theory import curvature, finite_data, free_energy, modes, roots

REFERENCE = json.loads((Path(__file__).parent / "reference_values.json").read_text("utf-8"))
SXX, SYX = [[1.0, 0.3], [0.3, 0.8]], [[0.7, 0.2], [0.1, 0.6]]


class Mode(TypedDict):
    depth: int
    signal: float
    weight_decay: float


def _at(eta: float) -> Mode:
    return {"depth": 3, "signal": eta, "weight_decay": 0.32}


FOUR: Mode = {"depth": 4, "signal": 0.8, "weight_decay": 0.2}


def _level(configuration: list[curvature.Choice], motion: str, position: int) -> float:
    levels = curvature.hessian_spectrum(
        configuration, depth=3, width=10, signals=[0.9, 0.8], weight_decay=0.32
    )
    return [level.value for level in levels if level.motion == motion][position]


def _quartic(temperature: float) -> float:
    return free_energy.first_passage_time(
        lambda x: x**4 / 4 - x**2 / 2, start=-1.0, absorbing=1.0, temperature=temperature
    )


def _mode_passage(rotations: int) -> float:
    return free_energy.mode_first_passage_time(
        depth=3, signal=0.8, weight_decay=0.32, temperature=0.004, rotations=rotations, start=0.0
    )


def _rank1_strength() -> float:
    matrix = finite_data.stationary_rank(SXX, SYX, depth=3, rank=1, weight_decay=0.1)
    return float(np.linalg.norm(matrix, 2))


RECOMPUTED: dict[str, Callable[[], float]] = {
    "beta_c(0.8,4)": lambda: float(modes.spinodal(4, 0.8)),
    "beta_star(0.8,4)": lambda: float(modes.coexistence(4, 0.8)),
    "beta_star/beta_c L=3 = 2^{4/3}/3": lambda: float(
        modes.coexistence(3, 2.0) / modes.spinodal(3, 2.0)
    ),
    "Ferrari resolvent m(eta=.8,beta=.32)": lambda: float(roots.ferrari_resolvent(0.8, 0.32)),
    "lam_sad(L=4,beta=.2,eta=.8)": lambda: float(modes.saddle(**FOUR)),
    "lam_up(L=4,beta=.2,eta=.8)": lambda: float(modes.learned(**FOUR)),
    "dE_fwd(L=4,.2,.8)": lambda: float(modes.barrier_out(**FOUR)),
    "dE_rev(L=4,.2,.8)": lambda: float(modes.barrier_back(**FOUR)),
    "outer- rank1 (.9-.8)a": lambda: _level(["learned", "trivial"], "outer rotation", 0),
    "outer+ rank1": lambda: _level(["learned", "trivial"], "outer rotation", 1),
    "outer- of wrong rank-1 (.8 active)": lambda: _level(
        ["trivial", "learned"], "outer rotation", 0
    ),
    "nu-(uu)": lambda: _level(["learned", "learned"], "pair rotation", 0),
    "nu+(uu)": lambda: _level(["learned", "learned"], "pair rotation", 1),
    "nu-(us)": lambda: _level(["learned", "saddle"], "pair rotation", 0),
    "nu+(us)": lambda: _level(["learned", "saddle"], "pair rotation", 1),
    "first passage (x^2-1)^2, 1/T=10, -1 to 0.5, wall -2": lambda: free_energy.first_passage_time(
        lambda x: (x**2 - 1) ** 2, start=-1.0, absorbing=0.5, reflecting=-2.0, temperature=0.1
    ),
    "first passage x^4/4-x^2/2, T=0.05, -1 to 1": lambda: _quartic(0.05),
    "first passage x^4/4-x^2/2, T=0.025, -1 to 1": lambda: _quartic(0.025),
    "first passage of a mode, L=3, eta=.8, beta=.32, T=.004, N_z=0, 0 to a_up": lambda: (
        _mode_passage(0)
    ),
    "first passage of a mode, L=3, eta=.8, beta=.32, T=.004, N_z=6, 0 to a_up": lambda: (
        _mode_passage(6)
    ),
    "rank-1 ridge path: lambda": _rank1_strength,
    "rank-1 ridge path: t": lambda: 0.1 * _rank1_strength() ** (2 / 3 - 2),
}
for _eta in (0.8, 0.9):
    _mode = _at(_eta)
    _saddle, _learned = modes.saddle(**_mode), modes.learned(**_mode)
    RECOMPUTED |= {
        f"beta_c(eta={_eta},L=3)": lambda eta=_eta: float(modes.spinodal(3, eta)),
        f"beta_star(eta={_eta},L=3)": lambda eta=_eta: float(modes.coexistence(3, eta)),
        f"lam_sad(L=3,beta=.32,eta={_eta})": lambda m=_mode: float(modes.saddle(**m)),
        f"lam_up(L=3,beta=.32,eta={_eta})": lambda m=_mode: float(modes.learned(**m)),
        f"a_sad({_eta})": lambda x=_saddle: float(roots.depth_root(x, 3)),
        f"a_up({_eta})": lambda x=_learned: float(roots.depth_root(x, 3)),
        f"dE_fwd({_eta})": lambda m=_mode: float(modes.barrier_out(**m)),
        f"dE_rev({_eta})": lambda m=_mode: float(modes.barrier_back(**m)),
        f"E(up)-E(0)({_eta})": lambda m=_mode: float(modes.gap(**m)),
        f"mu_radial(up,.{_eta * 10:.0f})": lambda m=_mode, x=_learned: float(
            modes.curvature(roots.depth_root(x, 3), **m)
        ),
        f"mu_radial(sad,.{_eta * 10:.0f})": lambda m=_mode, x=_saddle: float(
            modes.curvature(roots.depth_root(x, 3), **m)
        ),
    }


def test_every_reference_value_is_recomputed():
    assert RECOMPUTED.keys() == REFERENCE.keys()


@pytest.mark.parametrize("key", REFERENCE)
def test_reference_value_to_ten_digits(key: str):
    np.testing.assert_allclose(RECOMPUTED[key](), float(REFERENCE[key]), rtol=1e-10, atol=0)


EXACT = [
    # depth, signal, weight decay, saddle, learned, barrier out, barrier back
    (3, Fraction(15, 8), Fraction(7, 8), 1 / 8, 1.0, 13 / 128, 21 / 128),
    (6, Fraction(31, 24), Fraction(7, 24), 1 / 8, 1.0, 109 / 384, 77 / 384),
    (
        4,
        Fraction(4, 5),
        Fraction(1, 5),
        (3 - 5**0.5) / 10,
        (3 + 5**0.5) / 10,
        (3 + 5**0.5) / 100,
        5**0.5 / 50,
    ),
]


@pytest.mark.parametrize("case", EXACT)
def test_exact_rationals_and_surds(case: tuple):
    depth, signal, decay, saddle, learned, out, back = case
    mode: Mode = {"depth": depth, "signal": float(signal), "weight_decay": float(decay)}
    found = [
        modes.saddle(**mode),
        modes.learned(**mode),
        modes.barrier_out(**mode),
        modes.barrier_back(**mode),
    ]
    np.testing.assert_allclose(found, [saddle, learned, out, back], rtol=2e-14)


def test_radial_curvatures_of_the_rational_mode():
    mode: Mode = {"depth": 3, "signal": 15 / 8, "weight_decay": 7 / 8}
    np.testing.assert_allclose(modes.curvature([0.5, 1.0], **mode), [-11 / 16, 17 / 8], rtol=1e-15)


def test_signal_two_coexists_at_one():
    assert modes.coexistence(3, 2.0) == pytest.approx(1.0, rel=1e-15)
    assert modes.coexistence_strength(3, 2.0) == 1.0
    mode: Mode = {"depth": 3, "signal": 2.0, "weight_decay": 1.0}
    assert modes.loss([0.0, 1.0], **mode) == pytest.approx([2.0, 2.0], rel=1e-15)
    out, back = modes.barrier_out(**mode), modes.barrier_back(**mode)
    assert out == pytest.approx(0.134884497736, abs=1e-12)
    assert back == pytest.approx(out, rel=1e-14)


def test_spinodals_of_a_correlated_sample():
    assert finite_data.empirical_spinodals(SXX, SYX, depth=3)[0] == pytest.approx(
        0.33434803, abs=1e-8
    )
    matrix = finite_data.stationary_rank(
        SXX, SYX, depth=3, rank=1, weight_decay=0.1, branch="saddle"
    )
    assert np.linalg.norm(matrix, 2) == pytest.approx(0.00189759974, abs=1e-11)
