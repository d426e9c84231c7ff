"""Evaluation on two logical devices of one strategy: what Keras reports, beside NumPy; a line of JSON for every case."""

from __future__ import annotations

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import json
import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfinput

warnings.simplefilter("error")


def fitted(strategy: Any) -> dict[str, Any]:
    """What two epochs of fit leave, with a short last batch and a validation set smaller than a batch."""
    x = np.arange(26, dtype="float32")[:, None]
    y = np.square(x) / 10
    with strategy.scope():
        net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")])
        net.compile(keras.optimizers.SGD(1e-4), "mse", weighted_metrics=["mae"])
        feed = tfinput.from_arrays(x, y, batch_size=8, validation_data=(x[:5], y[:5]))
    history = net.fit(**feed.fit_args(net), epochs=2, verbose=0).history
    outside = tfinput.from_arrays(x, y, batch_size=5)
    return {
        "weights": [float(np.ravel(weight)[0]) for weight in net.get_weights()],
        "validation": history["val_loss"],
        "refused": refused(lambda: outside.fit_args(net)),
    }


def everyday(strategy: Any) -> list[Any]:
    """The weights that fit leaves, given the datasets and given `fit_args`, by numbers of steps: they tell the order of batches."""
    x = np.arange(24, dtype="float32")[:, None] / 24
    cases = []
    for batch in (24, 12, 8, 4):
        weights = []
        for pages in (False, True):
            with strategy.scope():
                net = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")])
                net.compile(keras.optimizers.SGD(0.3), "mse")
                feed = tfinput.from_arrays(x, np.square(x), batch_size=batch, validation_data=(x, x))
            train, validation = feed
            for start, epochs in ((0, 2), (2, 1)):
                by_page = {"x": train, "validation_data": validation, "shuffle": False}
                given = by_page if pages else feed.at(epoch=start).fit_args()
                net.fit(**given, epochs=epochs, verbose=0)
            weights.append([float(np.ravel(weight)[0]) for weight in net.get_weights()])
        cases.append([batch, *weights])
    return cases


def refused(call: Any) -> str:
    try:
        call()
    except ValueError as error:
        return str(error)
    return ""


def main() -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    alone = tfinput.from_arrays(np.arange(20), batch_size=6)
    order = [batch.numpy().tolist() for batch, _ in zip(alone.repeated, range(8), strict=False)]
    with strategy.scope():
        net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")])
        net.compile(keras.optimizers.SGD(0.0), "mse", metrics=["mae"])
        feed = tfinput.from_arrays(np.arange(20), batch_size=6)
        parts = iter(strategy.experimental_distribute_dataset(feed.repeated))
        shared = [[row for part in strategy.experimental_local_results(next(parts)) for row in part.numpy().tolist()] for _ in range(8)]
        found: list[Any] = []
        evaluated: dict[tuple[int, int], Any] = {}
        for size in range(1, 41):
            x = np.arange(size, dtype="float32")[:, None]
            y = np.square(x[:, 0]) / 10
            off = x[:, 0] + 1 - y
            for batch in (4, 6, 8):
                feed = tfinput.from_arrays(np.zeros((8, 1), "float32"), np.zeros(8, "float32"), batch_size=batch, validation_data=(x, y))
                # An evaluation takes half a second; feeds of one layout are one case.
                layout = size, feed.validation_batch_size
                if layout not in evaluated:
                    evaluated[layout] = net.evaluate(**feed.evaluate_args(), verbose=0)
                loss, error = evaluated[layout]
                found.append([size, batch, loss, float(np.square(off).mean()), error, float(np.abs(off).mean()), True])
    print(json.dumps({"cases": found, "order": order, "shared": shared, "everyday": everyday(strategy)} | fitted(strategy)))


if __name__ == "__main__":
    main()
