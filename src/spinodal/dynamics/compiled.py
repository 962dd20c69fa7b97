"""The compiled machine: a `Machine` whose updates run in C++, with the twin's bits.

Importing this fails with `ImportError` where the package was installed without a compiler.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics._engine import _kernels
from spinodal.dynamics.machine import Trace, look_after
from spinodal.dynamics.networks import Layers, as_layers
from spinodal.dynamics.plan import Draw, Plan, Stretch, adam_corrections
from spinodal.errors import InputError

Array = NDArray[np.floating]

SAMPLINGS = {"shuffled": 0, "replacement": 1, "fresh": 2, "wishart": 3, "full": 4, "population": 4}
ACTIVATIONS = ("identity", "tanh", "sigmoid", "softplus", "relu", "gelu")
OPTIMIZERS = ("sgd", "momentum", "adam", "adamw")
NOISES = (None, "local", "frozen")
FUNCTIONS = (
    "exp", "expm1", "log", "log1p", "tanh", "sigmoid", "softplus", "gelu", "gelu_slope",
)  # fmt: skip


@dataclass(frozen=True)
class Features:
    """The instruction sets that this processor can run, fastest first, and the chosen one."""

    available: tuple[str, ...]
    chosen: str


def features() -> Features:
    """What the engine can do here; `chosen` follows SPINODAL_ENGINE."""
    return Features(tuple(_kernels.features()), instruction_set())


def instruction_set(wanted: str | None = None) -> str:
    """The instruction set called `wanted`; None asks SPINODAL_ENGINE, `auto` takes the fastest."""
    wanted = wanted or os.environ.get("SPINODAL_ENGINE", "auto")
    usable = _kernels.features()
    if wanted == "auto":
        return usable[0]
    if wanted not in usable:
        raise InputError(
            f"SPINODAL_ENGINE is {wanted!r}, but this machine knows {', '.join(usable)}: choose "
            "one of them, or 'auto' for the fastest, or 'off' for NumPy."
        )
    return wanted


def peak(isa: str = "auto", seconds: float = 0.2) -> float:
    """Floating-point operations per second of one core, multiplications and additions unfused.

    The best of many short bursts on independent numbers in registers, float64.
    """
    return _kernels.peak(instruction_set(isa), seconds)


def normals(words: NDArray[np.uint64], isa: str = "auto") -> NDArray[np.float64]:
    """Two standard normals from each word (n,), cosines then sines, as in `seeding`."""
    return _kernels.normals(np.ascontiguousarray(words, dtype=np.uint64), instruction_set(isa))


def philox_words(
    key: NDArray[np.uint64], counter: int, blocks: int, isa: str = "auto"
) -> NDArray[np.uint64]:
    """The words (4 * blocks,) of Philox4x64-10 with the 128-bit `key`, from `counter` on."""
    return _kernels.philox_words(int(key[0]), int(key[1]), counter, blocks, instruction_set(isa))


def elementary(name: str, x: NDArray[np.float64], isa: str = "auto") -> NDArray[np.float64]:
    """The elementary function of this name, elementwise on x (n,); see `elementary.py`."""
    x = np.ascontiguousarray(x, dtype=np.float64)
    return _kernels.elementary(FUNCTIONS.index(name), x, instruction_set(isa))


class Compiled:
    """A `Machine` (see there) in C++. Lanes are replicas; their number changes no bit."""

    def __init__(self, plan: Plan, layers: Layers, isa: str | None = None) -> None:
        """A machine at step 0 with copies of `layers` (rows, columns, R)."""
        self.plan, self.step, self.isa = plan, 0, instruction_set(isa)
        replicas = len(plan.replicas)
        flat = [np.asarray(layer, dtype=plan.precision).reshape(-1, replicas) for layer in layers]
        self._state: dict[str, Array] = {"weights": np.ascontiguousarray(np.concatenate(flat))}
        for name in {"sgd": (), "momentum": ("momentum",)}.get(
            plan.optimizer, ("momentum", "second")
        ):
            self._state[name] = np.zeros_like(self._state["weights"])
        self.decay: Array = np.full(replicas, plan.first_weight_decay, dtype=plan.precision)
        draws = {
            "batches": plan.batches,
            "labels": plan.labels,
            "gradients": plan.gradients,
            "kicks": plan.kicks,
        }
        self._draws: dict[str, Draw] = {n: draw for n, draw in draws.items() if draw is not None}
        self._keys = {name: plan.keys(draw) for name, draw in self._draws.items()}
        self._tables = _tables(plan)
        self._build()

    def _build(self) -> None:
        """The engine for the present replicas."""
        dataset_of = np.ascontiguousarray(self.plan.dataset_of, dtype=np.int64)
        problem = {
            **self._tables,
            "replicas": len(self.plan.replicas),
            "dataset_of": dataset_of,
            # Neighbours that train on the same data find its tables in the cache.
            "order": np.argsort(dataset_of, kind="stable").astype(np.int64),
        }
        for name, draw in self._draws.items():
            problem |= {f"{name}_keys": self._keys[name], f"{name}_words": draw.words}
        self._engine = _kernels.Engine(problem, self.isa)

    @property
    def layers(self) -> Layers:
        """The layers, (rows, columns, R): views of the weights."""
        return as_layers(self._state["weights"], self.plan.shapes)

    def advance(self, count: int, every: int) -> Trace:
        """Make `count` updates; look after every `every` of them and after the last."""
        start = self.step
        looks = start + look_after(count, every)
        trace = self._empty_trace(looks)
        while self.step < start + count:
            now = self.plan.stretch(self.step)
            end = start + count if now.last is None else min(now.last, start + count)
            if self.step == now.first and now.weight_decay is not None and self.step > 0:
                self.decay = np.full_like(self.decay, now.weight_decay)
            first, last = np.searchsorted(looks, [self.step, end], side="right")
            self._run(now, end - self.step, looks[first:last], trace, slice(first, last))
            self.step = end
        return trace

    def observe(self) -> Trace:
        """One look, now."""
        looks = np.array([self.step])
        trace = self._empty_trace(looks)
        self._run(self.plan.stretch(self.step), 0, looks, trace, slice(0, 1))
        return trace

    def _run(
        self, now: Stretch, count: int, looks: NDArray[np.int64], trace: Trace, rows: slice
    ) -> None:
        """Make `count` updates of one stretch, filling `rows` of the trace."""
        plan = self.plan
        epoch, within = divmod(self.step - now.first, now.per_epoch)
        stretch: dict[str, Any] = {
            "step": self.step,
            "count": count,
            "epoch": now.first_epoch + epoch,
            "within": within,
            "per_epoch": now.per_epoch,
            "batch": now.batch_size,
            "rate": now.learning_rate,
            "kick": now.kick,
            "spread": now.spread,
            "weights": self._state["weights"],
            "first": self._state.get("momentum"),
            "second": self._state.get("second"),
            "decay": np.ascontiguousarray(self.decay, dtype=plan.precision),
            "look_count": len(looks),
            "looks": np.ascontiguousarray(looks - self.step, dtype=np.int64),
            "maps": trace.maps[rows],
            "norms": trace.norms[rows],
            "train": None if trace.train is None else trace.train[rows],
            "test": None if trace.test is None else trace.test[rows],
        }
        if plan.optimizer in ("adam", "adamw"):
            first, second = adam_corrections(plan.momentum, plan.second_momentum, self.step, count)
            stretch |= {"adam_rate": now.learning_rate / first, "adam_scale": second}
        self._engine.advance(stretch)

    def _empty_trace(self, steps: NDArray[np.int64]) -> Trace:
        plan, looks, replicas = self.plan, len(steps), len(self.plan.replicas)
        by_moments = plan.path == "moments"
        columns = plan.inputs if by_moments else plan.real_inputs + 1
        return Trace(
            steps,
            np.empty((looks, plan.outputs, columns, replicas)),
            np.empty((looks, replicas)),
            None if by_moments else np.empty((looks, replicas)),
            None if by_moments or plan.test_x is None else np.empty((looks, replicas)),
        )

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Go on with the replicas of the mask only; their numbers do not change."""
        self.plan = self.plan.keep(mask)
        self._state = {n: np.ascontiguousarray(a[:, mask]) for n, a in self._state.items()}
        self.decay = self.decay[mask]
        self._keys = {name: np.ascontiguousarray(keys[mask]) for name, keys in self._keys.items()}
        self._build()

    def state(self) -> dict[str, Array]:
        """All that changes, but for `step`: copies."""
        now = {**self._state, "decay": self.decay}
        return {name: values.copy() for name, values in now.items()}

    def restore(self, step: int, state: dict[str, Array]) -> None:
        """Go back to a state; streams are addressed by step and need none."""
        self.step = step
        for name, values in self._state.items():
            given = np.array(state[name], dtype=self.plan.precision, order="C")
            if given.shape != values.shape:
                raise InputError(
                    f"A state's {name!r} must have shape {values.shape}, got {given.shape}: it "
                    "belongs to another ensemble."
                )
            self._state[name] = given
        self.decay = np.array(state["decay"], dtype=self.plan.precision)


def _tables(plan: Plan) -> dict[str, Any]:
    """All that the engine must know and that does not depend on the replicas."""
    trainable = np.ascontiguousarray(plan.trainable, dtype=plan.precision)
    tables: dict[str, Any] = {
        "layers": [list(shape) for shape in plan.shapes],
        "single": plan.precision == "float32",
        "by_moments": plan.path == "moments",
        "cross_entropy": plan.loss == "cross_entropy",
        "real_inputs": plan.real_inputs,
        "samples": plan.samples,
        "test_samples": 0 if plan.test_x is None else plan.test_x.shape[1],
        "activation": ACTIVATIONS.index(plan.activation),
        "sampling": SAMPLINGS[plan.sampling],
        "optimizer": OPTIMIZERS.index(plan.optimizer),
        "noise": NOISES.index(plan.gaussian),
        "momentum": plan.momentum,
        "second_momentum": plan.second_momentum,
        "epsilon": plan.epsilon,
        "label_noise": plan.label_noise,
        "largest_batch": max(stretch.batch_size for stretch in plan.stretches),
        "trainable": None if trainable.all() else trainable,
        "rows": None if plan.products is None else _padded(plan.products),
        "factor": plan.factor,
        "centre": plan.centre,
        "spread": plan.factors,
        "noise_rank": 0 if plan.factors is None else plan.factors.shape[-1],
    }
    for name in ("exact", "x", "y", "test_x", "test_y"):
        table = getattr(plan, name)
        if table is not None:
            tables[name] = np.ascontiguousarray(table, dtype=plan.precision)
    tables["datasets"] = _sets(plan)
    return tables


def _sets(plan: Plan) -> int:
    """Number of data sets in the tables."""
    for table in (plan.products, plan.exact, plan.x):
        if table is not None:
            return len(table)
    raise AssertionError("a plan without data")


def _padded(products: Array) -> Array:
    """Rows of whole vectors: the unique products, then zeros up to a multiple of eight."""
    sets, samples, count = products.shape
    rows = np.zeros((sets, samples, -(-count // 8) * 8), dtype=products.dtype)
    rows[..., :count] = products
    return rows
