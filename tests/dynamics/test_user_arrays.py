"""The user's own arrays go through the same simulator."""

import numpy as np

from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.ensemble import Ensemble, run
from spinodal.dynamics.tasks import GaussianTask, from_arrays
from spinodal.dynamics.updates import Update
from spinodal.theory import modes


def test_whitened_arrays_end_on_the_learned_point_of_their_own_signal():
    rng = np.random.default_rng(1)
    x = np.linalg.qr(rng.standard_normal((40, 2)))[0] * np.sqrt(40)
    y = x @ np.array([[0.7, 0.0], [0.0, 0.02]])
    ensemble = Ensemble(
        task=GaussianTask(signals=(0.5, 0.5), samples=40),
        update=Update(learning_rate=0.1, weight_decay=0.1, sampling="full"),
        start=Start(kind="balanced", strengths=(0.6,)),
        steps=2000,
        check_every=100,
    )
    out = run(ensemble, seed=1, replicas=2, data=[from_arrays(x, y)])
    expected = modes.learned(depth=3, signal=0.7, weight_decay=0.1)
    np.testing.assert_allclose(out.strengths[:, 0], expected, rtol=1e-10)
    assert (out.strengths[:, 1] == 0).all()
