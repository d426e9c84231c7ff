"""Functions of one example, run in the thread that asks for it where they can be, and as TensorFlow does it where not."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfinput
from tfinput.runtime import serial_map
from tfinput.runtime.serial_map import map_in_caller

NUMBERS = np.arange(12, dtype=np.float32).reshape(4, 3)
TABLE = tf.constant([7.0, 5.0, 3.0])


def by_calls(row: Any) -> Any:
    return tf.function(lambda value: value + 1)(row)


def by_a_branch(row: Any) -> Any:
    return tf.cond(tf.reduce_sum(row) > 10, lambda: row * 2, lambda: row)


def by_a_raw_branch(row: Any) -> Any:
    no, yes = tf.raw_ops.Switch(data=row, pred=tf.reduce_sum(row) > 10)
    return tf.raw_ops.Merge(inputs=[no, yes * 2])[0]


def by_a_loop(row: Any) -> Any:
    return tf.while_loop(lambda value: tf.reduce_sum(value) < 100, lambda value: (value + 1,), (row,))[0]


def by_python(row: Any) -> Any:
    return tf.numpy_function(np.square, [row], tf.float32)


def by_a_dataset(row: Any) -> Any:
    return tf.data.Dataset.from_tensors(row).map(lambda value: value * 3).get_single_element()


STRAIGHT: dict[str, Callable[[Any], Any]] = {
    "arithmetic": lambda row: row * 2 + 1,
    "a tuple": lambda row: (row, row[0]),
    "nested": lambda row: {"a": (row, {"b": row[:1]}), "c": tf.strings.as_string(row)},
    "a captured tensor": lambda row: row * TABLE,
    "a constant": lambda _: tf.constant([1, 2]),
    "an unknown length": lambda row: tf.range(tf.cast(row[0], tf.int32)),
    "an assertion": lambda row: tf.ensure_shape(row, (3,)),
    "on the CPU": lambda row: tf.nest.map_structure(tf.identity, _placed(row, "CPU:0")),
}
OTHERS: dict[str, Callable[[Any], Any]] = {
    "calls": by_calls,
    "a branch": by_a_branch,
    "a raw branch": by_a_raw_branch,
    "a loop": by_a_loop,
    "Python": by_python,
    "a dataset": by_a_dataset,
    "a list": lambda row: [row, row + 1],
    "ragged": lambda row: tf.RaggedTensor.from_row_lengths(row, [1, 2]),
    "sparse": lambda row: tf.sparse.from_dense(row),
}


def _placed(row: Any, device: str) -> Any:
    with tf.device(device):
        return row + 1


def told(element: Any) -> Any:
    def array(part: Any) -> Any:
        if isinstance(part, (tf.RaggedTensor, tf.SparseTensor)):
            return str(part)
        return (part.dtype, part.numpy().tolist())

    return tf.nest.map_structure(array, element)


@pytest.mark.floor
@pytest.mark.parametrize("name", [*STRAIGHT, *OTHERS])
def test_all_functions_make_what_a_map_makes_in_order(name: str) -> None:
    function = {**STRAIGHT, **OTHERS}[name]
    rows = tf.data.Dataset.from_tensor_slices(NUMBERS)
    ours, theirs = map_in_caller(rows, function), rows.map(function)
    assert ours.element_spec == theirs.element_spec
    assert ours.cardinality() == 4
    for _ in range(2):
        assert [told(each) for each in ours] == [told(each) for each in theirs]


@pytest.mark.parametrize("name", [*STRAIGHT, *OTHERS])
def test_which_functions_are_straight(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = decisions(monkeypatch)
    map_in_caller(tf.data.Dataset.from_tensor_slices(NUMBERS), {**STRAIGHT, **OTHERS}[name])
    assert asked == [name in STRAIGHT]


def decisions(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Notes for each mapped function whether it is straight."""
    noted: list[bool] = []
    decide = serial_map._can_run_serially

    def noting(traced: Any) -> bool:
        noted.append(decide(traced))
        return noted[-1]

    monkeypatch.setattr(serial_map, "_can_run_serially", noting)
    return noted


def test_a_function_for_another_device_is_left_to_tensorflow() -> None:
    traced = tf.function(lambda row: _placed(row, "GPU:0")).get_concrete_function(tf.TensorSpec((3,)))
    assert not serial_map._can_run_serially(traced)


def test_functions_with_variables_are_left_to_tensorflow_beside_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    variable = tf.Variable(TABLE)
    traced = tf.function(lambda row: row * variable).get_concrete_function(tf.TensorSpec((3,)))
    plain = tf.function(lambda row: row * TABLE).get_concrete_function(tf.TensorSpec((3,)))
    assert serial_map._can_run_serially(traced)
    monkeypatch.setattr(serial_map, "_cpus_only", lambda: False)
    assert not serial_map._can_run_serially(traced)
    assert serial_map._can_run_serially(plain)


def test_a_traced_function_is_traced_once_for_datasets_alike() -> None:
    calls = []

    @tf.function
    def function(row: Any) -> Any:
        calls.append(1)
        return row + 1

    rows = tf.data.Dataset.from_tensor_slices(NUMBERS)
    first, second = map_in_caller(rows, function), map_in_caller(rows.take(2), function)
    assert len(calls) == 1
    assert (len(list(first)), len(list(second))) == (4, 2)


@pytest.mark.filterwarnings("ignore:.*arbitrary keyword arguments is deprecated:DeprecationWarning")  # AutoGraph's own, with Python 3.13.
def test_users_functions_are_converted_by_autograph_and_straight_where_they_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = decisions(monkeypatch)

    def branching(row: Any) -> Any:
        if tf.reduce_sum(row) > 10:  # A Python `if` over a tensor: AutoGraph's work.
            row = -row
        return row

    plain = tfinput.from_arrays(NUMBERS, batch_size=2, shuffle=False, preprocess=lambda row: row * 2)
    assert asked
    assert all(asked)
    asked.clear()
    other = tfinput.from_arrays(NUMBERS, batch_size=2, shuffle=False, preprocess=branching)
    assert asked
    assert not any(asked)
    assert np.array_equal(np.concatenate([each.numpy() for each in plain.examples("train")]), NUMBERS * 2)
    assert np.array_equal(
        np.concatenate([each.numpy() for each in other.examples("train")]), np.where(NUMBERS.sum(1, keepdims=True) > 10, -NUMBERS, NUMBERS)
    )


def test_what_a_function_refers_to_lives_as_long_as_its_dataset() -> None:
    def feed() -> Any:
        table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(tf.range(12), tf.range(12) * 10), -1)
        scale = tf.Variable(2)
        rows = NUMBERS.astype(np.int32)
        return tfinput.from_arrays(rows, batch_size=4, shuffle=False, preprocess=lambda row: table.lookup(row) * scale)

    made = feed()
    gc.collect()
    assert next(iter(made.train)).numpy().tolist() == (NUMBERS * 20).tolist()


def test_records_are_parsed_by_straight_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for row in NUMBERS:
            writer.write(row.tobytes())
    asked = decisions(monkeypatch)
    feed = tfinput.from_tfrecords(
        tmp_path / "a.tfrecord",
        parse=lambda record: tf.ensure_shape(tf.io.decode_raw(record, tf.float32), (3,)),
        batch_size=2,
        verbose=False,
    )
    assert asked
    assert all(asked)
    rows = np.concatenate([batch.numpy() for batch in feed.repeated.take(2)])
    assert sorted(map(tuple, rows)) == sorted(map(tuple, NUMBERS))
