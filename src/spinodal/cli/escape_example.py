"""The settings file that `spinodal escape --example` prints."""

EXAMPLE = """\
# Thermal escape of a deep linear network: it has learned the stronger of two features
# and waits for the weaker one. Run it with
#
#   spinodal escape escape.toml
#
# The free energy of this network has a barrier up to the temperature 1.50e-3 (the thermal
# spinodal); here it is at 0.7 of it. The mean first-passage time over that barrier is printed by
#
#   spinodal atlas --depth 3 --width 10 --signals 0.9 0.8 --weight-decay 0.32 --temperature 0.00105
#
# in the column of the signal 0.8. The mean time measured here is about four times as long: the
# theory follows one coordinate, the strength shared equally by the layers, and the network has 140.

[task]                      # what is to be learned
signals = [0.9, 0.8]        # singular values of the covariance of outputs with inputs
# samples = 512             # draw so many training samples; without it: the population itself
# kind = "arrays"           # or your own data: path = "data.npz" with arrays x and y

[network]                   # fully connected
depth = 3                   # layers of weights
width = 10                  # units of every hidden layer
# activation = "identity"   # tanh, sigmoid, softplus, relu, gelu
# biases = false

[update]                    # one training step
learning_rate = 0.1
weight_decay = 0.32
sampling = "population"     # exact gradient; or shuffled, replacement, fresh, full with batch_size
temperature = 0.00105       # Langevin noise sqrt(2 * temperature * learning_rate) on each weight
# optimizer = "sgd"         # momentum, adam, adamw

# [[update.schedule]]       # from update 5000 on, other coefficients
# at = 5000
# learning_rate = 0.05

[start]                     # where training starts
kind = "balanced"           # the stationary state that has learned the first feature ...
strengths = [0.496]         # ... with this singular value; or kind = "random", "trap", "checkpoint"

[event]                     # what counts as an escape; for rivals write [[event]] here and below
observable = "strength"     # a singular value of the end-to-end map, or "test_error"
mode = 2                    # the second one
threshold = 0.2             # beyond the saddle at 0.093, before the minimum at 0.343
# direction = "above"       # or "below", as for a test error
persistence = 2             # confirmed by the next look

[run]
replicas = 64               # independent copies
steps = 200000              # give up after so many updates
check_every = 20            # look every so many updates
stop_after_events = 48      # or all together at this escape: then the interval is exact
seed = 1
"""
