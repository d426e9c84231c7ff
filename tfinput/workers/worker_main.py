"""A worker process: takes parts of requests from its pipe, writes the rows into shared memory, and says so."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from tfinput.workers.job import LOAD, Job, Slice, described
from tfinput.workers.shared_memory import Slot, Windows


def main(pipe: int, memory: int, control: int, jobs: int, life: int, stacks: int, place: int) -> None:
    """Serve until the pipe closes; the arguments are descriptors, and this worker's place in the control file."""
    report = prepared(life, stacks)
    connection = Connection(pipe)
    progress = _progress(control, place)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        sys.path[:], folder = connection.recv()
        with contextlib.suppress(OSError):
            os.chdir(folder)
        windows = Windows(memory)
        job: Job | None = None
        while True:
            message = connection.recv()
            serial = message[0]
            if serial == LOAD:
                job = _loaded(connection, jobs, *message[1:])
            elif job is not None:
                progress[:] = serial, 0
                connection.send((serial, *_done(job, windows, progress, *message[1:])))
    report.close()


def prepared(life: int, stacks: int) -> Any:
    """Make this process one that lives as long as its parent, and that tells where it is; returns the file it tells that in."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent decides what it means.
    _end_with_parent(life)
    report = os.fdopen(stacks, "w")
    faulthandler.enable(report)
    faulthandler.register(signal.SIGUSR1, report, all_threads=False)
    return report


def _progress(control: int, place: int) -> Any:
    """The two numbers of this worker in the control file: the part it works on, and the row of it."""
    import mmap

    return np.frombuffer(mmap.mmap(control, 0), np.int64)[2 * place : 2 * place + 2]


def _end_with_parent(life: int) -> None:
    """Have this process killed when the other end of a pipe closes, which happens when the parent dies in whatever way."""
    if sys.platform == "linux":
        import fcntl

        # A signal from the kernel: it comes even to a process that is stopped, or that holds the interpreter's lock for ever.
        fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)

    def wait() -> None:
        os.read(life, 1)
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def _loaded(connection: Any, jobs: int, start: int, length: int) -> Job | None:
    """The job at a place of the file of jobs."""
    import cloudpickle

    pickled = b""
    while len(pickled) < length:  # one read gives 2 GiB at most
        pickled += os.pread(jobs, length - len(pickled), start + len(pickled))
    try:
        job: Job = cloudpickle.loads(pickled)
    except BaseException as error:  # of a module that ends its process, too
        connection.send((LOAD, "failed", None, *packed_error(error)))
        return None
    connection.send((LOAD, "ready", None))
    return job


def _done(job: Job, windows: Windows, progress: Any, part: Slice, slot: Slot | None, rows: int) -> tuple[Any, ...]:
    """What to answer: `done` with the number of rows, or with what is not in shared memory; or `failed` with the element and the error."""
    row = 0

    def tell(begun: int) -> None:
        nonlocal row
        row = begun
        progress[1] = begun

    try:
        columns = job.form.columns(len(part.indices)) if slot is None else job.form.views(windows[slot], rows)
        batch = job.run(part if slot is not None else Slice(part.indices, 0, part.seeds), columns, tell)
        if batch is not None and slot is not None and len(batch[0]) <= rows:
            for column, array in zip(columns, batch, strict=True):
                column[: len(array)] = array
            return "done", len(batch[0])
        return "done", batch or (columns if slot is None else None)
    except BaseException as error:  # Nobody presses Ctrl-C here, and nothing else asks this process to end: it is the element's.
        return ("failed", min(row, len(part.indices) - 1), *packed_error(error))


def packed_error(error: BaseException) -> tuple[bytes | None, str, str]:
    """An error on its way to the parent: itself if it is one of this library's own, what it says, and its traceback.

    The user's own classes of errors stay here: unpickled in the parent, copies would take the place of their methods.
    """
    pickled, said = None, described(error)
    if said.partition(": ")[2].startswith("tfinput:"):
        with contextlib.suppress(Exception):
            own = pickle.dumps(error)
            pickle.loads(own)
            pickled = own
    try:
        lines = "".join(traceback.format_exception(error))
    except Exception:
        lines = said
    return pickled, said, lines


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
