"""The reduced generator: a mode and its entropy on two coordinates, beyond Eyring and Kramers.

One output, one input, L layers, additive noise. Pick a layer l in the middle. W_1 turns the input
into a direction, whose image under W_2 has a direction, and so on up to layer l; from the output
the same downwards. Along the two chains each layer has one amplitude a_k (a length, of w
components), layer l has m (signed), the strength is s = Q m with Q = prod a_k, and the equilibrium
law of these L numbers is known exactly,

    exp(-F/T),   F = 1/2 (Q m - eta)^2 + weight_decay/2 (m^2 + sum a_k^2) - T (w-1) sum ln a_k.

So is that of (Q, m): given Q, nothing else depends on the signal. But these coordinates do not move
on their own: the direction of one layer turns, by noise 1/a per unit time, in the field of the
others' dead components, each of variance tau = T / weight_decay. Averaged over all that is not
(Q, m), the mobilities are, with x = (w-1) tau and e_j(Q) = E[1/(a_1^2 ... a_j^2) | Q],

    D_m = 1 + sum over the two chains sum_{j=1..n} x^j e_j
    D_Q = Q^2 sum over the two chains sum_{k=1..n} sum_{j=1..k} x^(j-1) e_j

(n layers in the chain), and there is no cross term. This is the effective dynamics of Legoll and
Lelievre (Nonlinearity 23, 2010). What is exact: the equilibrium, at every width, depth and
temperature; and, where the valley is deep, that the true mean time is not shorter, because the
capacity of a reversible diffusion is a minimum over functions of all coordinates and here functions
of two are admitted. What is not: that nothing is lost. The loss tends to nothing as T falls, since
at the saddle the unstable direction is that of (Q, m). How much longer simulations take is measured
in benchmarks/calibration/langevin_rates.py.

All this holds for one input and one output. With more of them, or with learned modes, F gains the
entropy of the other modes' directions to leading order in T at the strength s (`_company`), and w
becomes w - rank. Then the equilibrium is exact in the cold only, and the time is no bound: it may
be too long as well as too short. One reason is the direction that turns this mode into an unlearned
one of signal eta_j. At singular value s its angle has the weight exp(k cos(angle)) with
k = s (eta - eta_j) / (2 T), a Gaussian only where k is large; the full integral over the Gaussian
one is 1 + 1/(8 k) + ..., so that the pass is wider than it is taken to be where signals are close
and T is not far below the thermal spinodal. No correction is made for it, since where k is small,
at the bottom of the trivial valley, no such angle is defined.
benchmarks/calibration/splitting_network.py has measured times over predicted ones with k at the
pass, langevin_rates.py a mode alone, beside a far and beside a close signal.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline

from spinodal.errors import InputError
from spinodal.theory import chains, finite_volume, free_energy, modes
from spinodal.theory.finite_volume import Grid
from spinodal.theory.roots import Array, depth_root

_REFINED = 1.5
"""Ratio of the two spacings from which the limit is extrapolated."""

_COARSE = 80
"""Least cells across the coarser grid."""

_SAMPLING_SHIFT = 0.5826
"""-zeta(1/2) / sqrt(2 pi): how far a walk seen at intervals overshoots, in standard deviations."""


class PassageTime(NamedTuple):
    """ln of a mean passage time and an estimate of what the grid changes in it."""

    log_time: float
    grid_error: float


def log_mean_time(
    *,
    depth: int,
    width: int,
    signal: float,
    weight_decay: float,
    temperature: float,
    rank: int = 0,
    direction: Literal["up", "down"] = "up",
    other_signals: ArrayLike = (),
    inputs: int | None = None,
    outputs: int | None = None,
    target: float | None = None,
    look_every: float = 0.0,
) -> float:
    """ln of the mean time, in learning_rate * steps, of one mode's passage; see `passage`."""
    return passage(
        depth=depth,
        width=width,
        signal=signal,
        weight_decay=weight_decay,
        temperature=temperature,
        rank=rank,
        direction=direction,
        other_signals=other_signals,
        inputs=inputs,
        outputs=outputs,
        target=target,
        look_every=look_every,
    ).log_time


def passage(
    *,
    depth: int,
    width: int,
    signal: float,
    weight_decay: float,
    temperature: float,
    rank: int = 0,
    direction: Literal["up", "down"] = "up",
    other_signals: ArrayLike = (),
    inputs: int | None = None,
    outputs: int | None = None,
    target: float | None = None,
    look_every: float = 0.0,
) -> PassageTime:
    """Mean first passage of the mode with `signal` from the reduced generator on (Q, m).

    up: from zero weights (of this mode) until its strength first exceeds `target`, by default the
    learned strength. down: from the learned point until it first falls below `target`, by default
    a quarter of the saddle's strength. These are the passages that an ensemble counts with an
    `Event` at that strength; where it looks only every `look_every` units of time, the target is
    moved outwards by 0.5826 standard deviations of the strength between looks.

    `rank` stronger modes are learned already; `other_signals` are all signals but this one, the
    `rank` strongest of which are the learned ones. The answer exists also above the thermal
    spinodal, where it is the time of a drift. Two spacings are extrapolated; `grid_error` is the
    size of the extrapolation. An InputError tells where the mode has no learned point.
    """
    depth = modes.checked_depth(depth)
    problem = _Problem(
        depth, width, signal, weight_decay, temperature, rank, other_signals, inputs, outputs
    )
    if direction not in ("up", "down"):
        raise InputError(f"direction is 'up' or 'down', got {direction!r}.")
    if target is None:
        target = problem.learned if direction == "up" else 0.25 * problem.saddle
    if not (np.isfinite(target) and target > 0):
        raise InputError(f"target must be a positive strength, got {target:g}.")
    if not (np.isfinite(look_every) and look_every >= 0):
        raise InputError(f"look_every must be finite and not negative, got {look_every:g}.")
    spread = np.sqrt(2 * temperature * look_every * depth) * target ** (1 - 1 / depth)
    sign = 1 if direction == "up" else -1
    target += sign * _SAMPLING_SHIFT * float(spread)
    cells = problem.cells(target)
    both = cells, round(_REFINED * cells)
    chain = problem.chain(both[1], target)
    coarse, fine = (problem.log_time(n, target, sign, chain) for n in both)
    step = (fine - coarse) / (_REFINED**2 - 1)
    return PassageTime(fine + step, abs(step))


class _Problem:
    """One mode among others, with everything that does not depend on the grid."""

    def __init__(
        self,
        depth: int,
        width: int,
        signal: float,
        weight_decay: float,
        temperature: float,
        rank: int,
        other_signals: ArrayLike,
        inputs: int | None,
        outputs: int | None,
    ) -> None:
        if depth < 3:
            raise InputError(f"There is no barrier at depth {depth}; use depth 3 or more.")
        if not (np.isfinite(temperature) and temperature > 0):
            raise InputError(f"temperature must be finite and positive, got {temperature:g}.")
        if not (np.isfinite(weight_decay) and weight_decay > 0):
            raise InputError(f"weight_decay must be positive, got {weight_decay:g}.")
        others = np.sort(np.atleast_1d(np.asarray(other_signals, dtype=float)))[::-1]
        if not 0 <= rank <= len(others):
            raise InputError(f"{rank} learned modes need as many other_signals, got {len(others)}.")
        if np.any(others[:rank] <= signal) or np.any(others[rank:] >= signal):
            raise InputError(
                f"The learned signals must be stronger than {signal:g} and the rest weaker, got "
                f"{others.tolist()} with rank {rank}: modes are learned in order of their signals."
            )
        self.rotations = free_energy.hidden_rotations(depth=depth, width=width, rank=rank)
        self.depth, self.width, self.temperature = depth, width - rank, temperature
        self.signal, self.decay = float(signal), float(weight_decay)
        mode = {"depth": depth, "signal": signal, "weight_decay": weight_decay}
        self.saddle, self.learned = float(modes.saddle(**mode)), float(modes.learned(**mode))
        held = [
            float(modes.learned(depth=depth, signal=s, weight_decay=weight_decay))
            for s in others[:rank]
        ]
        self.held = depth_root(np.array(held), depth)
        sides = [len(others) + 1 if n is None else n for n in (inputs, outputs)]
        if min(sides) < len(others) + 1:
            raise InputError(
                f"{len(others) + 1} signals need as many inputs and outputs, got {min(sides)}."
            )
        idle = np.zeros(min(sides) - len(others) - 1)
        self.idle, self.spare = np.append(others[rank:], idle), abs(sides[0] - sides[1])
        top = free_energy.free_energy_points(
            **mode, temperature=temperature, rotations=self.rotations
        ).barrier
        self.pass_strength = self.saddle if np.isnan(top) else float(top)

    def cells(self, target: float) -> int:
        """Cells per unit of reach that resolve sqrt(T / weight_decay)."""
        thermal = np.sqrt(self.temperature / self.decay)
        return int(np.clip(self.reach(target) / (0.3 * thermal), _COARSE, 320))

    def reach(self, target: float) -> float:
        """Largest amplitude on the grid."""
        thermal = np.sqrt(self.temperature / self.decay)
        cloud = np.sqrt(self.width - 1) * thermal + 6 * thermal
        far = float(depth_root(max(target, self.learned), self.depth))
        return max(far + 8 * thermal, 1.2 * far, cloud)

    def chain(self, cells: int, target: float) -> tuple[CubicSpline, ...]:
        """Densities of ln Q on the range of grids of up to so many cells."""
        n, reach = self.depth - 1, self.reach(target)
        return chains.log_chain_densities(
            n * float(np.log(0.4 * reach / cells)),
            n * float(np.log(reach)),
            layers=n,
            width=self.width,
            variance=self.temperature / self.decay,
            tilts=n - n // 2,
        )

    def log_time(
        self, cells: int, target: float, sign: int, chain: tuple[CubicSpline, ...]
    ) -> float:
        """ln of the mean time on a grid of so many cells along the amplitude Q^(1/(L-1))."""
        t, n = self.temperature, self.depth - 1
        size = float(self.reach(target) / cells)
        z = size * np.linspace(0.5, cells - 0.5, cells)
        below = int(6 * np.sqrt(t / self.decay) / size) + 1
        m = (np.arange(-below, cells) + 0.5) * size
        density = np.array([spline(n * np.log(z)) for spline in chain])
        along, across = chains.mobilities(
            density, z, layers=n, width=self.width, variance=t / self.decay
        )
        s = z[:, None] ** n * m
        height = (0.5 * (s - self.signal) ** 2 + 0.5 * self.decay * m**2) / t
        height -= (density[0] - np.log(z))[:, None] + self._company(s)
        flat = np.ones_like(s)
        grid = Grid(
            height=height,
            mobility=(along[:, None] * flat * t, across[:, None] * flat * t),
            target=s >= target if sign > 0 else s <= target,
            spacing=size,
        )
        side = s < self.pass_strength if sign > 0 else s > self.pass_strength
        well = np.unravel_index(np.argmin(np.where(side & ~grid.target, height, np.inf)), s.shape)
        home = (0.0, 0.0) if sign > 0 else (float(depth_root(self.learned, self.depth)),) * 2
        start = np.argmin(np.abs(z - home[0])), np.argmin(np.abs(m - home[1]))
        return finite_volume.log_mean_time(
            grid, well=tuple(map(int, well)), start=tuple(map(int, start))
        )

    def _company(self, s: Array) -> Array:
        """Entropy of the directions that this mode shares with the others, 0 at strength 0.

        Leading order in T: all directions Gaussian, too narrow where s |eta - eta_j| is not large
        beside T (see the module).

        -1/2 ln of the product of: 1 / (1 - a^2/s_a^2) for a learned mode of amplitude s_a;
        ((b + c)^2 - eta_j^2 a^(2L-4)) / b^2 for an unlearned one, (b + c)/b for a spare input or
        output, with b the weight decay, c = a^(2L-2), a = s^(1/L). From the saddle on b + c is
        replaced by eta a^(L-2), which it equals at both stationary points.
        """
        a = depth_root(np.minimum(np.abs(s), self.learned), self.depth)
        stiff = np.where(
            np.abs(s) < self.saddle,
            self.decay + a ** (2 * self.depth - 2),
            self.signal * a ** (self.depth - 2),
        )
        logs = np.zeros_like(s)
        for other in self.held:
            logs += np.log1p(-((a / other) ** 2))
        for signal in self.idle:
            square = stiff**2 - (signal * a ** (self.depth - 2)) ** 2
            logs -= np.log(square / self.decay**2)
        return 0.5 * (logs - self.spare * np.log(stiff / self.decay))
