"""Writing a cache that was stopped: gone on from what is safely on disk, the same bytes as if it had never stopped."""

from __future__ import annotations

import json
import os
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

from tfinput import cachefolder

SIZE, STEP = 23, 4
PARTS = [np.arange(SIZE * 3, dtype=np.float32).reshape(SIZE, 3), np.arange(SIZE, dtype=np.int64)]
SPECS = [tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in PARTS]
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
    cachefolder.write(tmp_path / "w" / "c-1", SPECS, SIZE, batches())
    return content(tmp_path / "w" / "c-1")


def stopped(folder: Path, at: int) -> Path:
    with pytest.raises(KeyboardInterrupt):
        cachefolder.write(folder, SPECS, SIZE, batches(at))
    (left,) = folder.parent.iterdir()
    return left


@pytest.mark.parametrize("tail", ["as it was", "longer", "cut in what was not noted"])
@pytest.mark.parametrize("at", range(0, SIZE + STEP, STEP))
def test_it_goes_on_where_it_was_stopped(
    tmp_path: Path, whole: dict[str, bytes], at: int, tail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cachefolder, "NOTE_SECONDS", -1.0)
    folder = tmp_path / "c" / "c-1"
    if at >= SIZE:
        cachefolder.write(folder, SPECS, SIZE, batches(at))
        assert content(folder) == whole
        return
    left = stopped(folder, at)
    noted = json.loads((left / cachefolder.NOTE).read_text())["rows"] if at else 0
    assert noted == at
    for name in ("0.npy", "1.npy") if at else ():
        if tail == "longer":
            with open(left / name, "ab") as file:
                file.write(b"junk")
    if tail.startswith("cut") and at:
        note = json.loads((left / cachefolder.NOTE).read_text())
        os.truncate(left / "1.npy", note["nbytes"][1] - 1)
    asked: list[int] = []
    cachefolder.write(folder, SPECS, SIZE, batches(asked=asked))
    assert asked == [0 if tail.startswith("cut") else at]
    assert content(folder) == whole
    assert [each.name for each in folder.parent.iterdir()] == ["c-1"]


def test_what_was_not_noted_is_written_again(tmp_path: Path, whole: dict[str, bytes]) -> None:
    folder = tmp_path / "c" / "c-1"
    stopped(folder, 12)
    asked: list[int] = []
    cachefolder.write(folder, SPECS, SIZE, batches(asked=asked))
    assert asked == [0]
    assert content(folder) == whole


def test_only_what_a_dead_writer_of_the_same_cache_left_is_taken_over(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cachefolder, "NOTE_SECONDS", -1.0)
    folder = tmp_path / "c" / "c-1"
    left = stopped(folder, 8)
    host = socket.gethostname()
    names = [f".c-1.{host}.{os.getppid()}.0f.tmp", ".c-1.elsewhere.1.0f.tmp", f".c-2.{host}.{DEAD}.0f.tmp", f".c-1.{host}.{DEAD}.0f.tmp"]
    for name, starts in zip(names, [[0], [0], [0], [8]], strict=True):
        left = left.rename(left.parent / name)
        asked: list[int] = []
        cachefolder.write(folder, SPECS, SIZE, batches(asked=asked))
        assert asked == starts, name
        assert content(folder) == whole
        if starts == [0]:
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    assert [each.name for each in folder.parent.iterdir()] == ["c-1"]


def test_an_old_rest_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cachefolder, "NOTE_SECONDS", -1.0)
    left = stopped(tmp_path / "c" / "c-1", 8)
    long_ago = time.time() - cachefolder.KEPT_SECONDS - 60
    os.utime(left / cachefolder.NOTE, (long_ago, long_ago))
    cachefolder.write(tmp_path / "c" / "c-2", SPECS, SIZE, batches())
    assert [each.name for each in (tmp_path / "c").iterdir()] == ["c-2"]


CHILD = """
import os, signal, sys
import numpy as np, tensorflow as tf, tfinput
from tfinput import cachefolder
cachefolder.NOTE_SECONDS = -1.0
folder = sys.argv[1]
seen = []

def note(x):
    seen.append(int(x))
    if str(int(x)) == os.environ["KILL_AT"]:  # no part of what the cache is named by
        os.kill(os.getpid(), signal.SIGKILL)
    return x * 2

def double(x):
    return tf.ensure_shape(tf.numpy_function(note, [x], tf.int64), x.shape)

feed = tfinput.from_arrays(np.arange(3000), preprocess=double, cache=folder, batch_size=100)
rows = np.concatenate([batch for batch in feed.examples().as_numpy_iterator()])
assert rows.tolist() == list(range(0, 6000, 2))
print(len(seen), min(seen))
"""


def test_a_killed_writer_is_gone_on_from_by_another_process(tmp_path: Path) -> None:
    def run(at: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", CHILD, str(tmp_path / "c")]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"KILL_AT": str(at)})

    assert run(2500).returncode == -signal.SIGKILL
    done = run(-1)
    assert done.returncode == 0, done.stderr
    count, first = map(int, done.stdout.split())
    assert 0 < count <= 3000 - 256 * 2
    assert first == 3000 - count
    assert len(list((tmp_path / "c").iterdir())) == 1
