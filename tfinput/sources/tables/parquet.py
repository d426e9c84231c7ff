"""Parquet files as a table, in pieces of neighbouring row groups."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tfinput.errors import FileError, refusal, short
from tfinput.sources.tables.arrow_columns import Field, field
from tfinput.sources.tables.csv_files import state_of, unchanged

PIECE = 8 << 20
# Bytes read ahead in each column where a piece is decoded bit by bit.
BUFFER = 1 << 18
# So many tables are decoded together: of hundreds of columns, to decode a few rows at a time takes twice as long.
TABLES = 8
BROKEN = "Copy or write it again."


@dataclass(frozen=True)
class ParquetFile:
    """One file: what its footer says, and what tells whether it was changed since."""

    path: str
    metadata: Any
    schema: Any
    state: tuple[int, int]

    def read(self, groups: Sequence[int], names: Sequence[str]) -> Any:
        """Some columns of some row groups as an Arrow table."""
        unchanged(self.path, self.state)
        with _opened(self.path, self.metadata) as file:
            return _sound(self.path, lambda: file.read_row_groups(list(groups), columns=list(names)))

    def batches(self, groups: Sequence[int], names: Sequence[str], rows: int) -> Iterator[Any]:
        """The same as record batches of at most so many rows, decoded one after another: a row group may be larger than memory."""
        unchanged(self.path, self.state)
        with _opened(self.path, self.metadata, BUFFER) as file:
            found = file.iter_batches(rows, list(groups), list(names))
            while (batch := _sound(self.path, lambda: next(found, None))) is not None:
                unchanged(self.path, self.state)
                yield batch


@dataclass(frozen=True)
class RowGroupPiece:
    """Neighbouring row groups of a file, the rows before them, and their bytes before compression."""

    file: ParquetFile
    groups: tuple[int, ...]
    first: int
    rows: int
    nbytes: int


class ParquetTable:
    """Rows of files with the same columns; see `tabular.Pieces`."""

    def __init__(self, name: str, files: Sequence[ParquetFile], names: Sequence[str], fill: Any) -> None:
        self.name, self.paths = name, [file.path for file in files]
        self.fields: dict[str, Field] = {each: _field(files[0], each, fill) for each in names}
        for file in files[1:]:
            _refuse_unlike(files[0], file, {each: _field(file, each, fill) for each in names}, self.fields)
        self.pieces = [piece for file in files for piece in _pieces(file)]
        self.counts = [piece.rows for piece in self.pieces]
        if not self.pieces:
            raise refusal(self.paths[0], "at least one row", "none", "Check the file.")
        # What the footer says of single columns is not asked: of a damaged one, Arrow ends the process.
        self.suspects: list[int] = []

    def table(self, piece: int, names: Sequence[str]) -> Any:
        """Some columns of a piece."""
        found = self.pieces[piece]
        table = found.file.read(found.groups, names)
        _as_promised(found, names, table.schema, table.num_rows)
        return table

    def tables(self, piece: int, names: Sequence[str], rows: int) -> Iterator[Any]:
        """The same in tables of so many rows, but for the last one."""
        import pyarrow as pa

        found = self.pieces[piece]
        schema, done, kept = None, 0, None
        for batch in found.file.batches(found.groups, names, TABLES * rows):
            done += batch.num_rows
            if batch.schema != schema or done > found.rows:
                schema = batch.schema
                _as_promised(found, names, schema, max(done, found.rows))
            # Arrow ends a batch early where one of the columns has a chunk that ends.
            kept = pa.Table.from_batches([*(kept.to_batches() if kept else ()), batch])
            while kept.num_rows >= rows:
                yield kept.slice(0, rows)
                kept = kept.slice(rows)
        if done < found.rows:
            _as_promised(found, names, schema or found.file.schema, done)
        if kept:
            yield kept

    @property
    def nbytes(self) -> int:
        """About how much memory it takes; texts take 32 bytes each besides."""
        widths = [math.prod(each.shape) * (32 if each.text else each.dtype.itemsize) for each in self.fields.values()]
        texts = sum(piece.nbytes for piece in self.pieces) if any(each.text for each in self.fields.values()) else 0
        return sum(self.counts) * sum(widths) + texts

    def where(self, piece: int, row: int) -> str:
        """The file and row, counted from 1 on."""
        return f"{self.pieces[piece].file.path} row {self.pieces[piece].first + row + 1}"


def parquet_file(path: str) -> ParquetFile:
    """Open a file: read its footer."""
    state = state_of(path)
    with _opened(path) as file:
        about = file.metadata
        rows = sum(about.row_group(group).num_rows for group in range(about.num_row_groups))
        if rows != about.num_rows:  # Nothing in a footer is checked by a sum of its bytes.
            raise refusal(path, f"{about.num_rows} rows, as its footer says", f"row groups of {rows} together", BROKEN, FileError)
        return ParquetFile(path, about, _sound(path, lambda: file.schema_arrow), state)


@contextlib.contextmanager
def _opened(path: str, metadata: Any = None, buffer: int = 0) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with contextlib.ExitStack() as stack:
        # Arrow takes no names that are not Unicode.
        source = path if path.isprintable() else stack.enter_context(open(path, "rb"))
        how = {"metadata": metadata, "buffer_size": buffer, "pre_buffer": not buffer, "page_checksum_verification": True}
        yield stack.enter_context(_sound(path, lambda: pq.ParquetFile(source, **how)))


def _sound(path: str, read: Callable[[], Any]) -> Any:
    """What `read` returns; a damaged file is refused by its path."""
    import pyarrow as pa

    try:
        return read()
    except (pa.ArrowException, OSError, UnicodeError, OverflowError) as error:
        if isinstance(error, FileError):
            raise
        got = f"{short(str(error), 160)} ({os.path.getsize(path)} bytes)" if os.path.exists(path) else "no file there"
        fix = f"{BROKEN} For CSV, use tfinput.from_csv." if "magic bytes" in str(error) else BROKEN
        raise refusal(path, "a sound Parquet file", got, fix, FileError) from error


def _as_promised(piece: RowGroupPiece, names: Sequence[str], schema: Any, rows: int) -> None:
    """Refuse a piece that is not what the footer says."""
    types = {name: piece.file.schema.field(name).type for name in names}
    got = {name: schema.field(name).type for name in names if name in schema.names}
    if rows != piece.rows or got != types:
        raise refusal(piece.file.path, f"{piece.rows} rows of {short(list(names))}", f"{rows} of {got}", BROKEN, FileError)


def _field(file: ParquetFile, name: str, fill: Any) -> Field:
    length = _one_length(file, name)
    if length:
        kind = file.schema.field(name).type
        fix = f"Store them as a fixed-size list, column.cast(pyarrow.list_(column.type.value_type, {length})), "
        got = f"{kind}, whose lists have {length} each"
        raise refusal(
            f"{file.path}, column {name!r}", "numbers, bools or text", got, f"{fix}or leave it out with columns=[...].", TypeError
        )
    return field(file.path, name, file.schema.field(name).type, fill)


def _one_length(file: ParquetFile, name: str) -> int | None:
    """How long all lists of a column are, as far as the first row group tells; None of other columns, and where lengths differ."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = file.schema.field(name).type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)) or not pa.types.is_primitive(kind.value_type):
        return None
    if not file.metadata.num_row_groups:
        return None
    lengths = pc.min_max(pc.list_value_length(file.read([0], [name]).column(name))).as_py()
    return lengths["min"] if lengths["min"] == lengths["max"] else None


def _refuse_unlike(first: ParquetFile, file: ParquetFile, theirs: dict[str, Field], ours: dict[str, Field]) -> None:
    for name, field_ in theirs.items():
        mine = ours[name]
        if (field_.dtype, field_.shape) != (mine.dtype, mine.shape):
            fix = "Write all files with one schema."
            raise refusal(f"{file.path}, column {name!r}", f"{mine.type}, as in {first.path}", f"{field_.type}", fix)


def _pieces(file: ParquetFile) -> list[RowGroupPiece]:
    """Row groups of some megabytes together: small ones cost more to open than to read."""
    made: list[RowGroupPiece] = []
    groups: list[int] = []
    first = rows = size = 0
    count = file.metadata.num_row_groups
    for group in range(count):
        about = file.metadata.row_group(group)
        groups.append(group)
        rows, size = rows + about.num_rows, size + about.total_byte_size
        if size >= PIECE or group == count - 1:
            if rows:
                made.append(RowGroupPiece(file, tuple(groups), first, rows, size))
            first, rows, size, groups = first + rows, 0, 0, []
    return made
