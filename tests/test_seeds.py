"""Seeds: every int is one, no two ints are alike, and no global random state is read or moved."""

from __future__ import annotations

import itertools
import random
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from identities import ids

import tfinput
from tfinput.sampling import seeds

# Within each group TensorFlow's own ops draw the same numbers for all seeds.
COLLIDING_IN_TENSORFLOW = [(-1, -(2**31)), (0, 2**31 - 1), (1, 2**31, 2**32 - 1, 2**63 - 1), (2**32, 2**63)]
SEEDS = sorted({*itertools.chain(*COLLIDING_IN_TENSORFLOW), -2, 2, 42, 2**64, 2**64 + 1, -(2**64), 2**127, 2**4000, -(10**1000)})


def served(seed: Any, **options: Any) -> tuple[int, ...]:
    feed = tfinput.from_arrays(np.arange(40), batch_size=40, seed=seed, **options)
    return tuple(ids(feed.repeated, 1)[0])


@pytest.mark.floor
def test_every_int_is_a_seed_and_different_ints_give_different_orders_and_splits() -> None:
    orders = {seed: served(seed) for seed in SEEDS}
    assert len(set(orders.values())) == len(SEEDS)
    assert all(sorted(order) == list(range(40)) for order in orders.values())
    splits = {seed: tuple(tfinput.from_arrays(np.arange(40), seed=seed, validation_split=20).indices["validation"]) for seed in SEEDS}
    assert len(set(splits.values())) == len(SEEDS)


def test_every_int_gives_its_own_augmentation() -> None:
    def draw(x: Any, seed: Any) -> Any:
        return tf.random.stateless_uniform([], seed, dtype=tf.float64)

    drawn = [tuple(next(iter(tfinput.from_arrays(np.arange(3), seed=seed, shuffle=False, augment=draw).train)).numpy()) for seed in SEEDS]
    assert len(set(itertools.chain(*drawn))) == 3 * len(SEEDS)


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint64, np.array])
def test_numpy_integers_are_ints(kind: Any) -> None:
    assert served(kind(7)) == served(7)
    assert tfinput.from_arrays(np.arange(3), seed=kind(7)).seed == 7


def test_none_draws_a_seed_and_shows_it() -> None:
    feeds = [tfinput.from_arrays(np.arange(40), batch_size=40, seed=None) for _ in range(3)]
    assert len({feed.seed for feed in feeds}) == 3
    for feed in feeds:
        assert f"seed={feed.seed})" in repr(feed)
        assert tuple(ids(feed.repeated, 1)[0]) == served(feed.seed)


@pytest.mark.parametrize(
    ("seed", "shown"),
    [
        (True, "True (bool)"),
        (np.True_, "np.True_ (bool)"),
        (1.0, "1.0 (float)"),
        (np.float32(1), "np.float32(1.0) (float32)"),
        ("1", "'1' (str)"),
        ((0, 1), "(0, 1) (tuple)"),
    ],
)
def test_what_is_no_int_is_no_seed(seed: Any, shown: str) -> None:
    with pytest.raises(TypeError) as refused:
        tfinput.from_arrays(np.arange(3), seed=seed)
    assert str(refused.value) == f"tfinput: seed: expected an int or None, got {shown}. Any Python int is a seed; None draws one."


GOLDEN_KEYS = {
    (0, "order"): -3405590509505023250,
    (-1, "order"): -111969789847299191,
    (2**200, "augment", 3): -1582380236610490797,
}
GOLDEN_SCORES = [14851895876740438517, 16477474665680321291, 12917087995028740073, 5923525340891871254, 3674196832836852281]


@pytest.mark.floor
@pytest.mark.parametrize("names", GOLDEN_KEYS)
def test_golden_keys(names: tuple[Any, ...]) -> None:
    """Frozen: runs of an earlier release must repeat."""
    assert seeds.key(*names) == GOLDEN_KEYS[names]


@pytest.mark.floor
def test_golden_scores() -> None:
    """Frozen: splits of an earlier release must repeat."""
    assert seeds.scores(seeds.key(0, "validation_split"), np.arange(5)).tolist() == GOLDEN_SCORES


def splitmix(stream: int, number: int) -> int:
    """The same in Python's integers."""
    z = (number * 0x9E3779B97F4A7C15 + stream) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


@pytest.mark.parametrize("stream", [0, 1, -1, 2**63 - 1, -(2**63)])
def test_scores_are_splitmix_for_every_kind_of_index(stream: int) -> None:
    numbers = [0, 1, 2, 1000, 2**31 - 1]
    expected = [splitmix(stream, number) for number in numbers]
    for dtype in (np.int32, np.int64, np.uint32, np.uint64):
        assert seeds.scores(stream, np.array(numbers, dtype)).tolist() == expected


def test_folding_in_a_graph_is_splitmix_too() -> None:
    stream, epochs, examples = seeds.key(3, "augment"), [0, 1, 5, 2**40], [0, 7, 2**31, 9]
    folded = tf.function(lambda a, b: seeds.fold(stream, a, b))(tf.constant(epochs, tf.int64), tf.constant(examples, tf.int64))
    assert folded.shape == (4, 2)
    assert folded.dtype == tf.int32
    numbers = folded.numpy().view(np.uint64)[:, 0].tolist()
    # The stream starts the sum, and each number is added and mixed in turn.
    expected = [splitmix(splitmix(stream, epoch), example) for epoch, example in zip(epochs, examples, strict=True)]
    assert numbers == expected


def test_folding_repeats_itself_and_differs_over_its_inputs() -> None:
    grid = tf.meshgrid(tf.range(30, dtype=tf.int64), tf.range(40, dtype=tf.int64))
    first, second = (seeds.fold(9, *grid).numpy() for _ in range(2))
    assert np.array_equal(first, second)
    assert len({tuple(pair) for pair in first.reshape(-1, 2).tolist()}) == 1200
    assert not np.array_equal(first, seeds.fold(10, *grid).numpy())
    # (epoch, example) and (example, epoch) are not one place.
    assert not np.array_equal(seeds.fold(9, tf.constant([1]), tf.constant([2])), seeds.fold(9, tf.constant([2]), tf.constant([1])))


def seed_everything(seed: int) -> None:
    keras.utils.clear_session(free_memory=False)  # Keras 3.10 keeps its seed generator otherwise.
    keras.utils.set_random_seed(seed)  # Python's and NumPy's too
    tf.random.set_global_generator(tf.random.Generator.from_seed(seed))


def next_of_every_global_generator() -> list[float]:
    return [
        random.random(),
        float(np.random.rand()),  # noqa: NPY002 - this is the state that must not move
        float(tf.random.uniform([])),
        float(tf.random.get_global_generator().uniform([])),
        float(keras.random.uniform([])),
    ]


def build_and_consume(noise: Any, folder: Any) -> list[Any]:
    """Everything in a feed that draws, as values."""
    feed = tfinput.from_arrays(
        np.arange(30),
        np.arange(30) % 3,
        batch_size=7,
        test_split=0.2,
        stratify=True,
        seed=5,
        preprocess=lambda x, y: (tf.cast(x, tf.float32), y),
        augment=lambda x, y, seed: (x + tf.random.stateless_uniform([], seed), y),
        batch_augment=noise,
        cache=folder,
    )
    fold = feed.kfold(3)[1]
    datasets = [
        feed.repeated.take(2 * feed.steps_per_epoch),
        feed.test,
        feed.at(3, 1).repeated.take(2),
        fold.repeated.take(3),
        fold.validation,
    ]
    return [[batch[0].numpy().tolist() for batch in dataset] for dataset in datasets]


@pytest.mark.floor
@pytest.mark.parametrize("where", ["memory", "folder"])
def test_nothing_reads_or_moves_a_global_random_state(where: str, tmp_path: Any) -> None:
    noise = keras.layers.GaussianNoise(0.5, seed=3)
    seed_everything(1)
    untouched = next_of_every_global_generator()
    seed_everything(1)
    first = build_and_consume(noise, where if where == "memory" else tmp_path / "first")
    assert next_of_every_global_generator() == untouched
    seed_everything(2)
    assert next_of_every_global_generator() != untouched
    second = build_and_consume(noise, where if where == "memory" else tmp_path / "second")
    assert second == first
