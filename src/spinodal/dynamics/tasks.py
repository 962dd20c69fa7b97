"""What is to be learned: joint Gaussian data, Gaussian classes, or the user's own arrays."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from spinodal.dynamics.classes import ClassTask, draw_classes
from spinodal.dynamics.data import Data, Moments, from_arrays, moments
from spinodal.dynamics.files import ArraysTask, draw_arrays
from spinodal.dynamics.gaussian import GaussianTask, draw_gaussian

__all__ = [
    "AnyTask",
    "ArraysTask",
    "ClassTask",
    "Data",
    "GaussianTask",
    "Moments",
    "Task",
    "draw",
    "from_arrays",
    "moments",
]

AnyTask = GaussianTask | ClassTask | ArraysTask


def _kind(task: Any) -> str:
    """Settings without a kind are those of the Gaussian task."""
    if isinstance(task, dict):
        return str(task.get("kind", "gaussian"))
    return str(getattr(task, "kind", "gaussian"))


Task = Annotated[
    Annotated[GaussianTask, Tag("gaussian")]
    | Annotated[ClassTask, Tag("classes")]
    | Annotated[ArraysTask, Tag("arrays")],
    Discriminator(_kind),
]
"""A task in settings; `kind` says which."""


def draw(task: AnyTask, *, seed: int, dataset: int) -> Data:
    """Data set number `dataset` of the task under `seed`: the same data in any company."""
    if isinstance(task, ClassTask):
        return draw_classes(task, seed=seed, dataset=dataset)
    if isinstance(task, ArraysTask):
        return draw_arrays(task, dataset=dataset)
    return draw_gaussian(task, seed=seed, dataset=dataset)
