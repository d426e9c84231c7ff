"""Parquet files as a table, in pieces of neighbouring row groups."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tfinput.errors import FileError, refusal, short
from tfinput.sources.columns import Field, field
from tfinput.sources.csvfiles import state_of, unchanged

PIECE = 8 << 20
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


@dataclass(frozen=True)
class Piece:
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
        got = {name: table.schema.field(name).type for name in names if name in table.column_names}
        if table.num_rows != found.rows or got != {name: found.file.schema.field(name).type for name in names}:
            raise refusal(found.file.path, f"{found.rows} rows of {short(list(names))}", f"{table.num_rows} of {got}", BROKEN, FileError)
        return table

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
def _opened(path: str, metadata: Any = None) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with contextlib.ExitStack() as stack:
        # Arrow takes no names that are not Unicode.
        source = path if path.isprintable() else stack.enter_context(open(path, "rb"))
        opened = _sound(path, lambda: pq.ParquetFile(source, metadata=metadata, page_checksum_verification=True))
        yield stack.enter_context(opened)


def _sound(path: str, read: Callable[[], Any]) -> Any:
    """What `read` returns; a damaged file is refused by its path."""
    import pyarrow as pa

    try:
        return read()
    except (pa.ArrowException, OSError, UnicodeError, OverflowError) as error:
        if isinstance(error, FileError):
            raise
        got = f"{short(str(error), 160)} ({os.path.getsize(path)} bytes)" if os.path.exists(path) else "no file there"
        raise refusal(path, "a sound Parquet file", got, BROKEN, FileError) from error


def _field(file: ParquetFile, name: str, fill: Any) -> Field:
    return field(file.path, name, file.schema.field(name).type, fill)


def _refuse_unlike(first: ParquetFile, file: ParquetFile, theirs: dict[str, Field], ours: dict[str, Field]) -> None:
    for name, field_ in theirs.items():
        mine = ours[name]
        if (field_.dtype, field_.shape) != (mine.dtype, mine.shape):
            fix = "Write all files with one schema."
            raise refusal(f"{file.path}, column {name!r}", f"{mine.type}, as in {first.path}", f"{field_.type}", fix)


def _pieces(file: ParquetFile) -> list[Piece]:
    """Row groups of some megabytes together: small ones cost more to open than to read."""
    made: list[Piece] = []
    groups: list[int] = []
    first = rows = size = 0
    count = file.metadata.num_row_groups
    for group in range(count):
        about = file.metadata.row_group(group)
        groups.append(group)
        rows, size = rows + about.num_rows, size + about.total_byte_size
        if size >= PIECE or group == count - 1:
            if rows:
                made.append(Piece(file, tuple(groups), first, rows, size))
            first, rows, size, groups = first + rows, 0, 0, []
    return made
