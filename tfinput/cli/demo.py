"""The demo: handwritten digits to a trained model, and the validation result counted again with NumPy."""

from __future__ import annotations

import importlib.resources
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def run(epochs: int, batch_size: int, seed: int) -> int:
    """Train, evaluate, and compare with NumPy; 0 if the two agree."""
    with _without_native_log():
        import keras
        import tensorflow as tf

    import numpy as np

    import tfinput

    def scale(image: Any, digit: Any) -> Any:
        return tf.cast(image, tf.float32) / 16, digit

    packed = importlib.resources.files("tfinput") / "data" / "digits.npz"
    with importlib.resources.as_file(packed) as path:
        feed = tfinput.from_arrays(path, batch_size=batch_size, validation_split=0.2, seed=seed, preprocess=scale, cache="memory")
        with np.load(path) as arrays:
            digits = arrays["y"]

    print(feed)
    print(f"An epoch is {feed.steps_per_epoch} steps, validation is {feed.validation_steps}. Keras backend: {keras.backend.backend()}.\n")

    keras.utils.set_random_seed(seed % 2**32)
    layers = keras.layers
    seen = [layers.Reshape((8, 8, 1)), layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D()]
    model = keras.Sequential([keras.Input((8, 8)), *seen, layers.Flatten(), layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    model.fit(**feed.fit_args(model), epochs=epochs, verbose=2)

    by_keras = model.evaluate(**feed.evaluate_args(), verbose=0, return_dict=True)["accuracy"]
    guessed = model.predict(**feed.predict_args(), verbose=0).argmax(axis=1)
    right = int((guessed == digits[feed.indices["validation"]]).sum())
    size = feed.validation_size
    equal = len(guessed) == size and abs(by_keras - right / size) < 1e-6
    print(f"\nThe whole validation set, once: Keras says {by_keras:.6f}; NumPy counts {right} of {size} right, {right / size:.6f}.")
    print("They are equal." if equal else "They differ, and must not: please report it.")
    return 0 if equal else 1


@contextmanager
def _without_native_log() -> Iterator[None]:
    """Keep TensorFlow's C++ log of its start off the terminal; before its logger is set up, no setting does that."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # No standard error at all.
        yield
        return
    hidden = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(hidden, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(hidden)
        os.close(kept)
