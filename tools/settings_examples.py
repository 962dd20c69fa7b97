"""What docs/settings.md says around its tables, and its complete example files."""

from __future__ import annotations

BEFORE = """\
# The settings file

What `spinodal escape FILE.toml` and `spinodal rate FILE.toml` read. Every key there is, in the \
order of the file; a key that \
is not listed is refused, and so are values outside what is allowed. `none` as a default means \
that the key may be left out and is then not in force. Relative paths start where the program \
runs. `spinodal escape --example` prints a commented file, and three more are \
[below](#complete-files). The words are those of [notation.md](notation.md).

Written by `python tools/settings_reference.py` from the models that read the file.

## What is measured

`strength` is a singular value, the strongest first. In a linear network with squared error it is \
that of the end-to-end map W = W_L ... W_1. In every other one, nonlinear or with cross-entropy, \
it is that of the centred cross-covariance of outputs and inputs over the N training samples, \
1/N sum f(x) x^T - (mean f) (mean x)^T: how strongly the outputs follow the inputs linearly. \
Where the samples' inputs have unit covariance and the network is linear both are the same.

`test_error` is 0.5 times the mean, over the held-out samples, of the squared distance between \
output and target, summed over the outputs; with `loss = "cross_entropy"` it is the mean \
cross-entropy in natural units. The price of the weights is not in it. Where nothing is held out \
it is the training error, but for a Gaussian task, a linear network and squared error it is that \
of the population.

`from_rank` and `to_rank` in escapes.csv count the strengths above `run.rank_above`, at the start \
and at the escape: how many features had been learned before and after. A replica that did not \
escape keeps its first number."""

BETWEEN = """\
## Complete files"""

AFTER = """\
## Weights from PyTorch

`torch.nn.Linear` keeps its weight as (outputs, inputs), as a checkpoint does, which has one more \
axis for replicas. For a `torch.nn.Sequential` of linear layers without biases and activations:

```python
from spinodal.dynamics.checkpoints import save_checkpoint

state = model.state_dict()
weights = [state[name].double().numpy() for name in state if name.endswith("weight")]
save_checkpoint("start.npz", [weight[:, :, None] for weight in weights])
```

With biases, and `biases = true` in `[network]`, write the plain arrays:

```python
import numpy as np

state = {name: value.double().numpy() for name, value in model.state_dict().items()}
weights = [state[name] for name in state if name.endswith("weight")]
biases = [state[name] for name in state if name.endswith("bias")]
named = {f"layer_{n}": weight for n, weight in enumerate(weights, 1)}
np.savez("start.npz", **named, **{f"bias_{n}": bias for n, bias in enumerate(biases, 1)})
```

Then `[start]` has `kind = "checkpoint"` and `path = "start.npz"`. What `weight_decay` and time \
mean in PyTorch's terms is in [notation.md](notation.md#in-pytorch)."""

AROUND = (BEFORE, BETWEEN, AFTER)

EXAMPLES = {
    "A sigmoid network under minibatches": """\
[task]
signals = [0.9, 0.8]
samples = 512               # drawn once for each data set
test_samples = 2000

[network]
depth = 3
width = 10
activation = "sigmoid"
biases = true

[update]
learning_rate = 0.05
weight_decay = 1e-4
sampling = "shuffled"
batch_size = 16

[event]
observable = "strength"
mode = 2                    # the second feature is learned ...
threshold = 0.2             # ... once the outputs follow the inputs so strongly
persistence = 2

[run]
replicas = 64
steps = 100000
check_every = 50
datasets = 8                # replica i trains on data set i modulo 8
""",
    "Classes with cross-entropy and Adam": """\
[task]
kind = "classes"
classes = 3
inputs = 5
separation = 3.0
samples = 300

[network]
depth = 2
width = 16
activation = "relu"

[update]
learning_rate = 0.002
weight_decay = 1e-4
sampling = "replacement"
batch_size = 32
loss = "cross_entropy"
optimizer = "adam"

[[update.schedule]]
at = 5000
learning_rate = 0.0005

[event]
observable = "test_error"   # the mean cross-entropy of the held-out samples
threshold = 0.4
direction = "below"

[run]
replicas = 32
steps = 20000
check_every = 20
""",
    "Your own data": """\
[task]
kind = "arrays"
path = "data.npz"           # numpy.savez("data.npz", x=x, y=y, x_test=x_test, y_test=y_test)

[network]
depth = 3
width = 20
activation = "tanh"
biases = true

[update]
learning_rate = 0.05
weight_decay = 1e-3
sampling = "shuffled"
batch_size = 32

[event]
observable = "test_error"
threshold = 0.25            # half the mean squared distance, summed over the outputs
direction = "below"

[run]
replicas = 16
steps = 50000
check_every = 100
record_per_decade = 10      # trajectories beside the escape times
""",
}
"""Title -> text of a settings file, complete."""
