"""TFRecord files: counted by their headers alone, read in runs of neighbouring records, every byte of them checked.

A file is a sequence of records: length (8 bytes), its checksum (4), data, checksum (4); checksums are masked CRC-32C. TensorFlow
takes a file that ends inside a header for one that ends well, so the count made here is what it is held to.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfinput.errors import FileError, refusal, short
from tfinput.material.columns import file_identity
from tfinput.material.folders import shown
from tfinput.sampling.numbering import Numbering

FRAME = 16
# A run is what is read at a time: short enough to shuffle well, long enough for opening a file to be cheap beside it.
RUN_RECORDS = 128
RUN_BYTES = 256 << 10
PIECE = 1 << 20
FORMAT = 2


class Index(NamedTuple):
    """Where the runs of a file start, the number of each one's first record, how many it has; and what of the file was lost.

    `nbytes` are the bytes of all records, decompressed.
    """

    compression: str
    starts: list[int]
    firsts: list[int]
    counts: list[int]
    nbytes: int
    lost: tuple[str, ...] = ()


def index(path: bytes, bar: Any, skip: bool = False) -> Index:
    """The index of a file: the remembered one if the file is still the same, else made anew and remembered beside it.

    With `skip`, damaged records are left out, and nothing is remembered of such a file.
    """
    identity = file_identity(os.fsdecode(path)).hex()
    beside = Path(os.fsdecode(os.path.join(os.path.dirname(path), b"." + os.path.basename(path) + b".tfinput-index")))
    try:
        kept = json.loads(beside.read_text())
        if kept["format"] == FORMAT and kept["identity"] == identity:
            return Index(*(kept[name] for name in Index._fields))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    made = scan(path, bar, skip)
    if made.lost:
        return made
    aside = beside.with_name(f"{beside.name}.{os.getpid()}")
    try:
        aside.write_text(json.dumps({"format": FORMAT, "identity": identity, **made._asdict()}))
        os.replace(aside, beside)
    except OSError:  # A folder that cannot be written to: it is counted again next time.
        aside.unlink(missing_ok=True)
    return made


def scan(path: bytes, bar: Any = None, skip: bool = False) -> Index:
    """Read the headers of a whole file; with `skip`, go on at the next sound one after damage."""
    lost: list[str] = []
    try:
        with open(path, "rb") as file:
            head = file.read(12)
            compression = _compression(path, head, skip)
            size = os.fstat(file.fileno()).st_size
            file.seek(0)
            stream: Any = file if not compression else gzip.GzipFile(fileobj=file) if compression == "GZIP" else _Inflated(file)
            # What is compressed as a whole has no sound part behind a damaged one.
            headers = _headers(path, stream, None if compression else size, lost if skip and not compression else None)
            runs = _runs(headers, bar)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, "a whole compressed file", str(error)) from error
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise _damaged(path, "a file that can be read", error.strerror or str(error)) from error
    if compression:
        runs = runs._replace(starts=runs.starts[:1], firsts=runs.firsts[:1], counts=[sum(runs.counts)] * bool(runs.counts))
    return runs._replace(compression=compression, lost=tuple(lost))


def within(path: bytes, start: int, first: int, count: int) -> Iterator[tuple[int, int, int]]:
    """Number, offset and length of the `count` records of a plain file from byte `start` on."""
    with open(path, "rb") as file:
        for number in range(first, first + count):
            file.seek(start)
            length = struct.unpack("<Q", file.read(8))[0]
            yield number, start, length
            start += length + FRAME


def _runs(headers: Iterator[tuple[int, int, int]], bar: Any) -> Index:
    made = Index("", [], [], [], 0)
    nbytes = begun = following = 0
    for number, offset, length in headers:
        full = not made.counts or made.counts[-1] == RUN_RECORDS or offset + length - begun > RUN_BYTES
        if full or offset != following:
            begun = offset
            made.starts.append(offset)
            made.firsts.append(number)
            made.counts.append(0)
        made.counts[-1] += 1
        nbytes += length + FRAME
        following = offset + length + FRAME
        if bar is not None:
            bar.update(1)
    return made._replace(nbytes=nbytes)


def _headers(path: bytes, stream: Any, size: int | None, lost: list[str] | None) -> Iterator[tuple[int, int, int]]:
    """Number, offset and length of each record; the file must end where the last one does, unless `lost` collects what is wrong."""
    offset = base = number = 0
    data = b""
    unpack = struct.Struct("<Q").unpack_from
    while True:
        if offset + 12 > base + len(data):
            base, data = offset, _at(stream, offset, size, path, number)
            if not data:
                return
        header = data[offset - base : offset - base + 12]
        wrong = _wrong(header, offset, size) or (None if lost is None or _sound(header) else "a damaged length")
        if wrong is None:
            length = unpack(data, offset - base)[0]
            yield number, offset, length
            offset, number = offset + length + FRAME, number + 1
            continue
        damage = _damaged(path, f"a whole record {number} at byte {offset}", wrong)
        if lost is None or size is None:
            raise damage
        found = _next_sound(stream, offset + 1, size)
        lost.append(f"record {number} at byte {offset}: {wrong}; {(found or size) - offset} bytes lost")
        if found is None:
            return
        offset, number, base, data = found, number + 1, 0, b""


def _wrong(header: bytes, offset: int, size: int | None) -> str | None:
    """What is wrong with a record's first 12 bytes, or None; the checksum is looked at only where the length cannot be true."""
    if len(header) < 12:
        return f"the end of the file, {len(header)} bytes into its header"
    length = struct.unpack_from("<Q", header)[0]
    if (size is None and length < 1 << 40) or (size is not None and offset + length + FRAME <= size):
        return None
    return f"the end of the file before its {length} bytes" if _sound(header) else "a damaged length"


def _next_sound(stream: Any, offset: int, size: int) -> int | None:
    """The next place where a header's checksum is right and its record fits."""
    while offset + FRAME <= size:
        stream.seek(offset)
        data = stream.read(PIECE)
        for place in range(len(data) - 11):
            header = data[place : place + 12]
            # The high bytes of a length are zero: that alone rules out nearly all places.
            if header[6] == 0 and header[7] == 0 and _sound(header) and _wrong(header, offset + place, size) is None:
                return int(offset + place)
        offset += max(1, len(data) - 11)
    return None


def _at(stream: Any, offset: int, size: int | None, path: bytes, number: int) -> bytes:
    stream.seek(offset)
    if size is None and stream.tell() != offset:
        raise _damaged(path, f"record {number - 1} to end at byte {offset}", f"the end of the data at byte {stream.tell()}")
    data: bytes = stream.read(PIECE)
    return data


def _compression(path: bytes, head: bytes, skip: bool) -> str:
    if head[:2] == b"\x1f\x8b":
        return "GZIP"
    # The length of a plain record may look like zlib's two bytes; its checksum tells.
    if not head or _sound(head):
        return ""
    if len(head) > 1 and head[0] & 15 == 8 and (head[0] * 256 + head[1]) % 31 == 0:
        return "ZLIB"
    if skip:
        return ""
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


def identities(paths: list[bytes], counts: Any) -> np.ndarray[Any, Any]:
    """A number for each record that depends on its file's name and its place alone: other files do not change it."""
    names = [os.path.basename(path) for path in paths]
    named = names if len(set(names)) == len(names) else paths
    keys = [int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little") for name in named]
    with np.errstate(over="ignore"):
        return np.concatenate([np.uint64(key) + np.arange(count, dtype=np.uint64) for key, count in zip(keys, counts, strict=True)])


def numbering(indexes: list[Index]) -> Numbering | None:
    """The places of the records of all files among them, lost ones too; what a damaged length hides counts as one."""
    if not any(each.lost for each in indexes):
        return None
    counts = [sum(each.counts) + len(each.lost) for each in indexes]
    runs = [
        start + first + np.arange(count)
        for start, each in zip(np.cumsum(counts) - counts, indexes, strict=True)
        for first, count in zip(each.firsts, each.counts, strict=True)
    ]
    return Numbering(sum(counts), np.concatenate(runs) if runs else np.zeros(0, np.int64))


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
