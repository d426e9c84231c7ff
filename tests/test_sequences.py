"""`from_sequence`: the laws over Python objects, with and without worker processes."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import psutil
import pytest
import tensorflow as tf
from identities import Numbers, ids

import tfinput
from tfinput.workers import worker_group


@pytest.fixture(autouse=True)
def quick_to_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_group, "IDLE_SECONDS", 0.2)


@pytest.mark.parametrize(("size", "batch"), [(1, 1), (7, 3), (8, 4), (9, 2), (20, 6)])
def test_the_order_is_that_of_arrays(size: int, batch: int) -> None:
    options: Any = {"batch_size": batch, "seed": 5, "validation_split": size // 4 or None}
    feed = tfinput.from_sequence(Numbers(size), **options)
    arrays = tfinput.from_arrays(np.arange(size), **options)
    steps = feed.steps_per_epoch
    assert feed.steps_per_epoch == arrays.steps_per_epoch
    assert ids(feed.repeated, 3 * steps) == ids(arrays.repeated, 3 * steps)
    if size > 4:
        assert ids(feed.validation) == ids(arrays.validation)
        assert feed.validation.cardinality() == feed.validation_steps == arrays.validation_steps


def test_workers_change_nothing(tmp_path: Path) -> None:
    """Three epochs with 0, 1 and 2 workers; with augmentation; from any step on; and through a cache."""
    size, batch = 11, 4

    def noisy(x: Any, y: Any, seed: Any) -> Any:
        return tf.cast(x, tf.float64) + tf.random.stateless_uniform([], seed, dtype=tf.float64), y

    found = []
    for workers in (0, 1, 2):
        feed = tfinput.from_sequence(Numbers(size), batch_size=batch, workers=workers, augment=noisy, test_split=2)
        steps = feed.steps_per_epoch
        found.append(ids(feed.repeated, 3 * steps))
        if workers != 1:
            step = workers + 1  # in the midst of an epoch, and at the border of one
            assert ids(feed.at(step=step).repeated, steps) == found[0][step : step + steps]
            assert ids(feed.test) == [feed.indices["test"].tolist()]
    assert found[0] == found[1] == found[2]
    cached = tfinput.from_sequence(Numbers(size), batch_size=batch, workers=2, augment=noisy, test_split=2, cache=tmp_path)
    assert ids(cached.repeated, 3 * steps) == found[0]


def test_fit_sees_every_item_once_an_epoch_and_evaluate_is_exact() -> None:
    seen: list[int] = []

    class Recorded(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            def note(values: Any) -> Any:
                seen.extend(values[:, 0].astype(int).tolist())
                return values

            return tf.ensure_shape(tf.numpy_function(note, [x], tf.float32), x.shape)

    class Rows(Numbers):
        def __getitem__(self, index: int) -> Any:
            return np.full(2, index, np.float32), np.float32(index)

    feed = tfinput.from_sequence(Rows(14), batch_size=4, validation_split=3, workers=2)
    model = keras.Sequential([Recorded(), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=["mae"])
    model.fit(**feed.fit_args(), epochs=3, verbose=0)
    train, held = feed.indices["train"].tolist(), feed.indices["validation"].tolist()
    assert sorted(seen) == sorted(3 * (train + held))
    loss, error = model.evaluate(**feed.evaluate_args(), verbose=0)
    assert [loss, error] == pytest.approx([np.mean(np.square(held)), np.mean(held)])


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of three rows, and what Keras tells of epochs."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.heard, self.turn = size, [], 0

    def __len__(self) -> int:
        return -(-self.size // 3)

    def __getitem__(self, index: int) -> Any:
        if not hasattr(self, "elsewhere"):
            self.heard.append(index)
        rows = np.arange(3 * index, min(3 * index + 3, self.size))
        return rows + 100 * self.turn, rows.astype("float32")

    def on_epoch_begin(self) -> None:
        self.heard.append("begin")

    def on_epoch_end(self) -> None:
        self.heard.append("end")
        self.turn += 1


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pydataset_keeps_its_batches_and_hears_of_epochs_when_due(workers: int) -> None:
    items = Batches(10)
    feed = tfinput.from_sequence(items, workers=workers)
    assert (feed.train_size, feed.steps_per_epoch, feed.batch_size) == (10, 4, 3)
    assert repr(feed).startswith("Feed(Batches: train 10 in 4 steps of 3; seed=0")
    items.heard.clear()
    batches = ids(feed.repeated, 12)
    whole = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    for epoch in range(3):
        got = batches[4 * epoch : 4 * epoch + 4]
        assert sorted(got) == [[row + 100 * epoch for row in batch] for batch in whole]  # items have turned, in workers too
    turns = [what for what in items.heard if isinstance(what, str)]
    assert turns[:6] == ["begin", "end"] * 3
    if not workers:
        first = items.heard.index("end")
        assert sorted(items.heard[1:first]) == [0, 1, 2, 3]


def test_a_pydataset_asks_for_its_workers_and_takes_hooks_for_rows() -> None:
    feed = tfinput.from_sequence(Batches(10, workers=2, use_multiprocessing=True), preprocess=lambda x, y: (x * 2, y), validation_split=1)
    assert "2 workers" in repr(feed)
    held = feed.indices["validation"].item()
    assert ids(feed.validation) == [[2 * row for row in range(3 * held, min(3 * held + 3, 10))]]
    with pytest.raises(ValueError, match="batch_size: expected none for Batches, whose items are batches, got 8"):
        tfinput.from_sequence(Batches(10), batch_size=8)


def test_many_at_once_where_items_can() -> None:
    calls = []

    class Many(Numbers):
        def __getitems__(self, indices: list[int]) -> list[Any]:
            calls.append(indices)
            return [self[index] for index in indices]

    feed = tfinput.from_sequence(Many(8), batch_size=4)
    assert sorted(itertools.chain(*ids(feed.repeated, 2))) == list(range(8))
    assert all(len(call) == 4 for call in calls)


def test_items_of_every_kind() -> None:
    items = [({"b": [number, 2], "a": f"text {number}"}, (np.float16(number), b"\xff\x00"), True) for number in range(3)]
    feed = tfinput.from_sequence(items, shuffle=False, batch_size=2)
    x, (y, raw), weight = next(iter(feed.train))
    assert x["b"].numpy().tolist() == [[0, 2], [1, 2]]
    assert x["a"].numpy().tolist() == [b"text 0", b"text 1"]
    assert (y.dtype, raw.numpy().tolist(), weight.numpy().tolist()) == (tf.float16, [b"\xff\x00"] * 2, [True, True])
    torch = pytest.importorskip("torch")
    dataset = torch.utils.data.TensorDataset(torch.arange(6.0), torch.arange(6))
    assert sorted(itertools.chain(*ids(tfinput.from_sequence(dataset, batch_size=4).repeated, 2))) == [0, 1, 2, 3, 4, 5]


def test_stratify_and_class_weight_read_the_classes() -> None:
    feed = tfinput.from_sequence(Numbers(30), validation_split=6, stratify=True)
    assert np.bincount(feed.indices["validation"] % 3).tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("third", "said"),
    [
        ((np.zeros(3, "f"), 1), r"item 2\[0\]: expected float32\[2\], got float32\[3\]"),
        ((np.zeros(2), 1), None),
        ((np.full(2, 0.1), 1), r"item 2\[0\]: expected float32\[2\], got 0.1 \(float64\), which does not fit"),
        ((np.zeros(2, "f"), 0.7), r"item 2\[1\]: expected int64\[\], got 0.7 \(float64\), which does not fit"),
        ((np.zeros(2, "f"), None), r"item 2\[1\]: expected an array, a number or text, got None"),
        ((np.zeros(2, "f"),), r"item 2: expected an element like the first, \(float32\[2\], int64\[\]\), got"),
        (None, r"item 2: expected an element like the first"),
        ((np.zeros(2, "f"), "one"), r"item 2\[1\]: expected int64\[\], got text"),
    ],
)
def test_an_item_unlike_the_first_is_named_with_both_forms(third: Any, said: str | None) -> None:
    items = [(np.zeros(2, "f"), 0), (np.ones(2, "f"), 1), third]
    feed = tfinput.from_sequence(items, batch_size=3, shuffle=False)
    if said is None:
        assert next(iter(feed.train))[0].dtype == tf.float32  # the same values
        return
    with pytest.raises(tf.errors.OpError, match=f"tfinput: list, {said}"):
        next(iter(feed.train))


@pytest.mark.parametrize(
    ("subject", "options", "said"),
    [
        ([], {}, "list: expected at least one item, got none"),
        ((each for each in [1]), {}, "expected a sequence with __len__ and __getitem__.*from_generator"),
        ({"a": 1}, {}, "expected a sequence.*from_arrays"),
        ([1, 2], {"workers": -1}, "workers"),
        ([1, 2], {"item_timeout": 0}, "item_timeout: expected seconds above 0, or None, got 0"),
        ([(1, 2, 3, 4)] * 2, {}, r"item 0: expected x, \(x, y\) or \(x, y, sample_weight\), got a tuple of 4"),
        ([1, 2], {"worker": 2}, "Did you mean 'workers'"),
    ],
)
def test_bad_subjects_are_refused_at_the_call(subject: Any, options: Any, said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        tfinput.from_sequence(subject, **options)


def test_an_error_inside_fit_names_the_item_and_keeps_the_traceback() -> None:
    class Bad(Numbers):
        def __getitem__(self, index: int) -> Any:
            if index == 5:
                raise KeyError("no such thing")
            return np.zeros(2, "f"), np.float32(0)

    for workers in (0, 2):
        model = keras.Sequential([keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        with pytest.raises(tf.errors.OpError, match=r"(?s)tfinput: Bad, item 5: KeyError: 'no such thing'") as caught:
            model.fit(**tfinput.from_sequence(Bad(8), batch_size=2, workers=workers).fit_args(), verbose=0)
        assert "in __getitem__" in str(caught.value)


def test_nothing_is_left_after_a_break_or_an_error_in_a_callback() -> None:
    def stop(epoch: int, logs: Any) -> None:
        raise ZeroDivisionError

    class Rows(Numbers):
        def __getitem__(self, index: int) -> Any:
            return np.full(2, index, np.float32), np.float32(index)

    me = psutil.Process()
    next(iter(tf.data.Dataset.range(2).prefetch(1)))  # TensorFlow has opened what it keeps.
    feed = tfinput.from_sequence(Rows(1000), batch_size=4, workers=2)
    gc.collect()
    end = time.monotonic() + 5
    while me.children() and time.monotonic() < end:  # of other tests
        time.sleep(0.05)
    before = len(me.children()), me.num_fds()
    for _ in range(2):
        for _batch in feed.repeated:
            assert "2 workers (2 running, " in repr(feed)
            end = time.monotonic() + 5
            while "batches ahead" not in repr(feed) and time.monotonic() < end:
                time.sleep(0.01)
            assert "batches ahead" in repr(feed)
            break
        assert len(me.children()) == before[0] + 2
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with contextlib.suppress(ZeroDivisionError):
        model.fit(**feed.fit_args(), verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=stop)])
    del _batch
    gc.collect()
    tf.numpy_function(lambda: 0, [], tf.int64)  # TensorFlow lets the last batch go when it next calls Python.
    end = time.monotonic() + 5
    while (len(me.children()), me.num_fds()) > before and time.monotonic() < end:
        time.sleep(0.05)
    assert (len(me.children()), me.num_fds()) <= before


@pytest.mark.timeout(420)
def test_ctrl_c_reaches_the_user_and_leaves_nothing() -> None:
    """In a process of its own, while a thread or workers are busy or blocked, in fit and in a loop."""
    script = Path(__file__).parent / "interrupted.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=410, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    assert len(results) == 50
    for each in results:
        assert each["error"] == "KeyboardInterrupt", each
        assert each["seconds"] < 2, each
        assert each["children"] == 0, each
        assert each["threads"] == 0, each
        assert each["trained"], each


KERNEL = """
import os, threading, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np, tfinput

class Items:  # a class of the notebook
    def __len__(self):
        return 64
    def __getitem__(self, index):
        if index % 8 == 5:
            time.sleep(3)
        return np.full(4, index, "float32"), np.float32(index)

model = keras.Sequential([keras.layers.Dense(1)])
model.compile("sgd", "mse")
feed = tfinput.from_sequence(Items(), batch_size=8, workers={workers})
"""

FIT = """
try:
    model.fit(**feed.fit_args(), epochs=100, verbose=0)
except KeyboardInterrupt:
    stopped = time.time()
    raise
"""


def value(client: Any, name: str) -> str:
    for _ in range(50):
        told = client.execute("", user_expressions={name: name}, reply=True, timeout=30)["content"]
        if told["status"] == "ok":
            return str(told["user_expressions"][name]["data"]["text/plain"])
        time.sleep(0.1)  # Just after an error the kernel turns requests away.
    raise AssertionError(told)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_notebook_is_interrupted_at_once_and_can_train_again(workers: int) -> None:
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3")
    try:
        assert client.execute_interactive(KERNEL.replace("{workers}", str(workers)), timeout=120)["content"]["status"] == "ok"
        client.execute(FIT)
        time.sleep(4)
        started = time.time()
        manager.interrupt_kernel()
        assert client.get_shell_msg(timeout=30)["content"]["ename"] == "KeyboardInterrupt"
        # IPython's traceback takes a while after it.
        assert float(value(client, "stopped")) - started < 2
        again = "train, _ = feed\nx, y = next(iter(train))\nassert len(x) == 8"
        assert client.execute_interactive(again, timeout=60)["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


CANARY = """
import os, signal, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np

class Items(keras.utils.PyDataset):
    def __len__(self):
        return 20
    def __getitem__(self, index):
        if index == 7:
            print("killed", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return np.zeros((2, 4), "float32"), np.zeros(2, "float32")

model = keras.Sequential([keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(Items(workers=2, use_multiprocessing=True), shuffle=False, verbose=0)
"""


def test_canary_keras_waits_for_ever_for_a_killed_worker() -> None:
    """Why tfinput has workers of its own. When this fails, Keras has learned it, and the README may say so."""
    process = subprocess.Popen([sys.executable, "-c", CANARY], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "killed\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=8)
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.communicate()
