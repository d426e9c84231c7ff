"""Tables of columns as tensors, and, where they fit, as a source in memory."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfinput.errors import refusal, short
from tfinput.material.columns import Column, memory_leaf
from tfinput.material.frames import holds
from tfinput.material.rows import TensorRows, aligned
from tfinput.sources import arrays
from tfinput.sources.base import Source
from tfinput.sources.tables.arrow_columns import Array, Field, Where, values
from tfinput.sources.tables.csv_header import MISSING
from tfinput.sources.tables.roles import Roles

CHUNK_BYTES = 4 << 20
LEAST_ROWS = 1 << 10
MISSING_BYTES = frozenset(map(str.encode, MISSING))
# Threads that copy columns into rows. Measured on two cores: two take 0.6 of the time of one, also where the memory is new.
COPIERS = 2


class Pieces(Protocol):
    """A table in files, in pieces of neighbouring rows.

    Attributes:
        name: what errors and the repr call it.
        paths: its files.
        counts: rows in each piece.
        fields: its columns, those that are read.
        suspects: pieces in which something may be wrong, which only reading them tells.

    """

    name: str
    paths: list[str]
    counts: list[int]
    fields: dict[str, Field]
    suspects: list[int]

    def table(self, piece: int, names: Sequence[str]) -> Any:
        """Some columns of a piece as an Arrow table."""

    def tables(self, piece: int, names: Sequence[str], rows: int) -> Iterator[Any]:
        """The same in tables of so many rows, but for the last one, made one after another where that takes less memory."""

    def where(self, piece: int, row: int) -> str:
        """What a message calls a row of a piece."""


@dataclass(frozen=True)
class ColumnSlot:
    """A tensor and the columns it is made of: one, or single numbers of several that lie side by side (`wide`)."""

    path: str
    names: tuple[str, ...]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    wide: bool = False

    @property
    def spec(self) -> Any:
        """One row."""
        return tf.TensorSpec(self.shape, tf.string if self.dtype.kind == "O" else tf.as_dtype(self.dtype))


class Rows:
    """The rows of a table as the tensors of examples.

    Attributes:
        element: the parts of an example, as a nest.
        stores: what they are kept as: single numbers of one dtype side by side, so that one look-up finds a whole row.
        places: the parts that each of the stores holds, by their places in the nest.

    """

    def __init__(self, pieces: Pieces, chosen: Roles) -> None:
        self.pieces = pieces
        self.chosen = chosen
        self.element = _element(pieces, chosen)
        parts: list[ColumnSlot] = tf.nest.flatten(self.element)
        self.places = _alike(parts)
        self.stores = [_joined([parts[place] for place in places]) for places in self.places]
        self.row_bytes = sum((16 if each.dtype.kind == "O" else each.dtype.itemsize) * math.prod(each.shape) for each in self.stores)

    @property
    def step(self) -> int:
        """Rows to turn into arrays at a time: so few that they stay in the processor's cache."""
        return max(LEAST_ROWS, CHUNK_BYTES // max(self.row_bytes, 1))

    def tables(self, piece: int, rows: int | None = None) -> Iterator[Any]:
        """All columns of a piece, in tables of so many rows (`step`), but for the last one."""
        return self.pieces.tables(piece, self.chosen.names, rows or self.step)

    def fill(self, stores: Sequence[Array], piece: int, table: Any, start: int) -> None:
        """Write rows of a piece where they are stored; the first of them is row `start`."""

        def where(row: int) -> str:
            return self.pieces.where(piece, start + row)

        for store, whole in zip(self.stores, stores, strict=True):
            for place, name in enumerate(store.names):
                found = values(table.column(name), self.pieces.fields[name], where)
                if found.dtype != store.dtype and not holds(store.dtype, found):
                    raise _inexact(name, found, store.dtype, where)
                (whole[:, place] if store.wide else whole)[...] = found

    def arrays(self, piece: int, table: Any, start: int = 0) -> list[Array]:
        """Rows of a piece, from row `start` on, as they are stored."""
        made = [_empty((table.num_rows, *store.shape), store.dtype) for store in self.stores]
        self.fill(made, piece, table, start)
        return made

    def examples(self, stored: Any) -> Any:
        """Examples of what is stored for them; in a graph."""
        flat: dict[int, Any] = {}
        for places, rows in zip(self.places, stored, strict=True):
            flat |= zip(places, tf.unstack(rows, len(places), 1) if len(places) > 1 else [rows], strict=True)
        return tf.nest.pack_sequence_as(self.element, [flat[place] for place in range(len(flat))])


def _alike(parts: Sequence[ColumnSlot]) -> list[list[int]]:
    """The places of parts that are stored together: single numbers of one dtype, and each of the others by itself."""
    together: dict[Any, list[int]] = {}
    for place, part in enumerate(parts):
        single = part.dtype.kind != "O" and part.shape == ()
        together.setdefault(part.dtype if single else place, []).append(place)
    return list(together.values())


def _joined(parts: Sequence[ColumnSlot]) -> ColumnSlot:
    if len(parts) == 1:
        return parts[0]
    names = tuple(part.names[0] for part in parts)
    return ColumnSlot(", ".join(part.path for part in parts), names, parts[0].dtype, (len(parts),), wide=True)


def column(pieces: Pieces, piece: int, name: str) -> Array:
    """One column of a piece's rows."""
    return values(pieces.table(piece, [name]).column(name), pieces.fields[name], lambda row: pieces.where(piece, row))


def _element(pieces: Pieces, chosen: Roles) -> Any:
    def part(path: str, name: str) -> ColumnSlot:
        field = pieces.fields[name]
        return ColumnSlot(path, (name,), field.dtype, field.shape)

    said = "" if pieces.name in ("csv", "parquet") else f"{pieces.name} "
    x: Any = {name: part(f"{said}x[{name!r}]", name) for name in chosen.features}
    if chosen.matrix:
        x = ColumnSlot(f"{said}x", chosen.features, _common(pieces, chosen.features), (len(chosen.features),), wide=True)
    if chosen.label is None:
        return x
    several = isinstance(chosen.label, tuple)
    y: Any = {name: part(f"{said}y[{name!r}]", name) for name in chosen.label} if several else part(f"{said}y", str(chosen.label))
    if chosen.weight is None:
        return x, y
    weight = pieces.fields[chosen.weight]
    if weight.text or weight.shape:
        got = "text" if weight.text else f"vectors of shape {weight.shape}"
        raise refusal("weight", "a column of numbers", f"{got} in {chosen.weight!r}", "Check the column.", TypeError)
    return x, y, part(f"{said}sample_weight", chosen.weight)


def _common(pieces: Pieces, names: Sequence[str]) -> np.dtype[Any]:
    for name in names:
        field = pieces.fields[name]
        if field.text or field.shape:
            got = _first_text(pieces, name) if field.text else f"vectors of shape {field.shape}"
            fix = "Leave it out with columns=[...], or use as_matrix=False."
            raise refusal(f"as_matrix, column {name!r}", "numbers", got, fix, TypeError)
    return np.result_type(*(pieces.fields[name].dtype for name in names))


def _first_text(pieces: Pieces, name: str) -> str:
    """The first value of a text column that is no number, which often is the one that made it text; one that is missing did not."""
    for piece in range(len(pieces.counts)):
        for row, text in enumerate(column(pieces, piece, name)):
            if text in MISSING_BYTES:
                continue
            try:
                float(text)
            except ValueError:
                return f"text: {short(text.decode('utf-8', 'backslashreplace'))} in {pieces.where(piece, row)}"
    return "text"


def _inexact(name: str, found: Array, dtype: np.dtype[Any], where: Where) -> Exception:
    bad = next(row for row in range(len(found)) if not holds(dtype, found[row : row + 1]))
    fix = "Leave the column out with columns=[...], or use as_matrix=False."
    return refusal(f"{where(bad)}, column {name!r}", f"a value that {dtype} holds exactly", f"{found[bad]}", fix)


def in_memory(rows: Rows) -> Source:
    """All rows, read at once."""
    size = sum(rows.pieces.counts)
    wholes = [_empty((size, *store.shape), store.dtype) for store in rows.stores]
    at, running = 0, deque[Future[None]]()
    with ThreadPoolExecutor(COPIERS) as copiers:
        for piece, count in enumerate(progress(rows.pieces.counts, rows)):
            start = 0
            for table in rows.tables(piece):
                here = slice(at + start, at + start + table.num_rows)
                running.append(copiers.submit(rows.fill, [whole[here] for whole in wholes], piece, table, start))
                start += table.num_rows
                # In the order of the rows, so that the first that is refused is the one that is told.
                while len(running) > COPIERS:
                    running.popleft().result()
            at += count
        for each in running:
            each.result()
    flat = tuple(_leaf(store, whole) for store, whole in zip(rows.stores, wholes, strict=True))
    stored = arrays.of_leaves(flat, rows.pieces.name)
    return dataclasses.replace(
        stored,
        spec=tf.nest.map_structure(lambda part: part.spec, rows.element),
        read=lambda indices: rows.examples(stored.read(indices)),
        labels=lambda: _label(rows, flat),
        locate=locator(rows.pieces),
    )


def _label(rows: Rows, flat: Sequence[Column]) -> Array | None:
    """All targets, if they are one vector."""
    name = rows.chosen.label
    if not isinstance(name, str):
        return None
    store, leaf = next((store, leaf) for store, leaf in zip(rows.stores, flat, strict=True) if name in store.names)
    whole: Array = leaf.rows.all()
    return whole[:, store.names.index(name)] if store.wide else whole


def locator(pieces: Pieces) -> Callable[[int], str]:
    """A function that says where an example is."""
    ends = np.cumsum(pieces.counts)

    def locate(index: int) -> str:
        piece = int(np.searchsorted(ends, index, side="right"))
        try:
            return pieces.where(piece, int(index - ends[piece] + pieces.counts[piece]))
        except OSError:  # The file is gone, and the example is not to blame.
            return f"row {index + 1}"

    return locate


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return np.empty(shape, object) if dtype.kind == "O" else aligned(shape, dtype)


def _leaf(store: ColumnSlot, whole: Array) -> Column:
    if store.dtype.kind != "O":
        return memory_leaf(store.path, whole)
    with tf.device("CPU:0"):
        return Column(store.path, len(whole), store.spec, TensorRows(tf.constant(whole, tf.string)))


def progress(pieces: Any, rows: Rows) -> Any:
    """A bar, where going through the pieces takes long."""
    return tqdm(pieces, unit=" pieces", desc=f"tfinput: reading {rows.pieces.name}", delay=2, leave=False)
