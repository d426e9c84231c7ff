"""One worker process as its parent sees it, and what it is sent to work with."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from tfinput.errors import refusal, short
from tfinput.workers.job import Slice
from tfinput.workers.requests import Ticket
from tfinput.workers.shared_memory import unnamed_file

PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from {module} import main; main(*map(int, sys.argv[1:]))"
# Ctrl-C reaches all processes of a terminal; one that is starting would print where it was. What is ignored stays so in a new program.
SHELL, UNTOUCHED = "/bin/sh", "trap '' INT; exec \"$@\""
# Libraries that would start a thread for every core in every worker.
SINGLE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Errand:
    """A part of a batch on its way through the workers."""

    def __init__(self, ticket: Ticket, part: Slice) -> None:
        """Take the batch and the part of it."""
        self.ticket = ticket
        self.part = part


class Process:
    """A fresh Python process that runs the `main` of a module, with a pipe to it."""

    def __init__(self, module: str, shared: Sequence[int], *numbers: int) -> None:
        """Start it; `main` gets its end of the pipe, the `shared` descriptors, one that closes with this process, one for stacks."""
        with contextlib.ExitStack() as closed, contextlib.ExitStack() as kept:
            try:
                ours, theirs = map(closed.enter_context, socket.socketpair())
                life, held = os.pipe()
                closed.callback(os.close, life)
                kept.callback(os.close, held)
                self.stacks = unnamed_file()
                kept.callback(os.close, self.stacks)
                descriptors = [theirs.fileno(), *shared, life, self.stacks]
                environment = {**dict.fromkeys(SINGLE, "1"), "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
                command = [sys.executable, "-c", START.format(module=module), PACKAGE, *map(str, [*descriptors, *numbers])]
                if os.path.exists(SHELL):
                    command = [SHELL, "-c", UNTOUCHED, SHELL, *command]
                self._process = subprocess.Popen(command, pass_fds=descriptors, env=environment, stdin=subprocess.DEVNULL)
            except OSError as error:
                raise _no_room(error) from error
            self.pid = self._process.pid
            self.connection = Connection(ours.detach())
            self._closed = kept.pop_all().close

    def send(self, message: Any) -> None:
        """Say something; a process that is gone is found by its silence."""
        with contextlib.suppress(OSError):
            self.connection.send(message)

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def close(self) -> None:
        """End the process, and leave nothing of it."""
        self.connection.close()
        self.kill()
        self._process.wait()
        self._closed()

    def stack(self, ask: bool = False) -> str:
        """What the process wrote about where it is, or was when it crashed."""
        if ask:
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(0.2)
        return os.pread(self.stacks, 1 << 16, 0).decode(errors="replace").strip()

    def cause(self) -> str:
        """What ended the process."""
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "its pipe closed"
        if code >= 0:
            return f"exit code {code}"
        return signal.Signals(-code).name + (", often out of memory" if code == -signal.SIGKILL else "")


class Worker(Process):
    """A worker process, what it has to do, and when it was last seen to make progress."""

    def __init__(self, place: int, shared: Sequence[int]) -> None:
        """Start the process."""
        super().__init__("tfinput.workers.worker_main", shared, place)
        self.place = place
        self.errands: dict[int, Errand] = {}
        self.loaded = (0, 0)
        self.ready = False
        self.seen: tuple[tuple[int, int], float] = ((0, 0), time.monotonic())
        self.send((sys.path, os.getcwd()))


def _no_room(error: OSError) -> Exception:
    return refusal("workers", "room for another process", str(error), "Use fewer workers, or workers=0.")


def dumped(value: Any, name: str, pickled: Any = None) -> bytes:
    """A value as another process loads it; what of `pickled` (or of the value) cannot be pickled is named."""
    import cloudpickle

    try:
        made: bytes = cloudpickle.dumps(value)
    except Exception as error:
        fix = "Open or make it inside, once in each process, or use workers=0."
        culprit = _culprit(value if pickled is None else pickled, error)
        raise refusal(f"workers for {name}", "data that can be pickled", culprit, fix, TypeError) from error
    return made


def raised(place: str, error: bytes | None, said: str, lines: str) -> Exception:
    """The error of an element in another process, as it is raised here."""
    if error is not None:  # Only this library's own errors come as they are.
        own: Exception = pickle.loads(error)
        return own
    made = ValueError(f"tfinput: {place}: {said}")
    made.__cause__ = RuntimeError(f"in a worker process:\n{lines}")
    return made


def unloadable(name: str, said: str, lines: str) -> Exception:
    """The error of data that another process could not load."""
    fix = "Define it in a module, or use workers=0."
    made = refusal(f"workers for {name}", "data that a worker process can load", said, fix)
    made.__cause__ = RuntimeError(f"in a worker process:\n{lines}")
    return made


def _culprit(items: Any, error: Exception) -> str:
    import cloudpickle

    for name, value in getattr(items, "__dict__", {}).items():
        try:
            cloudpickle.dumps(value)
        except Exception as own:
            return f"its attribute {name!r} ({type(value).__name__}): {short(str(own), 120)}"
    return short(str(error), 120)
