"""Metastability in neural-network training: landscapes, escape times, rates, evidence.

The names below are resolved when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spinodal.dynamics.checkpoints import Start
    from spinodal.dynamics.diffusion_passages import first_passages
    from spinodal.dynamics.diffusions import Diffusion, Walker, Walkers
    from spinodal.dynamics.ensemble import Ensemble, Event, Outcome, run
    from spinodal.dynamics.files import load_checkpoint, save_checkpoint
    from spinodal.dynamics.networks import Network
    from spinodal.dynamics.tasks import ArraysTask, ClassTask, GaussianTask, from_arrays
    from spinodal.dynamics.updates import Stage, Update
    from spinodal.errors import DamagedFileError, InputError
    from spinodal.process import Process
    from spinodal.protocols.escape import EscapeSettings, EscapeSummary, escape
    from spinodal.protocols.rate import RateSettings, RateSummary, rate
    from spinodal.rare.estimates import SplittingRate
    from spinodal.rare.paths import string_method
    from spinodal.rare.splitting import SplittingSettings
    from spinodal.rare.swarms import DiffusionSwarm, ProcessSwarm
    from spinodal.rare.training import TrainingSwarm, training_rate
    from spinodal.records import EscapeTimes, RateEstimate, Verdict
    from spinodal.statistics.competing import cumulative_incidence
    from spinodal.statistics.designs import design
    from spinodal.statistics.escape_laws import arrhenius_fit
    from spinodal.statistics.frailty import frail_rate
    from spinodal.statistics.hazard import nelson_aalen
    from spinodal.statistics.lag import lagged_rate
    from spinodal.statistics.law_choice import choose
    from spinodal.statistics.laws import fit_laws
    from spinodal.statistics.mechanism import mechanism
    from spinodal.statistics.survival import exponential_rate, kaplan_meier
    from spinodal.statistics.waiting_times import memorylessness
    from spinodal.theory import (
        amplitudes,
        curvature,
        equilibrium,
        free_energy,
        gradient_noise,
        kramers,
        modes,
        phases,
        plateau,
        quasipotential,
    )

__version__ = "0.1.0"

_HOME = {
    # the exact landscape
    "modes": "spinodal.theory",
    "phases": "spinodal.theory",
    "plateau": "spinodal.theory",
    "free_energy": "spinodal.theory",
    "curvature": "spinodal.theory",
    # rates, equilibrium and noise by theory
    "kramers": "spinodal.theory",
    "amplitudes": "spinodal.theory",
    "equilibrium": "spinodal.theory",
    "gradient_noise": "spinodal.theory",
    "quasipotential": "spinodal.theory",
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
    # processes of one's own
    "Process": "spinodal.process",
    "Diffusion": "spinodal.dynamics.diffusions",
    "Walker": "spinodal.dynamics.diffusions",
    "Walkers": "spinodal.dynamics.diffusions",
    "first_passages": "spinodal.dynamics.diffusion_passages",
    # rates when waiting is hopeless, and paths over saddles
    "training_rate": "spinodal.rare.training",
    "TrainingSwarm": "spinodal.rare.training",
    "DiffusionSwarm": "spinodal.rare.swarms",
    "ProcessSwarm": "spinodal.rare.swarms",
    "SplittingSettings": "spinodal.rare.splitting",
    "SplittingRate": "spinodal.rare.estimates",
    "string_method": "spinodal.rare.paths",
    # from a settings file to a table and a rate
    "EscapeSettings": "spinodal.protocols.escape",
    "EscapeSummary": "spinodal.protocols.escape",
    "escape": "spinodal.protocols.escape",
    "RateSettings": "spinodal.protocols.rate",
    "RateSummary": "spinodal.protocols.rate",
    "rate": "spinodal.protocols.rate",
    # from escape times to rates with intervals
    "EscapeTimes": "spinodal.records",
    "RateEstimate": "spinodal.records",
    "exponential_rate": "spinodal.statistics.survival",
    "kaplan_meier": "spinodal.statistics.survival",
    "nelson_aalen": "spinodal.statistics.hazard",
    "cumulative_incidence": "spinodal.statistics.competing",
    "lagged_rate": "spinodal.statistics.lag",
    "frail_rate": "spinodal.statistics.frailty",
    "memorylessness": "spinodal.statistics.waiting_times",
    # from escape times to laws and verdicts
    "arrhenius_fit": "spinodal.statistics.escape_laws",
    "design": "spinodal.statistics.designs",
    "fit_laws": "spinodal.statistics.laws",
    "choose": "spinodal.statistics.law_choice",
    "mechanism": "spinodal.statistics.mechanism",
    "Verdict": "spinodal.records",
    # what can go wrong
    "InputError": "spinodal.errors",
    "DamagedFileError": "spinodal.errors",
}

__all__ = [
    "ArraysTask",
    "ClassTask",
    "DamagedFileError",
    "Diffusion",
    "DiffusionSwarm",
    "Ensemble",
    "EscapeSettings",
    "EscapeSummary",
    "EscapeTimes",
    "Event",
    "GaussianTask",
    "InputError",
    "Network",
    "Outcome",
    "Process",
    "ProcessSwarm",
    "RateEstimate",
    "RateSettings",
    "RateSummary",
    "SplittingRate",
    "SplittingSettings",
    "Stage",
    "Start",
    "TrainingSwarm",
    "Update",
    "Verdict",
    "Walker",
    "Walkers",
    "amplitudes",
    "arrhenius_fit",
    "choose",
    "cumulative_incidence",
    "curvature",
    "design",
    "equilibrium",
    "escape",
    "exponential_rate",
    "first_passages",
    "fit_laws",
    "frail_rate",
    "free_energy",
    "from_arrays",
    "gradient_noise",
    "kaplan_meier",
    "kramers",
    "lagged_rate",
    "load_checkpoint",
    "mechanism",
    "memorylessness",
    "modes",
    "nelson_aalen",
    "phases",
    "plateau",
    "quasipotential",
    "rate",
    "run",
    "save_checkpoint",
    "string_method",
    "training_rate",
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
