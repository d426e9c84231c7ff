"""An iterator that is garbage while its threads run Python: Python's collector ends it, and goes on collecting."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref

import pytest

from tfinput import garbage

SCRIPT = """
import faulthandler; faulthandler.dump_traceback_later(60, exit=True)
import gc, itertools, threading, time, weakref
import numpy as np
import tensorflow as tf
import tfinput
from tfinput import callback

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
    loop = Loop(iterator=iter(dataset))
    assert next(loop.kept["iterator"]) is not None
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
    "in a thread": "tfinput.from_sequence(items, batch_size=4).train.prefetch(2)",
    "in a call of TensorFlow's": "tf.data.Dataset.range(1000).map(lambda index: tf.numpy_function(call, [index], tf.float32)).prefetch(16)",
}


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_collection_in_a_thread_that_the_iterator_waits_for_does_not_end_all_collections(dataset: str) -> None:
    script = SCRIPT.replace("DATASET", DATASETS[dataset]).replace("GENERATIONS", "[0, 1, 2]")
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert ran.stdout == "goes on\n", ran.stderr[-3000:]


class Loop:
    def __init__(self) -> None:
        self.me = self


def test_what_is_put_off_is_made_up_for_and_nothing_stays_hidden() -> None:
    gone, found, kept = threading.Event(), [], []

    def work() -> None:
        kept.append(weakref.ref(Loop(), lambda _: gone.set()))
        found.extend([gc.collect(), gc.get_freeze_count()])

    thread = threading.Thread(target=garbage.waited_for(work, garbage.FULL))
    thread.start()
    thread.join()
    assert found == [0, 0]
    assert gone.wait(10)


def test_of_young_garbage_a_hundred_collections_are_made_up_for_by_one() -> None:
    gone, found, kept = threading.Event(), [], []

    def work() -> None:
        kept.append(weakref.ref(Loop(), lambda _: gone.set()))
        inner = garbage.waited_for(lambda: None, garbage.FULL)
        for _ in range(100):
            inner()  # changes nothing for the rest
            found.append(gc.collect(0))

    thread = threading.Thread(target=garbage.waited_for(work, garbage.YOUNGEST))
    thread.start()
    thread.join()
    assert found == [0] * 100
    assert gone.wait(10)
    assert thread.ident not in garbage._waited_for
