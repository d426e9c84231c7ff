"""CSV files: Python's csv module is the oracle of what a file says; no value changes, and what is wrong is told with its line."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import lzma
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from identities import ids
from sklearn import datasets

import tfinput
from tfinput.errors import FileError
from tfinput.material import rows
from tfinput.sources.tables import csv_files, csv_parse, csv_scan, csv_table, roles, table_source, table_streams

SEVERAL = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows_of(paths: Path | Sequence[Path], delimiter: str = ",", fill: Any = None, keep: bool = False, **chosen: Any) -> table_source.Rows:
    files = [csv_files.csv_file(str(path), delimiter) for path in ([paths] if isinstance(paths, Path) else paths)]
    names = files[0].names
    settled = roles.settled("csv", names, chosen.get("label"), None, chosen.get("columns"), chosen.get("as_matrix", False))
    return table_source.Rows(csv_table.CsvTable("csv", files, settled.names, fill, None, keep), settled)


def columns_of(rows: table_source.Rows) -> dict[str, Any]:
    """All columns, read piece by piece as a stream reads them, all pieces laid end to end."""
    examples = [rows.examples(rows.arrays(piece, *rows.tables(piece))) for piece in range(len(rows.pieces.counts))]
    return {name: np.concatenate([np.asarray(each[name]) for each in examples]) for name in examples[0]}


def said(content: bytes, delimiter: str = ",") -> dict[str, list[str]]:
    """What the csv module reads."""
    text = content.removeprefix(b"\xef\xbb\xbf").decode()
    records = [record for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if record]
    return {name: list(values) for name, values in zip(records[0], zip(*records[1:], strict=True), strict=True)}


def assert_says(got: dict[str, Any], expected: dict[str, list[str]]) -> None:
    assert list(got) == list(expected)
    for name, texts in expected.items():
        kind = got[name].dtype.kind
        meant = {"i": int, "f": float, "b": {"true": True, "false": False}.get, "O": str.encode}[kind]
        assert got[name].tolist() == [meant(text) for text in texts], name


ODD: dict[str, tuple[bytes, str]] = {
    "plain": (b"a,b\n1,2\n3,4\n", ","),
    "no last line end": (b"a,b\n1,2\n3,4", ","),
    "CRLF": (b"a,b\r\n1,x\r\n3,y\r\n", ","),
    "CR": (b"a,b\r1,x\r3,y\r", ","),
    "byte order mark": (b"\xef\xbb\xbfa,b\n1,2\n", ","),
    "byte order mark and quotes": (b'\xef\xbb\xbf"a","b"\n"1","2"\n', ","),
    "blank lines": (b"\n\na,b\n\n1,2\n\n\n3,4\n\n", ","),
    "blank lines, CRLF": (b"a,b\r\n\r\n1,2\r\n\r\n", ","),
    "delimiters and line ends in quotes": (b'a,b\n"x,y","1\n2\r\n3"\n"z\r",w\n', ","),
    "doubled quotes": (b'a,b\n"say ""hi""",""""\n"""","x"""\n', ","),
    "quotes inside fields": (b'a,b\n5" disk,x\n"q"r"s",y"z"\n 1, "t"\n', ","),
    "header in quotes": (b'"a,1","b\n2"\n1,2\n', ","),
    "semicolons": (b"a;b\n1,5;x\n2,5;y\n", ";"),
    "tabs and quotes": (b'a\tb\n1\t"x\ty"\n2\t\n', "\t"),
    "empty texts": (b'a,b\nx,\n"",y\n,\n', ","),
    "missing words in text": (b"a,b\nNA,null\nx,NaN\nnan,y\n", ","),
    "one column": (b'a\n1\n\n"2"\n3\n', ","),
    "Unicode": ("a,ü\n1,日本\n2,é\n".encode(), ","),
    "floats": (b"a,b\n0.1,1e22\n.5,-1E-7\n1.7976931348623157e308,4.9e-324\n0.30000000000000004,-0.0\n", ","),
    "integers": (b"a,b\n9223372036854775807,-9223372036854775808\n1152921504606846977,0\n", ","),
    "integers, then a float": (b"a,b\n1,2\n3,4\n" * 1 + b"5,6\n" * 30 + b"1.5,7\n", ","),
    "integers, then a word": (b"a,b\n1,2\n" + b"007,6\n" * 30 + b"x,7\n", ","),
    "bools": (b"a,b\ntrue,false\nfalse,true\n", ","),
    "bools and numbers are text": (b"a,b\ntrue,1\n1,true\n", ","),
    "dates are text": (b"a,b,c\n2020-01-01,12:30:00,2020-01-01 00:00:00\n2021-02-03,01:02:03,2021-02-03T04:05:06Z\n", ","),
    "a long record": (b"a,b\n1," + b"x" * 120_000 + b"\n2,y\n", ","),
}


@pytest.mark.parametrize("name", ODD)
def test_a_file_is_read_as_the_csv_module_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    content, delimiter = ODD[name]
    monkeypatch.setattr(csv_parse, "BLOCK", 1 << 16)  # Arrow by itself refuses longer records.
    path = written(tmp_path / "x.csv", content)
    expected = said(content, delimiter)
    assert_says(columns_of(rows_of(path, delimiter)), expected)
    zipped = written(tmp_path / "x.csv.gz", gzip.compress(content))
    assert_says(columns_of(rows_of(zipped, delimiter)), expected)
    monkeypatch.setattr(csv_files, "PIECE", 1 if len(content) < 1000 else 1000)
    rows = rows_of(path, delimiter)
    assert rows.pieces.counts == ([2] if name == "a long record" else [1] * len(next(iter(expected.values()))))
    assert_says(columns_of(rows), expected)
    source = table_source.in_memory(rows_of(path, delimiter, keep=True))
    assert_says({key: part.numpy() for key, part in source.read(tf.range(source.size)).items()}, expected)


def machine(text: str) -> list[tuple[int, int]] | int:
    """Records by a walk over each character; where the quote stands that does not close."""
    found, begin, state, opened, place = [], 0, "begin", 0, 0
    while place < len(text):
        at = text[place]
        if state == "quoted":
            if at == '"' and text[place + 1 : place + 2] == '"':
                place += 1
            elif at == '"':
                state = "field"
        elif at == '"' and state == "begin":
            state, opened = "quoted", place
        elif at in "\r\n":
            full = place > begin
            place += text[place : place + 2] == "\r\n"
            if full:
                found.append((begin, place + 1))
            begin, state = place + 1, "begin"
        else:
            state = "begin" if at == "," else "field"
        place += 1
    if state == "quoted":
        return opened
    return found + ([(begin, len(text))] if begin < len(text) else [])


def test_records_are_found_in_every_short_text() -> None:
    for text in ("".join(each) for length in range(1, 7) for each in itertools.product('",\n\ra', repeat=length)):
        expected = machine(text)
        if isinstance(expected, int):
            with pytest.raises(csv_scan.UnclosedQuoteError) as told:
                csv_scan.records(text.encode(), ",")
            assert told.value.args == (expected,), repr(text)
        else:
            starts, ends = csv_scan.records(text.encode(), ",")
            assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == expected, repr(text)
        cut = csv_scan.cut(text.encode(), ",")
        before = machine(text[:cut])
        assert not isinstance(before, int), repr(text)
        if not isinstance(expected, int):
            assert expected[: len(before)] == before, repr(text)


TEXTS = st.text(st.sampled_from('ab,;"\n\r\té日 '), max_size=8)


# The module's writer quotes only the line ends that it writes itself, so that it leaves others bare where it need not quote.
WRITERS = [(csv.QUOTE_MINIMAL, "\r\n"), *itertools.product([csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC], ["\n", "\r\n", "\r"])]


@SEVERAL
@given(
    st.lists(st.tuples(TEXTS, st.integers(-(2**63), 2**63 - 1), TEXTS), min_size=1, max_size=20),
    st.sampled_from(WRITERS),
    st.sampled_from([",", ";", "\t"]),
    st.integers(1, 200),
)
def test_what_the_csv_module_writes_comes_back(
    tmp_path: Path, records: list[Any], form: tuple[Any, str], delimiter: str, piece: int
) -> None:
    path = tmp_path / "x.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=form[0], lineterminator=form[1])
        writer.writerows([("first", "number", "last"), *((f"x{first}", number, f"x{last}") for first, number, last in records)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_files, "PIECE", piece)
        rows = rows_of(path, delimiter)
        got = columns_of(rows)
    assert got["first"].tolist() == [f"x{first}".encode() for first, _, _ in records]
    assert got["number"].tolist() == [number for _, number, _ in records]
    assert got["number"].dtype == np.int64
    assert got["last"].tolist() == [f"x{last}".encode() for _, _, last in records]


FILES = [["1", "2"], ["1.5", "3"], ["x", "4"], ["", "NA"], ["true", "false"], ["2020-01-01", "5"]]


@pytest.mark.parametrize("chosen", list(itertools.product(range(len(FILES)), repeat=2)))
def test_several_files_are_read_as_one_long_file(tmp_path: Path, chosen: tuple[int, int]) -> None:
    """Also where each by itself would have another type."""
    parts = [[f"{each},a" for each in FILES[number]] for number in chosen]
    paths = [written(tmp_path / f"{place}.csv", "\n".join(["c,t", *part])) for place, part in enumerate(parts)]
    whole = written(tmp_path / "whole.csv", "\n".join(["c,t", *parts[0], *parts[1]]))

    def read(what: Any) -> dict[str, Any]:
        return columns_of(rows_of(what, fill=-1))

    if chosen in ((3, 4), (4, 3)):  # A number does not stand for a missing bool.
        for what in (paths, whole):
            with pytest.raises(ValueError, match=r"column 'c': expected a value \(bool\), got nothing"):
                read(what)
        return
    one, several = read(whole), read(paths)
    assert {name: part.dtype for name, part in one.items()} == {name: part.dtype for name, part in several.items()}
    assert {name: part.tolist() for name, part in one.items()} == {name: part.tolist() for name, part in several.items()}


def test_missing_numbers_are_filled_and_wide_ones_stay_exact(tmp_path: Path) -> None:
    big = 2**60 + 1
    path = written(tmp_path / "x.csv", f"a,b,c,d,e\n{big},,x,true,\n,2.5,,,\n{big + 2},nan,NA,false,\n")
    got = columns_of(rows_of(path, fill={"a": 7, "b": float("nan"), "c": "?", "d": True, "e": 0.5}))
    assert got["a"].tolist() == [big, 7, big + 2]
    assert got["a"].dtype == np.int64
    np.testing.assert_array_equal(got["b"], [np.nan, 2.5, np.nan])
    assert got["c"].tolist() == [b"x", b"?", b"NA"]
    assert got["d"].tolist() == [True, True, False]
    assert got["e"].tolist() == [0.5, 0.5, 0.5]
    both = columns_of(rows_of(written(tmp_path / "y.csv", "a,b,c\n,,x\n1,1.5,\n"), fill=-1))
    assert (both["a"].tolist(), both["b"].tolist(), both["c"].tolist()) == ([-1, 1], [-1.0, 1.5], [b"x", b""])


def table(path: Path, size: int = 50) -> Path:
    """Examples that are their own identities, with a text, a class and a weight."""
    lines = [f'{place},"r,{place}",{place / 2},{place % 3},{place + 0.5}' for place in range(size)]
    return written(path, "\n".join(["i,t,half,k,w", *lines]) + "\n")


@pytest.fixture(params=["in memory", "streamed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(table_streams, "LEAST_WINDOW", 20)
    monkeypatch.setattr(csv_files, "PIECE", 150)
    return {"in_memory": request.param == "in memory", "verbose": False}


def test_the_laws_hold_in_memory_and_streamed(tmp_path: Path, way: dict[str, Any]) -> None:
    path = table(tmp_path / "x.csv")
    feed = tfinput.from_csv(path, columns=["i", "t"], label="half", weight="w", batch_size=7, validation_split=9, test_split=4, **way)
    spec = ({"i": tf.int64, "t": tf.string}, tf.float64, tf.float64)
    assert tf.nest.map_structure(lambda part: part.dtype, feed.element_spec) == spec
    assert all(part.shape.as_list() == [None] for part in tf.nest.flatten(feed.element_spec))
    steps = feed.steps_per_epoch
    assert steps == 6
    batches = list(itertools.islice(feed.repeated, 3 * steps))
    for x, y, weight in batches:
        assert x["t"].numpy().tolist() == [f"r,{place}".encode() for place in x["i"].numpy()]
        assert (y.numpy() == x["i"].numpy() / 2).all()
        assert (weight.numpy() == x["i"].numpy() + 0.5).all()
    seen = [x["i"].numpy().tolist() for x, _, _ in batches]
    epochs = [sorted(itertools.chain(*seen[place : place + steps])) for place in (0, steps, 2 * steps)]
    assert epochs[0] == epochs[1] == epochs[2]
    assert seen[:steps] != seen[steps : 2 * steps]
    held = [list(itertools.chain(*(x["i"].numpy().tolist() for x, *_ in part))) for part in (feed.validation, feed.test)]
    assert held[0] == sorted(held[0])
    assert sorted([*epochs[0], *held[0], *held[1]]) == list(range(50))
    tail = [x["i"].numpy().tolist() for x, *_ in itertools.islice(feed.at(epoch=1, step=2).repeated, 7)]
    assert tail == seen[8:15]
    assert ids(tfinput.from_csv(path, columns=["i"], as_matrix=True, batch_size=50, shuffle=False, **way).repeated, 1) == [
        [[place] for place in range(50)]
    ]


def test_classes_keep_their_shares_and_text_can_be_the_label(tmp_path: Path, way: dict[str, Any]) -> None:
    path = table(tmp_path / "x.csv", 60)
    feed = tfinput.from_csv(path, label="k", validation_split=12, stratify=True, batch_size=12, **way)
    assert np.bincount(np.concatenate([y.numpy() for _, y in feed.validation])).tolist() == [4, 4, 4]
    x, y = next(iter(tfinput.from_csv(path, label=["t", "k"], columns=["i"], batch_size=60, verbose=False).train))
    assert y["t"].numpy().tolist() == [f"r,{place}".encode() for place in x["i"].numpy()]
    assert (y["k"].numpy() == x["i"].numpy() % 3).all()


def test_validation_files_are_read_with_the_types_of_training(tmp_path: Path, way: dict[str, Any]) -> None:
    first = written(tmp_path / "a.csv", "a,b,y\n1.5,x,0\n2,y,1\n")
    written(tmp_path / "v1.csv", "more,y,b,a\n1,1,7,3\n")
    written(tmp_path / "v2.csv", "more,y,b,a\n2,0,8,4\n")
    feed = tfinput.from_csv(first, label="y", validation_data=str(tmp_path / "v?.csv"), **way)
    x, y = next(iter(feed.validation))
    assert (x["a"].dtype, x["a"].numpy().tolist(), x["b"].numpy().tolist()) == (tf.float64, [3, 4], [b"7", b"8"])
    assert y.numpy().tolist() == [1, 0]
    bad = written(tmp_path / "v3.csv", "a,b,y\n1,x,1\n2,x,0.5\n")
    with pytest.raises(ValueError, match=r"v3.csv line 3, column 'y': expected a whole number \(int64\), got '0.5'\. Correct it, or"):
        tfinput.from_csv(first, label="y", validation_data=bad, **way)
    with pytest.raises(ValueError, match=r"columns: expected a column of .*v4.csv, got 'b'\. It has \['a', 'y'\]"):
        tfinput.from_csv(first, label="y", validation_data=written(tmp_path / "v4.csv", "a,y\n1,1\n"), **way)


def test_paths_lists_and_patterns(tmp_path: Path) -> None:
    written(tmp_path / "b.csv", "i\n2\n")
    written(tmp_path / "a.csv", "i\n0\n1\n")
    odd = written(tmp_path / "[ab].csv", "i\n7\n")

    def read(subject: Any) -> list[Any]:
        return list(itertools.chain(*ids(tfinput.from_csv(subject, as_matrix=True, shuffle=False, verbose=False).examples("train"))))

    assert read(str(tmp_path / "?.csv")) == [[0], [1], [2]]
    assert read([tmp_path / "b.csv", str(tmp_path / "a.csv")]) == [[2], [0], [1]]
    assert read(str(odd)) == [[7]]
    bytes_name = os.path.join(os.fsencode(tmp_path), b"\xff.csv")
    with open(bytes_name, "wb") as file:
        file.write(b"i\n9\n")
    assert read(bytes_name) == [[9]]


def test_a_pandas_index_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = datasets.load_wine(as_frame=True).frame
    frame.to_csv(tmp_path / "wine.csv")
    feed = tfinput.from_csv(tmp_path / "wine.csv", label="target", batch_size=200)
    assert capsys.readouterr().out == "Left out '', which pandas writes for the index.\nFound 178 rows of 14 columns in 1 file.\n"
    x, y = next(iter(feed.examples("train")))
    assert y.numpy().tolist() == frame["target"].tolist()
    assert {name: part.numpy().tolist() for name, part in x.items()} == {name: frame[name].tolist() for name in frame if name != "target"}


@pytest.mark.parametrize("load", [datasets.load_iris, datasets.load_wine, datasets.load_breast_cancer, datasets.load_diabetes])
def test_real_tables_come_bit_for_bit_as_a_matrix(tmp_path: Path, load: Any) -> None:
    found = load(as_frame=True)
    found.frame.to_csv(tmp_path / "x.csv", index=False)
    whole, streamed = (
        np.concatenate([rows.arrays(piece, *rows.tables(piece))[0] for piece in range(len(rows.pieces.counts))])
        for rows in (rows_of(tmp_path / "x.csv", label="target", as_matrix=True, keep=keep) for keep in (True, False))
    )
    assert whole.dtype == np.float64
    assert (whole == found.data.to_numpy()).all()
    assert (streamed == whole).all()


def test_a_model_trains_and_evaluates_on_a_file_read_meanwhile(tmp_path: Path) -> None:
    found = datasets.load_iris(as_frame=True)
    found.frame.to_csv(tmp_path / "iris.csv", index=False)
    asked = {"label": "target", "as_matrix": True, "in_memory": False, "verbose": False}
    feed = tfinput.from_csv(tmp_path / "iris.csv", validation_split=31, batch_size=16, **asked)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(**feed.fit_args(), epochs=2, verbose=0)
    held = feed.indices["validation"]
    right = model(found.data.to_numpy("float32")[held]).numpy().argmax(axis=1) == found.target.to_numpy()[held]
    assert model.evaluate(**feed.evaluate_args(), verbose=0, return_dict=True)["accuracy"] == pytest.approx(right.mean(), abs=1e-6)


BAD: dict[str, tuple[str | bytes, dict[str, Any], str]] = {
    "no such label": (
        "age,pay\n1,2\n",
        {"label": "pya"},
        "label: expected a column of x.csv, got 'pya'. Did you mean 'pay'?",
    ),
    "no such column": ("a,b\n1,2\n", {"columns": ["a", "zzz"]}, "columns: expected a column of x.csv, got 'zzz'. It has ['a', 'b']."),
    "wrong delimiter": (
        "a;b\n1;2\n",
        {"label": "b"},
        "label: expected a column of x.csv, got 'b'. Its only column is 'a;b': is it delimiter=';'?",
    ),
    "label among columns": (
        "a,b\n1,2\n",
        {"label": "b", "columns": ["a", "b"]},
        "columns: expected inputs only, got 'b', which is the label or weight. Leave it out of columns.",
    ),
    "label and weight in one": (
        "a,b\n1,2\n",
        {"label": "b", "weight": "b"},
        "label and weight: expected different columns, got ('b', 'b'). Name each column once.",
    ),
    "weight without label": ("a,b\n1,2\n", {"weight": "b"}, "weight: expected a label beside it, got no label. Pass label=, or no weight."),
    "weight of text": (
        "a,b,c\n1,2,x\n",
        {"label": "b", "weight": "c"},
        "weight: expected a column of numbers, got text in 'c'. Check the column.",
    ),
    "nothing left": ("b\n1\n", {"label": "b"}, "x.csv: expected at least one column of inputs, each once, got none. Check the names."),
    "a column twice": (
        "a,b\n1,2\n",
        {"columns": ["a", "a"]},
        "columns: expected at least one column of inputs, each once, got a name twice in ('a', 'a'). Check the names.",
    ),
    "columns as a text": ("a,b\n1,2\n", {"columns": "a"}, "columns: expected a list of names, got 'a'. Pass columns=['a']."),
    "equal names": ("a,b,a\n1,2,3\n", {}, "x.csv: expected columns of different names, got 'a' twice. Rename one, pass column_names="),
    "no name": ("a,,b\n1,2,3\n", {}, "x.csv: expected a name for each column, got none for column 2. Name it, or pass columns=[...]."),
    "empty": ("", {}, "x.csv: expected a first line with the names of the columns, got an empty file. Check the file."),
    "blank": ("\n\r\n", {}, "x.csv: expected a first line with the names of the columns, got an empty file. Check the file."),
    "header only": (
        "a,b\n",
        {},
        "x.csv: expected at least one record, got none below the header. Check the file, or pass header=False if its first line is data.",
    ),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), {}, "x.csv: expected text in UTF-8, got UTF-16. Save the file as UTF-8."),
    "Latin-1": (
        "a,b\n1,x\n2,é\n".encode("latin-1"),
        {},
        r"x.csv line 3, column 'b': expected text in UTF-8, got b'\xe9'. Save the file as UTF-8.",
    ),
    "Latin-1 names": ("a,é\n1,x\n".encode("latin-1"), {}, r"x.csv line 1: expected text in UTF-8, got b'\xe9'. Save the file as UTF-8."),
    "zip": (b"PK\3\4\x14", {}, "x.csv: expected text in UTF-8, got a zip archive (as Excel files are, too). Unpack it, or save the table"),
    "Parquet": (b"PAR1\x15", {}, "x.csv: expected text in UTF-8, got a Parquet file. Use tfinput.from_parquet."),
    "bzip2": (bz2.compress(b"a,b\n1,2\n"), {}, "x.csv: expected text in UTF-8, got a compressed file. Unpack it, or pack it with gzip."),
    "xz": (lzma.compress(b"a,b\n1,2\n"), {}, "x.csv: expected text in UTF-8, got a compressed file. Unpack it, or pack it with gzip."),
    "binary": (b"a\0b\n1\n", {}, "x.csv: expected a CSV file, got a binary file. Check the path."),
    "short record": (
        'a,b\n1,"x\ny"\n\n3\n4,5\n',
        {},
        "x.csv line 5: expected 2 fields, got 1: '3'. Check the line: quote a field that holds the delimiter, or pass delimiter=.",
    ),
    "long record": (
        "a,b\r\n1,2\r\n1,2,3\r\n",
        {},
        "x.csv line 3: expected 2 fields, got 3: '1,2,3'. Check the line: quote a field that holds the delimiter, or pass delimiter=.",
    ),
    "unclosed quote": (
        'a,b\n1,"x\ny"\n3,"z\n4,5\n',
        {},
        "x.csv line 4: expected a closing quote, got none for the one that opens a field there. "
        "Close the quote, or double it if it is part of the text.",
    ),
    "unclosed quote in the header": (
        'a,"b\n1,2\n',
        {},
        "x.csv line 1: expected a closing quote, got none for the one that opens a field there. "
        "Close the quote, or double it if it is part of the text.",
    ),
    "missing": (
        "a,b\n1,2\n\n,3\n4,\n",
        {},
        "x.csv line 4, column 'a': expected a value (int64), got nothing. Pass fill={'a': value} or drop those rows.",
    ),
    "missing twice": (
        "a\n1.5\nNA\nnan\n",
        {},
        "x.csv line 3, column 'a': expected a value (float64), got nothing. Pass fill={'a': value} or drop those rows.",
    ),
    "missing in each row": (
        "a,b\n1,\n2,\n",
        {},
        "x.csv, column 'b': expected values, got none in any row. Leave it out with columns=[...], or pass fill=.",
    ),
    "fill of another kind": (
        "a\n1\nNA\n",
        {"fill": {"a": 0.5}},
        "fill for x.csv, column 'a': expected a value that int64 holds, got 0.5. ",
    ),
    "fill of nothing": ("a,bb\n1,2\n", {"fill": {"bbb": 0}}, "fill: expected columns that are read, got 'bbb'. Did you mean 'bb'?"),
    "one fill that does not fit": (
        "a\n1\nNA\n",
        {"fill": float("nan")},
        "x.csv line 3, column 'a': expected a value (int64), got nothing. "
        "fill=nan is not a value that int64 holds: pass a dict, fill={'a': value, ...}, or drop those rows.",
    ),
    "past int64 and float64": (
        "a,b\n1,2\n9223372036854775809,3\n",
        {},
        "x.csv line 3, column 'a': expected a number that int64 or float64 holds, got '9223372036854775809'. ",
    ),
    "an integer among floats": (
        "a\n1.5\n9007199254740993\n",
        {},
        "x.csv line 3, column 'a': expected a number that int64 or float64 holds, got '9007199254740993'. ",
    ),
    "overflow": ("a\n1.5\ninf\n-1e400\n", {}, "x.csv line 4, column 'a': expected a number that int64 or float64 holds, got '-1e400'. "),
    "text in a matrix": (
        'a,b\n1,2\n3,"4"\n5,?\n',
        {"as_matrix": True},
        "as_matrix, column 'b': expected numbers, got text: '?' in x.csv line 4. Leave it out with columns=[...], or use as_matrix=False.",
    ),
    "an integer that the matrix rounds": (
        "a,b\n0.5,1\n1.5,9007199254740993\n",
        {"as_matrix": True},
        "x.csv line 3, column 'b': expected a value that float64 holds exactly, got 9007199254740993. ",
    ),
    "delimiter of two": (
        "a\n1\n",
        {"delimiter": "::"},
        "delimiter: expected one ASCII character, got '::'. Pass for example delimiter=';'.",
    ),
    "in_memory": ("a\n1\n", {"in_memory": "yes"}, "in_memory: expected True, False or None, got 'yes'. "),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_told_at_the_call(tmp_path: Path, way: dict[str, Any], name: str) -> None:
    content, options, message = BAD[name]
    path = written(tmp_path / "x.csv", content)
    with pytest.raises((ValueError, TypeError), match="^" + re.escape(f"tfinput: {message}".replace("x.csv", str(path)))):
        tfinput.from_csv(path, **(way | options))


def test_subjects_that_are_no_files_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "a,b\n1,2\n")
    other = written(tmp_path / "b.csv", "a,c\n1,2\n")
    turned = written(tmp_path / "c.csv", "b,a\n1,2\n")
    cases: list[tuple[Any, str]] = [
        (tmp_path / "none.csv", "expected a file, or a pattern that matches some, got no such file"),
        (str(tmp_path / "z*.csv"), "expected a file, or a pattern that matches some, got no such file"),
        (tmp_path, "expected a file, got a folder"),
        ([], "expected at least one path, got an empty list"),
        ([path, other], rf"b.csv: expected the columns of {path}, got no \['b'\] and \['c'\] besides. Give all files the same columns"),
        ([path, turned], rf"c.csv: expected the columns of {path}, got another order: \['b', 'a'\]"),
    ]
    for subject, message in cases:
        with pytest.raises(ValueError, match=message):
            tfinput.from_csv(subject, verbose=False)
    with pytest.raises(TypeError, match=r"expected .*, got 3"):
        tfinput.from_csv(3, verbose=False)
    with pytest.raises(TypeError, match=r"from_csv\(lable=…\): expected one of its options, got 'lable'. Did you mean 'label'"):
        tfinput.from_csv(path, lable="b")


def test_a_damaged_archive_is_told_at_every_cut(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (place, place * 7919) for place in range(40)))
    path = tmp_path / "x.csv.gz"
    for size in range(1, len(whole)):
        written(path, whole[:size])
        with pytest.raises(ValueError, match=f"^tfinput: {path}"):
            rows_of(path)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 4
    with pytest.raises(FileError, match=f"^tfinput: {path}: expected a whole gzip file"):
        rows_of(written(path, bytes(flipped)))


def test_a_file_that_changes_while_it_is_streamed_is_told_at_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "PIECE", 150)
    path = table(tmp_path / "x.csv", 2000)
    feed = tfinput.from_csv(path, label="k", batch_size=4, in_memory=False, verbose=False)
    size = path.stat().st_size
    changes: list[tuple[Any, str]] = [
        (lambda: os.utime(path, ns=(1, 1)), f"{size} bytes, written later"),
        (lambda: os.truncate(path, 400), "400 bytes, written later"),
        (path.unlink, "no file there"),
    ]
    for change, got in changes:
        change()
        with pytest.raises(tf.errors.OpError, match=re.escape(f"tfinput: {path}: expected the file as it was, {size} bytes, got {got}. ")):
            list(itertools.islice(feed.repeated, 500))


def test_what_fits_is_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path / "x.csv")
    tfinput.from_csv(path)
    monkeypatch.setattr(rows, "free_bytes", lambda: 8.0 * path.stat().st_size - 8)
    tfinput.from_csv(path)
    monkeypatch.setattr(rows, "free_bytes", lambda: 8.0 * path.stat().st_size)
    tfinput.from_csv(path)
    found = "Found 50 rows of 5 columns in 1 file"
    assert capsys.readouterr().out == f"{found}.\n{found}, read while training.\n{found}.\n"


def test_a_failing_hook_names_the_line(tmp_path: Path, way: dict[str, Any]) -> None:
    def fail(x: Any, y: Any) -> Any:
        with tf.control_dependencies([tf.debugging.assert_less(x["i"], tf.constant(30, tf.int64))]):
            return x["i"], y

    feed = tfinput.from_csv(table(tmp_path / "x.csv"), label="k", preprocess=fail, **way)
    with pytest.raises(tf.errors.OpError, match=r"preprocess failed in .*x.csv line 32"):
        list(feed.examples("train"))


@pytest.mark.parametrize("in_memory", [True, False])
def test_text_labels_become_class_numbers(tmp_path: Path, in_memory: bool) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,kind\n" + "".join(f"{row},{'zxy'[row % 3]}\n" for row in range(12)))
    feed = tfinput.from_csv(path, label="kind", validation_split=0.5, stratify=True, in_memory=in_memory, verbose=False)
    assert feed.class_names == ("x", "y", "z")
    assert feed.element_spec[1].dtype == tf.int32
    for split in ("train", "validation"):
        for x, y in feed.examples(split):
            assert y.numpy().tolist() == [[2, 0, 1][row % 3] for row in x["a"].numpy()]
    assert set(feed.class_weight().values()) == {1.0}
    as_text = tfinput.from_csv(path, label="kind", label_mode=None, in_memory=in_memory, verbose=False)
    assert as_text.element_spec[1].dtype == tf.string
    assert as_text.class_names is None


def test_validation_labels_mean_what_the_training_ones_do(tmp_path: Path) -> None:
    path, other = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text("a,kind\n1,x\n2,y\n3,z\n")
    other.write_text("a,kind\n1,z\n2,y\n")
    feed = tfinput.from_csv(path, label="kind", validation_data=other, verbose=False)
    assert [y.numpy().tolist() for _, y in feed.validation] == [[2, 1]]
    other.write_text("a,kind\n1,z\n2,w\n")
    with pytest.raises(
        ValueError, match=r"b\.csv line 3, label: expected a class of the training examples, got 'w'\. There are \('x', 'y', 'z'\)"
    ):
        tfinput.from_csv(path, label="kind", validation_data=other, verbose=False)
    with pytest.raises(ValueError, match=r"label_mode: expected one of 'int', None, got 'categorical'"):
        tfinput.from_csv(path, label="kind", label_mode="categorical", verbose=False)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_word_among_numbers_is_told_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], in_memory: bool) -> None:
    path = tmp_path / "x.csv"
    values = [str(each) for each in range(200)]
    values[149] = "1.5"
    path.write_text("a,b\n" + "".join(f"{each},w{each}\n" for each in values))
    feed = tfinput.from_csv(path, in_memory=in_memory, batch_size=200, shuffle=False)
    assert "Column" not in capsys.readouterr().out
    assert next(iter(feed.train))["a"].numpy()[149] == 1.5
    values[149], values[3] = "many", "NA"
    path.write_text("a,b\n" + "".join(f"{each},w{each}\n" for each in values))
    tfinput.from_csv(path, label="b", in_memory=in_memory)
    said = f"Column 'a' is text: 198 of its 199 values are numbers, but 'many' in {path} line 151 is none.\n"
    assert capsys.readouterr().out.startswith(said)
    tfinput.from_csv(path, label="b", in_memory=in_memory, verbose=False)
    assert capsys.readouterr().out == ""


def test_columns_may_be_called_as_other_files_begin(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("PAR1,BZh9\n1,2\n")
    assert tfinput.from_csv(tmp_path / "x.csv", label="BZh9", verbose=False).train_size == 1
