"""The laws of a feed, exhaustively over small numbers; identities of examples, not counts, are the oracle."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from identities import ids

import tfinput

SIZES = range(21)
BATCHES = range(1, 8)
SLOW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def feed_of(size: int, **options: Any) -> tfinput.Feed:
    return tfinput.from_arrays(np.arange(size), **options)


def noisy(x: Any, seed: Any) -> Any:
    return tf.cast(x, tf.float64) + tf.random.stateless_uniform([], seed, dtype=tf.float64)


@pytest.mark.floor
@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("batch", BATCHES)
def test_every_epoch_holds_every_example_once(batch: int, drop: bool) -> None:
    for size in SIZES:
        if size == 0 or (drop and batch > size):
            with pytest.raises(ValueError, match="at least"):
                feed_of(size, batch_size=batch, drop_remainder=drop)
            continue
        feed = feed_of(size, batch_size=batch, drop_remainder=drop)
        steps = size // batch if drop else -(-size // batch)
        assert feed.steps_per_epoch == steps
        assert feed.repeated.cardinality() == tf.data.INFINITE_CARDINALITY
        batches = ids(feed.repeated, 3 * steps)
        epochs = [batches[place : place + steps] for place in range(0, 3 * steps, steps)]
        for epoch in epochs:
            seen = sorted(itertools.chain(*epoch))
            assert all(len(each) == batch for each in epoch[:-1])
            if drop:
                assert len(epoch[-1]) == batch
                assert len(set(seen)) == steps * batch == len(seen)
                assert set(seen) <= set(range(size))
            else:
                assert seen == list(range(size))
        if size > 8:
            assert len({tuple(itertools.chain(*epoch)) for epoch in epochs}) == 3


def test_what_a_dropped_remainder_leaves_out_changes() -> None:
    feed = feed_of(10, batch_size=4, drop_remainder=True)
    batches = ids(feed.repeated, 2 * 12)
    left = [frozenset(range(10)) - set(batches[place] + batches[place + 1]) for place in range(0, 24, 2)]
    assert len(set(left)) > 6
    assert feed.element_spec.shape == (4,)


@pytest.mark.floor
@pytest.mark.parametrize("size", [1, 2, 7, 20])
def test_the_order_does_not_depend_on_how_it_is_served(size: int) -> None:
    def order(**options: Any) -> list[int]:
        feed = feed_of(size, **options)
        return list(itertools.chain(*ids(feed.repeated, 3 * feed.steps_per_epoch)))

    expected = order(batch_size=1)
    for batch, calls in zip(BATCHES, itertools.cycle((4, tf.data.AUTOTUNE, 1)), strict=False):
        assert order(batch_size=batch, num_parallel_calls=calls) == expected
    for batch in (1, 3):
        assert order(batch_size=batch, preprocess=lambda x: x, num_parallel_calls=4) == expected
    assert order(batch_size=2, preprocess=lambda x: x, cache="memory") == expected


def test_the_order_is_the_same_for_files_and_for_each_size_of_row(tmp_path: Any) -> None:
    x = np.arange(50)
    wide = np.repeat(x[:, None], 70_000, axis=1)
    np.save(tmp_path / "x.npy", x)
    expected = ids(tfinput.from_arrays(x, batch_size=8).repeated, 20)
    assert ids(tfinput.from_arrays(tmp_path / "x.npy", batch_size=8).repeated, 20) == expected
    one_by_one = tfinput.from_arrays(wide, batch_size=8).repeated
    assert [batch.numpy()[:, -1].tolist() for batch in itertools.islice(one_by_one, 20)] == expected


def assert_goes_on(feed: tfinput.Feed) -> None:
    """From each step of two epochs on, the stream equals the uninterrupted one."""
    steps = feed.steps_per_epoch
    whole = [each.numpy() for each in feed.repeated.take(3 * steps + 4)]
    for start in range(2 * steps + 1):
        later = feed.at(step=start)
        assert (later.epoch, later.step) == divmod(start, steps)
        tail = [each.numpy() for each in later.repeated.take(steps + 3)]
        for ours, theirs in zip(tail, whole[start:], strict=False):
            assert ours.dtype == theirs.dtype
            assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize(("size", "batch"), [(1, 1), (1, 5), (5, 2), (6, 3), (7, 3), (13, 4), (40, 7)])
def test_going_on_from_any_step_equals_the_uninterrupted_stream(size: int, batch: int, drop: bool) -> None:
    assert_goes_on(feed_of(size, batch_size=1 if drop and batch > size else batch, drop_remainder=drop))


@pytest.mark.parametrize(("size", "batch", "drop"), [(1, 1, False), (7, 3, True), (13, 4, False)])
def test_augmentation_goes_on_too(size: int, batch: int, drop: bool) -> None:
    def scaled(x: Any, seed: Any) -> Any:
        return x * tf.random.stateless_uniform([], seed, dtype=tf.float64)

    assert_goes_on(feed_of(size, batch_size=batch, drop_remainder=drop, augment=noisy, batch_augment=scaled))


def test_far_epochs_are_reached_without_reading_the_ones_before() -> None:
    reads: list[int] = []

    def preprocess(x: Any) -> Any:
        return tf.numpy_function(lambda value: (reads.append(int(value)), value)[1], [x], tf.int64)

    feed = feed_of(20, batch_size=5, preprocess=preprocess)
    ahead = list(feed.at(epoch=1000, step=2).repeated.take(1))
    assert len(ahead) == 1
    assert len(reads) < 200


@pytest.mark.floor
@pytest.mark.parametrize("batch", BATCHES)
def test_validation_is_one_full_pass_the_same_each_time(batch: int) -> None:
    for size in range(1, 11):
        # Each feed has two such sets, so that sizes up to 20 take ten feeds.
        sets = {"validation_data": np.arange(size), "test_data": np.arange(size + 10)}
        feed = feed_of(5, validation_batch_size=batch, **sets)
        for dataset, steps, count in (
            (feed.validation, feed.validation_steps, size),
            (feed.test, feed.test_steps, size + 10),
        ):
            first = ids(dataset)
            assert list(itertools.chain(*first)) == list(range(count))
            assert [len(each) for each in first[:-1]] == [batch] * (len(first) - 1)
            assert len(first) == steps == dataset.cardinality() == len(dataset)
        assert ids(feed.test) == first
        assert feed.evaluate_args() == {"x": feed.validation, "steps": feed.validation_steps}


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 20])
def test_a_pass_over_train_is_finite_ordered_and_unaugmented(size: int) -> None:
    feed = feed_of(size, batch_size=3, augment=lambda x: x + 100)
    assert list(itertools.chain(*ids(feed.examples("train")))) == list(range(size))
    assert feed.evaluate_args("train")["x"].cardinality() == feed.steps_per_epoch


@SLOW
@given(size=st.integers(3, 60), validation=st.floats(0.05, 0.5), test=st.floats(0.05, 0.3), seed=st.integers(), batch=st.integers(1, 9))
def test_splits_are_disjoint_and_complete(size: int, validation: float, test: float, seed: int, batch: int) -> None:
    try:
        feed = feed_of(size, validation_split=validation, test_split=test, seed=seed, batch_size=batch)
    except ValueError as refused:
        assert "expected between 1 and" in str(refused) or "left" in str(refused)  # noqa: PT017 - only some are refused
        return
    train = list(itertools.chain(*ids(feed.train, feed.steps_per_epoch)))
    rest = [list(itertools.chain(*ids(dataset))) for dataset in (feed.validation, feed.test)]
    assert sorted(train + rest[0] + rest[1]) == list(range(size))
    assert rest == [sorted(part) for part in rest]
    assert sorted(train) == feed.indices["train"].tolist()
    assert rest[0] == feed.indices["validation"].tolist()


def test_two_feeds_of_one_seed_are_equal_and_of_two_seeds_are_not() -> None:
    batches = {seed: tuple(itertools.chain(*ids(feed_of(30, seed=seed).repeated, 2))) for seed in (-1, 0, 1, 2**31, 2**63, 2**200)}
    assert len(set(batches.values())) == len(batches)
    assert tuple(itertools.chain(*ids(feed_of(30, seed=0).repeated, 2))) == batches[0]


def test_augmentation_belongs_to_the_example_and_not_to_the_batch() -> None:
    def drawn(batch: int, calls: int | None = None) -> list[dict[int, float]]:
        feed = feed_of(13, batch_size=batch, augment=noisy, num_parallel_calls=calls)
        epochs = []
        iterator = iter(feed.repeated)
        for _ in range(3):
            values = np.concatenate([next(iterator).numpy() for _ in range(feed.steps_per_epoch)])
            epochs.append({int(value): float(value) for value in values})
        return epochs

    expected = drawn(1)
    assert all(len(epoch) == 13 for epoch in expected)
    assert len({epoch[5] for epoch in expected}) == 3
    for batch, calls in ((2, None), (5, 4), (13, None), (40, 4)):
        assert drawn(batch, calls) == expected


def test_without_shuffle_the_order_is_the_sources_in_every_epoch() -> None:
    feed = feed_of(7, batch_size=3, shuffle=False)
    assert ids(feed.repeated, 6) == [[0, 1, 2], [3, 4, 5], [6]] * 2


def test_datasets_are_plain_and_specs_are_known() -> None:
    feed = tfinput.from_arrays(np.zeros((10, 3), "f4"), np.arange(10), batch_size=4, validation_split=3)
    train, validation = feed
    assert isinstance(train, tf.data.Dataset)
    assert isinstance(validation, tf.data.Dataset)
    assert feed.element_spec[0].shape.as_list() == [None, 3]
    assert validation.element_spec[0].shape.as_list() == [3, 3]
