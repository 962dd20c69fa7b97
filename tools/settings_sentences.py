"""One sentence for every key of a settings file whose model does not describe it itself."""

from __future__ import annotations

SENTENCES: dict[str, dict[str, str]] = {
    "GaussianTask": {
        "kind": "Says that x and y are jointly Gaussian with zero mean; may be left out.",
        "signals": "Singular values of the covariance of outputs with inputs, each at least 0.",
        "inputs": "Number of inputs; without it as many as there are signals.",
        "outputs": "Number of outputs; without it as many as there are signals.",
        "input_covariance": "Covariance matrix of the inputs, row by row; without it the identity.",
        "output_covariance": "Covariance matrix of the outputs; without it the identity.",
        "random_frames": "Turn the singular vectors at random, anew for every data set.",
        "samples": "Training samples drawn for each data set; without it the population itself, "
        "whose moments are exact.",
        "pool": "Draw the samples without replacement from a pool of this many.",
        "test_samples": "Held-out samples; without it the test error is that on the population, "
        "for a linear network with squared error.",
        "empirical_signals": "Singular values that the training samples themselves shall have.",
    },
    "ClassTask": {
        "kind": "Says that the samples are Gaussian classes around the corners of a simplex.",
        "classes": "Number of equally likely classes, which is the number of outputs.",
        "inputs": "Number of inputs, at least classes - 1; further ones hold noise only.",
        "separation": "Distance of two centres, in standard deviations of a class.",
        "samples": "Training samples drawn for each data set.",
        "test_samples": "Held-out samples drawn for each data set.",
    },
    "ArraysTask": {
        "kind": "Says that the samples are arrays of your own.",
        "path": "A file written by `numpy.savez`: x (samples, inputs), y (samples, outputs) or a "
        "vector of integer class numbers, and optionally x_test and y_test.",
        "sha256": "Checksum that the file must have; filled in when left out.",
    },
    "Network": {
        "depth": "Number of layers of weights.",
        "width": "Units of every hidden layer.",
        "widths": "Units of each hidden layer, depth - 1 numbers, where they differ.",
        "activation": "What follows every layer but the last; identity is a linear network.",
        "biases": "Give every layer a bias, to which the weight decay applies as well.",
        "precision": "Floating-point type of the weights.",
    },
    "Update": {
        "learning_rate": "Step size; time is learning_rate * steps.",
        "weight_decay": "Coefficient beta of (beta / 2) times the sum of all squared weights.",
        "sampling": "Where the gradient comes from: a new order every epoch, independent draws, "
        "new samples of the population, their moments drawn directly, the whole training set, or "
        "the exact gradient.",
        "batch_size": "Samples in a batch; needed where batches are drawn and with gaussian.",
        "drop_last": "Leave out the incomplete batch at the end of an epoch.",
        "temperature": "Langevin noise T: every weight gets sqrt(2 T learning_rate) times a "
        "standard normal number at every update.",
        "gaussian": "Gaussian gradient noise with the covariance of a batch, taken where the "
        "network is or at frozen_strengths, in place of batches.",
        "frozen_strengths": "Strengths of the balanced network at which gaussian = \"frozen\" "
        "takes its covariance.",
        "label_noise": "Standard deviation of fresh Gaussian noise on every target at every use.",
        "loss": "1/2 ||y - f||^2, or the cross-entropy of softmax(f) with y.",
        "optimizer": "What is made of the gradient, as in torch.optim; adamw decouples the weight "
        "decay.",
        "momentum": "Coefficient of momentum, and the first of Adam.",
        "second_momentum": "Second coefficient of Adam.",
        "epsilon": "Added to the denominator of Adam.",
        "schedule": "The stages of the next table, in order.",
    },
    "Stage": {
        "at": "Number of the update from which on this stage holds; stages ascend.",
        "learning_rate": "New learning rate; left out, the one before stays.",
        "batch_size": "New batch size; left out, the one before stays.",
        "weight_decay": "New weight decay; left out, the one before stays.",
        "temperature": "New temperature; left out, the one before stays.",
    },
    "Start": {
        "kind": "Random weights, all zero, a trap made by annealing, layers that share strengths "
        "equally, or the weights in a file; traps and balanced starts are linear networks.",
        "rank": "Features that a trap keeps.",
        "strengths": "Strengths of a balanced start, strongest first; those left out are zero.",
        "jitter": "Standard deviation of Gaussian weights added to a start from zeros.",
        "path": "The file of a checkpoint, as `save_checkpoint` writes it.",
        "sha256": "Checksum that the file must have; filled in when left out.",
        "residual": "A trap is ready once the first lost strength is below this; 0 sets it to "
        "exactly zero.",
        "ladder_start": "First weight decay on the way to a trap.",
        "ladder_step": "By how much the weight decay rises from rung to rung.",
        "rung_steps": "Updates on every rung.",
        "alive": "A feature counts as alive above this strength.",
        "learning_rate": "Learning rate while a trap is prepared.",
        "ladder_down": "Return to the weight decay of [update] step by step, not at once.",
    },
    "Event": {
        "observable": "What is watched: a strength, or the test error.",
        "mode": "Number of the strength, 1 being the strongest.",
        "threshold": "The value beyond which a replica has escaped; \"midpoint\", for the test "
        "error, is halfway between the error at the start and that with every feature learned.",
        "direction": "Side of the threshold that is the escaped one.",
        "persistence": "Successive looks that must find the replica there; it is dated at the "
        "first of them.",
    },
    "RunSettings": {
        "replicas": "Number of independent copies.",
        "steps": "The horizon: updates after which a replica that has not escaped is censored.",
        "check_every": "Updates between two looks.",
        "datasets": "Number of data sets; replica i trains on number i modulo this.",
        "seed": "The one integer from which all random numbers follow.",
        "confidence": "Coverage of the interval.",
        "stop_after_events": "Stop all replicas at this escape; with one data set the interval is "
        "then exact.",
        "rank_above": "Strength beyond which a feature counts in from_rank and to_rank; without "
        "it the threshold of the first strength event, or 0.1.",
        "record_every": "Record trajectories every so many updates, a multiple of check_every.",
        "record_per_decade": "Record so many logarithmically spaced updates a decade instead.",
        "checkpoints": "Keep the weights of every replica.",
    },
    "RateTable": {
        "method": "The route: waiting, splitting, or the one whose expected cost is lower.",
        "aim": "Relative error at which the costs of both routes are compared.",
        "repetitions": "Independent estimates of splitting; the interval rests on their scatter.",
        "copies": "Trajectories of each repetition.",
        "look_every": "Updates between two looks at which copies may be branched, a divisor of "
        "run.check_every; by default about a fifth of it.",
    },
}  # fmt: skip
"""Class of the settings -> key -> sentence. Field descriptions come first where there are any."""
