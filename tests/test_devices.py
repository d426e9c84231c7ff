"""Devices that share batches: validation stays exact for every size, and the order is that of one device."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from identities import ids

import tfinput
from tfinput import options
from tfinput.engine import devices, model_checks, pipeline
from tfinput.sampling.order import Members
from tfinput.sampling.steps import Shares
from tfinput.sources import arrays

HERE = Path(__file__).parent
needs_jax = [
    pytest.mark.backends,
    pytest.mark.skipif(
        importlib.util.find_spec("jax") is None and os.environ.get("TFINPUT_REQUIRE_BACKENDS") != "1", reason="needs the extra `backends`"
    ),
]
BACKENDS = ["tensorflow", pytest.param("jax", marks=needs_jax)]
RATE = 1e-4


def started(script: str, *arguments: object, backend: str = "tensorflow") -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "KERAS_BACKEND": backend}
    )


def told_by(*processes: subprocess.Popen[str]) -> list[Any]:
    """What scripts printed; all are ended if one fails or takes too long, since hosts wait for each other."""
    try:
        told = [process.communicate(timeout=280) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, told, strict=True):
        assert process.returncode == 0, errors[-3000:]
    return [json.loads(output.splitlines()[-1]) for output, _ in told]


@pytest.fixture(scope="module")
def mirrored() -> Iterator[Any]:
    """The longest of the scripts, which runs beside the other tests."""
    process = started("mirrored.py")
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(autouse=True)
def _begin(mirrored: Any) -> None:
    """Start it with the first test."""


def exact(cases: list[Any]) -> None:
    assert len(cases) == 40 * 3
    for size, batch, loss, wanted, error, off, whole in cases:
        assert loss == pytest.approx(wanted, rel=1e-5), (size, batch)
        assert error == pytest.approx(off, rel=1e-5), (size, batch)
        assert whole, (size, batch)


def curve(size: int) -> tuple[Any, Any]:
    x = np.arange(size)
    return x, np.square(x) / 10


def trained(batches: list[list[int]]) -> list[float]:
    """Weight and bias after gradient descent on the curve with these batches, in NumPy."""
    weight = bias = 1.0
    for batch in batches:
        x = np.array(batch, float)
        slope = 2 * (weight * x + bias - np.square(x) / 10)
        weight, bias = weight - RATE * float(np.mean(slope * x)), bias - RATE * float(np.mean(slope))
    return [weight, bias]


def off(weights: list[float], size: int) -> float:
    """The mean squared error of a line on the curve."""
    x, y = curve(size)
    return float(np.mean(np.square(weights[0] * x + weights[1] - y)))


def one_hosts(**options: Any) -> list[list[int]]:
    """The batches of two epochs on one device."""
    feed = tfinput.from_arrays(np.arange(26), batch_size=8, **options)
    return ids(feed.repeated, 2 * feed.steps_per_epoch)


def settings(batch_size: int, shares: Shares, **given: Any) -> options.Settings:
    return options.settle({name: default for name, (default, _) in options.DOCUMENTED.items()} | {"batch_size": batch_size} | given, shares)


@pytest.mark.parametrize("weighted", [False, True])
def test_what_fills_the_last_batch_weighs_nothing(weighted: bool) -> None:
    for size in range(1, 14):
        x, weight = np.arange(size), np.arange(1.0, size + 1)
        source = arrays.source(x, x, weight if weighted else None)
        batches = list(pipeline.full_pass(source, Members(size), 4, settings(4, Shares(2, 2))))
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


def test_blocks_that_take_work_keep_all_cores_busy_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "accelerated", lambda: False)  # Also where this machine has an accelerator.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert devices.blocks_at_a_time(None, 100_000) == cores + 2
    assert devices.blocks_at_a_time(None, 3) == 3
    assert devices.blocks_at_a_time(None, 0) == 2
    assert devices.blocks_at_a_time(5, 0) == 5
    assert devices.blocks_at_a_time(tf.data.AUTOTUNE, 3) == tf.data.AUTOTUNE
    monkeypatch.setattr(devices, "accelerated", lambda: True)
    assert devices.blocks_at_a_time(None, 3) == tf.data.AUTOTUNE


def test_training_for_devices_is_in_whole_batches_of_static_shape() -> None:
    laid = settings(4, Shares(2, 2))
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
        settings(**({"batch_size": 4, "shares": Shares(2, 2)} | given))


def numbers(size: int) -> Any:
    return (np.float32(number) for number in range(size))


def noisy(x: Any, seed: Any) -> Any:
    return tf.cast(x, tf.float32) + tf.random.stateless_uniform((), seed)


def records(folder: Path) -> tfinput.Feed:
    with tf.io.TFRecordWriter(str(folder / "x.tfrecord")) as writer:
        for number in range(23):
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
            writer.write(tf.train.Example(features=tf.train.Features(feature={"x": feature})).SerializeToString())
    features = {"x": tf.io.FixedLenFeature([], tf.int64)}
    options: dict[str, Any] = {"features": features, "shuffle_window": 6, "verbose": False, "validation_split": 5, "batch_size": 4}
    return tfinput.from_tfrecords(str(folder / "x.tfrecord"), preprocess=lambda row: row["x"], augment=noisy, **options)


FEEDS: dict[str, Callable[[Path], tfinput.Feed]] = {
    "arrays": lambda _: tfinput.from_arrays(np.arange(23), batch_size=4, validation_split=5),
    "augmented": lambda _: tfinput.from_arrays(np.arange(23), augment=noisy, batch_size=4, validation_split=5),
    "balanced": lambda _: tfinput.from_arrays(
        np.arange(23), np.arange(23) % 7 == 0, augment=lambda x, y, seed: (noisy(x, seed), y), batch_size=4, balance="classes"
    ),
    "sequence": lambda _: tfinput.from_sequence([np.float32(n) for n in range(23)], augment=noisy, batch_size=4, validation_split=5),
    "generator": lambda _: tfinput.from_generator(
        functools.partial(numbers, 23), size=23, shuffle_window=6, augment=noisy, batch_size=4, validation_split=5
    ),
    "records": records,
}


@pytest.mark.parametrize("kind", FEEDS)
def test_the_hosts_pieces_are_the_batches_of_one_host(kind: str, tmp_path: Path) -> None:
    feed = FEEDS[kind](tmp_path)

    def of(hosts: int, host: int) -> tfinput.Feed:
        shared = dataclasses.replace(feed.settings, shares=Shares(2, 2, hosts, host), drop_remainder=True)
        return dataclasses.replace(feed, settings=shared)

    def read(dataset: Any) -> list[list[Any]]:
        return [[part.tolist() for part in (batch if isinstance(batch, tuple) else (batch,))] for batch in dataset.as_numpy_iterator()]

    whole, pieces = of(1, 0), [of(2, host) for host in (0, 1)]
    takes: list[Callable[[tfinput.Feed], Any]] = [
        lambda each: each.repeated.take(2 * each.steps_per_epoch),
        lambda each: each.at(epoch=1, step=2).repeated.take(3),
    ]
    takes += [lambda each: each.validation] if whole.validation_steps else []
    for take in takes:
        first, second = (read(take(each)) for each in pieces)
        joined = [[a + b for a, b in zip(*parts, strict=True)] for parts in zip(first, second, strict=True)]
        assert joined == read(take(whole))
        assert all(len(batch[0]) == 2 for batch in first + second)


def test_hosts_augment_their_batches_each_in_its_own_way() -> None:
    def draw(x: Any, seed: Any) -> Any:
        return tf.random.stateless_uniform(tf.shape(x), seed)

    feed = tfinput.from_arrays(np.arange(8), batch_size=4, batch_augment=draw)
    draws = []
    for host in (0, 1):
        shared = dataclasses.replace(feed.settings, shares=Shares(2, 2, 2, host), drop_remainder=True)
        draws += [batch.tolist() for batch in dataclasses.replace(feed, settings=shared).repeated.take(4).as_numpy_iterator()]
    assert len({tuple(draw) for draw in draws}) == 8


def test_the_place_of_a_worker_is_that_of_its_task() -> None:
    cluster = tf.train.ClusterSpec({"chief": ["a:1"], "worker": ["b:1", "c:1"]})
    places = [("chief", 0), ("worker", 0), ("worker", 1)]
    resolvers = [tf.distribute.cluster_resolver.SimpleClusterResolver(cluster, task_type=job, task_id=task) for job, task in places]
    assert [devices._worker(each) for each in resolvers] == [(3, 0), (3, 1), (3, 2)]
    assert devices._worker(None) == (1, 0)


def test_metrics_that_would_count_the_filling_are_refused() -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    with pytest.raises(ValueError, match="metrics of validation: expected weighted_metrics, got plain metrics, with 5 examples"):
        model_checks.check_metrics(model, {"train": (9, 4), "validation": (5, 4)}, settings(4, Shares(2, 2)))
    model_checks.check_metrics(model, {"train": (9, 4), "validation": (8, 4)}, settings(4, Shares(2, 2)))
    model_checks.check_devices(settings(4, Shares(2, 2)))  # One device takes what two would.


@pytest.mark.parametrize("backend", BACKENDS)
def test_steps_of_static_shape_are_compiled_once_for_training_and_once_for_validation(backend: str) -> None:
    told = told_by(started("compiled.py", backend=backend))[0]
    assert told == {"static": 2, "short last batch": 3, "gpus": []}


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_hosts_read_each_its_own_and_train_as_one_would(backend: str) -> None:
    ports = free_ports()
    told = told_by(*(started("hosts.py", backend, host, *ports, backend=backend) for host in (0, 1)))
    order = one_hosts(drop_remainder=True)
    assert [first + second for first, second in zip(told[0]["seen"], told[1]["seen"], strict=True)] == order
    for each in told:
        assert [losses[0] for losses in each["losses"]] == pytest.approx([off([1, 1], held) for held in (1, 2, 5, 8, 13)], rel=1e-5)
        assert each["weights"] == pytest.approx(trained(order), rel=1e-5)
    if backend == "jax":
        said = "tfinput: the distribution: expected one that shards no datasets, since this host has its piece already"
        assert all(each["validation"][-1] == pytest.approx(off(each["weights"], 1), rel=1e-5) for each in told)
    else:
        said = "tfinput: the feed: expected one host, since Keras' fit and evaluate do not run under MultiWorkerMirroredStrategy"
        assert all("PerReplica" in each["keras"] for each in told)  # Once Keras trains here, so may fit_args.
    assert all(each["refused"].startswith(said) for each in told)


def free_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in (one, other)]


@pytest.mark.parametrize("compiled", [False, True])
def test_evaluate_is_exact_on_one_device_for_every_size(compiled: bool) -> None:
    net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")])
    net.compile("sgd", "mse", metrics=["mae"], weighted_metrics=[keras.metrics.MeanAbsoluteError("held")], jit_compile=compiled)
    for size in range(1, 41):
        x, y = (part.astype("float32") for part in curve(size))
        for batch in (4, 6, 8):
            given = (x[:, None], y)
            feed = tfinput.from_arrays(np.zeros((8, 1), "float32"), np.zeros(8, "float32"), batch_size=batch, validation_data=given)
            error = float(np.mean(np.abs(x + 1 - y)))
            told = net.evaluate(**feed.evaluate_args(), verbose=0, return_dict=True)
            assert told == pytest.approx({"loss": off([1, 1], size), "mae": error, "held": error}, rel=1e-5), (size, batch)


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_evaluate_is_exact_on_two_jax_devices_for_every_size(backend: str) -> None:
    told = told_by(started("sharded.py", backend=backend))[0]
    exact(told["cases"])
    assert (told["steps"], told["spec"]) == (3, "(8, 1)")  # of 26 examples, in whole batches
    assert told["weights"] == pytest.approx(trained(one_hosts(drop_remainder=True)), rel=1e-5)
    assert told["validation"][-1] == pytest.approx(off(told["weights"], 5), rel=1e-5)
    assert told["meshes"] == [[2, 2, 1, 0], [1, 1, 1, 0]]


def test_evaluate_is_exact_on_two_replicas_and_the_order_is_that_of_one(mirrored: Any) -> None:
    told = told_by(mirrored)[0]
    exact(told["cases"])
    assert told["shared"] == told["order"]
    assert told["weights"] == pytest.approx(trained(one_hosts()), rel=1e-5)
    assert told["validation"][-1] == pytest.approx(off(told["weights"], 5), rel=1e-5)
    for batch, by_arguments, by_datasets in told["everyday"]:
        assert by_datasets == by_arguments, batch
    assert "the first batch of train: expected a multiple of the 2 replicas, got 5. Enter the strategy's scope" in told["refused"]
