"""TFRecord files: counted by their headers alone, read in runs of neighbouring records, every byte of them checked.

A file is a sequence of records: length (8 bytes), its checksum (4), data, checksum (4); checksums are masked CRC-32C. TensorFlow
takes a file that ends inside a header for one that ends well, so the count made here is what it is held to.
"""

from __future__ import annotations

import gzip
import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tfinput.errors import FileError, refusal, short
from tfinput.sources.folders import shown
from tfinput.sources.leaves import file_identity

FRAME = 16
# A run is what is read at a time: short enough to shuffle well, long enough for opening a file to be cheap beside it.
RUN_RECORDS = 128
RUN_BYTES = 256 << 10
PIECE = 1 << 20
FORMAT = 1


class Index(NamedTuple):
    """Where the runs of a file start, how many records each has, and how long all are when decompressed."""

    compression: str
    starts: list[int]
    counts: list[int]
    nbytes: int


def index(path: bytes, bar: Any) -> Index:
    """The index of a file: the remembered one if the file is still the same, else made anew and remembered beside it."""
    identity = file_identity(os.fsdecode(path)).hex()
    beside = Path(os.fsdecode(os.path.join(os.path.dirname(path), b"." + os.path.basename(path) + b".tfinput-index")))
    try:
        kept = json.loads(beside.read_text())
        if kept["format"] == FORMAT and kept["identity"] == identity:
            return Index(*(kept[name] for name in Index._fields))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    made = scan(path, bar)
    aside = beside.with_name(f"{beside.name}.{os.getpid()}")
    try:
        aside.write_text(json.dumps({"format": FORMAT, "identity": identity, **made._asdict()}))
        os.replace(aside, beside)
    except OSError:  # A folder that cannot be written to: it is counted again next time.
        aside.unlink(missing_ok=True)
    return made


def scan(path: bytes, bar: Any = None) -> Index:
    """Read the headers of a whole file."""
    try:
        with open(path, "rb") as file:
            head = file.read(12)
            compression = _compression(path, head)
            size = os.fstat(file.fileno()).st_size
            file.seek(0)
            stream: Any = file if not compression else gzip.GzipFile(fileobj=file) if compression == "GZIP" else _Inflated(file)
            starts, counts, length = _runs(path, stream, size if not compression else None, bar)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, "a whole compressed file", str(error)) from error
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise _damaged(path, "a file that can be read", error.strerror or str(error)) from error
    return Index(compression, starts if not compression else starts[:1], counts if not compression else [sum(counts)], length)


def _runs(path: bytes, stream: Any, size: int | None, bar: Any) -> tuple[list[int], list[int], int]:
    starts: list[int] = []
    counts: list[int] = []
    begun = records = offset = length = 0
    for offset, length in _headers(path, stream, size):
        if not counts or counts[-1] == RUN_RECORDS or offset + length - begun > RUN_BYTES:
            begun = offset
            starts.append(offset)
            counts.append(0)
            if bar is not None:
                bar.update(records)
                records = 0
        counts[-1] += 1
        records += 1
    if bar is not None:
        bar.update(records)
    return starts, counts, 0 if not counts else offset + length + FRAME


def _headers(path: bytes, stream: Any, size: int | None) -> Iterator[tuple[int, int]]:
    """Offset and length of each record; the file must end where the last one does."""
    offset = base = number = 0
    data = b""
    unpack = struct.Struct("<Q").unpack_from
    while True:
        if offset + 12 > base + len(data):
            base, data = offset, _at(stream, offset, size, path, number)
            if not data:
                return
            if len(data) < 12:
                raise _damaged(path, f"record {number} to begin at byte {offset}", f"{len(data)} bytes, less than its header")
        length = unpack(data, offset - base)[0]
        end = offset + length + FRAME
        if (size is not None and end > size) or length >= 1 << 40:
            header = data[offset - base : offset - base + 12]
            got = f"only {(size or 0) - offset} bytes" if _sound(header) else "a damaged length"
            raise _damaged(path, f"record {number} of {length} bytes at byte {offset}" if _sound(header) else f"record {number}", got)
        yield offset, length
        offset, number = end, number + 1


def _at(stream: Any, offset: int, size: int | None, path: bytes, number: int) -> bytes:
    stream.seek(offset)
    if size is None and stream.tell() != offset:
        raise _damaged(path, f"record {number - 1} to end at byte {offset}", f"the end of the data at byte {stream.tell()}")
    data: bytes = stream.read(PIECE)
    return data


def _compression(path: bytes, head: bytes) -> str:
    if head[:2] == b"\x1f\x8b":
        return "GZIP"
    # The length of a plain record may look like zlib's two bytes; its checksum tells.
    if not head or _sound(head):
        return ""
    if len(head) > 1 and head[0] & 15 == 8 and (head[0] * 256 + head[1]) % 31 == 0:
        return "ZLIB"
    if len(head) < 12:
        raise _damaged(path, "a TFRecord file", f"a file of {len(head)} bytes, less than one header")
    raise _damaged(path, "a TFRecord file", f"a file that begins with {short(head)}, whose first checksum is wrong")


def _damaged(path: bytes, expected: str, got: str) -> Exception:
    fix = "The file is damaged, cut off, or still being written: write it again, or leave it out."
    return refusal(shown(path), expected, got, fix, FileError)


class _Inflated:
    """A zlib stream that can be read forwards; it must end well."""

    def __init__(self, file: Any) -> None:
        self._file, self._inflate, self._place, self._rest = file, zlib.decompressobj(), 0, b""

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int) -> None:
        while self._place < offset and self.read(min(PIECE, offset - self._place)):
            pass

    def read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            given = self._rest or self._inflate.unused_data or self._file.read(PIECE)
            if self._inflate.eof:
                if given:
                    raise zlib.error("there is more after the end of the compressed data")
                break
            if not given:
                raise EOFError("the compressed data is cut off")
            found += self._inflate.decompress(given, size - len(found))
            self._rest = self._inflate.unconsumed_tail
        self._place += len(found)
        return found


def _table() -> list[int]:
    entries = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        entries.append(value)
    return entries


_CRC = _table()


def _sound(header: bytes) -> bool:
    """Whether the first 12 bytes of a record agree: the length and its masked CRC-32C (Castagnoli)."""
    if len(header) < 12:
        return False
    crc = 0xFFFFFFFF
    for byte in header[:8]:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return bool(masked == struct.unpack_from("<I", header, 8)[0])
