"""Parquet files: Arrow's own values are the oracle; every dtype comes as it is, and what is missing or damaged is told."""

from __future__ import annotations

import datetime as dt
import decimal
import gc
import itertools
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from sklearn import datasets

import tfinput
from tfinput.errors import FileError
from tfinput.sources.tables import parquet, roles, table_source, table_streams


@pytest.fixture(params=["in memory", "streamed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(table_streams, "LEAST_WINDOW", 20)
    if request.param == "streamed in chunks":
        monkeypatch.setattr(table_source, "CHUNK_BYTES", 1)
        monkeypatch.setattr(table_source, "LEAST_ROWS", 3)
    else:
        monkeypatch.setattr(parquet, "PIECE", 1)
    return {"in_memory": request.param == "in memory", "verbose": False}


def written(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def rows_of(path: Path, fill: Any = None, as_matrix: bool = False) -> table_source.Rows:
    file = parquet.parquet_file(str(path))
    settled = roles.settled(str(path), file.schema.names, None, None, None, as_matrix)
    return table_source.Rows(parquet.ParquetTable("parquet", [file], settled.names, fill), settled)


def columns_of(rows: table_source.Rows) -> dict[str, Any]:
    """All columns as they come from a stream; as arrays in memory they must be the same."""
    source, whole = table_streams.streamed(rows), table_source.in_memory(rows)
    chunks = [chunk for piece in range(len(source.stream.counts)) for chunk in source.stream.open(tf.constant(piece, tf.int64))]
    examples = [source.read(chunk) for chunk in chunks]
    got = {name: np.concatenate([each[name].numpy() for each in examples]) for name in examples[0]}
    at_once = whole.read(tf.range(whole.size))
    for name, part in got.items():
        again = at_once[name].numpy()
        assert again.dtype == part.dtype
        assert again.tolist() == part.tolist() if part.dtype == object else again.tobytes() == part.tobytes()
        assert source.spec[name] == tf.TensorSpec(part.shape[1:], tf.string if part.dtype == object else part.dtype)
    return got


BIG = 2**60 + 1
NUMBERS = {name: np.array([0, 1, 100, 7, 3]).astype(name) for name in ("int8", "int16", "int32", "uint8", "uint16", "uint32")}
NUMBERS |= {"int64": np.array([BIG, -BIG, 2**63 - 1, -(2**63), 0]), "uint64": np.array([2**64 - 1, BIG, 0, 1, 2], np.uint64)}
NUMBERS |= {name: np.array([0.1, -0.0, np.inf, np.nan, 65504]).astype(name) for name in ("float16", "float32", "float64")}
NUMBERS |= {"bool": np.array([True, False, True, True, False])}
TEXTS = ["", "a", "é\n", "日本", "a\0b"]
ENCODED = [text.encode() for text in TEXTS]


@pytest.mark.parametrize("group", [2, 100])
def test_every_type_comes_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int) -> None:
    monkeypatch.setattr(parquet, "PIECE", 1)
    texts: dict[str, Any] = {
        "string": pa.array(TEXTS),
        "large": pa.array(TEXTS, pa.large_string()),
        "bytes": pa.array(ENCODED),
        "fixed bytes": pa.array([b"ab", b"\xff\0", b"  ", b"cd", b"ef"], pa.binary(2)),
        "category": pa.array(TEXTS).dictionary_encode(),
        "chunks": pa.chunked_array([TEXTS[:3], TEXTS[3:]]),
    }
    vectors = {
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(15, dtype=np.int16)), 3),
        "matrix": pa.FixedSizeListArray.from_arrays(pa.FixedSizeListArray.from_arrays(pa.array(np.arange(30.0)), 3), 2),
        "words": pa.FixedSizeListArray.from_arrays(pa.array(TEXTS + TEXTS), 2),
    }
    whole = {"whole decimal": pa.array([decimal.Decimal(each) for each in (1, 10**17, -3, 4, 5)], pa.decimal128(18, 0))}
    path = written(tmp_path / "x.parquet", NUMBERS | texts | vectors | whole, row_group_size=group)
    got = columns_of(rows_of(path))
    assert list(got) == [*NUMBERS, *texts, *vectors, *whole]
    for name, values in NUMBERS.items():
        assert got[name].dtype == values.dtype
        assert got[name].tobytes() == values.tobytes()
    for name, column in texts.items():
        expected = [each.encode() if isinstance(each, str) else each for each in column.to_pylist()]
        assert got[name].tolist() == expected
    assert got["vector"].tolist() == np.arange(15).reshape(5, 3).tolist()
    assert got["vector"].dtype == np.int16
    assert got["matrix"].tolist() == np.arange(30.0).reshape(5, 2, 3).tolist()
    assert got["words"].tolist() == np.array(ENCODED + ENCODED, object).reshape(5, 2).tolist()
    assert got["whole decimal"].tolist() == [1, 10**17, -3, 4, 5]


def test_missing_values_are_filled_and_wide_integers_stay_exact(tmp_path: Path) -> None:
    columns = {
        "i": pa.array([BIG, None, -BIG]),
        "u": pa.array([None, 2**64 - 1, 3], pa.uint64()),
        "f": pa.array([1.5, None, None]),
        "b": pa.array([None, True, None]),
        "t": pa.array(["x", None, ""]),
        "c": pa.array(["x", None, "y"]).dictionary_encode(),
        "n": pa.nulls(3),
        "v": pa.FixedSizeListArray.from_arrays(pa.array([1, None, 3, 4, 5, None]), 2),
    }
    fill = {"i": -1, "u": 2**63, "f": float("nan"), "b": False, "t": "none", "c": b"none", "n": 3, "v": 0}
    got = columns_of(rows_of(written(tmp_path / "x.parquet", columns), fill))
    assert got["i"].tolist() == [BIG, -1, -BIG]
    assert got["u"].tolist() == [2**63, 2**64 - 1, 3]
    np.testing.assert_array_equal(got["f"], [1.5, np.nan, np.nan])
    assert got["b"].tolist() == [False, True, False]
    assert got["t"].tolist() == [b"x", b"none", b""]
    assert got["c"].tolist() == [b"x", b"none", b"y"]
    assert got["n"].tolist() == [3, 3, 3]
    assert got["n"].dtype == np.int64
    assert got["v"].tolist() == [[1, 0], [3, 4], [5, 0]]


@pytest.mark.parametrize("way", ["in memory", "streamed", "streamed in chunks"], indirect=True)
def test_the_laws_hold_in_memory_and_streamed(tmp_path: Path, way: dict[str, Any]) -> None:
    size = 53
    numbers = np.arange(size)
    for place, part in enumerate(np.split(numbers, [10, 10, 41])):
        columns = {"t": [f"r{each}" for each in part], "i": part, "y": part % 5, "w": part + 0.5}
        written(tmp_path / f"{place}.parquet", {**columns, "t": pa.array(columns["t"], pa.string())}, row_group_size=4)
    feed = tfinput.from_parquet(tmp_path, label="y", weight="w", batch_size=8, validation_split=11, stratify=True, **way)
    steps = feed.steps_per_epoch
    batches = list(itertools.islice(feed.repeated, 3 * steps))
    for x, y, weight in batches:
        assert x["t"].numpy().tolist() == [f"r{each}".encode() for each in x["i"].numpy()]
        assert (y.numpy() == x["i"].numpy() % 5).all()
        assert (weight.numpy() == x["i"].numpy() + 0.5).all()
    seen = [x["i"].numpy().tolist() for x, *_ in batches]
    epochs = [sorted(itertools.chain(*seen[place : place + steps])) for place in (0, steps, 2 * steps)]
    held = list(itertools.chain(*(x["i"].numpy().tolist() for x, *_ in feed.validation)))
    assert epochs[0] == epochs[1] == epochs[2]
    assert sorted(epochs[0] + held) == list(range(size))
    assert np.abs(np.bincount(np.array(held) % 5) - 11 / 5).max() < 1
    assert held == sorted(held)
    assert seen[:steps] != seen[steps : 2 * steps]
    for start in (2, steps + 3):
        tail = [x["i"].numpy().tolist() for x, *_ in itertools.islice(feed.at(epoch=0, step=start).repeated, 4)]
        assert tail == seen[start : start + 4]


def test_a_matrix_has_the_common_dtype_of_its_columns(tmp_path: Path, way: dict[str, Any]) -> None:
    columns = {"a": np.array([1, 2], np.int16), "b": np.array([0.5, 0.25], np.float32), "c": np.array([True, False])}
    path = written(tmp_path / "x.parquet", columns)
    feed = tfinput.from_parquet(path, columns=["c", "b", "a"], as_matrix=True, **way)
    assert feed.element_spec == tf.TensorSpec([2, 3], tf.float32)
    assert next(iter(feed.examples("train"))).numpy().tolist() == [[1, 0.5, 1], [0, 0.25, 2]]


def test_real_tables_and_pandas_indices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = datasets.load_breast_cancer(as_frame=True).frame
    frame["kind"] = pd.Categorical(np.where(frame["target"] == 1, "benign", "malignant"))
    frame = frame.sort_values("mean radius")  # The index is no range then, and pandas stores it.
    frame.to_parquet(tmp_path / "x.parquet", row_group_size=100)
    feed = tfinput.from_parquet(tmp_path / "x.parquet", label="kind", batch_size=569)
    assert capsys.readouterr().out == (
        "Left out '__index_level_0__', which pandas writes for the index.\nFound 569 rows of 32 columns in 1 file.\n"
    )
    x, y = next(iter(feed.examples("train")))
    assert feed.class_names == ("benign", "malignant")
    assert y.numpy().tolist() == [int(kind == "malignant") for kind in frame["kind"]]
    assert {name: part.numpy().tolist() for name, part in x.items()} == {name: frame[name].tolist() for name in frame if name != "kind"}


def test_folders_hold_files_at_every_depth(tmp_path: Path) -> None:
    for name, value in {
        "b/y.parquet": 2,
        "a.PARQUET": 0,
        "b/x.pq": 1,
        "_tmp/z.parquet": 7,
        "b/.hidden.parquet": 8,
        "b/_metadata": 9,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        written(tmp_path / name, {"i": [value]})
    feed = tfinput.from_parquet(tmp_path, verbose=False)
    assert next(iter(feed.examples("train")))["i"].numpy().tolist() == [0, 1, 2]
    (tmp_path / "year=2020").mkdir()
    written(tmp_path / "year=2020" / "x.parquet", {"i": [3]})
    with pytest.raises(FileError, match="expected files that hold all columns, got a folder 'year=2020', whose name is one"):
        tfinput.from_parquet(tmp_path, verbose=False)
    shutil.rmtree(tmp_path / "year=2020")
    (tmp_path / "none").mkdir()
    with pytest.raises(FileError, match=r"expected a folder with files of \.parquet, \.parq, \.pq, got none"):
        tfinput.from_parquet(tmp_path / "none", verbose=False)
    odd = os.path.join(os.fsencode(tmp_path), b"\xff\n.parquet")
    os.rename(tmp_path / "a.PARQUET", odd)
    for in_memory in (True, False):
        assert next(iter(tfinput.from_parquet(odd, in_memory=in_memory, verbose=False).train))["i"].numpy().tolist() == [0]


def test_no_link_leads_out_of_a_folder_unless_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place, value in {"in/a.parquet": 0, "out/b.parquet": 1, "out/deep/c.parquet": 2}.items():
        (tmp_path / place).parent.mkdir(exist_ok=True, parents=True)
        written(tmp_path / place, {"i": [value]})
    root = tmp_path / "in"
    link = root / "link.parquet"
    for target, said in (("../out/b.parquet", "a link that leads out of it, to "), ("../out", "a link to ")):
        link.symlink_to(target)
        with pytest.raises(FileError, match=rf"^tfinput: {link}: expected .*, got {said}{tmp_path}/out.* Pass follow_links=True"):
            tfinput.from_parquet(root, verbose=False)
        followed = tfinput.from_parquet(root, follow_links=True, verbose=False)
        got = next(iter(followed.examples("train")))["i"].numpy().tolist()
        assert got == ([0, 1] if target.endswith("b.parquet") else [0, 1, 2])
        link.unlink()
    link.symlink_to(".")
    with pytest.raises(FileError, match="expected a folder that does not contain itself"):
        tfinput.from_parquet(root, follow_links=True, verbose=False)
    link.unlink()
    link.symlink_to("nowhere")
    assert tfinput.from_parquet(root).train_size == 1
    assert f"Left out in {root}: 1 broken links.\n" in capsys.readouterr().out


def ragged() -> Any:
    return pa.array([[1], [2, 3], []])


LEAVE = "or leave it out with columns=[...]."
BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "dates": (
        {"a": pa.array([dt.date(2020, 1, 1)] * 3)},
        {},
        f"x.parquet, column 'a': expected numbers, bools or text, got date32[day]. "
        f"Turn it into numbers before, for example seconds as int64, {LEAVE}",
    ),
    "times": (
        {"a": pa.array([1, 2, 3], pa.timestamp("us", "UTC"))},
        {},
        "x.parquet, column 'a': expected numbers, bools or text, got timestamp[us, tz=UTC]. ",
    ),
    "decimals": (
        {"a": pa.array([decimal.Decimal("0.1")] * 3)},
        {},
        f"x.parquet, column 'a': expected numbers, bools or text, got decimal128(1, 1). "
        f"float64 does not hold its values exactly: cast it before if that is fine, {LEAVE}",
    ),
    "lists": (
        {"a": ragged()},
        {},
        f"x.parquet, column 'a': expected numbers, bools or text, got list<element: int64>. "
        f"Pad its lists to one length and store them as a fixed-size list, {LEAVE}",
    ),
    "structs": (
        {"a": pa.array([{"b": 1}] * 3)},
        {},
        f"x.parquet, column 'a': expected numbers, bools or text, got struct<b: int64>. "
        f"Store its fields as columns, for example with Table.flatten(), {LEAVE}",
    ),
    "nothing but nulls": (
        {"a": pa.nulls(3)},
        {},
        "x.parquet, column 'a': expected values, got none in any row. Leave it out with columns=[...], or pass fill=.",
    ),
    "fill of another type": (
        {"a": pa.array([1, None, 3], pa.int8())},
        {"fill": {"a": 300}},
        "fill for x.parquet, column 'a': expected a value that int8 holds, got 300. Pass a value of the column's own type.",
    ),
    "fill of text": (
        {"a": pa.array(["x", None])},
        {"fill": {"a": 3}},
        "fill for x.parquet, column 'a': expected text, got 3. Pass a value of the column's own type.",
    ),
    "vectors in a matrix": (
        {"a": pa.FixedSizeListArray.from_arrays(pa.array([1, 2]), 2)},
        {"as_matrix": True},
        "as_matrix, column 'a': expected numbers, got vectors of shape (2,). Leave it out with columns=[...], or use as_matrix=False.",
    ),
    "text in a matrix": (
        {"a": ["1", "x"], "b": [1, 2]},
        {"as_matrix": True},
        "as_matrix, column 'a': expected numbers, got text: 'x' in x.parquet row 2. Leave it out",
    ),
    "no such label": (
        {"age": [1], "pay": [2]},
        {"label": "pays"},
        "label: expected a column of x.parquet, got 'pays'. Did you mean 'pay'?",
    ),
    "no rows": ({"a": pa.array([], pa.int64())}, {}, "x.parquet: expected at least one row, got none. Check the file."),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_told_at_the_call(tmp_path: Path, way: dict[str, Any], name: str) -> None:
    columns, options, message = BAD[name]
    path = written(tmp_path / "x.parquet", columns)
    with pytest.raises((ValueError, TypeError), match="^" + re.escape(f"tfinput: {message}".replace("x.parquet", str(path)))):
        tfinput.from_parquet(path, **(way | options))


def test_equal_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), path)
    with pytest.raises(ValueError, match="expected columns of different names, got 'a' twice"):
        tfinput.from_parquet(path, verbose=False)


PAIRS = pa.list_(pa.int64(), 2)
WIDE = "expected a value that float64 holds exactly, got 9007199254740993"
HOLES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a number": (pa.array([*range(6), None, 7, None]), {}, "expected a value (int64), got nothing. Pass fill={'a': value}"),
    "a text": (pa.array([*"abcdef", None, "h", "i"]), {}, "expected a value (text), got nothing. Pass fill={'a': value}"),
    "a vector": (pa.array([[1, 2]] * 6 + [None, [1, 2], None], PAIRS), {"fill": 0}, "expected a value (int64), got nothing. Drop"),
    "in a vector": (pa.array([[1, 2]] * 6 + [[1, None], [1, 2], [None, 2]], PAIRS), {}, "expected a value (int64), got nothing. Pass"),
    "too wide": (pa.array([1] * 6 + [2**53 + 1, 3, 4]), {"as_matrix": True}, WIDE),
}


@pytest.mark.parametrize("name", HOLES)
def test_missing_values_are_told_with_their_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """At the call where all is read then, else with the chunk in which they are."""
    column, options, message = HOLES[name]
    path = written(tmp_path / "x.parquet", {"a": column, "b": np.arange(9) / 2}, row_group_size=4)
    told = re.escape(f"tfinput: {path} row 7, column 'a': {message}")
    with pytest.raises(ValueError, match=told):
        tfinput.from_parquet(path, in_memory=True, verbose=False, **options)
    chunks = table_streams.Chunks(rows_of(path, **options))
    with pytest.raises(ValueError, match=told):
        chunks.load(0, 0)
    monkeypatch.setattr(table_source, "CHUNK_BYTES", 1)
    monkeypatch.setattr(table_source, "LEAST_ROWS", 3)
    chunks = table_streams.Chunks(rows_of(path, **options))
    assert [len(chunks.load(0, place)[0]) for place in range(2)] == [3, 3]
    with pytest.raises(ValueError, match=told):
        chunks.load(0, 2)


def test_missing_values_in_a_stream_are_told_at_the_batch(tmp_path: Path) -> None:
    path = written(tmp_path / "x.parquet", {"a": HOLES["a number"][0]})
    with pytest.raises(tf.errors.OpError, match=rf"tfinput: {path} row 7, column 'a': expected a value \(int64\), got nothing"):
        list(tfinput.from_parquet(path, in_memory=False, verbose=False).examples("train"))


def test_files_with_other_columns_are_refused(tmp_path: Path) -> None:
    first = written(tmp_path / "a.parquet", {"a": [1], "b": ["x"]})
    more = written(tmp_path / "b.parquet", {"a": [1], "b": ["x"], "c": [3]})
    other = written(tmp_path / "c.parquet", {"a": [1.5], "b": ["x"]})
    turned = written(tmp_path / "d.parquet", {"b": pa.array(["y"]).dictionary_encode(), "a": [2]})
    with pytest.raises(ValueError, match=rf"b.parquet: expected the columns of {first}, got \['c'\] besides"):
        tfinput.from_parquet([first, more], verbose=False)
    with pytest.raises(ValueError, match=rf"a.parquet: expected the columns of {more}, got no \['c'\]"):
        tfinput.from_parquet([more, first], verbose=False)
    with pytest.raises(ValueError, match=rf"c.parquet, column 'a': expected int64, as in {first}, got double. Write all files with one"):
        tfinput.from_parquet([first, other], verbose=False)
    for subject in ([first, turned], [first, more]):
        x = next(iter(tfinput.from_parquet(subject, columns=["a", "b"], verbose=False).examples("train")))
        assert x["b"].numpy().tolist() == [b"x", b"y" if subject[1] == turned else b"x"]
    with pytest.raises(ValueError, match=r"validation_data: expected .*int64.*, got .*float64"):
        tfinput.from_parquet(first, validation_data=other, verbose=False)
    feed = tfinput.from_parquet(first, validation_data=[turned, more], verbose=False)
    assert next(iter(feed.validation))["a"].numpy().tolist() == [2, 1]


def checked(path: Path) -> tuple[bytes, list[Any]]:
    columns = {"i": np.arange(12), "t": [f"r{each}" for each in range(12)], "f": np.arange(12) / 7}
    written(path, columns, write_page_checksum=True, row_group_size=6)
    rows = rows_of(path)
    return path.read_bytes(), [each for piece in range(len(rows.pieces.counts)) for each in rows.arrays(piece, *rows.tables(piece))]


def test_a_cut_file_is_refused_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    whole, _ = checked(path)
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(FileError, match=f"^tfinput: {path}: expected a sound Parquet file, got "):
            list(rows_of(path).tables(0))


def test_no_flipped_bit_in_pages_with_checksums_changes_a_value(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    whole, good = checked(path)
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    refused = 0
    for at in range(footer):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        try:
            rows = rows_of(path)
            got = [each for piece in range(len(rows.pieces.counts)) for each in rows.arrays(piece, *rows.tables(piece))]
        except FileError:
            refused += 1
            continue
        assert all((mine == theirs).all() for mine, theirs in zip(got, good, strict=True)), at
    assert refused > footer * 0.7


def test_no_flipped_bit_in_the_footer_loses_rows_silently(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    whole, _ = checked(path)
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    refused = 0
    for at in range(footer, len(whole)):
        for bit in (5 * at + 4, 5 * at + 6):
            flipped = bytearray(whole)
            flipped[at] ^= 1 << bit % 8
            path.write_bytes(flipped)
            try:
                rows = rows_of(path)
                got = [each for piece in range(len(rows.pieces.counts)) for each in rows.arrays(piece, *rows.tables(piece))]
            except (FileError, TypeError):
                refused += 1
                continue
            assert [len(each) for each in got] == [12, 12, 12], at
    assert refused > (len(whole) - footer) * 0.7


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    for content in (b"", b"a,b\n1,2\n", b"PAR1", os.urandom(1000)):
        path.write_bytes(content)
        with pytest.raises(FileError, match=rf"^tfinput: {path}: expected a sound Parquet file, got .* \({len(content)} bytes\)\. Copy or"):
            tfinput.from_parquet(path, verbose=False)
    path.write_bytes(b"a,b\n1,2\n" * 10)
    with pytest.raises(FileError, match=r"Copy or write it again\. For CSV, use tfinput\.from_csv\."):
        tfinput.from_parquet(path, verbose=False)
    with pytest.raises(FileNotFoundError, match="got no such file"):
        tfinput.from_parquet(tmp_path / "none", verbose=False)


def test_a_file_that_changes_while_it_is_streamed_is_told_at_the_batch(tmp_path: Path) -> None:
    path = written(tmp_path / "x.parquet", {"i": np.arange(20)}, row_group_size=10)
    feed = tfinput.from_parquet(path, batch_size=4, in_memory=False, verbose=False)
    size = path.stat().st_size
    os.truncate(path, 400)
    got = f"tfinput: {path}: expected the file as it was, {size} bytes, got 400 bytes, written later. It changed while it was in use"
    with pytest.raises(tf.errors.OpError, match=re.escape(got)):
        next(iter(feed.train))


def test_small_row_groups_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "x.parquet", {"i": np.arange(1000)}, row_group_size=10, use_dictionary=False, compression="none")
    assert rows_of(path).pieces.counts == [1000]
    monkeypatch.setattr(parquet, "PIECE", 500)
    counts = rows_of(path).pieces.counts
    assert sum(counts) == 1000
    assert set(counts[:-1]) == {counts[0]}
    assert 10 < counts[0] < 100
    assert columns_of(rows_of(path))["i"].tolist() == list(range(1000))


def pieces_of(path: Path, rows: int) -> list[pa.Table]:
    table = rows_of(path).pieces
    return list(table.tables(0, list(table.fields), rows))


def test_a_piece_comes_in_tables_of_any_size(tmp_path: Path) -> None:
    """Also where Arrow hands over fewer rows than were asked for: categories end where their dictionaries do."""
    size = 23
    text = [f"t{each}" for each in range(size)]
    columns = {"i": np.arange(size), "t": text, "c": pa.array([f"c{each % 5}" for each in range(size)]).dictionary_encode()}
    path = written(tmp_path / "x.parquet", columns, row_group_size=4)
    short = [batch.num_rows for batch in pq.ParquetFile(path).iter_batches(3)]
    assert min(short[:-1]) < 3
    for rows in range(1, size + 3):
        tables = pieces_of(path, rows)
        assert [table.num_rows for table in tables] == [rows] * (size // rows) + [size % rows] * (size % rows > 0)
        whole = pa.concat_tables(tables, promote_options="default").to_pydict()
        assert whole == {"i": list(range(size)), "t": text, "c": [f"c{each % 5}" for each in range(size)]}


@pytest.mark.parametrize("seed", range(5))
def test_chunks_of_a_piece_may_be_asked_for_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Training and validation read the same piece side by side; an epoch that is entered later begins within one."""
    monkeypatch.setattr(table_source, "CHUNK_BYTES", 1)
    monkeypatch.setattr(table_source, "LEAST_ROWS", 3)
    path = written(tmp_path / "x.parquet", {"i": np.arange(40)}, row_group_size=20)
    rows = rows_of(path)
    chunks = table_streams.Chunks(rows)
    random = np.random.default_rng(seed)
    readers = [0, 0, 5]
    while min(readers) < 14:
        reader = random.choice([each for each, place in enumerate(readers) if place < 14])
        place = readers[reader]
        assert chunks.load(np.int64(0), np.int64(place))[0].tolist() == list(range(40))[3 * place : 3 * place + 3]
        readers[reader] += 1


def test_a_large_row_group_is_not_decoded_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_source, "CHUNK_BYTES", 1 << 18)
    random = np.random.default_rng(0)
    columns = {f"c{each}": random.normal(size=400_000) for each in range(20)}
    rows = rows_of(written(tmp_path / "x.parquet", columns, data_page_size=1 << 14, use_dictionary=False))
    assert rows.pieces.counts == [400_000]
    chunks = table_streams.Chunks(rows)
    before, taken = pa.total_allocated_bytes(), []
    for place in range(int(chunks.numbers[0])):
        chunks.load(0, place)
        taken.append(pa.total_allocated_bytes() - before)
    assert len(taken) > 200
    assert max(taken) < 400_000 * 20 * 8 / 4


def test_a_file_that_changes_within_a_row_group_is_told_at_the_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_source, "CHUNK_BYTES", 1)
    monkeypatch.setattr(table_source, "LEAST_ROWS", 3)
    path = written(tmp_path / "x.parquet", {"i": np.arange(200)})
    chunks = table_streams.Chunks(rows_of(path))
    assert chunks.load(0, 0)[0].tolist() == [0, 1, 2]
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(FileError, match=r"expected the file as it was, \d+ bytes, got \d+ bytes, written later"):
        [chunks.load(0, place) for place in range(1, 67)]


def test_no_file_stays_open_once_the_chunks_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_source, "CHUNK_BYTES", 1)
    monkeypatch.setattr(table_source, "LEAST_ROWS", 3)
    path = written(tmp_path / "x.parquet", {"i": np.arange(200)})

    def opened() -> int:
        return sum(os.path.realpath(f"/proc/self/fd/{each}") == str(path) for each in os.listdir("/proc/self/fd"))

    chunks = table_streams.Chunks(rows_of(path))
    for place in range(66):
        chunks.load(0, place)
    assert opened() == 1
    chunks.load(0, 66)
    assert opened() == 0
    chunks.load(0, 0)
    assert opened() == 1
    del chunks
    gc.collect()
    assert opened() == 0
