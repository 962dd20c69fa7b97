"""The settings file that `spinodal rate --example` prints."""

EXAMPLE = """\
# An escape too rare to wait for: a deep linear network that has learned nothing, at half of its
# thermal spinodal. Run it with
#
#   spinodal rate rate.toml
#
# The sections are those of `spinodal escape`; [rate] says by which route the rate is found. With
# method = "auto" a small pilot tells how long the waiting would be, here some 3e7 updates for every
# single escape, and what splitting costs.

[task]                      # what is to be learned
signals = [0.9, 0.8]        # singular values of the covariance of outputs with inputs

[network]                   # fully connected
depth = 3                   # layers of weights
width = 10                  # units of every hidden layer

[update]                    # one training step
learning_rate = 0.2
weight_decay = 0.32
sampling = "population"     # exact gradient, and ...
temperature = 0.00052       # ... Langevin noise sqrt(2 * temperature * learning_rate)

[start]
kind = "balanced"           # nothing is learned yet
strengths = []

[event]                     # exactly one for splitting
mode = 1                    # the stronger feature
threshold = 0.496           # has been learned, well beyond the saddle at 0.054

[run]                       # how waiting would be done, should it be cheaper
replicas = 64
steps = 100000
check_every = 20            # look every so many updates, on both routes
seed = 1

[rate]
method = "auto"             # or "brute_force", "splitting"
aim = 0.1                   # relative error at which the costs of both are compared
repetitions = 20            # independent estimates; the interval rests on their scatter
copies = 256                # trajectories of each
"""
