"""The order of training examples: golden, and uniform where TensorFlow's own index shuffle is not."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from identities import ids

import tfinput
from tfinput.sampling import order, seeds

GOLDEN = {
    0: [[3, 2, 0, 5, 9, 7, 6, 4, 8, 1], [7, 2, 8, 0, 3, 5, 9, 6, 4, 1], [0, 8, 1, 9, 6, 7, 3, 2, 4, 5]],
    1: [[7, 5, 4, 0, 6, 2, 1, 3, 8, 9], [3, 4, 6, 5, 9, 8, 0, 1, 7, 2], [7, 0, 1, 2, 3, 8, 6, 5, 9, 4]],
    -(2**40): [[5, 1, 3, 0, 8, 4, 9, 6, 7, 2], [2, 5, 4, 6, 7, 9, 0, 8, 1, 3], [1, 3, 6, 7, 2, 9, 4, 5, 0, 8]],
}


@pytest.mark.floor
@pytest.mark.parametrize("seed", GOLDEN)
def test_golden_orders(seed: int) -> None:
    """These orders are a promise: a release that changes them must say so."""
    feed = tfinput.from_arrays(np.arange(10), batch_size=10, seed=seed)
    assert ids(feed.repeated, 3) == GOLDEN[seed]


def ours(size: int, seed: int, epochs: range) -> np.ndarray[Any, Any]:
    """The permutations of a few epochs, as rows."""
    stream = order.stream(order.Members(size), size, seed, True, epochs.start, 0)
    return np.stack(list(itertools.islice(stream.as_numpy_iterator(), len(epochs))))


def raw_index_shuffle(size: int, seed: int, epochs: range) -> np.ndarray[Any, Any]:
    """What one would write first: TensorFlow's index shuffle with (seed, epoch) as they are."""
    shuffle = tf.random.experimental.index_shuffle

    @tf.function
    def draw(epoch: Any) -> Any:
        return shuffle(tf.range(size, dtype=tf.int64), tf.stack([tf.constant(seed, tf.int64), epoch]), tf.constant(size - 1, tf.int64))

    return np.stack([draw(tf.constant(epoch, tf.int64)).numpy() for epoch in epochs])


def chi_square(observed: np.ndarray[Any, Any], expected: float) -> float:
    """How many standard deviations the chi-square statistic lies from its mean."""
    freedom = observed.size - 1
    return float(((observed - expected) ** 2 / expected).sum() - freedom) / (2 * freedom) ** 0.5


def positions_of_the_first(permutations: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.argmax(permutations == 0, axis=1)


def all_permutations_occur_evenly(permutations: np.ndarray[Any, Any]) -> bool:
    kinds = list(itertools.permutations(range(permutations.shape[1])))
    counted = Counter(map(tuple, permutations.tolist()))
    return chi_square(np.array([counted[kind] for kind in kinds], float), len(permutations) / len(kinds)) < 5


def positions_are_even(permutations: np.ndarray[Any, Any], bins: int) -> bool:
    size = permutations.shape[1]
    counted = np.bincount(positions_of_the_first(permutations) * bins // size, minlength=bins)
    return abs(chi_square(counted.astype(float), len(permutations) / bins)) < 5


def distinct_positions_are_as_many_as_chance_gives(permutations: np.ndarray[Any, Any]) -> bool:
    epochs, size = permutations.shape
    expected = size * (1 - (1 - 1 / size) ** epochs)
    return len(np.unique(positions_of_the_first(permutations))) > 0.95 * expected


def test_all_permutations_of_a_small_set_occur_evenly() -> None:
    assert all_permutations_occur_evenly(ours(5, 0, range(6000)))
    assert not all_permutations_occur_evenly(raw_index_shuffle(5, 0, range(6000)))


def test_every_position_is_as_likely_over_epochs() -> None:
    few = ours(8, 3, range(4000))
    for value in range(8):
        places = np.bincount(np.argmax(few == value, axis=1), minlength=8).astype(float)
        assert abs(chi_square(places, 500)) < 5
    many = ours(1000, 3, range(1000))
    assert positions_are_even(many, 50)
    assert distinct_positions_are_as_many_as_chance_gives(many)
    assert not distinct_positions_are_as_many_as_chance_gives(raw_index_shuffle(1000, 3, range(1000)))


def test_every_position_is_as_likely_over_seeds() -> None:
    rows = np.stack([order.permutation(tf.range(100), seeds.key(seed, "order"), 0).numpy() for seed in range(2000)])
    assert positions_are_even(rows, 20)
    assert distinct_positions_are_as_many_as_chance_gives(rows[:200])


def test_neighbouring_epochs_and_seeds_are_not_alike() -> None:
    rows = ours(1000, 0, range(20))
    for first, second in itertools.pairwise(rows):
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.15
        assert (first == second).sum() < 10


def test_very_large_sets_are_permuted_in_constant_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "MATERIALISED", 50)
    size = 101
    feed = tfinput.from_arrays(np.arange(size), batch_size=7, seed=5)
    batches = ids(feed.repeated, 4 * feed.steps_per_epoch)
    epochs = [list(itertools.chain(*batches[place : place + 15])) for place in range(0, 60, 15)]
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 4
    for start in range(40):
        assert ids(feed.at(step=start).repeated, 5) == batches[start : start + 5]
    split = tfinput.from_arrays(np.arange(200), batch_size=7, validation_split=60, drop_remainder=True)
    seen = list(itertools.chain(*ids(split.train, split.steps_per_epoch)))
    assert len(set(seen)) == 140
    assert not set(seen) & set(split.indices["validation"].tolist())


def test_the_first_element_of_a_very_large_set_takes_many_positions() -> None:
    stream = order._counted(order.Members(60_000), 60_000, seeds.key(0, "order"), 0, 0, chunk=60_000)
    assert distinct_positions_are_as_many_as_chance_gives(np.stack(list(stream.take(200).as_numpy_iterator())))


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 30])
@pytest.mark.parametrize("size", [1, 5, 20])
def test_batches_of_like_lengths_are_the_order_again(size: int, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within windows of two batches of the order, batches are neighbours by length; a short last batch stays the order's own."""
    monkeypatch.setattr(order, "WINDOW", 2)
    lengths = np.random.default_rng(size).integers(0, 9, size)
    drawn = ours(size, 3, range(4))
    made = [order.by_length(tf.constant(each), tf.constant(lengths), batch, 5, epoch).numpy() for epoch, each in enumerate(drawn)]
    again = order.by_length(tf.constant(drawn[0]), tf.constant(lengths), batch, 5, 0).numpy()
    assert again.tolist() == made[0].tolist()
    whole = size // batch * batch
    for before, after in zip(drawn, made, strict=True):
        assert after[whole:].tolist() == before[whole:].tolist()
        expected = []
        for start in range(0, whole, 2 * batch):
            window = before[:whole][start : start + 2 * batch]
            expected += window[np.argsort(lengths[window], kind="stable")].reshape(-1, batch).tolist()
        assert sorted(after[:whole].reshape(-1, batch).tolist()) == sorted(expected)


def test_batches_of_like_lengths_come_in_any_order() -> None:
    members, lengths = tf.range(6), tf.constant([0, 0, 1, 1, 2, 2], tf.int64)
    firsts = Counter(int(order.by_length(members, lengths, 2, 0, epoch)[0]) for epoch in range(300))
    assert set(firsts) == {0, 2, 4}
    assert max(firsts.values()) < 140
