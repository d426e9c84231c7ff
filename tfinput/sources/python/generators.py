"""Python generators as a source: read from their beginning for each pass, in chunks that a thread packs."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfinput.errors import refusal, short
from tfinput.material import columns as leaves
from tfinput.material.forms import Form, FormField
from tfinput.material.nests import TEXT, Array
from tfinput.material.rows import Buffers, TensorRows, aligned
from tfinput.runtime import gc_deferral
from tfinput.runtime.python_op import weakly
from tfinput.sources import arrays
from tfinput.sources.base import Source, Stream
from tfinput.sources.python import ragged_columns
from tfinput.workers.generator_chunks import Chunk, Progress, Recipe, packed
from tfinput.workers.generator_thread import GeneratorPasses

# What is neither sized nor known to end is counted so far.
MOST = 1 << 22
# Without an example for so long, it is told that counting waits.
STILL_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class OneStream(Stream):
    """A stream whose passes go on where the last one ended: no pass can be read again, and none from a later place on."""


class Fresh:
    """Begins passes by calling a function, which must return a new iterator each time."""

    def __init__(self, function: Callable[[], Any], name: str) -> None:
        """Take a function without arguments."""
        self._function = function
        self._name = name
        self._last: Callable[[], Any] = lambda: None

    def __call__(self) -> Iterator[Any]:
        """Return the iterator of a new pass."""
        made = self._function()
        what = f"what {self._name} returns"
        if isinstance(made, (str, bytes, dict, tuple, np.ndarray)) or not hasattr(made, "__iter__"):
            fix = "Write it with yield, once for each example."
            raise refusal(what, "an iterator over examples", f"{short(made)} ({type(made).__name__})", fix, TypeError)
        elements: Iterator[Any] = iter(made)
        if elements is self._last():
            raise refusal(what, "a new iterator for each pass", "the last one again, which is used up", "Make it inside the function.")
        try:
            self._last = weakref.ref(elements)
        except TypeError:  # Iterators of built-in types. Kept, since a new one may lie where the last one did.
            self._last = lambda: elements
        return elements


class Shared:
    """Begins each pass where the last one ended, on one iterator that several threads may read."""

    def __init__(self, elements: Iterator[Any]) -> None:
        """Take the iterator."""
        self._elements = elements
        self._lock = threading.Lock()

    def __call__(self) -> Iterator[Any]:
        """Return the rest."""
        return self

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._lock:
            return next(self._elements)


def streamed(recipe: Recipe, window: int, ragged: bool, fingerprint: Callable[[], str], look: bool) -> Source:
    """The source over the passes of a generator, each of `recipe.size` examples.

    `look` says whether a look at the first examples of two passes is cheap.
    """
    assert recipe.size is not None
    passes, form, size = GeneratorPasses(recipe), recipe.form, recipe.size
    chunks = passes.chunks  # one object, which lives as long as a dataset's functions refer to `opened`

    def opened(unit: Any) -> Any:
        del unit
        return tf.data.Dataset.from_generator(weakly(chunks), output_signature=tuple(ragged_columns.column_specs(form)))

    kind = OneStream if recipe.shared else Stream
    return Source(
        name=recipe.name,
        size=size,
        stream=kind(counts=np.array([size], np.int64), open=opened, window=window, chunked=True, live=True),
        labels=lambda: _labels(recipe),
        fingerprint=fingerprint,
        in_memory=False,
        identities=lambda: np.arange(size, dtype=np.uint64),
        locate=lambda index: f"{recipe.name}, example {index}",
        hold=None if recipe.shared else functools.partial(passes.hold, look),
        summary=lambda: f"shuffled among {window}" if window < size else "",
        **ragged_columns.about(form, ragged),
    )


def in_memory(recipe: Recipe, limit: float, ragged: bool) -> Source:
    """The source over all examples of one pass, which is read now, into memory of at most `limit` bytes."""
    form = recipe.form
    columns = [leaves_of(f"{recipe.name}, column {place}", column) for place, column in enumerate(_collected(recipe, limit))]
    if all(leaf.even for leaf in form.leaves):
        return arrays.of_leaves(tf.nest.pack_sequence_as(form.structure, columns), recipe.name)
    base = arrays.of_leaves(tuple(columns), recipe.name)
    about = ragged_columns.about(form, ragged) | {"read": base.read, "labels": lambda: None, "in_memory": False}
    return dataclasses.replace(base, **about)


def leaves_of(path: str, column: Array) -> leaves.Column:
    """A column in memory as an array source takes it."""
    if column.dtype != TEXT:
        return leaves.memory_leaf(path, column)
    with tf.device("CPU:0"):
        return leaves.Column(path, len(column), tf.TensorSpec(column.shape[1:], tf.string), TensorRows(tf.constant(column, tf.string)))


def counted(recipe: Recipe, elements: Iterator[Any]) -> int:
    """Examples in a pass, each of which is looked at."""
    return sum(len(chunk[0]) for chunk in _watched(recipe, elements, "counting (size= says it; what never ends needs endless=True)"))


def _watched(recipe: Recipe, elements: Iterator[Any], what: str) -> Iterator[Chunk]:
    """The chunks of a pass, with a progress bar where it takes long; one without a size must end some time."""
    at, begun = Progress(), time.monotonic()
    with tqdm(total=recipe.size, unit=" examples", desc=f"tfinput: {what}", delay=2, leave=False) as bar, awaited(recipe.name, at):
        for chunk in packed(recipe, elements, Buffers(), progress=at):
            yield chunk
            bar.update(len(chunk[0]))
            if recipe.size is None and at.examples > MOST:
                raise unending(recipe.name, f"{at.examples:,} examples in {time.monotonic() - begun:.0f} s and no end")


def unending(name: str, got: str) -> Exception:
    """The error of a pass that does not end, as far as one can see."""
    examples = "(function, 10_000)" if name in ("validation_data", "test_data") else "size=10_000"
    fix = f"Pass endless=True and {examples}, the number of examples that make a pass; or, if it does end, its size."
    return refusal(name, "a pass that ends", got, fix)


@contextlib.contextmanager
def awaited(name: str, at: Progress) -> Iterator[None]:
    """Tell, once, that nothing has come for long: what waits for training, or for somebody else, may never come."""
    ended = threading.Event()

    def watch() -> None:
        before = -1
        while before != at.examples:
            before = at.examples
            if ended.wait(STILL_SECONDS):
                return
        fix = "Nothing trains before it is built: pass size=, or endless=True and size=, if it waits for that."
        warnings.warn(f"tfinput: {name}: {before} examples came, then none for {STILL_SECONDS:g} s. {fix}", RuntimeWarning, stacklevel=2)

    watcher = threading.Thread(target=gc_deferral.without_collection(watch), name="tfinput-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _collected(recipe: Recipe, limit: float) -> list[Array]:
    """The columns of a whole pass."""
    chunks: list[Chunk] = []
    held, count = 0, 0
    for chunk in _watched(recipe, recipe.begin(), f"reading {recipe.name} into memory"):
        chunks.append(tuple(column.copy() for column in chunk))
        held += sum(_nbytes(column) for column in chunk)
        count += len(chunk[0])
        if held > limit:
            fix = "Pass a function that returns a new iterator, which is read as it is needed; if it never ends, endless=True and size."
            got = f"more than {limit / 2**20:,.0f} MiB in {count:,} examples"
            raise refusal(recipe.name, "an iterator that fits in memory, since it can be read only once", got, fix)
    return [_joined([chunk[place] for chunk in chunks]) for place in range(len(chunks[0]))]


def _nbytes(column: Array) -> int:
    return column.nbytes + (sum(map(sys.getsizeof, column.ravel())) if column.dtype == TEXT else 0)


def _joined(pieces: list[Array]) -> Array:
    shape, dtype = (sum(map(len, pieces)), *pieces[0].shape[1:]), pieces[0].dtype
    whole = np.empty(shape, dtype) if dtype == TEXT else aligned(shape, dtype)
    return np.concatenate(pieces, out=whole)


def _labels(recipe: Recipe) -> Array | None:
    """All targets, where each example has one array of them; reads a whole pass."""
    structure = recipe.form.structure
    target = structure[1] if isinstance(structure, tuple) and len(structure) > 1 else None
    if recipe.shared or not isinstance(target, FormField) or not target.even:
        return None
    before = Form(structure[0]).leaves
    place = sum(1 if leaf.even else 2 for leaf in before)
    passed = _watched(recipe, recipe.begin(), "reading the classes")
    return np.concatenate([chunk[place].copy() for chunk in passed])
