"""CSV files with gaps: a label that is missing is no class, and what is missing is neither a number nor a word."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tfinput
from tfinput.sources.tables import csv_files
from tfinput.sources.tables.csv_header import MISSING


@pytest.fixture(params=["in memory", "streamed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(csv_files, "PIECE", 30)
    return {"in_memory": request.param == "in memory", "verbose": False}


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


WORDS = [*MISSING, '""', '"NA"', " ", "\t", " null "]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("mode", ["int", None])
def test_a_label_that_is_missing_is_told_with_its_line(tmp_path: Path, way: dict[str, Any], word: str, mode: str | None) -> None:
    path = written(tmp_path / "x.csv", f"a,kind\n1,cat\n2,dog\n3,cat\n4,{word}\n5,dog\n6,{word}\n")
    plain = word.strip('"').strip()
    got = "nothing" if not word.strip('"') else f"{word.strip(chr(34))!r}, which stands for a missing value"
    message = f"x.csv line 5, column 'kind': expected a label (text), got {got}. Drop those rows, or pass fill="
    with pytest.raises(ValueError, match=re.escape(message)):
        tfinput.from_csv(path, label="kind", label_mode=mode, **way)
    filled = tfinput.from_csv(path, label="kind", fill={"kind": plain or "other"}, batch_size=6, **way)
    assert set(filled.class_names) == {"cat", "dog", plain or "other"}
    (batch,) = filled.examples("train")
    texts = [filled.class_names[number] for number in batch[1].numpy()]
    assert texts == ["cat", "dog", "cat", plain or "other", "dog", plain or "other"]


def test_a_missing_label_is_refused_as_in_parquet(tmp_path: Path) -> None:
    """Alone, beside other targets, in validation data, in a packed file, and where a fill is no text."""
    frame = pd.DataFrame({"a": [1, 2, 3], "kind": ["cat", None, "dog"], "sort": ["x", "y", "z"]})
    frame.to_csv(tmp_path / "x.csv", index=False)
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "x.parquet")
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress((tmp_path / "x.csv").read_bytes()))
    whole = written(tmp_path / "whole.csv", "a,kind,sort\n1,cat,x\n2,dog,y\n")
    for label in ("kind", ["kind", "sort"]):
        for asked in ({}, {"fill": 0}, {"fill": {"a": 0, "sort": "z"}} if label != "kind" else {"fill": {"a": 7}}):
            with pytest.raises(ValueError, match=r"x\.parquet row 2, column 'kind'"):
                tfinput.from_parquet(tmp_path / "x.parquet", label=label, verbose=False, **asked)
            for name in ("x.csv", "x.csv.gz"):
                with pytest.raises(ValueError, match=rf"{name} line 3, column 'kind': expected a label \(text\), got nothing"):
                    tfinput.from_csv(tmp_path / name, label=label, verbose=False, **asked)
    with pytest.raises(ValueError, match=r"x\.csv line 3, column 'kind': expected a label"):
        tfinput.from_csv(whole, label="kind", validation_data=tmp_path / "x.csv", verbose=False)
    with pytest.raises(ValueError, match=r"x\.csv line 3, column '1': expected a label"):
        tfinput.from_csv(tmp_path / "x.csv", header=False, label=1, verbose=False)


def test_text_that_is_an_input_stays_what_it_is(tmp_path: Path, way: dict[str, Any]) -> None:
    path = written(tmp_path / "x.csv", 'a,kind\ncat,x\n,y\nNA,x\n"",y\nNone,x\n')
    feed = tfinput.from_csv(path, label="kind", batch_size=5, **way)
    (batch,) = feed.examples("train")
    assert batch[0]["a"].numpy().tolist() == [b"cat", b"", b"NA", b"", b"None"]
    assert feed.class_names == ("x", "y")
    (batch,) = tfinput.from_csv(path, label="kind", fill={"a": "?"}, batch_size=5, **way).examples("train")
    assert batch[0]["a"].numpy().tolist() == [b"cat", b"?", b"NA", b"?", b"None"]


def said(path: Path, capsys: pytest.CaptureFixture[str], **asked: Any) -> list[str]:
    tfinput.from_csv(path, **asked)
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("Column")]


FALSE: dict[str, list[str]] = {
    "words among gaps": [*[""] * 90, *"abcdefghij"],
    "words among words for gaps": [*["NA", "null", "n/a", "NaN", "None"] * 20, *"abcdefghij"],
    "a few numbers among words and gaps": [*[""] * 90, "1", "2", *"abcdefghij"],
    "as many numbers as words": ["1", "", "x", "NA"] * 10,
    "gaps alone and a word": [*[""] * 30, "x"],
    "bools and gaps": [*[""] * 30, "true", "x", "false"],
}


@pytest.mark.parametrize("name", FALSE)
def test_gaps_are_no_numbers_among_text(tmp_path: Path, capsys: pytest.CaptureFixture[str], way: dict[str, Any], name: str) -> None:
    path = written(tmp_path / "x.csv", "column,i\n" + "".join(f"{value},{place}\n" for place, value in enumerate(FALSE[name])))
    assert said(path, capsys, in_memory=way["in_memory"]) == []


TRUE: dict[str, tuple[list[str], str, str]] = {
    "a word": ([*map(str, range(50)), "many", *map(str, range(9))], "59 of its 60", "'many' in {path} line 52"),
    "a word behind gaps": (["", "1", "NA", "2.5", "null", "-3", "", "?"], "3 of its 4", "'?' in {path} line 9"),
    "a word before gaps": (["low", *[""] * 40, "1", "2e3", *["NaN"] * 9, ".5"], "3 of its 4", "'low' in {path} line 2"),
    "spaces alone": (["1", " ", "3", ""], "2 of its 3", "' ' in {path} line 3"),
    "numbers, gaps and words in pieces of their own": ([*["7"] * 40, *[""] * 40, *["x"] * 20], "40 of its 60", "'x' in {path} line 82"),
}


@pytest.mark.parametrize("name", TRUE)
def test_numbers_among_text_are_counted_without_gaps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], way: dict[str, Any], name: str
) -> None:
    values, counts, found = TRUE[name]
    path = written(tmp_path / "x.csv", "column,i\n" + "".join(f"{value},{place}\n" for place, value in enumerate(values)))
    expected = f"Column 'column' is text: {counts} values are numbers, but {found.format(path=path)} is none."
    assert said(path, capsys, in_memory=way["in_memory"]) == [expected]
    others = written(tmp_path / "y.csv", "column,i\n")
    assert said([path, others], capsys, in_memory=way["in_memory"]) == [expected]


def test_what_makes_a_matrix_impossible_is_no_gap(tmp_path: Path, way: dict[str, Any]) -> None:
    path = written(tmp_path / "x.csv", "a,b\n1,\n2,NA\n3,low\n4,5\n")
    with pytest.raises(TypeError, match=r"column 'b': expected numbers, got text: 'low' in .*x\.csv line 4"):
        tfinput.from_csv(path, as_matrix=True, **way)


@pytest.mark.filterwarnings("error")
def test_a_line_of_another_length_is_told_whatever_its_bytes_are(tmp_path: Path, way: dict[str, Any]) -> None:
    cases = [
        (b"a,b\n1,x\n2,y,\xff\n", r"line 3: expected 2 fields, got 3: '2,y,ÿ'"),
        (b"a,b,c\n1,x,2\n\xe9\n", r"line 3: expected 3 fields, got 1: 'é'"),
        (b"a,b\n1,caf\xe9\n", r"line 2, column 'b': expected text in UTF-8, got b'caf\\xe9'\. Save the file as UTF-8\."),
    ]
    for content, message in cases:
        with pytest.raises(ValueError, match=rf"x\.csv {message}"):
            tfinput.from_csv(written(tmp_path / "x.csv", content), **way)
    got = tfinput.from_csv(written(tmp_path / "x.csv", b"a,b\n1,x\n2,\xff\n"), columns=["a"], **way)
    assert np.concatenate([batch["a"].numpy() for batch in got.examples("train")]).tolist() == [1, 2]
