"""Arrays as a source: nests of arrays, tables, tensors and array files."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.errors import refusal
from tfinput.material import pairing
from tfinput.material.columns import Column, leaves
from tfinput.runtime.python_op import weakly
from tfinput.sources.base import Source

# The names of the columns of tables, by their paths.
Columns = dict[str, tuple[Any, ...]]
KEYS = ("x", "y", "sample_weight")


def source(x: Any, y: Any = None, sample_weight: Any = None, name: str = "arrays", columns: Columns | None = None) -> Source:
    """The source over `x`, `(x, y)` or `(x, y, sample_weight)`, where each is an array or a nest of arrays.

    `columns` are those of the training examples, whose order other examples take.
    """
    said = "" if name == "arrays" else f"{name} "
    parts = {"x": leaves(f"{said}x", x)}
    if y is None and isinstance(x, (str, os.PathLike)):
        parts = _named_parts(parts["x"])
    if y is not None:
        parts["y"] = leaves(f"{said}y", y)
    if sample_weight is not None:
        if "sample_weight" in parts:
            raise refusal(f"{said}sample_weight", "it once", "one beside the file's own", "Pass the file's arrays one by one.")
        parts["sample_weight"] = leaves(f"{said}sample_weight", sample_weight)
    if "sample_weight" in parts and "y" not in parts:
        raise refusal(f"{said}sample_weight", "targets y beside it", "no y", "Pass y, or no sample_weight.")
    element = tuple(parts[key] for key in KEYS if key in parts)
    nest = element[0] if len(element) == 1 and not isinstance(element[0], tuple) else element
    return _named(_with_columns(nest, columns or {}, said), name, said)


def _named_parts(nest: Any) -> dict[str, Any]:
    """A file whose arrays are called x, y and sample_weight says itself which is which."""
    if isinstance(nest, dict) and "x" in nest and set(nest) <= set(KEYS):
        return {key: nest[key] for key in KEYS if key in nest}
    return {"x": nest}


def _with_columns(element: Any, columns: Columns, said: str) -> Any:
    """The leaves with their columns in the order of the training examples'."""

    def put(leaf: Column) -> Column:
        path = leaf.path.removeprefix(said)
        if leaf.columns is None or path not in columns:
            return leaf
        return leaf.put(columns=pairing.column_order(leaf.path, leaf.columns, f"the training {path}", columns[path]))

    return tf.nest.map_structure(put, element)


def _named(element: Any, name: str, said: str) -> Source:
    """The source over leaves, those with names in the order of the first that has some."""
    flat: list[Column] = tf.nest.flatten(element)
    columns = {leaf.path.removeprefix(said): leaf.columns for leaf in flat if leaf.columns is not None}
    first = next((leaf for leaf in flat if leaf.names is not None), None)
    if first is None:
        return dataclasses.replace(of_leaves(element, name), columns=columns)
    moved: list[str] = []

    def put(leaf: Column) -> Column:
        order = None if leaf.names is None else pairing.order(leaf.path, leaf.names, first.path, first.names)
        moved.extend([leaf.path] if order is not None else [])
        return leaf if order is None else leaf.put(order)

    made = of_leaves(tf.nest.map_structure(put, element), name)
    told = f"{', '.join(moved)} put in the order of {first.path}, by the index" if moved else ""
    return dataclasses.replace(made, names=(first.path, first.names), columns=columns, summary=lambda: told)


def of_leaves(element: Any, name: str) -> Source:
    """The source over a nest of leaves of one length."""
    flat: list[Column] = tf.nest.flatten(element)
    first = flat[0]
    for other in flat[1:]:
        if other.size != first.size:
            fix = "Give every array one row per example."
            raise refusal(other.path, f"{first.size} examples, as {first.path} has", f"{other.size}", fix)
    if first.size == 0:
        raise refusal(first.path, "at least one example", "no examples (0 rows)", "Check the data.")

    def labels() -> np.ndarray[Any, Any] | None:
        y = element[1] if isinstance(element, tuple) and len(element) > 1 else None
        return y.rows.all() if isinstance(y, Column) else None

    def fingerprint() -> str:
        digest = hashlib.blake2b(repr([leaf.path for leaf in flat]).encode(), digest_size=16)
        for leaf in flat:
            leaf.digest(digest)
        return digest.hexdigest()

    return Source(
        name=name,
        size=first.size,
        spec=tf.nest.map_structure(lambda leaf: leaf.spec, element),
        read=_reader(element),
        labels=labels,
        fingerprint=fingerprint,
        in_memory=all(leaf.rows.tensor is not None for leaf in flat),
    )


def _reader(element: Any) -> Any:
    """Gather what is in memory in the graph, and read all other leaves in one call of Python."""
    flat: list[Column] = tf.nest.flatten(element)
    by_python = [leaf for leaf in flat if leaf.rows.tensor is None]

    def take(indices: Any) -> list[Any]:
        return [leaf.rows.take(indices) for leaf in by_python]

    def read(indices: Any) -> Any:
        taken: dict[int, Any] = {}
        if by_python:
            dtypes = [leaf.spec.dtype for leaf in by_python]
            # Not stateful: what it returns depends on the indices alone.
            batch = tf.numpy_function(weakly(take), [indices], dtypes, stateful=False)
            for leaf, tensor in zip(by_python, batch, strict=True):
                taken[id(leaf)] = tf.ensure_shape(tensor, [indices.shape[0], *leaf.spec.shape])
        parts = [taken[id(leaf)] if id(leaf) in taken else tf.gather(leaf.rows.tensor, indices) for leaf in flat]
        return tf.nest.pack_sequence_as(element, parts)

    return read
