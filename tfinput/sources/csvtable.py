"""CSV files as a table: parsed by Arrow, with one type a column over all records of all files.

A column is int64 if all its values are whole numbers, else float64 if all are numbers, else bool, else text; dates stay text.
Arrow by itself rounds integers that no int64 holds and floats past the largest one without a word, and names neither file
nor line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
INFINITE = re.compile(rb"\s*[+-]?inf(inity)?\s*", re.IGNORECASE)
KINDS = {"int64": "a whole number (int64)", "double": "a number", "bool": "true or false", "string": "text in UTF-8"}


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


class CsvTable:
    """Records of files with the same columns; see `tabular.Pieces`."""

    def __init__(self, name: str, files: Sequence[CsvFile], names: Sequence[str], fill: Any, types: Mapping[str, Any] | None, keep: bool):
        self.name, self.paths = name, [file.path for file in files]
        self._kept: dict[int, Any] = {}
        self.pieces = self._found(files, names, types, keep)
        self.counts = [piece.rows for piece in self.pieces]
        if not self.pieces:
            raise refusal(self.paths[0], "at least one record", "none below the header", "Check the file.")
        settled = types or {each: common_type([piece.types[each] for piece in self.pieces]) for each in names}
        self.fields: dict[str, Field] = {each: field(self.paths[0], each, settled[each], fill) for each in names}
        self.types = {each: self.fields[each].type for each in names}
        self.suspects = [number for number, piece in enumerate(self.pieces) if self._suspect(piece)]

    def table(self, piece: int, names: Sequence[str]) -> Any:
        """Some columns of a piece, each of its type over all pieces."""
        import pyarrow.compute as pc

        found, kept = self.pieces[piece], self._kept.pop(piece, None)
        fresh = [name for name in names if kept is None or kept.schema.field(name).type != self.types[name]]
        if fresh:
            data = found.file.read(found.start, found.stop)
            parsed = _parsed(found.file, found.start, data, {name: self.types[name] for name in fresh})
        made = {name: (parsed if name in fresh else kept).column(name) for name in names}
        for name in names:
            if name in found.large and str(self.types[name]) == "double":
                self._refuse_rounded(piece, name, made[name])
            if self.fields[name].text and self.fields[name].fill is not None:
                made[name] = pc.if_else(pc.equal(made[name], ""), None, made[name])
        import pyarrow as pa

        return pa.table(made)

    def where(self, piece: int, row: int) -> str:
        """The file and line in which a record begins."""
        found = self.pieces[piece]
        return _line_of(found.file, found.start, found.file.read(found.start, found.stop), row)

    def _found(self, files: Sequence[CsvFile], names: Sequence[str], types: Mapping[str, Any] | None, keep: bool) -> list[Piece]:
        pieces: list[Piece] = []
        total = sum(file.state[0] for file in files)
        with tqdm(total=total, unit="B", unit_scale=True, desc=f"tfinput: reading {self.name}", delay=2, leave=False) as bar:
            for file in files:
                for start, data in file.pieces():
                    table = _parsed(file, start, data, types or dict.fromkeys(names))
                    bar.update(len(data))
                    if table.num_rows == 0:
                        continue
                    if keep:
                        self._kept[len(pieces)] = table
                    pieces.append(_piece(file, start, data, table))
        return pieces

    def _suspect(self, piece: Piece) -> bool:
        empty = any(self.fields[name].fill is None and not self.fields[name].text for name in piece.missing)
        return empty or bool(piece.large)

    def _refuse_rounded(self, piece: int, name: str, column: Any) -> None:
        """Refuse whole numbers and overflows that float64 would change without a word."""
        import pyarrow as pa

        found = self.pieces[piece]
        texts = _parsed(found.file, found.start, found.file.read(found.start, found.stop), {name: pa.binary()}).column(name)
        numbers = column.to_numpy()
        for row in np.flatnonzero(np.abs(numbers) >= EXACT).tolist():
            text = texts[row].as_py()
            exact = INFINITE.fullmatch(text) if np.isinf(numbers[row]) else not WHOLE.fullmatch(text) or int(text) == int(numbers[row])
            if not exact:
                fix = "Leave the column out with columns=[...], or write it so that it is text."
                raise refusal(
                    f"{self.where(piece, row)}, column {name!r}", "a number that int64 or float64 holds", short(text.decode()), fix
                )


def common_type(types: Sequence[Any]) -> Any:
    """The type that holds the values of several pieces of a column."""
    import pyarrow as pa

    kinds = {str(each) for each in types} - {"null"}
    if kinds <= {"int64", "double"}:
        return pa.null() if not kinds else pa.float64() if "double" in kinds else pa.int64()
    return pa.bool_() if kinds == {"bool"} else pa.string()


def _piece(file: CsvFile, start: int, data: bytes, table: Any) -> Piece:
    import pyarrow.compute as pc

    types = {each.name: each.type for each in table.schema}
    missing = frozenset(name for name in types if table.column(name).null_count)
    large = set()
    for name, kind in types.items():
        if str(kind) in ("int64", "double"):
            ends = pc.min_max(table.column(name)).as_py()
            if ends["max"] is not None and max(ends["max"], -ends["min"]) >= EXACT:
                large.add(name)
        elif str(kind) == "binary":
            rows = enumerate(table.column(name).to_pylist())
            bad, text = next((row, text) for row, text in rows if not _is_utf8(text))
            raise refusal(f"{_line_of(file, start, data, bad)}, column {name!r}", "text in UTF-8", short(text), UTF8, FileError)
    return Piece(file, start, start + len(data), table.num_rows, types, missing, frozenset(large))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _line_of(file: CsvFile, start: int, data: bytes, row: int) -> str:
    return f"{file.path} line {file.line(start + int(csvscan.records(data, file.delimiter)[0][row]))}"


def _parsed(file: CsvFile, start: int, data: bytes, types: Mapping[str, Any]) -> Any:
    """Columns of some records as a table; a type of None is found out."""
    import pyarrow as pa

    try:
        return _read(file, data, types)
    except pa.ArrowInvalid as error:
        return _read_slowly(file, start, data, types, error)


def _read(file: CsvFile, data: bytes, types: Mapping[str, Any], **careful: Any) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    if not data.strip(b"\r\n"):
        return pa.table({name: pa.nulls(0) for name in types})
    block = min(len(data), LARGEST_BLOCK) if careful else BLOCK
    return csv.read_csv(
        pa.BufferReader(data),
        csv.ReadOptions(use_threads=not careful, block_size=max(block, 1), column_names=file.names),
        csv.ParseOptions(delimiter=file.delimiter, newlines_in_values=b'"' in data, **careful),
        csv.ConvertOptions(
            column_types={name: kind for name, kind in types.items() if kind is not None},
            include_columns=list(types),
            null_values=MISSING,
            true_values=["true", "True", "TRUE"],
            false_values=["false", "False", "FALSE"],
        ),
    )


def _read_slowly(file: CsvFile, start: int, data: bytes, types: Mapping[str, Any], error: Exception) -> Any:
    """The same in one go, which takes records of any length; an error is told with its line and column."""
    import pyarrow as pa

    rows: list[Any] = []

    def ragged(row: Any) -> str:
        rows.append(row)
        return "error"

    try:
        return _read(file, data, types, invalid_row_handler=ragged)
    except pa.ArrowInvalid as again:
        error = again
    if rows:
        where = _line_of(file, start, data, rows[0].number - 1)
        fix = "Check the line: quote a field that holds the delimiter, or pass delimiter=."
        raise refusal(
            where, f"{rows[0].expected_columns} fields", f"{rows[0].actual_columns}: {short(rows[0].text)}", fix, FileError
        ) from error
    for name, kind in types.items():
        try:
            _read(file, data, {name: kind}, invalid_row_handler=ragged)
        except pa.ArrowInvalid as told:
            row = re.search(r"Row #(\d+)", str(told))
            value = re.search(r"invalid value '(.*)'", str(told), re.DOTALL)
            where = _line_of(file, start, data, int(row[1]) - 1) if row else file.path
            fix = "Correct it, or leave the column out with columns=[...]."
            expected = KINDS.get(str(kind), str(kind))
            raise refusal(f"{where}, column {name!r}", expected, short(value[1]) if value else short(str(told)), fix) from error
    raise refusal(file.path, "records that can be read", short(str(error), 200), "Check the file.", FileError) from error
