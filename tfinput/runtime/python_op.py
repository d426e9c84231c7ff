"""Python functions that a TensorFlow graph calls: what they refer to is not kept alive, and none runs while Python ends.

TensorFlow keeps every function given to `tf.numpy_function` or `tf.py_function` for the life of the process (it hangs it on
the outermost graph), and with it all data that it refers to. So it is given a stand-in that refers weakly to the function;
whoever builds a dataset keeps the function itself, in the closure of a map of that dataset.

An iterator that is still open when the process ends has threads that call Python. One that comes when the interpreter is
half gone aborts the process ("terminate called"), so all iterators are ended before that. Where one does not end soon, its calls are:
new ones fail, which TensorFlow prints, and running ones are awaited.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

from tfinput.runtime import gc_deferral

QUIET_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0

_ending = threading.Event()
_running: set[int] = set()  # Threads that are in a call; adding and removing are atomic.
_used = threading.Event()


def weakly(function: Callable[..., Any]) -> Callable[..., Any]:
    """A stand-in that calls `function` as long as somebody else keeps it.

    >>> def double(x): return 2 * x
    >>> call = weakly(double)
    >>> call(3)
    6
    """
    gc_deferral.needed_by(function)
    # What is registered last runs first: before the threads end that the calls wait for.
    atexit.unregister(_drop_iterators)
    atexit.register(_drop_iterators)
    kept = weakref.ref(function)

    def call(*arguments: Any) -> Any:
        target = kept()
        if target is None:
            raise RuntimeError("tfinput: this dataset is gone: keep the feed, or the dataset, as long as you read from it.")
        if _ending.is_set():
            raise RuntimeError("tfinput: the process is ending.")
        _used.set()
        _running.add(threading.get_ident())
        try:
            return target(*arguments)
        finally:
            _running.discard(threading.get_ident())

    return gc_deferral.without_collection(call)


@atexit.register
def _drop_iterators() -> None:
    """End what still reads, as if nobody held it any more: TensorFlow calls off its threads, and each ends with its call.

    Also where only functions of the user's own are called: TensorFlow waits for ever for one that comes when Python has ended.
    """
    module = sys.modules.get("tensorflow.python.data.ops.iterator_ops")
    if module is None:
        return
    kind = module.OwnedIterator
    objects = gc.get_objects()
    iterators = [each for each in objects if type(each) is kind]  # `isinstance` would ask proxies of what is gone.
    # Where an error came out of TensorFlow, the frame of the call may live on, and with it what it reads from.
    frames = [each for each in objects if type(each) is FrameType and each.f_code.co_name == "iterator_get_next"]
    del objects
    if not iterators:
        return
    ended = type(kind.__name__, (kind,), {"_iterator_resource": property(_ended)})

    def drop() -> None:
        for frame in frames:
            with contextlib.suppress(RuntimeError):  # It is under way.
                frame.clear()
        for each in iterators:
            each.__class__ = ended
            vars(each).pop("_iterator_resource", None)

    # Some call may take long, and its iterator waits for it.
    thread = threading.Thread(target=gc_deferral.without_collection(drop), name="tfinput-end", daemon=True)
    thread.start()
    thread.join(LONGEST_WAIT_SECONDS)
    _await_quiet()


def _ended(_: Any) -> Any:
    """End a thread that goes on reading, without a word."""
    raise SystemExit


@atexit.register
def _end() -> None:
    """Let the calls under way finish, and the few that TensorFlow has lined up fail."""
    if _used.is_set():
        _ending.set()
        _await_quiet()


def _await_quiet() -> None:
    """Wait until nothing has called for a moment, but not for ever."""
    last = time.monotonic()
    give_up = last + LONGEST_WAIT_SECONDS
    while time.monotonic() < min(last + QUIET_SECONDS, give_up):
        if _running:
            last = time.monotonic()
        time.sleep(0.005)
