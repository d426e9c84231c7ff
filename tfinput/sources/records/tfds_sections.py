"""The files of prepared TensorFlow Datasets as a source: stretches of TFRecord or ArrayRecord files, parsed by their own features."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfinput.errors import FileError, MissingFileError, refusal
from tfinput.material.folders import shown
from tfinput.sources.records import record_source, tfrecord_index
from tfinput.sources.records.array_record import ArrayRecords

Array = np.ndarray[Any, Any]
plain = tf.autograph.experimental.do_not_convert
AGAIN = "The file is damaged or was changed: delete the folder that it is in, and prepare the dataset again."
BATCH = 256


class Stretch(NamedTuple):
    """`take` neighbouring records of a file of `held` records, the first `skip` left out."""

    path: bytes
    skip: int
    take: int
    held: int


def stretches(instructions: Iterable[Any]) -> list[Stretch]:
    """What TFDS' file instructions ask for."""
    return [Stretch(os.fsencode(each.filename), each.skip, each.take, each.examples_in_shard) for each in instructions if each.take]


def overlap(pieces: list[Stretch]) -> str | None:
    """Where stretches hold the same records twice, in words."""
    for one, other in itertools.pairwise(sorted(pieces)):
        if one.path == other.path and other.skip < one.skip + one.take:
            last = min(one.skip + one.take, other.skip + other.take) - 1
            return f"{shown(one.path)}, records {other.skip} to {last}"
    return None


def refuse_missing(pieces: list[Stretch], name: str, fix: str) -> None:
    """Refuse if a file of prepared data is not there, or not on this machine."""
    for piece in pieces:
        path = os.fsdecode(piece.path)
        if "://" in path:
            raise refusal(name, "files on this machine", path, "Copy the prepared folder here, and pass its path.")
        if not os.path.exists(path):
            raise refusal(name, f"the file {path}, which dataset_info.json counts", "no such file", fix, MissingFileError)


def identities(pieces: list[Stretch]) -> Array:
    """A number for each record that depends on its file's name and its place in the file alone."""
    return np.concatenate([tfrecord_index.identities([path], [skip + take])[skip:] for path, skip, take, _ in pieces])


@dataclass(frozen=True)
class Sections(record_source.Shards):
    """Stretches of TFRecord files as one sequence of records."""

    pieces: list[Stretch] = field(default_factory=list)
    remedy: ClassVar[str] = AGAIN

    @classmethod
    def of(cls, pieces: list[Stretch]) -> Sections:
        """Find the records of all stretches; the files must hold as many as the dataset's own count says."""
        with tqdm(unit=" records", desc="tfinput: counting", delay=2, leave=False) as bar:
            return cls([piece.path for piece in pieces], [_cut(tfrecord_index.index(piece.path, bar), piece) for piece in pieces], pieces)

    def identities(self) -> Array:
        """A number for each record that depends on its file's name and its place in the file alone."""
        return identities(self.pieces)


def _cut(whole: tfrecord_index.Index, piece: Stretch) -> tfrecord_index.Index:
    """The index of a stretch of a file."""
    _refuse_count(piece, sum(whole.counts))
    begin, end = piece.skip, piece.skip + piece.take
    starts, firsts, counts = [], [], []
    for start, first, count in zip(whole.starts, whole.firsts, whole.counts, strict=True):
        low, high = max(first, begin), min(first + count, end)
        if low >= high:
            continue
        if low > first:
            start = next(offset for number, offset, _ in tfrecord_index.within(piece.path, start, first, count) if number == low)
        starts.append(start)
        firsts.append(low)
        counts.append(high - low)
    return whole._replace(starts=starts, firsts=firsts, counts=counts, nbytes=whole.nbytes * piece.take // max(piece.held, 1))


def _refuse_count(piece: Stretch, found: int) -> None:
    if found != piece.held:
        raise refusal(shown(piece.path), f"{piece.held} records, as dataset_info.json says", str(found), AGAIN, FileError)


class NumberedSections:
    """Stretches of ArrayRecord files as one sequence of records, read by number."""

    lost = ()
    numbering = None
    stream = None

    def __init__(self, pieces: list[Stretch]) -> None:
        self.pieces = pieces
        self.paths = [piece.path for piece in pieces]
        self._files = ArrayRecords(self.paths)
        held = np.diff(self._files.ends, prepend=0)
        for piece, found in zip(pieces, held, strict=True):
            _refuse_count(piece, int(found))
        self._ends = np.cumsum([piece.take for piece in pieces])
        # What to add to a record's number in the stretches for its number in the files.
        self._shifts = self._files.ends - held + [piece.skip for piece in pieces] - (self._ends - [piece.take for piece in pieces])

    @property
    def size(self) -> int:
        """Records of all stretches."""
        return int(self._ends[-1])

    def identities(self) -> Array:
        """A number for each record that depends on its file's name and its place in the file alone."""
        return identities(self.pieces)

    def place(self, number: int) -> str:
        """Where a record is, for messages."""
        return self._files.place(number + int(self._shifts[np.searchsorted(self._ends, number, side="right")]))

    def rows(self, indices: Any) -> Any:
        """In a graph: the records at `indices`, with their numbers."""
        indices = tf.cast(indices, tf.int64)
        piece = tf.searchsorted(tf.constant(self._ends, tf.int64), indices, side="right")
        strings, _ = self._files.rows(indices + tf.gather(tf.constant(self._shifts, tf.int64), piece))
        return strings, indices

    def digest(self, into: Any) -> None:
        """Feed what makes these files what they are to a hash object."""
        self._files.digest(into)


def every(opened: Sections | NumberedSections, parse: Callable[[Any], Any]) -> Array:
    """What `parse` makes of all records, as one array; `parse` takes a vector of them."""
    if isinstance(opened, Sections):
        stream = opened.stream(None)
        strings = tf.data.Dataset.range(len(stream.counts)).flat_map(plain(lambda unit: stream.open(unit))).map(plain(lambda rows, _: rows))
    else:
        strings = tf.data.Dataset.range(opened.size).batch(BATCH).map(plain(lambda indices: opened.rows(indices)[0]))
    found = []
    with tqdm(total=opened.size, unit=" records", desc="tfinput: reading the classes", delay=2, leave=False) as bar:
        for rows in strings.map(plain(parse)).as_numpy_iterator():
            found.append(rows)
            bar.update(len(rows))
    return np.concatenate(found)
