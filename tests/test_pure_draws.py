"""Random draws inside hooks: the same for the same (seed, epoch, step), wherever they hide, or refused."""

from __future__ import annotations

import functools
import random
import threading
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfinput

L = keras.layers
X = np.random.default_rng(0).uniform(0, 255, (12, 6, 6, 3)).astype("f4")
FLIP = L.RandomFlip()


class Holder:
    def __init__(self) -> None:
        self.layer = L.RandomRotation(0.4)

    def __call__(self, x: Any) -> Any:
        return self.layer(x, training=True)

    def method(self, x: Any) -> Any:
        return self.layer(x)


def from_a_closure() -> Any:
    layer = L.RandomZoom(0.5)
    return lambda x: layer(x, training=True)


def with_a_global(x: Any) -> Any:
    return FLIP(x)


def nested(x: Any) -> Any:
    def inner(value: Any) -> Any:
        return FLIP(value, training=True)

    return tf.cond(tf.reduce_sum(x) > 0, lambda: inner(x), lambda: x)


def branching(x: Any) -> Any:
    for _ in range(2):
        if tf.reduce_mean(x) > 1:
            x = FLIP(x) + 1
    return x


def with_a_given_layer(layer: Any, x: Any) -> Any:
    return layer(x, training=True)


def with_keras_random(x: Any) -> Any:
    return x + keras.random.uniform(tf.shape(x)) + keras.random.normal((6, 6, 3), seed=GENERATOR)


GENERATOR = keras.random.SeedGenerator(3)
MODEL = keras.Sequential([keras.Input((6, 6, 3)), L.RandomBrightness(0.5), L.GaussianNoise(0.9), L.Dropout(0.3)])
HOOKS = {
    "closure": from_a_closure(),
    "global": with_a_global,
    "nested": nested,
    "branching": branching,
    "partial": functools.partial(with_a_given_layer, L.RandomContrast(0.9)),
    "attribute": Holder(),
    "method": Holder().method,
    "keras.random": with_keras_random,
    "model": lambda x: MODEL(x, training=True),
    "RandAugment": functools.partial(with_a_given_layer, L.RandAugment()),
    "dict": lambda x: FLIP({"images": x, "labels": x[:, 0, 0]}, training=True)["images"],
}
BATCHED = ("model", "dict")


def states() -> tuple[Any, ...]:
    return random.getstate(), repr(np.random.get_state()), GENERATOR.state.numpy().tolist(), FLIP.generator.state.numpy().tolist()  # noqa: NPY002


ASKED = [(name, option) for name in HOOKS for option in ("augment", "batch_augment") if option != "augment" or name not in BATCHED]


@pytest.mark.parametrize(("name", "option"), ASKED)
def test_a_layer_inside_a_function_draws_the_same_in_each_run(name: str, option: str) -> None:
    before = states()
    build = functools.partial(tfinput.from_arrays, X, batch_size=4, shuffle=False, **{option: HOOKS[name]})
    feed = build()
    first = [batch.numpy() for batch in feed.at().train.take(3)]
    for other in (feed.at(), build()):
        assert all(np.array_equal(a, b) for a, b in zip(first, other.train.take(3), strict=True))
    assert np.array_equal(next(iter(feed.at(step=2).train)), first[2])
    later = [batch.numpy() for batch in feed.at(epoch=1).train.take(3)]
    assert not np.array_equal(np.concatenate(first), np.concatenate(later))
    assert not np.array_equal(np.concatenate(first), np.concatenate([batch.numpy() for batch in build(seed=1).train.take(3)]))
    assert states() == before


def test_steps_and_examples_draw_differently() -> None:
    same = np.repeat(X[:1], 64, axis=0)
    for option in ("augment", "batch_augment"):
        feed = tfinput.from_arrays(same, batch_size=8, **{option: lambda x: x + keras.random.uniform(tf.shape(x)[:1])[0]})
        drawn = {float(part) for batch in feed.train.take(8) for part in batch[:, 0, 0, 0].numpy()}
        assert len(drawn) == (64 if option == "augment" else 8)


@pytest.mark.parametrize(
    "layer", [L.AugMix(), L.RandAugment(), L.RandomColorJitter(factor=0.5), L.CutMix(), L.MixUp(), L.RandomElasticTransform()]
)
def test_layers_of_many_draws_are_pure_too(layer: Any) -> None:
    before = states()
    first = [batch.numpy() for batch in tfinput.from_arrays(X, batch_size=4, batch_augment=layer).at().train.take(3)]
    random.random()
    again = [batch.numpy() for batch in tfinput.from_arrays(X, batch_size=4, batch_augment=layer).at().train.take(3)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    random.setstate(before[0])


@pytest.mark.parametrize("option", ["preprocess", "batch_preprocess"])
@pytest.mark.parametrize("hook", [with_a_global, with_keras_random, nested])
def test_draws_that_would_serve_every_split_are_refused(hook: Any, option: str) -> None:
    wanted = option.replace("preprocess", "augment")
    with pytest.raises(
        ValueError, match=rf"^tfinput: {option}: expected the same result each time, got a random draw of Keras.* {wanted},"
    ):
        tfinput.from_arrays(X, batch_size=4, **{option: hook})
    quiet = tfinput.from_arrays(X, batch_size=4, **{option: lambda x: FLIP(x[None] if option == "preprocess" else x, training=False)})
    assert np.array_equal(np.concatenate([batch.numpy() for batch in quiet.examples()]).reshape(X.shape), X)


def looped(x: Any) -> Any:
    return tf.map_fn(lambda image: FLIP(image, training=True), x)


def vectorized(x: Any) -> Any:
    return tf.vectorized_map(lambda image: FLIP(image, training=True), x)


def counted(x: Any) -> Any:
    for _ in tf.range(3):
        x = FLIP(x)
    return x


@tf.function
def compiled(x: Any) -> Any:
    return FLIP(x)


@pytest.mark.parametrize("hook", [looped, vectorized, counted, compiled, lambda x: compiled(x)])
def test_draws_that_a_loop_or_a_function_would_repeat_are_refused(hook: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^tfinput: batch_augment: expected random draws of Keras at the hook's top level.*all examples at once"
    ):
        tfinput.from_arrays(X, batch_size=4, batch_augment=hook)


STATEFUL = {
    "tf.random.uniform": lambda x: x + tf.random.uniform(()),
    "with a seed": lambda x: x + tf.random.normal((), seed=1),
    "tf.image": lambda x: tf.image.random_flip_left_right(x),
    "shuffled": lambda x: tf.random.shuffle(x),
    "generator": lambda x: x + TF_GENERATOR.uniform(()),
    "in a branch": lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: x + tf.random.uniform(()), lambda: x),
    "in a function": lambda x: tf.function(lambda value: value + tf.random.uniform(()))(x),
    "in a loop": lambda x: tf.map_fn(lambda value: value * tf.random.uniform(()), x),
    "crop": lambda x: tf.image.random_crop(x, (4, 4, 3)) if x.shape.rank == 3 else x * tf.random.truncated_normal(()),
    "dropout": lambda x: tf.nn.dropout(x, 0.5),
}
TF_GENERATOR = tf.random.Generator.from_seed(1)


@pytest.mark.parametrize("option", ["preprocess", "augment", "batch_preprocess", "batch_augment"])
@pytest.mark.parametrize("name", STATEFUL)
def test_stateful_operations_of_tensorflow_are_refused_with_the_stateless_ones(name: str, option: str) -> None:
    wanted = option.replace("preprocess", "augment")
    message = rf"^tfinput: {option}: expected the same result .* which draws anew\. .*def {wanted}\(x, y, seed\).*tf\.random\.stateless_\*"
    with pytest.raises(ValueError, match=message):
        tfinput.from_arrays(X, batch_size=4, **{option: STATEFUL[name]})


def test_a_layer_of_the_users_with_stateful_operations_is_refused() -> None:
    class Noisy(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x + tf.random.normal(tf.shape(x))

    with pytest.raises(ValueError, match=r"RandomStandardNormal \(.*which draws anew"):
        tfinput.from_arrays(X, batch_size=4, batch_augment=Noisy())


def test_stateless_operations_are_welcome() -> None:
    def augment(x: Any, seed: Any) -> Any:
        x = tf.image.stateless_random_flip_left_right(x, seed)
        return tf.cond(tf.random.stateless_uniform((), seed) > 0.5, lambda: x + 1, lambda: x)

    assert len(list(tfinput.from_arrays(X, batch_size=4, augment=augment).train.take(3))) == 3


@pytest.mark.parametrize("option", ["augment", "batch_augment", "preprocess"])
@pytest.mark.parametrize(
    ("hook", "names"),
    [
        (lambda x: x * np.random.rand(), r"np\.random"),  # noqa: NPY002
        (lambda x: x * random.random(), "random"),
        (lambda x: x if random.random() < 0.5 else x * np.random.normal(size=(6, 6, 3)), r"random( and np\.random)?"),  # noqa: NPY002
    ],
)
def test_draws_in_python_that_become_constants_are_warned_of(hook: Any, names: str, option: str) -> None:
    with pytest.warns(
        UserWarning, match=rf"^tfinput: {option} draws from {names} in Python, which happens once: all examples get the same"
    ):
        tfinput.from_arrays(X, batch_size=4, **{option: hook})


def test_keras_draws_on_as_before_elsewhere_and_afterwards() -> None:
    plain = keras.random.SeedGenerator(7)
    expected = [keras.ops.convert_to_numpy(plain.next()).tolist() for _ in range(3)]
    next_, init = keras.random.SeedGenerator.next, keras.random.SeedGenerator.__init__
    other, found = keras.random.SeedGenerator(7), []

    def hook(x: Any) -> Any:
        thread = threading.Thread(target=lambda: found.append(other.next().numpy().tolist()))
        thread.start()
        thread.join()
        assert keras.random.SeedGenerator.next is not next_
        return x + keras.random.uniform((), seed=other)

    tfinput.from_arrays(X, batch_size=4, batch_augment=hook)
    with pytest.raises(ValueError, match="division by zero"):
        tfinput.from_arrays(X, batch_size=4, batch_augment=lambda x: FLIP(x) * (1 / 0))
    assert keras.random.SeedGenerator.next is next_
    assert keras.random.SeedGenerator.__init__ is init
    assert found == expected[: len(found)]
    assert len(found) >= 1
    assert other.next().numpy().tolist() == expected[len(found)]


def test_an_error_of_the_users_beside_a_layer_is_still_the_users() -> None:
    feed = tfinput.from_arrays(X, batch_size=4, batch_augment=lambda x: (tf.debugging.assert_less(FLIP(x), 0.0, "too bright"), x)[1])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"tfinput: batch_augment failed in arrays, step 0 of epoch 0: .*too bright"):
        next(iter(feed.train))
