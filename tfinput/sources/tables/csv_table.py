"""CSV files as a table: parsed by Arrow, with one type a column over all records of all files.

A column is int64 if all its values are whole numbers, else float64 if all are numbers, else bool, else text; dates stay text.
Arrow by itself rounds integers that no int64 holds and floats past the largest one without a word, and names neither file
nor line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from tfinput.errors import refusal, short
from tfinput.sources.tables import csv_parse
from tfinput.sources.tables.arrow_columns import Field, field
from tfinput.sources.tables.csv_files import CsvFile

# Texts of integers and infinities; Arrow leaves out the spaces around numbers.
INTEGER = re.compile(rb"\s*[+-]?\d+\s*")
INFINITE = re.compile(rb"\s*[+-]?inf(inity)?\s*", re.IGNORECASE)


class CsvTable:
    """Records of files with the same columns; see `tabular.Pieces`.

    Text in a column of `labels` may be missing as numbers may; elsewhere it is what it is.
    """

    def __init__(
        self,
        name: str,
        files: Sequence[CsvFile],
        names: Sequence[str],
        fill: Any,
        types: Mapping[str, Any] | None,
        keep: bool,
        labels: Sequence[str] = (),
    ) -> None:
        self.name, self.paths, self.labels = name, [file.path for file in files], labels
        self.first = files[0]
        self._kept: dict[int, Any] = {}
        self.pieces = self._all_pieces(files, names, types, keep)
        self.counts = [piece.rows for piece in self.pieces]
        if not self.pieces:
            fix = "Check the file, or pass header=False if its first line is data."
            raise refusal(self.paths[0], "at least one record", "none below the header", fix)
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
        parsed: Any = csv_parse.parsed(found.text(), fresh) if fresh else None
        made = {name: (parsed if name in fresh else kept).column(name) for name in names}
        for name in names:
            if name in found.large and str(types[name]) == "double":
                self._refuse_rounded(piece, name, made[name])
            if self.fields[name].text and (name in self.labels or self.fields[name].fill is not None):
                gaps = csv_parse.is_blank(made[name]) if name in self.labels else pc.equal(made[name], "")
                if self.fields[name].fill is None and pc.any(gaps).as_py():
                    raise self._without_label(piece, name, made[name], gaps)
                made[name] = pc.if_else(gaps, None, made[name])
        return pa.table(made)

    def tables(self, piece: int, names: Sequence[str], rows: int) -> Iterator[Any]:
        """The same in tables of so many rows, but for the last one."""
        table = self.table(piece, names)
        return (table.slice(start, rows) for start in range(0, table.num_rows, rows))

    def where(self, piece: int, row: int) -> str:
        """The file and line in which a record begins."""
        return self.pieces[piece].text().where(row)

    def mixed(self) -> Iterator[str]:
        """What to say of columns that are text because of a few values among numbers; what is missing is no value."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for name in [each for each in self.fields if self.fields[each].text]:
            numbers = [piece.numbers.get(name, 0) for piece in self.pieces]
            values = [piece.rows - piece.missing[name] for piece in self.pieces]
            if 2 * sum(numbers) > sum(values) > sum(numbers):
                piece = next(place for place, count in enumerate(numbers) if count < values[place])
                texts = csv_parse.parsed(self.pieces[piece].text(), {name: pa.string()}).column(name)
                row = pc.index(pc.or_(csv_parse.is_number(texts), csv_parse.is_missing(texts)), False).as_py()
                found = f"{short(texts[row].as_py())} in {self.where(piece, row)} is none"
                yield f"Column {name!r} is text: {sum(numbers):,} of its {sum(values):,} values are numbers, but {found}."

    def _all_pieces(
        self, files: Sequence[CsvFile], names: Sequence[str], types: Mapping[str, Any] | None, keep: bool
    ) -> list[csv_parse.CsvPiece]:
        pieces: list[csv_parse.CsvPiece] = []
        total = sum(file.state[0] for file in files)
        with tqdm(total=total, unit="B", unit_scale=True, desc=f"tfinput: reading {self.name}", delay=2, leave=False) as bar:
            for file in files:
                for start, data in file.pieces():
                    text = csv_parse.Text(file, start, data)
                    table = csv_parse.parsed(text, types or dict.fromkeys(names))
                    bar.update(len(data))
                    if table.num_rows == 0:
                        continue
                    if keep:
                        self._kept[len(pieces)] = table
                    pieces.append(csv_parse.piece(text, table))
        return pieces

    def _suspect(self, piece: csv_parse.CsvPiece) -> bool:
        empty = [name for name, field_ in self.fields.items() if field_.fill is None and (piece.missing[name] or name in piece.blank)]
        return bool(piece.large) or any(name in self.labels or not self.fields[name].text for name in empty)

    def _without_label(self, piece: int, name: str, texts: Any, gaps: Any) -> Exception:
        """The error for a label that is text and missing in a row."""
        import pyarrow.compute as pc

        row = pc.index(gaps, True).as_py()
        text = texts[row].as_py()
        got = f"{short(text)}, which stands for a missing value" if text else "nothing"
        fix = f"Drop those rows, or pass fill={{{name!r}: {text.strip() or 'other'!r}}} to make them a class."
        return refusal(f"{self.where(piece, row)}, column {name!r}", "a label (text)", got, fix)

    def _refuse_rounded(self, piece: int, name: str, column: Any) -> None:
        """Refuse whole numbers and overflows that float64 would change without a word."""
        import pyarrow as pa

        found, numbers = self.pieces[piece].text(), column.to_numpy()
        texts = csv_parse.parsed(found, {name: pa.binary()}).column(name)
        for row in np.flatnonzero(np.abs(numbers) >= csv_parse.EXACT).tolist():
            text = texts[row].as_py()
            exact = INFINITE.fullmatch(text) if np.isinf(numbers[row]) else not INTEGER.fullmatch(text) or int(text) == int(numbers[row])
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
