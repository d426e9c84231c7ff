"""Items that fail in every way there is; worker processes import this module, so it imports little."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from typing import Any

import numpy as np


class Items:
    """`size` items, of which the one at `place` fails in a certain way; with `once`, the path of a file, only the first time."""

    def __init__(self, size: int, fault: str = "", place: int = -1, once: str | None = None) -> None:
        self.size, self.fault, self.place, self.once = size, fault, place, once

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        if index == self.place and self.fault and self._due():
            return FAULTS[self.fault](index)
        return np.full(3, index, np.float32), np.int64(index)

    def _due(self) -> bool:
        if self.once is None:
            return True
        try:
            os.close(os.open(self.once, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True


class UnpicklableError(Exception):
    """An error that holds a lock."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.lock = threading.Lock()


class OwnError(BaseException):
    """One that `except Exception` does not catch, and that takes more than it says."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class SilentError(Exception):
    """One that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError


def _raised(error: BaseException) -> Any:
    raise error


def _raise(index: int) -> Any:
    raise ValueError(f"bad {index}")


def _raise_unpicklable(index: int) -> Any:
    raise UnpicklableError(f"bad {index}")


def _loop(index: int) -> Any:
    while True:
        index += 1


def _memory(index: int) -> Any:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    return np.ones(1 << 34, np.uint8), np.int64(index)


FAULTS: dict[str, Any] = {
    "raise": _raise,
    "unpicklable error": _raise_unpicklable,
    "unpicklable result": lambda _: (threading.Lock(), 1),
    "out of memory": _memory,
    "sys.exit": lambda _: sys.exit(3),
    "the end of a generator": lambda _: _raised(GeneratorExit()),
    "the end of an iterator": lambda _: _raised(StopIteration("no more")),
    "an interrupt": lambda _: _raised(KeyboardInterrupt("stop")),
    "an error of its own": lambda _: _raised(OwnError(1, 2)),
    "an error that cannot be shown": lambda _: _raised(SilentError()),
    "os._exit": lambda _: os._exit(3),
    "segfault": lambda _: ctypes.string_at(0),
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda _: os.kill(os.getpid(), signal.SIGSTOP) or time.sleep(1000),
    "loop": _loop,
    "sleep": lambda _: time.sleep(1000),
}
ERRORS = {
    "raise": "ValueError: bad",
    "unpicklable error": "UnpicklableError: bad",
    "unpicklable result": "lock",
    "out of memory": "MemoryError",
    "sys.exit": "SystemExit: 3",
    "the end of a generator": "GeneratorExit",
    "the end of an iterator": "StopIteration: no more",
    "an interrupt": "KeyboardInterrupt: stop",
    "an error of its own": "OwnError: 1 and 2",
    "an error that cannot be shown": "SilentError",
}
DEATHS = {"os._exit": "exit code 3", "segfault": "SIGSEGV", "kill": "SIGKILL"}
HANGS = ("stop", "loop", "sleep")
