"""One of two hosts that train together, on JAX or in a TensorFlow loop of their own; a line of JSON with what this one saw.

python tests/hosts.py jax|tensorflow INDEX PORT PORT
"""
# ruff: noqa: E402 - settings come before imports here.

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

BACKEND, INDEX, PORTS = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
os.environ |= {"KERAS_BACKEND": BACKEND, "TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "NONE"}
if BACKEND == "jax":
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
else:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in PORTS]}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": INDEX}})
sys.path.insert(0, str(Path(__file__).parents[1]))

from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfinput

warnings.simplefilter("error")
warnings.filterwarnings("ignore", category=DeprecationWarning)
SIZE, BATCH, EPOCHS, RATE = 26, 8, 2, 1e-4
HELD = (1, 2, 5, 8, 13)


def line(size: int) -> tuple[Any, Any]:
    x = np.arange(size, dtype="float32")[:, None]
    return x, np.square(x) / 10


def feed_of(held: int) -> tfinput.Feed:
    return tfinput.from_arrays(*line(SIZE), batch_size=BATCH, validation_data=line(held))


def ids(feed: tfinput.Feed) -> list[list[int]]:
    """The examples in this host's pieces of the batches of training."""
    return [x.numpy()[:, 0].astype(int).tolist() for x, _ in feed.repeated.take(EPOCHS * feed.steps_per_epoch)]


def model() -> Any:
    made = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")])
    made.compile(keras.optimizers.SGD(RATE), "mse", weighted_metrics=["mae"])
    return made


def refused(feed: tfinput.Feed) -> str:
    try:
        feed.fit_args()
    except ValueError as error:
        return str(error)
    return ""


def jax_host() -> dict[str, Any]:
    """`fit` and `evaluate` of Keras."""
    keras.distribution.initialize(f"127.0.0.1:{PORTS[0]}", 2, INDEX)
    found = keras.distribution.DataParallel(auto_shard_dataset=True)
    keras.distribution.set_distribution(found)
    first = feed_of(HELD[0])
    told = refused(first)
    found.auto_shard_dataset = False
    net = model()
    losses = [net.evaluate(**feed_of(held).evaluate_args(), verbose=0) for held in HELD]
    history = net.fit(**first.fit_args(net), epochs=EPOCHS, verbose=0).history
    return {
        "seen": ids(first),
        "refused": told,
        "losses": losses,
        "weights": [float(np.ravel(weight)[0]) for weight in net.get_weights()],
        "validation": history["val_loss"],
    }


def tensorflow_host(strategy: Any) -> dict[str, Any]:
    """A loop of one's own."""
    with strategy.scope():
        first = feed_of(HELD[0])
        net = model()
        optimizer = keras.optimizers.SGD(RATE)
        optimizer.build(net.trainable_variables)
        feeds = [feed_of(held) for held in HELD]

    def squares(x: Any, y: Any, weight: Any) -> Any:
        return tf.reduce_sum(tf.square(net(x) - y) * weight)

    def step(batch: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = squares(*batch, 1.0) / BATCH
        # Keras' optimizers add up the gradients of all replicas.
        optimizer.apply_gradients(zip(tape.gradient(loss, net.trainable_variables), net.trainable_variables, strict=True))

    def runner(run: Any) -> Any:
        return tf.function(lambda batch: strategy.run(run, (batch,)), reduce_retracing=True)

    train, evaluate = runner(step), runner(lambda batch: squares(*batch[:2], batch[2][:, None] if len(batch) > 2 else 1.0))

    def shared(dataset: Any) -> Any:
        return strategy.distribute_datasets_from_function(lambda each: dataset)

    losses = []
    for feed in feeds:
        sums = [float(strategy.reduce("SUM", evaluate(batch), axis=None)) for batch in shared(feed.validation)]
        losses.append([sum(sums) / (feed.validation_steps * feed.validation_batch_size)])
    batches = iter(shared(first.repeated))
    for _ in range(EPOCHS * first.steps_per_epoch):
        train(next(batches))
    weights = [float(np.ravel(weight)[0]) for weight in net.get_weights()]
    try:
        net.fit(shared(first.repeated), steps_per_epoch=1, shuffle=False, verbose=0)
        by_keras = "trained"
    except ValueError as error:
        by_keras = str(error)
    return {"seen": ids(first), "refused": refused(first), "losses": losses, "weights": weights, "keras": by_keras}


if __name__ == "__main__":
    print(json.dumps(jax_host() if BACKEND == "jax" else tensorflow_host(tf.distribute.MultiWorkerMirroredStrategy())))
