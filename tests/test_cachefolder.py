"""Writing a cache that was stopped: gone on from what is safely on disk, the same bytes as if it had never stopped."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfinput.engine import cache_folder

SIZE, STEP = 23, 4
TEXTS = np.array([b"%d" % number * (number % 4) for number in range(2 * SIZE)], object).reshape(SIZE, 2)
PARTS = [np.arange(SIZE * 3, dtype=np.float32).reshape(SIZE, 3), TEXTS, np.arange(SIZE, dtype=np.int64)]
SPECS = [tf.TensorSpec((None, *part.shape[1:]), tf.string if part.dtype == object else part.dtype) for part in PARTS]
NAMES = ["0.npy", "1.ends.npy", "1.text.npy", "2.npy"]
DEAD = 999_999_999


def batches(stop: int | None = None, asked: list[int] | None = None) -> Callable[[int], Iterator[Any]]:
    """The parts from an example on, a few at a time; the user interrupts before example `stop`."""

    def rows(start: int) -> Iterator[Any]:
        if asked is not None:
            asked.append(start)
        for first in range(start, SIZE, STEP):
            if stop is not None and first >= stop:
                raise KeyboardInterrupt
            yield [part[first : first + STEP] for part in PARTS]

    return rows


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    cache_folder.write(tmp_path / "w" / "c-1", SPECS, SIZE, batches())
    return content(tmp_path / "w" / "c-1")


def stopped(folder: Path, at: int) -> Path:
    with pytest.raises(KeyboardInterrupt):
        cache_folder.write(folder, SPECS, SIZE, batches(at))
    (left,) = folder.parent.iterdir()
    return left


def test_the_files_are_plain_arrays(whole: dict[str, bytes]) -> None:
    arrays = {name: np.load(io.BytesIO(whole[name])) for name in NAMES}
    assert set(whole) == {*NAMES, cache_folder.MANIFEST}
    assert np.array_equal(arrays["0.npy"], PARTS[0])
    assert np.array_equal(arrays["2.npy"], PARTS[2])
    texts, ends = bytes(arrays["1.text.npy"]), arrays["1.ends.npy"]
    assert (ends.dtype, ends.shape) == (np.int64, TEXTS.shape)
    starts = [0, *ends.reshape(-1)[:-1].tolist()]
    assert [texts[start:end] for start, end in zip(starts, ends.reshape(-1), strict=True)] == TEXTS.reshape(-1).tolist()


DAMAGES: dict[str, Any] = {
    "flipped": lambda folder, name: (folder / name).write_bytes((folder / name).read_bytes()[:-1] + b"\x7f"),
    "flipped header": lambda folder, name: (folder / name).write_bytes(b"\x92" + (folder / name).read_bytes()[1:]),
    "another length of the header": lambda folder, name: (folder / name).write_bytes(
        (folder / name).read_bytes()[:9] + b"\xff" + (folder / name).read_bytes()[10:]
    ),
    "cut": lambda folder, name: os.truncate(folder / name, 130),
    "cut in its header": lambda folder, name: os.truncate(folder / name, 9),
    "no file": lambda folder, name: (folder / name).unlink(),
    "one more file": lambda folder, name: (folder / f"more{name}").write_bytes((folder / name).read_bytes()),
    "no manifest": lambda folder, name: (folder / cache_folder.MANIFEST).unlink(),
    "bad manifest": lambda folder, name: os.truncate(folder / cache_folder.MANIFEST, 5),
    "empty manifest": lambda folder, name: (folder / cache_folder.MANIFEST).write_text('{"size": 9, "crc32": {}}'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_never_taken_for_whole(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "c-1"
    for name in NAMES:
        cache_folder.write(folder, SPECS, SIZE, batches())
        assert cache_folder.intact(folder)
        DAMAGES[damage](folder, name)
        assert not cache_folder.intact(folder)
        assert not folder.exists()


def test_no_flipped_bit_passes(tmp_path: Path, whole: dict[str, bytes]) -> None:
    folder = tmp_path / "c-1"
    for name, data in whole.items():
        for place in range(len(data)):
            folder.mkdir()
            for other, kept in whole.items():
                (folder / other).write_bytes(kept)
            (folder / name).write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
            if name == cache_folder.MANIFEST and cache_folder.intact(folder):  # The flipped bit says nothing about the files.
                assert {file.name: file.read_bytes() for file in folder.glob("*.npy")} == {each: whole[each] for each in NAMES}
                shutil.rmtree(folder)
            assert not cache_folder.intact(folder), (name, place)
            assert not folder.exists()


@pytest.mark.parametrize("tail", ["as it was", "longer", "cut in what was not noted"])
@pytest.mark.parametrize("at", range(0, SIZE + STEP, STEP))
def test_it_goes_on_where_it_was_stopped(
    tmp_path: Path, whole: dict[str, bytes], at: int, tail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_folder, "NOTE_SECONDS", -1.0)
    folder = tmp_path / "c" / "c-1"
    if at >= SIZE:
        cache_folder.write(folder, SPECS, SIZE, batches(at))
        assert content(folder) == whole
        return
    left = stopped(folder, at)
    noted = json.loads((left / cache_folder.NOTE).read_text())["rows"] if at else 0
    assert noted == at
    for name in NAMES if at else ():
        if tail == "longer":
            with open(left / name, "ab") as file:
                file.write(b"junk")
    if tail.startswith("cut") and at:
        note = json.loads((left / cache_folder.NOTE).read_text())
        short = at // STEP % len(NAMES)
        os.truncate(left / NAMES[short], note["nbytes"][short] - 1)
    asked: list[int] = []
    cache_folder.write(folder, SPECS, SIZE, batches(asked=asked))
    assert asked == [0 if tail.startswith("cut") else at]
    assert content(folder) == whole
    assert [each.name for each in folder.parent.iterdir()] == ["c-1"]


def test_what_was_not_noted_is_written_again(tmp_path: Path, whole: dict[str, bytes]) -> None:
    folder = tmp_path / "c" / "c-1"
    stopped(folder, 12)
    asked: list[int] = []
    cache_folder.write(folder, SPECS, SIZE, batches(asked=asked))
    assert asked == [0]
    assert content(folder) == whole


def test_only_what_a_dead_writer_of_the_same_cache_left_is_taken_over(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_folder, "NOTE_SECONDS", -1.0)
    folder = tmp_path / "c" / "c-1"
    left = stopped(folder, 8)
    host = socket.gethostname()
    names = [f".c-1.{host}.{os.getppid()}.0f.tmp", ".c-1.elsewhere.1.0f.tmp", f".c-2.{host}.{DEAD}.0f.tmp", f".c-1.{host}.{DEAD}.0f.tmp"]
    for name, starts in zip(names, [[0], [0], [0], [8]], strict=True):
        left = left.rename(left.parent / name)
        asked: list[int] = []
        cache_folder.write(folder, SPECS, SIZE, batches(asked=asked))
        assert asked == starts, name
        assert content(folder) == whole
        if starts == [0]:
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    assert [each.name for each in folder.parent.iterdir()] == ["c-1"]


def test_an_old_rest_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_folder, "NOTE_SECONDS", -1.0)
    left = stopped(tmp_path / "c" / "c-1", 8)
    long_ago = time.time() - cache_folder.STALE_SECONDS - 60
    os.utime(left / cache_folder.NOTE, (long_ago, long_ago))
    cache_folder.write(tmp_path / "c" / "c-2", SPECS, SIZE, batches())
    assert [each.name for each in (tmp_path / "c").iterdir()] == ["c-2"]


BUILD = """
import os, signal, sys
import numpy as np, tensorflow as tf, tfinput
from tfinput.engine import cache_folder as cachefolder
seen = []

def note(x):
    seen.append(int(x))
    if str(int(x)) == os.environ.get("KILL_AT"):  # no part of what the cache is named by
        os.kill(os.getpid(), signal.SIGKILL)
    return x * 2

def double(x):
    doubled = tf.ensure_shape(tf.numpy_function(note, [x], tf.int64), x.shape)
    return doubled, tf.strings.as_string(doubled)

def build(folder):
    return tfinput.from_arrays(np.arange(3000), preprocess=double, cache=folder, batch_size=100)
"""


def test_a_killed_writer_is_gone_on_from_by_another_process(tmp_path: Path) -> None:
    script = f"{BUILD}\ncachefolder.NOTE_SECONDS = -1.0\nbuild(sys.argv[1])"
    command = [sys.executable, "-c", script, str(tmp_path / "c")]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"KILL_AT": "2500"})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    here: dict[str, Any] = {"__name__": "__main__"}  # As in that script, so that the hook is the same.
    exec(BUILD, here)
    rows = list(itertools.chain(*(zip(*batch, strict=True) for batch in here["build"](tmp_path / "c").examples().as_numpy_iterator())))
    assert rows == [(number, b"%d" % number) for number in range(0, 6000, 2)]
    assert 0 < len(here["seen"]) <= 3000 - 256 * 2
    assert min(here["seen"]) == 3000 - len(here["seen"])
    assert len(list((tmp_path / "c").iterdir())) == 1


# Writers that are forked, so that many cost no more than one: each is a process of its own.
WRITERS = """
import os, pathlib, random, signal, sys, time
import numpy as np, tensorflow as tf
from tfinput.engine import cache_folder as cachefolder

folder, SIZE, STEP = pathlib.Path(sys.argv[1]) / "c-1", 4000, 50
TEXTS = np.array([b"%d" % number * (number % 9) for number in range(SIZE)], object)
PARTS = [np.arange(SIZE * 30, dtype=np.float32).reshape(SIZE, 30), TEXTS]
SPECS = [tf.TensorSpec((None, 30), tf.float32), tf.TensorSpec((None,), tf.string)]
cachefolder.NOTE_SECONDS = 0.01

def write(pause):
    def rows(start):
        for first in range(start, SIZE, STEP):
            time.sleep(pause)
            yield [part[first : first + STEP] for part in PARTS]
    cachefolder.write(folder, SPECS, SIZE, rows)

def forked(pause, begin):
    child = os.fork()
    if child:
        return child
    while time.monotonic() < begin:
        pass
    try:
        write(pause)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)

def content():
    return {file.name: file.read_bytes() for file in folder.iterdir()}

def removed():
    assert [each.name for each in folder.parent.iterdir()] == ["c-1"], list(folder.parent.iterdir())
    assert cachefolder.intact(folder)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()

write(0)
whole = content()
removed()
"""
KILLED = """
draws, killed, went_on = random.Random(0), 0, 0
while killed < 50:
    child = forked(0.001, 0)
    time.sleep(draws.uniform(0, 0.15))
    os.kill(child, signal.SIGKILL)
    killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    went_on += any((left / cachefolder.NOTE).exists() for left in folder.parent.glob(".*.tmp"))
    if draws.random() < 0.3 or folder.exists():
        write(0)
        assert content() == whole
        removed()
print(killed, went_on)
"""
TWO = """
for _ in range(20):
    begin = time.monotonic() + 0.02
    children = [forked(0.0002, begin) for _ in range(2)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert content() == whole
    removed()
print(20)
"""


def told(script: str, folder: Path) -> list[int]:
    run = subprocess.run([sys.executable, "-c", WRITERS + script, str(folder)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return [int(each) for each in run.stdout.split()]


def test_fifty_writers_killed_at_any_moment_leave_nothing_that_passes_for_whole(tmp_path: Path) -> None:
    killed, went_on = told(KILLED, tmp_path)
    assert killed == 50
    assert went_on >= 10


def test_two_writers_at_once_are_exact_twenty_times(tmp_path: Path) -> None:
    assert told(TWO, tmp_path) == [20]
