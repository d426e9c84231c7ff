"""Fetching: batches of elements are asked for ahead of the training step and collected in order, from a thread or from processes.

An open iterator of a dataset is a session; when TensorFlow drops it, what it had asked for is dropped too, and when the last one
is gone, so are the threads, processes and shared memory, a moment later.
"""

from __future__ import annotations

import itertools
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from tfinput.material.nests import Array
from tfinput.runtime import ctrl_c
from tfinput.workers.job import Job, Slice
from tfinput.workers.sameness import Ledger


class Ticket:
    """A batch that was asked for; `last` says whether it ends an epoch."""

    def __init__(self, session: int, parts: list[Slice], last: bool) -> None:
        """Take the parts of the batch."""
        self.session = session
        self.parts = parts
        self.last = last
        self.columns: Sequence[Array] = ()
        self.slot: Any = None  # of shared memory that the columns lie in
        self.rows = 0
        self.left = len(parts)
        self.done = threading.Event()
        self.error: Exception | None = None

    def finish(self) -> None:
        """One more part is there."""
        self.left -= 1
        if self.left == 0:
            self.done.set()

    def fail(self, error: Exception) -> None:
        """The batch cannot be had."""
        self.error = self.error or error
        self.done.set()

    @property
    def dropped(self) -> bool:
        """Whether nobody needs the rest of it any more."""
        return self.error is not None


class Engine(Protocol):
    """What makes the elements."""

    warnings: list[str]

    def put(self, ticket: Ticket, rows: int) -> None:
        """Find room for a batch and begin to make it."""

    def renew(self) -> None:
        """The items have changed; nothing is being made now."""

    def stop(self) -> None:
        """End at once; everything that is not done fails. Can be begun again."""

    def rest(self) -> None:
        """Nobody waits for anything now."""

    def described(self) -> str:
        """Say what is running, for the repr of a feed."""


# A part costs this process about 45 us, whatever it holds, so many workers share a batch only while each gets some rows of it.
PARTS, PART = 8, 4
# So many items are looked at again after each of the first turns, which may have put others in their places.
LOOK, TURNS = 4, 2


def part_rows(rows: int, parts: int) -> int:
    """The rows of each part of a batch (the last may have fewer), of at most so many parts."""
    return -(-rows // min(parts, max(PARTS, rows // PART)))


class DroppedError(Exception):
    """The error of tickets that nobody wants any more."""


class _Session:
    """An open iterator: whether it is in an epoch, and what it asked for beyond the end of that."""

    def __init__(self) -> None:
        self.begun = False
        self.ending = False
        self.later: list[Ticket] = []


class Fetcher:
    """Asks an engine for batches, for all sessions of a source."""

    def __init__(self, job: Job, engine: Engine, parts: int, seeded: bool, rows: int | None = None, ledger: Ledger | None = None) -> None:
        """Cut each batch into `parts`, or fewer where they would be small.

        `seeded` says whether random generators are to be seeded for each element; `rows` is the most rows of items that are batches;
        `ledger` hears what each number brought.
        """
        self.job = job
        self.engine = engine
        self._parts = parts
        self._seeded = seeded
        self._rows = rows
        self._ledger = ledger
        self._read: list[int] = []  # the first items that came
        self._turned = 0
        self._turns = has_turns(job.items)
        self._numbers = itertools.count(1)
        self._sessions: dict[int, _Session] = {}
        self._tickets: dict[int, Ticket] = {}
        self._lock = threading.RLock()
        ctrl_c.install()

    def session(self) -> Iterator[np.int64]:
        """Give the number of a new session; the session ends when this generator is closed."""
        number = next(self._numbers)
        with self._lock:
            self._sessions[number] = _Session()
        ctrl_c.add(self)
        try:
            yield np.int64(number)
        finally:
            self._close(number)

    def _close(self, number: int) -> None:
        with self._lock:
            self._sessions.pop(number, None)
            mine = [key for key, ticket in self._tickets.items() if ticket.session == number]
            gone = [self._tickets.pop(key) for key in mine]
            last = not self._sessions
        for ticket in gone:
            ticket.fail(DroppedError())
        if last:
            ctrl_c.remove(self)
            self.engine.rest()

    def request(self, session: Any, indices: Array, seeds: Array, last: Any) -> Any:
        """Ask for a batch; returns the number it is collected by."""
        number = next(self._numbers)
        wanted = indices.tolist()
        drawn = [high << 32 | low & 0xFFFFFFFF for high, low in seeds.tolist()] if self._seeded else None
        step = part_rows(len(wanted), self._parts)
        starts = range(0, len(wanted), step)
        parts = [Slice(wanted[at : at + step], at, drawn[at : at + step] if drawn else None) for at in starts]
        ticket = Ticket(int(session), parts, bool(last))
        with self._lock:
            self._tickets[number] = ticket
            state = self._sessions.get(ticket.session)
            if state is None:
                ticket.fail(DroppedError())
            elif self._turns and state.ending:
                state.later.append(ticket)
            else:
                self._put(state, ticket)
        return np.int64(number)

    def _put(self, state: _Session, ticket: Ticket) -> None:
        if self._turns and not state.begun:
            state.begun = True
            self._turn("on_epoch_begin")
        state.ending = ticket.last
        self.engine.put(ticket, self._rows or sum(len(part.indices) for part in ticket.parts))

    def collect(self, number: Any) -> Sequence[Array]:
        """Wait for a batch; raises what made it fail."""
        ticket = self._tickets[int(number)]
        ticket.done.wait()
        with self._lock:
            self._tickets.pop(int(number), None)
        self._warn()
        if ticket.error is not None:
            ticket.columns = ()
            try:
                raise ticket.error
            finally:
                del ticket  # Its error would keep it through this frame, and with it memory and files, until a collection.
        self._note(ticket)
        if self._turns and ticket.last:
            self._end_epoch(ticket.session)
            self._look_again(ticket.session)
        return ticket.columns

    def _note(self, ticket: Ticket) -> None:
        """Refuse items that are others than before, where that matters."""
        if self._ledger is None or not self._ledger.held:
            return
        indices = np.concatenate([part.indices for part in ticket.parts])
        if self._rows is not None:
            indices = indices * self._rows + np.arange(len(ticket.columns[0]))
        self._ledger.look(indices, ticket.columns)
        if len(self._read) < LOOK:
            self._read += [index for part in ticket.parts for index in part.indices][:LOOK]

    def _look_again(self, session: int) -> None:
        """See whether a turn has put other items in the places of those that were read: they may be about to validate."""
        if self._ledger is None or not self._ledger.held or self._turned == TURNS:
            return
        self._turned += 1
        for index in self._read[:LOOK]:
            number = next(self._numbers)
            ticket = self._tickets[number] = Ticket(session, [Slice([index], 0, [index] if self._seeded else None)], False)
            self.engine.put(ticket, self._rows or 1)
            ticket.done.wait()
            self._tickets.pop(number, None)
            if ticket.error is None:  # One that fails does so again where it is needed.
                self._note(ticket)

    def _warn(self) -> None:
        while self.engine.warnings:
            warnings.warn(self.engine.warnings.pop(0), RuntimeWarning, stacklevel=3)

    def once(self, indices: list[int]) -> Sequence[Array]:
        """The columns of some elements, outside of all sessions and epochs."""
        step = part_rows(len(indices), self._parts)
        seeds = [0] * len(indices) if self._seeded else None
        starts = range(0, len(indices), step)
        parts = [Slice(indices[at : at + step], at, seeds[at : at + step] if seeds else None) for at in starts]
        ticket = Ticket(0, parts, False)
        try:
            self.engine.put(ticket, len(indices))
            ticket.done.wait()
        except BaseException:  # Ctrl-C: this is the user's own thread.
            self.engine.stop()
            raise
        self._warn()
        if ticket.error is not None:
            try:
                raise ticket.error
            finally:
                del ticket
        return ticket.columns

    def _end_epoch(self, session: int) -> None:
        """All items of an epoch are made: let the items turn to the next one, and ask for what waits for that."""
        with self._lock:
            state = self._sessions.get(session)
            if state is None:
                return
            self._turn("on_epoch_end")
            self.engine.renew()
            state.begun = state.ending = False
            later, state.later = state.later, []
            for ticket in later:
                if state.ending:
                    state.later.append(ticket)
                else:
                    self._put(state, ticket)

    def described(self) -> str:
        """Say what is running and what is asked for, for the repr of a feed."""
        ahead = len(self._tickets)
        return self.engine.described() + (f", {ahead} batches ahead" if ahead else "")

    def _turn(self, name: str) -> None:
        getattr(self.job.items, name, lambda: None)()

    def interrupt(self) -> None:
        """End all waits: somebody pressed Ctrl-C."""
        # Without the lock, which a function of the user's may hold for long.
        for ticket in list(self._tickets.values()):
            ticket.fail(RuntimeError("tfinput: interrupted."))
        self._sessions.clear()
        ctrl_c.remove(self)
        self.engine.stop()


def has_turns(items: Any) -> bool:
    """Whether items want to hear of the beginning and the end of epochs, as a `keras.utils.PyDataset` may."""
    methods = [getattr(type(items), name, None) for name in ("on_epoch_begin", "on_epoch_end")]
    return any(method is not None and not method.__module__.startswith("keras.") for method in methods)
