"""Ctrl-C while TensorFlow waits for Python code: Python's own handler runs only once TensorFlow returns, so what it waits for must end.

The C part of Python's signal handling writes a byte to a file descriptor at once, whatever the main thread does. A thread reads
it and ends every wait that was registered; TensorFlow then returns with an error, and Python raises KeyboardInterrupt.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import sys
import threading
import weakref
from types import FrameType
from typing import Any, Protocol

from tfinput.runtime import gc_deferral


class Interruptible(Protocol):
    """Something that waits for Python code."""

    def interrupt(self) -> None:
        """End all waits with an error."""


class _Watcher:
    """The descriptor that signals are written to, and the thread that reads it while somebody waits."""

    def __init__(self) -> None:
        self.waiting: weakref.WeakSet[Any] = weakref.WeakSet()
        self.pipe: tuple[int, int] | None = None
        # The handler takes it wherever the main thread is.
        self._lock = threading.RLock()
        self._pressed = False  # Ctrl-C came, and Python's handler has not run yet
        self._owed = False  # it has run, and the waits are still to be ended
        self._before = -1
        self._thread: threading.Thread | None = None

    def install(self) -> None:
        """Have signals written here; only the main thread may ask for that, elsewhere nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            return
        if self.pipe is None:
            self.pipe = os.pipe()
            for end in self.pipe:
                os.set_blocking(end, False)
        before = signal.set_wakeup_fd(self.pipe[1], warn_on_full_buffer=False)
        if before != self.pipe[1]:
            self._before = before  # asyncio may own it: it is told as well.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _handler)
        self.handled()  # This is Python code of the main thread, which comes after the handlers of all signals so far.

    @gc_deferral.without_collection
    def handled(self) -> None:
        """Forget what was pressed: waits that are under way are meant, and none that begins later."""
        with self._lock:
            self._owed |= signal.SIGINT in self._read() and self._thread is not None
            self._pressed = False
            if self._owed:
                self._wake()

    def add(self, waiting: Interruptible) -> None:
        """Interrupt this as well from now on."""
        with self._lock:
            self.waiting.add(waiting)
            pressed = self._pressed
            if self.pipe is not None and self._thread is None:
                watch = gc_deferral.without_collection(self._watch)
                self._thread = threading.Thread(target=watch, args=(self.pipe[0],), name="tfinput-interrupts", daemon=True)
                self._thread.start()
        if pressed:
            waiting.interrupt()  # It came while TensorFlow was on its way here.

    def remove(self, waiting: Interruptible) -> None:
        """It waits no more; with the last one, the thread ends."""
        with self._lock:
            self.waiting.discard(waiting)
            idle = self._thread is not None and not self.waiting
        if idle:
            self._wake()

    def _wake(self) -> None:
        if self.pipe is not None:
            with contextlib.suppress(BlockingIOError):
                os.write(self.pipe[1], b"\0")

    def _watch(self, reader: int) -> None:
        while True:
            select.select([reader], [], [])
            with self._lock:
                # A handler of the user's may want to go on.
                handler = signal.getsignal(signal.SIGINT)
                came = signal.SIGINT in self._read()
                self._pressed |= came and handler is _handler
                meant = (came or self._owed) and handler in (_handler, signal.default_int_handler)
                self._owed = False
                waiting = list(self.waiting)
            if meant:
                for each in waiting:
                    each.interrupt()
            with self._lock:
                if not self.waiting:
                    self._thread = None
                    return

    def _read(self) -> bytes:
        """The signals that were written since the last time."""
        try:
            signals = os.read(self.pipe[0], 4096).strip(b"\0") if self.pipe else b""
        except BlockingIOError:
            return b""
        if self._before != -1 and signals:
            with contextlib.suppress(OSError):
                os.write(self._before, signals)
        return signals


def _handler(number: int, frame: FrameType | None) -> None:
    """Python's default handler, except that it never raises where a KeyboardInterrupt would be lost.

    Inside the making of one of TensorFlow's errors it would end as a RuntimeError of pybind11, which finds another error than the
    one that it was making; inside a finalizer, or what the collector calls, it would be printed and forgotten; Keras drops any
    error in turning logs into numbers. So it is raised where those return to.
    """
    _watcher.handled()
    safe, each = frame, frame
    while each is not None:
        if _loses(each):
            safe = each.f_back
        each = each.f_back
    if safe is frame or safe is None:
        signal.default_int_handler(number, frame)
    before = sys.gettrace()

    def arrived(*_: Any) -> Any:
        sys.settrace(before)
        raise KeyboardInterrupt

    safe.f_trace = arrived
    sys.settrace(before or (lambda *_: None))


def _loses(frame: FrameType) -> bool:
    name, file = frame.f_code.co_name, frame.f_code.co_filename
    if name == "__init__":
        return file.endswith(("framework/errors_impl.py", "eager/core.py"))
    if name == "pythonify_logs":
        return "keras" in file
    if name == "__del__" or (name == "__call__" and file == weakref.__file__):
        return True
    return any(getattr(each, "__code__", None) is frame.f_code for each in gc.callbacks)  # JAX has one.


_watcher = _Watcher()
add = _watcher.add
remove = _watcher.remove
install = _watcher.install


def refresh() -> None:
    """Do `install` again where it was done: a notebook sets Python's default handler before each cell."""
    if _watcher.pipe is not None:
        install()
