"""Generators: every pass is whole, every element arrives as it was, and what goes wrong in the user's code is told with its number."""

from __future__ import annotations

import gc
import itertools
import os
import random
import subprocess
import sys
import threading
import time
import weakref
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from identities import ids, shard

import tfinput
from tfinput.material.forms import Form
from tfinput.sources.python import generators
from tfinput.workers import generator_processes
from tfinput.workers.generator_chunks import Recipe
from tfinput.workers.generator_thread import GeneratorPasses

Pair = namedtuple("Pair", ["left", "right"])
FLOAT = tf.TensorSpec((), tf.float32)


class Numbers:
    """A function whose passes give 0, 1, 2, …, and which counts its passes; it may pause before some."""

    def __init__(self, size: int, pauses: tuple[int, ...] = ()) -> None:
        self.size, self.pauses, self.calls = size, pauses, 0

    def __call__(self) -> Iterator[int]:
        self.calls += 1
        for number in range(self.size):
            if number in self.pauses:
                time.sleep(0.06)
            yield number


def chained(batches: list[list[int]]) -> list[int]:
    return list(itertools.chain(*batches))


def epochs(feed: tfinput.Feed, count: int) -> list[list[int]]:
    """The identities in each epoch, in order."""
    steps = feed.steps_per_epoch
    batches = ids(feed.repeated, count * steps)
    return [chained(batches[place : place + steps]) for place in range(0, count * steps, steps)]


def first_line(error: BaseException) -> str:
    """What an error says first, from the library's own words on."""
    return next(line[line.index("tfinput:") :] for line in str(error).splitlines() if "tfinput:" in line)


def raised(run: Callable[[], Any]) -> BaseException:
    with pytest.raises(Exception, match="tfinput:") as caught:
        run()
    return caught.value


# The laws.


@pytest.mark.floor
@pytest.mark.parametrize(
    ("size", "batch", "options"), [(1, 4, {}), (7, 3, {}), (8, 4, {"shuffle_window": 3}), (10, 4, {"drop_remainder": True})]
)
def test_every_epoch_holds_every_example_once(size: int, batch: int, options: Any) -> None:
    feed = tfinput.from_generator(Numbers(size), size=size, batch_size=batch, **options)
    drop = "drop_remainder" in options
    assert feed.steps_per_epoch == (size // batch if drop else -(-size // batch))
    assert feed.repeated.cardinality() == tf.data.INFINITE_CARDINALITY
    seen = epochs(feed, 3)
    for epoch in seen:
        assert len(set(epoch)) == len(epoch) == (size // batch * batch if drop else size)
        assert set(epoch) <= set(range(size))
    if size > 7:
        assert len(set(map(tuple, seen))) == 3
    if drop:
        assert len({frozenset(epoch) for epoch in epochs(feed, 12)}) > 6


@pytest.mark.floor
def test_the_order_is_the_same_however_it_is_cut() -> None:
    expected = [3, 15, 13, 8, 2, 16, 9, 7]
    feed = tfinput.from_generator(Numbers(20), size=20, batch_size=4, seed=3)
    order = chained(epochs(feed, 3))
    assert order[:8] == expected
    assert chained(epochs(tfinput.from_generator(Numbers(20, pauses=(3, 4, 11)), size=20, batch_size=7, seed=3), 3)) == order
    assert chained(epochs(tfinput.from_generator(Numbers(20), size=20, batch_size=1, seed=4), 3)) != order


def test_without_shuffle_examples_come_as_they_are_and_no_epoch_is_longer_than_its_steps() -> None:
    feed = tfinput.from_generator(Numbers(7), size=7, batch_size=3, shuffle=False)
    assert ids(feed.repeated, 6) == [[0, 1, 2], [3, 4, 5], [6]] * 2
    feed = tfinput.from_generator(Numbers(7), size=7, batch_size=3, shuffle=False, drop_remainder=True)
    assert ids(feed.repeated, 4) == [[0, 1, 2], [3, 4, 5]] * 2
    assert ids(feed.at(step=1).repeated, 3) == [[3, 4, 5], [0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("window", [None, 4])
def test_going_on_from_any_step_equals_the_uninterrupted_stream(window: int | None) -> None:
    def noisy(x: Any, seed: Any) -> Any:
        return tf.cast(x, tf.float64) + tf.random.stateless_uniform([], seed, dtype=tf.float64)

    feed = tfinput.from_generator(Numbers(9), size=9, batch_size=4, shuffle_window=window, augment=noisy)
    whole = ids(feed.repeated, 9)
    for start in (1, 2, 5):
        assert ids(feed.at(step=start).repeated, 9 - start) == whole[start:]


@pytest.mark.floor
def test_validation_is_one_full_pass_the_same_each_time() -> None:
    numbers = Numbers(10)
    feed = tfinput.from_generator(Numbers(5), size=5, validation_data=numbers, validation_batch_size=4, test_data=iter(range(3)))
    assert feed.validation_steps == feed.validation.cardinality() == 3
    before = numbers.calls
    assert ids(feed.validation) == ids(feed.validation) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert numbers.calls == before + 2
    assert ids(feed.test) == ids(feed.test) == [[0, 1, 2]]


def test_splits_are_disjoint_and_complete_and_stay_when_examples_are_added() -> None:
    asked = {"batch_size": 8, "validation_split": 0.3, "test_split": 0.2}
    feed = tfinput.from_generator(Numbers(40), size=40, **asked)
    parts = {"train": epochs(feed, 1)[0], "validation": chained(ids(feed.validation)), "test": chained(ids(feed.test))}
    assert sorted(chained(list(parts.values()))) == list(range(40))
    assert {name: sorted(part) for name, part in parts.items()} == {name: each.tolist() for name, each in feed.indices.items()}
    more = tfinput.from_generator(Numbers(60), size=60, **asked)
    for name, part in parts.items():
        assert sorted(part) == [index for index in more.indices[name].tolist() if index < 40]


def test_no_global_random_state_is_read_or_moved() -> None:
    def states() -> Any:
        return random.getstate(), repr(np.random.get_state())  # noqa: NPY002  the global one is what is looked at

    before = states()
    epochs(tfinput.from_generator(Numbers(5), validation_split=[1]), 2)
    assert states() == before


# A real fit.


class Record(keras.layers.Layer):
    """Passes its input on, and notes which examples came, in training and in validation."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[bool, list[int]] = {True: [], False: []}

    def call(self, x: Any, training: bool = False) -> Any:
        note = tf.py_function(lambda values: self.seen[bool(training)].extend(values.numpy().ravel().astype(int).tolist()), [x], [])
        with tf.control_dependencies([note]):
            return tf.identity(x)


def recording_model() -> tuple[Any, dict[bool, list[int]]]:
    record = Record()
    model = keras.Sequential([keras.Input((1,)), record, keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(1e-6), "mse")
    return model, record.seen


def rows(start: int, end: int) -> Iterator[tuple[Any, float]]:
    for number in range(start, end):
        yield np.array([number], "float32"), float(number)


@pytest.mark.floor
def test_fit_trains_on_whole_passes_and_validates_on_whole_passes() -> None:
    feed = tfinput.from_generator(lambda: rows(0, 20), batch_size=8, validation_data=lambda: rows(20, 31))
    model, seen = recording_model()
    model.fit(**feed.fit_args(model), epochs=3, verbose=0)
    trained = [seen[True][place : place + 20] for place in range(0, 60, 20)]
    assert [sorted(epoch) for epoch in trained] == [list(range(20))] * 3
    assert len(set(map(tuple, trained))) == 3
    assert seen[False] == list(range(20, 31)) * 3


def test_a_bare_iterator_trains_for_as_many_epochs_as_asked() -> None:
    feed = tfinput.from_generator(rows(0, 20), batch_size=8, validation_split=5)
    model, seen = recording_model()
    model.fit(**feed.fit_args(model), epochs=3, verbose=0)
    train, validation = (feed.indices[name].tolist() for name in ("train", "validation"))
    assert [sorted(seen[True][place : place + 15]) for place in range(0, 45, 15)] == [train] * 3
    assert seen[False] == validation * 3
    assert ids(feed.at(epoch=1, step=1).repeated, 3) == ids(feed.repeated, 6)[3:]


# Sizes.


def test_a_size_is_given_or_taken_from_the_length_or_counted_once() -> None:
    class Sized:
        def __iter__(self) -> Iterator[int]:
            return iter(range(6))

        def __len__(self) -> int:
            return 6

    assert tfinput.from_generator(Sized(), batch_size=4).train_size == 6
    numbers = Numbers(2500)
    assert tfinput.from_generator(numbers).train_size == 2500
    assert numbers.calls == 1
    assert tfinput.from_generator(Numbers(9), size=np.int64(9)).train_size == 9


@pytest.mark.parametrize(("size", "found"), [(10, 7), (4096, 0), (1024, 1025), (1025, 1024)])
def test_a_wrong_size_is_an_error_with_both_counts(size: int, found: int) -> None:
    """Also where the size falls between two chunks, and where the pass is empty because its function gives a used iterator."""
    made = [iter(range(1)), iter(())]
    feed = tfinput.from_generator(Numbers(found) if found else lambda: made.pop(0), size=size, batch_size=size, shuffle=False)
    error = raised(lambda: list(feed.examples()))
    name = "Numbers" if found else "generator"
    fix = "Pass the size that it has, or " if found else "The function must return a new iterator each time"
    assert first_line(error).startswith(f"tfinput: {name}: expected {size} examples in a pass (size={size}), got {found}. {fix}")


def test_a_wrong_size_stops_fit() -> None:
    feed = tfinput.from_generator(lambda: rows(0, 12), size=10, batch_size=5)
    model, _ = recording_model()
    error = raised(lambda: model.fit(**feed.fit_args(), epochs=1, verbose=0))
    assert "expected 10 examples in a pass (size=10), got 12. " in first_line(error)
    assert "endless=True" in first_line(error)


def test_an_endless_function_gives_its_first_examples_in_each_epoch() -> None:
    feed = tfinput.from_generator(itertools.count, size=10, endless=True, batch_size=4, validation_data=(itertools.count, 6))
    assert [sorted(epoch) for epoch in epochs(feed, 2)] == [list(range(10))] * 2
    assert chained(ids(feed.validation)) == list(range(6))
    error = raised(lambda: epochs(tfinput.from_generator(itertools.count, size=10), 1))
    assert "got 65547 and no end" in first_line(error)


# Batches, in the form of `fit_generator`.


def test_batches_are_taken_apart_and_made_anew() -> None:
    def batches() -> Iterator[Any]:
        for start, end in ((0, 4), (4, 8), (8, 8), (8, 11)):
            number = np.arange(start, end)
            yield [number, {"double": 2.0 * number, "text": number.astype(str)}, np.ones(end - start)]

    feed = tfinput.from_generator(batches, batched=True, shuffle=False)
    assert (feed.train_size, feed.batch_size) == (11, 4)
    assert ids(feed.repeated, 4) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10], [0, 1, 2, 3]]
    again = tfinput.from_generator(batches, batched=True, size=11, batch_size=5)
    for numbers, targets, weights in again.repeated.take(6):
        assert targets["double"].numpy().tolist() == (2.0 * numbers.numpy()).tolist()
        assert targets["text"].numpy().tolist() == [str(number).encode() for number in numbers.numpy()]
        assert weights.numpy().tolist() == [1.0] * len(numbers)
    assert sorted(epochs(again, 1)[0]) == list(range(11))
    once = tfinput.from_generator(batches(), batched=True, batch_size=11)
    assert sorted(epochs(once, 1)[0]) == list(range(11))


def test_endless_batches_are_cut_where_the_epoch_ends() -> None:
    def batches() -> Iterator[Any]:
        for start in itertools.count(step=4):
            yield np.arange(start, start + 4), np.zeros(4)

    feed = tfinput.from_generator(batches, batched=True, endless=True, size=10, validation_data=(batches, 5))
    assert [sorted(epoch) for epoch in epochs(feed, 2)] == [list(range(10))] * 2
    assert chained(ids(feed.validation)) == list(range(5))


# Iterators that can be read once.


def test_an_endless_iterator_goes_on_where_the_last_epoch_ended() -> None:
    feed = tfinput.from_generator(itertools.count(), size=10, endless=True, batch_size=4)
    assert [sorted(epoch) for epoch in epochs(feed, 3)] == [list(range(start, start + 10)) for start in (0, 10, 20)]
    fix = "an iterator that is read once. Pass a function that returns a new iterator each time it is called."
    for run in (lambda: feed.at(epoch=1).repeated, lambda: feed.at(step=1).repeated, feed.examples, lambda: feed.kfold(2)[0].validation):
        assert fix in str(raised(run))


@pytest.mark.parametrize("option", [{"validation_split": 2}, {"test_split": [1]}, {"cache": "memory"}])
def test_an_endless_iterator_cannot_do_what_needs_a_second_pass(option: Any) -> None:
    error = raised(lambda: tfinput.from_generator(itertools.count(), size=10, endless=True, **option))
    assert str(error).startswith(f"tfinput: {next(iter(option))}: expected a generator that can be read again, got count, ")


def test_two_iterations_over_one_endless_iterator_share_it() -> None:
    feed = tfinput.from_generator(itertools.count(), size=1000, endless=True, batch_size=1000, shuffle=False)
    both = [iter(feed.repeated), iter(feed.repeated)]
    seen = [number for _ in range(3) for each in both for number in next(each).numpy().tolist()]
    assert len(set(seen)) == 6000


def test_an_iterator_that_does_not_fit_in_memory_is_refused() -> None:
    form = Form.of(0, "")
    recipe = Recipe(lambda: itertools.count(), form, "count")
    error = raised(lambda: generators.in_memory(recipe, 100_000, False))
    said = "expected an iterator that fits in memory, since it can be read only once, got more than 0 MiB in 13,312 examples. "
    assert str(error).startswith(f"tfinput: count: {said}")


def test_an_iterator_in_memory_is_an_array_source() -> None:
    def examples() -> Iterator[Any]:
        for number in range(12):
            yield number, f"class {number % 3}"

    feed = tfinput.from_generator(examples(), batch_size=4, validation_split=3, stratify=True)
    assert sorted(number % 3 for number in chained(ids(feed.validation))) == [0, 1, 2]
    labelled = tfinput.from_generator(lambda: ((number, number % 3) for number in range(12)), validation_split=3, stratify=True)
    assert sorted(number % 3 for number in chained(ids(labelled.validation))) == [0, 1, 2]
    assert labelled.class_weight() == {0: 1.0, 1: 1.0, 2: 1.0}


# Forms of elements.

DTYPES = [
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"),
    *("float16", "float32", "float64", "complex64", "complex128", "bfloat16"),
]


def bits(name: str, shape: tuple[int, ...], seed: int) -> Any:
    """Any bits: extremes and NaNs occur."""
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    draw = np.random.default_rng(seed)
    if name == "bool":
        return draw.random(shape) < 0.5
    return draw.integers(0, 256, (*shape, dtype.itemsize), np.uint8).view(dtype).reshape(shape)


@pytest.mark.parametrize("once", [False, True])
def test_every_dtype_and_structure_arrives_bit_for_bit(once: bool) -> None:
    elements = [
        ({name: bits(name, (2, 3), number) for name in DTYPES}, Pair(number, (f"é {number}", [b"\xff\0", b""]))) for number in range(5)
    ]
    feed = tfinput.from_generator(iter(elements) if once else lambda: iter(elements), batch_size=5)
    ((x, y),) = feed.examples()
    assert y.left.numpy().tolist() == [0, 1, 2, 3, 4]
    assert [text.decode() for text in y.right[0].numpy()] == [f"é {number}" for number in range(5)]
    assert y.right[1].numpy().tolist() == [[b"\xff\0", b""]] * 5
    for name in DTYPES:
        expected = np.stack([element[0][name] for element in elements])
        assert x[name].dtype == expected.dtype
        assert x[name].numpy().tobytes() == expected.tobytes()


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
def test_lengths_that_vary_are_padded_or_ragged(once: bool, ragged: bool) -> None:
    def examples() -> Iterator[Any]:
        for number in range(6):
            yield {**{name: bits(name, (number, 2), number) for name in DTYPES}, "text": np.array(["a", "é"][: number % 3])}, number

    spec = {name: tf.TensorSpec((None, 2), np.dtype(getattr(ml_dtypes, name, name))) for name in DTYPES}
    signature = ({**spec, "text": tf.TensorSpec((None,), tf.string)}, tf.TensorSpec((), tf.int64))
    options = {"output_signature": signature, "ragged": ragged, "batch_size": 4}
    feed = tfinput.from_generator(examples() if once else examples, **options)
    expected = [example[0] for example in examples()]
    for x, numbers in feed.repeated.take(4):
        for place, number in enumerate(numbers.numpy()):
            for name, array in expected[number].items():
                got = x[name][place]
                if name == "text":
                    assert [text for text in got.numpy().tolist() if text] == [text.encode() for text in array]
                else:
                    assert got.numpy()[:number].tobytes() == array.tobytes()
                    assert not got.numpy()[number:].any()
    assert isinstance(feed.element_spec[0]["text"], tf.RaggedTensorSpec) == ragged


def test_lengths_that_vary_are_found_by_ragged_alone() -> None:
    feed = tfinput.from_generator(lambda: (np.arange(number) for number in range(1, 5)), ragged=True, batch_size=4, shuffle=False)
    assert next(iter(feed.train)).to_list() == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]


def test_batches_padded_each_to_its_own_length() -> None:
    def batches() -> Iterator[Any]:
        for length in (2, 5, 3):
            yield np.full((2, length), length), np.full(2, length)

    signature = (tf.TensorSpec((None, None), tf.int64), tf.TensorSpec((None,), tf.int64))
    feed = tfinput.from_generator(batches, batched=True, output_signature=signature, shuffle=False, batch_size=3)
    assert [x.numpy().tolist() for x, _ in feed.examples()] == [
        [[2, 2, 0, 0, 0], [2, 2, 0, 0, 0], [5, 5, 5, 5, 5]],
        [[5, 5, 5, 5, 5], [3, 3, 3, 0, 0], [3, 3, 3, 0, 0]],
    ]


@pytest.mark.parametrize("uneven", [False, True])
def test_an_array_that_is_filled_again_and_again_is_copied_in_time(uneven: bool) -> None:
    def examples() -> Iterator[Any]:
        array = np.empty(3)
        for number in range(50):
            array[:] = number
            yield array

    signature = tf.TensorSpec((None if uneven else 3,), tf.float64)
    feed = tfinput.from_generator(examples, output_signature=signature, batch_size=50)
    assert next(iter(feed.examples())).numpy().tolist() == [[number] * 3 for number in range(50)]


def test_a_signature_rounds_floats_and_changes_nothing_else() -> None:
    feed = tfinput.from_generator(lambda: iter([0.1, 2]), output_signature=FLOAT, batch_size=2)
    assert next(iter(feed.examples())).numpy().tolist() == np.array([0.1, 2], "float32").tolist()
    error = raised(lambda: tfinput.from_generator(iter([1, 16777217]), output_signature=FLOAT))
    assert "element #1: expected float32[], got 16777217 (int64), which does not fit. " in str(error)


def test_validation_examples_take_the_dtypes_of_the_training_examples() -> None:
    feed = tfinput.from_generator(lambda: iter([0.5, 1.0]), validation_data=lambda: iter([1, 2]), batch_size=2)
    assert feed.validation.element_spec.dtype == feed.element_spec.dtype == tf.float64
    error = raised(lambda: tfinput.from_generator(lambda: iter([1, 2]), validation_data=lambda: iter([1, 0.5])))
    assert str(error).startswith("tfinput: validation_data, element #1: expected int64[], got 0.5 (float64), which does not fit. ")


def test_a_cache_keeps_what_one_pass_gave(tmp_path: Path) -> None:
    numbers = Numbers(6)
    feed = tfinput.from_generator(numbers, size=6, batch_size=4, cache="memory", preprocess=lambda x: x + 100)
    before = numbers.calls
    assert [sorted(epoch) for epoch in epochs(feed, 3)] == [list(range(100, 106))] * 3
    assert numbers.calls == before
    for _ in range(2):
        feed = tfinput.from_generator(lambda: iter(range(6)), size=6, cache=tmp_path)
        assert sorted(epochs(feed, 1)[0]) == list(range(6))
    assert len(list(tmp_path.iterdir())) == 1


def test_slow_examples_are_handed_on_in_time_and_quick_ones_many_at_a_time() -> None:
    def chunks(numbers: Numbers) -> list[list[int]]:
        passes = GeneratorPasses(Recipe(numbers, Form.of(0, ""), "numbers", size=numbers.size))
        return [chunk[0].tolist() for chunk in passes.chunks() if len(chunk[0])]

    assert chunks(Numbers(6, pauses=(1, 3, 5))) == [[0, 1], [2, 3], [4, 5]]
    assert list(map(len, chunks(Numbers(3000)))) == [1024, 1024, 952]


# Faults.


def broken(at: int, size: int = 8, fault: Callable[[], Any] = lambda: {}["missing"]) -> Iterator[Any]:
    for number in range(size):
        yield fault() if number == at else (np.array([number], "float32"), 0.0)


@pytest.mark.parametrize("at", [0, 1, 7])
def test_an_element_that_raises_is_named_with_the_users_traceback(at: int) -> None:
    if at == 0:
        error = raised(lambda: tfinput.from_generator(lambda: broken(at), size=8))
        assert isinstance(error.__cause__, KeyError)
    else:
        feed = tfinput.from_generator(lambda: broken(at), size=8, batch_size=1, shuffle=False)
        seen = []
        error = raised(lambda: seen.extend(ids(feed.examples())))
        assert "in broken" in str(error)
        assert 'fault: Callable[[], Any] = lambda: {}["missing"]' in str(error)
    assert first_line(error) == f"tfinput: generator, element #{at}: KeyError: 'missing'"


def test_fit_stops_at_an_element_that_raises() -> None:
    def examples() -> Iterator[Any]:
        yield from broken(13, 20)

    feed = tfinput.from_generator(examples, size=20, batch_size=4, shuffle=False)
    model, seen = recording_model()
    error = raised(lambda: model.fit(**feed.fit_args(), epochs=2, verbose=0))
    assert first_line(error) == "tfinput: examples, element #13: KeyError: 'missing'"
    assert "in broken" in str(error)
    assert seen[True] == list(range(12))[: len(seen[True])]


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, tf.errors.OutOfRangeError])
def test_whatever_the_users_code_raises_arrives(kind: Any) -> None:
    def fault() -> Any:
        raise kind(None, None, "3") if kind is tf.errors.OutOfRangeError else kind("3")

    feed = tfinput.from_generator(lambda: broken(5, 8, fault), size=8, batch_size=2)
    assert first_line(raised(lambda: list(feed.examples()))) == f"tfinput: generator, element #5: {kind.__name__}: 3"


ELEMENT = (np.zeros(3, "float32"), 1)
UNLIKE = {
    "shape": ((np.zeros(4, "float32"), 1), "[0]: expected float32[3], got float32[4]. "),
    "rank": ((np.zeros((3, 1), "float32"), 1), "[0]: expected float32[3], got float32[3, 1]. "),
    "dtype": ((np.full(3, 0.1), 1), "[0]: expected float32[3], got 0.1 (float64), which does not fit. "),
    "text": ((np.zeros(3, "float32"), "one"), "[1]: expected int64[], got text. "),
    "object": ((np.zeros(3, "float32"), object()), "[1]: expected an array, a number or text, got object "),
    "none": ((np.zeros(3, "float32"), None), "[1]: expected an array, a number or text, got None. "),
    "mask": ((np.ma.zeros(3, "float32"), 1), "[0]: expected an array without a mask, got a masked array. "),
    "fewer": ((np.zeros(3, "float32"),), ": expected an element like the first, (float32[3], int64[]), got ('ndarray',). "),
    "array": (np.zeros(3, "float32"), ": expected an element like the first, (float32[3], int64[]), got 'ndarray'. "),
    "dict": ({"x": np.zeros(3, "float32")}, ": expected an element like the first, (float32[3], int64[]), got {'x': 'ndarray'}. "),
    "nested": (((np.zeros(3, "float32"),), 1), ": expected an element like the first, (float32[3], int64[]), got (('ndarray',), 'int'). "),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_an_element_unlike_the_first_is_named_with_both_forms(name: str) -> None:
    """The bare iterator is refused at the call; the function is counted, and refused there too."""
    element, said = UNLIKE[name]
    elements = [*[ELEMENT] * 5, element, ELEMENT]
    for subject, called in ((iter(elements), "list_iterator"), (lambda: iter(elements), "generator")):
        error = raised(lambda subject=subject: tfinput.from_generator(subject))
        assert str(error).startswith(f"tfinput: {called}, element #5{said}")


def test_an_element_unlike_the_first_stops_training() -> None:
    elements = [*[ELEMENT] * 5, UNLIKE["shape"][0]]
    feed = tfinput.from_generator(lambda: iter(elements), size=6, batch_size=2)
    assert first_line(raised(lambda: list(feed.repeated.take(3)))).startswith(f"tfinput: generator, element #5{UNLIKE['shape'][1]}")


def test_a_batch_unlike_the_first_is_named() -> None:
    batch = (np.zeros((4, 3)), np.zeros(4))
    cases = {
        "[0]: expected float64[None, 3], got float64[4, 2]. ": (np.zeros((4, 2)), np.zeros(4)),
        "[1]: expected a batch of 4 rows, as [0] has, got 3. ": (np.zeros((4, 3)), np.zeros(3)),
    }
    for said, other in cases.items():
        error = raised(lambda other=other: tfinput.from_generator(iter([batch, batch, other]), batched=True))
        assert str(error).startswith(f"tfinput: list_iterator, batch #2{said}")


# A first element, a later one, and whether it fits.
CASTS = [
    (np.int32(0), 0.7, False),
    (np.int32(0), 2**40, False),
    (np.int32(0), 2**31 - 1, True),
    (np.uint8(0), 300, False),
    (np.uint8(0), -1.5, False),
    (np.uint8(0), 44.0, True),
    (0, 2**63, False),
    (0, -(2**63), True),
    (np.uint8(0), np.int8(-1), False),
    (np.int8(0), np.uint8(255), False),
    (0, True, True),
    (True, 2, False),
    (0.5, 2**53 + 1, False),
    (0.5, 2**53, True),
    (np.float32(0), 0.1, False),
    (np.float32(0), 0.25, True),
    (np.float32(0), float("nan"), True),
    (np.float16(0), 1e6, False),
    (1.0, 1j, False),
    (1j, 1.0, True),
]


@pytest.mark.parametrize(("first", "later", "fits"), CASTS)
def test_a_value_that_does_not_fit_its_dtype_is_refused(first: Any, later: Any, fits: bool) -> None:
    def build() -> Any:
        return tfinput.from_generator(iter([first, first, later]), batch_size=3)

    if fits:
        got = next(iter(build().examples())).numpy()
        assert got.dtype == np.asarray(first).dtype
        assert got[2] == later or (got[2] != got[2] and later != later)
    else:
        assert str(raised(build)).startswith("tfinput: list_iterator, element #2: expected ")


def test_a_function_that_returns_a_used_iterator_is_told() -> None:
    same = broken(-1)
    feed = tfinput.from_generator(lambda: same, size=8)
    fix = "expected a new iterator for each pass, got the last one again, which is used up. Make it inside the function."
    assert first_line(raised(lambda: list(feed.repeated.take(1)))) == f"tfinput: what generator returns: {fix}"


def test_an_iterator_that_leaks_stopiteration_is_short() -> None:
    class Leaky:
        def __init__(self) -> None:
            self.number = 0

        def __iter__(self) -> Leaky:
            return self

        def __next__(self) -> int:
            self.number += 1
            return next(iter([])) if self.number == 4 else self.number

    assert "expected 10 examples in a pass (size=10), got 3. " in str(raised(lambda: tfinput.from_generator(Leaky(), size=10)))
    feed = tfinput.from_generator(Leaky, size=10)
    assert "expected 10 examples in a pass (size=10), got 3. " in first_line(raised(lambda: list(feed.repeated.take(1))))


async def asynchronous() -> Any:
    yield 1


REFUSED = {
    "number": (lambda: tfinput.from_generator(3), "int: expected a function that returns a new iterator, got 3 (int). "),
    "array": (lambda: tfinput.from_generator(np.zeros(3)), "ndarray: expected a function that returns a new iterator, got array("),
    "arguments": (lambda: tfinput.from_generator(lambda x: x), "generator: expected a function without arguments, got one of (x). "),
    "no iterator": (lambda: tfinput.from_generator(lambda: 3), "what generator returns: expected an iterator over examples, got 3 (int). "),
    "a pair": (lambda: tfinput.from_generator(lambda: (1, 2)), "what generator returns: expected an iterator over examples, got (1, 2) "),
    "asynchronous": (lambda: tfinput.from_generator(asynchronous), "what asynchronous returns: expected an iterator over examples, got "),
    "empty": (lambda: tfinput.from_generator(lambda: iter(())), "generator: expected at least one example, got none: "),
    "empty iterator": (lambda: tfinput.from_generator(iter(())), "tuple_iterator: expected at least one example, got none: "),
    "empty batch": (
        lambda: tfinput.from_generator(iter([np.zeros((0, 2))]), batched=True),
        "list_iterator, batch #0: expected at least one ",
    ),
    "no batch": (
        lambda: tfinput.from_generator(iter([1.0]), batched=True),
        "list_iterator, batch #0: expected a batch of examples, got a ",
    ),
    "four": (
        lambda: tfinput.from_generator(iter([(1, 2, 3, 4)])),
        "list_iterator, element #0: expected x, (x, y) or (x, y, sample_weight), ",
    ),
    "no element": (
        lambda: tfinput.from_generator(iter([{}])),
        "list_iterator, element #0: expected at least one array, got an empty dict. ",
    ),
    "size 0": (lambda: tfinput.from_generator(Numbers(3), size=0), "size: expected a positive whole number, got 0. "),
    "endless": (lambda: tfinput.from_generator(itertools.count, endless=True), "endless=True: expected size beside it, got none. "),
    "count": (
        lambda: tfinput.from_generator(itertools.count()),
        "count: expected an iterator that ends, or endless=True, got count(0), which ",
    ),
    "cycle": (lambda: tfinput.from_generator(itertools.cycle([1]), size=3), "cycle: expected an iterator that ends, or endless=True, got "),
    "repeat": (
        lambda: tfinput.from_generator(itertools.repeat(1)),
        "repeat: expected an iterator that ends, or endless=True, got repeat(1), ",
    ),
    "validation": (
        lambda: tfinput.from_generator(Numbers(3), validation_data=itertools.count()),
        "validation_data: expected one whole pass, the same each time, got an iterator without end. ",
    ),
    "endless validation": (
        lambda: tfinput.from_generator(itertools.count, size=3, endless=True, validation_data=(broken(-1), 3)),
        "validation_data: expected one whole pass, the same each time, got an iterator without end. ",
    ),
    "workers": (
        lambda: tfinput.from_generator(Numbers(3), workers=2),
        "Numbers with workers=2: expected a function of the number of a shard, got",
    ),
    "batched": (lambda: tfinput.from_generator(Numbers(3), batched=8), "batched: expected True or False, got 8. "),
    "signature": (
        lambda: tfinput.from_generator(Numbers(3), output_signature=tf.int32),
        "output_signature: expected a tf.TensorSpec, got tf.int32 ",
    ),
    "ragged signature": (
        lambda: tfinput.from_generator(Numbers(3), output_signature=(FLOAT, tf.RaggedTensorSpec((None, None), tf.int32))),
        "output_signature[1]: expected a tf.TensorSpec, got RaggedTensorSpec(",
    ),
    "no rank": (
        lambda: tfinput.from_generator(Numbers(3), output_signature=tf.TensorSpec(None)),
        "output_signature: expected a shape of known rank",
    ),
    "even": (lambda: tfinput.from_generator(Numbers(3), output_signature=FLOAT, ragged=True), "ragged=True: expected None in a shape of "),
    "nothing ragged": (
        lambda: tfinput.from_generator(Numbers(3), ragged=True),
        "ragged=True: expected an array whose length may vary, got int64[]. ",
    ),
    "option": (
        lambda: tfinput.from_generator(Numbers(3), steps_per_epoch=3),
        "from_generator(steps_per_epoch=…): expected one of its options, ",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_at_the_call(name: str) -> None:
    run, said = REFUSED[name]
    assert str(raised(run)).startswith(f"tfinput: {said}")


def test_repeat_with_a_count_ends() -> None:
    assert tfinput.from_generator(itertools.repeat(1, 5), batch_size=2).train_size == 5


# Threads and processes.


def running() -> int:
    return sum(thread.name == "tfinput-generator" for thread in threading.enumerate())


def settles(check: Callable[[], bool], seconds: float = 5.0) -> bool:
    give_up = time.monotonic() + seconds
    while not check() and time.monotonic() < give_up:
        gc.collect()
        time.sleep(0.02)
    return check()


def test_a_dropped_iterator_closes_the_generator_and_ends_its_thread() -> None:
    closed: list[bool] = []
    assert settles(lambda: running() == 0)  # those of earlier tests

    def examples() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(True)

    feed = tfinput.from_generator(examples, size=10**9, endless=True, batch_size=4, shuffle_window=8)
    assert settles(lambda: closed == [True])  # of the look at the first element
    iterator = iter(feed.repeated)
    next(iterator)
    assert running() == 1
    del iterator
    assert settles(lambda: running() == 0)
    assert closed == [True, True]


def test_an_iterator_outlives_its_feed_and_nothing_outlives_the_iterator() -> None:
    numbers = Numbers(5000)
    assert settles(lambda: running() == 0)
    kept = weakref.ref(numbers)
    iterator = iter(tfinput.from_generator(numbers, size=5000, batch_size=100, shuffle_window=8).repeated)
    del numbers
    gc.collect()
    assert len({int(number) for _ in range(50) for number in next(iterator)}) == 5000
    del iterator
    assert settles(lambda: kept() is None and running() == 0)


def test_a_dropped_iterator_does_not_wait_for_a_generator_that_blocks() -> None:
    go_on = threading.Event()
    assert settles(lambda: running() == 0)

    def examples() -> Iterator[int]:
        yield from range(200)
        time.sleep(0.06)
        yield 200
        go_on.wait(30)

    feed = tfinput.from_generator(examples, size=300, batch_size=4, shuffle=False)
    iterator = iter(feed.repeated)
    assert next(iterator).numpy().tolist() == [0, 1, 2, 3]
    start = time.monotonic()
    del iterator
    gc.collect()
    assert time.monotonic() - start < 5
    go_on.set()
    assert settles(lambda: running() == 0)


SCRIPT = """
import faulthandler, itertools, os, signal, sys, threading, time
faulthandler.dump_traceback_later(100, exit=True)
signal.signal(signal.SIGINT, signal.default_int_handler)  # A job in the background is started with it ignored.
import numpy as np, keras, tensorflow as tf, tfinput

told, blocked = [], threading.Semaphore(0)

def interrupt():
    blocked.acquire()
    time.sleep(3)  # Keras has compiled its step by then.
    told.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)

def block():
    blocked.release()
    while len(told) == 2:
        pass
    time.sleep(60)

def examples():
    for number in itertools.count():
        if number == 400:
            time.sleep(0.06)
        if number == 401:
            block()
        yield np.full(2, number, "float32"), 0.0

feed = tfinput.from_generator(examples, size=1000, endless=True, batch_size=4, shuffle=False)
model = keras.Sequential([keras.layers.Dense(1)])
model.compile("sgd", "mse")
for attempt in range(3):
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        model.fit(**feed.fit_args(), epochs=1, verbose=0)
    except KeyboardInterrupt:
        print(time.monotonic() - told[-1], flush=True)
iterator = iter(feed.repeated)
print(int(next(iterator)[0][0, 0]), flush=True)
sys.exit(0)
"""


def test_ctrl_c_ends_fit_while_the_generator_blocks_and_the_process_ends_cleanly_with_an_open_iterator() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert (done.returncode, "terminate called" in done.stderr) == (0, False), done.stderr
    *waited, first = done.stdout.split()
    assert len(waited) == 3, done.stderr
    assert all(float(seconds) < 2 for seconds in waited), done.stderr
    assert first == "0"


# Canaries: what TensorFlow and Keras do, and the reason for doing it otherwise.


def test_tensorflows_own_from_generator_changes_values() -> None:
    changed = tf.data.Dataset.from_generator(lambda: iter([300]), output_signature=tf.TensorSpec((), tf.uint8))
    assert [int(value) for value in changed] == [44]


def test_keras_replays_the_first_two_batches_of_a_generator() -> None:
    def batches() -> Iterator[Any]:
        for number in range(5):
            yield np.full((1, 1), number, "float32"), np.zeros((1, 1))

    model, seen = recording_model()
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(batches(), epochs=3, shuffle=False, verbose=0)
    assert seen[True] == [0, 1, 2, 3, 4, 0, 1, 0, 1]


IN_TURN = [0, 100, 200, 1, 101, 201, 2, 102, 202, 3, 203, 4]


def test_shards_come_in_turn_each_from_a_process_of_its_own() -> None:
    feed = tfinput.from_generator(shard, workers=3, batch_size=4, shuffle=False, validation_data=(shard, 12))
    assert feed.train_size == 12
    assert ids(feed.validation) == [IN_TURN[:4], IN_TURN[4:8], IN_TURN[8:]]
    assert [row for batch in ids(feed.repeated, 6) for row in batch] == 2 * IN_TURN
    shuffled = tfinput.from_generator(shard, workers=3, batch_size=4)
    for epoch in (ids(shuffled.repeated, 3), ids(shuffled.at(epoch=1).repeated, 3)):
        assert sorted(itertools.chain(*epoch)) == sorted(IN_TURN)
    here = os.getpid()

    def processes(number: int) -> Any:
        yield np.array([number, os.getpid(), np.random.randint(1 << 30)])  # noqa: NPY002  seeded in each process

    rows = next(iter(tfinput.from_generator(processes, workers=2, batch_size=2, shuffle=False).train)).numpy()
    assert rows[:, 0].tolist() == [0, 1]
    assert len({here, *rows[:, 1].tolist()}) == 3
    assert len(set(rows[:, 2].tolist())) == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raise", r"failing, element #5: ValueError: bad 1"),
        ("kill", r"failing\(1\), in a process of its own, of 2: expected elements until its end, got none: it died \(SIGKILL"),
        ("exit", r"it died \(exit code 3\)"),
        ("lock", r"element #5: TypeError: cannot pickle"),
    ],
)
def test_a_shard_that_fails_is_told(fault: str, said: str) -> None:
    def failing(number: int) -> Any:
        yield from np.arange(2)
        if number == 1:
            if fault == "raise":
                raise ValueError(f"bad {number}")
            if fault == "kill":
                os.kill(os.getpid(), 9)
            if fault == "exit":
                os._exit(3)
            yield threading.Lock()
        yield from np.arange(4)

    feed = tfinput.from_generator(failing, workers=2, size=12, batch_size=12, shuffle=False)
    with pytest.raises(tf.errors.OpError, match=said):
        next(iter(feed.train))


def test_processes_of_shards_run_one_pass_after_the_other_and_end_when_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    monkeypatch.setattr(generator_processes, "IDLE_SECONDS", 1.0)

    def processes(number: int) -> Any:
        yield np.array([number, os.getpid()])

    before = {child.pid for child in psutil.Process().children()}
    feed = tfinput.from_generator(processes, workers=2, size=2, batch_size=2, shuffle=False)
    passes = [np.asarray(batch).tolist() for batch in itertools.islice(feed.repeated, 3)]
    assert [[number for number, _ in batch] for batch in passes] == [[0, 1]] * 3
    assert len({pid for batch in passes for _, pid in batch}) == 2
    end = time.monotonic() + 10
    while {child.pid for child in psutil.Process().children()} - before and time.monotonic() < end:
        time.sleep(0.05)
    assert not {child.pid for child in psutil.Process().children()} - before


def test_processes_of_shards_go_with_the_iterator() -> None:
    import psutil

    def endless(number: int) -> Any:
        yield from itertools.count(number)

    def new() -> int:
        return len({child.pid for child in psutil.Process().children()} - before)

    before = {child.pid for child in psutil.Process().children()}
    feed = tfinput.from_generator(endless, workers=2, size=10**6, endless=True, batch_size=4, shuffle=False)
    iterator = iter(feed.repeated)
    next(iterator)
    assert new() == 2
    del iterator
    end = time.monotonic() + 5
    while new() and time.monotonic() < end:
        time.sleep(0.05)
    assert new() == 0
