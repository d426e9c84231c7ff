"""Ctrl-C while TensorFlow waits for Python code: Python's own handler runs only once TensorFlow returns, so what it waits for must end.

The C part of Python's signal handling writes a byte to a file descriptor at once, whatever the main thread does. A thread reads
it and ends every wait that was registered; TensorFlow then returns with an error, and Python raises KeyboardInterrupt.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import weakref
from types import FrameType
from typing import Any, Protocol


class Interruptible(Protocol):
    """Something that waits for Python code."""

    def interrupt(self) -> None:
        """End all waits with an error."""


class _Watcher:
    """The descriptor that signals are written to, and the thread that reads it while somebody waits."""

    def __init__(self) -> None:
        self.waiting: weakref.WeakSet[Any] = weakref.WeakSet()
        self.pipe: tuple[int, int] | None = None
        self._lock = threading.Lock()
        self.seen = self.handled = 0  # Ctrl-C: how often it came, and how often Python's handler ran
        self._before = -1
        self._thread: threading.Thread | None = None

    def install(self) -> None:
        """Have signals written here; only the main thread may ask for that, elsewhere nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            return
        if self.pipe is None:
            self.pipe = os.pipe()
            os.set_blocking(self.pipe[1], False)
        before = signal.set_wakeup_fd(self.pipe[1], warn_on_full_buffer=False)
        if before != self.pipe[1]:
            self._before = before  # asyncio may own it: it is told as well.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _handler)

    def add(self, waiting: Interruptible) -> None:
        """Interrupt this as well from now on."""
        with self._lock:
            self.waiting.add(waiting)
            pressed = self.seen > self.handled
            if self.pipe is not None and self._thread is None:
                self._thread = threading.Thread(target=self._watch, args=(self.pipe[0],), name="tfinput-interrupts", daemon=True)
                self._thread.start()
        if pressed and signal.getsignal(signal.SIGINT) is _handler:
            waiting.interrupt()  # It came while TensorFlow was on its way here.

    def remove(self, waiting: Interruptible) -> None:
        """It waits no more; with the last one, the thread ends."""
        with self._lock:
            self.waiting.discard(waiting)
            idle = self._thread is not None and not self.waiting
        if idle and self.pipe is not None:
            with contextlib.suppress(BlockingIOError):
                os.write(self.pipe[1], b"\0")

    def _watch(self, reader: int) -> None:
        while True:
            signals = os.read(reader, 4096)
            if self._before != -1 and signals.strip(b"\0"):
                with contextlib.suppress(OSError):
                    os.write(self._before, signals.strip(b"\0"))
            # A handler of the user's may want to go on.
            self.seen += signal.SIGINT in signals
            if signal.SIGINT in signals and signal.getsignal(signal.SIGINT) in (_handler, signal.default_int_handler):
                for waiting in list(self.waiting):
                    waiting.interrupt()
            with self._lock:
                if not self.waiting:
                    self._thread = None
                    return


def _handler(number: int, frame: FrameType | None) -> None:
    """Python's default handler, except that it never raises inside the making of one of TensorFlow's errors.

    There it would end as a RuntimeError of pybind11, which finds another error than the one that it was making. So the
    KeyboardInterrupt is raised where that error arrives.
    """
    _watcher.handled = max(_watcher.handled + 1, _watcher.seen)
    inside = frame
    while inside is not None and _makes_error(inside):
        inside = inside.f_back
    if inside is frame or inside is None:
        signal.default_int_handler(number, frame)
    before = sys.gettrace()

    def arrived(_: FrameType, event: str, __: Any) -> Any:
        if event != "exception":
            return arrived
        sys.settrace(before)
        raise KeyboardInterrupt

    inside.f_trace = arrived
    sys.settrace(before or (lambda *_: None))


def _makes_error(frame: FrameType) -> bool:
    code = frame.f_code
    return code.co_name == "__init__" and code.co_filename.endswith(("framework/errors_impl.py", "eager/core.py"))


_watcher = _Watcher()
add = _watcher.add
remove = _watcher.remove
install = _watcher.install


def refresh() -> None:
    """Do `install` again where it was done: a notebook sets Python's default handler before each cell."""
    if _watcher.pipe is not None:
        install()
