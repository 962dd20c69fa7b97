"""Streams: what a replica draws depends on its seed, name, number and step, and on nothing else."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from spinodal import seeding
from spinodal.errors import InputError
from spinodal.seeding import Stream

MASK = 2**64 - 1


def philox(counter: int, key: tuple[int, int]) -> list[int]:
    """Philox4x64-10 in plain integers, from its definition (Salmon et al. 2011)."""
    c = [counter >> (64 * i) & MASK for i in range(4)]
    k = list(key)
    for _ in range(10):
        a, b = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [(b >> 64) ^ c[1] ^ k[0], b & MASK, (a >> 64) ^ c[3] ^ k[1], a & MASK]
        k = [(k[0] + 0x9E3779B97F4A7C15) & MASK, (k[1] + 0xBB67AE8584CAA73B) & MASK]
    return c


def test_the_reference_generator_gives_the_published_answer_for_key_and_counter_zero():
    published = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox(0, (0, 0)) == published


@pytest.mark.parametrize(("count", "step"), [(1, 0), (4, 3), (7, 1), (70, 5000), (3, 2**40)])
def test_the_words_of_a_step_are_philox_blocks_at_that_counter(count, step):
    blocks = -(-count // 4)
    digest = hashlib.blake2b(b"7\x1fnoise\x1f11", digest_size=16).digest()
    key = (int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little"))
    expected = [w for b in range(blocks) for w in philox(step * blocks + b + 1, key)][:count]
    assert Stream(7, "noise", [3, 11], count).words(step)[:, 1].tolist() == expected


@given(st.lists(st.integers(0, 200), min_size=1, max_size=12), st.integers(1, 9))
def test_steps_may_be_visited_in_any_order(steps, count):
    stream = Stream(3, "any", range(4), count)
    for step in steps:
        np.testing.assert_array_equal(
            stream.words(step), Stream(3, "any", range(4), count).words(step)
        )


def test_a_replica_draws_the_same_alone_in_company_and_after_others_have_left():
    many = Stream(5, "noise", range(20), 6)
    alone = [Stream(5, "noise", [i], 6) for i in (2, 13)]
    for step in range(3):
        np.testing.assert_array_equal(many.normals(step)[:, 13], alone[1].normals(step)[:, 0])
    many.keep(np.isin(np.arange(20), [2, 13]))
    for step in (*range(3, 6), 900):
        expected = np.hstack([a.normals(step) for a in alone])
        np.testing.assert_array_equal(many.normals(step), expected)


def test_replicas_may_leave_before_anything_is_drawn():
    stream = Stream(5, "noise", range(4), 6)
    stream.keep(np.array([False, True, True, False]))
    expected = Stream(5, "noise", [1, 2], 6).words(0)
    np.testing.assert_array_equal(stream.words(0), expected)


def test_other_seeds_names_and_replicas_give_other_numbers():
    draws = [
        Stream(1, "a", [0], 8).words(0),
        Stream(2, "a", [0], 8).words(0),
        Stream(1, "b", [0], 8).words(0),
        Stream(1, "a", [1], 8).words(0),
        Stream(1, "a", [0], 8).words(1),
    ]
    assert len({draw.tobytes() for draw in draws}) == len(draws)


def test_the_bits_of_the_normals_are_pinned():
    """Only exactly rounded operations are used, so these digits hold on every machine."""
    digest = hashlib.sha256(Stream(42, "golden", range(3), 5).normals(17).tobytes()).hexdigest()
    assert digest[:16] == "b9037e4227ebe8ec"


def test_normals_are_standard_normal_and_independent():
    stream = Stream(11, "noise", range(64), 100)
    z = np.stack([stream.normals(step) for step in range(40)])
    n = z.size
    assert abs(z.mean()) * np.sqrt(n) < 4
    assert abs(z.var() - 1) * np.sqrt(n / 2) < 4
    assert abs((z**4).mean() - 3) * np.sqrt(n / 96) < 4
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    cosine, sine = z[:, :100].ravel(), z[:, 100:].ravel()
    for product in (cosine * sine, (cosine**2 - 1) * (sine**2 - 1) / 2, z[1:] * z[:-1]):
        assert abs(product.mean()) * np.sqrt(product.size) < 4


def test_every_octant_of_the_plane_is_visited_equally():
    stream = Stream(12, "noise", range(64), 200)
    z = np.stack([stream.normals(step) for step in range(20)])
    octant = ((np.arctan2(z[:, 200:], z[:, :200]) + np.pi) // (np.pi / 4)).astype(int) % 8
    assert stats.chisquare(np.bincount(octant.ravel(), minlength=8)).pvalue > 1e-3


def test_the_polynomials_agree_with_the_functions_they_stand_for():
    u = np.concatenate([np.geomspace(2.0**-33, 1, 20_001)[:-1], [2.0**-33, np.sqrt(0.5)]])
    np.testing.assert_allclose(seeding._log(u), np.log(u), rtol=0, atol=1e-12)
    x = np.linspace(0, np.pi / 4, 10_001)
    sine, cosine = seeding._sine_and_cosine(x)
    np.testing.assert_allclose(sine, np.sin(x), rtol=0, atol=1e-11)
    np.testing.assert_allclose(cosine, np.cos(x), rtol=0, atol=1e-11)


def test_all_orders_are_equally_likely():
    words = Stream(4, "order", range(6000), 3).words(0)
    order = seeding.permutations(words)
    assert (np.sort(order, axis=0) == np.arange(3)[:, None]).all()
    counts = np.unique(order.T @ [9, 3, 1], return_counts=True)[1]
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-3


def test_equal_keys_keep_their_order():
    assert seeding.permutations(np.full((5, 1), 9 << 32, dtype=np.uint64))[:, 0].tolist() == [
        *range(5)
    ]


@pytest.mark.parametrize("count", [79, 80])
def test_indices_are_uniform(count):
    drawn = seeding.indices(Stream(4, "with replacement", range(500), 40).words(0), 7, count)
    assert drawn.shape == (count, 500)
    assert stats.chisquare(np.bincount(drawn.ravel(), minlength=7)).pvalue > 1e-3


def test_a_word_gives_two_indices_the_high_half_first():
    word = np.array([[(3 << 62) | (1 << 31)], [(1 << 62) | 5]], dtype=np.uint64)
    assert seeding.indices(word, 8, 3)[:, 0].tolist() == [6, 4, 2]


def test_the_keys_of_a_stream_are_those_it_draws_with():
    table = seeding.keys(7, "noise", [3, 11])
    assert table.shape == (2, 2)
    raw = np.random.Philox(key=table[1]).random_raw(4)
    assert raw.tolist() == Stream(7, "noise", [3, 11], 4).words(0)[:, 1].tolist()


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1", float("nan")])
def test_a_seed_that_is_no_counting_number_is_refused(seed):
    with pytest.raises(InputError, match="integer of at least 0"):
        seeding.generator(seed, "anything")
