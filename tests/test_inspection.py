"""`python -m tfinput inspect`: what it says of folders and files, and its exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from pyarrow import parquet

from tfinput import __main__


def picture(path: Path, height: int, width: int) -> None:
    path.parent.mkdir(exist_ok=True)
    image = tf.zeros((height, width, 3), tf.uint8)
    encoded = tf.io.encode_png(image) if path.suffix == ".png" else tf.io.encode_jpeg(image)
    path.write_bytes(encoded.numpy())


def said(path: Path, capsys: pytest.CaptureFixture[str], code: int = 0) -> list[str]:
    assert __main__.main(["inspect", str(path)]) == code
    printed = capsys.readouterr()
    return (printed.err if code == 2 else printed.out).splitlines()


def test_a_folder_of_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in range(5):
        picture(tmp_path / "ab"[place % 2] / f"{place}.{'png' if place else 'jpg'}", 10 + place, 20)
    (tmp_path / "a" / "readme.txt").write_text("x")
    expected = [
        f"{tmp_path}: 5 images that can be read",
        "2 classes: a 3, b 2",
        "formats: PNG 4, JPEG 1",
        "sizes: 20 x 10 to 20 x 14 pixels (width x height)",
        "left out: 1 .txt files",
        "broken: none",
    ]
    assert said(tmp_path, capsys) == expected
    (tmp_path / "a" / "page.jpg").write_text("<html>")
    lines = said(tmp_path, capsys, 1)
    assert lines[-2:] == ["broken: 1", f"  {tmp_path}/a/page.jpg: HTML or XML"]
    cut = (tmp_path / "b" / "1.png").read_bytes()[:-20]
    (tmp_path / "b" / "cut.png").write_bytes(cut)  # Its size can be read, its pixels cannot.
    lines = said(tmp_path, capsys, 1)
    assert lines[:-3] == expected[:-1]
    assert lines[-3] == "broken: 2"


def test_folders_of_audio_and_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wav").mkdir()
    with wave.open(str(tmp_path / "wav" / "1.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\0" * 4000)
    lines = said(tmp_path / "wav", capsys)
    assert lines[1:] == ["rates: 8000 Hz, 1 channels 1", "lengths: 0.50 s", "broken: none"]
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "1.txt").write_text("four")
    assert said(tmp_path / "text", capsys)[1] == "sizes: 4 bytes"
    (tmp_path / "text" / "2.txt").write_text("seven..")
    assert said(tmp_path / "text", capsys)[1] == "sizes: 4 to 7 bytes"


def test_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,x\n2,y\n")
    assert said(tmp_path / "t.csv", capsys) == [f"{tmp_path}/t.csv: CSV, 2 examples", "  a: int64 ()", "  b: string ()", "broken: none"]
    parquet.write_table(pa.table({"a": [1.5, 2.5, 3.5]}), tmp_path / "p")
    assert said(tmp_path / "p", capsys)[:2] == [f"{tmp_path}/p: Parquet, 3 examples", "  a: float64 ()"]
    np.savez(tmp_path / "z.npz", x=np.zeros((3, 2)), y=np.arange(3))
    assert said(tmp_path / "z.npz", capsys)[1:3] == ["  x: float64 (2,)", "  y: int64 ()"]
    picture(tmp_path / "i.png", 3, 4)
    assert said(tmp_path / "i.png", capsys)[2] == "sizes: 4 x 3 pixels (width x height)"


def test_sizes_of_one_area_are_not_one_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place, (height, width) in enumerate([(10, 20), (20, 10), (10, 20)]):
        picture(tmp_path / "pictures" / f"{place}.png", height, width)
    assert "sizes: 10 x 20 to 20 x 10 pixels (width x height)" in said(tmp_path / "pictures", capsys)


def test_a_tfrecord_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r"
    value = tf.train.Feature(float_list=tf.train.FloatList(value=[1.0, 2.0]))
    row = tf.train.Example(features=tf.train.Features(feature={"x": value})).SerializeToString()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(3):
            writer.write(row)
    size = path.stat().st_size
    expected = [
        f"{path}: TFRecord, 3 records of {size} bytes in all, not compressed",
        "  x: float32, 2 in the first record",
        "broken: none",
    ]
    assert said(path, capsys) == expected
    os.truncate(path, size - 5)
    lines = said(path, capsys, 1)
    assert lines[0].startswith(f"{path}: TFRecord, 2 records")
    assert "record 2 at byte" in lines[-1]


def test_what_cannot_be_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = said(tmp_path / "none", capsys, 2)
    assert line == f"tfinput: {tmp_path}/none: expected a folder or a file, got nothing there. Check the path."
    (line,) = said(tmp_path, capsys, 2)
    assert "expected a folder of images, WAV or text files, got nothing" in line
    (tmp_path / "x.bin").write_bytes(b"what is this, then?")
    (line,) = said(tmp_path / "x.bin", capsys, 2)
    assert "expected" in line


def test_it_runs_as_a_command(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    command = [sys.executable, "-m", "tfinput", "inspect", str(tmp_path / "t.csv")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == f"{tmp_path}/t.csv: CSV, 1 examples"
