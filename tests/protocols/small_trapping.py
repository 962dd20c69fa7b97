"""A small figure 1a: every part runs, in seconds."""

from spinodal.dynamics.networks import Network
from spinodal.protocols.charity import CharitySettings
from spinodal.protocols.initialisation import BasinSettings
from spinodal.protocols.langevin_stages import LangevinSettings
from spinodal.protocols.minibatch_traps import Arm, MinibatchSettings
from spinodal.protocols.residual_ladder import LadderSettings
from spinodal.protocols.trapping import TrappingSettings

NARROW = Network(depth=3, width=4)


def arm(start, weight_decay: float, epochs: int = 40) -> Arm:
    """One short arm."""
    return Arm(start=start, weight_decay=weight_decay, epochs=epochs, twin_epochs=epochs)


TRAPS = MinibatchSettings(
    network=NARROW,
    samples=256,
    datasets=3,
    trajectories=8,
    arms=tuple(arm(s, b) for b in (0.32, 0.03) for s in ("random", "rank 1", "trivial")),
)
LADDER = LadderSettings(
    rank_one=(0.1, 1e-2, 1e-4, 1e-9, 0.0), trivial=(0.1, 1e-2, 1e-4, 1e-9, 0.0), epochs=60
)
LANGEVIN = LangevinSettings(
    network=Network(depth=3, width=2), signals=(0.9, 0.8), anchor=0, fraction=0.7, learning_rate=0.2,
    replicas=12, rank_one_replicas=12, extra=4, rank_one_steps=1500, trivial_steps=1500,
    first_steps=600, second_window=800, random_steps=100, twin_steps=200, thermal_steps=100,
)  # fmt: skip
SMALL = TrappingSettings(
    minibatch=TRAPS,
    ladder=LADDER,
    langevin=LANGEVIN,
    langevin_paper=LANGEVIN.model_copy(update={"name": "second", "keep_paths": False}),
    basins=BasinSettings(network=NARROW, scales=(0.2, 1.0), starts=20, steps=300),
    charity=CharitySettings(
        residuals=(0.1, 1e-4, 1e-9), variant_epochs=20, sparse_epochs=300, sparse_datasets=3,
        noisy_replicas=2, noisy_epochs=100,
    ),
)  # fmt: skip
