"""The engine without processes: one thread makes the elements, so that blocking Python code blocks none of TensorFlow's threads."""

from __future__ import annotations

import contextlib
import ctypes
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable

from tfinput.errors import refusal
from tfinput.material.rows import Buffers
from tfinput.runtime import gc_deferral
from tfinput.workers.job import Job, failure
from tfinput.workers.requests import Ticket

IDLE_SECONDS = 2.0
CHECK_SECONDS = 0.5
CHECKS = 10


class Thread:
    """Makes batches in the order they were asked for."""

    def __init__(self, job: Job, item_timeout: float | None) -> None:
        """`item_timeout` is the longest an element may take, in seconds."""
        self.warnings: list[str] = []
        self._job = job
        self._timeout = item_timeout
        self._buffers = Buffers()
        self._lock = threading.Lock()
        self._run: _ThreadRun | None = None

    def put(self, ticket: Ticket, rows: int) -> None:
        """Line a batch up."""
        form = self._job.form
        if not self._job.batched:
            block = self._buffers.lend((max(1, form.places(rows)[1]),), "u1") if form.plain else None
            ticket.columns = form.columns(rows) if block is None else form.views(block, rows)
        with self._lock:
            if self._run is None or not self._run.take(ticket):
                self._run = _ThreadRun(self._job, self._timeout)
                self._run.take(ticket)

    def renew(self) -> None:
        """The items are at hand as they are."""

    def stop(self) -> None:
        """Leave the thread to itself: it ends with the element it is at."""
        with self._lock:
            run, self._run = self._run, None
        if run is not None:
            run.abandon("interrupted")

    def rest(self) -> None:
        """The thread ends by itself when it has been idle for a while."""

    def described(self) -> str:
        """Say what is running."""
        return "in a thread"


class _ThreadRun:
    """One life of the thread, with the thread that watches how long an element takes."""

    def __init__(self, job: Job, timeout: float | None) -> None:
        self._job = job
        self._timeout = timeout
        self._waiting: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._over = False
        self._at: tuple[Ticket, int, float] | None = None  # the batch in work, the element, since when
        self._ender: Ender | None = None
        self._thread = threading.Thread(target=gc_deferral.without_collection(self._work), name="tfinput-elements", daemon=True)
        self._thread.start()
        if timeout is not None:
            threading.Thread(target=gc_deferral.without_collection(self._watch), name="tfinput-watch", daemon=True).start()

    def take(self, ticket: Ticket) -> bool:
        """Line a batch up, unless this thread has ended."""
        with self._lock:
            if not self._over:
                self._waiting.put(ticket)
            return not self._over

    def _work(self) -> None:
        self._ender = Ender()
        while not self._over:
            try:
                ticket = self._waiting.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._waiting.empty():
                        self._over = True
                continue
            if ticket is None:
                return
            for part in ticket.parts:
                if ticket.dropped or self._over:
                    break

                def tell(row: int, ticket: Ticket = ticket, indices: list[int] = part.indices) -> None:
                    if self._over:
                        raise SystemExit
                    self._at = (ticket, indices[min(row, len(indices) - 1)], time.monotonic())

                try:
                    ticket.columns = self._job.run(part, ticket.columns, tell) or ticket.columns
                    ticket.finish()
                except BaseException as error:
                    ticket.fail(self._failed(error))
                finally:
                    self._at = None

    def _failed(self, error: BaseException) -> Exception:
        at = self._at
        named = failure(self._job.place(at[1]) if at is not None else self._job.name, error)
        if named is not error:
            named.__cause__ = error
        return named

    def _watch(self) -> None:
        assert self._timeout is not None
        while not self._over:
            time.sleep(min(CHECK_SECONDS, self._timeout / 4))
            at = self._at
            if at is not None and time.monotonic() - at[2] > self._timeout:
                frame = sys._current_frames().get(self._thread.ident or 0)
                stack = "".join(traceback.format_stack(frame)) if frame else ""
                fix = f"Raise item_timeout if it needs longer. It is at:\n{stack}"
                at[0].fail(refusal(self._job.place(at[1]), f"an element within {self._timeout:g} s", "none", fix))
                self.abandon("an element took too long")

    def abandon(self, reason: str) -> None:
        """Take nothing more, and end where the user's code comes back to Python."""
        with self._lock:
            self._over = True
        while not self._waiting.empty():
            ticket = self._waiting.get()
            if ticket is not None:
                ticket.fail(RuntimeError(f"tfinput: {reason}."))
        self._waiting.put(None)
        if self._ender is not None:
            self._ender.end(lambda: self._at is not None)


class Ender:
    """Ends the thread that makes it, from another one, where its user's code runs for too long."""

    def __init__(self) -> None:
        """Remember this thread, and its clock, which may be asked after its end too."""
        self._ident = threading.get_ident()
        self._clock = time.pthread_getcpuclockid(self._ident) if hasattr(time, "pthread_getcpuclockid") else None

    def end(self, busy: Callable[[], bool]) -> None:
        """Raise SystemExit in a thread that runs Python code; one that is blocked in a call cannot be ended, and ends after it.

        Python 3.11 spins for ever where such an exception waits for a blocked thread and another thread is traced, so it is
        sent only to a thread that was seen to use the processor.
        """
        if self._clock is None:
            return
        with contextlib.suppress(OSError):  # It has ended.
            for _ in range(CHECKS):
                before = time.clock_gettime(self._clock)
                time.sleep(CHECK_SECONDS / CHECKS)
                if not busy():
                    return
                if time.clock_gettime(self._clock) - before > CHECK_SECONDS / CHECKS / 10:
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._ident), ctypes.py_object(SystemExit))
                    return
