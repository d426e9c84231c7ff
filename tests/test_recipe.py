"""The old recipe of fit_generator, with a real fit: what the model itself was given, example by example."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfinput

TRAIN, VALIDATION, BATCH, VALIDATION_BATCH = 50, 21, 8, 5
STEPS, VALIDATION_STEPS = 7, 5


class Record(keras.layers.Layer):
    """Passes its input on, and notes which examples came in which call."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, list[list[int]]] = {"train": [], "validation": []}

    def call(self, x: Any, training: bool = False) -> Any:
        def note(values: Any) -> None:
            self.seen["train" if training else "validation"].append([int(value) for value in values.numpy().ravel()])

        with tf.control_dependencies([tf.py_function(note, [x], [])]):
            return tf.identity(x)

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


def recorded_model() -> tuple[Any, dict[str, list[list[int]]]]:
    record = Record()
    model = keras.Sequential([keras.Input((1,)), record, keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(1e-6), "mse")
    return model, record.seen


def recipe_feed(**options: Any) -> tfinput.Feed:
    """Examples that are their own identities: train 0 to 49, validation 50 to 70."""
    x = np.arange(TRAIN + VALIDATION, dtype="float32").reshape(-1, 1)
    asked = {"batch_size": BATCH, "validation_batch_size": VALIDATION_BATCH, **options}
    return tfinput.from_arrays(x[:TRAIN], x[:TRAIN], validation_data=(x[TRAIN:], x[TRAIN:]), **asked)


def passes(batches: list[list[int]], steps: int) -> list[list[int]]:
    """The examples of each epoch, in order."""
    assert len(batches) % steps == 0
    return [list(itertools.chain(*batches[place : place + steps])) for place in range(0, len(batches), steps)]


@pytest.mark.floor
def test_every_epoch_trains_on_the_whole_set_once_and_validates_on_the_whole_set_once() -> None:
    feed = recipe_feed()
    assert (feed.steps_per_epoch, feed.validation_steps) == (STEPS, VALIDATION_STEPS)
    model, seen = recorded_model()
    history = model.fit(**feed.fit_args(model), epochs=3, verbose=0)
    assert len(history.history["val_loss"]) == 3
    assert int(model.optimizer.iterations) == 3 * STEPS

    epochs = passes(seen["train"], STEPS)
    assert len(epochs) == 3
    assert all(sorted(epoch) == list(range(TRAIN)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3
    assert [len(batch) for batch in seen["train"][:STEPS]] == [8, 8, 8, 8, 8, 8, 2]

    checks = passes(seen["validation"], VALIDATION_STEPS)
    assert checks == [list(range(TRAIN, TRAIN + VALIDATION))] * 3
    assert [len(batch) for batch in seen["validation"][:VALIDATION_STEPS]] == [5, 5, 5, 5, 1]


def test_one_step_an_epoch_goes_on_with_the_next_batch() -> None:
    feed = recipe_feed()
    model, seen = recorded_model()
    model.fit(**{**feed.fit_args(), "steps_per_epoch": 1}, epochs=2 * STEPS, verbose=0)

    first, second = passes(seen["train"], STEPS)
    assert sorted(first) == sorted(second) == list(range(TRAIN))
    assert first != second
    # The price: a whole validation pass after each single step.
    assert passes(seen["validation"], VALIDATION_STEPS) == [list(range(TRAIN, TRAIN + VALIDATION))] * (2 * STEPS)

    whole, whole_seen = recorded_model()
    whole.fit(**feed.fit_args(whole), epochs=2, verbose=0)
    assert whole_seen["train"] == seen["train"]


def test_a_callback_logs_inside_a_long_epoch() -> None:
    feed = recipe_feed()
    model, seen = recorded_model()
    logged: list[tuple[int, int]] = []

    def log(step: int, logs: Any) -> None:
        assert np.isfinite(logs["loss"])
        logged.append((step, len(seen["validation"])))

    model.fit(**feed.fit_args(model), epochs=2, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=log)], verbose=0)
    assert [step for step, _ in logged] == 2 * list(range(STEPS))
    assert [before for _, before in logged] == [0] * STEPS + [VALIDATION_STEPS] * STEPS


def test_evaluation_equals_numpy_on_the_whole_set() -> None:
    feed = recipe_feed()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    result = model.evaluate(**feed.evaluate_args(), verbose=0, return_dict=True)
    x = np.arange(TRAIN, TRAIN + VALIDATION, dtype="float32")
    error = x * model.get_weights()[0].item() + model.get_weights()[1].item() - x
    assert result["loss"] == pytest.approx(np.mean(error**2), rel=1e-5)
    assert result["mae"] == pytest.approx(np.mean(np.abs(error)), rel=1e-5)


def test_a_resumed_fit_trains_on_the_batches_that_were_left() -> None:
    feed = recipe_feed()
    whole, whole_seen = recorded_model()
    whole.fit(**feed.fit_args(), epochs=3, verbose=0)

    model, seen = recorded_model()
    model.fit(**feed.fit_args(), epochs=1, verbose=0)
    model.fit(**feed.at(epoch=1).fit_args(), initial_epoch=1, epochs=3, verbose=0)
    assert seen == whole_seen
