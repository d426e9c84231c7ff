"""What is wrong is named: files by their whole names, links that lead nowhere, empty files; and what is advised can be done."""

from __future__ import annotations

import datetime as dt
import os
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

import tfinput
from tfinput.errors import FileError, MissingFileError, short

DEEP = "/".join(["a folder with a rather long name"] * 5)
PNG = tf.io.encode_png(np.zeros((2, 2, 3), np.uint8)).numpy()


def wav(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WAV file of 16-bit samples of one channel, with these chunks behind its format."""
    form = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
    body = b"WAVE" + b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in ((b"fmt ", form), *chunks)
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def write_record(path: Path) -> Path:
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"one")
    return path


@pytest.mark.parametrize("form", [str, Path, os.fsencode])
@pytest.mark.parametrize("limit", [10, 30, 60, 120])
def test_a_path_is_cut_in_its_middle(form: Any, limit: int) -> None:
    name = "the name of the file itself, which is not cut.npy"
    found = short(form(f"/data/{DEEP}/{name}"), limit)
    assert name in found
    assert "..." in found
    assert "/dat" in found
    assert len(found) <= max(limit, len(name) + 20)


def test_what_is_no_path_is_cut_at_its_end() -> None:
    for value in (
        "word " * 30 + "and/or",
        "and / or " * 30,
        "x" * 50 + "/" + "y" * 400,
        "line\n/" * 40,
        list(range(100)),
        {"a/b": "c / " * 60},
    ):
        assert short(value, 40) == " ".join(repr(value).split())[:37] + "..."
    assert short("a/b.npy") == "'a/b.npy'"


def test_the_first_of_many_paths_is_named() -> None:
    found = short([f"/data/{DEEP}/{place}.txt" for place in range(12)])
    assert found.endswith("/0.txt', 12 in all]")
    assert found.startswith("['/data/a folder")
    for nest in ((["/data/" + DEEP + "/one.png"], [0]), {"left": [f"/data/{DEEP}/one.png"]}):
        assert re.fullmatch(r"a (tuple|dict) of '/data/a folder.*\.\.\./one\.png' and more", short(nest))


def test_a_missing_file_of_a_long_path_is_named(tmp_path: Path) -> None:
    missing = tmp_path / DEEP / "the file.npy"
    with pytest.raises(MissingFileError, match=r"\.\.\./the file\.npy'?"):
        tfinput.from_arrays(missing)
    with pytest.raises(ValueError, match=r"\.\.\./table\.xlsx'?\)?: expected a file that ends in one of"):
        tfinput.from_arrays(f"{tmp_path}/{DEEP}/table.xlsx")
    with pytest.raises(ValueError, match=r"got .*\.\.\./many\.txt'"):
        tfinput.from_text([f"{tmp_path}/{DEEP}/many.txt"], delimiter="\t")


SINGLE: dict[str, Any] = {
    "arrays": (tfinput.from_arrays, "x.npy"),
    "csv": (tfinput.from_csv, "x.csv"),
    "csv in a list": (lambda path: tfinput.from_csv([path]), "x.csv"),
    "csv by a pattern": (lambda path: tfinput.from_csv(os.path.dirname(path) + "/*.csv"), "x.csv"),
    "parquet": (tfinput.from_parquet, "x.parquet"),
    "records": (tfinput.from_tfrecords, "x.tfrecord"),
    "array records": (tfinput.from_tfrecords, "x.array_record"),
    "a folder of images": (tfinput.from_images, "x"),
    "images": (lambda path: tfinput.from_images([path]), "x.png"),
    "images with labels": (lambda path: tfinput.from_images(([path], [0])), "x.png"),
    "clips": (lambda path: tfinput.from_audio([path]), "x.wav"),
    "texts": (lambda path: tfinput.from_text([path]), "x.txt"),
    "lines": (tfinput.from_text, "x.txt"),
    "lines with labels": (lambda path: tfinput.from_text((path, [0, 1])), "x.txt"),
    "validation arrays": (lambda path: tfinput.from_arrays(np.arange(3), validation_data=path), "x.npy"),
}


@pytest.mark.parametrize("name", SINGLE)
def test_a_link_to_nothing_is_named_with_where_it_leads(tmp_path: Path, name: str) -> None:
    build, file = SINGLE[name]
    link = tmp_path / file
    link.symlink_to("gone/away")
    with pytest.raises(
        MissingFileError, match=rf"{file}'?: expected .*, got a link to gone/away, where nothing is\. Restore what it leads"
    ):
        build(str(link))
    link.unlink()
    with pytest.raises(FileNotFoundError, match=r"got (nothing there|no file there|no such file)\."):
        build(str(link))


FOLDERS: dict[str, Any] = {"images": (".png", PNG), "audio": (".wav", wav((b"data", b"\0\0"))), "text": (".txt", b"word")}


@pytest.mark.parametrize("kind", FOLDERS)
def test_links_to_nothing_in_folders_are_named(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    end, content = FOLDERS[kind]
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"fine{end}").write_bytes(content)
    (tmp_path / "cat" / f"broken{end}").symlink_to("nowhere")
    (tmp_path / "cow").symlink_to("no-such-class")
    build = getattr(tfinput, f"from_{kind}")
    assert build(tmp_path).train_size == 2
    told = capsys.readouterr().out
    assert f"Left out in {tmp_path}: 2 broken links.\n" in told
    assert sorted(re.search(r"Broken links in \S+: (.*)\.\n", told)[1].split(", ")) == [f"cat/broken{end}", "cow"]
    for name in ("cat", "dog"):
        (tmp_path / name / f"fine{end}").unlink()
    with pytest.raises(FileError, match=rf"at least one of the .*, got none \(2 broken links, .* there; broken links: .*cat/broken{end}"):
        build(tmp_path, verbose=False)


def test_links_to_nothing_among_parquet_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.parquet").symlink_to("nowhere")
    with pytest.raises(FileError, match=r"got none, but broken links: a\.parquet\."):
        tfinput.from_parquet(tmp_path)
    pq.write_table(pa.table({"a": [1.0]}), tmp_path / "b.parquet")
    tfinput.from_parquet(tmp_path)
    assert "Broken links: a.parquet.\n" in capsys.readouterr().out


def test_record_files_of_no_bytes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full, empty = write_record(tmp_path / "full.tfrecord"), tmp_path / "empty.tfrecord"
    empty.write_bytes(b"")
    for on_bad in ("raise", "skip"):
        for verbose in (True, False):
            feed = tfinput.from_tfrecords([full, empty], on_bad=on_bad, verbose=verbose)
            assert feed.skipped == {str(empty): "an empty file (0 bytes)"}
            assert (f"Skipped in {empty}: 'an empty file (0 bytes)'" in capsys.readouterr().out) == verbose
            assert "skipped broken files: 1" in repr(feed)
    with pytest.raises(FileError, match=rf"at least one record, got none in any file: {re.escape(str(empty))}\."):
        tfinput.from_tfrecords(empty)
    with pytest.raises(FileError, match=r"validation_data: expected at least one record, got none in any file: \S+empty\.tfrecord"):
        tfinput.from_tfrecords(full, validation_data=[empty])


def test_compressed_record_files_without_records_are_whole(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in "ab"]
    for path, count in zip(paths, (1, 0), strict=True):
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            for _ in range(count):
                writer.write(b"one")
    assert tfinput.from_tfrecords(paths, verbose=False).skipped == {}


ONE, TWO = np.arange(5, dtype="<i2").tobytes(), np.arange(100, 107, dtype="<i2").tobytes()
SECOND = {
    "a second run of samples": wav((b"data", ONE), (b"LIST", b"INFO"), (b"data", TWO)),
    "one after an empty one": wav((b"data", b""), (b"data", TWO)),
    "two files in one": wav((b"data", ONE)) + wav((b"data", TWO)),
    "two, of which one is empty": wav((b"data", ONE), (b"data", b"")),
}


@pytest.mark.parametrize("name", SECOND)
def test_a_second_run_of_samples_is_refused(tmp_path: Path, name: str) -> None:
    for file, content in (("fine.wav", wav((b"data", ONE), (b"LIST", b"INFO"))), ("bad.wav", SECOND[name])):
        (tmp_path / file).write_bytes(content)
    paths = [str(tmp_path / "fine.wav"), str(tmp_path / "bad.wav")]
    with pytest.raises(
        FileError, match=r"bad\.wav: expected .*, got a WAV with more samples in a second part of it \(a '(data|RIFF)' chunk"
    ):
        tfinput.from_audio(paths, verbose=False)
    feed = tfinput.from_audio(paths, on_bad="skip", verbose=False)
    assert list(feed.skipped) == [paths[1]]
    np.testing.assert_array_equal(next(iter(feed.examples()))[0, :, 0] * 2**15, np.arange(5))


@pytest.mark.parametrize(
    "address", ["gs://bucket/cache", "s3://b/c", "hdfs://host/c", "file:///tmp/c", "memory://c", Path("gs://bucket/c")]
)
def test_a_cache_at_an_address_is_refused_at_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: Any) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.npy"
    np.save(path, np.arange(4.0))
    for build in (lambda: tfinput.from_arrays(path, cache=address), lambda: tfinput.from_sequence([1.0, 2.0], cache=address)):
        with pytest.raises(
            ValueError, match=r"cache: expected 'memory' or a local folder, got the address '\w+:/.* Pass a folder of this machine"
        ):
            build()
    assert os.listdir(tmp_path) == ["x.npy"]


def test_a_cache_in_the_home_folder_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    np.save(tmp_path / "x.npy", np.arange(4.0))
    tfinput.from_arrays(tmp_path / "x.npy", cache="~/kept")
    assert len(os.listdir(tmp_path / "kept")) == 1


FILLS = [
    (None, r"Pass fill=\{'a': value\} or drop those rows\."),
    ({"b": 0}, r"Add 'a' to fill, which has \['b'\], or drop those rows\."),
    ("none", r"fill='none' is not a value that int64 holds: pass a dict, fill=\{'a': value, \.\.\.\}, or drop those rows\."),
    (0.5, r"fill=0\.5 is not a value that int64 holds: pass a dict, fill=\{'a': value, \.\.\.\}, or drop those rows\."),
]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("place", range(len(FILLS)))
def test_what_is_said_of_missing_values_fits_the_fill_that_was_passed(tmp_path: Path, kind: str, place: int) -> None:
    fill, message = FILLS[place]
    (tmp_path / "x.csv").write_text("a,b\n1,2\n,\n3,4\n")
    pq.write_table(pa.table({"a": [1, None, 3], "b": [2, 0, 4]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=rf"column 'a': expected a value \(int64\), got nothing\. {message}"):
        getattr(tfinput, f"from_{kind}")(tmp_path / f"x.{kind}", fill=fill, columns=["a", "b"], verbose=False)


def test_a_column_of_nothing_is_added_to_the_fill_that_was_passed(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.nulls(2), "b": [1, None]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"got none in any row\. Leave it out with columns=\[\.\.\.\], or add 'a' to fill\."):
        tfinput.from_parquet(tmp_path / "x.parquet", fill={"b": 0}, verbose=False)


LISTS = {
    "of a fixed size": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int64(), 2)),
    "of one length": pa.array([[1, 2], [3, 4], [5, 6]]),
    "large ones": pa.array([[1, 2], [3, 4], [5, 6]], pa.large_list(pa.int64())),
    "in chunks": pa.chunked_array([[[1, 2]], [[3, 4], [5, 6]]]),
    "cut out of more": pa.array([[9], [1, 2], [3, 4], [5, 6], [9]])[1:4],
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_one_length_are_vectors(tmp_path: Path, name: str) -> None:
    vectors = np.array([[1, 2], [3, 4], [5, 6]])
    column = LISTS[name]
    feed = tfinput.from_arrays({"v": column}, batch_size=3)
    np.testing.assert_array_equal(next(iter(feed.examples()))["v"], vectors)
    with pytest.raises(
        TypeError, match=r"x\['v'\]: expected a numeric column, got vectors of shape \(2,\)\. A table becomes one matrix; else pass"
    ):
        tfinput.from_arrays(pa.table({"v": column}))
    pq.write_table(pa.table({"v": column}), tmp_path / "x.parquet")
    if not name.endswith("size"):
        with pytest.raises(
            TypeError, match=r"whose lists have 2 each\. Store .*, column\.cast\(pyarrow\.list_\(column\.type\.value_type, 2\)\)"
        ):
            tfinput.from_parquet(tmp_path / "x.parquet", verbose=False)
        pq.write_table(pa.table({"v": column.cast(pa.list_(column.type.value_type, 2))}), tmp_path / "x.parquet")
    feed = tfinput.from_parquet(tmp_path / "x.parquet", batch_size=3, verbose=False)
    np.testing.assert_array_equal(next(iter(feed.examples()))["v"], vectors)


def test_rows_of_objects_are_stacked_where_they_have_one_length() -> None:
    rows = pd.Series([np.zeros(2), np.ones(2)])
    with pytest.raises(TypeError, match=r"Pass numpy\.stack\(list\(column\)\): rows of one length\."):
        tfinput.from_arrays(rows)
    assert tfinput.from_arrays(np.stack(list(rows))).element_spec.shape == (2, 2)
    with pytest.raises(TypeError, match=r"Pad its rows to one length, and pass numpy\.stack\(rows\)\."):
        tfinput.from_arrays(pd.Series([np.zeros(2), np.ones(3)]))


DATES: dict[str, Any] = {
    "dates": pd.Series(pd.date_range("2024", periods=5)),
    "dates in a zone": pd.Series(pd.date_range("2024", periods=5, tz="Asia/Tokyo")),
    "Python's dates": pd.Series([dt.date(2024, 1, 1 + place) for place in range(5)]),
}


@pytest.mark.parametrize("name", DATES)
def test_what_is_advised_of_dates_can_be_done(name: str) -> None:
    column = DATES[name]
    table = pd.DataFrame({"when": column, "value": np.arange(5.0)})
    for build in (tfinput.from_arrays, lambda x: tfinput.from_arrays({"t": x})):
        with pytest.raises(
            TypeError, match=r"\['when'\]: expected a numeric column, got .*pandas\.to_datetime\(column\)\.astype\('int64'\)"
        ):
            build(table)
    with pytest.raises(TypeError, match=r"astype\('int64'\)"):
        tfinput.from_arrays(column)
    made = pd.to_datetime(column).astype("int64")
    assert tfinput.from_arrays(table.assign(when=made)).element_spec.shape == (5, 2)
    with pytest.raises(TypeError, match=r"data\['when'\]: .* Windows are made of numbers") as caught:
        tfinput.from_timeseries(table, sequence_length=2)
    assert "dict" not in str(caught.value)
    assert tfinput.from_timeseries(table.assign(when=made), sequence_length=2).element_spec.shape == (4, 2, 2)


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC")])
def test_dates_in_arrow_have_their_own_advice(kind: Any) -> None:
    column = pa.array([1, 2, 3], pa.int32()).cast(pa.date32()).cast(kind)
    for x in (column, pa.table({"when": column}), pa.chunked_array([column])):
        with pytest.raises(
            TypeError, match=r"got a column of .* Convert it: numpy\.asarray\(column\)\.astype\('int64'\) counts its unit\."
        ):
            tfinput.from_arrays(x)
    assert np.asarray(column).astype("int64").dtype == np.int64


def test_fields_of_a_series_are_put_side_by_side() -> None:
    from numpy.lib.recfunctions import structured_to_unstructured

    fields = np.zeros(5, [("a", "f4"), ("b", "f4")])
    with pytest.raises(TypeError, match=r"numpy\.lib\.recfunctions\.structured_to_unstructured\(array\)\."):
        tfinput.from_timeseries(fields, sequence_length=2)
    assert tfinput.from_timeseries(structured_to_unstructured(fields), sequence_length=2).element_spec.shape == (4, 2, 2)
