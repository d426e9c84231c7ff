"""Arrays whose shapes vary, on their way to TensorFlow: a column of them goes as their bytes, with a column of their shapes beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.material.forms import Form, FormField
from tfinput.material.nests import TEXT, Array, mapped
from tfinput.sources.base import Loader
from tfinput.workers.generator_chunks import as_bytes

# `decode_raw` knows no others; their bits are read as those of another dtype.
BITS = {tf.uint32: tf.int32, tf.uint64: tf.int64, tf.bfloat16: tf.uint16}


def spec(leaf: FormField) -> Any:
    """What TensorFlow calls an array of an element."""
    return tf.TensorSpec(leaf.shape, tf.string if leaf.dtype == TEXT else tf.as_dtype(leaf.dtype))


def encoded(form: Form, columns: Sequence[Array]) -> list[Array]:
    """Columns as `column_specs` has them."""
    made: list[Array] = []
    for leaf, column in zip(form.leaves, columns, strict=True):
        if leaf.even:
            made.append(column)
            continue
        content = np.empty(len(column), object)
        content[:] = [as_bytes(leaf, array) for array in column]
        made += [content, np.array([array.shape for array in column], np.int64).reshape(len(column), len(leaf.shape))]
    return made


def column_specs(form: Form) -> Iterator[Any]:
    """What columns of some elements are as tensors."""
    for leaf in form.leaves:
        if leaf.even:
            yield tf.TensorSpec((None, *leaf.shape), spec(leaf).dtype)
        else:
            yield tf.TensorSpec((None,), tf.string)
            yield tf.TensorSpec((None, len(leaf.shape)), tf.int64)


def about(form: Form, ragged: bool) -> dict[str, Any]:
    """The fields of a source that tell of shapes, and how examples are made of columns: the spec, `read`, and what varying shapes need."""
    whole = mapped(lambda _, leaf: spec(leaf), form.structure)
    if all(leaf.even for leaf in form.leaves):
        return {"spec": whole, "read": lambda columns: tf.nest.pack_sequence_as(whole, tf.nest.flatten(columns))}

    def load(row: Any, seed: Any) -> Any:
        del seed
        rest = iter(row)
        return mapped(lambda _, leaf: next(rest) if leaf.even else _decoded(leaf, next(rest), next(rest)), form.structure)

    loader = Loader(load=load, explain=lambda _, error: error)
    return {"spec": whole, "read": lambda columns: columns, "loader": loader, "uneven": "ragged" if ragged else "padded"}


def _decoded(leaf: FormField, content: Any, shape: Any) -> Any:
    """An array again of its bytes and shape."""
    dtype = spec(leaf).dtype
    if dtype == tf.string:
        return tf.ensure_shape(tf.io.parse_tensor(content, tf.string), leaf.shape)
    flat = tf.io.decode_raw(content, BITS.get(dtype, dtype))
    flat = tf.bitcast(flat, dtype) if dtype in BITS else flat
    return tf.ensure_shape(tf.reshape(flat, shape), leaf.shape)
