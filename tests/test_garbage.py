"""An iterator that is garbage while its threads run Python: Python's collector ends it, and goes on collecting."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable

import pytest

from tfinput.runtime import gc_deferral

SCRIPT = """
import faulthandler; faulthandler.dump_traceback_later(60, exit=True)
import gc, itertools, threading, time, weakref
import numpy as np
import tensorflow as tf
import tfinput
from tfinput.runtime import python_op as callback

class Items:
    def __init__(self, generation):
        self.generation, self.calls = generation, itertools.count()
        self.dropped, self.collected = threading.Event(), threading.Event()
    def __len__(self):
        return 1000
    def __getitem__(self, index):
        if next(self.calls) > 8:
            self.dropped.wait()
            gc.collect(self.generation)
            self.collected.set()
        return np.float32(index)

class Loop:
    def __init__(self, **kept):
        self.me, self.kept = self, kept

def attempt(generation):
    items = Items(generation)
    call = callback.weakly(get := lambda index: items[index])
    dataset = DATASET
    iterator = iter(dataset)
    assert next(iterator) is not None
    loop = Loop(iterator=iterator)  # As after an error: the cycle is new, the iterator old.
    del iterator
    if generation == 2:
        gc.collect()
    del loop
    items.dropped.set()
    assert items.collected.wait(20)
    time.sleep(0.5)
    other = weakref.ref(Loop())
    for _ in range(100):
        if gc.collect() and other() is None:
            return
        time.sleep(0.05)
    raise AssertionError(f"after a collection of generation {generation} no garbage is collected any more")

for generation in GENERATIONS:
    attempt(generation)
print("goes on")
"""
DATASETS = {
    "in a call of the user's": "tf.data.Dataset.range(1000).map(lambda index: tf.numpy_function(get, [index], tf.float32)).prefetch(16)",
    "in a thread": "tfinput.from_sequence(items, batch_size=4).repeated.prefetch(2)",
    "in a call of TensorFlow's": "tf.data.Dataset.range(1000).map(lambda index: tf.numpy_function(call, [index], tf.float32)).prefetch(16)",
}


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_collection_in_a_thread_that_the_iterator_waits_for_does_not_end_all_collections(dataset: str) -> None:
    script = SCRIPT.replace("DATASET", DATASETS[dataset]).replace("GENERATIONS", "[0, 1, 2]")
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert ran.stdout == "goes on\n", ran.stderr[-3000:]


WITH_LOCKS = """
import faulthandler; faulthandler.dump_traceback_later(100, exit=True)
import gc, signal, sys, threading, time, weakref

thread, generation, collections = "", 0, 0

def collect(frame, event, argument):
    # Most calls of these modules by tfinput are made with a lock held.
    global collections
    if event == "call" and threading.current_thread().name == thread:
        code = frame.f_code
        if code.co_name != "__enter__" and code.co_filename in (threading.__file__, signal.__file__):
            collections += 1
            gc.collect(generation)

threading.setprofile(collect)
import numpy as np
import tfinput

class Items:
    def __len__(self):
        return 100_000
    def __getitem__(self, index):
        time.sleep(0.002)  # so that it is under way for some time
        return np.float32(index)

def numbers():
    yield from map(Items().__getitem__, range(100_000))

class Loop:
    def __init__(self, **kept):
        self.me, self.kept = self, kept

def wait(found):
    for _ in range(400):
        if found():
            return
        time.sleep(0.05)
    raise AssertionError("nothing is collected any more, or the threads do not end")

def attempt(feed, name):
    global thread, collections
    iterator = iter(feed.repeated)
    assert next(iterator) is not None
    loop = Loop(iterator=iterator)
    gone = weakref.ref(loop)
    collections, thread = 0, name
    del loop, iterator
    signal.raise_signal(signal.SIGUSR1)  # The thread that watches for Ctrl-C looks at every signal.
    wait(lambda: collections)
    time.sleep(0.3)
    thread = ""
    other = weakref.ref(Loop())
    wait(lambda: gc.collect() >= 0 and gone() is other() is None)

signal.signal(signal.SIGUSR1, lambda *_: None)
for generation in 0, 2:
    attempt(tfinput.from_generator(numbers, size=100_000, batch_size=8, shuffle=False), "tfinput-generator")
    attempt(tfinput.from_generator(numbers, size=100_000, batch_size=8, shuffle=False), "tfinput-interrupts")
    attempt(tfinput.from_sequence(Items(), batch_size=8), "tfinput-elements")
    attempt(tfinput.from_sequence(Items(), batch_size=8, workers=1), "tfinput-workers")
wait(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("tfinput-")])
print("goes on")
"""


def test_a_collection_where_a_thread_of_tfinputs_holds_a_lock_does_not_end_all_collections() -> None:
    ran = subprocess.run([sys.executable, "-c", WITH_LOCKS], capture_output=True, text=True, timeout=120)
    assert ran.stdout == "goes on\n", ran.stderr[-3000:]


class Loop:
    def __init__(self) -> None:
        self.me = self


def kept_away_from(thread_work: Callable[[], None]) -> threading.Thread:
    holder = Loop()
    gc_deferral.needed_by(holder)
    thread = threading.Thread(target=gc_deferral.without_collection(thread_work))
    thread.start()
    thread.join()
    holder.me = holder  # It lives until here.
    return thread


def test_what_is_put_off_is_made_up_for_and_nothing_stays_hidden() -> None:
    gone, found, kept = threading.Event(), [], []

    def work() -> None:
        kept.append(weakref.ref(Loop(), lambda _: gone.set()))
        found.extend([gc.collect(), gc.get_freeze_count()])

    kept_away_from(work)
    assert found == [0, 0]
    assert gone.wait(30)


def test_what_is_put_off_of_the_newest_objects_is_made_up_for_together() -> None:
    gone, found, kept = threading.Event(), [], []

    def work() -> None:
        kept.append(weakref.ref(Loop(), lambda _: gone.set()))
        gc_deferral.without_collection(lambda: None)()  # changes nothing for the rest
        # Where another thread collects, one does nothing and is not put off: so more than are due.
        for _ in range(10 * gc_deferral.DUE):
            found.append(gc.collect(0))
            time.sleep(0.001)

    thread = kept_away_from(work)
    assert found == [0] * 10 * gc_deferral.DUE
    assert gone.wait(30)
    assert thread.ident not in gc_deferral._waited_for
