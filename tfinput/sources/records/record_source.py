"""TFRecord files as a source: runs of records in any order, parsed a batch at a time or one by one."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfinput.errors import FileError, refusal
from tfinput.material.columns import file_identity
from tfinput.material.folders import shown
from tfinput.material.hook_results import check_result
from tfinput.runtime.fallback import with_fallback
from tfinput.runtime.serial_map import converted
from tfinput.sampling.numbering import Numbering
from tfinput.sources.base import Loader, Source, Stream
from tfinput.sources.records import tfrecord_index
from tfinput.sources.records.array_record import ArrayRecords
from tfinput.sources.records.serialized_examples import unparsed

WINDOW = 1 << 14
WINDOW_BYTES = 64 << 20
CHUNK = 256
EMPTY = "an empty file (0 bytes)"


@dataclass(frozen=True)
class Shards:
    """Several files as one sequence of records."""

    paths: list[bytes]
    indexes: list[tfrecord_index.Index]
    remedy: ClassVar[str] = "The file is damaged or was changed: restore it and build the feed again, or pass on_bad='skip'."

    @classmethod
    def opened(cls, paths: list[bytes], skip: bool = False) -> Shards:
        """Count the records of all files, with a progress bar where it takes long; `skip` leaves damaged ones out."""
        with tqdm(unit=" records", desc="tfinput: counting", delay=2, leave=False) as bar:
            made = cls(paths, [tfrecord_index.index(path, bar, skip) for path in paths])
        return made.sound() if skip else made

    def sound(self) -> Shards:
        """The same without the records whose data is damaged; reads everything once."""
        stream = self.stream(None)

        def read(unit: Any) -> Any:
            chunks = stream.open(unit).ignore_errors()
            return chunks.reduce(tf.constant(0, tf.int64), lambda done, rows: done + tf.size(rows[1], tf.int64))

        counted = tf.data.Dataset.range(len(stream.counts)).map(read, num_parallel_calls=2)
        with tqdm(total=self.size, unit=" records", desc="tfinput: checking", delay=2, leave=False) as bar:
            short = []
            for unit, found in enumerate(counted.as_numpy_iterator()):
                bar.update(int(found))
                if found != stream.counts[unit]:
                    short.append(unit)
        units = np.cumsum([0, *(len(each.starts) for each in self.indexes)])
        indexes = [
            self._without_damage(file, {unit - first for unit in short if first <= unit < end})
            for file, (first, end) in enumerate(itertools.pairwise(units))
        ]
        return Shards(self.paths, indexes)

    def _without_damage(self, file: int, short: set[int]) -> tfrecord_index.Index:
        """The index of a file whose `short` runs are cut at their damaged records."""
        made = self.indexes[file]
        if not short:
            return made
        if made.compression:
            raise self.problem(file, 0, made.counts[0], int(self.counts[:file].sum()))
        starts, firsts, counts, lost = [], [], [], list(made.lost)
        for run, (start, first, count) in enumerate(zip(made.starts, made.firsts, made.counts, strict=True)):
            pieces = [(start, first, count)] if run not in short else list(self._pieces(file, start, first, count, lost))
            starts += [piece[0] for piece in pieces]
            firsts += [piece[1] for piece in pieces]
            counts += [piece[2] for piece in pieces]
        return made._replace(starts=starts, firsts=firsts, counts=counts, lost=tuple(lost))

    def _pieces(self, file: int, start: int, first: int, count: int, lost: list[str]) -> Iterator[tuple[int, int, int]]:
        """The sound stretches of a run: where each starts, the number of its first record, and how many it has."""
        path = self.paths[file]
        rest = [(number, offset) for number, offset, _ in tfrecord_index.within(path, start, first, count)]
        while rest:
            sound = _readable(path, rest[0][1], len(rest))
            if sound:
                yield rest[0][1], rest[0][0], sound
            for number, offset in rest[sound : sound + 1]:
                lost.append(f"record {number} at byte {offset}: its data does not fit its checksum")
            rest = rest[sound + 1 :]

    @property
    def counts(self) -> np.ndarray[Any, Any]:
        """Records of each file."""
        return np.array([sum(each.counts) for each in self.indexes], np.int64)

    @property
    def size(self) -> int:
        """Records of all files."""
        return int(self.counts.sum())

    def located(self, number: int) -> tuple[bytes, int]:
        """The file of a record, and its number in it."""
        ends = np.cumsum(self.counts)
        file = int(np.searchsorted(ends, number, side="right"))
        within, index = number - int(ends[file] - self.counts[file]), self.indexes[file]
        runs = np.cumsum(index.counts)
        run = int(np.searchsorted(runs, within, side="right"))
        return self.paths[file], index.firsts[run] + within - int(runs[run] - index.counts[run])

    @property
    def lost(self) -> tuple[tuple[bytes, str], ...]:
        """What was left out of which file; of one without records that is not compressed, that it is empty."""
        each = [
            (path, made.lost or (() if made.counts or made.compression else (EMPTY,)))
            for path, made in zip(self.paths, self.indexes, strict=True)
        ]
        return tuple((path, "; ".join(lost)) for path, lost in each if lost)

    def place(self, number: int) -> str:
        """The same for messages."""
        path, within = self.located(number)
        return f"{shown(path)}, record {within}"

    def identities(self) -> np.ndarray[Any, Any]:
        """A number for each record that depends on its file's name and its place alone."""
        every = tfrecord_index.identities(self.paths, [sum(each.counts) + len(each.lost) for each in self.indexes])
        return every if self.numbering is None else every[self.numbering.positions]

    @cached_property
    def numbering(self) -> Numbering | None:
        """The places of the records among all, lost ones too."""
        return tfrecord_index.numbering(self.indexes)

    def stream(self, window: int | None) -> Stream:
        """How the records are read: each unit a run of a file, or a whole compressed file."""
        files = np.repeat(np.arange(len(self.paths)), [len(each.starts) for each in self.indexes])
        starts = np.array([start for each in self.indexes for start in each.starts], np.int64)
        counts = np.array([count for each in self.indexes for count in each.counts], np.int64)
        firsts = np.cumsum(counts) - counts
        with tf.device("CPU:0"):
            paths = tf.constant(self.paths, tf.string)
            kinds = tf.constant([each.compression for each in self.indexes])
            file_of, start_of, count_of, first_of = (tf.constant(part, tf.int64) for part in (files, starts, counts, firsts))
        chunked = any(each.compression for each in self.indexes)

        def open_run(unit: Any) -> Any:
            count, file = count_of[unit], file_of[unit]
            run = _strings(paths[file], kinds[file], start_of[unit]).take(count)
            numbers = tf.data.Dataset.range(first_of[unit], first_of[unit] + count)
            return tf.data.Dataset.zip((run, numbers)).batch(CHUNK)

        def explain(unit: Any, found: Any) -> None:
            del found
            raise self.problem(int(files[int(unit)]), int(starts[int(unit)]), int(counts[int(unit)]), int(firsts[int(unit)]))

        record_bytes = sum(each.nbytes for each in self.indexes) // max(self.size, 1)
        fitting = max(1, min(WINDOW, WINDOW_BYTES // max(record_bytes, 1)))
        return Stream(counts=counts, open=open_run, window=window or fitting, chunked=chunked, explain=explain)

    def problem(self, file: int, start: int, count: int, first: int) -> Exception:
        """Why `count` records of a file cannot be read from byte `start` on."""
        path = self.paths[file]
        found, said = 0, "the end of the file"
        try:
            for _ in _strings(path, self.indexes[file].compression, start).take(count):
                found += 1
        except tf.errors.OpError as error:
            said = str(error.message).split("[Op:")[0].split("}}")[-1].strip().rstrip(".")
        return refusal(self.place(first + found), "a sound record", said, self.remedy, FileError)

    def digest(self, into: Any) -> None:
        """Feed what makes these files what they are to a hash object."""
        for path in self.paths:
            into.update(path + b"\0" + file_identity(os.fsdecode(path)))


def _readable(path: bytes, offset: int, count: int) -> int:
    """How many of `count` records can be read from a byte on, before the first damaged one."""
    found = 0
    try:
        for _ in _strings(path, "", offset).take(count):
            found += 1
    except tf.errors.OpError:
        pass
    return found


def _strings(path: Any, compression: Any, start: Any) -> Any:
    """The records of a file from a byte on: `tf.data.TFRecordDataset` cannot start within a file, its operation can."""
    size = tf.constant(tfrecord_index.RUN_BYTES, tf.int64)

    def opened(path: Any, compression: Any, start: Any) -> Any:
        files, offsets = tf.reshape(path, (1,)), tf.reshape(start, (1,))
        variant = tf.raw_ops.TFRecordDatasetV2(filenames=files, compression_type=compression, buffer_size=size, byte_offsets=offsets)
        return tf.data.experimental.from_variant(variant, tf.TensorSpec((), tf.string))

    # Inside a function of its own: TensorFlow forgets the offsets where it writes that operation down outside of one.
    return tf.data.Dataset.from_tensors((path, compression, tf.cast(start, tf.int64))).flat_map(
        tf.autograph.experimental.do_not_convert(opened)
    )


def source(
    shards: Shards | ArrayRecords,
    window: int | None,
    parse: Callable[[Any], Any] | None,
    one_by_one: bool,
    name: str,
    fingerprint: Callable[[], str],
) -> Source:
    """The source over records: `parse` gets a vector of them, or, `one_by_one`, a single one."""
    kept: list[Any] = []

    def read(rows: Any) -> Any:
        strings, numbers = rows = rows if shards.stream else shards.rows(rows)
        if parse is None or one_by_one:
            return rows if one_by_one else strings
        run = tf.data.Dataset.from_tensors(strings).map(parse)
        return with_fallback(run, find, (strings, numbers), f"parsing {name}", kept)

    def find(strings: Any, numbers: Any) -> None:
        assert parse is not None
        for place in range(len(strings)):
            try:
                parse(strings[place : place + 1])
            except tf.errors.OpError as error:
                raise unparsed(shards.place(int(numbers[place])), strings[place].numpy(), error) from error

    if parse is not None and not one_by_one:
        with contextlib.suppress(tf.errors.OpError):  # Damage is told where it is read.
            find(*_first(shards))

    def load(row: Any, seed: Any) -> Any:
        del seed
        assert parse is not None
        return parse(row[0]) if tf.executing_eagerly() else converted(parse)(row[0])

    def explain(row: Any, error: Exception) -> Exception:
        said = (str(error).strip().splitlines() or [""])[0]
        return ValueError(f"tfinput: parse failed in {shards.place(int(row[1]))}: {type(error).__name__}: {said}")

    def identity() -> str:
        digest = hashlib.blake2b(fingerprint().encode(), digest_size=16)
        shards.digest(digest)
        return digest.hexdigest()

    return Source(
        name=name,
        size=shards.size,
        spec=_spec(parse, one_by_one),
        read=read,
        stream=shards.stream(window) if shards.stream else None,
        loader=Loader(load=load, explain=explain) if one_by_one else None,
        fingerprint=identity,
        in_memory=False,
        locate=shards.place,
        skipped=shards.lost,
        numbering=shards.numbering,
        identities=shards.identities,
    )


def _first(shards: Shards | ArrayRecords) -> tuple[Any, Any]:
    """The first record, and its number."""
    zero = tf.constant(0, tf.int64)
    if isinstance(shards, ArrayRecords):
        strings, numbers = shards.rows(zero[None])
        return strings, numbers
    strings, numbers = next(iter(shards.stream(None).open(zero)))
    return strings[:1], numbers[:1]


def _spec(parse: Callable[[Any], Any] | None, one_by_one: bool) -> Any:
    if parse is None:
        return tf.TensorSpec((), tf.string)
    given = tf.TensorSpec(() if one_by_one else (None,), tf.string)

    def parsed(strings: Any) -> Any:
        return check_result("parse", converted(parse)(strings), "x, y")

    empty = tf.data.Dataset.from_generator(lambda: iter(()), output_signature=given)
    made = empty.map(tf.autograph.experimental.do_not_convert(parsed)).element_spec
    return made if one_by_one else tf.nest.map_structure(lambda spec: tf.TensorSpec(spec.shape[1:], spec.dtype), made)
