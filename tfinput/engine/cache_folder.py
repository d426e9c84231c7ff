"""A folder of `.npy` files and a manifest, written aside and renamed when complete; a writer that was stopped is gone on from.

Who writes, writes into a folder of its own beside the place, and notes every few seconds how far it is safely on disk. A later
writer on the same machine takes over what a dead one left, and cuts it back to the last note.

Text is two files: where each text ends, and the bytes of all. How many bytes they are is known at the end, so that each file's
header is written last; its checksum is that of what follows the header, and then of the header.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import secrets
import shutil
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.lib import format as npy

from tfinput.errors import FileError, refusal

MANIFEST = "manifest.json"
NOTE = "progress.json"
NOTE_SECONDS = 3.0
STALE_SECONDS = 7 * 24 * 3600
CHUNK = 1 << 20

_writing: set[Path] = set()  # by this process


class _ColumnFile(NamedTuple):
    """One of the files: its name, and what its header says; `rows` is None where that is known at the end."""

    name: str
    dtype: Any
    rows: int | None
    shape: tuple[int, ...] = ()

    def header(self, rows: int = 0) -> bytes:
        """The head of a `.npy` file; its length is the same for any number of rows."""
        described = self.dtype.str if np.dtype(self.dtype.str) == self.dtype else f"<u{self.dtype.itemsize}"
        header = io.BytesIO()
        shape = (rows if self.rows is None else self.rows, *self.shape)
        npy.write_array_header_1_0(header, {"descr": described, "fortran_order": False, "shape": shape})
        return header.getvalue()


class _FillProgress(NamedTuple):
    """How much is safely written: examples, and of each file the bytes and the checksum of those behind its header."""

    rows: int
    nbytes: list[int]
    crc32: list[int]


def intact(folder: Path) -> bool:
    """Whether a whole cache lies there; a damaged one is removed, to be written again."""
    if not folder.is_dir():
        return False
    try:
        sums = json.loads((folder / MANIFEST).read_text())["crc32"]
        if set(sums) == {file.name for file in folder.glob("*.npy")} and all(
            _file_checksum(folder / name) == crc for name, crc in sums.items()
        ):
            return True
    except (OSError, ValueError, KeyError, TypeError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return False


def files(folder: Path, place: int, part: Any) -> list[Path]:
    """The files of a cache that hold the part at `place`, of this spec: of text where each ends, and the bytes."""
    return [folder / column.name for column in _columns(place, part, 0)]


def _columns(place: int, part: Any, size: int) -> list[_ColumnFile]:
    shape = tuple(part.shape[1:].as_list())
    if part.dtype != tf.string:
        return [_ColumnFile(f"{place}.npy", np.dtype(part.dtype.as_numpy_dtype), size, shape)]
    return [_ColumnFile(f"{place}.ends.npy", np.dtype(np.int64), size, shape), _ColumnFile(f"{place}.text.npy", np.dtype(np.uint8), None)]


def _file_checksum(path: Path) -> int:
    """The checksum of a whole file."""
    with open(path, "rb") as file:
        head = file.read(10)
        head += file.read(int.from_bytes(head[8:], "little"))
    return zlib.crc32(head, _checksum(path, len(head), path.stat().st_size))


def _checksum(path: Path, start: int, end: int) -> int:
    """The CRC-32 of a file's bytes from `start` to `end`; -1 if it has fewer."""
    crc, left = 0, end - start
    with open(path, "rb") as file:
        file.seek(start)
        while left and (chunk := file.read(min(CHUNK, left))):
            crc = zlib.crc32(chunk, crc)
            left -= len(chunk)
    return -1 if left else crc


def write(folder: Path, flat: list[Any], size: int, batches: Callable[[int], Iterator[Any]]) -> None:
    """Write `size` examples, whose parts have the specs `flat`; whoever comes second finds the place taken and uses what is there.

    `batches(start)` gives the examples from `start` on.
    """
    aside = folder.parent / f".{folder.name}.{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    kept = False
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _writing.add(aside)
        if not _taken_over(folder, aside):
            aside.mkdir()
        _sweep(folder.parent)
        _fill(aside, size, flat, batches)
        os.rename(aside, folder)
    except OSError as error:
        if not intact(folder):
            texts = any(part.dtype == tf.string for part in flat)
            need = sum(size * (8 if part.dtype == tf.string else part.dtype.size) * math.prod(part.shape[1:]) for part in flat)
            room = f"room for {need} bytes" + (" and those of the texts" if texts else "")
            fix = "Free some space, choose another folder, or use cache=None."
            raise refusal(f"cache in {folder.parent}", room, f"{error}", fix, FileError) from error
    except KeyboardInterrupt:
        kept = True  # to go on from
        raise
    finally:
        _writing.discard(aside)
        if not kept:
            shutil.rmtree(aside, ignore_errors=True)


def _taken_over(folder: Path, aside: Path) -> bool:
    """Whether what a dead writer left of this very cache is now ours."""
    for left in folder.parent.glob(f".{folder.name}.{socket.gethostname()}.*.tmp"):
        if not _alive(left) and (left / NOTE).exists():
            with contextlib.suppress(OSError):  # another one was quicker
                os.rename(left, aside)
                return True
    return False


def _alive(left: Path) -> bool:
    """Whether a writer may still be at work there."""
    pid = left.name.split(".")[-3]
    if pid == str(os.getpid()):
        return left in _writing
    return not pid.isdigit() or not Path("/proc").exists() or Path(f"/proc/{pid}").exists()


def _sweep(parent: Path) -> None:
    """Remove what writers of this machine that died left aside, unless it can be gone on from."""
    for left in parent.glob(f".*.{socket.gethostname()}.*.tmp"):
        if _alive(left):
            continue
        note = left / NOTE
        if not note.exists() or time.time() - note.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _fill(aside: Path, size: int, flat: list[Any], batches: Callable[[int], Iterator[Any]]) -> None:
    columns = [column for place, part in enumerate(flat) for column in _columns(place, part, size)]
    heads = [len(column.header()) for column in columns]
    done = _noted(aside, columns, heads)
    with ExitStack() as stack:
        files = [stack.enter_context(open(aside / column.name, "r+b" if done.rows else "wb")) for column in columns]
        for file, nbytes in zip(files, done.nbytes, strict=True):
            file.truncate(nbytes)
            file.seek(nbytes)
        sums, rows, noted = done.crc32, done.rows, time.monotonic()
        for batch in batches(rows) if rows < size else ():
            ends = [file.tell() - head for file, head in zip(files, heads, strict=True)]
            for place, data in enumerate(_written(batch, ends)):
                sums[place] = _put(files[place], data, sums[place])
            rows += len(batch[0])
            if time.monotonic() - noted > NOTE_SECONDS:
                _note(aside, files, rows, sums)
                noted = time.monotonic()
        for place, (file, column) in enumerate(zip(files, columns, strict=True)):
            header = column.header(file.tell() - heads[place])
            file.seek(0)
            sums[place] = _put(file, header, sums[place])
        _synced(files)
    (aside / NOTE).unlink(missing_ok=True)
    names = [column.name for column in columns]
    (aside / MANIFEST).write_text(json.dumps({"size": size, "crc32": dict(zip(names, sums, strict=True))}))


def _written(batch: list[Any], lengths: list[int]) -> Iterator[Any]:
    """What a batch adds to each file, `lengths` bytes of which are there (without their headers)."""
    files = 0
    for part in batch:
        if part.dtype != object:
            yield np.ascontiguousarray(part).reshape(-1).view(np.uint8).data
            files += 1
            continue
        texts = part.reshape(-1).tolist()
        ends = np.cumsum([len(text) for text in texts], dtype=np.int64) + lengths[files + 1]
        yield ends.view(np.uint8).data
        yield b"".join(texts)
        files += 2


def _noted(aside: Path, columns: list[_ColumnFile], heads: list[int]) -> _FillProgress:
    """What was noted there, if the files still hold it."""
    try:
        found = _FillProgress(**json.loads((aside / NOTE).read_text()))
        noted = zip(columns, heads, found.nbytes, found.crc32, strict=True)
        whole = all(_checksum(aside / column.name, head, nbytes) == crc for column, head, nbytes, crc in noted)
    except (OSError, ValueError, TypeError):
        whole = False
    return found if whole else _FillProgress(0, list(heads), [0] * len(heads))


def _note(aside: Path, files: list[BinaryIO], rows: int, sums: list[int]) -> None:
    _synced(files)
    new = aside / f"{NOTE}.new"
    new.write_text(json.dumps(_FillProgress(rows, [file.tell() for file in files], sums)._asdict()))
    os.replace(new, aside / NOTE)


def _synced(files: list[BinaryIO]) -> None:
    for file in files:
        file.flush()
        os.fsync(file.fileno())


def _put(file: BinaryIO, data: Any, crc: int) -> int:
    file.write(data)
    return zlib.crc32(data, crc)
