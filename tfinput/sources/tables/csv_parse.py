"""Records of CSV files as Arrow's reader parses them: their types, what is missing in them, and errors that name the line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfinput.errors import FileError, refusal, short
from tfinput.sources.tables import csv_scan
from tfinput.sources.tables.csv_files import UTF8, CsvFile
from tfinput.sources.tables.csv_header import MISSING, NUMBER

BLOCK = 1 << 20  # What Arrow gives to one of its threads.
LARGEST_BLOCK = (1 << 31) - 1
# Up to here float64 holds every whole number.
EXACT = 2.0**53
KINDS = {"int64": "a whole number (int64)", "double": "a number", "bool": "true or false", "string": "text in UTF-8"}


@dataclass(frozen=True)
class Text:
    """Neighbouring records of a file: where they begin, and their bytes."""

    file: CsvFile
    start: int
    data: bytes

    @property
    def sound(self) -> bool:
        """Whether it is UTF-8."""
        try:
            self.data.decode()
        except UnicodeDecodeError:
            return False
        return True

    def where(self, row: int) -> str:
        """The file and line in which a record begins."""
        return f"{self.file.path} line {self.file.line(self.start + int(csv_scan.records(self.data, self.file.delimiter)[0][row]))}"


@dataclass(frozen=True)
class CsvPiece:
    """Neighbouring records of a file, with the types that they have by themselves."""

    file: CsvFile
    start: int
    stop: int
    rows: int
    types: dict[str, Any]
    missing: dict[str, int]  # how many values are missing in each column
    blank: frozenset[str]  # columns of text in which some are missing, spaces around them left out
    large: frozenset[str]
    numbers: dict[str, int]  # how many there are among the values of each column

    def text(self) -> Text:
        """Its bytes, read again."""
        return Text(self.file, self.start, self.file.read(self.start, self.stop))


def piece(text: Text, table: Any) -> CsvPiece:
    """Some records, given as they were parsed by themselves."""
    import pyarrow.compute as pc

    types = {each.name: each.type for each in table.schema}
    missing = {name: table.column(name).null_count for name in types}
    large, blank = set[str](), set[str]()
    numbers = dict[str, int]()
    for name, kind in types.items():
        if str(kind) in ("int64", "double"):
            numbers[name] = table.num_rows - missing[name]
            ends = pc.min_max(table.column(name)).as_py()
            if ends["max"] is not None and max(ends["max"], -ends["min"]) >= EXACT:
                large.add(name)
        elif str(kind) == "string":
            numbers[name] = pc.sum(is_number(table.column(name))).as_py() or 0
            if pc.any(is_blank(table.column(name))).as_py():
                blank.add(name)
                missing[name] = pc.sum(is_missing(table.column(name))).as_py()
        elif str(kind) == "binary":
            rows = enumerate(table.column(name).to_pylist())
            bad, value = next((row, value) for row, value in rows if value.decode(errors="ignore").encode() != value)
            raise refusal(f"{text.where(bad)}, column {name!r}", "text in UTF-8", short(value), UTF8, FileError)
    stop = text.start + len(text.data)
    return CsvPiece(text.file, text.start, stop, table.num_rows, types, missing, frozenset(blank), frozenset(large), numbers)


def is_number(texts: Any) -> Any:
    """Whether each text is a number."""
    import pyarrow.compute as pc

    return pc.match_substring_regex(texts, NUMBER)


def is_missing(texts: Any) -> Any:
    """Whether each text stands for a missing value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(texts, pa.array(MISSING))


def is_blank(texts: Any) -> Any:
    """The same of what lies between the spaces around it."""
    import pyarrow.compute as pc

    return is_missing(pc.utf8_trim_whitespace(texts))


def parsed(text: Text, types: Mapping[str, Any]) -> Any:
    """Columns of some records as a table; a type of None is found out."""
    import pyarrow as pa

    try:
        return _read(text, types)
    except pa.ArrowInvalid:
        return _read_slowly(text, types)


def _read(text: Text, types: Mapping[str, Any], on_ragged: Any = None) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    data = text.data
    if not data.strip(b"\r\n"):
        return pa.table({name: pa.nulls(0) for name in types})
    block = min(len(data), LARGEST_BLOCK) if on_ragged else BLOCK
    return csv.read_csv(
        pa.BufferReader(data),
        csv.ReadOptions(use_threads=not on_ragged, block_size=max(block, 1), column_names=text.file.names),
        csv.ParseOptions(delimiter=text.file.delimiter, newlines_in_values=b'"' in data, invalid_row_handler=on_ragged),
        csv.ConvertOptions(
            column_types={name: kind for name, kind in types.items() if kind is not None},
            include_columns=list(types),
            null_values=MISSING,
            true_values=["true", "True", "TRUE"],
            false_values=["false", "False", "FALSE"],
        ),
    )


def _read_slowly(text: Text, types: Mapping[str, Any]) -> Any:
    """The same in one go, which takes records of any length; an error is told with its line and column."""
    import pyarrow as pa

    rows: list[Any] = []

    def ragged(row: Any) -> str:
        rows.append(row)
        return "error"

    try:
        if not text.sound:  # Of bytes that are no text, Arrow's reader hands no record over.
            _read(dataclasses.replace(text, data=text.data.decode("latin-1").encode()), dict.fromkeys(types), ragged)
        return _read(text, types, ragged)
    except pa.ArrowInvalid as error:
        if rows:
            expected, got = f"{rows[0].expected_columns} fields", f"{rows[0].actual_columns}: {short(rows[0].text)}"
            fix = "Check the line: quote a field that holds the delimiter, or pass delimiter=."
            raise refusal(text.where(rows[0].number - 1), expected, got, fix, FileError) from error
        for name, kind in types.items():
            _refuse_value(text, name, kind, ragged)
        raise refusal(text.file.path, "records that can be read", short(str(error), 200), "Check the file.", FileError) from error


def _refuse_value(text: Text, name: str, kind: Any, on_ragged: Any) -> None:
    """Tell the first value of a column that is not of its type, if there is one."""
    import pyarrow as pa

    try:
        _read(text, {name: kind}, on_ragged)
    except pa.ArrowInvalid as error:
        row = re.search(r"Row #(\d+)", str(error))
        value = re.search(r"invalid value '(.*)'", str(error), re.DOTALL)
        where = text.where(int(row[1]) - 1) if row else text.file.path
        fix = "Correct it, or leave the column out with columns=[...]."
        expected = KINDS.get(str(kind), str(kind))
        raise refusal(f"{where}, column {name!r}", expected, short(value[1] if value else str(error)), fix) from error
