"""CSV files as a table: parsed by Arrow, with one type a column over all records of all files.

A column is int64 if all its values are whole numbers, else float64 if all are numbers, else bool, else text; dates stay text.
Arrow by itself rounds integers that no int64 holds and floats past the largest one without a word, and names neither file
nor line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from tfinput.errors import FileError, refusal, short
from tfinput.sources import csvscan
from tfinput.sources.columns import Field, field
from tfinput.sources.csvfiles import UTF8, CsvFile

BLOCK = 1 << 20  # What Arrow gives to one of its threads.
LARGEST_BLOCK = (1 << 31) - 1
# Up to here float64 holds every whole number.
EXACT = 2.0**53
# What stands for a missing value, but in columns of text.
MISSING = ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"]
MISSING += ["N/A", "NA", "NULL", "NaN", "n/a", "nan", "null", "None", "<NA>"]
# Texts of integers and infinities; Arrow leaves out the spaces around numbers.
WHOLE = re.compile(rb"\s*[+-]?\d+\s*")
NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
INFINITE = re.compile(rb"\s*[+-]?inf(inity)?\s*", re.IGNORECASE)
KINDS = {"int64": "a whole number (int64)", "double": "a number", "bool": "true or false", "string": "text in UTF-8"}


@dataclass(frozen=True)
class Text:
    """Neighbouring records of a file: where they begin, and their bytes."""

    file: CsvFile
    start: int
    data: bytes

    def where(self, row: int) -> str:
        """The file and line in which a record begins."""
        return f"{self.file.path} line {self.file.line(self.start + int(csvscan.records(self.data, self.file.delimiter)[0][row]))}"


@dataclass(frozen=True)
class Piece:
    """Neighbouring records of a file, with the types that they have by themselves."""

    file: CsvFile
    start: int
    stop: int
    rows: int
    types: dict[str, Any]
    missing: frozenset[str]
    large: frozenset[str]
    numbers: dict[str, int]  # how many there are among the values of each column

    def text(self) -> Text:
        """Its bytes, read again."""
        return Text(self.file, self.start, self.file.read(self.start, self.stop))


class CsvTable:
    """Records of files with the same columns; see `tabular.Pieces`."""

    def __init__(self, name: str, files: Sequence[CsvFile], names: Sequence[str], fill: Any, types: Mapping[str, Any] | None, keep: bool):
        self.name, self.paths = name, [file.path for file in files]
        self._kept: dict[int, Any] = {}
        self.pieces = self._found(files, names, types, keep)
        self.counts = [piece.rows for piece in self.pieces]
        if not self.pieces:
            raise refusal(self.paths[0], "at least one record", "none below the header", "Check the file.")
        settled = types or {each: _common_type([piece.types[each] for piece in self.pieces]) for each in names}
        self.fields: dict[str, Field] = {each: field(self.paths[0], each, settled[each], fill) for each in names}
        self.suspects = [number for number, piece in enumerate(self.pieces) if self._suspect(piece)]

    def table(self, piece: int, names: Sequence[str]) -> Any:
        """Some columns of a piece, each of its type over all pieces."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found, kept = self.pieces[piece], self._kept.pop(piece, None)
        types = {name: self.fields[name].type for name in names}
        fresh = {name: kind for name, kind in types.items() if kept is None or kept.schema.field(name).type != kind}
        parsed: Any = _parsed(found.text(), fresh) if fresh else None
        made = {name: (parsed if name in fresh else kept).column(name) for name in names}
        for name in names:
            if name in found.large and str(types[name]) == "double":
                self._refuse_rounded(piece, name, made[name])
            if self.fields[name].text and self.fields[name].fill is not None:
                made[name] = pc.if_else(pc.equal(made[name], ""), None, made[name])
        return pa.table(made)

    def tables(self, piece: int, names: Sequence[str], rows: int) -> Iterator[Any]:
        """The same in tables of so many rows, but for the last one."""
        table = self.table(piece, names)
        return (table.slice(start, rows) for start in range(0, table.num_rows, rows))

    def where(self, piece: int, row: int) -> str:
        """The file and line in which a record begins."""
        return self.pieces[piece].text().where(row)

    def mixed(self) -> Iterator[str]:
        """What to say of columns that are text because of a few values among numbers."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for name in [each for each in self.fields if self.fields[each].text]:
            numbers = [piece.numbers.get(name, 0) for piece in self.pieces]
            if 2 * sum(numbers) > sum(self.counts) > sum(numbers):
                piece = next(place for place, count in enumerate(numbers) if count < self.counts[place])
                texts = _parsed(self.pieces[piece].text(), {name: pa.string()}).column(name)
                row = pc.index(_numeric(texts), False).as_py()
                found = f"{short(texts[row].as_py())} in {self.where(piece, row)} is none"
                yield f"Column {name!r} is text: {sum(numbers):,} of its {sum(self.counts):,} values are numbers, but {found}."

    def _found(self, files: Sequence[CsvFile], names: Sequence[str], types: Mapping[str, Any] | None, keep: bool) -> list[Piece]:
        pieces: list[Piece] = []
        total = sum(file.state[0] for file in files)
        with tqdm(total=total, unit="B", unit_scale=True, desc=f"tfinput: reading {self.name}", delay=2, leave=False) as bar:
            for file in files:
                for start, data in file.pieces():
                    text = Text(file, start, data)
                    table = _parsed(text, types or dict.fromkeys(names))
                    bar.update(len(data))
                    if table.num_rows == 0:
                        continue
                    if keep:
                        self._kept[len(pieces)] = table
                    pieces.append(_piece(text, table))
        return pieces

    def _suspect(self, piece: Piece) -> bool:
        empty = any(self.fields[name].fill is None and not self.fields[name].text for name in piece.missing)
        return empty or bool(piece.large)

    def _refuse_rounded(self, piece: int, name: str, column: Any) -> None:
        """Refuse whole numbers and overflows that float64 would change without a word."""
        import pyarrow as pa

        found, numbers = self.pieces[piece].text(), column.to_numpy()
        texts = _parsed(found, {name: pa.binary()}).column(name)
        for row in np.flatnonzero(np.abs(numbers) >= EXACT).tolist():
            text = texts[row].as_py()
            exact = INFINITE.fullmatch(text) if np.isinf(numbers[row]) else not WHOLE.fullmatch(text) or int(text) == int(numbers[row])
            if not exact:
                fix = "Leave the column out with columns=[...], or write it so that it is text."
                expected = "a number that int64 or float64 holds"
                raise refusal(f"{found.where(row)}, column {name!r}", expected, short(text.decode()), fix)


def _common_type(types: Sequence[Any]) -> Any:
    """The type that holds the values of several pieces of a column."""
    import pyarrow as pa

    kinds = {str(each) for each in types} - {"null"}
    if kinds <= {"int64", "double"}:
        return pa.null() if not kinds else pa.float64() if "double" in kinds else pa.int64()
    return pa.bool_() if kinds == {"bool"} else pa.string()


def _piece(text: Text, table: Any) -> Piece:
    import pyarrow.compute as pc

    types = {each.name: each.type for each in table.schema}
    missing = frozenset(name for name in types if table.column(name).null_count)
    large, numbers = set(), {}
    for name, kind in types.items():
        if str(kind) in ("int64", "double"):
            numbers[name] = table.num_rows
            ends = pc.min_max(table.column(name)).as_py()
            if ends["max"] is not None and max(ends["max"], -ends["min"]) >= EXACT:
                large.add(name)
        elif str(kind) in ("string", "null"):
            numbers[name] = pc.sum(_numeric(table.column(name).cast("string"))).as_py() or 0
        elif str(kind) == "binary":
            rows = enumerate(table.column(name).to_pylist())
            bad, value = next((row, value) for row, value in rows if value.decode(errors="ignore").encode() != value)
            raise refusal(f"{text.where(bad)}, column {name!r}", "text in UTF-8", short(value), UTF8, FileError)
    return Piece(text.file, text.start, text.start + len(text.data), table.num_rows, types, missing, frozenset(large), numbers)


def _numeric(texts: Any) -> Any:
    """Whether each text is a number, or stands for a missing one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.fill_null(pc.or_(pc.match_substring_regex(texts, NUMBER), pc.is_in(texts, pa.array(MISSING))), True)


def _parsed(text: Text, types: Mapping[str, Any]) -> Any:
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
