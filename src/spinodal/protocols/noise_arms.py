"""Which noise frees a network from the rank-1 trap, the amount being the same?

Networks start exactly in the rank-1 phase and train under

- `minibatch`: minibatch SGD, batches drawn with replacement, and `fresh`: new samples every time;
- `local`: the full gradient plus Gaussian noise of the covariance that minibatches have at the
  present weights, C(theta) / B;
- `isotropic`: the full gradient plus noise of the same trace, alike in all weights: T =
  lr tr C / (2 B D);
- `frozen`: the full gradient plus Gaussian noise of a covariance that never changes: that of the
  rank-2 phase, or that of the trap itself.

If the amount of noise mattered, all would escape alike. If its shape matters, only those escape
whose noise reaches weights that can raise the rank: `isotropic` and `frozen at rank 2`. That is
told only where the isotropic noise can escape at all, so every setting comes with the thermal
spinodal and the free-energy barrier of its temperature: one setting is the paper's, one lies near
the thermal spinodal (drift), one at a barrier of several T.

The start has exact zeros in all dead weights. The training sets have the second moments of the
population, so that the landscape is the same for all of them and for fresh samples. Every arm on
the training sets has the same twin without noise: the full gradient from there. Because of those
zeros minibatch noise can free nothing, by construction; starts beside the trap, with a small second
strength, show what it does to dead weights that are only nearly dead.
"""

from __future__ import annotations

from collections.abc import Callable

from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.ensemble import Ensemble, Event
from spinodal.dynamics.tasks import Data, draw
from spinodal.dynamics.updates import Stage, Update
from spinodal.protocols.noise_arms_near import plan_near
from spinodal.protocols.noise_arms_reading import read
from spinodal.protocols.noise_arms_records import (
    ARMS,
    ArmName,
    NoiseArmsSettings,
    NoiseSetting,
    Record,
)
from spinodal.protocols.side_by_side import Job, ensemble_job, outcomes, own_seed
from spinodal.theory import modes

__all__ = ["NoiseArmsSettings", "Record", "preset", "run"]

SIDES = {"below": 0.9, "above": 1.1}
"""Noise-free runs start at these fractions of the saddle's amplitude."""


def preset(effort: str) -> NoiseArmsSettings:
    """Settings of the quick or the full reproduction."""
    paper = effort == "paper"
    return NoiseArmsSettings(
        datasets=50 if paper else 16,
        settings=(
            NoiseSetting(
                name="as in the paper",
                weight_decay=0.32,
                learning_rate=0.08,
                batch_size=64,
                steps=160_000 if paper else 8000,
                replicas=200 if paper else 64,
            ),
            NoiseSetting(
                name="single samples",
                weight_decay=0.2,
                learning_rate=0.08,
                batch_size=1,
                steps=48_000 if paper else 12_000,
                replicas=400 if paper else 64,
                isotropic_replicas=400 if paper else 128,
                cool_isotropic=1000,
                cool_frozen=20,
                near_replicas=400 if paper else 128,
            ),
            NoiseSetting(
                name="single samples, smaller steps",
                weight_decay=0.2,
                learning_rate=0.055,
                batch_size=1,
                steps=120_000 if paper else 48_000,
                replicas=400 if paper else 32,
                isotropic_replicas=400 if paper else 256,
                cool_isotropic=12_000,
                cool_frozen=20,
                near_replicas=400 if paper else 128,
            ),
        ),
    )


def run(
    settings: NoiseArmsSettings,
    *,
    seed: int,
    workers: int = 1,
    progress: Callable[[float, str], None] | None = None,
) -> Record:
    """Every arm of every setting; the record does not depend on `workers`."""
    data = [draw(settings.task, seed=seed, dataset=i) for i in range(settings.datasets)]
    jobs: dict[str, Job] = {}
    for one in settings.settings:
        jobs |= plan(settings, one, seed, data)
    return read(settings, seed, data, outcomes(jobs, workers=workers, progress=progress))


def plan(
    settings: NoiseArmsSettings, one: NoiseSetting, seed: int, data: list[Data]
) -> dict[str, Job]:
    """The arms of one setting, each with noise of its own, and their controls."""
    jobs: dict[str, Job] = {}
    for name in ARMS:
        noisy = arm(settings, one, name)
        replicas = (name == "isotropic" and one.isotropic_replicas) or one.replicas
        cool = {"isotropic": one.cool_isotropic, "frozen at rank 2": one.cool_frozen}.get(name)
        for part, ensemble in (("noise", noisy), ("cooled", cooled(settings, noisy, cool))):
            if ensemble is not None:
                jobs[f"{one.name}, {name}, {part}"] = ensemble_job(
                    ensemble,
                    seed=own_seed(seed, "noise arms", one.name, name, part),
                    replicas=replicas,
                    data=None if name == "fresh" else data,
                )
    quiet = arm(settings, one, "isotropic").noise_off.twin(steps=settings.steps_without_noise)
    jobs[f"{one.name}, noise off"] = ensemble_job(
        quiet, seed=seed, replicas=settings.datasets, data=data
    )
    saddle = float(modes.saddle(**settings.mode(one)))
    for side, factor in SIDES.items():
        near = (settings.learned(one)[0], saddle * factor**settings.network.depth)
        jobs[f"{one.name}, {side} the saddle"] = ensemble_job(
            quiet.twin(
                task=settings.population,
                update=quiet.update.model_copy(update={"sampling": "population"}),
                start=Start(kind="balanced", strengths=near),
                events=(),
            ),
            seed=seed,
            replicas=1,
        )
    return jobs | plan_near(settings, one, seed, data, arm(settings, one, "minibatch"))


def arm(settings: NoiseArmsSettings, one: NoiseSetting, name: ArmName) -> Ensemble:
    """The trap of one setting under one noise."""
    plain = {"learning_rate": one.learning_rate, "weight_decay": one.weight_decay}
    first, second = settings.learned(one)
    noise: dict[ArmName, dict[str, object]] = {
        "minibatch": {"sampling": "replacement", "batch_size": one.batch_size},
        "fresh": {"sampling": "fresh", "batch_size": one.batch_size},
        "isotropic": {"sampling": "full", "temperature": settings.temperature(one)},
        "local": {"sampling": "full", "gaussian": "local", "batch_size": one.batch_size},
    }
    for rank, strengths in ((1, (first,)), (2, (first, second))):
        noise["frozen at rank 1" if rank == 1 else "frozen at rank 2"] = {
            "sampling": "full",
            "gaussian": "frozen",
            "frozen_strengths": strengths,
            "batch_size": one.batch_size,
        }
    lost = float(
        modes.saddle(
            depth=settings.network.depth,
            signal=settings.signals[0],
            weight_decay=one.weight_decay,
        )
    )
    events = [Event(mode=2, threshold=settings.threshold(one), persistence=2)]
    if name != "isotropic":  # there the first feature is safe, and watching may end at the escape
        events.append(Event(mode=1, threshold=lost, direction="below", persistence=2))
    return Ensemble(
        task=settings.population if name == "fresh" else settings.task,
        network=settings.network,
        update=Update.model_validate(plain | noise[name]),
        start=Start(kind="balanced", strengths=(first,)),
        events=tuple(events),
        steps=one.steps,
        check_every=one.check_every,
        datasets=1 if name == "fresh" else settings.datasets,
    )


def cooled(settings: NoiseArmsSettings, noisy: Ensemble, after: int | None) -> Ensemble | None:
    """The same arm, its noise switched off after so many updates."""
    if after is None:
        return None
    return noisy.twin(
        update=Update.model_validate(
            noisy.update.model_dump() | {"schedule": (_silence(noisy.update, after),)}
        ),
        steps=after + settings.steps_without_noise,
        record_at=(after, after + settings.steps_without_noise),
    )


def _silence(update: Update, after: int) -> Stage:
    """A batch of ever so many samples has no noise."""
    if update.gaussian is None:
        return Stage(at=after, temperature=0.0)
    return Stage(at=after, batch_size=2**40)
