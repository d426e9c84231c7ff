"""Tables of columns as a source: read into memory as arrays, or streamed piece by piece; the same values either way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfinput.callback import weakly
from tfinput.errors import nearest, refusal, short
from tfinput.source import Source, Stream
from tfinput.sources import arrays
from tfinput.sources.columns import Array, Field, values
from tfinput.sources.leaves import Leaf, file_identity, memory_leaf
from tfinput.sources.memory import TensorRows, aligned
from tfinput.sources.tables import holds


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
    paths: Sequence[str]
    counts: Sequence[int]
    fields: dict[str, Field]
    suspects: Sequence[int]

    def table(self, piece: int, names: Sequence[str]) -> Any:
        """Some columns of a piece as an Arrow table."""

    def where(self, piece: int, row: int) -> str:
        """What a message calls a row of a piece."""


@dataclass(frozen=True)
class Roles:
    """Which columns are inputs, which targets, and which the weight."""

    features: tuple[str, ...]
    label: str | tuple[str, ...] | None
    weight: str | None
    matrix: bool

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that are read."""
        labels = self.label if isinstance(self.label, tuple) else (self.label,)
        return tuple(name for name in (*self.features, *labels, self.weight) if name is not None)


@dataclass(frozen=True)
class Part:
    """One tensor of an example, and the columns it is made of."""

    path: str
    names: tuple[str, ...]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    matrix: bool = False

    @property
    def spec(self) -> Any:
        """One example's tensor."""
        return tf.TensorSpec(self.shape, tf.string if self.dtype.kind == "O" else tf.as_dtype(self.dtype))


def roles(source: str, there: Sequence[str], label: Any, weight: Any, columns: Any, matrix: Any, left_out: Sequence[str] = ()) -> Roles:
    """Settle which columns play which part; `there` are all columns, `left_out` those that are no features unless asked for."""
    several = isinstance(label, (list, tuple))
    labels = tuple(_column(source, "label", name, there) for name in (label if several else () if label is None else (label,)))
    given = None if weight is None else _column(source, "weight", weight, there)
    taken = (*labels, *(() if given is None else (given,)))
    if len(set(taken)) < len(taken):
        raise refusal("label and weight", "different columns", short(taken), "Name each column once.")
    if given is not None and not labels:
        raise refusal("weight", "a label beside it", "no label", "Pass label=, or no weight.")
    if several and not labels:
        raise refusal("label", "at least one column", "an empty list", "Pass label=None if there are no targets.")
    if isinstance(columns, (str, bytes)):
        raise refusal("columns", "a list of names", short(columns), f"Pass columns=[{columns!r}].", TypeError)
    if columns is None:
        features = tuple(name for name in there if name not in taken and name not in left_out)
    else:
        features = tuple(_column(source, "columns", name, there) for name in columns)
    for name in features:
        if name in taken:
            raise refusal("columns", "inputs only", f"{name!r}, which is the label or weight", "Leave it out of columns.")
    if not features or len(set(features)) < len(features):
        got = "none" if not features else f"a name twice in {short(features)}"
        raise refusal(source if columns is None else "columns", "at least one column of inputs, each once", got, "Check the names.")
    return Roles(features, labels if several else labels[0] if labels else None, given, bool(matrix))


def _column(source: str, role: str, name: Any, there: Sequence[str]) -> str:
    if name in there:
        return str(name)
    fix = nearest(str(name), there).strip() or f"It has {short(list(there), 200)}."
    if len(there) == 1 and (other := next((each for each in ";\t|," if each in there[0]), None)):
        fix = f"Its only column is {short(there[0])}: is it delimiter={other!r}?"
    raise refusal(role, f"a column of {source}", short(name), fix)


class Rows:
    """The rows of a table as the tensors of examples."""

    def __init__(self, pieces: Pieces, chosen: Roles) -> None:
        self.pieces = pieces
        self.chosen = chosen
        self.element = _element(pieces, chosen)
        self.parts: list[Part] = tf.nest.flatten(self.element)

    def arrays(self, piece: int) -> list[Array]:
        """All parts of a piece's rows."""
        table = self.pieces.table(piece, self.chosen.names)

        def where(row: int) -> str:
            return self.pieces.where(piece, row)

        def column(name: str) -> Array:
            return values(table.column(name), self.pieces.fields[name], where)

        return [_matrix(part, column, where) if part.matrix else column(part.names[0]) for part in self.parts]


def _element(pieces: Pieces, chosen: Roles) -> Any:
    def part(path: str, name: str) -> Part:
        field = pieces.fields[name]
        return Part(path, (name,), field.dtype, field.shape)

    said = "" if pieces.name in ("csv", "parquet") else f"{pieces.name} "
    x: Any = {name: part(f"{said}x[{name!r}]", name) for name in chosen.features}
    if chosen.matrix:
        x = Part(f"{said}x", chosen.features, _common(pieces, chosen.features), (len(chosen.features),), matrix=True)
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
    """The first value of a text column that is no number, which often is the one that made it text."""
    for piece in range(len(pieces.counts)):
        for row, text in enumerate(values(pieces.table(piece, [name]).column(name), pieces.fields[name], lambda _: "")):
            try:
                float(text)
            except ValueError:
                return f"text: {short(text.decode('utf-8', 'backslashreplace'))} in {pieces.where(piece, row)}"
    return "text"


def _matrix(part: Part, column: Callable[[str], Array], where: Callable[[int], str]) -> Array:
    made: Array | None = None
    for place, name in enumerate(part.names):
        rows = column(name)
        made = np.empty((len(rows), *part.shape), part.dtype) if made is None else made
        if rows.dtype != part.dtype and not holds(part.dtype, rows):
            bad = next(row for row in range(len(rows)) if not holds(part.dtype, rows[row : row + 1]))
            fix = "Leave the column out with columns=[...], or use as_matrix=False."
            raise refusal(f"{where(bad)}, column {name!r}", f"a value that {part.dtype} holds exactly", f"{rows[bad]}", fix)
        made[:, place] = rows
    assert made is not None
    return made


def in_memory(rows: Rows) -> Source:
    """All rows, read at once."""
    size = sum(rows.pieces.counts)
    wholes = [np.empty(size, object) if part.dtype.kind == "O" else aligned((size, *part.shape), part.dtype) for part in rows.parts]
    at = 0
    for piece in _progress(range(len(rows.pieces.counts)), rows):
        made = rows.arrays(piece)
        for whole, array in zip(wholes, made, strict=True):
            whole[at : at + len(array)] = array
        at += len(made[0])
    flat = [_leaf(part, whole) for part, whole in zip(rows.parts, wholes, strict=True)]
    return arrays.of_leaves(tf.nest.pack_sequence_as(rows.element, flat), rows.pieces.name)


def _leaf(part: Part, whole: Array) -> Leaf:
    if part.dtype.kind != "O":
        return memory_leaf(part.path, whole)
    with tf.device("CPU:0"):
        return Leaf(part.path, len(whole), part.spec, TensorRows(tf.constant(whole, tf.string)))


def streamed(rows: Rows) -> Source:
    """All rows, read a piece at a time while training."""
    for piece in _progress(rows.pieces.suspects, rows):
        rows.arrays(piece)

    def load(piece: Any) -> list[Array]:
        return rows.arrays(int(piece))

    def chunk(piece: Any) -> Any:
        flat = tf.numpy_function(weakly(load), [piece], [part.spec.dtype for part in rows.parts], stateful=False)
        shaped = [tf.ensure_shape(each, [None, *part.shape]) for each, part in zip(flat, rows.parts, strict=True)]
        return tf.nest.pack_sequence_as(rows.element, shaped)

    def labels() -> Array | None:
        name = rows.chosen.label
        if not isinstance(name, str):
            return None
        field = rows.pieces.fields[name]
        every = range(len(rows.pieces.counts))
        return np.concatenate(
            [values(rows.pieces.table(piece, [name]).column(name), field, lambda row, p=piece: rows.pieces.where(p, row)) for piece in every]
        )

    def fingerprint() -> str:
        digest = hashlib.blake2b(repr((rows.parts, rows.pieces.fields)).encode(), digest_size=16)
        for path in rows.pieces.paths:
            digest.update(file_identity(path))
        return digest.hexdigest()

    return Source(
        name=rows.pieces.name,
        size=sum(rows.pieces.counts),
        spec=tf.nest.map_structure(lambda part: part.spec, rows.element),
        read=lambda chunk: chunk,
        stream=Stream(counts=np.array(rows.pieces.counts, np.int64), open=lambda piece: tf.data.Dataset.from_tensors(piece).map(chunk)),
        labels=labels,
        fingerprint=fingerprint,
        in_memory=False,
    )


def _progress(pieces: Any, rows: Rows) -> Any:
    return tqdm(pieces, unit=" pieces", desc=f"tfinput: reading {rows.pieces.name}", delay=2, leave=False)


def free_bytes() -> float:
    """Memory that is free for this process, as far as the system says."""
    free = float("inf")
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            free = next(int(line.split()[1]) * 1024.0 for line in file if line.startswith("MemAvailable:"))
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as limit, open("/sys/fs/cgroup/memory.current", encoding="ascii") as used:
            free = min(free, float(limit.read()) - float(used.read()))
    except (OSError, StopIteration, ValueError):  # Another system; no limit ("max").
        pass
    return free
