"""The hook that keeps collections away: it runs no Python code, where CPython 3.11 cannot bear any, and is there only as needed."""

from __future__ import annotations

import _thread
import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tfinput.runtime import gc_deferral

# Two threads parse at once, often enough that collections begin in the midst of it.
PARSING = """
import ast, gc, threading
text = "x = [" + ", ".join("{'a': (1 + 2 * f(y, z=3)), 'b': lambda q: q}" for _ in range(300)) + "]"
failed = []

def parse():
    for _ in range(60):
        try:
            ast.parse(text)
        except SystemError as error:
            failed.append(str(error))

def attempt(wrapped=lambda work: work):
    threads = [threading.Thread(target=wrapped(parse)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""
ANY_HOOK = "gc.callbacks.append(lambda phase, about: None)\nattempt()\nassert failed"
WHILE_READING = """
import numpy as np
import tfinput
from tfinput.runtime import gc_deferral as garbage

feed = tfinput.from_generator(lambda: iter(np.arange(80.0)), size=80, batch_size=4)
iterator = iter(feed.train.take(20))
next(iterator)
assert garbage._hook in gc.callbacks
gc.callbacks[:] = [garbage._hook]  # JAX, where it is installed, has one of Python code.
before = gc.get_stats()[0]["collections"]
attempt()
attempt(garbage.without_collection)
assert gc.get_stats()[0]["collections"] > before + 10
assert len(list(iterator)) == 19
assert not failed, (len(failed), failed[0])
"""


def run(script: str) -> None:
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=250, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Collections begin between instructions of Python code only.")
def test_any_hook_of_python_code_makes_parsing_fail_in_two_threads() -> None:
    """The reason for a hook of C functions: when this fails, a plain function would do."""
    run(PARSING + ANY_HOOK)


def test_two_threads_may_parse_while_a_dataset_that_calls_python_is_read() -> None:
    run(PARSING + WHILE_READING)


class Loop:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def needed() -> Loop:
    """The hook is there."""
    holder = Loop()
    gc_deferral.needed_by(holder)
    return holder


def started(work: Callable[[], Any]) -> list[Any]:
    """What comes of work in a thread that Python's `threading` does not know."""
    found: list[Any] = []
    done = threading.Event()

    def run() -> None:
        found.append(work())
        done.set()

    _thread.start_new_thread(run, ())
    assert done.wait(20)
    return found


def joined(work: Callable[[], Any]) -> list[Any]:
    """What comes of work in a thread of `threading`."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found


def collected() -> bool:
    """Whether a collection here finds garbage that was made here."""
    Loop()
    return gc.collect() > 0


def test_only_threads_that_an_iterator_may_wait_for_collect_nothing(needed: Loop) -> None:
    assert collected()
    assert joined(collected) == [True]
    assert joined(gc_deferral.without_collection(collected)) == [False]
    assert started(collected) == [False]

    def known() -> bool:
        threading.current_thread()  # makes Python know it as one that it did not start
        return collected()

    assert started(known) == [False]
    assert collected()
    assert gc.get_freeze_count() == 0


def test_the_hook_runs_no_python_code(needed: Loop) -> None:
    def called() -> list[str]:
        names: list[str] = []
        sys.setprofile(lambda frame, event, _: names.append(frame.f_code.co_name) if event == "call" else None)
        try:
            for generation in (0, 2):
                gc.collect(generation)
        finally:
            sys.setprofile(None)
        return names

    gc.collect()  # Nothing that has a finalizer of Python code is left.
    others = [each for each in gc.callbacks if each is not gc_deferral._hook]
    gc.callbacks[:] = [gc_deferral._hook]
    try:
        assert called() == []
        assert joined(gc_deferral.without_collection(called)) == [[]]
    finally:
        gc.callbacks[:] = [*others, gc_deferral._hook]


def test_what_the_user_hides_stays_hidden(needed: Loop) -> None:
    gc.collect()
    gc.freeze()
    try:
        hidden = gc.get_freeze_count()
        assert joined(gc_deferral.without_collection(gc.collect))
        assert gc.get_freeze_count() > hidden / 2  # Some of it is let go, as any object may be.
    finally:
        gc.unfreeze()


INTERRUPTED = """
import gc, signal, sys
import numpy as np
import tfinput

feed = tfinput.from_generator(lambda: iter(np.arange(8.0)), size=8, batch_size=4)

def told(phase, about):
    pass

gc.callbacks.append(told)

def press(frame, event, argument):
    if event == "call" and frame.f_code is told.__code__:
        sys.setprofile(None)
        signal.raise_signal(signal.SIGINT)

came = 0
for _ in range(20):
    try:
        sys.setprofile(press)
        for _ in range(100):
            gc.collect(0)
    except KeyboardInterrupt:
        came += 1
assert came == 20, came
"""


def test_ctrl_c_is_not_lost_where_python_tells_another_hook_of_a_collection() -> None:
    run(INTERRUPTED)


def test_the_hook_goes_with_the_last_dataset_that_calls_python() -> None:
    run("""
import gc
import numpy as np
import tfinput
from tfinput.runtime import gc_deferral as garbage

plain = tfinput.from_arrays(np.arange(8.0), batch_size=4)
assert len(list(plain.validation or plain.train.take(2))) == 2

def read():
    feed = tfinput.from_generator(lambda: iter(np.arange(8.0)), size=8, batch_size=4, validation_data=lambda: iter(np.arange(8.0)))
    items = tfinput.from_sequence(list(range(8)), batch_size=4, validation_data=list(range(8)))
    for dataset in (feed.validation, items.validation, feed.train.take(2), items.train.take(2)):
        iterator = iter(dataset)
        next(iterator)
        assert garbage._hook in gc.callbacks
        assert len(list(iterator)) == 1

read()
del plain
gc.collect()
assert garbage._hook not in gc.callbacks, garbage._needed
assert gc.get_freeze_count() == 0
""")


def test_a_feed_that_calls_no_python_has_no_hook() -> None:
    run("""
import gc
import numpy as np
import tfinput
from tfinput.runtime import gc_deferral as garbage

feed = tfinput.from_arrays(np.arange(8.0), batch_size=4, validation_data=np.arange(8.0))
assert len(list(feed.validation)) == 2
assert garbage._hook not in gc.callbacks
""")
