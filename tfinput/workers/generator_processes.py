"""A generator in several processes: each runs the function with a number of its own, and the elements come in turn, in a fixed order."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from tfinput.errors import refusal
from tfinput.runtime import gc_deferral
from tfinput.workers.job import seed_all
from tfinput.workers.process import Process, dumped
from tfinput.workers.worker_main import packed_error, prepared

# Elements that a process sends at a time, and how long it gathers them.
BLOCK = 256
BLOCK_BYTES = 1 << 20
BLOCK_SECONDS = 0.05
IDLE_SECONDS = 3.0


class _Resting:
    """Processes whose pass has ended, for the next pass: one soon, or they end as well."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[Process] = []
        self._timer: threading.Timer | None = None

    def take(self) -> Process:
        """One of them, or a new one."""
        with self._lock:
            while self._held:
                process = self._held.pop()
                if process.alive:
                    return process
                process.close()
        return Process(__name__, [])

    def give(self, processes: list[Process]) -> None:
        """Keep some for a while."""
        with self._lock:
            self._held += processes
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(IDLE_SECONDS, gc_deferral.without_collection(self._end))
            self._timer.daemon = True
            self._timer.start()

    def _end(self) -> None:
        with self._lock:
            ended, self._held, self._timer = self._held, [], None
        for process in ended:
            process.close()


class Sharded:
    """Begins passes over `function(shard)` for as many shards as there are workers."""

    def __init__(self, function: Callable[[int], Any], workers: int, name: str) -> None:
        """Take the function, and what messages call it."""
        self._pickled = dumped(function, name)
        self._workers = workers
        self._name = name
        self._passes = 0
        self._resting = _Resting()

    def __call__(self) -> Elements:
        """Start the processes of a new pass."""
        self._passes += 1
        return Elements(self._pickled, self._workers, self._name, self._passes, self._resting)


class Elements:
    """The elements of a pass: the first of each shard, the second of each shard, and so on; shards that end are left out."""

    def __init__(self, pickled: bytes, workers: int, name: str, number: int, resting: _Resting) -> None:
        """Have a process begin each shard."""
        self._shards: list[_Shard] = []
        self._ended: list[Process] = []
        self._resting = resting
        self._place = 0
        with contextlib.ExitStack() as started:
            started.callback(self.close)
            for shard in range(workers):
                self._shards.append(_Shard(shard, workers, name, resting.take()))
                self._shards[-1].process.send((sys.path, os.getcwd(), pickled, shard, number * workers + shard))
            started.pop_all()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while self._shards:
            shard = self._shards[self._place % len(self._shards)]
            try:
                element = shard.take()
            except StopIteration:
                self._place %= len(self._shards)
                del self._shards[self._place]
                self._ended.append(shard.process)
                continue
            self._place = (self._place + 1) % len(self._shards)
            return element
        if self._ended:
            ended, self._ended = self._ended, []
            self._resting.give(ended)
        raise StopIteration

    def cancel(self) -> None:
        """End the processes from another thread, so that nobody waits for them."""
        for shard in list(self._shards):
            shard.process.kill()

    def close(self) -> None:
        """End the processes."""
        while self._shards:
            self._shards.pop().process.close()
        while self._ended:
            self._ended.pop().close()

    def __del__(self) -> None:
        self.close()


class _Shard:
    """One process, and what it has sent."""

    def __init__(self, number: int, of: int, name: str, process: Process) -> None:
        self._said = f"{name}({number}), in a process of its own, of {of}"
        self.process = process
        self._waiting: deque[bytes] = deque()

    def take(self) -> Any:
        """The next element; StopIteration at the end."""
        while not self._waiting:
            try:
                what, *rest = self.process.connection.recv()
            except (EOFError, OSError):
                cause = self.process.cause()
                raise refusal(
                    self._said, "elements until its end", f"none: it died ({cause})", "Run it with workers=0 to see why."
                ) from None
            if what == "end":
                raise StopIteration
            if what == "failed":
                _raise(*rest)
            self._waiting.extend(rest[0])
        return pickle.loads(self._waiting.popleft())


def _raise(error: bytes | None, said: str, lines: str) -> None:
    """Raise this library's own error as it is, and another under its name: its class stays where it was made."""
    kind, _, text = said.partition(": ")
    made: Exception = type(kind, (RuntimeError,), {})(text) if error is None else pickle.loads(error)
    raise made from RuntimeError(f"in a worker process:\n{lines}")


def main(pipe: int, life: int, stacks: int) -> None:
    """Run shards in this process, one for each pass, until the pipe closes; the arguments are descriptors."""
    report = prepared(life, stacks)
    connection = Connection(pipe)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            sys.path[:], folder, pickled, shard, seed = connection.recv()
            with contextlib.suppress(OSError):
                os.chdir(folder)
            seed_all(seed)
            _run(connection, pickled, shard)
    report.close()


def _run(connection: Any, pickled: bytes, shard: int) -> None:
    blocks = _blocks(pickled, shard)
    while True:
        try:
            block = next(blocks, None)
        except BaseException as error:  # Nothing but the generator raises here: its SystemExit is an error like others.
            connection.send(("failed", *packed_error(error)))
            return
        if block is None:
            connection.send(("end",))
            return
        connection.send(("block", block))


def _blocks(pickled: bytes, shard: int) -> Iterator[list[bytes]]:
    """Pickled elements, some at a time; each at once, since many generators fill one array again and again."""
    import cloudpickle

    block: list[bytes] = []
    nbytes, due = 0, time.monotonic() + BLOCK_SECONDS
    handed = False
    try:
        for element in cloudpickle.loads(pickled)(shard):
            block.append(pickle.dumps(element, protocol=5))
            nbytes += len(block[-1])
            if len(block) == BLOCK or nbytes > BLOCK_BYTES or time.monotonic() > due:
                handed = True
                yield block
                handed = False
                block, nbytes, due = [], 0, time.monotonic() + BLOCK_SECONDS
    except BaseException:
        if block and not handed:  # What came before an error comes first.
            yield block
        raise
    if block:
        yield block
