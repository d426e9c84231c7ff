"""Keras layers and models inside a pipeline, made pure: their random seeds come from the step, not from their own state.

A Keras random layer draws from a seed generator that counts its calls, which would make a batch depend on how many came
before. With TensorFlow as backend the generator's state is read from a `keras.StatelessScope`, so it can be given. With JAX
or torch the preprocessing layers keep a separate generator for tf.data, which is replaced for the time of the call.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from tfinput import seeds
from tfinput.errors import refusal


def is_layer(function: Any) -> bool:
    """Whether this is a Keras layer or model."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(function, keras.Layer)


def call(layer: Any, element: Any, seed: Any) -> Any:
    """Apply the layer to `x`: in training mode with draws from `seed` (two int32), or in inference mode without."""
    x, rest = (element[0], element[1:]) if isinstance(element, tuple) else (element, None)
    import keras

    if keras.backend.backend() == "tensorflow":
        out = _with_state(layer, x, seed)
    else:
        out = x
        for part in _parts(layer):
            out = _with_generator(part, out, seed)
    return out if rest is None else (out, *rest)


def _arguments(layer: Any, seed: Any) -> dict[str, bool]:
    return {"training": seed is not None} if "training" in inspect.signature(layer.call).parameters else {}


def _with_state(layer: Any, x: Any, seed: Any) -> Any:
    import keras

    if not layer.built:
        # Creates its variables, outside of the scope below and in a graph that nobody runs: a random layer counts its calls.
        tf.function(lambda value: layer(value)).get_concrete_function(tf.nest.map_structure(tf.type_spec_from_value, x))
    weights = {id(weight) for weight in layer.weights}
    states = [state for state in layer.variables if id(state) not in weights and tuple(state.shape) == (2,)]
    given = []
    if seed is not None:
        given = [(state, tf.cast(seeds.fold(number, seed[0], seed[1]), state.dtype)) for number, state in enumerate(states)]
    with keras.StatelessScope(state_mapping=given):
        return layer(x, **_arguments(layer, seed))


def _parts(layer: Any) -> list[Any]:
    """The single layers of a stack, each of which must know how to run in tf.data."""
    import keras

    if isinstance(layer, (keras.Sequential, keras.layers.Pipeline)):
        return [part for inner in layer.layers for part in _parts(inner)]
    if not hasattr(layer, "_get_seed_generator"):
        backend = keras.backend.backend()
        fix = "Use preprocessing layers (RandomFlip, Rescaling, …) or a function with tf operations, or put the layer into the model."
        raise refusal(
            "a Keras layer in the pipeline", f"one that runs in tf.data with the {backend} backend", type(layer).__name__, fix, TypeError
        )
    return [layer]


def _with_generator(layer: Any, x: Any, seed: Any) -> Any:
    if seed is None:
        return layer(x, **_arguments(layer, seed))
    with _generator(layer, seed):
        return layer(x, **_arguments(layer, seed))


@contextmanager
def _generator(layer: Any, seed: Any) -> Iterator[None]:
    import keras

    class Given(keras.random.SeedGenerator):  # type: ignore[misc]
        """Draws counted from the given seed."""

        def __init__(self) -> None:
            self.drawn = 0

        def next(self, ordered: bool = True) -> Any:  # noqa: ARG002 - Keras passes it
            self.drawn += 1
            return seeds.fold(self.drawn, seed[0], seed[1])

    # Past Keras' tracking of attributes, which would look for variables in it.
    before = layer.__dict__.get("_backend_generators")
    layer.__dict__["_backend_generators"] = {"tensorflow": Given()}
    try:
        yield
    finally:
        if before is None:
            del layer.__dict__["_backend_generators"]
        else:
            layer.__dict__["_backend_generators"] = before
