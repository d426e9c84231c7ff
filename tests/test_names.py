"""Names of files that are no text, or break a line: they are read like any other, and told so that any terminal can print it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

import tfinput

NAMES = [b"a b", b"a[1]", b"a*", b"line\nbreak", b"bad\xff", "ü".encode()]
IDS = [ascii(name) for name in NAMES]
X = np.arange(12, dtype="float32").reshape(6, 2)


def write_hdf5(path: str) -> None:
    with h5py.File(os.fsencode(path), "w") as file:
        file["x"] = X


def write_records(path: str) -> None:
    with tf.io.TFRecordWriter(os.fsencode(path)) as writer:
        for row in X:
            writer.write(row.tobytes())


def write_table(path: str) -> None:
    with open(path, "wb") as file:
        pq.write_table(pa.table({"a": X[:, 0], "b": X[:, 1]}), file)


def parsed(record: Any) -> Any:
    return tf.io.decode_raw(record, tf.float32)


Write = Callable[[str], Any]
Read = Callable[..., tfinput.Feed]
KINDS: dict[str, tuple[str, Write, Read]] = {
    "npy": (".npy", lambda path: np.save(path, X), tfinput.from_arrays),
    "npz": (".npz", lambda path: np.savez(path, x=X), tfinput.from_arrays),
    "HDF5": (".h5", write_hdf5, tfinput.from_arrays),
    "CSV": (".csv", lambda path: np.savetxt(path, X, delimiter=",", header="a,b", comments=""), tfinput.from_csv),
    "Parquet": (".parquet", write_table, tfinput.from_parquet),
    "TFRecord": (".tfrecord", write_records, lambda path, **options: tfinput.from_tfrecords(path, parse=parsed, **options)),
    "text": (".txt", lambda path: Path(path).write_text("one\ntwo\nthree\n"), tfinput.from_text),
}


def told(use: Callable[[], Any]) -> str:
    with pytest.raises((ValueError, tf.errors.OpError)) as caught:
        use()
    str(caught.value).encode()
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES, ids=IDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_any_name_is_read_and_its_damage_is_told_in_one_line(
    kind: str, name: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ending, write, read = KINDS[kind]
    path = os.path.join(tmp_path, os.fsdecode(name) + ending)
    write(path)
    feed = read(path, batch_size=2, seed=0)
    assert sum(len(tf.nest.flatten(batch)[0]) for batch in feed.examples("train")) == (3 if kind == "text" else 6)
    capsys.readouterr().out.encode()
    Path(path).write_bytes(b"\xff")
    lines = [told(lambda: list(feed.examples("train")))] if kind in ("npy", "npz", "HDF5", "TFRecord") else []  # not in memory
    Path(path).unlink()  # An open HDF5 file is not read again.
    Path(path).write_bytes(b"\xff")
    lines.append(told(lambda: read(path, batch_size=2, seed=0)))
    shown = name.decode("utf-8", "backslashreplace").replace("\n", "\\n")
    assert all(shown + ending in line.splitlines()[0] for line in lines), lines


def test_an_empty_class_of_any_name_is_told(tmp_path: Path) -> None:
    for name in (b"a", b"bad\xff"):
        os.mkdir(os.path.join(os.fsencode(tmp_path), name))
    Image.new("RGB", (4, 4)).save(tmp_path / "a" / "one.png")
    code = "import sys, tfinput; tfinput.from_images(sys.argv[1], image_size=(4, 4), batch_size=1)"
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, env=strict, timeout=120)
    assert "1 empty class bad\\xff" in ran.stdout, ran.stderr[-2000:]
