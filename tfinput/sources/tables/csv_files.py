"""CSV files as bytes: plain or gzip, their first record, and pieces that begin and end with records."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import itertools
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tfinput.errors import FileError, refusal, short
from tfinput.sources.tables import csv_scan
from tfinput.sources.tables.csv_header import INFERRED, CsvHeader

PIECE = 8 << 20
HEAD = 1 << 20
# What is looked at to tell a header from data: so many bytes, and so many records.
SAMPLE, SAMPLED = 1 << 16, 100
LONGEST_RECORD = 256 << 20
BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"
UTF8 = "Save the file as UTF-8."
UNPACK = "Unpack it, or pack it with gzip."
# What other files begin with, further than a column's name might, what they are, and what to do about them.
OTHERS = (
    ((b"\xff\xfe", b"\xfe\xff"), "UTF-16", UTF8),
    ((b"PAR1\x15",), "a Parquet file", "Use tfinput.from_parquet."),
    ((b"PK\3\4",), "a zip archive (as Excel files are, too)", "Unpack it, or save the table as CSV."),
    ((*(b"BZh%d1AY&SY" % level for level in range(1, 10)), b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"), "a compressed file", UNPACK),
)
# The longest field that Python's csv module takes is a setting of the whole process.
_LIMIT = threading.Lock()
CHANGED = "It changed while it was in use: leave it alone, and build the feed again."


@dataclass(frozen=True)
class CsvFile:
    """One file: the names of its columns, where its records begin, and what tells whether it was changed since.

    `row` is its first record.
    """

    path: str
    delimiter: str
    names: tuple[str, ...]
    start: int
    zipped: bool
    state: tuple[int, int]
    row: tuple[str, ...] = ()

    def open(self) -> Any:
        """The file as it unpacks, if it is still the same."""
        unchanged(self.path, self.state)
        return gzip.open(self.path, "rb") if self.zipped else open(self.path, "rb")

    def read(self, start: int, stop: int) -> bytes:
        """Some of its bytes."""
        with self.open() as file:
            file.seek(start)
            data: bytes = _undamaged(self.path, lambda: file.read(stop - start))
        if len(data) < stop - start:
            raise refusal(self.path, f"at least {stop} bytes", f"{start + len(data)}", CHANGED, FileError)
        return data

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """All its records in pieces of some megabytes, each with where it begins; a gzip file is one piece."""
        at, data = self.start, b""
        with self.open() as file:
            _undamaged(self.path, lambda: file.seek(at))
            while True:
                more = _undamaged(self.path, lambda: file.read(-1 if self.zipped else PIECE))
                data += more
                last = self.zipped or not more
                end = len(data) if last else csv_scan.cut(data, self.delimiter)
                if last or (not end and len(data) > LONGEST_RECORD):
                    self._refuse_unclosed(at, data)
                if end:
                    yield at, data[:end]
                elif len(data) > LONGEST_RECORD:
                    where = f"{self.path} line {self.line(at)}"
                    raise refusal(where, f"a record of at most {LONGEST_RECORD} bytes", "a longer one", "Check the line ends.", FileError)
                if last:
                    return
                at, data = at + end, data[end:]

    def line(self, offset: int) -> int:
        """The number of the line, from 1 on, in which a byte lies."""
        count, at, ended = 1, 0, False
        with self.open() as file:
            while at < offset:
                data = file.read(min(PIECE, offset - at))
                count += csv_scan.lines(data) - (ended and data[:1] == b"\n")
                at, ended = at + len(data), data[-1:] == b"\r"
        return count

    def _refuse_unclosed(self, at: int, data: bytes) -> None:
        try:
            if b'"' in data:
                csv_scan.records(data, self.delimiter)
        except csv_scan.UnclosedQuoteError as error:
            fix = "Close the quote, or double it if it is part of the text."
            where = f"{self.path} line {self.line(at + error.args[0])}"
            raise refusal(where, "a closing quote", "none for the one that opens a field there", fix, FileError) from None


def state_of(path: str) -> tuple[int, int]:
    """Size and time of a file, which tell whether it changed."""
    try:
        status = os.stat(path)
    except OSError:
        return -1, 0
    return status.st_size, status.st_mtime_ns


def unchanged(path: str, state: tuple[int, int]) -> None:
    """Refuse a file that is no longer what it was when the feed was built."""
    now, time = state_of(path)
    if (now, time) != state:
        got = f"{now} bytes, written later" if now >= 0 else "no file there"
        raise refusal(path, f"the file as it was, {state[0]} bytes", got, CHANGED, FileError)


def _undamaged(path: str, read: Callable[[], Any]) -> Any:
    """What `read` returns; a damaged archive is refused by its path."""
    try:
        return read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise refusal(path, "a whole gzip file", short(str(error)), "Copy or download it again.", FileError) from error


def csv_file(path: str, delimiter: str, header: CsvHeader = INFERRED, other: CsvFile | None = None) -> CsvFile:
    """Open a file and settle what its columns are called; `other` is the first of those that were opened before."""
    with open(path, "rb") as raw:
        zipped = raw.read(2) == GZIP
    bare = CsvFile(path, delimiter, (), 0, zipped, state_of(path))
    data, begin, end, last = _head(bare)
    line = 1 + csv_scan.lines(data[: begin + int(csv_scan.records(data[begin:end], delimiter)[0][0])]) if end else 1
    row = _first(path, line, data[begin:end], delimiter)
    if not row:
        expected = "at least one record" if header.row is False else "a first line with the names of the columns"
        raise refusal(path, expected, "an empty file", "Check the file.", FileError)

    def below() -> list[list[str]]:
        sample = data[end : end + SAMPLE]
        stop = csv_scan.cut(sample, delimiter) or csv_scan.first(data[end:], delimiter, last)
        return _fields(data[end : end + stop].decode(errors="replace"), delimiter, SAMPLED)

    names, titled = header.settled(path, line, row, below, () if other is None else other.row)
    return dataclasses.replace(bare, names=names, start=end if titled else begin, row=row)


def _head(bare: CsvFile) -> tuple[bytes, int, int, bool]:
    """What a file begins with, up to its second record or further; where the first one begins and ends; whether that is all."""
    data, begin, end, below, more = b"", 0, 0, 0, b"?"
    with bare.open() as file:
        while more and not below and len(data) < LONGEST_RECORD:
            more = _undamaged(bare.path, lambda: file.read(HEAD))
            data += more
            begin = len(BOM) if data.startswith(BOM) else 0
            for begins, what, fix in OTHERS:
                if data.startswith(begins):
                    raise refusal(bare.path, "text in UTF-8", what, fix, FileError)
            if not more:
                bare._refuse_unclosed(begin, data[begin:])
            if not end and (found := csv_scan.first(data[begin:], bare.delimiter, last=not more)):
                end = begin + found
            below = csv_scan.first(data[end:], bare.delimiter, last=not more) if end else 0
    return data, begin, end, not more


def _first(path: str, line: int, record: bytes, delimiter: str) -> tuple[str, ...]:
    """The fields of the first record; none of an empty file."""
    try:
        text = record.decode()
    except UnicodeDecodeError as error:
        got = short(error.object[error.start : error.end])
        raise refusal(f"{path} line {line}", "text in UTF-8", got, UTF8, FileError) from error
    if "\0" in text:
        raise refusal(path, "a CSV file", "a binary file", "Check the path.", FileError)
    return tuple(next(iter(_fields(text, delimiter, 1)), ()))


def _fields(text: str, delimiter: str, most: int) -> list[list[str]]:
    """The fields of at most so many records, of any length."""
    with _LIMIT:
        limit = csv.field_size_limit(max(len(text), csv.field_size_limit()))
        try:
            records = (record for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if record)
            return list(itertools.islice(records, most))
        finally:
            csv.field_size_limit(limit)
