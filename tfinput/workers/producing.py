"""Producing: a generator runs in a thread of its own, ahead of TensorFlow, which takes chunks of examples from a short queue.

So a generator that blocks holds up neither Ctrl-C nor TensorFlow's threads. A pass ends with its generator, with its dataset's iterator,
with an interrupt, or with the process.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

from tfinput import callback, garbage, interrupts
from tfinput.sources.memory import Buffers
from tfinput.workers.packing import Chunk, Recipe, Room, packed

# Chunks that wait for TensorFlow.
AHEAD = 4
# TensorFlow gets an empty chunk at least this often: only between chunks does it see that its iterator is gone.
EMPTY_SECONDS = 0.25
JOIN_SECONDS = 1.0


class Pass:
    """One pass under way."""

    def __init__(self, recipe: Recipe, buffers: Buffers) -> None:
        """Start its thread."""
        self._recipe = recipe
        self._buffers = buffers
        self._chunks: deque[Chunk | BaseException | None] = deque()
        self._changed = threading.Condition()
        self._over: str | None = None
        self._elements: Any = None
        self._thread = threading.Thread(target=garbage.kept_away(self._run), name="tfinput-generator", daemon=True)
        self._thread.start()
        _under_way.add(self)  # A thread that was never started could not be joined.

    def _run(self) -> None:
        elements: Any = None
        try:
            elements = self._elements = self._begun()
            # In a thread even SystemExit is an error like others.
            for chunk in packed(self._recipe, elements, self._buffers, BaseException):
                if not self._put(chunk):
                    return
            self._put(None)
        except BaseException as error:
            self._put(error)
        finally:
            if hasattr(elements, "close"):
                with contextlib.suppress(BaseException):
                    elements.close()

    def _begun(self) -> Iterator[Any]:
        try:
            return self._recipe.begin()
        except BaseException as error:
            told = self._recipe.failure(0, error)
            raise told from (None if told is error else error)

    def _put(self, item: Chunk | BaseException | None) -> bool:
        """Queue something as soon as there is room; whether anybody wants more."""
        with self._changed:
            while len(self._chunks) >= AHEAD and self._over is None:
                self._changed.wait()
            self._chunks.append(item)
            self._changed.notify_all()
            return self._over is None

    def take(self) -> Chunk | None:
        """The next chunk, an empty one if none came for a while, or None at the end; raises what ended the pass."""
        with self._changed:
            if not self._chunks and self._over is None:
                self._changed.wait(EMPTY_SECONDS)
            if self._over is not None:
                raise RuntimeError(f"tfinput: {self._over}.")
            if not self._chunks:
                return Room(self._recipe.form, 1, self._buffers).chunk(0)
            item = self._chunks.popleft()
            self._changed.notify_all()
        if isinstance(item, BaseException):
            raise item
        return item

    def stop(self, why: str = "the pass is over") -> None:
        """Take nothing more; the generator is closed when it comes to its next element."""
        with self._changed:
            self._over = self._over or why
            self._chunks.clear()
            self._changed.notify_all()
        if hasattr(self._elements, "cancel"):
            self._elements.cancel()

    def interrupt(self) -> None:
        """End the wait for the next chunk: somebody pressed Ctrl-C."""
        # Raising an exception in the thread would not do: until a blocked thread takes it, Python 3.11 loops for ever where a trace
        # function meets a call.
        self.stop("interrupted")

    def join(self, seconds: float) -> None:
        """Wait for the thread to end."""
        self._thread.join(seconds)


class Passes:
    """All passes over one generator."""

    def __init__(self, recipe: Recipe) -> None:
        """Take what a pass is to give."""
        self.recipe = recipe
        self._buffers = Buffers()
        interrupts.install()

    def chunks(self) -> Iterator[Chunk]:
        """The chunks of a new pass, which ends when this generator is closed."""
        if _ending.is_set():
            raise RuntimeError("tfinput: the process is ending.")
        under_way = Pass(self.recipe, self._buffers)
        interrupts.add(under_way)
        take = under_way.take
        # Threads of TensorFlow that wait here are known to `callback`, which sees to it that none is left when Python ends.
        call = callback.weakly(take)
        try:
            while (chunk := call()) is not None:
                yield chunk
        finally:
            interrupts.remove(under_way)
            under_way.stop()


_under_way: weakref.WeakSet[Pass] = weakref.WeakSet()
_ending = threading.Event()


@atexit.register
@garbage.kept_away
def _end() -> None:
    """End all passes, before `callback` waits for the calls under way: what is registered last runs first."""
    _ending.set()
    passes = list(_under_way)
    for each in passes:
        each.stop("the process is ending")
    give_up = time.monotonic() + JOIN_SECONDS
    for each in passes:
        each.join(max(0.0, give_up - time.monotonic()))
