"""Shared memory for results: one file without a name, which grows by slots and goes with the last process that has it open."""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
import weakref
from collections import deque
from typing import NamedTuple

import numpy as np

from tfinput.errors import refusal
from tfinput.material.nests import Array

PAGE = 4096
LARGEST = 256 << 20


class Slot(NamedTuple):
    """A stretch of the file, and the larger one that is mapped into memory as a whole: each mapping takes a file descriptor."""

    arena: int
    mapped: int
    start: int
    length: int


def unnamed_file() -> int:
    """The descriptor of a new file without a name: nothing is left of it after `kill -9`."""
    try:
        if hasattr(os, "memfd_create"):
            return os.memfd_create("tfinput")
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    except OSError as error:
        raise refusal("workers", "a file in memory to share", str(error), "Raise the limit (ulimit -n), or use workers=0.") from error


class _Free(deque[tuple[Slot, mmap.mmap]]):
    """Slots that nothing uses; once it is closed, what comes back is let go."""

    closed = False

    def take_back(self, slot: Slot, held: mmap.mmap) -> None:
        if not self.closed:
            self.append((slot, held))


class Slots:
    """The slots of a file: lent out as memory, and free again when nothing uses that memory any more."""

    def __init__(self) -> None:
        """Make the file; nothing is in it yet."""
        self.file = unnamed_file()
        self._arena: tuple[int, int, mmap.mmap] | None = None  # where it starts, what of it is taken, and its memory
        self._end = 0
        self._free = _Free()
        self._lock = threading.Lock()
        self._closed = weakref.finalize(self, os.close, self.file)

    @property
    def nbytes(self) -> int:
        """Bytes of the file."""
        return self._end

    def close(self) -> None:
        """Give back what is not lent."""
        self._free.closed = True
        self._free.clear()
        self._arena = None
        self._closed()

    def lend(self, nbytes: int) -> tuple[Slot, Array]:
        """A slot of at least some bytes."""
        with self._lock:
            slot, held = self._freed(nbytes) or self._carved(-(-nbytes // PAGE) * PAGE)
        lent = np.frombuffer(held, np.uint8, nbytes, slot.start)
        # All arrays over it refer to its base in the end, while NumPy lets views skip an array in between. Appending needs no lock,
        # which the thread that happens to collect garbage may hold.
        weakref.finalize(lent.base, self._free.take_back, slot, held).atexit = False
        return slot, lent

    def _freed(self, nbytes: int) -> tuple[Slot, mmap.mmap] | None:
        for _ in range(len(self._free)):
            slot, held = self._free.pop()
            if nbytes <= slot.length <= 2 * nbytes + PAGE:
                return slot, held
            self._free.appendleft((slot, held))
        return None

    def _carved(self, length: int) -> tuple[Slot, mmap.mmap]:
        """A new slot, from the last arena or from a new one, which is as large as all before."""
        if self._arena is None or self._arena[1] + length > len(self._arena[2]):
            self._arena = (self._end, 0, self._mapped(max(length, min(self._end, LARGEST))))
        start, taken, held = self._arena
        self._arena = (start, taken + length, held)
        return Slot(start, len(held), taken, length), held

    def _mapped(self, length: int) -> mmap.mmap:
        length = -(-length // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        try:
            os.ftruncate(self.file, self._end + length)
            held = mmap.mmap(self.file, length, offset=self._end)
        except OSError as error:
            got = f"{error.strerror} for {length:,} bytes more than {self._end:,}"
            raise refusal("workers", "memory for a batch", got, "Use a smaller batch_size, or use workers=0.") from error
        self._end += length
        return held


class Windows:
    """A worker's view of the slots."""

    def __init__(self, file: int) -> None:
        """Take the file."""
        self._file = file
        self._known: dict[int, mmap.mmap] = {}

    def __getitem__(self, slot: Slot) -> Array:
        if slot.arena not in self._known:
            self._known[slot.arena] = mmap.mmap(self._file, slot.mapped, offset=slot.arena)
        return np.frombuffer(self._known[slot.arena], np.uint8, slot.length, slot.start)
