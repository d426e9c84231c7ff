"""ArrayRecord files: records that are read by number, so that they are shuffled like arrays. The `array_record` package reads them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.errors import FileError, refusal
from tfinput.material.columns import file_identity
from tfinput.material.folders import shown
from tfinput.runtime.python_op import weakly
from tfinput.sources.records.tfrecord_index import identities

Array = np.ndarray[Any, Any]
MARKS = (b".array_record", b".arrayrecord")


def is_one(path: bytes) -> bool:
    """Whether a file's name says that it is one, as `train.array_record-00000-of-00002` does."""
    return any(mark in os.path.basename(path) for mark in MARKS)


class ArrayRecords:
    """Several files as one sequence of records."""

    lost = ()
    numbering = None
    stream = None

    def __init__(self, paths: list[bytes]) -> None:
        try:
            from array_record.python.array_record_data_source import ArrayRecordDataSource
        except ImportError as error:
            fix = "pip install array_record"
            raise refusal(shown(paths[0]), "the array_record package, which reads ArrayRecord files", "none", fix, ImportError) from error
        self.paths = paths
        self._files = [_with_path(path, lambda path=path: ArrayRecordDataSource([os.fsdecode(path)])) for path in paths]
        self._take = self._taken  # kept, since a graph refers to it weakly
        self.ends = np.cumsum([_with_path(path, file.__len__) for path, file in zip(paths, self._files, strict=True)])

    @property
    def size(self) -> int:
        """Records of all files."""
        return int(self.ends[-1])

    def identities(self) -> Array:
        """A number for each record that depends on its file's name and its place alone."""
        return identities(self.paths, np.diff(self.ends, prepend=0))

    def place(self, number: int) -> str:
        """Where a record is, for messages."""
        file = int(np.searchsorted(self.ends, number, side="right"))
        return f"{shown(self.paths[file])}, record {number - int(self.ends[file] - len(self._files[file]))}"

    def rows(self, indices: Any) -> Any:
        """In a graph: the records at `indices`, with their numbers."""
        strings = tf.numpy_function(weakly(self._take), [indices], tf.string, stateful=False)
        return tf.ensure_shape(strings, indices.shape), tf.cast(indices, tf.int64)

    def _taken(self, indices: Array) -> Array:
        found = np.empty(len(indices), object)
        files = np.searchsorted(self.ends, indices, side="right")
        for file in np.unique(files):
            places = np.flatnonzero(files == file)
            within = (indices[places] - (self.ends[file] - len(self._files[file]))).tolist()
            found[places] = _with_path(self.paths[file], lambda file=file, within=within: self._files[file].__getitems__(within))
        return found

    def digest(self, into: Any) -> None:
        """Feed what makes these files what they are to a hash object."""
        for path in self.paths:
            into.update(path + b"\0" + file_identity(os.fsdecode(path)))


def _with_path(path: bytes, read: Any) -> Any:
    try:
        return read()
    except RuntimeError as error:
        said = (str(error).splitlines() or ["damage"])[0]
        raise refusal(shown(path), "a sound ArrayRecord file", said, "Restore or rewrite the file, or leave it out.", FileError) from error
