"""The cache: the same values, made once; never stale, never half-written."""

from __future__ import annotations

import functools
import importlib
import itertools
import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from identities import ids
from PIL import Image

import tfinput
from tfinput.engine import cache_folder, fingerprints
from tfinput.errors import FileError

PLACES = ["memory", "folder"]


def place_of(where: str, folder: Path) -> Any:
    return where if where == "memory" else folder / "cache"


def counting(calls: list[int]) -> Any:
    """A hook that notes each example it is run for."""

    def preprocess(x: Any) -> Any:
        def note(value: Any) -> Any:
            calls.append(int(value))
            return value * 10

        return tf.ensure_shape(tf.py_function(note, [x], tf.int64), [])

    return preprocess


def stream(feed: tfinput.Feed, count: int) -> list[Any]:
    return [tf.nest.map_structure(lambda part: part.numpy().tolist(), batch) for batch in feed.repeated.take(count)]


@pytest.mark.floor
@pytest.mark.parametrize("where", PLACES)
def test_a_cached_hook_runs_once_per_example(where: str, tmp_path: Path) -> None:
    calls: list[int] = []
    feed = tfinput.from_arrays(np.arange(20), batch_size=7, preprocess=counting(calls), cache=place_of(where, tmp_path), validation_split=5)
    assert sorted(calls) == list(range(20))
    train = list(itertools.chain(*ids(feed.repeated, 3 * feed.steps_per_epoch)))
    held = list(itertools.chain(*ids(feed.validation)))
    assert sorted(train + 3 * held) == sorted(number * 10 for number in range(20) for _ in range(3))
    assert ids(feed.at(2).repeated, 1)
    assert sorted(calls) == list(range(20))


TEXTS = np.array([b"", b"a", "ä€😀".encode(), b"nul\0 in it", b"x" * 5000, b"\xff no text"], object)


@pytest.mark.parametrize("where", PLACES)
def test_a_cached_feed_equals_the_uncached_one(where: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = {"image": rng.integers(0, 255, (23, 4, 3), np.uint8), "n": np.arange(23), "text": rng.choice(TEXTS, (23, 2))}
    y = rng.normal(size=(23, 2)).astype("float32")

    def preprocess(x: Any, y: Any) -> Any:
        made = {"image": tf.cast(x["image"], tf.float32) / 255, "n": x["n"], "text": tf.strings.join([x["text"], "\0"])}
        return made, (y[0], tf.cast(y, tf.bfloat16), x["n"] > 3)

    def augment(x: Any, y: Any, seed: Any) -> Any:
        return x | {"image": x["image"] + tf.random.stateless_uniform([], seed)}, y

    def build(**more: Any) -> tfinput.Feed:
        return tfinput.from_arrays(
            x, y, batch_size=4, validation_split=6, test_data=(x, y), preprocess=preprocess, augment=augment, seed=3, **more
        )

    plain, *feeds = build(), build(cache=place_of(where, tmp_path))
    if where == "folder":
        feeds.append(build(cache=place_of(where, tmp_path)))
    expected = stream(plain, 3 * plain.steps_per_epoch)
    for feed in feeds:
        assert feed.element_spec == plain.element_spec
        assert stream(feed, 3 * plain.steps_per_epoch) == expected
        assert stream(feed.at(epoch=1, step=2), 4) == expected[7:11]
        for split in ("validation", "test", "train"):
            got, want = (list(each.examples(split)) for each in (feed, plain))
            for one, other in zip(got, want, strict=True):
                tf.nest.map_structure(lambda a, b: np.testing.assert_array_equal(a.numpy(), b.numpy()), one, other)


@pytest.mark.parametrize("where", PLACES)
def test_augmentation_after_a_cache_differs_from_epoch_to_epoch(where: str, tmp_path: Path) -> None:
    def augment(x: Any, seed: Any) -> Any:
        return x + tf.random.stateless_uniform([], seed, dtype=tf.float64)

    feed = tfinput.from_arrays(
        np.arange(10), batch_size=10, preprocess=lambda x: tf.cast(x, tf.float64), augment=augment, cache=place_of(where, tmp_path)
    )
    first, second = (np.sort(batch.numpy()) for batch in feed.repeated.take(2))
    assert np.floor(first).tolist() == np.floor(second).tolist() == list(range(10))
    assert not np.any(first == second)


@pytest.mark.parametrize("where", PLACES)
def test_cached_values_of_any_dtype_are_the_same_bits(where: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = {}
    for name in ("bfloat16", "float16", "bool", "uint64", "complex128", "int8"):
        dtype = np.dtype(getattr(ml_dtypes, name, name))
        x[name] = rng.integers(0, 2 if name == "bool" else 256, (9, 3, dtype.itemsize), np.uint8).view(dtype)[..., 0]

    def preprocess(x: Any) -> Any:
        return x, {name: part[0] for name, part in x.items()}

    feed = tfinput.from_arrays(x, preprocess=preprocess, cache=place_of(where, tmp_path))
    whole, first = next(iter(feed.examples("train")))
    for name, value in x.items():
        assert whole[name].dtype == tf.as_dtype(value.dtype)
        assert whole[name].numpy().tobytes() == value.tobytes()
        assert first[name].numpy().tobytes() == value[:, 0].tobytes()


@pytest.mark.parametrize("where", PLACES)
def test_text_is_kept_byte_for_byte_in_any_order(where: str, tmp_path: Path) -> None:
    texts = np.array([b"%d" % number * (number % 5) + b"\xff\0" * (number % 3) for number in range(700)], object)

    def preprocess(x: Any) -> Any:
        return tf.strings.join([x, "."]), tf.strings.length(x), tf.stack([x, ""])

    for _ in range(2):  # The second time it is read from what is there.
        feed = tfinput.from_arrays(texts, preprocess=preprocess, cache=place_of(where, tmp_path), batch_size=64, validation_split=0.3)
        order = list(itertools.chain(*ids(tfinput.from_arrays(np.arange(700), batch_size=64, validation_split=0.3).repeated, 8)))
        got = [part for batch in feed.repeated.take(8) for part in zip(*(part.numpy().tolist() for part in batch), strict=True)]
        assert got == [(texts[index] + b".", len(texts[index]), [texts[index], b""]) for index in order]
        held = [text for batch in feed.validation for text in batch[0].numpy().tolist()]
        assert held == [texts[index] + b"." for index in feed.indices["validation"]]
    if where == "folder":
        names = {path.name for path in only(tmp_path / "cache").iterdir()}
        assert names == {"0.ends.npy", "0.text.npy", "1.npy", "2.ends.npy", "2.text.npy", cache_folder.MANIFEST}
        assert bytes(np.load(only(tmp_path / "cache") / "0.text.npy")) == b"".join(text + b"." for text in texts)


def test_empty_texts_alone_and_texts_without_a_hook_are_kept_too(tmp_path: Path) -> None:
    feed = tfinput.from_arrays(np.array(["", ""]), preprocess=lambda x: x, cache=tmp_path)
    assert [batch.numpy().tolist() for batch in feed.examples()] == [[b"", b""]]
    np.save(tmp_path / "x.npy", np.array(["ä", "b"]))
    feed = tfinput.from_arrays(tmp_path / "x.npy", cache=tmp_path)
    os.truncate(tmp_path / "x.npy", 0)
    assert [batch.numpy().tolist() for batch in feed.examples()] == [["ä".encode(), b"b"]]


@pytest.mark.parametrize("where", PLACES)
def test_examples_of_no_fixed_shape_are_refused(where: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^tfinput: cache: expected examples of one shape, got shape \(None,\) from preprocess\. Give it"):
        tfinput.from_arrays(np.arange(3), preprocess=lambda x: tf.range(x), cache=place_of(where, tmp_path))


def made(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def times(factor: int, **more: Any) -> Any:
    def preprocess(x: Any) -> Any:
        return x * factor

    return preprocess


OFFSET = 1


def with_global(x: Any) -> Any:
    return x + OFFSET


def with_default(x: Any, by: int = 2) -> Any:
    return x + by


class Scaler:
    """A hook with state and a helper."""

    def __init__(self, by: int) -> None:
        self.by = by

    def helped(self, x: Any) -> Any:
        return x * self.by

    def __call__(self, x: Any) -> Any:
        return self.helped(x)


def test_a_cache_is_rebuilt_when_the_data_or_the_hook_have_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.arange(6)
    seen: list[set[str]] = []

    def build(data: Any, hook: Any, expected: list[int], new: bool) -> None:
        before = made(tmp_path / "c") if (tmp_path / "c").exists() else set()
        feed = tfinput.from_arrays(data, preprocess=hook, cache=tmp_path / "c")
        assert ids(feed.examples("train")) == [expected]
        assert bool(made(tmp_path / "c") - before) == new
        seen.append(made(tmp_path / "c"))

    build(x, times(2), [0, 2, 4, 6, 8, 10], True)
    build(x, times(2), [0, 2, 4, 6, 8, 10], False)
    build(x, times(3), [0, 3, 6, 9, 12, 15], True)
    build(x + 1, times(3), [3, 6, 9, 12, 15, 18], True)
    build(x, with_global, [1, 2, 3, 4, 5, 6], True)
    monkeypatch.setitem(globals(), "OFFSET", 5)
    build(x, with_global, [5, 6, 7, 8, 9, 10], True)
    build(x, Scaler(2), [0, 2, 4, 6, 8, 10], True)
    assert len(seen[-1]) == 6


def test_a_hook_that_was_changed_has_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [fingerprints.of(with_default), fingerprints.of(Scaler(2)), fingerprints.of(Scaler(3)), fingerprints.of(lambda x: x - 1)]
    assert len(set(before)) == 4
    assert fingerprints.of(Scaler(2)) == before[1]
    assert fingerprints.of(lambda x: x - 2) != before[3]
    monkeypatch.setattr(with_default, "__defaults__", (3,))
    monkeypatch.setattr(Scaler, "helped", lambda self, x: -x)
    assert fingerprints.of(with_default) != before[0]
    assert fingerprints.of(Scaler(2)) != before[1]


def test_a_file_is_cached_anew_when_it_has_changed(tmp_path: Path) -> None:
    def values() -> list[list[int]]:
        return ids(tfinput.from_arrays(tmp_path / "x.npy", preprocess=times(2), cache=tmp_path / "c").examples("train"))

    np.save(tmp_path / "x.npy", np.arange(4))
    assert values() == values() == [[0, 2, 4, 6]]
    assert len(made(tmp_path / "c")) == 1
    np.save(tmp_path / "x.npy", np.arange(4) + 1)
    assert values() == [[2, 4, 6, 8]]
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for start in (0, 2):
        feed = tfinput.from_arrays(mapped[start : start + 2], preprocess=times(2), cache=tmp_path / "c")
        assert ids(feed.examples("train")) == [[2 + 2 * start, 4 + 2 * start]]


@pytest.mark.parametrize("name", ["x.npy", "a.bmp", "x.tfrecord"])
def test_a_file_that_changed_is_told_by_more_than_its_size_and_time(tmp_path: Path, name: str) -> None:
    path = tmp_path / name

    def write(value: int) -> None:
        if name == "x.npy":
            np.save(path, np.full(100_000, value))
        elif name == "a.bmp":
            Image.new("L", (256, 256), value).save(path)
        else:
            with tf.io.TFRecordWriter(str(path)) as writer:
                for _ in range(5000):
                    writer.write(bytes([value]) * 20)

    def values() -> set[int]:
        how: dict[str, Any] = {"cache": tmp_path / "c", "batch_size": 10_000}
        if name == "x.npy":
            feed = tfinput.from_arrays(path, preprocess=times(1), **how)
        elif name == "a.bmp":
            feed = tfinput.from_images([path], image_size=(256, 256), dtype="uint8", verbose=False, **how)
        else:
            feed = tfinput.from_tfrecords(path, parse=first_byte, verbose=False, **how)
        return set(np.concatenate([np.ravel(batch) for batch in feed.examples("train").as_numpy_iterator()]).tolist())

    write(1)
    before = path.stat()
    middle = before.st_size // 2
    assert values() == values() == {1}
    write(2)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert values() == {2}
    if name != "x.tfrecord":  # One byte far from both ends; of a record, the checksum would tell.
        with open(path, "r+b") as file:
            file.seek(middle // 8 * 8 if name == "x.npy" else middle)
            file.write(b"\3")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert values() == {2, 3}


def first_byte(record: Any) -> Any:
    return tf.io.decode_raw(tf.strings.substr(record, 0, 1), tf.uint8)[0]


def test_files_without_a_hook_are_cached_too(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(9))
    feed = tfinput.from_arrays(tmp_path / "x.npy", cache="memory")
    os.truncate(tmp_path / "x.npy", 0)
    assert ids(feed.examples("train")) == [list(range(9))]


def hook_using(text: str, name: str = "hook", **space: Any) -> Any:
    """A function written in a cell of a notebook, say: in no module and no file."""
    space = {"tf": tf, "np": np, "__name__": "__main__", **space}
    exec(textwrap.dedent(text), space)
    return space[name]


PAIRS: dict[str, tuple[Any, Any]] = {
    "constants that run together": (lambda x: tf.reshape(x, (1, 23)), lambda x: tf.reshape(x, (12, 3))),
    "kinds of constants": (lambda x: x * 1, lambda x: x * 1.0),
    "true and one": (lambda x: (x, True), lambda x: (x, 1)),
    "signs of zero": (lambda x: x + 0.0, lambda x: x + -0.0),
    "operations": (lambda x: x + 1, lambda x: x - 1),
    "names": (lambda x: tf.sin(x), lambda x: tf.cos(x)),
    "NumPy numbers": (functools.partial(with_default, by=np.float32(1)), functools.partial(with_default, by=np.float32(2))),
    "paths": (functools.partial(with_default, by=Path("a")), functools.partial(with_default, by=Path("b"))),
    "arrays": (functools.partial(with_default, by=np.arange(3)), functools.partial(with_default, by=np.arange(3.0))),
    "tensors": (functools.partial(with_default, by=tf.constant(1)), functools.partial(with_default, by=tf.constant(2))),
    "dicts": (functools.partial(with_default, by={"a": 1}), functools.partial(with_default, by={"a": 2})),
    "sets": (functools.partial(with_default, by={"a", "b"}), functools.partial(with_default, by={"a", "c"})),
    "nested lists": (functools.partial(with_default, by=[[1], 2]), functools.partial(with_default, by=[[1, 2]])),
    "bound methods": ({1: 2}.get, {1: 3}.get),
    "functions of a library": (tf.image.flip_left_right, tf.image.flip_up_down),
    "ufuncs": (np.sin, np.cos),
    "tables": tuple(
        (lambda table: lambda x: table.lookup(x))(tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [value]), -1))
        for value in (1, 2)
    ),
    "layers": tuple((lambda layer: lambda x: layer(x))(keras.layers.Rescaling(scale)) for scale in (1.0, 2.0)),
    "vocabularies": tuple((lambda layer: lambda x: layer(x))(keras.layers.StringLookup(vocabulary=words)) for words in (["a"], ["b"])),
    "inner functions": (
        hook_using("def hook(x):\n  def inner(y): return y + 1\n  return inner(x)"),
        hook_using("def hook(x):\n  def inner(y): return y + 2\n  return inner(x)"),
    ),
    "functions behind functions": (
        hook_using("def inner(y): return y + 1\ndef hook(x): return inner(x)"),
        hook_using("def inner(y): return y + 2\ndef hook(x): return inner(x)"),
    ),
    "keyword defaults": (hook_using("def hook(x, *, by=1): return x + by"), hook_using("def hook(x, *, by=2): return x + by")),
    "methods": (
        hook_using("class Hook:\n  def a(self, x): return x\n  def __call__(self, x): return self.a(x)\nhook = Hook()"),
        hook_using("class Hook:\n  def a(self, x): return -x\n  def __call__(self, x): return self.a(x)\nhook = Hook()"),
    ),
    "properties": (
        hook_using("class Hook:\n  a = property(lambda self: 1)\n  def __call__(self, x): return x + self.a\nhook = Hook()"),
        hook_using("class Hook:\n  a = property(lambda self: 2)\n  def __call__(self, x): return x + self.a\nhook = Hook()"),
    ),
    "static methods": (
        hook_using("class Hook:\n  @staticmethod\n  def a(x): return x\ndef hook(x): return Hook.a(x)"),
        hook_using("class Hook:\n  @staticmethod\n  def a(x): return -x\ndef hook(x): return Hook.a(x)"),
    ),
    "parents": (
        hook_using("class P:\n  def __call__(self, x): return x\nclass Hook(P): pass\nhook = Hook()"),
        hook_using("class P:\n  def __call__(self, x): return -x\nclass Hook(P): pass\nhook = Hook()"),
    ),
    "decorated": (
        hook_using("@tf.autograph.experimental.do_not_convert\ndef hook(x): return x + 1"),
        hook_using("@tf.autograph.experimental.do_not_convert\ndef hook(x): return x + 2"),
    ),
    "tf.functions": (hook_using("@tf.function\ndef hook(x): return x + 1"), hook_using("@tf.function\ndef hook(x): return x + 2")),
}


@pytest.mark.parametrize("name", PAIRS)
def test_hooks_that_do_different_things_have_different_digests(name: str) -> None:
    first, second = PAIRS[name]
    assert fingerprints.of(first) != fingerprints.of(second)
    assert fingerprints.of(first) == fingerprints.of(first)


def test_hooks_that_do_the_same_have_one_digest() -> None:
    text = "import math\nBASE = [1, {2: 3}]\ndef inner(x): return x + math.pi\ndef hook(x, by=(1, 'a')): return inner(x) + BASE[0]"
    shifted = "\n\n\n" + text.replace("def inner", "\n# a remark\ndef inner")
    assert fingerprints.of(hook_using(text)) == fingerprints.of(hook_using(text)) == fingerprints.of(hook_using(shifted))
    recursive = "def hook(x): return x if x == 0 else hook(x - 1)"
    assert fingerprints.of(hook_using(recursive)) == fingerprints.of(hook_using(recursive))
    calls = hook_using("@tf.function\ndef hook(x): return x + 1")
    before = fingerprints.of(calls)
    calls(tf.constant(1))
    assert fingerprints.of(calls) == before


def test_an_edited_module_of_the_user_gives_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "helpers_of_a_user.py"
    file.write_text("def scale(x): return x * 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    helpers = importlib.import_module("helpers_of_a_user")
    hook = hook_using("def hook(x): return helpers.scale(x)", helpers=helpers)
    first = fingerprints.of(hook)
    assert fingerprints.of(hook) == first
    file.write_text("def scale(x): return x * 3\n")
    assert fingerprints.of(hook) != first


# Other processes

SCRIPT = """
import os, sys, time
import numpy as np, tensorflow as tf, tfinput
from tfinput.engine import pipeline
folder, mode = sys.argv[1:3]
real = pipeline.full_pass

def dying(source, members, size, settings):
    dataset = real(source, members, size, settings)
    if settings.preprocess is None:
        return dataset
    def rows():
        for place, batch in enumerate(dataset):
            if place == 10:
                os.kill(os.getpid(), 9)
            yield batch
    class Dying:
        element_spec = dataset.element_spec
        def __iter__(self):
            return rows()
    return Dying()

if mode == "die":
    pipeline.full_pass = dying
else:
    open(f"{folder}.ready", "w").close()
    while not os.path.exists(f"{folder}.start"):
        time.sleep(0.001)
"""
BUILD = """
import numpy as np, tensorflow as tf, tfinput

def triple(x):
    return x * 3, tf.strings.as_string(x)

def build(folder):
    return tfinput.from_arrays(np.arange(5000), batch_size=64, preprocess=triple, cache=folder)

def exact(feed):
    numbers, texts = (np.concatenate(part) for part in zip(*feed.examples("train").as_numpy_iterator()))
    return numbers.tolist() == list(range(0, 15000, 3)) and texts.tolist() == [b"%d" % number for number in range(5000)]
"""
FILES = {"0.npy", "1.ends.npy", "1.text.npy", cache_folder.MANIFEST}
here: dict[str, Any] = {"__name__": "__main__"}  # As in a script, so that other processes have the same functions.
exec(BUILD, here)


def process(folder: Path, mode: str) -> subprocess.Popen[str]:
    script = SCRIPT + BUILD + "print(exact(build(folder)))"
    return subprocess.Popen([sys.executable, "-c", script, str(folder), mode], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def only(folder: Path) -> Path:
    found = list(folder.iterdir())
    assert len(found) == 1
    return found[0]


def test_killed_writers_leave_nothing_two_at_once_are_exact_and_a_whole_cache_serves_other_processes(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    killed, other = process(folder, "die"), process(folder, "meet")
    killed.communicate(timeout=100)
    assert killed.returncode == -signal.SIGKILL
    left = only(folder)
    assert left.name.endswith(".tmp")
    assert not (left / cache_folder.MANIFEST).exists()
    while not (tmp_path / "c.ready").exists():
        assert other.poll() is None
        time.sleep(0.01)
    (tmp_path / "c.start").touch()
    assert here["exact"](here["build"](folder))
    told, error = other.communicate(timeout=100)
    assert told.strip() == "True", error[-3000:]
    states = {path.name: path.stat().st_mtime_ns for path in only(folder).iterdir()}  # What the killed one left is gone.
    assert set(states) == FILES
    assert here["exact"](here["build"](folder))
    assert {path.name: path.stat().st_mtime_ns for path in only(folder).iterdir()} == states  # not written again


def test_a_damaged_cache_is_written_again(tmp_path: Path) -> None:
    def values() -> list[Any]:
        feed = tfinput.from_arrays(np.arange(9), preprocess=lambda x: (x * 2, tf.strings.as_string(x)), cache=tmp_path)
        return [part.numpy().tolist() for part in next(iter(feed.examples("train")))]

    expected = values()
    written = only(tmp_path)
    whole = {path.name: path.read_bytes() for path in written.iterdir()}
    assert set(whole) == FILES
    (tmp_path / "stray.txt").write_text("not mine")
    for name in ("0.npy", "1.text.npy"):
        (written / name).write_bytes(whole[name][:-1] + b"\x7f")
        assert values() == expected
        assert {path.name: path.read_bytes() for path in written.iterdir()} == whole
    assert (tmp_path / "stray.txt").exists()


def test_what_a_living_writer_writes_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    feed = tfinput.from_arrays(np.arange(3), preprocess=times(5), cache=folder)
    assert feed.train_size == 3
    alive = folder / f".arrays-abc.{socket.gethostname()}.{os.getppid()}.0f.tmp"
    elsewhere = folder / ".arrays-abc.another-machine.999999999.0f.tmp"
    dead = folder / f".arrays-abc.{socket.gethostname()}.999999999.0f.tmp"
    for left in (alive, elsewhere, dead):
        left.mkdir()
    tfinput.from_arrays(np.arange(3), preprocess=times(6), cache=folder)
    assert (alive.exists(), elsewhere.exists(), dead.exists()) == (True, True, False)


def test_a_full_disk_is_told_with_path_and_bytes_and_nothing_is_left(tmp_path: Path) -> None:
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(FileError) as refused:
            here["build"](tmp_path / "c")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    expected = "expected room for 80000 bytes and those of the texts, got [Errno 27] File too large. Free some space"
    assert str(refused.value).startswith(f"tfinput: cache in {tmp_path / 'c'}: {expected}")
    assert list((tmp_path / "c").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=rf"^tfinput: cache in {tmp_path}/file: expected room for 24 bytes, got \[Errno") as refused:
        tfinput.from_arrays(np.arange(3), preprocess=times(2), cache=tmp_path / "file")
    assert isinstance(refused.value, ValueError)


def test_an_error_in_the_hook_leaves_nothing_behind(tmp_path: Path) -> None:
    def fails(x: Any) -> Any:
        tf.debugging.assert_less(x, tf.constant(5, tf.int64))
        return x

    with pytest.raises(tf.errors.OpError, match=r"preprocess failed in arrays, example 5"):
        tfinput.from_arrays(np.arange(9), preprocess=fails, cache=tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []
