"""Garbage collections are kept away from the threads that an iterator waits for, and made up for in another one.

An iterator that ended up in a reference cycle (the frames of an error make one) ends in the collector, in whichever thread that
runs. Its end waits for all calls of Python that it began. In one of these calls that is for ever, and as Python takes the
collection for under way, no other begins in this process.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import threading
import time
from collections.abc import Callable
from typing import Any

YOUNG, FULL = 0, 2  # The generations of a collection of the newest objects and of all.
# That many put off, of the newest objects, are made up for: then Python itself would look at older ones.
DUE = 10
# With TensorFlow and Keras imported, a collection of all objects takes about 0.1 s: at most one part in so many of the time.
SHARE = 20
PAUSE_SECONDS = 0.01

_waited_for: set[int] = set()  # Threads; adding and removing are atomic.


def kept_away(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, during which the thread that calls it collects nothing.

    An iterator waits for what runs inside one of its calls, for a thread that such a call waits for, and for one that holds a lock
    which such a call takes.
    """

    @functools.wraps(work)
    def run(*arguments: Any) -> Any:
        thread = threading.get_ident()
        if thread in _waited_for:
            return work(*arguments)
        try:
            _waited_for.add(thread)
            return work(*arguments)
        finally:
            _waited_for.discard(thread)

    return run


def _kept_away(thread: int) -> bool:
    """Whether it is kept away from a thread: also where Python did not start it, as it may be in a call of TensorFlow's."""
    # `threading.current_thread` would add it to the threads that Python knows.
    known = threading._active.get(thread)  # type: ignore[attr-defined]
    return thread in _waited_for or known is None or isinstance(known, threading._DummyThread)


class _PuttingOff:
    """Python calls this as a collection begins and ends. It cannot be called off, but all objects can be hidden from it.

    They count as old from then on, so only a full collection makes up for it.
    """

    def __init__(self) -> None:
        self._hidden = False
        self._owed = 0
        self._thread: threading.Thread | None = None
        self._rested = 0.0  # when the next one may be made up for

    def __call__(self, phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            # What somebody else hides must stay hidden.
            self._hidden = _kept_away(threading.get_ident()) and gc.get_freeze_count() == 0
            if self._hidden:
                gc.freeze()
            elif about["generation"] == FULL:
                self._owed = 0
        elif self._hidden:
            self._hidden = False
            gc.unfreeze()
            self._owed += 1 if about["generation"] == YOUNG else DUE
            if self._owed >= DUE and (self._thread is None or not self._thread.is_alive()):
                self._begin()

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._make_up, name="tfinput-garbage", daemon=True)
        with contextlib.suppress(RuntimeError):  # Python ends.
            self._thread.start()

    def _make_up(self) -> None:
        while self._owed >= DUE:
            time.sleep(max(PAUSE_SECONDS, self._rested - time.monotonic()))
            began = time.thread_time()
            gc.collect()  # does nothing while another is under way; then it is still owed
            self._rested = time.monotonic() + SHARE * (time.thread_time() - began)
        self._thread = None
        if self._owed >= DUE:  # by one that still saw this thread
            self._begin()


_putting_off = _PuttingOff()


def install() -> None:
    """Begin to keep collections away."""
    if _putting_off not in gc.callbacks:
        gc.callbacks.append(_putting_off)
