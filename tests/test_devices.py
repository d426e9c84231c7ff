"""Devices that share batches: validation stays exact for every size, and the order is that of one device."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfinput
from tfinput import options, pipeline
from tfinput.order import Members
from tfinput.sources import arrays

HERE = Path(__file__).parent
JAX = importlib.util.find_spec("jax") is not None or os.environ.get("TFINPUT_REQUIRE_BACKENDS") == "1"


def told_by(script: str) -> Any:
    done = subprocess.run([sys.executable, str(HERE / script)], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def exact(cases: list[Any]) -> None:
    assert len(cases) == 40 * 3
    for size, batch, loss, wanted, error, off, whole in cases:
        assert loss == pytest.approx(wanted, rel=1e-5), (size, batch)
        assert error == pytest.approx(off, rel=1e-5), (size, batch)
        assert whole, (size, batch)


@pytest.mark.backends
@pytest.mark.skipif(not JAX, reason="needs the extra `backends`")
def test_evaluate_is_exact_on_two_jax_devices_for_every_size() -> None:
    told = told_by("sharded.py")
    exact(told["cases"])
    assert (told["steps"], told["spec"]) == (4, "(4, 1)")  # of 18 examples, in whole batches


def test_evaluate_is_exact_on_two_replicas_and_the_order_is_that_of_one() -> None:
    told = told_by("mirrored.py")
    exact(told["cases"])
    assert told["shared"] == told["order"]


def settings(batch_size: int, shards: int, **given: Any) -> options.Settings:
    return options.settle({name: default for name, (default, _) in options.DOCUMENTED.items()} | {"batch_size": batch_size} | given, shards)


@pytest.mark.parametrize("weighted", [False, True])
def test_what_fills_the_last_batch_weighs_nothing(weighted: bool) -> None:
    for size in range(1, 14):
        x, weight = np.arange(size), np.arange(1.0, size + 1)
        source = arrays.source(x, x, weight if weighted else None)
        batches = list(pipeline.full_pass(source, Members(size), 4, settings(4, 2)))
        assert all(len(batch[0]) == 4 for batch in batches)
        got = [np.concatenate(part) for part in zip(*batches, strict=True)]
        assert got[0][:size].tolist() == x.tolist()
        padded = len(batches) * 4
        if padded == size and not weighted:
            assert len(got) == 2
            continue
        assert got[2][size:].tolist() == [0] * (padded - size)
        expected = (weight if weighted else np.ones(size)) * padded / size
        assert got[2][:size].tolist() == pytest.approx(expected.tolist())


def test_training_for_devices_is_in_whole_batches_of_static_shape() -> None:
    laid = settings(4, 2)
    assert laid.drop_remainder
    dataset = pipeline.train(arrays.source(np.arange(10)), Members(10), laid)
    assert dataset.element_spec.shape == (4,)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batch_size": 5}, "batch_size: expected a multiple of the 2 devices that share each batch, got 5. Pass batch_size=4"),
        ({"validation_batch_size": 1}, "validation_batch_size: expected a multiple of the 2 devices.*Pass validation_batch_size=2"),
        ({"drop_remainder": False}, "drop_remainder: expected whole batches, which 2 devices share, got False"),
    ],
)
def test_what_devices_cannot_share_is_refused(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        settings(**({"batch_size": 4, "shards": 2} | given))


def test_metrics_that_would_count_the_filling_are_refused() -> None:
    from tfinput import fitting

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    with pytest.raises(ValueError, match="metrics of validation: expected weighted_metrics, got plain metrics, with 5 examples"):
        fitting.check_metrics(model, {"train": (9, 4), "validation": (5, 4)}, settings(4, 2))
    fitting.check_metrics(model, {"train": (9, 4), "validation": (8, 4)}, settings(4, 2))
    with pytest.raises(ValueError, match="the feed: expected batches for 1 devices, got batches for 2, as when it was built"):
        fitting.check_devices(settings(4, 2))


def test_compiled_steps_compile_once_for_each_shape() -> None:
    """With whole batches and an even validation, `jit_compile=True` traces one train and one test function."""
    traces: list[str] = []

    class Traced(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any, training: bool = False) -> Any:
            traces.append(f"{training} {x.shape}")
            return x

    x = np.ones((40, 3), "float32")
    feed = tfinput.from_arrays(x, x[:, :1], batch_size=8, validation_split=10, drop_remainder=True)
    model = keras.Sequential([keras.Input((3,)), Traced(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=True)
    traces.clear()
    model.fit(**feed.fit_args(), epochs=3, verbose=0)
    assert len([each for each in traces if each.startswith("True")]) == 1, traces
    assert len([each for each in traces if each.startswith("False")]) <= 2, traces
    assert tf.executing_eagerly()
