"""Packing: what a generator gives, one element or one batch at a time, goes into columns; a few hundred examples are a chunk.

An element is copied when it comes: many generators fill one array again and again.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfinput.errors import refusal
from tfinput.material.forms import Form, FormField
from tfinput.material.nests import TEXT, Array
from tfinput.material.rows import Buffers, aligned

CHUNK = 1 << 10
CHUNK_BYTES = 4 << 20
# What a slow generator has made by then is handed on.
CHUNK_SECONDS = 0.05
# How far a pass that is too long is followed, to say by how much.
BEYOND = 1 << 16
BEYOND_SECONDS = 1.0

Chunk = tuple[Array, ...]


@dataclass(frozen=True)
class Recipe:
    """What a pass over a generator is to give.

    Attributes:
        begin: returns the iterator of a new pass.
        form: of one example.
        name: what messages call the generator.
        batched: whether its elements are batches of examples.
        size: examples in a pass; None where nobody knows yet.
        promise: who says so.
        endless: whether a pass may go on after them; the rest is left.
        shared: whether all passes take their elements from one iterator.

    """

    begin: Callable[[], Iterator[Any]]
    form: Form
    name: str
    batched: bool = False
    size: int | None = None
    promise: str = ""
    endless: bool = False
    shared: bool = False

    def place(self, number: int) -> str:
        """How messages call an element."""
        return f"{self.name}, {'batch' if self.batched else 'element'} #{number}"

    def failure(self, number: int, error: BaseException) -> BaseException:
        """The error of an element, with its number; one that is told already stays as it is."""
        if isinstance(error, Exception) and str(error).startswith("tfinput:"):
            return error
        return ValueError(f"tfinput: {self.place(number)}: {type(error).__name__}: {error}")

    @property
    def rows(self) -> int:
        """Examples in a chunk, at most."""
        plain = [leaf for leaf in self.form.leaves if leaf.plain]
        nbytes = sum(math.prod(each or 0 for each in leaf.shape) * leaf.dtype.itemsize for leaf in plain)
        return max(1, min(CHUNK, CHUNK_BYTES // max(1, nbytes)))


class Progress:
    """How far a pass is: the elements and the examples that came, and the room that is being filled; other threads may look."""

    def __init__(self) -> None:
        """Begin."""
        self.elements = 0
        self.examples = 0
        self.room: Room | None = None


def packed(
    recipe: Recipe,
    elements: Iterator[Any],
    buffers: Buffers,
    catches: type[BaseException] = Exception,
    progress: Progress | None = None,
) -> Iterator[Chunk]:
    """The chunks of a pass; an error in it (of the kind `catches`), or a wrong count, is raised with its place."""
    pack = _packed_batches if recipe.batched else _packed_examples
    progress = progress or Progress()
    chunks = pack(recipe, elements, buffers, progress)
    while True:
        try:
            chunk = next(chunks, None)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and catches is not BaseException:
                raise
            failure = recipe.failure(progress.elements, error)
            if failure is error:
                raise
            raise failure from error
        if chunk is None:
            return
        yield chunk


def _packed_examples(recipe: Recipe, elements: Iterator[Any], buffers: Buffers, at: Progress) -> Iterator[Chunk]:
    form, size, rows, clock = recipe.form, recipe.size, recipe.rows, time.monotonic
    write, plain, place = form.write, form.plain, lambda: recipe.place(at.elements)
    at.room = room = Room(form, rows, buffers)
    row, done, columns, due = 0, 0, room.columns, clock() + CHUNK_SECONDS
    for element in elements:
        if done == size:
            raise _miscounted(recipe, done, elements)
        write(columns, row, element, place)
        if not plain:
            room.settle(row, row + 1)
        at.elements = at.examples = done = done + 1
        room.filled = row = row + 1
        if done == size:
            if recipe.endless:
                break
            # The last chunk waits until the end is certain: Keras asks for nothing after it.
        elif row == rows or clock() > due or room.nbytes > CHUNK_BYTES:
            yield room.take()
            at.room = room = Room(form, rows, buffers)
            row, columns, due = 0, room.columns, clock() + CHUNK_SECONDS
    if row:
        yield room.take()
    if size is not None and done < size:
        raise _miscounted(recipe, done)


def _packed_batches(recipe: Recipe, elements: Iterator[Any], buffers: Buffers, at: Progress) -> Iterator[Chunk]:
    form, size, clock = recipe.form, recipe.size, time.monotonic
    room, row, done = Room(form, recipe.rows, buffers), 0, 0
    at.room, due = room, clock() + CHUNK_SECONDS
    for batch in elements:
        arrays = form.batch(batch, lambda: recipe.place(at.elements))
        count = len(arrays[0])
        if size is not None and done + count > size:
            if not recipe.endless:
                raise _miscounted(recipe, done + count, elements)
            count = size - done
        if row and row + count > room.rows:
            yield room.take()
            room, row, due = Room(form, max(count, recipe.rows), buffers), 0, clock() + CHUNK_SECONDS
        elif count > room.rows:
            room = Room(form, count, buffers)
        at.room = room
        room.write(row, row + count, arrays)
        at.elements, at.examples = at.elements + 1, done + count
        room.filled = row = row + count
        done += count
        if recipe.endless and done == size:
            break
        if done != size and (room.nbytes > CHUNK_BYTES or clock() > due):
            yield room.take()
            at.room = room = Room(form, recipe.rows, buffers)
            row, due = 0, clock() + CHUNK_SECONDS
    if row:
        yield room.take()
    if size is not None and done < size:
        raise _miscounted(recipe, done)


def _miscounted(recipe: Recipe, found: int, rest: Iterator[Any] | None = None) -> Exception:
    """A pass is too short, or too long, if there is a rest of it."""
    got, fix = f"{found}", "Pass the size that it has, or leave size out to have it counted."
    if rest is not None:
        found, ended = _followed(found, recipe, rest)
        got = f"{found}" if ended else f"{found} and no end"
        fix = f"Pass the size that it has, or endless=True if it never ends: its first {recipe.size} are an epoch then."
    elif found == 0:
        fix = "The function must return a new iterator each time it is called."
    return refusal(recipe.name, f"{recipe.size} examples in a pass ({recipe.promise})", got, fix)


def _followed(found: int, recipe: Recipe, rest: Iterator[Any]) -> tuple[int, bool]:
    """How many examples there are in all, and whether that is certain."""
    found += not recipe.batched  # A batch was counted when it came.
    give_up = time.monotonic() + BEYOND_SECONDS
    for element in itertools.islice(rest, BEYOND):
        found += len(recipe.form.batch(element, lambda: recipe.name)[0]) if recipe.batched else 1
        if time.monotonic() > give_up:
            return found, False
    return found, next(rest, rest) is rest


class Room:
    """Columns for the examples of a chunk; arrays whose shapes vary go in as bytes, with their shapes beside them."""

    def __init__(self, form: Form, rows: int, buffers: Buffers) -> None:
        """Lend aligned memory, which TensorFlow takes over without a copy."""
        self.form, self.rows = form, rows
        self.nbytes = 0
        self.filled = 0  # rows that hold examples
        self._taken = 0  # rows that were handed on
        self._lock = threading.Lock()
        if form.plain:
            self.columns = form.views(buffers.lend((max(1, form.places(rows)[1]),), "u1"), rows)
            self.shapes: list[Array | None] = [None] * len(self.columns)
            return
        self.columns = [aligned((rows, *leaf.shape), leaf.dtype) if leaf.plain else leaf.column(rows) for leaf in form.leaves]  # type: ignore[arg-type]
        self.shapes = [None if leaf.even else aligned((rows, len(leaf.shape)), np.int64) for leaf in form.leaves]

    def write(self, start: int, end: int, arrays: list[Array]) -> None:
        """Put rows of a batch of the right form into the columns."""
        for leaf, column, array in zip(self.form.leaves, self.columns, arrays, strict=True):
            if leaf.even:
                column[start:end] = array[: end - start]
            else:
                for row in range(start, end):
                    column[row] = array[row - start]
        if not self.form.plain:
            self.settle(start, end)

    def settle(self, start: int, end: int) -> None:
        """Turn arrays whose shapes vary into bytes, and count the bytes of what has no fixed size."""
        for leaf, column, shapes in zip(self.form.leaves, self.columns, self.shapes, strict=True):
            if leaf.plain:
                continue
            for row in range(start, end):
                if shapes is not None:
                    shapes[row] = column[row].shape
                    column[row] = as_bytes(leaf, column[row])
                self.nbytes += sum(map(len, np.ravel(column[row])))

    def take(self, leave: int = 0) -> Chunk:
        """The rows that came since the last time, but for so many; also from another thread than the one that fills them."""
        with self._lock:
            start = self._taken
            self._taken = end = max(start, self.filled - leave)
        found = []
        for column, shapes in zip(self.columns, self.shapes, strict=True):
            found.append(column[start:end])
            if shapes is not None:
                found.append(shapes[start:end])
        return tuple(found)


def as_bytes(leaf: FormField, array: Array) -> bytes:
    """The content of an array, as `varying` decodes it."""
    if leaf.dtype != TEXT:
        return array.tobytes()
    import tensorflow as tf

    made: bytes = tf.make_tensor_proto(array, tf.string).SerializeToString()
    return made
