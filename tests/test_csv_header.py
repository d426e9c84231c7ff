"""CSV files with a header and without: which is which is seen, asked or refused, and no row is lost for a name."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

import tfinput
from tfinput import __main__
from tfinput.errors import HeaderError
from tfinput.sources.tables import csv_files
from tfinput.sources.tables.csv_header import data_in


@pytest.fixture(params=["in memory", "streamed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(csv_files, "PIECE", 60)
    return {"in_memory": request.param == "in memory", "verbose": False}


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def columns(feed: Any, split: str = "train") -> dict[str, list[Any]]:
    batches = [batch[0] if isinstance(batch, tuple) else batch for batch in feed.examples(split)]
    return {name: list(itertools.chain(*(batch[name].numpy().tolist() for batch in batches))) for name in batches[0]}


def records(rows: int, width: int, low: float = -3, high: float = 3, decimals: int = 3) -> list[list[str]]:
    numbers = np.random.default_rng(rows * width).uniform(low, high, (rows, width))
    return [[f"{number:.{decimals}f}" for number in row] for row in numbers]


def names(*given: Any) -> list[str]:
    return list(map(str, given))


IRIS = "5.1,3.5,1.4,0.2,Iris-setosa\n4.9,3.0,1.4,0.2,Iris-setosa\n6.3,3.3,6.0,2.5,Iris-virginica\n"
DATA: dict[str, str] = {
    "iris": IRIS,
    "whole numbers": "6,148,72,35,0,33,50,1\n1,85,66,29,0,26,31,0\n8,183,64,0,0,23,32,1\n",
    "numbers twice in the row": "0,0\n1,0\n0,1\n",
    "a count from 0 that the next row goes on with": "0,1,2,3\n4,5,6,7\n8,9,10,11\n",
    "a count of three": "1,2,3\n4,5,6\n7,8,9\n",
    "one column": "7\n8\n9\n",
    "spaces": "39, State-gov, 77516\n50, Self-emp, 83311\n38, Private, 215646\n",
    "the first value is missing": "?,5.1,a\n2.5,4.9,b\n2.4,4.8,c\n",
    "the first value is empty": ",5.1,a\n2.5,4.9,b\n2.4,4.8,c\n",
    "a word stands for the first value": "unknown,5.1\n2.5,4.9\n2.4,4.8\n",
    "numbers with gaps and dirt below": "1.5,a\nNA,b\n?,c\n2.5,d\nlow,e\n3.5,f\n1.5,g\n",
    "negative": "-1.5,a\n2.5,b\n",
    "powers of ten": "1e-3,a\n2E+5,b\n",
    "dates": "2020-01-01,Rome\n2020-01-02,Oslo\n",
    "times of ISO 8601": "2020-01-01T00:00:00Z,Rome\n2020-02-01T10:00:00Z,Oslo\n",
    "ranges": "30-39,Rome\n40-49,Oslo\n",
    "amounts": '"1,234",$5\n"2,345",$7\n',
    "words that stand below again": "ham,Go on\nspam,Win\nham,Ok\n",
    "letters twice in the row": "p,x,s,n,t,p\ne,x,s,y,t,a\n",
    "bools": "true,false\nfalse,true\ntrue,true\n",
    "quoted": '"5.1","a"\n"4.9","b"\n',
    "one row": "5.1,3.5,a\n",
    "years of each row": "1990,1995\n1987,2001\n1999,2010\n",
}


@pytest.mark.parametrize("name", DATA)
def test_a_first_row_of_data_is_refused_and_read_with_header_false(tmp_path: Path, name: str, way: dict[str, Any]) -> None:
    path = written(tmp_path / "x.csv", DATA[name])
    with pytest.raises(HeaderError, match=r"x\.csv line 1: expected the names of the columns, got .*Pass header=False.*column_names="):
        tfinput.from_csv(path, **way)
    feed = tfinput.from_csv(path, header=False, fill={0: 0} if name == "the first value is empty" else None, **way)
    expected = pd.read_csv(path, header=None)
    assert feed.train_size == len(expected)
    assert list(columns(feed)) == [str(each) for each in expected.columns]


HEADERS: dict[str, tuple[list[str], list[list[str]]]] = {
    "pixels": (names(*range(784)), records(9, 784, 0, 255, 0)),
    "a label and pixels": (["label", *names(*range(9))], records(20, 10, 0, 9, 0)),
    "pixels and a class": ([*names(*range(9)), "class"], [[*record, "cat"] for record in records(20, 9, 0, 9, 0)]),
    "columns that pandas numbers": (names(0, 1), records(20, 2)),
    "whole columns that pandas numbers": (names(0, 1, 2, 3, 4), records(20, 5, 0, 1000, 0)),
    "an index and a column that pandas numbers": (["", "0"], [[str(place), "7"] for place in range(5)]),
    "two years": (names(1990, 1991), records(20, 2)),
    "years of whole numbers": (["country", *names(1952, 1957, 1962)], [["Chad", *record] for record in records(20, 3, 0, 9999, 0)]),
    "years with gaps, from the last": (names(2021, 2019, 2014), records(20, 3)),
    "wavelengths": (names(*np.arange(400, 410, 0.5)), records(9, 20)),
    "wavelengths with uneven steps": (names(*(np.arange(30) ** 1.5).round(3)), records(9, 30)),
    "numbers of items": (names(3, 17, 22, 24, 101, 305, 306, 999), records(30, 8, 0, 99, 0)),
    "a target and chosen columns": (["y", *names(12, 4, 7)], records(9, 4)),
    "a target and quantiles": (["y", *names(0.1, 0.5, 0.9)], records(30, 4)),
    "days": (names("2020-01-01", "2020-01-02"), records(9, 2)),
    "places and days": (["Province", "Lat", "1/22/20", "1/23/20"], [["Hubei", *record] for record in records(9, 3)]),
    "text alone": (["text", "label"], [["hi", "a"], ["ho", "b"]]),
    "names with digits": (["x1", "1st", "q_95"], records(9, 3)),
    "a column with no value": (["a", "2"], [["1", ""], ["2", ""]]),
}


@pytest.mark.parametrize("name", HEADERS)
def test_names_that_are_numbers_are_names(tmp_path: Path, name: str, way: dict[str, Any]) -> None:
    row, below = HEADERS[name]
    path = written(tmp_path / "x.csv", "\n".join(",".join(record) for record in [row, *below]) + "\n")
    feed = tfinput.from_csv(path, fill=0, **way)
    assert feed.train_size == len(below)
    assert list(columns(feed)) == [each for each in row if each]


@pytest.mark.parametrize("name", DATA)
def test_header_true_takes_any_row_for_names(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "x.csv", DATA[name])
    row = pd.read_csv(path, header=None, dtype=str, keep_default_na=False).iloc[0].tolist()
    if len(set(row)) == len(row) and "" not in row and name != "one row":
        feed = tfinput.from_csv(path, header=True, fill=0, verbose=False)
        assert list(columns(feed)) == row
        assert feed.train_size == DATA[name].count("\n") - 1
    replaced = [f"column {place}" for place in range(len(row))]
    if name != "one row":
        assert list(columns(tfinput.from_csv(path, header=True, column_names=replaced, fill=0, verbose=False))) == replaced


@pytest.mark.parametrize("form", ["plain", "gzip", "byte order mark", "semicolons", "CRLF and blank lines"])
def test_names_that_are_given_name_the_columns_of_every_form(tmp_path: Path, form: str, way: dict[str, Any]) -> None:
    forms: dict[str, bytes] = {
        "plain": IRIS.encode(),
        "gzip": gzip.compress(IRIS.encode()),
        "byte order mark": b"\xef\xbb\xbf" + IRIS.encode(),
        "semicolons": IRIS.replace(",", ";").encode(),
        "CRLF and blank lines": b"\r\n\r\n" + IRIS.replace("\n", "\r\n\r\n").encode(),
    }
    path = written(tmp_path / "x.csv", forms[form])
    asked: dict[str, Any] = {"delimiter": ";" if form == "semicolons" else ",", "column_names": ["a", "b", "c", "d", "kind"], **way}
    for header in ("infer", False, None):
        feed = tfinput.from_csv(path, label="kind", header=header, **asked)
        assert columns(feed) == {"a": [5.1, 4.9, 6.3], "b": [3.5, 3.0, 3.3], "c": [1.4, 1.4, 6.0], "d": [0.2, 0.2, 2.5]}
        assert feed.class_names == ("Iris-setosa", "Iris-virginica")
    with pytest.raises(HeaderError, match=f"x.csv line {3 if 'CRLF' in form else 1}: expected the names"):
        tfinput.from_csv(path, **(asked | {"column_names": None}))


def test_columns_without_names_are_called_and_meant_by_their_places(tmp_path: Path, way: dict[str, Any]) -> None:
    path = written(tmp_path / "x.csv", IRIS)
    for label in (4, "4", -1, np.int64(4)):
        feed = tfinput.from_csv(path, header=False, label=label, weight=0, columns=[2, "1"], **way)
        assert columns(feed) == {"2": [1.4, 1.4, 6.0], "1": [3.5, 3.0, 3.3]}
        (batch,) = feed.examples("train")
        assert batch[1].numpy().tolist() == [0, 0, 1]
        assert batch[2].numpy().tolist() == [5.1, 4.9, 6.3]
    gaps = written(tmp_path / "gaps.csv", "5.1,a\n,b\n")
    assert columns(tfinput.from_csv(gaps, header=False, fill={0: 7}, **way))["0"] == [5.1, 7]
    with pytest.raises(ValueError, match=r"label: expected a column of .*x\.csv, got 5\. It has \['0', '1', '2', '3', '4'\]"):
        tfinput.from_csv(path, header=False, label=5, **way)
    with pytest.raises(ValueError, match="label: expected a column of"):  # A number means a place only where names are places.
        tfinput.from_csv(path, column_names=["a", "b", "c", "d", "e"], label=4, **way)


def test_of_several_files_each_may_have_a_header_or_not(tmp_path: Path, way: dict[str, Any]) -> None:
    written(tmp_path / "0.csv", "a,kind\n1,x\n2,y\n")
    written(tmp_path / "1.csv", "3,x\n4,x\n")
    written(tmp_path / "2.csv", '\ufeff"a", kind\n5,y\n')
    written(tmp_path / "3.csv", "6,x\n")
    written(tmp_path / "4.csv", "a,kind\n")
    pattern, given = str(tmp_path / "?.csv"), {"column_names": ["a", "kind"], "label": "kind"}
    feed = tfinput.from_csv(pattern, **given, **way)
    assert columns(feed) == {"a": [1, 2, 3, 4, 5, 6]}
    assert feed.class_names == ("x", "y")
    with pytest.raises(HeaderError, match=r"1\.csv line 1: .*got '3', a number above numbers\. Pass column_names="):
        tfinput.from_csv(pattern, label="kind", **way)
    with pytest.raises(ValueError, match=r"0\.csv line 1: expected data, as header=False says, got the column_names themselves"):
        tfinput.from_csv(pattern, header=False, **given, **way)


def test_header_true_loses_no_row_of_files_that_have_none(tmp_path: Path, way: dict[str, Any]) -> None:
    named = written(tmp_path / "0.csv", "A,Kind\n1,x\n2,y\n")
    other = written(tmp_path / "1.csv", "a,KIND\n3,x\n")
    bare = written(tmp_path / "2.csv", "4,x\n5,x\n")
    given = {"header": True, "column_names": ["a", "kind"], "label": "kind"}
    assert columns(tfinput.from_csv([named, other], **given, **way)) == {"a": [1, 2, 3]}
    message = r"2\.csv line 1: expected names of columns, such as \['A', 'Kind'\] of the files before, got \['4', 'x'\]\. "
    with pytest.raises(ValueError, match=message):
        tfinput.from_csv([named, bare], **given, **way)
    with pytest.raises(ValueError, match=message):
        tfinput.from_csv(named, validation_data=bare, **given, **way)


def test_validation_data_may_have_a_header_or_not(tmp_path: Path, way: dict[str, Any]) -> None:
    bare, named = written(tmp_path / "bare.csv", IRIS), written(tmp_path / "named.csv", "a,b,c,d,kind\n" + IRIS)
    given = {"column_names": ["a", "b", "c", "d", "kind"], "label": "kind"}
    for first, other in itertools.product([bare, named], repeat=2):
        feed = tfinput.from_csv(first, validation_data=other, test_data=bare, **given, **way)
        assert columns(feed) == columns(feed, "validation") == columns(feed, "test")
        assert len(columns(feed)["a"]) == 3
    with pytest.raises(HeaderError, match=r"bare\.csv line 1: .* Pass column_names="):
        tfinput.from_csv(named, label="kind", validation_data=bare, **way)
    feed = tfinput.from_csv(bare, header=False, label=-1, validation_data=bare, **way)
    assert columns(feed) == columns(feed, "validation")
    wider = written(tmp_path / "wider.csv", IRIS.replace("5.1,", "1,5.1,").replace("4.9,", "2,4.9,").replace("6.3,", "3,6.3,"))
    with pytest.raises(ValueError, match=r"wider\.csv: expected 5 columns, as in training, got 6\. "):
        tfinput.from_csv(bare, header=False, label=-1, validation_data=wider, **way)


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"column_names": ["a", "b"]}, ValueError, r"column_names for .*x\.csv line 1: expected 5 names, as there are fields, got 2\. "),
    ({"column_names": list("abcdef"), "header": False}, ValueError, r"expected 5 names, as there are fields, got 6\. "),
    ({"column_names": list("abcd"), "header": True}, ValueError, r"expected 5 names, as there are fields, got 4\. "),
    ({"column_names": list("abcda")}, ValueError, r"column_names: expected different names, got 'a' twice\. "),
    ({"column_names": ["a", "b", "c", "d", ""]}, ValueError, r"column_names\[4\]: expected text that is not empty, got ''\. "),
    ({"column_names": range(5)}, TypeError, r"column_names\[0\]: expected text that is not empty, got 0\. "),
    ({"column_names": "abcde"}, TypeError, r"column_names: expected a list of names, got 'abcde'\. "),
    ({"column_names": 5}, TypeError, r"column_names: expected a list of names, got 5\. "),
    ({"column_names": []}, ValueError, r"column_names: expected at least one name, got none\. "),
    # As pandas has it, 0 is a header in the first line; as a bool it would be the contrary.
    ({"header": 0}, TypeError, r"header: expected 'infer', True or False, got 0\. "),
    ({"header": 1}, TypeError, r"header: expected 'infer', True or False, got 1\. "),
    ({"header": "yes"}, ValueError, r"header: expected 'infer', True or False, got 'yes'\. "),
]


@pytest.mark.parametrize(("asked", "kind", "message"), REFUSED)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, asked: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        tfinput.from_csv(written(tmp_path / "x.csv", IRIS), verbose=False, **asked)


def test_names_that_meet_other_names_are_asked_for(tmp_path: Path) -> None:
    """Whether the row below is data or names that others replace cannot be seen."""
    path = written(tmp_path / "x.csv", "text,label\ngood,a\nbad,b\n")
    with pytest.raises(
        ValueError, match=r"line 1: expected data, or the column_names themselves, got \['text', 'label'\]\. Pass header=True"
    ):
        tfinput.from_csv(path, column_names=["t", "y"], verbose=False)
    assert columns(tfinput.from_csv(path, column_names=["t", "y"], header=True, verbose=False))["t"] == [b"good", b"bad"]
    assert columns(tfinput.from_csv(path, column_names=["t", "y"], header=False, verbose=False))["t"] == [b"text", b"good", b"bad"]


def test_lines_are_counted_from_the_first_without_a_header(tmp_path: Path, way: dict[str, Any]) -> None:
    cases = [
        ("1,2\n3,4,5\n", r"line 2: expected 2 fields, got 3"),
        ("\ufeff1,2\n\n3\n", r"line 3: expected 2 fields, got 1"),
        (",2\n3,4\n", r"line 1, column '0': expected a value \(int64\), got nothing"),
        ('1,"a\nb"\n2,"c\n', r"line 3: expected a closing quote"),
        ("1,9\n2,1.5\n9007199254740993,7\n0.5,8\n", r"line 3, column '0': expected a number that int64 or float64 holds"),
    ]
    for content, message in cases:
        with pytest.raises(ValueError, match=rf"x\.csv {message}"):
            tfinput.from_csv(written(tmp_path / "x.csv", content), header=False, **way)
    feed = tfinput.from_csv(written(tmp_path / "x.csv", "0,5\n1,6\n2,7\n"), header=False, preprocess=fail, **way)
    with pytest.raises(Exception, match=r"preprocess failed in .*x\.csv line 3"):
        list(feed.examples("train"))


def fail(x: Any) -> Any:
    import tensorflow as tf

    with tf.control_dependencies([tf.debugging.assert_less(x["0"], tf.constant(2, tf.int64))]):
        return x


def test_fields_of_any_length_are_read_with_a_header_and_without(tmp_path: Path) -> None:
    long = "word " * 40_000
    assert columns(tfinput.from_csv(written(tmp_path / "x.csv", f"text,y\n{long},1\n"), verbose=False))["text"] == [long.encode()]
    got = columns(tfinput.from_csv(written(tmp_path / "x.csv", f"{long},1\n{long},2\n"), header=False, verbose=False))
    assert got == {"0": [long.encode()] * 2, "1": [1, 2]}
    assert list(columns(tfinput.from_csv(written(tmp_path / "x.csv", f"{long},y\na,1\n"), verbose=False))) == [long, "y"]


def test_an_empty_file_is_told_as_it_is_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", "\n\n")
    with pytest.raises(ValueError, match="expected a first line with the names of the columns, got an empty file"):
        tfinput.from_csv(path, verbose=False)
    with pytest.raises(ValueError, match="expected at least one record, got an empty file"):
        tfinput.from_csv(path, header=False, verbose=False)


def test_equal_names_tell_of_a_header_that_may_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"got 'a' twice\. Rename one, pass column_names=\[\.\.\.\], or header=False if the first line is"):
        tfinput.from_csv(written(tmp_path / "x.csv", "a,b,a\nc,d,e\n"), verbose=False)


def test_inspect_reads_a_file_without_a_header(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in [
        ("x.csv", IRIS.encode()),
        ("x.tsv", IRIS.replace(",", "\t").encode()),
        ("x.csv.gz", gzip.compress(IRIS.encode())),
    ]:
        path = written(tmp_path / name, content)
        assert __main__.main(["inspect", str(path)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == f"{path}: CSV without a header (its first line has '5.1', a number above numbers), 3 examples"
        assert lines[1:] == [*(f"  {place}: float64 ()" for place in range(4)), "  4: string ()", "broken: none"]


@pytest.mark.parametrize("load", [datasets.load_iris, datasets.load_wine, datasets.load_breast_cancer, datasets.load_diabetes])
def test_real_tables_are_told_apart_from_their_own_rows(load: Any) -> None:
    frame = load(as_frame=True).frame
    rows = [[str(value) for value in row] for row in frame.itertuples(index=False)]
    assert data_in(list(frame.columns), rows[:100]) is None
    for start in range(0, len(rows) - 100, 7):
        assert data_in(rows[start], rows[start + 1 : start + 100]) is not None


def test_a_model_trains_on_a_file_without_a_header(tmp_path: Path) -> None:
    frame = datasets.load_iris(as_frame=True).frame
    frame["target"] = frame["target"].map(lambda number: "abc"[number])
    frame.to_csv(tmp_path / "iris.data", header=False, index=False)
    feed = tfinput.from_csv(tmp_path / "iris.data", header=False, label=-1, as_matrix=True, batch_size=10, verbose=False)
    assert feed.train_size == 150
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(**feed.fit_args(), verbose=0)
    by_place = tfinput.from_csv(tmp_path / "iris.data", header=False, label=-1, columns=[0], batch_size=10, verbose=False)
    inputs = {"0": keras.Input((1,), name="0")}
    named = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs["0"]))
    named.compile("adam", "sparse_categorical_crossentropy")
    named.fit(**by_place.fit_args(), verbose=0)


def test_the_records_looked_at_are_those_below(tmp_path: Path) -> None:
    """A header of many columns is looked at together with at least one record, however long it is."""
    path = written(tmp_path / "x.csv", ",".join(["7"] * 90_000) + "\n" + ",".join(["8"] * 90_000) + "\n")
    with pytest.raises(HeaderError, match="got '7', a number above numbers"):
        csv_files.csv_file(str(path), ",")


def test_a_cache_of_a_file_with_a_header_is_none_of_it_without(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", "1,x\n2,y\n3,x\n")
    for header, expected in ((True, [2, 3]), (False, [1, 2, 3])):
        asked: dict[str, Any] = {"in_memory": False, "cache": tmp_path / "cache", "shuffle": False, "batch_size": 3, "verbose": False}
        feed = tfinput.from_csv(path, header=header, column_names=["a", "kind"], **asked)
        (batch,) = feed.train.take(feed.steps_per_epoch)
        assert batch["a"].numpy().tolist() == expected


def test_the_look_changes_no_setting_of_the_process(tmp_path: Path) -> None:
    import csv

    before = csv.field_size_limit()
    csv_files.csv_file(str(written(tmp_path / "x.csv", "a\n" + "b" * 200_000 + "\n")), ",")
    assert csv.field_size_limit() == before


def test_one_number_among_words_is_asked_for() -> None:
    """Such a row may be a header or data."""
    assert data_in(["Rome", "IT", "1990"], [["Oslo", "NO", "4.5"], ["Bern", "CH", "2"]]) == "'1990', a number above numbers"
