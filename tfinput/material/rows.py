"""Arrays in memory: copied once into memory that TensorFlow can share and gathers from; buffers that rows of files are copied into.

TensorFlow takes over a buffer without a copy only where it is aligned to 64 bytes (it aborts the process on others), so an
array is copied once into an aligned one, which is a snapshot too: changing the array later does not change the feed.
"""

from __future__ import annotations

import math
import os
import weakref
from collections import deque
from typing import Any

import numpy as np
import tensorflow as tf

Array = np.ndarray[Any, Any]

ALIGNMENT = 64
# Examples that are shuffled together, unless the user says how many: fewer large ones, but where memory allows at least FEW.
WINDOW, WINDOW_BYTES = 1 << 14, 64 << 20
FEW = 1 << 10
# Between five and six windows are under way at a time: 714 MiB of windows of 128 MiB were measured.
WINDOW_SHARE = 32


def aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """An uninitialised array that starts on a 64-byte border."""
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    made: Array = raw[start : start + nbytes].view(dtype).reshape(shape)
    return made


def snapshot(array: Array) -> Array:
    """The array's values in aligned memory, contiguous and in this machine's byte order."""
    copy = aligned(array.shape, array.dtype.newbyteorder("="))
    np.copyto(copy, array)
    return copy


def shared(array: Array) -> Any:
    """A tensor over the memory of an aligned, contiguous array, without a copy."""
    if array.nbytes == 0:
        return tf.constant(array)
    with tf.device("CPU:0"):
        try:
            return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
        except BufferError:  # DLPack does not know bfloat16: hand the bits over, then name them.
            return tf.bitcast(tf.experimental.dlpack.from_dlpack(array.view(np.uint16).__dlpack__()), array.dtype)


def strings(values: list[bytes]) -> Any:
    """A vector of strings, whatever bytes they hold."""
    held = np.empty(len(values), object)
    held[:] = values
    with tf.device("CPU:0"):
        return tf.constant(held, tf.string)


class Buffers:
    """Aligned buffers that come back by themselves once nothing uses the array lent from them."""

    def __init__(self, keep: int = 8) -> None:
        self._free: deque[Array] = deque(maxlen=keep)

    def lend(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """An uninitialised aligned array, from the most recently returned buffer (it may still be in the processor's cache)."""
        dtype = np.dtype(dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes == 0:
            return np.empty(shape, dtype)
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = aligned((nbytes,), np.uint8)
        if len(buffer) < nbytes:
            buffer = aligned((nbytes,), np.uint8)
        flat = np.frombuffer(buffer.data, np.uint8, nbytes)
        # Every view of the loan has this memoryview as its base, while NumPy would let views skip an array in between.
        weakref.finalize(flat.base, self._free.append, buffer).atexit = False
        lent: Array = flat.view(dtype).reshape(shape)
        return lent


class MemoryRows:
    """Rows of an aligned array that this library owns."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.tensor = shared(array)

    def all(self) -> Array:
        """All rows."""
        return self.array


class TensorRows:
    """Rows of a tensor: strings, and what came as a tensor."""

    def __init__(self, tensor: Any) -> None:
        with tf.device("CPU:0"):
            self.tensor = tf.identity(tensor)

    def all(self) -> Array:
        """All rows."""
        rows: Array = self.tensor.numpy()
        return rows


def window(example_bytes: int, by_memory: bool = True) -> int:
    """How many examples of that size are shuffled together; `by_memory` says whether free memory may make it more.

    That gives a power of two, so that a machine gives the same one time and again.
    """
    usual = WINDOW_BYTES // max(1, example_bytes)
    free = free_bytes() if by_memory and usual < FEW else math.inf
    if math.isfinite(free):
        fitting = min(FEW, int(free / WINDOW_SHARE) // example_bytes)
        usual = max(usual, 1 << max(0, fitting.bit_length() - 1))
    return max(1, min(WINDOW, usual))


def free_bytes() -> float:
    """Memory that is free for this process, as far as the system says."""
    free = float("inf")
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            free = next(int(line.split()[1]) * 1024.0 for line in file if line.startswith("MemAvailable:"))
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as limit, open("/sys/fs/cgroup/memory.current", encoding="ascii") as used:
            free = min(free, float(limit.read()) - float(used.read()))
    except (OSError, StopIteration, ValueError):  # Another system; no limit ("max").
        pass
    if math.isinf(free):
        free = _half_of_all()
    return free


def _half_of_all() -> float:
    """Half of the machine's memory, where the system does not say what of it is free."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2
    except (AttributeError, OSError, ValueError):  # Windows.
        return float("inf")
