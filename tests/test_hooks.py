"""The user's functions in the pipeline: seeds, structures, and errors that name the example and the function."""

from __future__ import annotations

import itertools
import re
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from identities import ids

import tfinput


def refuses_fifty(x: Any) -> Any:
    tf.debugging.assert_none_equal(x, tf.constant(50, x.dtype), message="fifty is not allowed")
    return x


def raises_at_fifty(x: Any) -> Any:
    def check(value: Any) -> Any:
        if value == 50:
            raise KeyError("no fifty here")
        return value

    return tf.numpy_function(check, [x], tf.int64)


def error_of(feed: tfinput.Feed, in_fit: bool) -> str:
    """The message that reaches the user, from plain iteration or from inside fit."""
    model = keras.Sequential([keras.layers.Lambda(lambda x: tf.cast(x, tf.float32)[:, None]), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        _ = model.fit(**feed.fit_args(), verbose=0) if in_fit else list(feed.repeated.take(feed.steps_per_epoch))
    return str(caught.value)


def test_no_example_is_lost_silently_wherever_the_error_is() -> None:
    bad = tf.Variable(0, dtype=tf.int64)
    feed = tfinput.from_arrays(np.arange(12), batch_size=5, preprocess=lambda x: (tf.debugging.assert_none_equal(x, bad), x)[1])
    for place in range(12):
        bad.assign(place)
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"example {place}: "):
            list(feed.repeated.take(3))


@pytest.mark.parametrize(
    ("hook", "said", "option", "in_fit"),
    [
        (refuses_fifty, "fifty is not allowed", "preprocess", True),
        (refuses_fifty, "fifty is not allowed", "augment", False),
        (raises_at_fifty, "KeyError: 'no fifty here'", "preprocess", False),
        (raises_at_fifty, "KeyError: 'no fifty here'", "augment", True),
    ],
)
def test_an_error_names_the_hook_and_the_example_in_one_line(hook: Any, said: str, option: str, in_fit: bool) -> None:
    x = np.arange(100)
    feed = tfinput.from_arrays(x, x.astype("f4"), batch_size=8, **{option: lambda x, y: (hook(x), y)})
    message = error_of(feed, in_fit)
    first = next(line for line in message.splitlines() if "tfinput:" in line)
    assert re.search(rf"tfinput: {option} failed in arrays, example 50: .*{said}", first), first
    assert hook.__name__ in message, "the user's traceback is kept"


@pytest.mark.parametrize("option", ["batch_preprocess", "batch_augment"])
def test_an_error_in_a_batch_names_the_hook_and_the_step(option: str) -> None:
    feed = tfinput.from_arrays(np.arange(100), batch_size=10, shuffle=False, **{option: lambda x: (refuses_fifty(x), x)[0]})
    assert f"tfinput: {option} failed in arrays, step 5 of epoch 0" in error_of(feed, in_fit=False)
    later = feed.at(epoch=3, step=4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="step 5 of epoch 3"):
        list(later.repeated.take(3))


def test_the_batches_before_an_error_arrive() -> None:
    feed = tfinput.from_arrays(np.arange(100), batch_size=10, shuffle=False, preprocess=refuses_fifty, num_parallel_calls=1)
    got = []
    with pytest.raises(tf.errors.InvalidArgumentError):
        got.extend(batch.numpy().tolist() for batch in feed.repeated.take(10))
    assert got[:3] == [list(range(place, place + 10)) for place in (0, 10, 20)]


def test_examples_of_unequal_shape_are_named() -> None:
    feed = tfinput.from_arrays(np.arange(1, 40), batch_size=4, preprocess=lambda x: tf.range(tf.minimum(x, 20)))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"tfinput: preprocess: expected the shape \(\d+,\) of arrays, example \d+, got"
    ):
        list(feed.repeated.take(10))


def test_an_unreproducible_error_says_so() -> None:
    raised = []

    def flaky(value: Any) -> Any:
        if not raised:
            raised.append(True)
            raise RuntimeError("once")
        return value

    feed = tfinput.from_arrays(np.arange(40), preprocess=lambda x: tf.ensure_shape(tf.numpy_function(flaky, [x], tf.int64), []))
    with pytest.raises(tf.errors.InvalidArgumentError, match="failed once and worked when run again"):
        list(feed.repeated.take(200))  # Which of the batches that are made side by side comes first is open.


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (lambda x: np.sqrt(x), r"tfinput: preprocess: expected a function that takes \(?TensorSpec.*NotImplementedError.*use tf functions"),
        (lambda x, y: x, r"tfinput: preprocess: expected a function of \(x\), got one of \(x, y\)\. Write it as def preprocess\(x\)"),
        (lambda x: x + "text", r"tfinput: preprocess: expected a function that takes"),
        (keras.layers.Rescaling(2.0), r"tfinput: preprocess: .* a Keras layer.*Pass it as batch_preprocess"),
    ],
)
def test_a_hook_that_cannot_work_is_refused_at_the_call(hook: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        tfinput.from_arrays(np.arange(10), preprocess=hook)
    depth = len(caught.traceback)
    assert depth < 8, "TensorFlow's tracing is not in the traceback"


@pytest.mark.parametrize("option", ["preprocess", "augment", "batch_preprocess", "batch_augment"])
@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda x, y: None, r"got None\. End it with: return x, y\."),
        (lambda x, y: (), r"got \(\)\. End it with: return x, y\."),
        (lambda x, y: {}, r"got {}\. End it with: return x, y\."),
        (lambda x, y: (x, None), r"got None in \('tensor', None\)\. Leave it out, or return a tensor\."),
        (lambda x, y: ({"a": x, "b": None}, y), r"got None in \({'a': 'tensor', 'b': None}, 'tensor'\)\."),
        (lambda x, y: {"x", "y"}, r"got set {.*}\. Return tensors, in tuples or dicts, such as \(x, y\)\."),
        (lambda x, y: (part for part in (x, y)), r"got generator .*\. Return tensors, in tuples"),
        (lambda x, y: (object(), y), r"got object .*\. Return tensors"),
        (lambda x, y: tf.data.Dataset.from_tensors(x), r"got \S*Dataset .*\. Return tensors"),
    ],
)
def test_a_hook_that_returns_no_tensors_is_refused_at_the_call(option: str, result: Any, message: str) -> None:
    with pytest.raises(TypeError, match=rf"^tfinput: {option}: expected tensors from it, {message}"):
        tfinput.from_arrays(np.arange(10), np.arange(10), batch_size=5, **{option: result})


def test_hooks_may_change_structure_dtype_and_shape() -> None:
    feed = tfinput.from_arrays(
        np.arange(6.0),
        np.arange(6),
        batch_size=4,
        preprocess=lambda x, y: ({"a": tf.stack([x, x]), "b": tf.strings.as_string(y)}, y),
        batch_preprocess=lambda x, y: [x["a"], y, tf.ones_like(y)],
    )
    assert [part.shape.as_list() for part in feed.element_spec] == [[None, 2], [None], [None]]
    x, y, weight = next(iter(feed.train))
    assert np.array_equal(x.numpy()[:, 0], y.numpy())
    assert weight.numpy().tolist() == [1] * 4


def test_shapes_that_python_code_loses_are_found_again() -> None:
    hook = lambda x: tf.numpy_function(lambda value: np.full((2, 3), value, "f4"), [x], tf.float32)  # noqa: E731
    feed = tfinput.from_arrays(np.arange(9), batch_size=4, preprocess=hook)
    assert feed.element_spec.shape.as_list() == [None, 2, 3]


def test_augment_runs_on_train_only_and_after_preprocess() -> None:
    feed = tfinput.from_arrays(np.arange(10), batch_size=3, validation_split=4, preprocess=lambda x: x * 10, augment=lambda x: x + 1)
    train = sorted(itertools.chain(*ids(feed.train, feed.steps_per_epoch)))
    assert train == [10 * value + 1 for value in feed.indices["train"]]
    assert list(itertools.chain(*ids(feed.validation))) == [10 * value for value in feed.indices["validation"]]
    assert list(itertools.chain(*ids(feed.examples("train")))) == [10 * value for value in feed.indices["train"]]


def test_batch_hooks_see_whole_batches_of_their_split() -> None:
    sizes: list[int] = []

    def batch_preprocess(x: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(lambda v: (sizes.append(len(v)), v)[1], [x], tf.int64), x.shape)

    feed = tfinput.from_arrays(np.arange(10), batch_size=4, validation_split=3, batch_preprocess=batch_preprocess)
    assert [len(batch) for batch in feed.validation] == [3]
    assert sizes == [3]
    assert [len(batch) for batch in feed.repeated.take(4)] == [4, 3, 4, 3]


def test_a_seed_is_given_to_those_that_take_one() -> None:
    shapes = []

    def augment(x: Any, seed: Any) -> Any:
        shapes.append((seed.shape.as_list(), seed.dtype))
        return x + tf.random.stateless_uniform([], seed, 0, 1000, tf.int64)

    with_seed = tfinput.from_arrays(np.zeros(50, int), batch_size=10, augment=augment)
    assert shapes[0] == ([2], tf.int32)
    drawn = list(itertools.chain(*ids(with_seed.repeated, 10)))
    assert len(set(drawn)) > 80
    without = tfinput.from_arrays(np.arange(5), augment=lambda x: x)
    assert sorted(ids(without.repeated, 1)[0]) == [0, 1, 2, 3, 4]


def test_seeds_of_examples_and_epochs_are_all_different() -> None:
    feed = tfinput.from_arrays(np.arange(500), batch_size=100, augment=lambda x, seed: seed)
    drawn = np.concatenate([batch.numpy() for batch in feed.repeated.take(20)])
    assert len(np.unique(drawn, axis=0)) == 2000
    assert len(np.unique(drawn[:, 0])) > 1990


def test_a_keras_model_may_preprocess_batches() -> None:
    x = np.random.default_rng(0).normal(5, 3, (64, 4)).astype("f4")
    norm = keras.layers.Normalization()
    norm.adapt(tfinput.from_arrays(x, batch_size=16).examples())
    feed = tfinput.from_arrays(x, np.arange(64), batch_size=16, batch_preprocess=norm)
    served = np.concatenate([batch[0].numpy() for batch in feed.examples()])
    assert np.allclose(served, (x - x.mean(0)) / x.std(0), atol=1e-4)


@pytest.mark.parametrize("layer", [keras.layers.GaussianNoise(0.5), keras.layers.Dropout(0.5), keras.layers.RandomRotation(0.3)])
def test_random_keras_layers_resume_and_leave_their_own_state_alone(layer: Any) -> None:
    x = np.random.default_rng(0).uniform(size=(12, 6, 6, 3)).astype("f4")
    state = [np.asarray(variable) for variable in layer.variables]
    feed = tfinput.from_arrays(x, batch_size=4, batch_augment=layer)
    whole = [batch.numpy() for batch in feed.repeated.take(9)]
    for step in (1, 2, 3, 5):
        for ours, theirs in zip(feed.at(step=step).repeated.take(2), whole[step:], strict=False):
            assert np.array_equal(ours.numpy(), theirs)
    assert not np.array_equal(whole[0], whole[3])
    assert all(np.array_equal(before, np.asarray(after)) for before, after in zip(state, layer.variables, strict=True))
    plain = np.concatenate([batch.numpy() for batch in feed.examples()])
    assert np.array_equal(plain, x)


def test_hooks_are_traced_once_for_all_datasets_of_a_source() -> None:
    traced: list[str] = []

    def preprocess(x: Any) -> Any:
        traced.append("preprocess")
        return x * 2

    def batch_augment(x: Any, seed: Any) -> Any:
        traced.append("batch_augment")
        return x + tf.cast(seed[0] * 0, x.dtype)

    feed = tfinput.from_arrays(np.arange(12), batch_size=3, preprocess=preprocess, batch_augment=batch_augment)
    assert list(itertools.chain(*ids(feed.examples()))) == list(range(0, 24, 2))
    before = list(traced)
    expected = ids(feed.repeated, 8)
    for step in (1, 5):
        assert ids(feed.at(step=step).repeated, 3) == expected[step : step + 3]
    for fold in feed.kfold(2):
        assert sorted(itertools.chain(*ids(fold.repeated, 2))) == sorted(2 * fold.indices["train"])
    assert list(itertools.chain(*ids(feed.examples()))) == list(range(0, 24, 2))
    assert traced == before


def test_deterministic_hooks_work_with_one_example_and_one_step() -> None:
    feed = tfinput.from_arrays(np.arange(1), preprocess=lambda x: x + 1, batch_preprocess=lambda x: x * 2)
    assert ids(feed.repeated, 3) == [[2], [2], [2]]
