"""Shared memory for results: one file without a name, which grows by slots and goes with the last process that has it open."""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
import weakref
from collections import deque
from typing import Any, NamedTuple

import numpy as np

from tfinput.errors import refusal
from tfinput.sources.elements import Array


class Slot(NamedTuple):
    """A stretch of the file."""

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


class Slots:
    """The slots of a file: lent out as memory, and free again when nothing uses that memory any more."""

    def __init__(self) -> None:
        self.file = unnamed_file()
        self._end = 0
        self._free: deque[tuple[Slot, mmap.mmap]] = deque()
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, self.file)

    @property
    def nbytes(self) -> int:
        """Bytes of all slots."""
        return self._end

    def lend(self, nbytes: int) -> tuple[Slot, Array]:
        """A slot of at least some bytes."""
        with self._lock:
            slot, held = self._freed(nbytes) or self._grown(nbytes)
        lent = np.frombuffer(held, np.uint8, nbytes)
        # All arrays over it refer to its base in the end, while NumPy lets views skip an array in between. Appending needs no lock,
        # which the thread that happens to collect garbage may hold.
        weakref.finalize(lent.base, self._free.append, (slot, held)).atexit = False
        return slot, lent

    def _freed(self, nbytes: int) -> tuple[Slot, mmap.mmap] | None:
        for _ in range(len(self._free)):
            slot, held = self._free.pop()
            if nbytes <= slot.length <= 2 * nbytes + mmap.ALLOCATIONGRANULARITY:
                return slot, held
            self._free.appendleft((slot, held))
        return None

    def _grown(self, nbytes: int) -> tuple[Slot, mmap.mmap]:
        slot = Slot(self._end, max(1, -(-nbytes // mmap.ALLOCATIONGRANULARITY)) * mmap.ALLOCATIONGRANULARITY)
        try:
            os.ftruncate(self.file, slot.start + slot.length)
            held = mmap.mmap(self.file, slot.length, offset=slot.start)
        except OSError as error:
            got = f"{error.strerror} for {slot.length:,} bytes more than {self._end:,}"
            raise refusal("workers", "memory for a batch", got, "Use a smaller batch_size or workers=0.") from error
        self._end = slot.start + slot.length
        return slot, held


class Windows:
    """A worker's view of the slots."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._known: dict[Slot, mmap.mmap] = {}

    def __getitem__(self, slot: Slot) -> Any:
        if slot not in self._known:
            self._known[slot] = mmap.mmap(self._file, slot.length, offset=slot.start)
        return self._known[slot]
