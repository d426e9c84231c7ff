"""Rows of arrays in mapped files, copied a batch at a time.

A file that shrank while it was open raises an error at the next read. (Only a file of small rows, or a memmap, that is cut during a
copy still ends the process: reading costs more than 1 us a row, many times the cost of a batch of small rows.)
"""

from __future__ import annotations

import math
import mmap
import os
import weakref
from typing import Any

import numpy as np

from tfinput.errors import refusal, refuse_short
from tfinput.material.rows import Array, Buffers

# Rows of so many bytes are read instead of copied from the mapping, which takes up to twice as long; smaller ones many times as long.
WIDE = 16 << 10


class MappedRows:
    """Rows of one array in a mapped file, copied a batch at a time; the file stays where it is."""

    tensor = None
    _strided: bool
    _rows: Array

    def __init__(self, path: str, offset: int, shape: tuple[int, ...], dtype: Any, fortran: bool = False) -> None:
        with open(path, "rb") as file:
            refuse_short(path, os.fstat(file.fileno()).st_size, offset + math.prod(shape) * np.dtype(dtype).itemsize)
            whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._settle(path, whole, offset, shape, dtype, fortran)
            if hasattr(os, "preadv") and not self._strided and self._rows.shape[1] >= WIDE:
                self._file = os.dup(file.fileno())
                weakref.finalize(self, os.close, self._file)

    def _settle(self, path: str, whole: Any, offset: int, shape: tuple[int, ...], dtype: Any, fortran: bool = False) -> None:
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)
        self._mapping, self._offset = whole, offset
        self._file = -1
        self._end = offset + math.prod(shape) * self.dtype.itemsize
        self._identified = True
        self._buffers = Buffers()
        self._strided = fortran and len(shape) > 1
        # Bytes, not elements: what lies inside a .npz is not aligned, and NumPy would copy it whole.
        flat = np.frombuffer(whole, np.uint8, count=self._end - offset, offset=offset)
        if self._strided:
            self._rows = np.ndarray(shape, self.dtype, flat, order="F")
        else:
            self._rows = flat.reshape(shape[0], -1) if shape[0] and flat.size else np.empty((shape[0], 0), np.uint8)

    @classmethod
    def of_memmap(cls, array: np.memmap[Any, Any]) -> MappedRows:
        """The rows of a contiguous memmap, in its own mapping: what was written to it is seen, even if its file was replaced."""
        root = _root(array)
        made = cls.__new__(cls)
        start = root.offset + array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        # NumPy's mapping starts at the page in which the array starts.
        page = root.offset - root.offset % mmap.ALLOCATIONGRANULARITY
        made._settle(str(array.filename), root.base, start - page, array.shape, array.dtype, not array.flags.c_contiguous)
        made._end += page
        made._identified = array.mode == "r"
        return made

    def take(self, indices: Array) -> Array:
        """The rows at `indices`; text as bytes."""
        # Reading a mapped page that is gone would kill the process (SIGBUS).
        refuse_short(self.path, self._mapping.size(), self._end)
        if self._strided:
            rows = np.ascontiguousarray(self._rows[indices])
        else:
            # The very array that was lent is returned: its buffer comes back when the last use of it ends.
            rows = self._buffers.lend((len(indices), *self.shape[1:]), self.dtype)
            if rows.nbytes:
                out = rows.reshape(len(indices), -1).view(np.uint8)
                if self._file < 0:
                    np.take(self._rows, indices, axis=0, out=out, mode="clip")
                else:
                    self._read(indices, out)
        if self.dtype.kind in "US":
            return _as_bytes(self.path, rows)
        return rows if self.dtype.isnative else rows.astype(self.dtype.newbyteorder("="))

    def _read(self, indices: Array, out: Array) -> None:
        width = out.shape[1]
        for place, index in enumerate(indices.tolist()):
            row, done = memoryview(out[place]), 0
            while done < width:
                read = os.preadv(self._file, [row[done:]], self._offset + index * width + done)
                if read == 0:
                    refuse_short(self.path, self._mapping.size(), self._end)
                done += read

    def stretches(self, starts: Array, ends: Array) -> list[bytes]:
        """The bytes between places of a vector of bytes."""
        refuse_short(self.path, self._mapping.size(), self._end)
        return [self._mapping[self._offset + start : self._offset + end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]

    def all(self) -> Array:
        """All rows, read into memory."""
        return np.array(self.take(np.arange(self.shape[0])))

    def file(self) -> tuple[str, str] | None:
        """The file that holds the rows and the place in it; None while someone may write to it."""
        return (self.path, f"{self._end} {self._strided} {self.dtype.str}") if self._identified else None


class TextRows:
    """Rows of text in two files: the bytes of all texts one after another, and where each ends."""

    tensor = None

    def __init__(self, text: MappedRows, ends: MappedRows) -> None:
        self.text, self.ends = text, ends

    def take(self, indices: Array) -> Array:
        """The rows at `indices`, as bytes."""
        ends = self.ends.take(indices)
        count = len(indices)
        before = self.ends.take(np.maximum(indices, 1) - 1).reshape(count, -1)[:, -1:]
        before[indices == 0] = 0
        flat = ends.reshape(count, -1)
        starts = np.concatenate([before, flat[:, :-1]], axis=1)
        rows = np.empty(flat.size, object)
        rows[:] = self.text.stretches(starts.reshape(-1), flat.reshape(-1))
        return rows.reshape(ends.shape)

    def all(self) -> Array:
        """All rows, read into memory."""
        return self.take(np.arange(self.ends.shape[0]))


def refuse_cut(array: np.memmap[Any, Any]) -> None:
    """Refuse a memmap whose file has become shorter: copying it would end the process."""
    root = _root(array)
    refuse_short(str(root.filename), root.base.size(), root.offset + root.nbytes)


def _root(array: Any) -> Any:
    """The memmap that others are views of."""
    while isinstance(array.base, np.memmap):
        array = array.base
    return array


def _as_bytes(path: str, rows: Array) -> Array:
    try:
        return (np.char.encode(rows, "utf-8") if rows.dtype.kind == "U" else rows).astype(object)
    except UnicodeEncodeError as error:
        raise refusal(path, "text", f"{error}", "Write it again as valid Unicode.") from error
