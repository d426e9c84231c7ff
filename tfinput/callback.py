"""Python functions that a TensorFlow graph calls: what they refer to is not kept alive, and none runs while Python ends.

TensorFlow keeps every function given to `tf.numpy_function` or `tf.py_function` for the life of the process (it hangs it on
the outermost graph), and with it all data that it refers to. So it is given a stand-in that refers weakly to the function;
whoever builds a dataset keeps the function itself, in the closure of a map of that dataset.

An iterator that is still open when the process ends has threads that call Python. One that comes when the interpreter is
half gone aborts the process ("terminate called"), so the calls are ended before that: new ones fail, running ones are awaited.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from tfinput import garbage

QUIET_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0

_ending = threading.Event()
_running: set[int] = set()  # Threads that are in a call; adding and removing are atomic.
_used = threading.Event()


def weakly(function: Callable[..., Any]) -> Callable[..., Any]:
    """A stand-in that calls `function` as long as somebody else keeps it.

    >>> def double(x): return 2 * x
    >>> call = weakly(double)
    >>> call(3)
    6
    """
    garbage.needed_by(function)
    kept = weakref.ref(function)

    def call(*arguments: Any) -> Any:
        target = kept()
        if target is None:
            raise RuntimeError("tfinput: this dataset is gone: keep the feed, or the dataset, as long as you read from it.")
        if _ending.is_set():
            raise RuntimeError("tfinput: the process is ending.")
        _used.set()
        _running.add(threading.get_ident())
        try:
            return target(*arguments)
        finally:
            _running.discard(threading.get_ident())

    return garbage.kept_away(call)


@atexit.register
def _end() -> None:
    """Let the calls under way finish, and the few that TensorFlow has lined up fail."""
    if not _used.is_set():
        return
    _ending.set()
    last = time.monotonic()
    give_up = last + LONGEST_WAIT_SECONDS
    while time.monotonic() < min(last + QUIET_SECONDS, give_up):
        if _running:
            last = time.monotonic()
        time.sleep(0.005)
