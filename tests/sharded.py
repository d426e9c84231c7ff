"""Evaluation on two JAX devices that share each batch: what Keras reports, beside NumPy; a line of JSON for every case."""

from __future__ import annotations

import os

os.environ |= {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "TF_CPP_MIN_LOG_LEVEL": "3"}

import json
import warnings
from typing import Any

import keras
import numpy as np

import tfinput

warnings.simplefilter("error")
warnings.filterwarnings("ignore", category=DeprecationWarning)
keras.distribution.set_distribution(keras.distribution.DataParallel())


def model() -> Any:
    made = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")])
    made.compile(keras.optimizers.SGD(0.0), "mse", weighted_metrics=["mae"])
    return made


def main() -> None:
    net = model()
    found = []
    for size in range(1, 41):
        x = np.arange(size, dtype="float32")[:, None]
        y = np.square(x[:, 0]) / 10
        weight = 1 + x[:, 0] % 3
        for batch in (4, 6, 8):
            weighted = size % 2 == 0
            data = (x, y, weight) if weighted else (x, y)
            feed = tfinput.from_arrays(np.zeros((8, 1), "float32"), np.zeros(8, "float32"), batch_size=batch, validation_data=data)
            loss, error = net.evaluate(**feed.evaluate_args(), verbose=0)
            off = x[:, 0] + 1 - y
            per = np.square(off) * weight if weighted else np.square(off)
            mae = np.average(np.abs(off), weights=weight if weighted else None)
            exact = [row for part in feed.examples("validation") for row in np.asarray(part[0])[:, 0].tolist()]
            found.append([size, batch, loss, float(per.mean()), error, float(mae), exact == x[:, 0].tolist()])
    feed = tfinput.from_arrays(np.arange(21, dtype="float32")[:, None], np.arange(21.0), batch_size=4, validation_split=3)
    net.fit(**feed.fit_args(net), epochs=2, verbose=0)
    print(json.dumps({"cases": found, "steps": feed.steps_per_epoch, "spec": str(feed.element_spec[0].shape)}))


if __name__ == "__main__":
    main()
