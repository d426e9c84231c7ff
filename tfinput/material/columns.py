"""Leaves: whatever a user passes for one array becomes rows of a known shape and dtype, or is refused by name."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.errors import FileError, refusal, short
from tfinput.material import hdf5, mapped_rows, npy, pairing
from tfinput.material.folders import shown
from tfinput.material.rows import Array, MemoryRows, TensorRows, snapshot

PIECE = 1 << 24
# A fingerprint of many files reads little of each.
ENDS = 1 << 12
# What tf.data cuts into batches; it has no code for the 8-bit floats and smaller types that TensorFlow has besides.
DTYPES = frozenset(
    {tf.float16, tf.bfloat16, tf.float32, tf.float64, tf.complex64, tf.complex128, tf.bool, tf.string}
    | {tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64}
)


@dataclass(frozen=True)
class Column:
    """One array of the material: its rows are the examples' parts.

    Attributes:
        path: how the user would write it: `x`, `x['image']`.
        size: number of rows.
        spec: one row.
        rows: gives rows: by `tensor` (gathered in the graph), by `take` (called with indices), or both; `all()` gives all.
        names: what its rows are called, where it came as a table or a column of one: an index of pandas.
        columns: what its columns are called, where it came as a table.

    """

    path: str
    size: int
    spec: Any
    rows: Any
    names: Any = field(default=None, repr=False, compare=False)
    columns: tuple[Any, ...] | None = None

    def put(self, rows: Array | None = None, columns: Sequence[int] | None = None) -> Column:
        """The same with its rows, or its columns, in another order."""
        whole = self.rows.all()
        if rows is not None:
            made = dataclasses.replace(self, rows=_like(self.rows, whole[rows]), names=self.names.take(rows))
            return made if columns is None else made.put(None, columns)
        if columns is None:
            return self
        names = tuple((self.columns or ())[place] for place in columns)
        return dataclasses.replace(self, rows=_like(self.rows, whole[:, columns]), columns=names)

    def digest(self, into: Any) -> None:
        """Feed everything that makes this material what it is to a hash object."""
        into.update(repr((self.spec.shape, self.spec.dtype.name, self.size)).encode())
        within = self.rows.file() if hasattr(self.rows, "file") else None
        if within is not None and os.path.isfile(within[0]):
            into.update(file_identity(within[0]) + within[1].encode())
            return
        for rows in self._pieces():
            if rows.dtype.kind == "O":
                for text in rows.reshape(-1):
                    into.update(len(text).to_bytes(8, "little") + text)
            else:
                into.update(np.ascontiguousarray(rows).reshape(-1).view(np.uint8))

    def _pieces(self) -> Iterator[Array]:
        """All rows, a few at a time where they lie in a file."""
        if self.rows.tensor is not None:
            yield self.rows.all()
            return
        step = max(1, PIECE // max(1, self.spec.dtype.size * (self.spec.shape.num_elements() or 1)))
        for start in range(0, self.size, step):
            yield self.rows.take(np.arange(start, min(start + step, self.size)))


def _like(rows: Any, array: Array) -> Any:
    return MemoryRows(snapshot(array)) if isinstance(rows, MemoryRows) else TensorRows(tf.constant(array))


def file_identity(path: str, ends: int = 1 << 16) -> bytes:
    """What tells one state of a file from another without reading it whole: size, times, place, first and last bytes."""
    status = os.stat(path)
    digest = hashlib.blake2b(repr((os.path.realpath(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)).encode())
    with open(path, "rb") as file:
        digest.update(file.read(ends))
        file.seek(max(0, status.st_size - ends))
        digest.update(file.read(ends))
    return digest.digest()


def digest_files(paths: list[bytes], into: Any) -> None:
    """Feed the identities of files to a hash object."""
    for path in paths:
        try:
            into.update(path + b"\0" + file_identity(os.fsdecode(path), ENDS))
        except OSError as error:
            fix = "Restore the file, or build the feed again."
            raise refusal(shown(path), "a file that can be read", error.strerror or str(error), fix, FileError) from error


def fingerprint(*parts: Any) -> str:
    """A digest of what can feed itself to a hash object."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        part.digest(digest)
    return digest.hexdigest()


def leaves(path: str, value: Any, mixed: str = "") -> Any:
    """The nest of leaves in what the user passed: dicts, tuples and named tuples are kept, lists become tuples.

    `mixed` is what to do about a table with columns that make no matrix, where a dict of columns would be something else.
    """
    if isinstance(value, Mapping):
        parts = dict(hdf5.members(value)) if hdf5.is_group(value) else value
        if len({type(key) for key in parts}) > 1:
            fix = "Give the parts names of one kind, all str."
            raise refusal(path, "keys of one kind", short(list(parts)), fix, TypeError)
        made: Any = {key: leaves(f"{path}[{key!r}]", part, mixed) for key, part in parts.items()}
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        made = type(value)(*(leaves(f"{path}.{name}", part, mixed) for name, part in zip(value._fields, value, strict=True)))
    elif isinstance(value, (tuple, list)):
        if value and all(np.isscalar(part) for part in value):
            fix = "A list is a nest of arrays here: for one array of these values pass np.array([...])."
            raise refusal(path, "arrays", f"a {type(value).__name__} of single values ({short(value, 30)})", fix)
        made = tuple(leaves(f"{path}[{place}]", part, mixed) for place, part in enumerate(value))
    elif isinstance(value, (str, os.PathLike)):
        return _from_file(path, value)
    else:
        return leaf(path, value, mixed)
    if not made:
        raise refusal(path, "at least one array", f"an empty {type(value).__name__}", "Leave it out, or fill it.")
    return made


def _from_file(path: str, value: Any) -> Any:
    opened = npy.open_file(value)
    if not isinstance(opened, dict):
        return leaf(path, opened)
    if len(opened) == 1:
        return leaf(path, next(iter(opened.values())))
    return {key: leaf(f"{path}[{key!r}]", rows) for key, rows in opened.items()}


def leaf(path: str, value: Any, mixed: str = "") -> Column:
    """One array as a leaf."""
    if isinstance(value, (mapped_rows.MappedRows, hdf5.Hdf5Rows)):
        return _file_leaf(path, value)
    if type(value).__module__.split(".")[0] == "h5py" and hasattr(value, "asstr"):
        return _file_leaf(path, hdf5.hdf5_rows(value))
    if isinstance(value, (tf.Tensor, tf.Variable)):
        return _tensor_leaf(path, value)
    if isinstance(value, np.memmap) and value.filename is not None and value.flags.forc and value.ndim and value.size:
        return _file_leaf(path, mapped_rows.MappedRows.of_memmap(value))
    if isinstance(value, np.memmap) and value.filename is not None:
        mapped_rows.refuse_cut(value)
    made = _array_leaf(path, _as_array(path, value, mixed), mixed)
    return dataclasses.replace(made, names=pairing.names(value), columns=pairing.columns(value))


def _file_leaf(path: str, rows: Any) -> Column:
    dtype = _checked_dtype(path, rows.dtype, lambda: None) if rows.dtype.kind != "O" else tf.string
    return Column(path, rows.shape[0], tf.TensorSpec(rows.shape[1:], dtype), rows)


def _tensor_leaf(path: str, value: Any) -> Column:
    if not tf.executing_eagerly() or (isinstance(value, tf.Tensor) and not hasattr(value, "numpy")):
        raise refusal(path, "values", "a symbolic tensor", "Build the feed outside tf.function.", TypeError)
    if value.shape.rank == 0:
        raise _single_value(path)
    if value.dtype not in DTYPES:
        raise _no_dtype(path, value.dtype.name)
    return Column(path, int(value.shape[0]), tf.TensorSpec(value.shape[1:], value.dtype), TensorRows(value))


def memory_leaf(path: str, array: Array) -> Column:
    """A leaf over an aligned array that belongs to this library."""
    return Column(path, len(array), tf.TensorSpec(array.shape[1:], tf.as_dtype(array.dtype)), MemoryRows(array))


def _array_leaf(path: str, array: Array, mixed: str) -> Column:
    if array.ndim == 0:
        raise _single_value(path)
    dtype = _checked_dtype(path, array.dtype, lambda: _only_text(path, array), mixed)
    if dtype == tf.string:
        return Column(path, len(array), tf.TensorSpec(array.shape[1:], dtype), TensorRows(_texts(path, array)))
    return memory_leaf(path, snapshot(array))


def _texts(path: str, array: Array) -> Any:
    if array.dtype.kind == "T":  # It may have a value for what is missing.
        array = array.astype(object)
        _only_text(path, array)
    try:
        with tf.device("CPU:0"):
            return tf.constant(array, tf.string)
    except (ValueError, UnicodeError) as error:
        fix = "Pass valid Unicode, or bytes."
        raise refusal(path, "text", f"text that has no UTF-8 form ({short(str(error), 200)})", fix) from error


def _single_value(path: str) -> Exception:
    return refusal(path, "an array with one row per example", "a single value (0-d, shape ())", "Pass an array of at least one dimension.")


def _only_text(path: str, array: Array) -> None:
    for place, value in np.ndenumerate(array):
        if not isinstance(value, (str, bytes)):
            where = f"{path}[{', '.join(map(str, place))}]"
            got = f"{type(value).__name__} {short(value, 30)} in an object array"
            raise refusal(where, "a number or text", got, _instead(array, value), TypeError)


def _instead(array: Array, value: Any) -> str:
    """What to do about objects that are no text."""
    if isinstance(value, (dt.date, dt.timedelta)):
        return "Turn dates into numbers: pandas.to_datetime(values).astype('int64') counts their unit."
    if isinstance(value, (list, tuple, np.ndarray)):
        alike = len({np.shape(each) for each in array.flat if isinstance(each, (list, tuple, np.ndarray))}) == 1
        return "Pass numpy.stack(list(column)): rows of one length." if alike else "Pad its rows to one length, and pass numpy.stack(rows)."
    return "Convert it: to numbers with .astype('float32'), to text with .astype(str); rows of different lengths need padding."


def _checked_dtype(path: str, dtype: np.dtype[Any], check_objects: Callable[[], None], mixed: str = "") -> Any:
    if dtype.names is not None:
        fix = mixed and "Put its fields side by side: numpy.lib.recfunctions.structured_to_unstructured(array)."
        fix = fix or f"Pass a dict of columns: {{name: array[name] for name in {list(dtype.names)!r}}}."
        raise refusal(path, "numbers, bools or text", f"a structured array with fields {short(list(dtype.names))}", fix, TypeError)
    if dtype.kind in "mM":
        fix = "Convert it: .astype('int64') gives counts of its unit."
        raise refusal(path, "numbers, bools or text", f"{dtype} (dates or durations)", fix, TypeError)
    if dtype.kind == "O":
        check_objects()
    if dtype.kind in "OUST":
        return tf.string
    try:
        # TensorFlow takes long doubles for doubles.
        found = None if dtype in (np.longdouble, np.clongdouble) else tf.as_dtype(dtype if dtype.isnative else dtype.newbyteorder("="))
    except TypeError:
        found = None
    if found not in DTYPES:
        raise _no_dtype(path, str(dtype))
    return found


def _no_dtype(path: str, name: str) -> Exception:
    target = "float32" if name.startswith("float") and "128" not in name else "int8" if "int" in name else "float64"
    return refusal(path, "a dtype that tf.data can batch", name, f"Convert it, for example with .astype('{target}').", TypeError)


def _as_array(path: str, value: Any, mixed: str) -> Array:
    if isinstance(value, np.ma.MaskedArray):
        fix = "TensorFlow has no masks: fill it (.filled(value)) and pass the mask as an input or a sample_weight."
        raise refusal(path, "an array without a mask", "a masked array", fix, TypeError)
    if isinstance(value, np.ndarray):
        return value
    package = type(value).__module__.split(".")[0]
    if package in ("pandas", "pyarrow"):
        from tfinput.material import frames

        return frames.array(path, value, mixed)
    if package == "scipy" and hasattr(value, "toarray"):
        raise refusal(path, "a dense array", "a sparse matrix", "Use .toarray() if it fits in memory.", TypeError)
    if isinstance(value, (tf.SparseTensor, tf.RaggedTensor)):
        fix = "Use tf.sparse.to_dense, or to_tensor() to pad, if it fits in memory."
        raise refusal(path, "a dense array", f"a {type(value).__name__}", fix, TypeError)
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
    if isinstance(value, (tf.data.Dataset, Iterator)):
        fix = "Arrays can be read in any order, a stream cannot: collect its values into arrays first."
    raise refusal(path, "an array, a tensor, a table or a path", f"{short(value)} ({type(value).__name__})", fix, TypeError)
