"""A `tf.data.Dataset` as a source: read from its beginning for each epoch, and each pass held to the count.

TensorFlow tells neither which element failed nor that a pass was short. So elements are numbered as they come: a gap in the
numbers is an element that failed, and the numbers' end is where the pass must end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfinput.errors import refusal
from tfinput.runtime.python_op import weakly
from tfinput.sources.base import Source, Stream

# AutoGraph's look at each function's source costs more than tracing it.
plain = tf.autograph.experimental.do_not_convert
WINDOW = 1 << 14
WINDOW_BYTES = 64 << 20
CHUNK = 256
CHUNK_BYTES = 1 << 20
# How far a pass that is too long is followed, to say by how much.
BEYOND = 1 << 20


class DatasetPasses:
    """A dataset of single examples, each pass of which must give `size` examples of one shape.

    `promise` says who says so many; `fix` what to do about several shapes.
    """

    def __init__(
        self, dataset: Any, size: int, name: str, promise: str, fix: str = "Pad, crop or resize to one shape in dataset.map."
    ) -> None:
        self.dataset, self.size, self.name, self.promise, self.fix = dataset, size, name, promise, fix
        self.spec = _one_shape(dataset, name)
        nbytes = sum(int(part.dtype.size or 16) * int(part.shape.num_elements()) for part in tf.nest.flatten(self.spec))
        self.example_bytes: int = max(1, nbytes)
        self._explain = self.explain  # kept, since a graph refers to it weakly

    @property
    def chunk(self) -> int:
        """Examples that are handed on together."""
        return max(1, min(CHUNK, CHUNK_BYTES // self.example_bytes))

    @property
    def window(self) -> int:
        """Examples that are shuffled together, unless the user says how many."""
        return max(1, min(WINDOW, WINDOW_BYTES // self.example_bytes))

    def open(self, unit: Any) -> Any:
        """In a graph: one pass, in chunks; an error in it, or a wrong count, is told."""
        del unit
        # Numbers that end one after the last: then what fails without end is left, and a pass that is too long is seen.
        numbers = tf.data.Dataset.range(self.size + 1)
        numbered = tf.data.Dataset.zip((numbers, self._shaped())).ignore_errors().batch(self.chunk)
        empty = tf.nest.map_structure(lambda part: tf.zeros([0, *part.shape], part.dtype), self.spec)
        ends = tf.data.Dataset.from_tensors((tf.zeros([0], tf.int64), empty))
        return numbered.concatenate(ends).scan(tf.constant(0, tf.int64), plain(self._held))

    def _shaped(self) -> Any:
        if self.spec == self.dataset.element_spec:
            return self.dataset

        def shaped(*parts: Any) -> Any:
            element = parts if isinstance(self.spec, tuple) else parts[0]
            return tf.nest.map_structure(lambda part, like: tf.ensure_shape(part, like.shape), element, self.spec)

        return self.dataset.map(plain(shaped))

    def _held(self, done: Any, numbered: Any) -> Any:
        """Hand a chunk on if its numbers are the next ones, and the end if it comes after `size` examples."""
        numbers, rows = numbered
        here = tf.size(numbers, tf.int64)
        next_ones = tf.reduce_all(numbers == tf.range(done, done + here))
        sound = tf.where(here == 0, done == self.size, next_ones & (done + here <= self.size))
        explain = weakly(self._explain)
        told = tf.cond(sound, lambda: tf.constant(0, tf.int64), lambda: tf.py_function(explain, [done], tf.int64))
        with tf.control_dependencies([told]):
            return done + here, tf.nest.map_structure(tf.identity, rows)

    def explain(self, done: Any) -> None:
        """Raise the error that tells why a pass went wrong within the chunk after `done` examples, or at its end."""
        found = int(done)
        last = min(found + self.chunk, self.size) + 1
        try:
            for element in self.dataset.skip(found).take(last - found):
                self._refuse_unlike(found, element)
                found += 1
        except Exception as error:
            raise failure(f"{self.name}, example {found}", error) from error
        if found < min(last, self.size):
            raise self._miscounted(found)
        if found > self.size:
            raise self._miscounted(int(counted(self.dataset.take(self.size + BEYOND), self.name)))
        fix = "Examples must not depend on what was read before, or on time."
        raise refusal(self.name, "each pass to go like the last", f"a failure near example {int(done)} that did not come again", fix)

    def _miscounted(self, found: int) -> Exception:
        fix = "Each pass must give the same examples: pass the size that it has, or leave size out to have it counted."
        return refusal(self.name, f"{self.size} examples in each pass ({self.promise})", str(found), fix)

    def _refuse_unlike(self, number: int, element: Any) -> None:
        for part, like in zip(tf.nest.flatten(element), tf.nest.flatten(self.spec), strict=True):
            if part.shape != like.shape:
                raise refusal(f"{self.name}, example {number}", f"the shape {like.shape} of example 0", str(part.shape), self.fix)

    def labels(self) -> np.ndarray[Any, Any] | None:
        """All targets, where each example has one tensor of them; reads a whole pass."""
        if not isinstance(self.spec, tuple) or len(self.spec) < 2 or tf.nest.is_nested(self.spec[1]):
            return None
        targets = self._shaped().map(plain(lambda *parts: parts[1])).batch(1 << 10)
        with tqdm(total=self.size, unit=" examples", desc="tfinput: reading the classes", delay=2, leave=False) as bar:
            found = []
            for batch in targets.as_numpy_iterator():
                found.append(batch)
                bar.update(len(batch))
        return np.concatenate(found)


def source(passes: DatasetPasses, window: int | None, fingerprint: Callable[[], str], **about: Any) -> Source:
    """The source over the passes of a dataset."""
    window = window or passes.window

    def summary() -> str:
        return f"shuffled among {window}" if window < passes.size else ""

    return Source(
        name=passes.name,
        size=passes.size,
        spec=passes.spec,
        read=lambda rows: rows,
        stream=Stream(counts=np.array([passes.size], np.int64), open=passes.open, window=window, chunked=True),
        labels=passes.labels,
        fingerprint=fingerprint,
        in_memory=False,
        identities=lambda: np.arange(passes.size, dtype=np.uint64),
        summary=summary,
        **about,
    )


def counted(dataset: Any, name: str) -> int:
    """How many examples a pass gives, with a progress bar where it takes long."""
    numbers = dataset.map(plain(lambda *_: tf.constant(0, tf.int64))).batch(CHUNK)
    done = 0
    with tqdm(unit=" examples", desc="tfinput: counting (size= says it)", delay=2, leave=False) as bar:
        try:
            for batch in numbers:
                done += int(batch.shape[0])
                bar.update(int(batch.shape[0]))
        except Exception as error:
            raise failure(f"{name}, after example {done}", error) from error
    return done


def failure(place: str, error: Exception) -> Exception:
    """An error of the user's own dataset, told with its place; one that is told already stays as it is."""
    if str(error).startswith("tfinput:"):
        return error
    told = re.sub(r"{{.*?}}", "", str(getattr(error, "message", error))).split("[[")[0].split("[Op:")[0]
    said = " ".join(told.split("Traceback")[0].split()).rstrip(".")
    fix = "It comes from the dataset itself: see the error above."
    return refusal(place, "an example", f"{type(error).__name__}: {said}", fix)


def _one_shape(dataset: Any, name: str) -> Any:
    """The spec of its examples, with the shapes of the first where the dataset does not know them."""
    spec = dataset.element_spec
    if all(part.shape.is_fully_defined() for part in tf.nest.flatten(spec)):
        return spec
    try:
        first = next(iter(dataset.take(1)))
    except StopIteration:
        raise refusal(name, "at least one example", "an empty dataset", "Check the data.") from None
    except Exception as error:
        raise failure(f"{name}, example 0", error) from error
    return tf.nest.map_structure(lambda part: tf.TensorSpec(part.shape, part.dtype), first)
