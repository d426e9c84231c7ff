"""What Keras and TensorFlow do today, where the design leans on it: a failure here says that an upgrade changed it."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfinput
from tfinput.sampling import epoch_counter


def recorded(fit: Any) -> list[list[int]]:
    """The identities that reach a model in each of four epochs of `fit(model)`."""
    seen: list[int] = []

    class Tap(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            tf.py_function(lambda values: seen.extend(values.numpy()[:, 0].astype(int).tolist()), [x], [])
            return tf.reduce_sum(x, axis=1, keepdims=True) * 0.0

    model = keras.Sequential([Tap(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    fit(model)
    return [seen[place : place + len(seen) // 4] for place in range(0, len(seen), len(seen) // 4)]


def test_a_global_seed_freezes_keras_own_shuffling_and_not_a_feeds() -> None:
    x, y = np.arange(40, dtype="f4")[:, None], np.zeros(40, "f4")
    keras.utils.set_random_seed(1)
    frozen = recorded(lambda model: model.fit(x, y, batch_size=8, epochs=4, verbose=0))
    assert all(epoch == frozen[0] for epoch in frozen)
    assert frozen[0] != list(range(40))
    keras.utils.set_random_seed(1)
    feed = tfinput.from_arrays(x, y, batch_size=8)
    ours = recorded(lambda model: model.fit(**feed.fit_args(), epochs=4, verbose=0))
    assert len(set(map(tuple, ours))) == 4
    assert all(sorted(epoch) == list(range(40)) for epoch in ours)


def test_keras_looks_at_a_first_batch_where_the_epoch_counter_looks_for_it() -> None:
    """The reason for `epoch_counter.LOOKS`: the look must not count as a pass, and is told by the names of these functions."""
    from keras.src.trainers.trainer import Trainer

    trainers = [Trainer, keras.Model]
    assert all(any(hasattr(trainer, name) for trainer in trainers) for name in epoch_counter.BUILDING)
    assert Trainer.__module__.startswith("keras.")


def test_steps_per_execution_that_does_not_divide_makes_keras_epochs_longer() -> None:
    """The reason for `fit_args(model)`: 5 steps with 2 an execution become 6."""
    feed = tfinput.from_arrays(np.arange(20.0)[:, None], np.zeros(20), batch_size=4)
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse", steps_per_execution=2)
    model.fit(**feed.fit_args(), epochs=1, verbose=0)
    assert int(model.optimizer.iterations) == 6


def test_outputs_losses_are_means_of_batch_means_where_the_batch_is_short() -> None:
    """Of several outputs, each one's own loss is inexact in Keras with the TensorFlow backend; the total is exact."""
    x = np.arange(10.0)[:, None]
    inputs = keras.Input((1,))
    heads = {name: keras.layers.Dense(1, kernel_initializer="ones", name=name)(inputs) for name in "ab"}
    model = keras.Model(inputs, heads)
    model.compile(loss={"a": "mse", "b": "mse"})
    y = {"a": np.zeros((10, 1)), "b": np.zeros((10, 1))}
    short = tfinput.from_arrays(x, y, validation_data=(x, y), validation_batch_size=4)
    even = tfinput.from_arrays(x, y, validation_data=(x, y), batch_size=6)
    assert even.validation_batch_size == 5
    exact = (x**2).mean()
    inexact = np.mean([(x[part] ** 2).mean() for part in (slice(0, 4), slice(4, 8), slice(8, 10))])
    result = model.evaluate(**short.evaluate_args(), verbose=0, return_dict=True)
    assert result["loss"] == pytest.approx(2 * exact)
    assert result["a_loss"] == pytest.approx(inexact)
    result = model.evaluate(**even.evaluate_args(), verbose=0, return_dict=True)
    assert result["a_loss"] == pytest.approx(exact)


def test_rebatch_goes_round_a_list_of_sizes() -> None:
    dataset = tf.data.Dataset.range(20).batch(20).repeat(2).rebatch([3, 3, 1])
    assert [len(batch) for batch in dataset] == [3, 3, 1] * 5 + [3, 2]


def test_rebatch_loses_the_cardinality_that_a_feed_puts_back() -> None:
    assert tf.data.Dataset.range(20).batch(4).rebatch(5).cardinality() == tf.data.UNKNOWN_CARDINALITY
    feed = tfinput.from_arrays(np.arange(20), batch_size=8, validation_split=3)
    assert feed.repeated.cardinality() == tf.data.INFINITE_CARDINALITY
    assert feed.validation.cardinality() == 1


def test_a_wrong_promise_of_cardinality_is_an_error() -> None:
    dataset = tf.data.Dataset.range(4).apply(tf.data.experimental.assert_cardinality(5))
    with pytest.raises(tf.errors.FailedPreconditionError):
        list(dataset)


def test_fit_on_a_feed_does_not_warn() -> None:
    feed = tfinput.from_arrays(np.arange(23.0)[:, None], np.zeros(23), batch_size=4, validation_split=5)
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(**feed.fit_args(), epochs=3, verbose=0)
        model.evaluate(**feed.evaluate_args(), verbose=0)
        model.predict(**feed.predict_args(), verbose=0)
    assert int(model.optimizer.iterations) == 3 * feed.steps_per_epoch


def test_names_inside_keras_and_tensorflow_that_pure_draws_rely_on() -> None:
    flip = keras.layers.RandomFlip()
    assert type(flip).__mro__[1].__name__ == "BaseImagePreprocessingLayer"
    assert type(flip.backend).__name__ == "DynamicBackend"
    assert hasattr(flip, "_get_seed_generator")
    assert flip in keras.Sequential([flip])._flatten_layers()
    graphs: list[str] = []
    scopes: list[str] = []

    def seen(x: Any) -> Any:
        graphs.append(type(tf.compat.v1.get_default_graph()).__name__)
        return x

    def scoped(x: Any) -> Any:
        scopes.append(tf.get_current_name_scope())
        return x

    @tf.function
    def run(x: Any) -> Any:
        return tf.cond(x[0] > 0, lambda: seen(x), lambda: x), tf.vectorized_map(scoped, x)

    run(tf.range(3))
    assert set(graphs) == {"CondBranchFuncGraph"}
    assert scopes
    assert all("loop_body" in scope.split("/") for scope in scopes)
