"""Nothing is waited for without end: what never ends is refused, what waits for training is handed on, and silence is told."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from identities import ids, shard_without_end

import tfinput
from tfinput.builders import _endings
from tfinput.material import rows
from tfinput.sources.python import generators
from tfinput.workers import generator_thread

X = np.arange(6, dtype="float32")


def as_keras_pages_show_it() -> Iterator[Any]:
    while True:
        for place in range(6):
            if place > 4:
                break
            yield place, place % 2


def with_a_file() -> Iterator[Any]:
    with io.BytesIO(b"abc") as file:
        while 1:
            yield file.read(1), 1


def helped() -> Iterator[Any]:
    yield from range(2000)
    yield from itertools.repeat(0)


def delegated() -> Iterator[Any]:
    yield from itertools.count()


def of(x: Any) -> Iterator[Any]:
    while True:

        def inner() -> Any:
            return x

        yield inner()


class Loader:
    def examples(self) -> Iterator[Any]:
        while True:
            yield from X

    __call__ = examples


NEVER: dict[str, Callable[[], Any]] = {
    "keras": as_keras_pages_show_it,
    "lambda": lambda: as_keras_pages_show_it(),
    "partial": functools.partial(of, 3),
    "file": with_a_file,
    "delegated": delegated,
    "method": Loader().examples,
    "object": Loader(),
    "count": itertools.count,
    "cycle": lambda: itertools.cycle(X),
    "expression": lambda: (number + 1 for number in itertools.count()),
    "map": lambda: map(float, enumerate_count()),
    "zip": lambda: zip(itertools.cycle(X), itertools.count(), strict=False),
}


def enumerate_count() -> Any:
    return (number for number, _ in enumerate(itertools.repeat(0)))


@pytest.mark.parametrize("name", NEVER)
def test_a_function_that_never_ends_is_refused_at_the_call(name: str) -> None:
    with pytest.raises(ValueError, match=r"expected a pass that ends, got .* Pass endless=True and size=10_000, the number of"):
        tfinput.from_generator(NEVER[name])
    said = r"tfinput: validation_data: expected a pass that ends, got .* Pass endless=True and \(function, 10_000\), the number of"
    with pytest.raises(ValueError, match=said):
        tfinput.from_generator(lambda: iter([next(iter(NEVER[name]()))]), validation_data=NEVER[name])


@pytest.mark.parametrize("name", sorted({*NEVER} - {"count", "cycle"}))
def test_the_iterator_of_such_a_function_is_refused_before_it_is_read(name: str) -> None:
    read = NEVER[name]()
    with pytest.raises(ValueError, match=r"expected an? (iterator|pass) that ends.*, got .* Pass endless=True and"):
        tfinput.from_generator(read)
    for subject in (NEVER[name], NEVER[name]()):
        assert tfinput.from_generator(subject, endless=True, size=10, batch_size=5).train_size == 10


def test_what_goes_on_without_end_later_is_refused_by_its_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators, "MOST", 5000)
    with pytest.raises(ValueError, match=r"expected a pass that ends, got [5-7],\d{3} examples in 0 s and no end. Pass endless=True and"):
        tfinput.from_generator(helped)
    with pytest.raises(ValueError, match=r"expected a pass that ends, got [5-7],\d{3} examples in 0 s and no end. Pass endless=True and"):
        tfinput.from_generator(Silent())
    with pytest.raises(ValueError, match=r"validation_data: expected a pass that ends, got .* endless=True and \(function, 10_000\)"):
        tfinput.from_generator(lambda: iter([1]), validation_data=Silent)
    assert tfinput.from_generator(lambda: iter(range(6000)), size=6000).train_size == 6000


class Silent:
    """An iterator that does not show that it never ends."""

    def __iter__(self) -> Silent:
        return self

    def __next__(self) -> int:
        return 1


def test_an_iterator_without_end_stops_at_a_share_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "free_bytes", lambda: 40e6)
    for element in (np.zeros(100_000), "x" * 100_000):

        class Large(Silent):
            def __next__(self, element: Any = element) -> Any:
                return element

        with pytest.raises(ValueError, match=r"expected an iterator that fits in memory, .* more than 10 MiB .* endless=True and size"):
            tfinput.from_generator(Large())


def test_shards_without_end_are_refused() -> None:
    with pytest.raises(ValueError, match="shard_without_end: expected a pass that ends, got `while True` without a break or a return"):
        tfinput.from_generator(shard_without_end, workers=1)


def returns() -> Iterator[Any]:
    left = iter(X)
    while True:
        try:
            value = next(left)
        except StopIteration:
            return
        yield value


def breaks() -> Iterator[Any]:
    place = 0
    while True:
        for _ in range(1):
            yield X[place]
        place += 1
        if place == 6:
            break


def breaks_in_a_case() -> Iterator[Any]:
    place = 0
    while True:
        match place:
            case 6:
                break
            case _:
                yield X[place]
                place += 1


def pickles() -> Iterator[Any]:
    file = io.BytesIO(b"".join(pickle.dumps(float(each)) for each in X))
    with contextlib.suppress(EOFError):
        while True:
            yield pickle.load(file)


def pickles_as_well() -> Iterator[Any]:
    file = io.BytesIO(b"".join(pickle.dumps(float(each)) for each in X))
    try:
        while True:
            yield pickle.load(file)
    except EOFError:
        pass


def sometimes() -> Iterator[Any]:
    if len(X) != 6:
        while True:
            yield 0
    yield from X


def beside() -> Iterator[Any]:
    numbers = itertools.count()

    def other() -> Iterator[Any]:
        while True:
            yield 0

    for value, _, _ in zip(X, numbers, other(), strict=False):
        yield value


@pytest.mark.parametrize("examples", [returns, breaks, breaks_in_a_case, pickles, pickles_as_well, sometimes, beside])
def test_what_ends_is_counted(examples: Any) -> None:
    feed = tfinput.from_generator(examples, batch_size=6, shuffle=False)
    assert ids(feed.examples()) == [[0, 1, 2, 3, 4, 5]]
    assert _endings.never(examples()) == ""


# Live generators.


@pytest.mark.parametrize("kind", ["examples", "batches", "text", "lengths"])
def test_a_generator_that_waits_for_each_training_step_gets_it(kind: str) -> None:
    trained = threading.Semaphore(0)

    def examples() -> Iterator[Any]:
        for number in itertools.count():
            if number and number % 4 == 0 and not trained.acquire(timeout=60):
                raise TimeoutError
            single = {"text": f"{number:03d}", "lengths": np.full(1 + number % 3, number)}.get(kind, number)
            yield np.arange(4 * number, 4 * number + 4) if kind == "batches" else single

    def batches() -> Iterator[Any]:
        for number in itertools.count():
            if number and not trained.acquire(timeout=60):
                raise TimeoutError
            yield np.arange(4 * number, 4 * number + 4)

    subject = batches if kind == "batches" else examples
    options: Any = {"batched": kind == "batches", "ragged": kind == "lengths", "shuffle": False, "batch_size": 4}
    feed = tfinput.from_generator(subject, size=1000, endless=True, **options)
    seen = []
    for batch in feed.train.take(6):
        seen += [int(np.ravel(row)[0]) for row in (batch.to_list() if kind == "lengths" else batch.numpy())]
        trained.release()
    assert seen == list(range(24))


def test_fit_goes_on_with_a_generator_that_waits_for_each_step() -> None:
    trained = threading.Semaphore(0)

    def examples() -> Iterator[Any]:
        for number in range(12):
            if number and number % 4 == 0 and not trained.acquire(timeout=60):
                raise TimeoutError
            yield np.full(2, number, "float32"), np.float32(number)

    feed = tfinput.from_generator(examples, size=12, batch_size=4, shuffle=False)
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    step = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: trained.release())
    assert len(model.fit(**feed.fit_args(), epochs=1, verbose=0, callbacks=[step]).history["loss"]) == 1


def test_a_pass_that_has_given_all_and_does_not_end_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator_thread, "LAST_SECONDS", 0.5)
    go_on = threading.Event()

    def examples() -> Iterator[Any]:
        yield from range(8)
        go_on.wait(60)

    feed = tfinput.from_generator(examples, size=8, batch_size=4, shuffle=False)
    batches = iter(feed.train)
    assert [next(batches).numpy().tolist() for _ in range(2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    go_on.set()


def test_a_slow_pass_that_is_too_long_is_still_an_error() -> None:
    def examples() -> Iterator[Any]:
        for number in range(5):
            time.sleep(0.6 if number == 4 else 0)
            yield number

    feed = tfinput.from_generator(examples, size=4, batch_size=2)
    with pytest.raises(Exception, match=r"expected 4 examples in a pass .*, got 5. "):
        list(feed.examples())


def test_a_generator_that_waits_for_more_than_it_gave_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator_thread, "STILL_SECONDS", 0.5)
    go_on = threading.Event()

    def examples() -> Iterator[Any]:
        yield from range(3)
        go_on.wait(2)
        yield 3

    feed = tfinput.from_generator(examples, size=4, batch_size=4)
    with pytest.warns(RuntimeWarning, match=r"examples: 3 examples came, then none for 0.5 s.*(.|\n)*go_on.wait"):
        assert ids(feed.examples()) == [[0, 1, 2, 3]]


@pytest.mark.parametrize("came", [0, 3])
def test_counting_that_waits_is_told(monkeypatch: pytest.MonkeyPatch, came: int) -> None:
    monkeypatch.setattr(generators, "STILL_SECONDS", 0.3)

    def examples() -> Iterator[Any]:
        for number in range(5):
            time.sleep(1 if number == came else 0)
            yield number

    with pytest.warns(RuntimeWarning, match=rf"examples: {came} examples came, then none for 0.3 s. Nothing trains before"):
        assert tfinput.from_generator(examples).train_size == 5


LEAVING = """
import faulthandler, itertools, os, signal, sys, threading, time
faulthandler.dump_traceback_later(100, exit=True)
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np, tensorflow as tf, tfinput

def examples():
    yield from range(int(sys.argv[2]))
    threading.Event().wait(10**6)

feed = tfinput.from_generator(examples, size=10**6, endless=True, batch_size=4, shuffle=False)
way = sys.argv[1]
if way == "interrupt":
    threading.Timer(6, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    iterator = iter(feed.train)
    print(next(iterator).numpy().tolist(), flush=True)
    if way == "interrupt":
        next(iterator)
    if way == "error":
        raise ValueError("mine")
    if way == "exit":
        sys.exit(0)
    if way == "delete":
        del iterator
    if way == "break":
        del iterator
        for batch in feed.train:
            break
except (KeyboardInterrupt, ValueError) as error:
    print(type(error).__name__, flush=True)
print("left", flush=True)
"""


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("break", ["left"]),
        ("delete", ["left"]),
        ("error", ["ValueError", "left"]),
        ("interrupt", ["KeyboardInterrupt", "left"]),
        ("exit", []),
    ],
)
def test_the_first_batch_arrives_and_everybody_can_leave(way: str, said: list[str]) -> None:
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", LEAVING, way, "4"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, "terminate called" in done.stderr) == (0, False), done.stderr
    assert done.stdout.split("\n")[:-1] == ["[0, 1, 2, 3]", *said], done.stderr
    assert time.monotonic() - begun < 90


# Windows.


def volumes() -> Iterator[Any]:
    for number in range(64):
        yield np.full((8, 1024, 1024), number, "float32")


def test_large_examples_get_a_window_by_free_memory_and_a_small_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 32 MiB each."""
    monkeypatch.setattr(rows, "free_bytes", lambda: float(40 << 30))
    assert "; shuffled among 32" in repr(tfinput.from_generator(volumes, size=64, batch_size=2))
    for free, window in ((5 << 30, 4), (1 << 30, 2), (0, 2)):
        monkeypatch.setattr(rows, "free_bytes", lambda free=free: float(free))
        with pytest.warns(UserWarning, match=f"volumes: large examples are shuffled among {window} only, for which there is memory. Pass"):
            feed = tfinput.from_generator(volumes, size=64, batch_size=2)
        assert f"; shuffled among {window}" in repr(feed)
        for options in ({"shuffle": False}, {"shuffle_window": window}):
            tfinput.from_generator(volumes, size=64, batch_size=2, **options)  # It was asked for: no warning.


def test_the_size_of_examples_whose_lengths_vary_is_that_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "free_bytes", lambda: float(8 << 30))
    feed = tfinput.from_generator(lambda: iter([np.zeros((2048, 1024))] * 2), size=100, ragged=True, batch_size=2)
    assert "shuffled among 16" in repr(feed)


def test_free_memory_is_known() -> None:
    assert 0 < rows.free_bytes() < 1 << 50
    assert rows.window(1000) == rows.WINDOW
    assert rows.window(64 << 20, by_memory=False) == 1
