"""Eyring-Kramers-Langer rates between phases under additive noise, in logarithms.

For d theta = -grad E dt + sqrt(2T) dB the rate from a valley m over a saddle s is, as T -> 0,

    k = |mu| / (2 pi) * V_s / V_m * (2 pi T)^((n_m - n_s) / 2)
        * sqrt(prod' w_m / prod' |w_s|) * exp(-barrier / T)

with the negative curvature mu of the saddle, the non-zero curvatures w, and numbers n and volumes V
of zero modes (`orbits`). Langer's formula; with degenerate minima and saddles Avelin, Julin and
Viitasaari, arXiv 2206.13206. Rates are per unit time, learning_rate * steps.

Valid where the trivial valley, whose rotations reach a^2 = N_z T / (L weight_decay), is small
beside the saddle, `expansion` = N_z T / (L weight_decay a_s^2) << 1, and the barrier several T. At
large N_z that is not enough: rotations also pull the top of the barrier inwards, which changes ln k
by about N_z^2 T / (2 L |mu| a_s^2), so the corrected rate must agree too. Near bifurcations see
Berglund and Gentz, arXiv 0807.1681. In wide networks use the reduced generator (`amplitudes`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from spinodal.errors import InputError
from spinodal.theory import curvature, free_energy, modes
from spinodal.theory.curvature import Level
from spinodal.theory.roots import Array, depth_root
from spinodal.theory.transitions import Transition, transition

NARROW = 0.1
"""Largest `expansion` at which the plain formula is called valid."""

SEVERAL = 5.0
"""Least barrier / T at which it is."""

AGREE = 0.2
"""Largest difference between plain and corrected ln k at which it is."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_PANELS = 64


@dataclass(frozen=True)
class KramersRate:
    """A rate to leading order in T, and how far to trust it.

    `log_rate` is Eyring-Kramers-Langer's. `corrected_log_rate` replaces the parabola at the top by
    the free energy F of the rotations; None where F has no barrier (at and above the thermal
    spinodal). `expansion` is N_z T / (L weight_decay a_s^2). `valid` asks for an expansion below
    `NARROW`, a barrier above `SEVERAL` T, and a correction of ln k below `AGREE`.
    """

    log_rate: float
    corrected_log_rate: float | None
    barrier: float
    rotations: int
    expansion: float
    valid: bool


def log_rate_up(
    *,
    depth: int,
    width: int,
    signals: ArrayLike,
    weight_decay: float,
    temperature: float,
    rank: int,
    inputs: int | None = None,
    outputs: int | None = None,
) -> KramersRate:
    """Rate from the phase of rank `rank` to the next one.

        k = |mu_s|/(2 pi) R exp(-barrier_out/T),    N_z = (L-1)(w-r-1)
        R^2 = S_{w-1-r}^(2(L-1)) (2 a_s^2)^N_z (2 pi T)^(-N_z) prod_{a<=r} (1 - a_s^2/s_a^2)
              weight_decay^(inputs+outputs+2w-4r-2+(L-2)(2w-2r-1)) (2 weight_decay)^(-(L-1)(w-r))
              / (|mu_s| (eta_c a_s^(L-2))^|inputs-outputs|
                 prod_{j not yet learned} (eta_c^2 - eta_j^2) a_s^(2(L-2)))

    for mode c = r+1 with saddle amplitude a_s, learned amplitudes s_a, and j running over the
    other unlearned modes up to min(inputs, outputs), of signal 0 beyond the signals. (The code
    assembles it from spectra and volumes; this closed form is in the tests.)
    """
    t = transition(depth, width, signals, weight_decay, rank, inputs, outputs)
    heat = _temperature(temperature)
    barrier = float(modes.barrier_out(**t.mode, depth=depth))
    log_rate = _langer(t.lower, t.saddle, t.log_volumes[1] - t.log_volumes[0], barrier, heat)
    top = _Top(t, depth, width, rank, heat)
    return top.rate(log_rate, barrier, -top.widening if top.exists else None)


def log_rate_down(
    *,
    depth: int,
    width: int,
    signals: ArrayLike,
    weight_decay: float,
    temperature: float,
    rank: int,
    inputs: int | None = None,
    outputs: int | None = None,
) -> KramersRate:
    """Rate from the phase of rank `rank` + 1 back to rank `rank`, over the same saddle.

        k = sqrt(mu_u |mu_s|)/(2 pi) (a_s/a_u)^(N_z - (L-2)((inputs+outputs)/2-r-1))
            prod_{a<=r} sqrt((s_a^2 - a_s^2)/(s_a^2 - a_u^2)) exp(-barrier_back/T)

    with the learned amplitude a_u of the mode that is lost; no power of T, since the valley keeps
    its dimension. The correction also replaces the parabola of the learned well by F.
    """
    t = transition(depth, width, signals, weight_decay, rank, inputs, outputs)
    heat = _temperature(temperature)
    barrier = float(modes.barrier_back(**t.mode, depth=depth))
    log_rate = _langer(t.upper, t.saddle, t.log_volumes[1] - t.log_volumes[2], barrier, heat)
    top = _Top(t, depth, width, rank, heat)
    return top.rate(log_rate, barrier, -top.widening - top.learned if top.exists else None)


def log_occupation_ratio(
    *,
    depth: int,
    width: int,
    signals: ArrayLike,
    weight_decay: float,
    temperature: float,
    rank: int,
    inputs: int | None = None,
    outputs: int | None = None,
) -> float:
    """ln(Z_{r+1} / Z_r) to leading order: how much more often rank r+1 is seen than rank r.

    Z = V (2 pi T)^((D - n)/2) prod' w^(-1/2) exp(-E/T). Equal to log_rate_up - log_rate_down:
    detailed balance, which Langevin noise obeys and minibatch noise does not.
    """
    t = transition(depth, width, signals, weight_decay, rank, inputs, outputs)
    heat = _temperature(temperature)
    gap = float(modes.gap(**t.mode, depth=depth))

    def weight(levels: tuple[Level, ...], log_volume: float) -> float:
        flat = curvature.zero_modes(levels)
        return log_volume - 0.5 * flat * np.log(2 * np.pi * heat) - 0.5 * _log_product(levels)

    upper, lower = weight(t.upper, t.log_volumes[2]), weight(t.lower, t.log_volumes[0])
    return float(upper - lower - gap / heat)


def step_size_correction(
    *,
    depth: int,
    width: int,
    signals: ArrayLike,
    weight_decay: float,
    learning_rate: float,
    rank: int,
    up: bool = True,
    inputs: int | None = None,
    outputs: int | None = None,
) -> float:
    """ln(rate of discrete steps / rate of the diffusion) to first order in the step h.

        ln k_h - ln k = (h/4) (sum w_m - sum |w_s|)

    Euler and Maruyama's steps theta - h grad E + sqrt(2Th) xi follow, to this order, a diffusion
    with potential E - h |grad E|^2/4 + (hT/2) Lap E and noise 2T (1 + h Hess E). The barrier is
    unchanged; the Laplacians give -(h/2)(Lap_s - Lap_m), the curvatures of the new potential and
    the slower unstable direction, ln(1 + h|mu|)/h, the rest. Next order h^2/T: keep h well below
    the curvatures' inverses.
    """
    if not (np.isfinite(learning_rate) and learning_rate >= 0):
        raise InputError(f"learning_rate must be finite and not negative, got {learning_rate:g}.")
    t = transition(depth, width, signals, weight_decay, rank, inputs, outputs)
    stiff = [
        sum(abs(level.value) * level.multiplicity for level in levels)
        for levels in (t.lower if up else t.upper, t.saddle)
    ]
    return 0.25 * learning_rate * (stiff[0] - stiff[1])


class _Top:
    """What the free energy F makes of the top of the barrier and of the learned well."""

    def __init__(self, t: Transition, depth: int, width: int, rank: int, heat: float) -> None:
        self.rotations = free_energy.hidden_rotations(depth=depth, width=width, rank=rank)
        self.heat = heat
        bare, bare_learned = t.amplitudes
        mode = {**t.mode, "depth": depth}
        self.expansion = float(self.rotations * heat / (depth * t.mode["weight_decay"] * bare**2))
        heated = {**mode, "temperature": heat, "rotations": self.rotations}
        strengths = free_energy.free_energy_points(**heated)
        well, top, learned = (float(depth_root(x, depth)) for x in strengths)
        self.exists = not np.isnan(top)
        if not self.exists:
            return

        def f(a: Array) -> Array:
            return free_energy.free_energy(a, **heated) / heat

        def parabola(amplitude: float) -> float:
            bend = abs(float(modes.curvature(amplitude, **mode))) / heat
            return 0.5 * np.log(2 * np.pi / (depth * bend))

        # r = sqrt(L) a: the curvatures are along r, the integrals along a.
        self.widening = _log_peak(f, well, learned, top) - float(f(np.array(bare))) - parabola(bare)
        far = 2 * learned + 20 * np.sqrt(heat / (depth * t.mode["weight_decay"]))
        self.learned = (
            _log_peak(lambda a: -f(a), top, far, learned)
            + float(f(np.array(bare_learned)))
            - parabola(bare_learned)
        )

    def rate(self, log_rate: float, barrier: float, correction: float | None) -> KramersRate:
        """The record."""
        agrees = correction is not None and abs(correction) < AGREE
        return KramersRate(
            log_rate=log_rate,
            corrected_log_rate=None if correction is None else log_rate + float(correction),
            barrier=barrier,
            rotations=self.rotations,
            expansion=self.expansion,
            valid=bool(agrees and self.expansion < NARROW and barrier > SEVERAL * self.heat),
        )


def _log_peak(log_height: Callable[[Array], Array], low: float, high: float, peak: float) -> float:
    """ln of the integral of exp(log_height) around its peak, panels as wide as the peak needs."""
    top = float(log_height(np.array(peak)))
    reach_low, reach_high = (
        _fall(lambda a: float(log_height(np.array(a))) - top, peak, end) for end in (low, high)
    )
    edges = np.concatenate(
        [np.linspace(reach_low, peak, _PANELS + 1), np.linspace(peak, reach_high, _PANELS + 1)[1:]]
    )
    sizes = np.diff(edges)[:, None]
    nodes = edges[:-1, None] + sizes * 0.5 * (_NODES + 1)
    return float(logsumexp(log_height(nodes), b=0.5 * sizes * _WEIGHTS))


def _fall(drop: Callable[[float], float], peak: float, end: float) -> float:
    """Where the height has fallen by 40 between the peak and `end`; `end` if it never does."""
    reach = end
    for _ in range(200):
        nearer = peak + 0.8 * (reach - peak)
        if drop(nearer) > -40 or nearer == peak:
            return reach
        reach = nearer
    return reach


def _langer(
    valley: tuple[Level, ...],
    saddle: tuple[Level, ...],
    log_volumes: float,
    barrier: float,
    temperature: float,
) -> float:
    """The general formula in the head of this file."""
    negative = [level.value for level in saddle if level.value < 0]
    assert len(negative) == 1, "a saddle between neighbouring phases has index 1"
    gained = curvature.zero_modes(valley) - curvature.zero_modes(saddle)
    return float(
        np.log(-negative[0] / (2 * np.pi))
        + log_volumes
        + 0.5 * gained * np.log(2 * np.pi * temperature)
        + 0.5 * (_log_product(valley) - _log_product(saddle))
        - barrier / temperature
    )


def _log_product(levels: tuple[Level, ...]) -> float:
    """ln prod' |w|, zero modes left out."""
    return float(sum(n * np.log(abs(value)) for value, n, _ in levels if value != 0))


def _temperature(temperature: float) -> float:
    if not (np.isfinite(temperature) and temperature > 0):
        raise InputError(f"temperature must be finite and positive, got {temperature:g}.")
    return float(temperature)
