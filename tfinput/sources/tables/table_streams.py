"""Tables of columns as a source that is read while training, piece by piece."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.material.columns import file_identity
from tfinput.runtime.python_op import weakly
from tfinput.sources.base import Source, Stream
from tfinput.sources.tables.arrow_columns import Array
from tfinput.sources.tables.table_source import Rows, column, locator, progress

LEAST_WINDOW = 1 << 10
WINDOW_PIECES = 4
WINDOW_BYTES = 32 << 20
# Large pieces that may be open at a time: one is trained on, one validated on.
OPEN = 2


class Chunks:
    """Pieces in chunks; one that holds many is decoded chunk by chunk."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        counts = np.array(rows.pieces.counts, np.int64)
        # A little more than a chunk is one chunk.
        self.several = bool(counts.max() > 2 * rows.step)
        self.size = rows.step if self.several else int(counts.max())
        self.numbers = -(-counts // self.size)
        # By piece and the place of the chunk that comes next.
        self._open: dict[tuple[int, int], Iterator[Any]] = {}
        self._lock = threading.Lock()

    def load(self, piece: Any, place: Any) -> list[Array]:
        """The rows of one chunk of a piece."""
        piece, place = int(piece), int(place)
        with self._lock:
            tables = self._open.pop((piece, place), None)
            if tables is None:
                tables = itertools.islice(self.rows.tables(piece, self.size), place, None)
            table = next(tables)
            if place + 1 < self.numbers[piece]:
                self._open[piece, place + 1] = tables
                while len(self._open) > OPEN:
                    self._open.pop(next(iter(self._open)))
        return self.rows.arrays(piece, table, place * self.size)


def streamed(rows: Rows) -> Source:
    """All rows, read a piece at a time while training."""
    for piece in progress(rows.pieces.suspects, rows):
        for place, table in enumerate(rows.tables(piece)):
            rows.arrays(piece, table, place * rows.step)
    chunks = Chunks(rows)
    load = chunks.load

    def opened(piece: Any) -> Any:
        def chunk(place: Any) -> Any:
            flat = tf.numpy_function(weakly(load), [piece, place], [store.spec.dtype for store in rows.stores], stateful=False)
            return tuple(tf.ensure_shape(each, [None, *store.shape]) for each, store in zip(flat, rows.stores, strict=True))

        return tf.data.Dataset.range(tf.constant(chunks.numbers)[piece]).map(chunk)

    def labels() -> Array | None:
        name, pieces = rows.chosen.label, rows.pieces
        return np.concatenate([column(pieces, each, name) for each in range(len(pieces.counts))]) if isinstance(name, str) else None

    def fingerprint() -> str:
        digest = hashlib.blake2b(repr((rows.element, rows.pieces.fields, rows.pieces.counts)).encode(), digest_size=16)
        for path in rows.pieces.paths:
            digest.update(file_identity(path))
        return digest.hexdigest()

    window = min(WINDOW_PIECES * max(rows.pieces.counts), WINDOW_BYTES // max(rows.row_bytes, 1))
    return Source(
        name=rows.pieces.name,
        size=sum(rows.pieces.counts),
        spec=tf.nest.map_structure(lambda part: part.spec, rows.element),
        read=rows.examples,
        stream=Stream(
            counts=np.array(rows.pieces.counts, np.int64),
            open=opened,
            window=max(LEAST_WINDOW, window),
            chunked=chunks.several,
        ),
        labels=labels,
        fingerprint=fingerprint,
        in_memory=False,
        locate=locator(rows.pieces),
    )
