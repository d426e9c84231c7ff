"""The workers while they live: who has what to do, what became of it, and who is replaced.

Each part of a batch is done or told, whatever becomes of a worker: one that dies or hangs is replaced, its part is run again, and an
element that loses three of them is an error that names it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import time
from collections import Counter, deque
from multiprocessing.connection import wait
from typing import Any

import numpy as np

from tfinput.errors import WorkerDied, refusal
from tfinput.runtime import gc_deferral
from tfinput.workers.job import LOAD, Job
from tfinput.workers.process import Errand, Worker, raised, unloadable
from tfinput.workers.requests import DroppedError, Ticket
from tfinput.workers.shared_memory import Slots, unnamed_file

IDLE_SECONDS = 3.0
WATCH_SECONDS = 1.0
ATTEMPTS = 3
STARTS = 10  # workers that may die one after the other before they have loaded the job
QUEUED = 2  # parts that a worker has: one to work on, one to go on with


class WorkerGroup:
    """One life of the workers: from the first request to an interrupt, or until nobody has waited for a while."""

    def __init__(self, job: Job, pickled: bytes, count: int, timeout: float | None, warnings: list[str]) -> None:
        self.job = job
        self.over = False
        self.resting: float | None = None
        self.workers: list[Worker] = []
        self._files = contextlib.ExitStack()
        with contextlib.ExitStack() as opened:  # Where one cannot be opened, those before are closed.
            self.slots = Slots()
            opened.callback(self.slots.close)
            self._control_file, self._jobs_file = (_closed_by(opened, unnamed_file()) for _ in range(2))
            self._bell = [_closed_by(opened, end) for end in os.pipe()]
            os.ftruncate(self._control_file, mmap.ALLOCATIONGRANULARITY * (1 + 16 * count // mmap.ALLOCATIONGRANULARITY))
            self._control = np.frombuffer(mmap.mmap(self._control_file, 0), np.int64)
            self._files = opened.pop_all()
        os.set_blocking(self._bell[1], False)
        self._jobs_end = 0
        self._job_place = (0, 0)
        self._count = count
        self._timeout = timeout
        self._warnings = warnings
        self._waiting: deque[Errand] = deque()
        self._serial = 0
        self._deaths: Counter[tuple[int, int]] = Counter()  # of workers, by ticket and element
        self._starts = 0  # workers that died before they were ready
        self._lock = threading.Lock()
        self.load(pickled)
        self._thread = threading.Thread(target=gc_deferral.without_collection(self._manage), name="tfinput-workers", daemon=True)
        self._thread.start()

    def load(self, pickled: bytes) -> None:
        """Have each worker load a job before its next part."""
        with self._lock:
            written = 0
            while written < len(pickled):  # one write takes 2 GiB at most
                written += os.pwrite(self._jobs_file, memoryview(pickled)[written:], self._jobs_end + written)
            self._job_place = (self._jobs_end, len(pickled))
            self._jobs_end += len(pickled)

    def take(self, ticket: Ticket, rows: int) -> bool:
        """Line the parts of a batch up, unless the workers have ended."""
        form = self.job.form
        with self._lock:
            if self.over:
                return False
            if form.plain:
                ticket.slot, lent = self.slots.lend(max(1, form.places(rows)[1]))
                ticket.columns = form.views(lent, rows)
            else:
                ticket.columns = form.columns(rows)
            ticket.rows = rows
            self.resting = None
            self._waiting.extend(Errand(ticket, part) for part in ticket.parts)
            self._ring()
        return True

    def end(self) -> None:
        """Kill the workers; what they had to do fails."""
        with self._lock:
            if not self.over:
                self.over = True
                self._ring()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._bell[1], b"\0")

    def _manage(self) -> None:
        try:
            while not self.over:
                self._hand_out()
                ready = wait(
                    [*(worker.connection for worker in self.workers), self._bell[0]],
                    min(WATCH_SECONDS, IDLE_SECONDS, (self._timeout or 4) / 4),
                )
                if self._bell[0] in ready:
                    os.read(self._bell[0], 1 << 12)
                for worker in [each for each in self.workers if each.connection in ready]:
                    self._hear(worker)
                self._look_after()
        except Exception as error:
            with self._lock:
                self.over = True  # before anybody hears of the error, and asks again
            self._fail_all(error)
        finally:
            self._close()

    def _close(self) -> None:
        for worker in self.workers:
            worker.close()
        self._fail_all(RuntimeError("tfinput: the worker processes were ended."))
        self._waiting.clear()  # An error keeps what its frames know: this.
        self.workers.clear()
        self._control = np.zeros_like(self._control)
        self._files.close()

    def _fail_all(self, error: Exception) -> None:
        for errand in [*self._waiting, *(errand for worker in self.workers for errand in worker.errands.values())]:
            errand.ticket.fail(error)

    def _hand_out(self) -> None:
        """Start workers that are missing, and give each something to do."""
        if self._waiting:
            taken = {worker.place for worker in self.workers}
            for place in set(range(self._count)) - taken:
                self.workers.append(self._started(place))
        for queued in range(1, QUEUED + 1):
            for worker in self.workers:
                while self._waiting and worker.ready and len(worker.errands) < queued:
                    errand = self._waiting.popleft()
                    if not errand.ticket.dropped:
                        self._send(worker, errand)

    def _started(self, place: int) -> Worker:
        self._control[2 * place : 2 * place + 2] = 0
        worker = Worker(place, [self.slots.file, self._control_file, self._jobs_file])
        self._load(worker)
        return worker

    def _load(self, worker: Worker) -> None:
        worker.loaded = self._job_place
        worker.send((LOAD, *worker.loaded))

    def _send(self, worker: Worker, errand: Errand) -> None:
        self._serial += 1
        worker.errands[self._serial] = errand
        if len(worker.errands) == 1:
            worker.seen = ((0, 0), time.monotonic())
        if worker.loaded != self._job_place:
            self._load(worker)
        worker.send((self._serial, errand.part, errand.ticket.slot, errand.ticket.rows))

    def _hear(self, worker: Worker) -> None:
        """Take what a worker says: that it is ready, a part done or failed; or that it is no more."""
        try:
            serial, what, *rest = worker.connection.recv()
        except (EOFError, OSError):
            cause = worker.cause()
            self._replace(worker, cause, "died", worker.stack())
            return
        worker.seen = (worker.seen[0], time.monotonic())
        if serial == LOAD:
            worker.ready, self._starts = True, 0
            if what == "failed":
                raise unloadable(self.job.name, *rest[2:])
            return
        errand = worker.errands.pop(serial)
        if what == "failed":
            errand.ticket.fail(raised(self.job.place(errand.part.indices[rest[0]]), *rest[1:]))
        elif not errand.ticket.dropped:
            self._take(errand, rest[0])
            errand.ticket.finish()

    def _take(self, errand: Errand, made: Any) -> None:
        """Take what is not in shared memory, or the number of rows that are."""
        ticket = errand.ticket
        if self.job.batched:
            ticket.columns = [column[:made] for column in ticket.columns] if isinstance(made, int) else made
            return
        for column, rows in zip(ticket.columns, made or (), strict=False):
            column[errand.part.row : errand.part.row + len(rows)] = rows

    def _look_after(self) -> None:
        """Replace workers that make no progress; end when nobody has waited for a while."""
        now = time.monotonic()
        if self.resting is not None and now - self.resting > IDLE_SECONDS:
            with self._lock:
                self.over = self.resting is not None
        for worker in list(self.workers):
            at = (int(self._control[2 * worker.place]), int(self._control[2 * worker.place + 1]))
            if at != worker.seen[0] or not worker.errands:
                worker.seen = (at, now)
            elif self._timeout is not None and now - worker.seen[1] > self._timeout:
                stack = worker.stack(ask=True)
                said = f"no progress for {self._timeout:g} s" + ("" if stack else ", and it does not answer: stopped?")
                self._replace(worker, said, "hung", stack)

    def _replace(self, worker: Worker, cause: str, what: str, stack: str) -> None:
        """Have what a lost worker had to do done by others; an element that lost too many is an error."""
        pid = worker.pid
        serial, row = (int(each) for each in self._control[2 * worker.place : 2 * worker.place + 2])
        self.workers.remove(worker)
        worker.close()
        if not worker.ready:
            self._starts += 1
            if self._starts >= STARTS:
                raise refusal(f"workers for {self.job.name}", "worker processes that start", f"{cause}", "Use workers=0.")
        again = []
        for number, errand in worker.errands.items():
            done = row if number == serial and errand.ticket.slot is not None else 0
            if number == serial:
                index = errand.part.indices[min(row, len(errand.part.indices) - 1)]
                self._count_death(errand, index, f"worker {pid} {what} ({cause})", stack)
            again.append(Errand(errand.ticket, errand.part.rest(min(done, len(errand.part.indices) - 1))))
        self._waiting.extendleft(reversed(again))

    def _count_death(self, errand: Errand, index: int, said: str, stack: str) -> None:
        key = (id(errand.ticket), index)
        self._deaths[key] += 1
        told = f"tfinput: {said} on {self.job.place(index)}"
        where = f"\nIt was at:\n{stack}" if stack else ""
        if self._deaths[key] >= ATTEMPTS:
            errand.ticket.fail(WorkerDied(f"{told}: {ATTEMPTS} workers were lost on it. Check the element, or leave it out.{where}"))
        elif not isinstance(errand.ticket.error, DroppedError):
            self._warnings.append(f"{told}; run again ({self._deaths[key]}/{ATTEMPTS}).{where}")


def _closed_by(stack: contextlib.ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor
