"""The feed as an object: what it hands to Keras, how it shows itself, what it refuses."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import os
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest
from identities import ids

import tfinput


def linear() -> Any:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def feed_of(size: int = 20, **options: Any) -> tfinput.Feed:
    return tfinput.from_arrays(np.arange(2.0 * size).reshape(size, 2), np.arange(size), **options)


def test_fit_args_are_what_fit_takes() -> None:
    feed = feed_of(batch_size=8, validation_split=5)
    given = feed.fit_args()
    assert set(given) == {"x", "steps_per_epoch", "shuffle", "validation_data", "validation_steps"}
    assert given["steps_per_epoch"] == 2
    assert given["shuffle"] is False
    assert given["validation_data"] is feed.validation
    assert set(feed_of().fit_args()) == {"x", "steps_per_epoch", "shuffle"}
    assert linear().fit(**given, epochs=2, verbose=0).epoch == [0, 1]


def test_without_validation_the_user_may_bring_their_own() -> None:
    feed = feed_of()
    history = linear().fit(**feed.fit_args(), validation_data=feed.examples("train"), verbose=0)
    assert "val_loss" in history.history


def test_class_weights_go_into_fit() -> None:
    x = np.zeros((30, 2))
    y = np.array([0] * 24 + [1] * 6)
    feed = tfinput.from_arrays(x, y, batch_size=7)
    assert feed.class_weight() == {0: 30 / 48, 1: 30 / 12}
    linear().fit(**feed.fit_args(), class_weight=feed.class_weight(), verbose=0)


@pytest.mark.parametrize(("steps", "asked"), [(10, 3), (7, 2), (5, 10)])
def test_steps_per_execution_that_does_not_divide_is_refused_with_the_remedy(steps: int, asked: int) -> None:
    feed = feed_of(4 * steps, batch_size=4)
    model = linear()
    model.compile("sgd", "mse", steps_per_execution=asked)
    with pytest.raises(ValueError, match=rf"a divisor of the {steps} steps of an epoch, got {asked}\. Use steps_per_execution=") as refused:
        feed.fit_args(model)
    if "batch_size=" in str(refused.value):
        size = int(str(refused.value).split("batch_size=")[1].split()[0])
        again = feed_of(4 * steps, batch_size=size)
        assert again.steps_per_epoch % asked == 0
        again.fit_args(model)


def test_steps_per_execution_that_divides_trains_whole_epochs() -> None:
    feed = feed_of(24, batch_size=4)
    model = linear()
    model.compile("sgd", "mse", steps_per_execution=3)
    model.fit(**feed.fit_args(model), epochs=2, verbose=0)
    assert int(model.optimizer.iterations) == 12


def test_predictions_come_in_the_order_of_the_indices() -> None:
    feed = feed_of(23, validation_split=0.3, validation_batch_size=4)
    model = linear()
    model.set_weights([np.array([[1.0], [0.0]], "f4"), np.zeros(1, "f4")])
    predicted = model.predict(**feed.predict_args(), verbose=0)
    assert np.array_equal(predicted[:, 0], 2.0 * feed.indices["validation"])
    train = model.predict(**feed.predict_args("train"), verbose=0)
    assert np.array_equal(train[:, 0], 2.0 * feed.indices["train"])


def test_a_split_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"split: expected one of \['train'\], got 'validation'\. Pass validation_split"):
        feed_of().evaluate_args()
    with pytest.raises(ValueError, match="got 'valid'"):
        feed_of(validation_split=2).examples("valid")
    assert feed_of().validation is None
    assert feed_of().validation_steps == feed_of().test_size == 0


def test_at_takes_a_global_step_and_refuses_what_is_no_step() -> None:
    feed = feed_of(10, batch_size=4)
    assert (feed.at(step=7).epoch, feed.at(step=7).step) == (2, 1)
    assert feed.at(step=np.int64(7)).epoch == 2
    assert feed.at(1, 1).at(0) == feed.at(0) or ids(feed.at(1, 1).at(0).repeated, 2) == ids(feed.repeated, 2)
    for wrong in (-1, 1.5, "3", True):
        with pytest.raises((TypeError, ValueError), match="step: expected a whole number of at least 0"):
            feed.at(step=wrong)  # type: ignore[arg-type]


def test_a_feed_is_frozen() -> None:
    feed = feed_of()
    with pytest.raises(dataclasses.FrozenInstanceError):
        feed.epoch = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        feed.indices["train"][0] = 5


def test_the_repr_tells_splits_steps_and_seed() -> None:
    feed = feed_of(100, batch_size=32, validation_split=0.2, test_split=1, seed=7)
    assert repr(feed) == "Feed(arrays: train 79 in 3 steps of 32, validation 20 in 1 step of 20, test 1 in 1 step of 1; seed=7)"
    assert repr(feed.at(2, 1)).endswith("seed=7; from epoch 2, step 1)")
    assert str(feed_of(seed=None).seed) in repr(feed_of(seed=None)) or feed_of(seed=None).seed != feed_of(seed=None).seed
    page = feed._repr_html_()
    assert page.count("<tr>") == 4
    assert "<td>79</td>" in page
    assert "TensorSpec" in page


def test_a_drawn_seed_is_shown_and_repeats_the_run() -> None:
    feed = feed_of(seed=None)
    assert f"seed={feed.seed}" in repr(feed)
    again = feed_of(seed=feed.seed)
    assert [b[1].numpy().tolist() for b in again.repeated.take(3)] == [b[1].numpy().tolist() for b in feed.repeated.take(3)]


@pytest.mark.parametrize(("size", "batch", "chosen"), [(360, 128, 120), (359, 128, 128), (50, 128, 50), (128, 32, 32)])
def test_validation_batches_are_of_one_size_where_one_is_near(size: int, batch: int, chosen: int) -> None:
    feed = tfinput.from_arrays(np.arange(3), validation_data=np.arange(size), batch_size=batch)
    assert feed.validation_batch_size == chosen
    assert sum(len(batch) for batch in feed.validation) == size


def test_a_forgotten_feed_frees_its_memory() -> None:
    code = """
import gc, re, itertools
import numpy as np, tfinput
def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
x = np.ones((50_000, 256), "f4")
def use():
    feed = tfinput.from_arrays(x, np.arange(len(x)), batch_size=256, validation_split=0.1, augment=lambda x, y: (x, y))
    for _ in itertools.islice(feed.repeated, 50): pass
    for _ in feed.validation: pass
use(); gc.collect(); first = anonymous()
for _ in range(5): use(); gc.collect()
print(first, anonymous())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, env=dict(os.environ))
    assert done.returncode == 0, done.stderr[-2000:]
    first, last = map(float, done.stdout.split())
    assert last < first + 40, f"{first} MiB after one feed, {last} MiB after six (the array: 49 MiB)"


def test_iterators_left_open_do_not_keep_the_process_from_ending() -> None:
    code = """
import sys
import numpy as np, tfinput
big = tfinput.from_arrays(np.zeros((200, 30_000), "f4"), batch_size=64)
small = tfinput.from_arrays(np.arange(1000), preprocess=lambda x: x)
left = [iter(big.repeated), iter(small.repeated)]
for iterator in left: next(iterator)
print("reached")
sys.exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, env=dict(os.environ))
    assert (done.returncode, done.stdout) == (0, "reached\n"), done.stderr[-2000:]
    assert "terminate" not in done.stderr


def test_the_feed_survives_the_arrays_it_was_made_of() -> None:
    x = np.arange(1000)
    feed = tfinput.from_arrays(x, batch_size=100)
    x[:] = -1
    del x
    gc.collect()
    assert sorted(itertools.chain(*ids(feed.repeated, 10))) == list(range(1000))


def test_folds_may_be_stratified_or_grouped_without_a_split() -> None:
    y = np.repeat([0, 1], [20, 10])
    feed = tfinput.from_arrays(np.arange(30), y, batch_size=5)
    for fold in feed.kfold(5, stratify=True):
        assert np.bincount(y[fold.indices["validation"]]).tolist() == [4, 2]
    groups = np.arange(30) // 3
    for fold in feed.kfold(3, groups=groups):
        assert not set(groups[fold.indices["validation"]]) & set(groups[fold.indices["train"]])


def test_what_can_be_refused_at_once_is_refused_before_a_cache_is_written(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="at least batch_size=99"):
        feed_of(preprocess=lambda x, y: (x, y), cache=tmp_path / "kept", batch_size=99, drop_remainder=True)
    assert not (tmp_path / "kept").exists()


def test_an_int_too_long_for_decimal_is_a_seed_too() -> None:
    huge = 10**5000
    assert "seed=0x" in repr(feed_of(seed=huge))
    assert [b[1].numpy().tolist() for b in feed_of(seed=huge).repeated.take(2)] != [
        b[1].numpy().tolist() for b in feed_of(seed=huge + 1).repeated.take(2)
    ]
