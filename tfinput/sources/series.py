"""Time series as a source: each example is a window over a series, gathered from the rows of all series by their numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.errors import refusal
from tfinput.material import pairing
from tfinput.material.columns import Column, leaves, memory_leaf
from tfinput.material.rows import Array, TensorRows, aligned
from tfinput.sources import arrays
from tfinput.sources.base import Source

# A dict would be many series here.
COLUMNS = "Windows are made of numbers: turn the column into some (a date into seconds, say), or drop it."
SHIFTED = "targets[i] belongs to the window that starts at row i: pass data[:-n] and targets[n:] to predict n rows ahead."


@dataclass(frozen=True, kw_only=True)
class Window:
    """Which rows make an example: `length` of them, `rate` apart, the next example's `stride` after this one's."""

    length: int
    stride: int = 1
    rate: int = 1
    start: int = 0
    end: int | None = None

    @property
    def span(self) -> int:
        """Rows from a window's first to its last, both included."""
        return (self.length - 1) * self.rate + 1


@dataclass(frozen=True, eq=False)
class Series:
    """One or more series of rows that look alike, with their targets.

    Attributes:
        data: the series, each as the user gave it.
        targets: the targets of each, or None.
        window: which rows make an example.
        name: what errors and the repr call them.

    """

    data: list[Column]
    targets: list[Column] | None
    window: Window
    name: str

    @classmethod
    def of(cls, data: Any, targets: Any, window: Window, name: str = "series", trained: Series | None = None) -> Series:
        """The series in what the user passed, checked; their columns in the order of those trained on."""
        said = "" if name == "series" else f"{name} "
        found = _series(f"{said}data", data, trained.data if trained else None)
        aims = None if targets is None else _series(f"{said}targets", targets, trained.targets if trained else None)
        if aims is not None and list(found) != list(aims):
            fix = "Pass targets in the form of data: one array, or a list or dict with one for each series."
            raise refusal(f"{said}targets", f"targets for {_counted(found)}", f"targets for {_counted(aims)}", fix)
        if aims is not None:
            aims = {key: _beside(found[key], aim) for key, aim in aims.items()}
        made = cls(list(found.values()), None if aims is None else list(aims.values()), window, name)
        made._check()
        return made

    def _check(self) -> None:
        for leaf in self.data:
            _refuse_unlike(leaf, self.data[0])
            self._refuse_outside(leaf)
            rows = self._end(leaf) - self.window.start
            if rows < self.window.span:
                needs = f"at least {self.window.span} rows, which a window spans"
                raise refusal(leaf.path, needs, f"{rows}", "Use a shorter window, or leave this series out.")
        for leaf, aim in zip(self.data, self.targets or (), strict=bool(self.targets)):
            _refuse_unlike(aim, (self.targets or [])[0])
            if not self.window.start < aim.size <= leaf.size:
                wanted = f"between {self.window.start + 1} and {leaf.size} rows, as many as {leaf.path} has"
                raise refusal(aim.path, wanted, f"{aim.size}", SHIFTED)

    def _refuse_outside(self, leaf: Column) -> None:
        start, end = self.window.start, self.window.end
        if start >= leaf.size:
            raise refusal("start_index", f"a row of {leaf.path}, 0 to {leaf.size - 1}", f"{start}", "Use a smaller start_index.")
        if end is not None and not start < end <= leaf.size:
            raise refusal("end_index", f"between {start + 1} and {leaf.size}, the rows of {leaf.path}", f"{end}", "Correct end_index.")

    def _end(self, leaf: Column) -> int:
        return leaf.size if self.window.end is None else self.window.end

    @property
    def counts(self) -> Array:
        """Windows in each series."""
        counts: Array = -(-self._firsts() // self.window.stride)
        return counts

    def _firsts(self) -> Array:
        """How many rows of each series may be the first of a window, were the stride 1."""
        firsts: Array = np.array([self._end(leaf) for leaf in self.data]) - self.window.start - self.window.span + 1
        if self.targets is not None:
            firsts = np.minimum(firsts, np.array([aim.size for aim in self.targets]) - self.window.start)
        return firsts

    @property
    def untargeted(self) -> int:
        """Windows that are left out since the targets end before they start."""
        windows: Array = np.array([self._end(leaf) for leaf in self.data]) - self.window.start - self.window.span
        return int((windows // self.window.stride + 1 - self.counts).sum())

    @property
    def horizon(self) -> int:
        """How far after a window's last row its target lies: what targets lack in length says it, else it is the next in step."""
        if self.targets is None:
            return 0
        ahead = max(leaf.size - aim.size for leaf, aim in zip(self.data, self.targets, strict=True))
        return max(0, ahead - self.window.span + 1) if ahead else self.window.rate

    def source(self) -> Source:
        """The windows as examples, series after series."""
        data = _joined(self.data)
        aims = None if self.targets is None else _joined(self.targets)
        first = _starts(self.data, self.counts, self.window)
        aimed = None if self.targets is None else _starts(self.targets, self.counts, self.window)
        spec = tf.TensorSpec((self.window.length, *data.spec.shape), data.spec.dtype)
        left_out = self.untargeted

        def labels() -> Array | None:
            if aims is None or aimed is None:
                return None
            every = aimed(np.arange(int(self.counts.sum())))
            rows: Array = aims.rows.all()[every] if aims.rows.tensor is not None else aims.rows.take(every)
            return rows

        return Source(
            name=self.name,
            size=int(self.counts.sum()),
            spec=spec if aims is None else (spec, aims.spec),
            read=_reader(data, aims, first, aimed, self.window),
            labels=labels,
            fingerprint=self._fingerprint,
            in_memory=data.rows.tensor is not None and (aims is None or aims.rows.tensor is not None),
            locate=self.place,
            summary=lambda: f"windows left out for want of targets: {left_out}" if left_out else "",
        )

    def place(self, index: int) -> str:
        """Where a window lies, for messages."""
        ends = np.cumsum(self.counts)
        series = int(np.searchsorted(ends, index, side="right"))
        row = self.window.start + (index - int(ends[series] - self.counts[series])) * self.window.stride
        return f"{self.data[series].path}, rows {row} to {row + self.window.span - 1}"

    def _fingerprint(self) -> str:
        digest = hashlib.blake2b(repr(self.window).encode(), digest_size=16)
        for leaf in self.data + (self.targets or []):
            leaf.digest(digest)
        return digest.hexdigest()


def _series(path: str, value: Any, trained: list[Column] | None) -> dict[str, Column]:
    """The series in what the user passed for them, each by its key, with columns in the order of those trained on or of the first."""
    nest = leaves(path, value, COLUMNS)
    if isinstance(nest, Column):
        return {"": _with_columns(nest, trained[0] if trained else nest)}
    found = {str(key): leaf for key, leaf in (nest.items() if isinstance(nest, dict) else enumerate(nest))}
    for key, leaf in found.items():
        if not isinstance(leaf, Column):
            fix = "Put what belongs to one time step side by side, as columns."
            raise refusal(f"{path}[{key}]", "one array for each series", f"a {type(leaf).__name__} of arrays", fix, TypeError)
    first = trained[0] if trained else next(iter(found.values()))
    return {key: _with_columns(leaf, first) for key, leaf in found.items()}


def _with_columns(leaf: Column, first: Column) -> Column:
    if leaf.columns is None or first.columns is None:
        return leaf
    return leaf.put(columns=pairing.column_order(leaf.path, leaf.columns, first.path, first.columns))


def _beside(leaf: Column, aim: Column) -> Column:
    """The targets with each beside the row of the data that it belongs to."""
    if leaf.names is None or aim.names is None:
        return aim
    return aim.put(pairing.follow(aim.path, aim.names, leaf.path, leaf.names))


def _counted(found: dict[str, Column]) -> str:
    return "one series" if "" in found else f"{len(found)} series ({', '.join(list(found)[:3])}{', …' if len(found) > 3 else ''})"


def _refuse_unlike(leaf: Column, first: Column) -> None:
    if (leaf.spec.shape, leaf.spec.dtype) != (first.spec.shape, first.spec.dtype):
        wanted = f"rows of shape {first.spec.shape} and {first.spec.dtype.name}, as {first.path} has"
        raise refusal(leaf.path, wanted, f"{leaf.spec.shape} and {leaf.spec.dtype.name}", "Give all series the same columns and dtype.")


def _starts(parts: Sequence[Column], counts: Array, window: Window) -> Callable[[Any], Any]:
    """From windows to their first rows among those of all parts, laid end to end; of arrays, or in a graph."""
    ends = np.cumsum(counts)
    sizes = np.array([part.size for part in parts])
    base = np.cumsum(sizes) - sizes + window.start - (ends - counts) * window.stride

    def starts(indices: Any) -> Any:
        if isinstance(indices, np.ndarray):
            return base[np.searchsorted(ends, indices, side="right")] + indices * window.stride
        indices = tf.cast(indices, tf.int64)
        if len(parts) == 1:
            return indices * window.stride + int(base[0])
        series = tf.searchsorted(tf.constant(ends, tf.int64), indices, side="right")
        return tf.gather(tf.constant(base, tf.int64), series) + indices * window.stride

    return starts


def _reader(data: Column, aims: Column | None, first: Any, aimed: Any, window: Window) -> Callable[[Any], Any]:
    rows_of = arrays.of_leaves(data, "data").read
    targets_of = None if aims is None else arrays.of_leaves(aims, "targets").read
    offsets = np.arange(window.length) * window.rate
    dtype = tf.int32 if data.size < 2**31 else tf.int64  # Half the memory traffic of an index.

    def read(indices: Any) -> Any:
        rows = tf.cast(first(indices), dtype)[:, None] + tf.constant(offsets, dtype)
        flat = rows_of(tf.reshape(rows, [-1]))
        x = tf.reshape(flat, tf.concat([tf.shape(rows), tf.shape(flat)[1:]], 0))
        x = tf.ensure_shape(x, [indices.shape[0], window.length, *data.spec.shape])
        return x if targets_of is None else (x, targets_of(aimed(indices)))

    return read


def _joined(parts: list[Column]) -> Column:
    """The rows of all parts, laid end to end: in one tensor if they are in memory, so that one gather finds any of them."""
    if len(parts) == 1:
        return parts[0]
    first, size = parts[0], sum(part.size for part in parts)
    if any(part.rows.tensor is None for part in parts):
        return Column(first.path, size, first.spec, _Parts(parts))
    if first.spec.dtype == tf.string:
        return Column(first.path, size, first.spec, TensorRows(tf.concat([part.rows.tensor for part in parts], 0)))
    whole = aligned((size, *first.spec.shape), first.spec.dtype.as_numpy_dtype)
    np.concatenate([part.rows.all() for part in parts], out=whole)
    return memory_leaf(first.path, whole)


class _Parts:
    """Rows of several arrays, some of them in files, laid end to end."""

    tensor = None

    def __init__(self, parts: Sequence[Column]) -> None:
        self._parts = [part.rows for part in parts]
        self._ends = np.cumsum([part.size for part in parts])
        self._starts = self._ends - [part.size for part in parts]

    def take(self, indices: Array) -> Array:
        """The rows at `indices`."""
        which = np.searchsorted(self._ends, indices, side="right")
        found = []
        for part in np.unique(which):
            rows, within = self._parts[part], indices[which == part] - self._starts[part]
            found.append(rows.take(within) if rows.tensor is None else rows.all()[within])
        if not found:
            return np.asarray(self._parts[0].take(indices) if self._parts[0].tensor is None else self._parts[0].all()[indices])
        # What was taken part by part, put back in the order of the indices.
        made = np.empty((len(indices), *found[0].shape[1:]), found[0].dtype)
        made[np.argsort(which, kind="stable")] = np.concatenate(found)
        return made
