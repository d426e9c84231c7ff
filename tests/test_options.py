"""The common options: unknown ones are refused with where they belong, wrong ones with what they take."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from identities import ids

import tfinput
from tfinput import options

FIT = "Pass it to model.fit beside **feed.fit_args()."
THREADS = "No worker processes are needed: num_parallel_calls sets the threads."


@pytest.mark.floor
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("bach_size", "Did you mean 'batch_size'? See help(tfinput.from_arrays)."),
        ("batchsize", "Did you mean 'batch_size'? See help(tfinput.from_arrays)."),
        ("validation_splits", "Did you mean 'validation_split'? See help(tfinput.from_arrays)."),
        ("preproces", "Did you mean 'preprocess'? See help(tfinput.from_arrays)."),
        ("zzz", "See help(tfinput.from_arrays)."),
        ("epochs", FIT),
        ("initial_epoch", FIT),
        ("callbacks", FIT),
        ("verbose", FIT),
        ("class_weight", FIT),
        ("validation_freq", FIT),
        ("steps_per_epoch", "The feed counts: see feed.steps_per_epoch."),
        ("validation_steps", "The feed counts, and validation is always one whole pass: see feed.validation_steps."),
        ("steps", "The feed counts: see feed.evaluate_args()."),
        ("workers", THREADS),
        ("use_multiprocessing", THREADS),
        ("max_queue_size", THREADS),
        ("prefetch", "The feed prefetches by itself."),
        ("buffer_size", "The whole set is shuffled, without a buffer."),
        ("shuffle_buffer_size", "The whole set is shuffled, without a buffer."),
        ("random_state", "It is called seed here."),
        ("test_size", "It is called test_split here."),
        ("drop_last", "It is called drop_remainder here."),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_name_or_where_it_belongs(name: str, hint: str) -> None:
    with pytest.raises(TypeError) as refused:
        tfinput.from_arrays(np.arange(3), **{name: 1})
    assert str(refused.value) == f"tfinput: from_arrays({name}=…): expected one of its options, got {name!r}. {hint}"


def test_every_hint_belongs_to_a_name_that_is_no_option() -> None:
    assert not set(options.ELSEWHERE) & set(options.DOCUMENTED)
    # Everything else that model.fit takes is told, or is one of the options.
    fit = set(inspect.signature(keras.Model.fit).parameters) - {"self", "x", "y", "sample_weight"}
    assert fit <= set(options.ELSEWHERE) | set(options.DOCUMENTED)


COUNT = "Pass an int of at least 1."


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"batch_size": 0}, ValueError, f"batch_size: expected a positive whole number, got 0. {COUNT}"),
        ({"batch_size": -1}, ValueError, f"batch_size: expected a positive whole number, got -1. {COUNT}"),
        ({"batch_size": True}, ValueError, f"batch_size: expected a positive whole number, got True. {COUNT}"),
        ({"batch_size": 32.0}, TypeError, "batch_size: expected a positive whole number, got 32.0 (float). Pass an int."),
        ({"batch_size": None}, TypeError, "batch_size: expected a positive whole number, got None (NoneType). Pass an int."),
        ({"validation_batch_size": 0}, ValueError, f"validation_batch_size: expected a positive whole number, got 0. {COUNT}"),
        ({"validation_batch_size": -1}, ValueError, f"validation_batch_size: expected a positive whole number, got -1. {COUNT}"),
        ({"num_parallel_calls": 0}, ValueError, f"num_parallel_calls: expected a positive whole number, got 0. {COUNT}"),
        ({"num_parallel_calls": -2}, ValueError, f"num_parallel_calls: expected a positive whole number, got -2. {COUNT}"),
        ({"num_parallel_calls": 1.5}, TypeError, "num_parallel_calls: expected a positive whole number, got 1.5 (float). Pass an int."),
        ({"shuffle": 1000}, TypeError, "shuffle: expected True or False, got 1000. Shuffling needs no buffer size here."),
        ({"shuffle": None}, TypeError, "shuffle: expected True or False, got None. Shuffling needs no buffer size here."),
        ({"shuffle": "batch"}, TypeError, "shuffle: expected True or False, got 'batch'. Shuffling needs no buffer size here."),
        (
            {"drop_remainder": 1},
            TypeError,
            "drop_remainder: expected True or False, got 1. It says whether to drop an epoch's short last batch.",
        ),
        ({"preprocess": "resize"}, TypeError, "preprocess: expected a function, got 'resize'. Pass a function of (x, y)."),
        ({"augment": 3}, TypeError, "augment: expected a function, got 3. Pass a function of (x, y)."),
        ({"batch_preprocess": True}, TypeError, "batch_preprocess: expected a function, got True. Pass a function of (x, y)."),
        ({"batch_augment": []}, TypeError, "batch_augment: expected a function, got []. Pass a function of (x, y)."),
        ({"cache": True}, TypeError, "cache: expected 'memory', a folder or None, got True. Pass cache='memory'."),
        ({"cache": 3}, TypeError, "cache: expected 'memory', a folder or None, got 3. Pass cache='memory'."),
        (
            {"validation_split": 1, "validation_data": np.arange(2)},
            ValueError,
            "validation_split and validation_data: expected one of the two, got both. Pass one of them.",
        ),
        (
            {"test_split": 1, "test_data": np.arange(2)},
            ValueError,
            "test_split and test_data: expected one of the two, got both. Pass one of them.",
        ),
        (
            {"stratify": True},
            ValueError,
            "stratify: expected a split to keep it in, got neither validation_split nor test_split. "
            "Pass validation_split or test_split too, or drop it.",
        ),
    ],
)
def test_wrong_values_are_refused(given: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as refused:
        tfinput.from_arrays(np.arange(6), **given)
    assert str(refused.value) == f"tfinput: {message}"


@pytest.mark.parametrize(
    "given",
    [
        {"batch_size": np.int64(4)},
        {"batch_size": 10**30},
        {"validation_batch_size": np.uint8(2), "validation_split": 3},
        {"num_parallel_calls": tf.data.AUTOTUNE},
        {"num_parallel_calls": 3},
        {"shuffle": np.True_},
        {"drop_remainder": np.bool_(False)},
        {"stratify": False},
        {"cache": Path("unused")},
        {"cache": "memory"},
    ],
)
def test_what_is_as_good_is_taken(given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    feed = tfinput.from_arrays(np.arange(6), **given)
    epoch = [number for batch in ids(feed.train, feed.steps_per_epoch) for number in batch]
    assert sorted(epoch) == feed.indices["train"].tolist()
    assert list(tmp_path.iterdir()) == []  # arrays in memory without a hook are not cached


def test_every_option_is_documented_once_and_has_a_default() -> None:
    assert set(options.DOCUMENTED) == set(options.Options.__annotations__)
    for name, (_, text) in options.DOCUMENTED.items():
        assert re.fullmatch(r"[A-Z].*[.`]", text), name
    settled = options.settle(options.with_defaults({}, "from_arrays"))
    assert (settled.batch_size, settled.shuffle, settled.seed, settled.drop_remainder) == (32, True, 0, False)
    assert options.with_defaults({"seed": 3}, "from_arrays")["seed"] == 3
