"""Run in a process of its own, with one Keras backend: real training, with the identities that reached the model. Prints JSON."""
# ruff: noqa: E402 - settings come before imports here.

from __future__ import annotations

import itertools
import json
import os
import tempfile
import warnings
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
warnings.simplefilter("error")
# Keras' torch backend calls np.array on eager tensors, whose __array__ has no `copy` (numpy 2): nothing a dataset can change.
warnings.filterwarnings("ignore", message="__array__ implementation doesn't accept a copy keyword")
# Raised while jax and torch import their own dependencies.
warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(jax|jaxlib|torch)(\.|$)")

from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfinput

SIZE, HELD, BATCH, EPOCHS = 23, 10, 4, 3
FILES = 17
SPLIT: dict[str, Any] = {"batch_size": 4, "validation_split": 0.3, "validation_batch_size": 3}


class Recorder(keras.Model):
    """A linear model that records the identities (column 0) of every batch it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.out = keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="zeros")
        self.seen: dict[str, list[list[int]]] = {"train": [], "validation": []}

    def call(self, x: Any, training: bool = False) -> Any:
        self._tap(x, "train" if training else "validation")
        return self.out(x[:, 1:])

    def _tap(self, x: Any, kind: str) -> None:
        def record(values: Any) -> None:
            self.seen[kind].append(np.asarray(values)[:, 0].astype(int).tolist())

        backend = keras.backend.backend()
        if isinstance(x, keras.KerasTensor):
            return
        if backend == "tensorflow":
            tf.py_function(record, [x], [])
        elif backend == "jax":
            import jax

            jax.debug.callback(record, x, ordered=True)
        elif x.device.type != "meta":
            record(x.detach().cpu().numpy())


def material() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    x = np.concatenate([np.arange(SIZE + HELD)[:, None], rng.normal(size=(SIZE + HELD, 3))], axis=1).astype("float32")
    return x, rng.normal(size=(SIZE + HELD, 1)).astype("float32"), rng.uniform(0.5, 2, SIZE + HELD).astype("float32")


def trained() -> dict[str, Any]:
    """The identities that three epochs of fit saw, and the order that the feed itself gives."""
    x, y, _ = material()
    feed = tfinput.from_arrays(x, y, batch_size=BATCH, validation_split=HELD, validation_batch_size=BATCH)
    model = Recorder()
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse")
    keras.utils.set_random_seed(0)
    history = model.fit(**feed.fit_args(), epochs=EPOCHS, verbose=0)
    own = [batch[0].numpy()[:, 0].astype(int).tolist() for batch in feed.repeated.take(EPOCHS * feed.steps_per_epoch)]
    again = Recorder()
    again.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse")
    again.fit(**feed.at(epoch=1).fit_args(), initial_epoch=1, epochs=EPOCHS, verbose=0)
    return {
        "seen": model.seen,
        "own": own,
        "resumed": again.seen["train"],
        "validation": feed.indices["validation"].tolist(),
        "train": feed.indices["train"].tolist(),
        "steps": [feed.steps_per_epoch, feed.validation_steps],
        "losses": history.history["val_loss"],
    }


def everyday() -> list[dict[str, Any]]:
    """What fit sees where it is given the datasets themselves, as every Keras page does: by steps an epoch, for a model built and not."""
    x, y, _ = material()
    together = [{}] if keras.backend.backend() == "torch" else [{}, {"steps_per_execution": 2}]
    cases = []
    for batch, compiled, fitted in itertools.product((23, 12, 8, 4), together, ({}, {"class_weight": {0: 1.0}})):
        options: dict[str, Any] = {"batch_size": batch, "validation_split": HELD, "validation_batch_size": BATCH}
        feed = tfinput.from_arrays(x, np.zeros(len(y), int), **options)
        own = [part[0].numpy()[:, 0].astype(int).tolist() for part in feed.repeated.take(2 * EPOCHS * feed.steps_per_epoch)]
        model = Recorder()
        model.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse", **compiled)
        train, validation = feed
        model.fit(train, validation_data=validation, epochs=EPOCHS, shuffle=False, verbose=0, **fitted)
        # The model is built now, and the next fit goes on with the next epoch.
        model.fit(train, epochs=EPOCHS, shuffle=False, verbose=0, **fitted)
        held = model.seen["validation"]
        cases.append(
            {"batch": batch, "own": own, "seen": model.seen["train"], "held": held, "validation": feed.indices["validation"].tolist()}
        )
    return cases


def evaluated() -> dict[str, Any]:
    """What evaluate gives and what NumPy gives, with weights and with two outputs, for a set the batch size does not divide."""
    x, y, weights = material()
    features, labels = x[:HELD, 1:], {"a": y[:HELD], "b": -2 * y[:HELD]}
    inputs = keras.Input((3,))
    layer = {"kernel_initializer": "ones", "bias_initializer": "zeros"}
    one = keras.Model(inputs, keras.layers.Dense(1, **layer)(inputs))
    one.compile(loss="mse", metrics=["mae"], weighted_metrics=["mse"])
    error = features.sum(axis=1) - labels["a"][:, 0]
    weight = weights[:HELD]
    found: dict[str, Any] = {}
    plain = tfinput.from_arrays(features, labels["a"], validation_batch_size=4, validation_data=(features, labels["a"]))
    result = one.evaluate(**plain.evaluate_args(), verbose=0, return_dict=True)
    found["plain"] = [[result["loss"], (error**2).mean()], [result["mae"], np.abs(error).mean()]]
    weighted = tfinput.from_arrays(features, labels["a"], weight, validation_batch_size=4, validation_data=(features, labels["a"], weight))
    result = one.evaluate(**weighted.evaluate_args(), verbose=0, return_dict=True)
    found["weighted"] = [
        [result["loss"], (weight * error**2).mean()],
        [result["mean_squared_error" if "mean_squared_error" in result else "mse"], (weight * error**2).sum() / weight.sum()],
    ]
    heads = {name: keras.layers.Dense(1, name=name, **layer)(inputs) for name in "ab"}
    two = keras.Model(inputs, heads)
    two.compile(loss={"a": "mse", "b": "mae"}, metrics={"a": ["mae"], "b": ["mse"]})
    both = tfinput.from_arrays(features, labels, validation_batch_size=4, validation_data=(features, labels))
    result = two.evaluate(**both.evaluate_args(), verbose=0, return_dict=True)
    other = features.sum(axis=1) - labels["b"][:, 0]
    found["two outputs"] = [
        [result["loss"], (error**2).mean() + np.abs(other).mean()],
        [result["a_mae"], np.abs(error).mean()],
        [result["b_mse"], (other**2).mean()],
    ]
    predicted = one.predict(**plain.predict_args(), verbose=0)
    found["predict"] = [[float(p), float(q)] for p, q in zip(predicted[:, 0], features.sum(axis=1), strict=True)]
    return {name: [[float(a), float(b)] for a, b in pairs] for name, pairs in found.items()}


def layered() -> list[bool]:
    """Whether a random Keras layer in the pipeline gives the same from any step on, and different draws at different steps."""
    x = np.random.default_rng(1).uniform(size=(12, 6, 6, 3)).astype("float32")
    stack = keras.Sequential([keras.layers.RandomFlip(), keras.layers.RandomBrightness(0.5, value_range=(0, 1))])
    checks = []
    zoom = keras.layers.RandomZoom(0.4)
    for layer in (stack, keras.layers.RandomRotation(0.4), lambda x: zoom(x, training=True)):
        feed = tfinput.from_arrays(np.repeat(x[:1], 12, axis=0), batch_size=4, batch_augment=layer)
        whole = [batch.numpy() for batch in feed.repeated.take(8)]
        for step in (1, 2, 5):
            tail = [batch.numpy() for batch in feed.at(step=step).repeated.take(2)]
            checks.append(all(np.array_equal(a, b) for a, b in zip(tail, whole[step:], strict=False)))
        checks.append(not any(np.array_equal(whole[0], other) for other in whole[1:]))
    mask = (x[..., :1] > 0.5).astype("uint8")
    pair = tfinput.from_arrays(np.repeat(mask, 3, axis=-1), mask, batch_size=12, shuffle=False, batch_augment=keras.layers.RandomFlip())
    moved = next(iter(pair.train))
    checks += [np.array_equal(moved[0][..., :1], moved[1]), not np.array_equal(moved[1], mask)]
    return [bool(check) for check in checks]


def columns(number: Any) -> Any:
    """An input for the recorder: the identity, and what the model computes on."""
    number = tf.cast(number, tf.float32)
    return tf.stack([number, number / 2])


def pictures(folder: Path) -> tfinput.Feed:
    """A class folder of PNGs, each as bright as its place in it."""
    for number in range(FILES):
        path = folder / "ab"[number // 10] / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(tf.io.encode_png(tf.fill((2, 2, 1), tf.constant(number, tf.uint8))).numpy())
    options: dict[str, Any] = {"image_size": (2, 2), "color_mode": "grayscale", "verbose": False}
    return tfinput.from_images(folder, preprocess=lambda x, y: (columns(x[0, 0, 0]), tf.cast(y, tf.float32)), **options, **SPLIT)


def records(folder: Path) -> tfinput.Feed:
    """Two TFRecord files."""
    for place, numbers in enumerate((range(10), range(10, FILES))):
        with tf.io.TFRecordWriter(str(folder / f"{place}.tfrecord")) as writer:
            for number in numbers:
                feature = tf.train.Feature(float_list=tf.train.FloatList(value=[number, number / 3]))
                writer.write(tf.train.Example(features=tf.train.Features(feature={"x": feature})).SerializeToString())
    features = {"x": tf.io.FixedLenFeature([2], tf.float32)}

    def preprocess(row: Any) -> Any:
        return columns(row["x"][0]), row["x"][1]

    options: dict[str, Any] = {"features": features, "shuffle_window": 6, "verbose": False}
    return tfinput.from_tfrecords(str(folder / "*.tfrecord"), preprocess=preprocess, **options, **SPLIT)


def table(folder: Path) -> tfinput.Feed:
    """A CSV file."""
    (folder / "x.csv").write_text("x,y\n" + "".join(f"{number},{number / 3}\n" for number in range(FILES)))
    return tfinput.from_csv(folder / "x.csv", label="y", preprocess=lambda x, y: (columns(x["x"]), tf.cast(y, tf.float32)), **SPLIT)


def example(number: int) -> Any:
    return np.array([number, number / 2], np.float32), np.float32(number / 3)


def items(_: Path) -> tfinput.Feed:
    """Python items from two worker processes."""
    return tfinput.from_sequence([example(number) for number in range(FILES)], workers=2, **SPLIT)


def generator(_: Path) -> tfinput.Feed:
    """A function that returns generators."""
    return tfinput.from_generator(lambda: map(example, range(FILES)), shuffle_window=6, **SPLIT)


def filed() -> dict[str, Any]:
    """Of each kind of file, and of Python code: what fit saw, what the feed itself gives, and what evaluate and NumPy make of it."""
    found = {}
    for make in (pictures, records, table, items, generator):
        with tempfile.TemporaryDirectory() as folder:
            feed = make(Path(folder))
            model = Recorder()
            model.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse")
            model.fit(**feed.fit_args(), epochs=EPOCHS, verbose=0)
            seen = {kind: list(batches) for kind, batches in model.seen.items()}
            passes = Recorder()
            passes.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse")
            passes.fit(feed.train, epochs=EPOCHS, shuffle=False, verbose=0)
            loss = model.evaluate(**feed.evaluate_args(), verbose=0)
            x, y = (np.concatenate(part) for part in zip(*feed.validation.as_numpy_iterator(), strict=True))
            found[make.__name__] = {
                "seen": seen,
                "passes": passes.seen["train"],
                "own": [batch[0].numpy()[:, 0].astype(int).tolist() for batch in feed.repeated.take(EPOCHS * feed.steps_per_epoch)],
                "steps": [feed.steps_per_epoch, feed.validation_steps],
                "train": feed.indices["train"].tolist(),
                "validation": feed.indices["validation"].tolist(),
                "losses": [float(loss), float(np.mean((x[:, 1] - y) ** 2))],
            }
    return found


if __name__ == "__main__":
    print(json.dumps({"trained": trained(), "everyday": everyday(), "evaluated": evaluated(), "layered": layered(), "filed": filed()}))
