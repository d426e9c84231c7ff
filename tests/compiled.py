"""How often XLA compiles a training or a test step while Keras fits and evaluates: a line of JSON."""
# ruff: noqa: E402 - settings come before imports here.

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

DUMP = tempfile.TemporaryDirectory()
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["XLA_FLAGS"] = f"--xla_dump_to={DUMP.name} --xla_dump_hlo_as_text --xla_dump_hlo_module_re=.*step.*"
sys.path.insert(0, str(Path(__file__).parents[1]))

import json
import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfinput

warnings.simplefilter("error")
warnings.filterwarnings("ignore", category=DeprecationWarning)


def compiled(**options: Any) -> int:
    """Steps that were compiled during a whole fit and an evaluation."""
    before = len(list(Path(DUMP.name).glob("*before_optimizations.txt")))
    x = np.arange(43, dtype="float32")[:, None]
    feed = tfinput.from_arrays(x, x, batch_size=8, validation_split=10, **options)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"], jit_compile=True)
    model.fit(**feed.fit_args(model), epochs=3, verbose=0)
    model.evaluate(**feed.evaluate_args(), verbose=0)
    return len(list(Path(DUMP.name).glob("*before_optimizations.txt"))) - before


if __name__ == "__main__":
    gpus = [device.name for device in tf.config.get_visible_devices("GPU")]
    print(json.dumps({"static": compiled(drop_remainder=True), "short last batch": compiled(), "gpus": gpus}))
