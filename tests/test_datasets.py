"""A user's `tf.data.Dataset`: every example once an epoch, each pass held to the count, and what it does inside told at the call."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from identities import ids

import tfinput
from tfinput.sources.datasets import hazards

Dataset = tf.data.Dataset
GOLDEN = [[9, 0, 2, 10, 8, 6, 1, 11, 5, 4, 3, 7], [2, 6, 9, 3, 7, 4, 0, 1, 10, 11, 5, 8]]


@pytest.fixture(autouse=True)
def no_global_seed() -> None:
    """A seed that another test set makes what has none of its own look seeded."""
    tf.random.set_seed(None)


def numbered(size: int) -> Any:
    return Dataset.range(size).map(lambda x: (x, x % 3))


def generated(size: int) -> Any:
    """The same, of unknown size."""
    spec = (tf.TensorSpec((), tf.int64), tf.TensorSpec((), tf.int64))
    return Dataset.from_generator(lambda: ((number, number % 3) for number in range(size)), output_signature=spec)


def failing(size: int, at: int) -> Any:
    def check(x: Any) -> Any:
        with tf.control_dependencies([tf.debugging.assert_none_equal(x, tf.constant(at, tf.int64), message="a bad one")]):
            return tf.identity(x)

    return Dataset.range(size).map(check)


def keep(seen: list[int], batches: Iterable[Any]) -> None:
    """Read batches, and note which examples came before an error."""
    for batch in batches:
        seen += tf.nest.flatten(batch)[0].numpy().tolist()


def flat(batches: list[list[int]]) -> list[int]:
    return list(itertools.chain(*batches))


@pytest.mark.parametrize(("make", "size", "window"), [(numbered, 1, None), (generated, 9, None), (numbered, 40, 7)])
def test_every_example_comes_once_an_epoch_in_an_order_that_any_point_can_be_found_in(make: Any, size: int, window: Any) -> None:
    feed = tfinput.from_dataset(make(size), batch_size=4, shuffle_window=window)
    steps = feed.steps_per_epoch
    train = ids(feed.repeated, 3 * steps)
    for epoch in range(3):
        assert sorted(flat(train[epoch * steps : (epoch + 1) * steps])) == list(range(size))
    for step in {1, steps + steps // 2}:
        assert ids(feed.at(step=step).repeated, 2) == train[step : step + 2]
    assert feed.repeated.cardinality() == tf.data.INFINITE_CARDINALITY
    assert size == 1 or train[:steps] != train[steps : 2 * steps]
    for batch, calls in ((1, 3), (size, tf.data.AUTOTUNE)):
        other = tfinput.from_dataset(make(size), batch_size=batch, shuffle_window=window, num_parallel_calls=calls)
        assert flat(ids(other.repeated, 2 * other.steps_per_epoch)) == flat(train[: 2 * steps])


def test_the_order_is_frozen_and_follows_the_seed_alone() -> None:
    assert ids(tfinput.from_dataset(numbered(12), batch_size=12).repeated, 2) == GOLDEN
    assert len({tuple(flat(ids(tfinput.from_dataset(numbered(12), seed=seed).repeated, 1))) for seed in range(3)}) == 3
    unshuffled = tfinput.from_dataset(numbered(12), batch_size=5, shuffle=False)
    assert flat(ids(unshuffled.repeated, 6)) == 2 * list(range(12))


def test_a_dropped_remainder_changes_and_shapes_are_static() -> None:
    feed = tfinput.from_dataset(numbered(10), batch_size=4, drop_remainder=True)
    train = ids(feed.repeated, 10)
    left = [set(range(10)) - set(flat(train[step : step + 2])) for step in range(0, 10, 2)]
    assert all(len(each) == 2 for each in left)
    assert len(set(map(frozenset, left))) > 1
    assert feed.element_spec[0].shape == (4,)


@pytest.mark.parametrize("size", [20, 300])
def test_splits_are_disjoint_complete_and_served_in_order(size: int) -> None:
    feed = tfinput.from_dataset(numbered(size), batch_size=8, validation_split=0.3)
    held = flat(ids(feed.validation))
    assert held == sorted(held) == feed.indices["validation"].tolist()
    assert held == flat(ids(feed.validation))
    assert feed.validation.cardinality() == feed.validation_steps == len(ids(feed.validation))
    train, steps = ids(feed.repeated, 2 * feed.steps_per_epoch), feed.steps_per_epoch
    assert sorted(flat(train[:steps]) + held) == sorted(flat(train[steps:]) + held) == list(range(size))


def test_examples_added_at_the_end_move_none_to_another_split() -> None:
    before, after = (set(tfinput.from_dataset(numbered(size), validation_split=0.3).indices["validation"].tolist()) for size in (200, 300))
    assert 40 < len(before) < 80
    assert {number for number in after if number < 200} == before


def test_stratified_splits_keep_the_shares() -> None:
    feed = tfinput.from_dataset(generated(60), validation_split=12, stratify=True)
    assert np.bincount(feed.indices["validation"] % 3).tolist() == [4, 4, 4]


def test_augmentation_resumes_bit_for_bit_and_does_not_depend_on_the_batch() -> None:
    def augment(x: Any, y: Any, seed: Any) -> Any:
        return tf.cast(x, tf.float64) + tf.random.stateless_uniform((), seed, dtype=tf.float64), y

    def noise(feed: Any, count: int) -> list[list[float]]:
        return [batch[0].numpy().tolist() for batch in itertools.islice(feed.repeated, count)]

    feed = tfinput.from_dataset(numbered(31), batch_size=7, augment=augment, shuffle_window=10)
    whole = noise(feed, 15)
    assert [noise(feed.at(step=step), 2) for step in (1, 12)] == [whole[step : step + 2] for step in (1, 12)]
    assert flat(noise(tfinput.from_dataset(numbered(31), batch_size=1, augment=augment, shuffle_window=10), 62)) == flat(whole)[:62]


def test_evaluate_equals_numpy_and_fit_runs_whole_epochs() -> None:
    x = np.random.default_rng(0).random((43, 3)).astype("float32")
    y = x.sum(1, keepdims=True)
    data = Dataset.from_tensor_slices((x, y))
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    for batch in (8, 50):
        feed = tfinput.from_dataset(data, batch_size=batch, validation_data=Dataset.from_tensor_slices((x[:21], y[:21])))
        expected = np.mean((model.predict(x[:21], verbose=0) - y[:21]) ** 2)
        assert model.evaluate(**feed.evaluate_args(), verbose=0) == pytest.approx(expected, rel=1e-5)
    before = int(model.optimizer.iterations)
    model.fit(**feed.at(0).fit_args(), epochs=3, verbose=0)
    assert int(model.optimizer.iterations) - before == 3


def test_batches_are_taken_apart() -> None:
    expected = ids(tfinput.from_dataset(numbered(50), batch_size=8).repeated, 14)
    for batched in (numbered(50).batch(7), numbered(50).batch(10, drop_remainder=True), numbered(50).padded_batch(6).prefetch(2)):
        assert ids(tfinput.from_dataset(batched, batched=True, batch_size=8).repeated, 14) == expected
    held = tfinput.from_dataset(numbered(50).batch(7), batched=True, validation_data=numbered(9).batch(4))
    assert flat(ids(held.validation)) == list(range(9))


def test_what_only_looks_like_batches_is_taken_whole() -> None:
    sequences = Dataset.range(40).batch(4, drop_remainder=True).map(lambda part: (part[:-1], part[1:]))
    with pytest.raises(ValueError, match=r"expected single examples, got what looks like batches: .*\(3,\).* batched=False if each is one"):
        tfinput.from_dataset(sequences)
    feed = tfinput.from_dataset(sequences, batched=False, batch_size=3)
    starts = [row[0] for batch in ids(feed.train, feed.steps_per_epoch) for row in batch]
    assert sorted(starts) == list(range(0, 40, 4))
    tfinput.from_dataset(Dataset.from_tensor_slices((np.zeros((6, 4)), np.zeros((6, 4)))))
    tfinput.from_dataset(Dataset.range(12).window(3, drop_remainder=True).flat_map(lambda part: part.batch(3)))


def test_an_unknown_size_is_counted_once_and_a_declared_one_is_not() -> None:
    started = []

    def numbers() -> Any:
        started.append(0)
        return iter(range(25))

    data = Dataset.from_generator(numbers, output_signature=tf.TensorSpec((), tf.int64))
    feed = tfinput.from_dataset(data)
    assert (feed.train_size, len(started)) == (25, 1)
    assert tfinput.from_dataset(data, size=25).train_size == 25
    assert len(started) == 1
    assert sorted(flat(ids(feed.repeated, 1))) == list(range(25))


def test_of_a_dataset_without_end_the_first_examples_are_an_epoch() -> None:
    for endless in (Dataset.counter(), Dataset.range(30).repeat()):
        feed = tfinput.from_dataset(endless, size=20, batch_size=8)
        train = ids(feed.repeated, 6)
        assert sorted(flat(train[:3])) == sorted(flat(train[3:])) == list(range(20))
        assert train[:3] != train[3:]


@pytest.mark.parametrize(
    ("declared", "found", "window"), [(10, 7, None), (10, 11, 4), (10, 300, 4), (256, 255, None), (256, 257, 4), (1, 0, None)]
)
def test_a_pass_of_another_size_is_told_with_both_counts(declared: int, found: int, window: Any) -> None:
    feed = tfinput.from_dataset(generated(found), size=declared, batch_size=4, shuffle_window=window)
    message = rf"tfinput: dataset: expected {declared} examples in each pass \(as size= says\), got {found}\."
    seen: list[int] = []
    with pytest.raises(tf.errors.OpError, match=message):
        keep(seen, itertools.islice(feed.repeated, feed.steps_per_epoch + 1))
    assert set(seen) <= set(range(min(declared, found)))
    assert len(set(seen)) == len(seen)
    with pytest.raises(tf.errors.OpError, match=message):
        list(feed.examples())


@pytest.mark.parametrize("later", [5, 12])
def test_a_pass_that_changes_is_told_inside_fit(later: int) -> None:
    sizes = iter([8, 8, later, later, later])

    def rows() -> Any:
        for number in range(next(sizes, later)):
            yield [float(number)], [1.0]

    spec = (tf.TensorSpec((1,), tf.float32), tf.TensorSpec((1,), tf.float32))
    feed = tfinput.from_dataset(Dataset.from_generator(rows, output_signature=spec), batch_size=4)
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(tf.errors.OpError, match=rf"expected 8 examples in each pass \(as counted before\), got {later}\."):
        model.fit(**feed.fit_args(), epochs=4, verbose=0)


@pytest.mark.parametrize("at", [0, 256, 299])
def test_an_error_of_the_dataset_is_told_with_the_number_of_the_example(at: int) -> None:
    feed = tfinput.from_dataset(failing(300, at), batch_size=30, validation_split=[0, 1])
    seen: list[int] = []
    with pytest.raises(
        tf.errors.OpError, match=rf"tfinput: dataset, example {at}: expected an example, got InvalidArgumentError: .*a bad one"
    ):
        keep(seen, feed.examples())
    assert seen == list(range(2, 2 + len(seen)))
    with pytest.raises(tf.errors.OpError, match=rf"dataset, example {at}: "):
        list(itertools.islice(feed.repeated, 11))


def test_errors_that_come_again_and_again_do_not_hang() -> None:
    wrong = Dataset.range(10).apply(tf.data.experimental.assert_cardinality(12))
    with pytest.raises(tf.errors.OpError, match=r"dataset, example 10: .*expected to contain 12 elements but contained only 10"):
        list(tfinput.from_dataset(wrong).examples())
    with pytest.raises(ValueError, match=r"dataset, after example 0: .*No such file"):
        tfinput.from_dataset(tf.data.TFRecordDataset("/no/such/file"))

    def broken() -> Any:
        yield 1
        raise RuntimeError("the disk is gone")

    data = Dataset.from_generator(broken, output_signature=tf.TensorSpec((), tf.int64))
    with pytest.raises(ValueError, match=r"dataset, after example 0: .*the disk is gone"):
        tfinput.from_dataset(data)
    with pytest.raises(tf.errors.OpError, match=r"dataset, example 1: .*the disk is gone"):
        list(tfinput.from_dataset(data, size=4).examples())


def test_examples_of_several_shapes_are_refused_where_they_come() -> None:
    spec = tf.TensorSpec((None,), tf.int64)
    same = Dataset.from_generator(lambda: ([number] * 3 for number in range(9)), output_signature=spec)
    assert tfinput.from_dataset(same).element_spec.shape == (9, 3)
    uneven = Dataset.from_generator(lambda: ([number] * (3 + number // 5) for number in range(9)), output_signature=spec)
    with pytest.raises(tf.errors.OpError, match=r"dataset, example 5: expected the shape \(3,\) of example 0, got \(4,\)\. Pad, crop"):
        list(tfinput.from_dataset(uneven).examples())


def test_examples_of_every_structure() -> None:
    def dressed(x: Any) -> Any:
        return {"number": x, "text": tf.strings.as_string(x)}, {"a": x % 3, "b": (x, x)}, 1.0

    feed = tfinput.from_dataset(Dataset.range(20).map(dressed), batch_size=6)
    for x, y, weight in feed.examples():
        assert x["text"].numpy().tolist() == [str(number).encode() for number in x["number"].numpy()]
        assert y["a"].numpy().tolist() == (x["number"].numpy() % 3).tolist()
        assert weight.shape == x["number"].shape


def test_a_cache_makes_it_an_array_source() -> None:
    started = []

    def numbers() -> Any:
        started.append(0)
        return iter(range(30))

    data = Dataset.from_generator(numbers, output_signature=tf.TensorSpec((), tf.int64))
    feed = tfinput.from_dataset(data, size=30, cache="memory", batch_size=8)
    before = len(started)
    assert ids(feed.repeated, 12) == ids(tfinput.from_arrays(np.arange(30), batch_size=8).repeated, 12)
    assert len(started) == before
    with pytest.raises(ValueError, match=r"cache: expected 'memory': nothing tells .* got 'folder'\. Use cache='memory', or dataset.save"):
        tfinput.from_dataset(data, size=30, cache="folder")


REFUSED: list[tuple[Callable[[], Any], dict[str, Any], str]] = [
    (lambda: [1, 2], {}, r"dataset: expected a tf.data.Dataset, got \[1, 2\] \(list\)"),
    (lambda: np.arange(3), {}, "Use from_arrays for arrays"),
    (lambda: Dataset.range(0), {}, "expected at least one example, got an empty dataset"),
    (lambda: generated(0), {}, "expected at least one example, got an empty dataset"),
    (lambda: Dataset.random(seed=1), {}, "expected a dataset that ends, or size=, got one without end"),
    (lambda: Dataset.range(9).repeat(), {}, r"one that is repeated for ever\. Remove \.repeat\(\)"),
    (lambda: Dataset.range(9).repeat(2).prefetch(1), {}, "got a dataset that is repeated 2 times"),
    (lambda: Dataset.range(9).repeat(2), {"size": 9}, "got a dataset that is repeated 2 times"),
    (lambda: numbered(9), {"size": 8}, "expected size=8 examples, got a dataset of 9"),
    (lambda: numbered(9).batch(3), {}, "looks like batches: .*Pass batched=True"),
    (lambda: numbered(9).batch(3, drop_remainder=True).map(lambda x, y: (x, y)).prefetch(1), {}, "looks like batches"),
    (lambda: generated(9).ragged_batch(3), {}, "looks like batches"),
    (lambda: numbered(9), {"batched": True}, "expected batches, since batched=True"),
    (lambda: numbered(9), {"batched": 1}, "batched: expected True, False or None, got 1"),
    (lambda: Dataset.range(9).map(lambda x: (x, x, x, x)), {}, "got a tuple of 4"),
    (lambda: Dataset.range(9).map(lambda x: tf.ragged.range(x)), {}, r"expected dense tensors, got RaggedTensorSpec.*to_tensor"),
    (lambda: Dataset.range(9).map(lambda x: tf.sparse.eye(3)), {}, r"expected dense tensors, got SparseTensorSpec.*to_dense"),
    (lambda: Dataset.range(9).window(3), {}, r"expected dense tensors, got DatasetSpec.*flat_map"),
    (lambda: numbered(9), {"size": 0}, "size: expected a positive whole number"),
    (lambda: numbered(9), {"shuffle_window": 0}, "shuffle_window: expected a positive whole number"),
    (lambda: numbered(9), {"validation_data": np.arange(3)}, "validation_data: expected a tf.data.Dataset"),
    (lambda: numbered(9), {"validation_data": Dataset.range(3)}, "validation_data: expected .*TensorSpec"),
    (lambda: numbered(9), {"validation_data": numbered(3).repeat()}, "validation_data: expected a dataset that ends"),
    (lambda: numbered(9), {"epochs": 3}, "Pass it to model.fit"),
]


@pytest.mark.parametrize(("make", "options", "message"), REFUSED, ids=[message[:40] for _, _, message in REFUSED])
def test_wrong_datasets_are_refused_at_the_call(make: Callable[[], Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        tfinput.from_dataset(make(), **options)


CHANGING: list[tuple[Callable[[], Any], str]] = [
    (lambda: numbered(40).shuffle(40), r"shuffle\(\)"),
    (lambda: numbered(40).shuffle(40, seed=1).map(lambda x, y: (x, y)).prefetch(2), r"shuffle\(\)"),
    (lambda: numbered(40).shuffle(40, reshuffle_each_iteration=False), r"shuffle\(\) without a seed"),
    (lambda: numbered(40).map(lambda x, y: (x, y), num_parallel_calls=2, deterministic=False), "deterministic=False"),
    (lambda: Dataset.range(4).interleave(lambda x: Dataset.range(10).shuffle(3)), r"shuffle\(\) inside a function"),
    (lambda: Dataset.sample_from_datasets([Dataset.range(9), Dataset.range(9)]), "random numbers without a seed"),
]


@pytest.mark.parametrize(("make", "what"), CHANGING, ids=[what for _, what in CHANGING])
def test_an_order_that_changes_is_refused_with_splits_and_warned_of_without(make: Callable[[], Any], what: str) -> None:
    with pytest.raises(ValueError, match=rf"tfinput: validation_split: expected a dataset of one order, got a dataset with {what}"):
        tfinput.from_dataset(make(), validation_split=0.2)
    with pytest.warns(UserWarning, match=rf"the dataset has {what}: orders do not follow the seed. Remove") as told:
        feed = tfinput.from_dataset(make(), batch_size=8)
    assert told[0].filename == __file__
    if "random" not in what and "inside" not in what:
        assert sorted(flat(ids(feed.train, feed.steps_per_epoch))) == list(range(40))


def test_an_order_that_does_not_change_is_taken() -> None:
    fixed = numbered(40).shuffle(40, seed=1, reshuffle_each_iteration=False)
    feed = tfinput.from_dataset(fixed, validation_split=0.3, batch_size=8)
    held = flat(ids(feed.validation))
    train, steps = ids(feed.repeated, 3 * feed.steps_per_epoch), feed.steps_per_epoch
    for epoch in range(3):
        assert sorted(held + flat(train[epoch * steps : (epoch + 1) * steps])) == list(range(40))
    assert not hazards.reshuffled(numbered(9).cache().prefetch(2).interleave(lambda *x: Dataset.from_tensors(x), num_parallel_calls=2))


def test_parts_of_one_reshuffled_dataset_are_no_split() -> None:
    shuffled = numbered(40).shuffle(40)
    with pytest.raises(ValueError, match=r"validation_data: expected no example of dataset, got parts of one dataset with shuffle\(\)"):
        tfinput.from_dataset(shuffled.skip(10), validation_data=shuffled.take(10))
    with pytest.raises(ValueError, match=r"test_data: expected another dataset than dataset, got the same\. Use validation_split"):
        tfinput.from_dataset(fixed := numbered(9), test_data=fixed)
    plain = numbered(40)
    feed = tfinput.from_dataset(plain.skip(10), validation_data=plain.take(10))
    assert flat(ids(feed.validation)) == list(range(10))
    assert sorted(flat(ids(feed.train, feed.steps_per_epoch))) == list(range(10, 40))


def test_random_operations_are_warned_of() -> None:
    noisy = numbered(9).map(lambda x, y: (tf.cast(x, tf.float32) + tf.random.uniform(()), y))
    with pytest.warns(UserWarning, match=r"random operation \(RandomUniform\): validation has it too.* Move it into augment"):
        tfinput.from_dataset(noisy)
    with pytest.warns(UserWarning, match=r"random operation \(RandomUniform\): its results are cached, so that they are the same"):
        tfinput.from_dataset(noisy.cache())
    tfinput.from_dataset(numbered(9).map(lambda x, y: (tf.random.stateless_uniform((), [1, x]), y)))


def test_a_dataset_of_very_many_parts_is_looked_through() -> None:
    many = functools.reduce(Dataset.concatenate, [Dataset.range(1)] * 2000)
    assert hazards.reshuffled(many) == {}
    twice = functools.reduce(lambda data, _: Dataset.zip((data, data)).map(lambda x, y: x), range(30), Dataset.range(5).shuffle(5))
    assert list(hazards.reshuffled(twice).values()) == ["shuffle()"]


def test_the_repr_says_when_examples_are_not_shuffled_as_a_whole() -> None:
    assert repr(tfinput.from_dataset(numbered(9))) == "Feed(dataset: train 9 in 1 step of 9; seed=0)"
    assert repr(tfinput.from_dataset(numbered(9), shuffle_window=4)) == "Feed(dataset: train 9 in 1 step of 9; seed=0; shuffled among 4)"
    wide = tfinput.from_dataset(Dataset.range(300).map(lambda x: tf.zeros((1000, 1000))), shuffle=True)
    assert repr(wide).endswith("shuffled among 16)")
