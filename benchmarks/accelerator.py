"""Keras on an accelerator: seconds a training step fed by tfinput, beside the same step on one batch that stays on the device.

    KERAS_BACKEND=jax python benchmarks/accelerator.py [--quick] [--repeats 5]

It stands alone, since it needs a machine of another kind than the other benchmarks: it prints one line of JSON for each case, with the
device's name, and writes nothing. The resident step is that of the same `model.fit`, which is given a feed of single numbers and puts a
batch of its own in their place; so the difference is all that feeding costs: making the batch, taking it to the device, waiting for it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # which the other benchmarks hide

import images
import keras
import numpy as np

import tfinput

CASES: dict[str, dict[str, Any]] = {
    "arrays, 32 x 32 x 3, batch 256": {"rows": 25_600, "side": 32, "batch": 256, "width": 64},
    "arrays, 224 x 224 x 3, batch 32": {"rows": 1_280, "side": 224, "batch": 32, "width": 32},
    "JPEG, 500 x 375 to 224 x 224, batch 32": {"rows": 1_024, "side": 224, "batch": 32, "width": 32, "files": True},
    "JPEG, cached, batch 32": {"rows": 1_024, "side": 224, "batch": 32, "width": 32, "files": True, "cache": "memory"},
}


class Resident(keras.Model):
    """Trains on one batch, whatever it is given."""

    batch: Any = None

    def train_step(self, *given: Any) -> Any:
        return super().train_step(*given[:-1], self.batch or given[-1])


def device() -> str:
    """The name of what trains."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return f"JAX: {jax.devices()[0].device_kind}"
    if backend == "torch":
        import torch

        return f"torch: {torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'}"
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return f"TensorFlow: {tf.config.experimental.get_device_details(gpus[0])['device_name'] if gpus else 'CPU'}"


def model(side: int, width: int, batch: Any = None) -> Any:
    layers = keras.layers
    seen = layers.Input((side, side, 3))
    x = layers.Rescaling(1 / 255)(seen)
    for wider in (1, 2, 4):
        x = layers.Conv2D(width * wider, 3, strides=2, padding="same", activation="relu")(x)
        x = layers.Conv2D(width * wider, 3, padding="same", activation="relu")(x)
    made = Resident(seen, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))
    made.batch = batch
    made.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    if batch is not None:
        made.test_on_batch(*batch)  # Else `fit` would build loss and metrics by what it is given.
    return made


def feed_of(case: dict[str, Any], folder: str) -> Any:
    side, batch = case["side"], case["batch"]
    if "files" in case:
        images.written({"rows": case["rows"], "width": 500, "height": 375}, folder)
        options = {"image_size": (side, side), "dtype": "uint8", "cache": case.get("cache")}
        return tfinput.from_images(folder, batch_size=batch, verbose=False, **options)
    random = np.random.default_rng(0)
    x = random.integers(256, size=(case["rows"], side, side, 3), dtype="uint8")
    return tfinput.from_arrays(x, random.integers(10, size=case["rows"]), batch_size=batch)


def epoch(trained: Any, arguments: dict[str, Any]) -> Callable[[], float]:
    """Seconds a step of one more epoch; the first, which compiles, is over."""

    def run() -> float:
        start = time.perf_counter()
        trained.fit(**arguments, epochs=1, verbose=0)
        return (time.perf_counter() - start) / arguments["steps_per_epoch"]

    run()
    return run


def measured(case: dict[str, Any], repeats: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        feed = feed_of(case, folder)
        batch = tuple(keras.ops.convert_to_tensor(part.numpy()) for part in next(iter(feed.repeated)))
        nothing = tfinput.from_arrays(np.zeros((case["rows"], 1), "uint8"), batch_size=case["batch"])
        runs = {
            "tfinput": epoch(model(case["side"], case["width"]), feed.fit_args()),
            "resident": epoch(model(case["side"], case["width"], batch), nothing.fit_args()),
        }
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(repeats):
            for name, run in runs.items():
                seconds[name].append(run())
    median = {name: statistics.median(each) for name, each in seconds.items()}
    found = {
        f"{name}, ms a step": [round(1e3 * value, 3) for value in (median[name], min(each), max(each))] for name, each in seconds.items()
    }
    return found | {"of the resident batch": round(median["resident"] / median["tfinput"], 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few examples and 2 repeats: only whether it runs")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    for name, case in CASES.items():
        case = case | ({"rows": 2 * case["batch"], "width": 4} if args.quick else {})
        print(json.dumps({"case": name, "device": device(), **measured(case, 2 if args.quick else args.repeats)}), flush=True)


if __name__ == "__main__":
    main()
