"""Producing: a generator runs in a thread of its own, ahead of TensorFlow, which takes chunks of examples from a short queue.

So a generator that blocks holds up neither Ctrl-C nor TensorFlow's threads. A pass ends with its generator, with its dataset's iterator,
with an interrupt, or with the process.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import itertools
import sys
import threading
import time
import traceback
import warnings
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfinput.material.rows import Buffers
from tfinput.runtime import ctrl_c, gc_deferral, python_op
from tfinput.workers.generator_chunks import Chunk, Progress, Recipe, Room, packed
from tfinput.workers.sameness import Ledger

# Chunks that wait for TensorFlow.
AHEAD = 4
# TensorFlow gets an empty chunk at least this often: only between chunks does it see that its iterator is gone.
EMPTY_SECONDS = 0.25
JOIN_SECONDS = 1.0
# The last example of a pass that has not ended waits so long, lest a pass that is too long be taken for a sound one.
LAST_SECONDS = 5.0
# After so long without an example it is told where the generator is.
STILL_SECONDS = 30.0
# What is looked at of two passes before training where a split needs them to be the same.
LOOK, LOOK_SECONDS = 64, 1.0


class Pass:
    """One pass under way."""

    def __init__(self, recipe: Recipe, buffers: Buffers, ledger: Ledger) -> None:
        """Start its thread."""
        self._recipe = recipe
        self._buffers = buffers
        self._ledger = ledger
        self._progress = Progress()
        self._handed = 0  # examples
        self._still = 0.0  # seconds that somebody has waited for the next one
        self._chunks: deque[Chunk | BaseException | None] = deque()
        self._changed = threading.Condition()
        self._over: str | None = None
        self._elements: Any = None
        self._thread = threading.Thread(target=gc_deferral.without_collection(self._run), name="tfinput-generator", daemon=True)
        self._thread.start()
        _under_way.add(self)  # A thread that was never started could not be joined.

    def _run(self) -> None:
        elements: Any = None
        try:
            elements = self._elements = self._begun()
            # In a thread even SystemExit is an error like others.
            for chunk in packed(self._recipe, elements, self._buffers, BaseException, self._progress):
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
        """The next chunk, one of what there is or none if it takes a while, or None at the end; raises what ended the pass."""
        with self._changed:
            if not self._chunks and self._over is None:
                self._changed.wait(EMPTY_SECONDS)
            if self._over is not None:
                raise RuntimeError(f"tfinput: {self._over}.")
            item = self._chunks.popleft() if self._chunks else self._partial()
            self._changed.notify_all()
        if isinstance(item, BaseException):
            raise item
        if item is None:
            return None
        count = len(item[0])
        self._ledger.look(np.arange(self._handed, self._handed + count), item)
        self._handed += count
        self._wait_longer(count)
        return item

    def _partial(self) -> Chunk:
        """What there is of the next chunk: the generator may wait for what training does with it."""
        room, size = self._progress.room, self._recipe.size
        if room is None:
            return Room(self._recipe.form, 1, self._buffers).take()
        return room.take(leave=int(self._progress.examples == size and self._still < LAST_SECONDS))

    def _wait_longer(self, count: int) -> None:
        """Tell, once, that nothing has come for long; it may be for ever."""
        before, self._still = self._still, 0.0 if count else self._still + EMPTY_SECONDS
        if before < STILL_SECONDS <= self._still:
            frame = sys._current_frames().get(self._thread.ident or 0)
            stack = "".join(traceback.format_stack(frame)) if frame else ""
            said = f"{self._progress.examples} examples came, then none for {STILL_SECONDS:g} s, and a batch, or a window to shuffle, waits"
            fix = "If it waits for the training step, take a smaller batch_size and shuffle=False."
            warnings.warn(f"tfinput: {self._recipe.name}: {said} for more. {fix} It is at:\n{stack}", RuntimeWarning, stacklevel=2)

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


class GeneratorPasses:
    """All passes over one generator."""

    def __init__(self, recipe: Recipe) -> None:
        """Take what a pass is to give."""
        self.recipe = recipe
        self._buffers = Buffers()
        fix = (
            "Keep one order inside the function (random.Random(0).shuffle; shuffle=True shuffles anew for each epoch), and augment "
            "with augment=; or pass validation_data= in place of the split."
        )
        size, place = recipe.size or 1, lambda number: f"{recipe.name}, example #{number}"
        self._ledger = Ledger(recipe.form, size, place, fix, places_only=True, shapes_apart=True)
        ctrl_c.install()

    def hold(self, look: bool) -> None:
        """From now on all passes must give the same examples; `look` says whether to see at once whether the first ones are."""
        held = self._ledger.held
        self._ledger.hold()
        if look and not held:
            for _ in range(2):
                self._look()

    def _look(self) -> None:
        begin = self.recipe.begin
        first = dataclasses.replace(self.recipe, begin=lambda: itertools.islice(begin(), LOOK), size=None)
        give_up = time.monotonic() + LOOK_SECONDS
        for _ in self._chunks(first):
            if time.monotonic() > give_up:
                return

    def chunks(self) -> Iterator[Chunk]:
        """The chunks of a new pass, which ends when this generator is closed."""
        return self._chunks(self.recipe)

    def _chunks(self, recipe: Recipe) -> Iterator[Chunk]:
        if _ending.is_set():
            raise RuntimeError("tfinput: the process is ending.")
        under_way = Pass(recipe, self._buffers, self._ledger)
        ctrl_c.add(under_way)
        take = under_way.take
        # Threads of TensorFlow that wait here are known to `callback`, which sees to it that none is left when Python ends.
        call = python_op.weakly(take)
        try:
            while (chunk := call()) is not None:
                yield chunk
        finally:
            ctrl_c.remove(under_way)
            under_way.stop()


_under_way: weakref.WeakSet[Pass] = weakref.WeakSet()
_ending = threading.Event()


@atexit.register
@gc_deferral.without_collection
def _end() -> None:
    """End all passes, before `callback` waits for the calls under way: what is registered last runs first."""
    _ending.set()
    passes = list(_under_way)
    for each in passes:
        each.stop("the process is ending")
    give_up = time.monotonic() + JOIN_SECONDS
    for each in passes:
        each.join(max(0.0, give_up - time.monotonic()))
