"""Looking at the first element of a sequence: here, or in a fresh process where worker processes are to make the elements.

Where there are workers, the user's objects and classes are not touched here. An element that is made here may leave a file open, which
no worker can be given; and what `cloudpickle` loads in the process that it was pickled in puts copies in the place of the methods of
the user's own classes, with the globals of that moment.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from tfinput.errors import WorkerDied, refusal
from tfinput.material import pairing
from tfinput.material.nests import as_array, mapped
from tfinput.workers.job import failure, place
from tfinput.workers.process import Process, dumped, raised, unloadable
from tfinput.workers.worker_main import packed_error, prepared


class FirstItem(NamedTuple):
    """How many elements there are, the first one, and the last one where each is a batch; their parts are copies."""

    size: int
    first: Any = None
    last: Any = None


def here(items: Any, name: str, batched: bool) -> FirstItem:
    """Look in this thread; an error names the element."""
    at: list[int] = []
    try:
        return _examined(items, name, batched, at.append)
    except KeyboardInterrupt as error:  # nearly always the user's own
        error.add_note(f"tfinput: {place(name, at[-1]) if at else name}")
        raise
    except BaseException as error:
        if not at:
            raise
        named = failure(place(name, at[-1]), error)
        raise named from (None if named is error else error)


def elsewhere(items: Any, name: str, batched: bool, timeout: float | None) -> FirstItem:
    """Look in a process; an element may take so many seconds."""
    pickled = dumped(items, name)
    process = Process(__name__, [])
    at: int | None = None
    try:
        process.send((sys.path, os.getcwd(), pickled, name, batched))
        del pickled
        while True:
            if not process.connection.poll(None if at is None else timeout):
                fix = f"Raise item_timeout if it needs longer. It is at:\n{process.stack(ask=True)}"
                raise refusal(place(name, at or 0), f"an element within {timeout:g} s", "none", fix)
            what, *rest = process.connection.recv()
            if what == "at":
                at = rest[0]
            elif what == "seen":
                size, *seen = rest
                return FirstItem(size, *map(_restored, seen))
            elif at is None:
                raise unloadable(name, *rest[1:])
            else:
                raise raised(place(name, at), *rest)
    except (EOFError, ConnectionError):
        stack = process.stack()
        said = f"tfinput: a worker died ({process.cause()}) on {place(name, at or 0)}. Check the element, or use workers=0."
        raise WorkerDied(said + (f"\nIt was at:\n{stack}" if stack else "")) from None
    finally:
        process.close()


def main(pipe: int, life: int, stacks: int) -> None:
    """Look, and say what was seen; the arguments are descriptors."""
    report = prepared(life, stacks)
    connection = Connection(pipe)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        sys.path[:], folder, pickled, name, batched = connection.recv()
        with contextlib.suppress(OSError):
            os.chdir(folder)
        connection.send(_answer(connection, pickled, name, batched))
    report.close()


def _answer(connection: Any, pickled: bytes, name: str, batched: bool) -> tuple[Any, ...]:
    import cloudpickle

    try:
        look = _examined(cloudpickle.loads(pickled), name, batched, lambda index: connection.send(("at", index)))
        return ("seen", look.size, _portable(look.first), _portable(look.last))
    except BaseException as error:
        return ("failed", *packed_error(error))


def _examined(items: Any, name: str, batched: bool, tell: Any) -> FirstItem:
    """Make what is to be seen; `tell` hears of each element before it is made."""
    size = len(items)

    def element(index: int) -> Any:
        tell(index)

        def own(path: str, value: Any) -> Any:
            if pairing.is_named(value):  # Its names say what later ones have to look like.
                return value.copy() if hasattr(value, "iloc") else value
            return as_array(f"{place(name, index)}{path}", value).copy()

        return mapped(own, items[index])

    if size == 0:
        return FirstItem(0)
    return FirstItem(size, element(0), element(size - 1) if batched else None)


@dataclass(frozen=True)
class _Fields:
    """A named tuple on its way to the parent, which knows its class, where the worker has a copy of that."""

    module: str
    name: str
    names: tuple[str, ...]
    parts: tuple[Any, ...]


def _portable(nest: Any) -> Any:
    if isinstance(nest, Mapping):
        return {key: _portable(part) for key, part in nest.items()}
    if isinstance(nest, tuple):
        parts = tuple(map(_portable, nest))
        kind = type(nest)
        return _Fields(kind.__module__, kind.__qualname__, kind._fields, parts) if hasattr(kind, "_fields") else parts
    return nest


def _restored(nest: Any) -> Any:
    if isinstance(nest, _Fields):
        return _kind(nest)(*map(_restored, nest.parts))
    if isinstance(nest, dict):
        return {key: _restored(part) for key, part in nest.items()}
    return tuple(map(_restored, nest)) if isinstance(nest, tuple) else nest


def _kind(fields: _Fields) -> Any:
    """The class of a named tuple; one that was defined inside a function is made again."""
    found: Any = sys.modules.get(fields.module)
    for part in fields.name.split("."):
        found = getattr(found, part, None)
    if getattr(found, "_fields", None) == fields.names:
        return found
    return NamedTuple(fields.name.rpartition(".")[2], [(name, Any) for name in fields.names])
