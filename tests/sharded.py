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
from tfinput.engine import devices

warnings.simplefilter("error")
warnings.filterwarnings("ignore", category=DeprecationWarning)
keras.distribution.set_distribution(keras.distribution.DataParallel())


def model(rate: float) -> Any:
    made = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")])
    made.compile(keras.optimizers.SGD(rate), "mse", weighted_metrics=["mae"])
    return made


def fitted() -> dict[str, Any]:
    """What two epochs of fit leave, with a validation set that no batch size divides."""
    x = np.arange(26, dtype="float32")[:, None]
    y = np.square(x) / 10
    net = model(1e-4)
    feed = tfinput.from_arrays(x, y, batch_size=8, validation_data=(x[:5], y[:5]))
    history = net.fit(**feed.fit_args(net), epochs=2, verbose=0).history
    return {
        "weights": [float(np.ravel(weight)[0]) for weight in net.get_weights()],
        "validation": history["val_loss"],
        "steps": feed.steps_per_epoch,
        "spec": str(feed.element_spec[0].shape),
    }


def meshes() -> list[list[int]]:
    """How other meshes of the same devices share a batch."""
    found = []
    for shape in ((2, 1), (1, 2)):
        mesh = keras.distribution.DeviceMesh(shape, ["data", "model"], keras.distribution.list_devices())
        layouts = keras.distribution.LayoutMap(mesh)
        with keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="data").scope():
            found.append(list(devices.shares()))
    return found


def main() -> None:
    net = model(0.0)
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
    print(json.dumps({"cases": found, "meshes": meshes()} | fitted()))


if __name__ == "__main__":
    main()
