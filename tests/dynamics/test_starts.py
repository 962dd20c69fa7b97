"""Starts: zeros with jitter, and checkpoints that come and go as plain array files."""

import io
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from spinodal.dynamics import checkpoints, files
from spinodal.dynamics.checkpoints import Start, load_checkpoint, prepare, save_checkpoint
from spinodal.dynamics.networks import Network, strengths
from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.dynamics.updates import Update
from spinodal.errors import DamagedFileError, InputError

DATA = draw(GaussianTask(signals=(0.9, 0.8)), seed=1, dataset=0)
UPDATE = Update(learning_rate=0.1, weight_decay=0.1, sampling="population")


def prepared(start, network, replicas=range(3)):
    data = DATA.with_constant_input() if network.biases else DATA
    of = np.zeros(len(replicas), dtype=int)
    return prepare(start, network, UPDATE, [data], of, seed=2, replicas=replicas)[0]


@pytest.mark.parametrize("biases", [False, True])
def test_zeros_are_zero_but_for_the_constant_units(biases):
    layers = prepared(Start(kind="zeros"), Network(width=3, biases=biases))
    assert sum(layer.sum() for layer in layers) == (6 if biases else 0)


def test_jitter_is_the_standard_deviation_of_the_weights():
    layers = prepared(Start(kind="zeros", jitter=0.01), Network(width=10), range(300))
    values = np.concatenate([layer.ravel() for layer in layers])
    assert abs(values.var() / 1e-4 - 1) * np.sqrt(values.size / 2) < 4


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_saved_checkpoint_is_the_start_of_another_run(tmp_path, biases, precision):
    network = Network(width=4, widths=(4, 3), biases=biases, precision=precision)
    layers = network.initial(2, 2, seed=3, replicas=range(2))
    if biases:
        layers[0][:4, -1] = 0.25
    path = tmp_path / "checkpoint.npz"
    save_checkpoint(path, layers, biases=biases)
    found = prepared(Start(kind="checkpoint", path=str(path)), network, range(5))
    for mine, theirs in zip(layers, found, strict=True):
        np.testing.assert_array_equal(theirs, mine[..., [0, 1, 0, 1, 0]])
        assert theirs.dtype == precision


def test_one_network_without_a_replica_axis_starts_them_all(tmp_path):
    path = tmp_path / "one.npz"
    one = {"layer_1": np.ones((3, 2)), "layer_2": np.full((2, 3), 2.0)}
    np.savez(path, allow_pickle=False, **one)
    layers = load_checkpoint(path, [(3, 2), (2, 3)], replicas=range(4))
    assert [layer.shape for layer in layers] == [(3, 2, 4), (2, 3, 4)]
    assert (layers[1] == 2).all()


def test_a_file_that_changed_is_refused(tmp_path):
    path = tmp_path / "checkpoint.npz"
    network = Network(width=3)
    save_checkpoint(path, network.initial(2, 2, seed=1, replicas=range(1)))
    start = Start(kind="checkpoint", path=str(path))
    assert len(start.sha256) == 64
    assert Start.model_validate(start.model_dump()) == start
    save_checkpoint(path, network.initial(2, 2, seed=2, replicas=range(1)))
    assert Start(kind="checkpoint", path=str(path)).digest != start.digest
    with pytest.raises(ValueError, match="has changed since"):
        prepared(start, network)


def pickled():
    array = np.array([{"not": "a number"}], dtype=object)
    packed = io.BytesIO()
    np.savez(packed, layer_1=array)
    return packed.getvalue()


def bomb():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("layer_1.npy", "w", force_zip64=True) as entry:
            for _ in range(1100):
                entry.write(bytes(2**20))
    return packed.getvalue()


@pytest.mark.parametrize("content", [b"", b"PK nonsense", pickled(), bomb()])
def test_a_file_that_is_no_plain_arrays_is_damaged(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"bad\.npz"):
        load_checkpoint(path, [(3, 2), (2, 3)])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"layer_1": np.ones((3, 2))}, "depth 2 without biases has layer_1, layer_2"),
        ({"layer_1": np.ones((3, 2)), "layer_2": np.ones((3, 2))}, r"the network needs \(2, 3\)"),
        ({"layer_1": np.ones((3, 2)), "layer_2": np.full((2, 3), np.nan)}, "finite real"),
        ({"layer_1": np.ones((3, 2)), "layer_2": np.ones((2, 3, 0))}, "has shape"),
    ],
)
def test_checkpoints_of_other_networks_are_refused(tmp_path, arrays, message):
    path = tmp_path / "other.npz"
    np.savez(path, allow_pickle=False, **arrays)
    with pytest.raises(InputError, match=message):
        load_checkpoint(path, [(3, 2), (2, 3)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "checkpoint"}, "needs its path"),
        ({"kind": "checkpoint", "path": "/nowhere/at/all.npz"}, "cannot be read"),
        ({"kind": "random", "jitter": 0.1}, "jitter belongs to a start from zeros"),
    ],
)
def test_starts_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Start.model_validate(settings)


def test_threads_prepare_traps_side_by_side(monkeypatch):
    of, network = np.zeros(1, dtype=int), Network(depth=2, width=2)
    layers = network.initial(2, 2, seed=1, replicas=range(1))
    monkeypatch.setattr(checkpoints, "_PREPARED", {})
    monkeypatch.setattr(checkpoints, "_anneal", lambda *_: (layers, np.zeros(1)))

    def prepare_some(_):
        for seed in range(300):  # more than are kept, so that they push each other out
            start = Start(kind="trap", rank=1)
            prepare(start, network, UPDATE, [DATA], of, seed=seed % 20, replicas=range(1))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(prepare_some, range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert len(checkpoints._PREPARED) <= checkpoints.KEPT


def test_a_trap_is_returned_even_if_others_push_it_out_at_once(monkeypatch):
    class Forgetful(dict):
        def __setitem__(self, key, value):
            pass

    monkeypatch.setattr(checkpoints, "_PREPARED", Forgetful())
    layers = prepared(Start(kind="trap", rank=1), Network(depth=2, width=2), range(1))
    assert strengths(layers)[1, 0] <= 1e-9


def test_a_checkpoint_that_could_not_be_read_again_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LARGEST_FILE", 10_000)
    path, network = tmp_path / "checkpoint.npz", Network(width=8)
    with pytest.raises(InputError, match=r"would have 1[\d,]+ bytes, but files of at most 10,000"):
        save_checkpoint(path, network.initial(2, 2, seed=1, replicas=range(20)))
    assert not path.exists()
    save_checkpoint(path, network.initial(2, 2, seed=1, replicas=range(10)))
    load_checkpoint(path, network.shapes(2, 2))


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_starts_beyond_all_numbers_are_named(tmp_path, precision):
    network = Network(depth=2, width=3, precision=precision)
    with pytest.raises(InputError, match=r"strengths \(1e\+300,\) are too large"):
        prepared(Start(kind="balanced", strengths=(1e300,)), network)
    path = tmp_path / "large.npz"
    large = {"layer_1": np.full((3, 2), 1e200), "layer_2": np.full((2, 3), 1e200)}
    np.savez(path, allow_pickle=False, **large)
    with pytest.raises(InputError, match=r"weights in .*large\.npz are too large"):
        prepared(Start(kind="checkpoint", path=str(path)), network)
