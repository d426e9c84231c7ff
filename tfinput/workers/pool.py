"""The engine with processes: parts of batches go to workers, fresh Python processes and never forks of this one.

Rows come back through shared memory. The processes are started when they are first needed, serve all sessions, and go when none is left.
"""

from __future__ import annotations

import threading
import time

from tfinput.errors import refusal
from tfinput.workers.job import Job
from tfinput.workers.process import dumped
from tfinput.workers.requests import Ticket
from tfinput.workers.worker_group import WorkerGroup


class Pool:
    """Makes batches in worker processes, which are started when they are first needed."""

    def __init__(self, job: Job, workers: int, item_timeout: float | None) -> None:
        """`item_timeout` is the longest an element may take, in seconds."""
        self.warnings: list[str] = []
        self._job = job
        self._pickled = dumped(job, job.name, job.items)
        self._count = workers
        self._timeout = item_timeout
        self._lock = threading.Lock()
        self._run: WorkerGroup | None = None

    def put(self, ticket: Ticket, rows: int) -> None:
        """Hand out the parts of a batch."""
        while not ticket.dropped and not self._running().take(ticket, rows):
            pass  # It ended in between.

    def renew(self) -> None:
        """Have the workers load the items again, as they are now."""
        self._pickled = dumped(self._job, self._job.name, self._job.items)
        if self._run is not None:
            self._run.load(self._pickled)

    def _running(self) -> WorkerGroup:
        with self._lock:
            if self._run is None or self._run.over:
                if self._run is not None:
                    self._run.end()  # What it had open is to be closed before more is opened.
                try:
                    self._run = WorkerGroup(self._job, self._pickled, self._count, self._timeout, self.warnings)
                except OSError as error:
                    raise refusal("workers", "a few open files more", str(error), "Raise it (ulimit -n), or use workers=0.") from error
            return self._run

    def stop(self) -> None:
        """Kill all workers."""
        with self._lock:
            run, self._run = self._run, None
        if run is not None:
            run.end()

    def rest(self) -> None:
        """Nobody waits: the workers end in a moment, unless somebody does again."""
        run = self._run
        if run is not None:
            run.resting = time.monotonic()

    def described(self) -> str:
        """Say what is running."""
        run = self._run
        alive = 0 if run is None or run.over else len(run.workers)
        held = 0 if run is None or run.over else run.slots.nbytes
        return f"{self._count} workers ({alive} running, {held / 2**20:.0f} MiB shared)"
