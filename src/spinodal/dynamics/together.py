"""Which settings go together: what a task, a network, an update and a start ask of each other."""

from __future__ import annotations

from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.networks import Network
from spinodal.dynamics.tasks import AnyTask, GaussianTask
from spinodal.dynamics.updates import Update, batches_per_epoch
from spinodal.errors import InputError


def check_together(
    task: AnyTask, network: Network, update: Update, start: Start, own_data: bool = False
) -> None:
    """Refuse, with what to use instead, settings that are fine alone but not together.

    `own_data`: the data sets are the user's own arrays, and `task` only stands in for them.
    """
    _ = network.hidden
    if not own_data:
        network.check_size(*task.shape)
    by_samples = not (network.linear and update.loss == "squared")
    if update.loss == "cross_entropy" and isinstance(task, GaussianTask) and not own_data:
        raise InputError(
            "Cross-entropy needs classes, but a Gaussian task has real numbers as targets: use a "
            "task of kind 'classes' or 'arrays' (with class numbers), or loss 'squared'."
        )
    _check_samples(task, update, by_samples, own_data)
    _check_sampling(task, network, update, by_samples, own_data)
    if update.gaussian == "frozen":
        if by_samples or network.biases:
            raise InputError(
                "The frozen covariance is that of a balanced linear network without biases, got "
                f"activation '{network.activation}', loss '{update.loss}' and biases "
                f"{network.biases}: use gaussian = 'local'."
            )
        _check_strengths(task, network, update.frozen_strengths, own_data)
    if update.gaussian is not None and isinstance(task, GaussianTask) and not own_data:
        task.check_possible(f"Gaussian noise '{update.gaussian}'")
    if start.kind in ("trap", "balanced") and by_samples:
        raise InputError(
            f"A start of kind '{start.kind}' is prepared for linear networks and the squared loss, "
            f"got activation '{network.activation}' and loss '{update.loss}': use kind 'random', "
            "'zeros' or 'checkpoint'."
        )
    if start.kind == "balanced":
        if network.biases:
            raise InputError("Balanced starts have no biases: set biases = false.")
        _check_strengths(task, network, start.strengths, own_data)


def noise_off(network: Network, update: Update) -> Update:
    """The noise-off twin of an update: exact gradients of the same loss, no noise of any kind.

    Networks that are run sample by sample have no population gradient; theirs is that of all
    training samples.
    """
    quiet = update.noiseless
    if network.linear and update.loss == "squared":
        return quiet
    return quiet.model_copy(update={"sampling": "full"})


def _check_samples(task: AnyTask, update: Update, by_samples: bool, own_data: bool) -> None:
    """Is there a training set where one is needed, and does a batch fit into it?"""
    if own_data:
        return
    if task.samples is None and update.sampling in ("shuffled", "replacement", "full"):
        raise InputError(
            f"Sampling '{update.sampling}' needs a training set: give the task samples, "
            "or use sampling 'population', 'fresh' or 'wishart'."
        )
    if by_samples and isinstance(task, GaussianTask):
        if task.samples is None:
            raise InputError(
                "A nonlinear network is observed on a training set, also where it learns from "
                "fresh samples: give the task samples, or use activation 'identity'."
            )
        if task.test_samples is None:
            raise InputError(
                "The test error of a nonlinear network has no closed form: give the task "
                "test_samples (1000, say), or use activation 'identity'."
            )
    if task.samples is not None and update.sampling == "shuffled":
        for size in update.batch_sizes:
            batches_per_epoch(task.samples, size, drop_last=update.drop_last)


def _check_sampling(
    task: AnyTask, network: Network, update: Update, by_samples: bool, own_data: bool
) -> None:
    """Can such batches be drawn for this task and this network?"""
    sampling = update.sampling
    if sampling == "population" and by_samples:
        raise InputError(
            "Sampling 'population' is the exact gradient of a linear network with the squared "
            f"loss, got activation '{network.activation}' and loss '{update.loss}': use sampling "
            "'full' with many samples, or 'fresh'."
        )
    if sampling == "population" and not own_data and not isinstance(task, GaussianTask):
        raise InputError(
            f"A task of kind '{task.kind}' has no exact moments: use sampling 'full' in place of "
            "'population'."
        )
    if sampling not in ("fresh", "wishart"):
        return
    if own_data or not isinstance(task, GaussianTask):
        raise InputError(
            f"Sampling '{sampling}' draws new samples of a Gaussian task, but these data are "
            "finite: use sampling 'replacement' or 'shuffled'."
        )
    if task.random_frames:
        raise InputError(
            f"Sampling '{sampling}' needs a Gaussian task in its diagonal frame: set "
            "random_frames = false, or use sampling 'replacement' or 'shuffled'."
        )
    task.check_possible(f"Sampling '{sampling}'")
    if task.samples is not None and sampling == "wishart":
        raise InputError(
            f"Sampling 'wishart' draws the moments of fresh Gaussian samples, but the task has "
            f"{task.samples} samples of its own: leave samples out of the task, or use sampling "
            "'replacement' or 'shuffled'."
        )
    if sampling == "wishart":
        variables = sum(task.shape)
        if by_samples or network.biases or min(update.batch_sizes) < variables:
            raise InputError(
                "Sampling 'wishart' is for linear networks with the squared loss and without "
                f"biases and for batches of at least inputs + outputs = {variables} samples; got "
                f"activation '{network.activation}', loss '{update.loss}', biases "
                f"{network.biases} and batch sizes {update.batch_sizes}: use sampling 'fresh'."
            )


def _check_strengths(
    task: AnyTask, network: Network, strengths: tuple[float, ...], own_data: bool
) -> None:
    if own_data:
        return
    room = min(*task.shape, *network.hidden)
    if len(strengths) > room:
        raise InputError(
            f"{len(strengths)} strengths do not fit through layers of widths {network.hidden} "
            f"between {task.shape[1]} inputs and {task.shape[0]} outputs: give at most {room}."
        )
