"""Metastability in neural-network training: landscapes, escape times, rates, evidence.

The names below are resolved when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spinodal.dynamics.checkpoints import Start
    from spinodal.dynamics.ensemble import Ensemble, Event, Outcome, run
    from spinodal.dynamics.files import load_checkpoint, save_checkpoint
    from spinodal.dynamics.networks import Network
    from spinodal.dynamics.tasks import ArraysTask, ClassTask, GaussianTask, from_arrays
    from spinodal.dynamics.updates import Stage, Update
    from spinodal.errors import DamagedFileError, InputError
    from spinodal.protocols.escape import EscapeSettings, EscapeSummary, escape
    from spinodal.records import EscapeTimes, RateEstimate
    from spinodal.statistics.escape_laws import arrhenius_fit
    from spinodal.statistics.survival import exponential_rate, kaplan_meier
    from spinodal.theory import free_energy, modes, phases, plateau

__version__ = "0.1.0"

_HOME = {
    # the exact landscape
    "modes": "spinodal.theory",
    "phases": "spinodal.theory",
    "plateau": "spinodal.theory",
    "free_energy": "spinodal.theory",
    # simulation: settings in, escape times out
    "GaussianTask": "spinodal.dynamics.tasks",
    "ClassTask": "spinodal.dynamics.tasks",
    "ArraysTask": "spinodal.dynamics.tasks",
    "from_arrays": "spinodal.dynamics.tasks",
    "Network": "spinodal.dynamics.networks",
    "Update": "spinodal.dynamics.updates",
    "Stage": "spinodal.dynamics.updates",
    "Start": "spinodal.dynamics.checkpoints",
    "load_checkpoint": "spinodal.dynamics.files",
    "save_checkpoint": "spinodal.dynamics.files",
    "Event": "spinodal.dynamics.ensemble",
    "Ensemble": "spinodal.dynamics.ensemble",
    "Outcome": "spinodal.dynamics.ensemble",
    "run": "spinodal.dynamics.ensemble",
    # from a settings file to a table and a rate
    "EscapeSettings": "spinodal.protocols.escape",
    "EscapeSummary": "spinodal.protocols.escape",
    "escape": "spinodal.protocols.escape",
    # from escape times to rates with intervals
    "EscapeTimes": "spinodal.records",
    "RateEstimate": "spinodal.records",
    "exponential_rate": "spinodal.statistics.survival",
    "kaplan_meier": "spinodal.statistics.survival",
    "arrhenius_fit": "spinodal.statistics.escape_laws",
    # what can go wrong
    "InputError": "spinodal.errors",
    "DamagedFileError": "spinodal.errors",
}

__all__ = [
    "ArraysTask",
    "ClassTask",
    "DamagedFileError",
    "Ensemble",
    "EscapeSettings",
    "EscapeSummary",
    "EscapeTimes",
    "Event",
    "GaussianTask",
    "InputError",
    "Network",
    "Outcome",
    "RateEstimate",
    "Stage",
    "Start",
    "Update",
    "arrhenius_fit",
    "escape",
    "exponential_rate",
    "free_energy",
    "from_arrays",
    "kaplan_meier",
    "load_checkpoint",
    "modes",
    "phases",
    "plateau",
    "run",
    "save_checkpoint",
]


def __getattr__(name: str) -> object:
    """Import the home of a public name when it is asked for."""
    if name not in _HOME:
        raise AttributeError(f"spinodal has no '{name}'; it offers {', '.join(__all__)}.")
    if _HOME[name] == "spinodal.theory":
        return import_module(f"spinodal.theory.{name}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
