"""Leaves: whatever a user passes for one array becomes rows of a known shape and dtype, or is refused by name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.errors import refusal, short
from tfinput.sources import files
from tfinput.sources.memory import Array, MemoryRows, TensorRows, snapshot


@dataclass(frozen=True)
class Leaf:
    """One array of the material: its rows are the examples' parts.

    Attributes:
        path: how the user would write it: `x`, `x['image']`.
        size: number of rows.
        spec: one row.
        rows: gives rows: by `tensor` (gathered in the graph), by `take` (called with indices), or both; `all()` gives all.

    """

    path: str
    size: int
    spec: Any
    rows: Any

    def digest(self, into: Any) -> None:
        """Feed everything that makes this material what it is to a hash object."""
        into.update(repr((self.spec.shape, self.spec.dtype.name, self.size)).encode())
        named = getattr(self.rows, "path", None)
        if named is not None:
            into.update(file_identity(named.split("::")[0]) + named.encode())
        elif self.spec.dtype == tf.string:
            for text in self.rows.all().reshape(-1):
                into.update(len(text).to_bytes(8, "little") + text)
        else:
            into.update(np.ascontiguousarray(self.rows.all()).reshape(-1).view(np.uint8))


def file_identity(path: str, ends: int = 1 << 16) -> bytes:
    """What tells one state of a file from another without reading it whole: size, times, place, first and last bytes."""
    status = os.stat(path)
    digest = hashlib.blake2b(repr((os.path.realpath(path), status.st_size, status.st_mtime_ns, status.st_ino)).encode())
    with open(path, "rb") as file:
        digest.update(file.read(ends))
        file.seek(max(0, status.st_size - ends))
        digest.update(file.read(ends))
    return digest.digest()


def leaves(path: str, value: Any) -> Any:
    """The nest of leaves in what the user passed: dicts, tuples and named tuples are kept, lists become tuples."""
    if isinstance(value, Mapping):
        made: Any = {key: leaves(f"{path}[{key!r}]", part) for key, part in value.items()}
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        made = type(value)(*(leaves(f"{path}.{name}", part) for name, part in zip(value._fields, value, strict=True)))
    elif isinstance(value, (tuple, list)):
        if value and all(np.isscalar(part) for part in value):
            fix = "A list is a nest of arrays here: for one array of these values pass np.array([...])."
            raise refusal(path, "arrays", f"a {type(value).__name__} of single values ({short(value, 30)})", fix)
        made = tuple(leaves(f"{path}[{place}]", part) for place, part in enumerate(value))
    elif isinstance(value, (str, os.PathLike)):
        return _from_file(path, value)
    else:
        return leaf(path, value)
    if not made:
        raise refusal(path, "at least one array", f"an empty {type(value).__name__}", "Leave it out, or fill it.")
    return made


def _from_file(path: str, value: Any) -> Any:
    opened = files.open_file(value)
    if not isinstance(opened, dict):
        return leaf(path, opened)
    if len(opened) == 1:
        return leaf(path, next(iter(opened.values())))
    return {key: leaf(f"{path}[{key!r}]", rows) for key, rows in opened.items()}


def leaf(path: str, value: Any) -> Leaf:
    """One array as a leaf."""
    if isinstance(value, (files.MappedRows, files.Hdf5Rows)):
        return _file_leaf(path, value)
    if type(value).__module__.split(".")[0] == "h5py" and hasattr(value, "asstr"):
        return _file_leaf(path, files.hdf5_rows(value))
    if isinstance(value, (tf.Tensor, tf.Variable)):
        return _tensor_leaf(path, value)
    if isinstance(value, np.memmap) and value.filename is not None and value.flags.c_contiguous and value.ndim:
        return _file_leaf(path, _remapped(value))
    return _array_leaf(path, _as_array(path, value))


def _remapped(value: np.memmap[Any, Any]) -> files.MappedRows:
    start = value.offset
    base: Any = value
    while isinstance(base.base, np.memmap):
        base = base.base
    start += value.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return files.MappedRows(str(value.filename), start, value.shape, value.dtype)


def _file_leaf(path: str, rows: Any) -> Leaf:
    dtype = _checked_dtype(path, rows.dtype, lambda: np.dtype(object)) if rows.dtype.kind != "O" else tf.string
    return Leaf(path, rows.shape[0], tf.TensorSpec(rows.shape[1:], dtype), rows)


def _tensor_leaf(path: str, value: Any) -> Leaf:
    if not tf.executing_eagerly() or (isinstance(value, tf.Tensor) and not hasattr(value, "numpy")):
        raise refusal(path, "values", "a symbolic tensor", "Build the feed outside tf.function.", TypeError)
    if value.shape.rank == 0:
        raise _single_value(path)
    return Leaf(path, int(value.shape[0]), tf.TensorSpec(value.shape[1:], value.dtype), TensorRows(value))


def memory_leaf(path: str, array: Array) -> Leaf:
    """A leaf over an aligned array that belongs to this library."""
    return Leaf(path, len(array), tf.TensorSpec(array.shape[1:], tf.as_dtype(array.dtype)), MemoryRows(array))


def _array_leaf(path: str, array: Array) -> Leaf:
    if array.ndim == 0:
        raise _single_value(path)
    dtype = _checked_dtype(path, array.dtype, lambda: _only_text(path, array))
    if dtype == tf.string:
        if array.dtype.kind in "OT":
            array = array.astype(object)
        return Leaf(path, len(array), tf.TensorSpec(array.shape[1:], dtype), TensorRows(tf.constant(array, tf.string)))
    return memory_leaf(path, snapshot(array))


def _single_value(path: str) -> Exception:
    return refusal(path, "an array with one row per example", "a single value (0-d, shape ())", "Pass an array of at least one dimension.")


def _only_text(path: str, array: Array) -> np.dtype[Any]:
    for place, value in enumerate(array.reshape(-1)):
        if not isinstance(value, (str, bytes)):
            fix = "Convert it: to numbers with .astype('float32'), to text with .astype(str); rows of different lengths need padding."
            raise refusal(
                f"{path}[{place}]", "a number or text", f"{type(value).__name__} {short(value, 30)} in an object array", fix, TypeError
            )
    return np.dtype(object)


def _checked_dtype(path: str, dtype: np.dtype[Any], check_objects: Callable[[], Any]) -> Any:
    if dtype.names is not None:
        fix = f"Pass a dict of columns: {{name: array[name] for name in {list(dtype.names)!r}}}."
        raise refusal(path, "numbers, bools or text", f"a structured array with fields {short(list(dtype.names))}", fix, TypeError)
    if dtype.kind in "mM":
        fix = "Convert it: .astype('int64') gives counts of its unit."
        raise refusal(path, "numbers, bools or text", f"{dtype} (dates or durations)", fix, TypeError)
    if dtype.kind == "O":
        check_objects()
    if dtype.kind in "OUST":
        return tf.string
    try:
        if dtype.kind in "fc" and dtype.itemsize > (8 if dtype.kind == "f" else 16):
            raise TypeError
        return tf.as_dtype(dtype.newbyteorder("=") if not dtype.isnative else dtype)
    except TypeError:
        fix = "Convert it, for example with .astype('float64')."
        raise refusal(path, "a dtype that TensorFlow has", str(dtype), fix, TypeError) from None


def _as_array(path: str, value: Any) -> Array:
    if isinstance(value, np.ma.MaskedArray):
        fix = "TensorFlow has no masks: fill it (.filled(value)) and pass the mask as an input or a sample_weight."
        raise refusal(path, "an array without a mask", "a masked array", fix, TypeError)
    if isinstance(value, np.ndarray):
        return value
    package = type(value).__module__.split(".")[0]
    if package in ("pandas", "pyarrow"):
        from tfinput.sources import tables

        return tables.array(path, value)
    if package == "scipy" and hasattr(value, "toarray"):
        raise refusal(path, "a dense array", "a sparse matrix", "Use .toarray() if it fits in memory.", TypeError)
    if value is not None and not np.isscalar(value):
        if getattr(value, "requires_grad", False):
            value = value.detach()
        try:
            if hasattr(value, "__array__"):
                return np.asarray(value)
            if hasattr(value, "__dlpack__"):
                return np.from_dlpack(value)
        except Exception as error:
            fix = "Pass a NumPy array of it."
            raise refusal(
                path, "something that turns into an array", f"{type(value).__name__}: {short(str(error))}", fix, TypeError
            ) from error
    elif value is not None:
        raise _single_value(path)
    fix = "Pass arrays, or a dict or tuple of arrays."
    raise refusal(path, "an array, a tensor, a table or a path", f"{short(value)} ({type(value).__name__})", fix, TypeError)
