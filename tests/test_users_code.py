"""The user's code is left alone: workers get copies, and what the user's classes and objects are here stays the user's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faulty
import numpy as np
import pytest
import tensorflow as tf

import tfinput
from tfinput.errors import WorkerDied

pytestmark = pytest.mark.timeout(290)
# What runs as a script, and in the cells of a notebook: both are `__main__`.
CODE = """
import os
from typing import NamedTuple
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
import tfinput

scale, offset = 2.0, 100.0
shift = lambda index: np.float32(index + offset)

class Row(NamedTuple):
    x: np.ndarray
    def scaled(self):
        return self.x * scale

class OwnError(Exception):
    def text(self):
        return scale

class Base:
    def factor(self):
        return scale

class Items(Base):
    def __len__(self):
        return 12
    def __getitem__(self, index):
        self.file = open(os.devnull)  # Opened with the first item, and no worker could be given it.
        if index == bad:
            raise OwnError("bad")
        return Row(np.float32(index * self.factor())), shift(index) if target is None else target(index)

class Numbers:
    def __init__(self, shard):
        self.shard = shard
    def __iter__(self):
        return (np.float32(scale * number) for number in range(self.shard, 12, 2) if fine(number))

def fine(number):
    if number == bad:
        raise OwnError("bad")
    return True

def numbers(shard):
    yield from Numbers(shard)

bad, target = -1, None
classes = (Row, OwnError, Base, Items, Numbers)

def methods():
    # Pickling keeps a list of slots in each class.
    return {kind: {name: id(value) for name, value in vars(kind).items() if name != "__slotnames__"} for kind in classes}

def rows(feed):
    return sorted(pair for x, y in feed.examples("train") for pair in zip(x.x.numpy().tolist(), y.numpy().tolist()))

def values(feed):
    return [float(value) for batch in feed.validation for value in batch]

def expected():
    return [(index * scale, index + offset) for index in range(12)]

def caught(read):
    try:
        read()
    except Exception as error:
        return str(error)

def sequence(**options):
    return tfinput.from_sequence(items, batch_size=4, workers=2, shuffle=False, **options)

def generator():
    return tfinput.from_generator(numbers, size=12, batch_size=4, workers=2, validation_data=numbers)
"""
STEPS = [
    """
before, items = methods(), Items()
feed = sequence()
assert rows(feed) == expected(), rows(feed)
assert values(generator()) == [2.0 * number for number in range(12)]
assert methods() == before and vars(items) == {}
""",
    """
scale, offset = 5.0, 200.0  # as in a later cell
assert Items()[1] == (Row(5.0), 201.0) and Row(3.0).scaled() == 15.0 and OwnError().text() == 5.0
assert rows(sequence()) == expected(), rows(sequence())
assert rows(feed) == [(index * 2.0, index + 100.0) for index in range(12)]  # It has the copy of its time.
assert values(generator()) == [5.0 * number for number in range(12)]
""",
    """
Items.__getitem__ = lambda self, index: (Row(np.float32(-index)), np.float32(index))
before = methods()
assert rows(sequence()) == sorted((-float(index), float(index)) for index in range(12))
assert methods() == before
del Items.__getitem__
def __getitem__(self, index):
    self.file = open(os.devnull)
    if index == bad:
        raise OwnError("bad")
    return Row(np.float32(index * self.factor())), shift(index) if target is None else target(index)
Items.__getitem__ = __getitem__
""",
    """
before, target = methods(), lambda index: np.int64(index % 3)
split = sequence(validation_split=3, stratify=True, batch_preprocess=lambda x, y: (x, y))
assert sorted(int(label) for batch in split.validation for label in batch[1]) == [0, 1, 2]
assert methods() == before and vars(items) == {}
target = None
""",
    """
for bad in (0, 5, 11):
    said = caught(lambda: rows(sequence()))
    assert f"tfinput: Items, item {bad}: OwnError: bad" in said, said
    said = caught(lambda: values(generator()))
    assert f"element #{bad}: OwnError: bad" in said, said
bad = -1
scale = 7.0
assert methods() == before and vars(items) == {}
assert OwnError().text() == Row(1.0).scaled() == Items()[1][0].x == 7.0
print("left alone")
""",
]


def test_a_script_goes_on_with_its_own_classes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(CODE + "".join(STEPS))
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=280, check=False, env=environment())
    assert ran.stdout == "left alone\n", ran.stderr[-3000:]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(tfinput.__file__).parents[1])}


def test_a_notebook_goes_on_with_its_own_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = pytest.importorskip("jupyter_client.manager")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    kernel, client = manager.start_new_kernel(kernel_name="python3")
    try:
        for cell in [CODE, *STEPS]:
            answer = client.execute_interactive(cell, timeout=250, output_hook=lambda _: None)["content"]
            assert answer["status"] == "ok", "\n".join(answer["traceback"])
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


RAISED = [fault for fault in faulty.ERRORS if fault != "out of memory"]
ELEMENTS = {
    "items": lambda items, workers: tfinput.from_sequence(items, batch_size=8, shuffle=False, workers=workers),
    "a generator": lambda items, workers: tfinput.from_generator(
        _shards(items) if workers else lambda: (items[index] for index in range(len(items))),
        size=len(items),
        batch_size=8,
        shuffle=False,
        workers=workers,
    ),
}


def _shards(items: Any) -> Callable[[int], Iterator[Any]]:
    def shard(number: int) -> Iterator[Any]:
        yield from (items[index] for index in range(number, len(items), 2))

    return shard


def read(build: Callable[[Any, int], Any], items: faulty.Items, workers: int) -> None:
    feed = build(items, workers)
    list(feed.train.take(feed.steps_per_epoch))


@pytest.mark.parametrize("kind", ELEMENTS)
@pytest.mark.parametrize("workers", [0, 2])
def test_whatever_an_element_raises_is_told_with_its_place(kind: str, workers: int) -> None:
    size = 24
    for fault in RAISED:
        said = faulty.ERRORS[fault]
        if kind == "a generator" and (said.startswith("StopIteration") or fault in ("an error that cannot be shown", "unpicklable result")):
            continue  # Python makes another error of it, and `str` of it fails in any case.
        for place in (0, 11, size - 1):
            if fault == "an interrupt" and (place, workers) == (0, 0):
                continue  # below
            with pytest.raises((tf.errors.OpError, ValueError, TypeError)) as caught:
                read(ELEMENTS[kind], faulty.Items(size, fault, place), workers)
            name = f"item {place}" if kind == "items" else f"element #{place}"
            lines = [line for line in str(caught.value).splitlines() if "tfinput: " in line]
            assert f"{name}" in lines[0], (fault, place, lines)
            assert said in lines[0], (fault, place, lines)


def test_ctrl_c_in_the_first_item_stays_one_and_names_it() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        tfinput.from_sequence(faulty.Items(24, "an interrupt", 0))
    assert caught.value.__notes__ == ["tfinput: Items, item 0"]


@pytest.mark.parametrize("fault", faulty.DEATHS)
def test_a_first_item_that_kills_its_process_is_named(fault: str) -> None:
    with pytest.raises(WorkerDied, match=rf"^tfinput: a worker died \({faulty.DEATHS[fault]}.*\) on Items, item 0\. Check the element"):
        tfinput.from_sequence(faulty.Items(24, fault, 0), workers=2)


def test_a_first_item_that_hangs_is_given_up() -> None:
    with pytest.raises(ValueError, match=r"(?s)Items, item 0: expected an element within 0.5 s, got none.*faulty\.py"):
        tfinput.from_sequence(faulty.Items(24, "sleep", 0), workers=2, item_timeout=0.5)


def test_what_a_worker_cannot_load_is_told_at_the_call() -> None:
    class Here:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            return np.float32(index)

        def __reduce__(self) -> Any:
            return _only_here, (os.getpid(),)

    with pytest.raises(ValueError, match="workers for Here: expected data that a worker process can load, got RuntimeError: elsewhere"):
        tfinput.from_sequence(Here(), workers=2)


def _only_here(process: int) -> Any:
    if os.getpid() != process:
        raise RuntimeError("elsewhere")


def test_items_that_fail_together_are_named_together() -> None:
    class Together(faulty.Items):
        def __getitems__(self, indices: list[int]) -> list[Any]:
            return [self[index] for index in indices]

    feed = tfinput.from_sequence(Together(8, "raise", 5), batch_size=4, shuffle=False)
    with pytest.raises(tf.errors.OpError, match=r"tfinput: Together, one of the items \[4, 5, 6, 7\]: ValueError: bad 5"):
        list(feed.train.take(feed.steps_per_epoch))
