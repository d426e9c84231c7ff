"""Garbage collections are kept away from the threads that an iterator waits for, and made up for in another one.

An iterator that ended up in a reference cycle (the frames of an error make one) ends in the collector, in whichever thread that
runs. Its end waits for all calls of Python that it began. In one of these calls that is for ever, and as Python takes the
collection for under way, no other begins in this process.

Python calls a hook as a collection begins and ends. It cannot be called off there, but all objects can be hidden from it; they count as
old from then on, so only a full collection makes up for it. The hook is put together from C functions, and runs no Python code: in
CPython 3.11 a collection may begin in the midst of any C code, a hook of Python code lets other threads run there, and `ast.parse` fails
where two threads are in it at once.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import gc
import itertools
import operator
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

FULL = 2  # The generation of a collection of all objects.
# That many put off, of the newest objects, are made up for: then Python itself would look at older ones.
DUE = 10
# With TensorFlow and Keras imported, a collection of all objects takes about 0.1 s: at most one part in so many of the time.
SHARE = 20
PAUSE_SECONDS = 0.01

Action = Callable[[], Any]
_nothing: Action = int
_never = object()


def _in_turn(*actions: Action) -> Action:
    """A C function that calls others one after the other."""
    return zip(*(iter(action, _never) for action in actions), strict=False).__next__


def _chosen(table: dict[Any, Action], key: Action, otherwise: Action) -> Action:
    """A C function that calls `table.get(key(), otherwise)`."""
    entries = map(table.get, iter(key, _never), itertools.repeat(otherwise))
    return map(operator.methodcaller("__call__"), entries).__next__


_put_off: collections.deque[None] = collections.deque(maxlen=DUE)
_undo: dict[str, Action] = {}  # what ends the hiding, while a collection runs that all is hidden from
_hide = _chosen(
    # What somebody else hides must stay hidden.
    {0: _in_turn(gc.freeze, functools.partial(_undo.__setitem__, "hidden", gc.unfreeze), functools.partial(_put_off.append, None))},
    gc.get_freeze_count,
    _nothing,
)
_waited_for: dict[int, Action] = {}  # Threads; adding and removing are atomic.
# Also threads that Python did not start: they may be in a call of TensorFlow's. `threading.current_thread` would add them to those that
# Python knows.
_known: Any = threading._active  # type: ignore[attr-defined]
_kind = map(type, map(_known.get, iter(threading.get_ident, _never))).__next__


class _Hook:
    """What `getattr`, a C function, gets for the name of a phase."""

    begin = _chosen(
        _waited_for,
        threading.get_ident,
        _chosen({type(None): _hide, threading._DummyThread: _hide}, _kind, _nothing),
    )
    end = map(operator.methodcaller("__call__"), iter(functools.partial(_undo.pop, "hidden", _nothing), _never)).__next__
    start = property(operator.methodcaller("begin"))
    stop = property(operator.methodcaller("end"))


_hook = functools.partial(getattr, _Hook())
_lock = threading.RLock()  # A collection inside it may call `_release`.
_needed: set[int] = set()


def without_collection(work: Callable[..., Any]) -> Callable[..., Any]:
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
            _waited_for[thread] = _hide
            return work(*arguments)
        finally:
            _waited_for.pop(thread, None)
            if _put_off:
                _maker.see_to_it()

    return run


@without_collection
def needed_by(holder: Any) -> None:
    """Keep collections away as long as an object lives: one that is kept by a dataset that calls Python."""
    with _lock:
        weakref.finalize(holder, _release, id(holder)).atexit = False
        _needed.add(id(holder))
        if _hook not in gc.callbacks:
            gc.callbacks.append(_hook)


@without_collection
def _release(holder: int) -> None:
    with _lock:
        _needed.discard(holder)
        if not _needed and _hook in gc.callbacks:
            gc.callbacks.remove(_hook)
            _Hook.end()  # Another hook may have let this thread run while all was hidden.


class _Maker:
    """Makes up for what was put off."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._seen = _full_collections()
        self._rested = 0.0  # when the next one may be made up for

    def see_to_it(self) -> None:
        """Have what is due made up for by a thread of its own."""
        if self._due() and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._make_up, name="tfinput-garbage", daemon=True)
            with contextlib.suppress(RuntimeError):  # Python ends.
                self._thread.start()

    def _due(self) -> bool:
        """Whether enough was put off; a full collection counts at once, and no matter which it was."""
        return len(_put_off) == DUE or (len(_put_off) > 0 and _full_collections() != self._seen)

    def _make_up(self) -> None:
        while self._due():
            time.sleep(max(PAUSE_SECONDS, self._rested - time.monotonic()))
            before, began = _full_collections(), time.thread_time()
            gc.collect()
            self._rested = time.monotonic() + SHARE * (time.thread_time() - began)
            self._seen = _full_collections()
            if self._seen != before:  # It does nothing while another is under way; then it is still owed.
                _put_off.clear()
        self._thread = None
        self.see_to_it()  # for one that still saw this thread


def _full_collections() -> int:
    return int(gc.get_stats()[FULL]["collections"])


_maker = _Maker()
