"""Garbage collections are kept away from the threads that an iterator waits for, and made up for in another one.

An iterator that ended up in a reference cycle (the frames of an error make one) ends in the collector, in whichever thread that
runs. Its end waits for all calls of Python that it began. In one of these calls that is for ever, and as Python takes the
collection for under way, no other begins in this process.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from typing import Any

YOUNGEST, FULL, NONE = 0, 2, 3  # Generations.
# Python begins a collection of the next generation after 10 of one.
DUE = 10**FULL
PAUSE_SECONDS = 0.01

_waited_for: dict[int, int] = {}  # Threads, and from which generation on they collect nothing; setting and removing are atomic.


def waited_for(work: Callable[..., Any], generation: int) -> Callable[..., Any]:
    """The same function, during which the thread that calls it collects nothing of this generation and older ones.

    What a collection is kept away from counts as old from then on. So where code of a user's may leave much young garbage, only full
    ones should be kept away, and `age` be called when the iterator begins.
    """

    def run(*arguments: Any) -> Any:
        thread = threading.get_ident()
        before = _waited_for.get(thread, NONE)
        _waited_for[thread] = min(generation, before)
        try:
            return work(*arguments)
        finally:
            if before == NONE:
                del _waited_for[thread]
            else:
                _waited_for[thread] = before

    return run


def age() -> None:
    """Make all objects old: only a full collection finds them."""
    # What somebody else hides must stay hidden.
    if gc.get_freeze_count() == 0:
        gc.freeze()
        gc.unfreeze()


def _unless_told(thread: int) -> int:
    """What is kept away from other threads: one that Python did not start may be in a call of TensorFlow's."""
    # `threading.current_thread` would add it to the threads that Python knows.
    known = threading._active.get(thread)  # type: ignore[attr-defined]
    return YOUNGEST if known is None or isinstance(known, threading._DummyThread) else NONE


class _PuttingOff:
    """Python calls this as a collection begins and ends. It cannot be called off, but all objects can be hidden from it."""

    def __init__(self) -> None:
        self._hidden = False
        self._owed = 0
        self._due = threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self, phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            thread = threading.get_ident()
            kept_away = about["generation"] >= _waited_for.get(thread, _unless_told(thread))
            self._hidden = kept_away and gc.get_freeze_count() == 0
            if self._hidden:
                gc.freeze()
            elif about["generation"] == FULL:
                self._owed = 0
                self._due.clear()
        elif self._hidden:
            self._hidden = False
            gc.unfreeze()
            self._owed += 10 ** about["generation"]
            if self._owed >= DUE:
                self._have_made_up()

    def _have_made_up(self) -> None:
        self._due.set()
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._make_up, name="tfinput-garbage", daemon=True)
            self._thread.start()

    def _make_up(self) -> None:
        while self._due.is_set():
            time.sleep(PAUSE_SECONDS)
            gc.collect()  # does nothing while another is under way; then it is still due


gc.callbacks.append(_PuttingOff())
