"""A folder of `.npy` files and a manifest, written aside and renamed when complete; a writer that was stopped is gone on from.

Who writes, writes into a folder of its own beside the place, and notes every few seconds how far it is safely on disk. A later
writer on the same machine takes over what a dead one left, and cuts it back to the last note.
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
from numpy.lib import format as npy

from tfinput.errors import FileError, refusal

MANIFEST = "manifest.json"
NOTE = "progress.json"
NOTE_SECONDS = 3.0
KEPT_SECONDS = 7 * 24 * 3600
CHUNK = 1 << 20

_writing: set[Path] = set()  # by this process


class _Progress(NamedTuple):
    """How much is safely written: examples, and of each file the bytes and their checksum."""

    rows: int
    nbytes: list[int]
    crc32: list[int]


def intact(folder: Path) -> bool:
    """Whether a whole cache lies there; a damaged one is removed, to be written again."""
    if not folder.is_dir():
        return False
    try:
        sums = json.loads((folder / MANIFEST).read_text())["crc32"]
        if set(sums) == {file.name for file in folder.glob("*.npy")} and all(_checksum(folder / name) == crc for name, crc in sums.items()):
            return True
    except (OSError, ValueError, KeyError, TypeError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _checksum(path: Path, nbytes: int | None = None) -> int:
    """The CRC-32 of a file, or of its first bytes; -1 if it has fewer."""
    crc, left = 0, path.stat().st_size if nbytes is None else nbytes
    with open(path, "rb") as file:
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
            need = sum(size * part.dtype.size * math.prod(part.shape[1:]) for part in flat)
            fix = "Free some space, choose another folder, or use cache=None."
            raise refusal(f"cache in {folder.parent}", f"room for {need} bytes", f"{error}", fix, FileError) from error
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
        if not note.exists() or time.time() - note.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _fill(aside: Path, size: int, flat: list[Any], batches: Callable[[int], Iterator[Any]]) -> None:
    names = [f"{place}.npy" for place in range(len(flat))]
    done = _noted(aside, names)
    with ExitStack() as stack:
        files = [stack.enter_context(open(aside / name, "r+b" if done.rows else "wb")) for name in names]
        if done.rows:
            for file, nbytes in zip(files, done.nbytes, strict=True):
                file.truncate(nbytes)
                file.seek(nbytes)
        else:
            headers = [_header(part, size) for part in flat]
            done = _Progress(0, [0] * len(flat), [_put(file, header, 0) for file, header in zip(files, headers, strict=True)])
        sums, rows, noted = done.crc32, done.rows, time.monotonic()
        for batch in batches(rows) if rows < size else ():
            for place, part in enumerate(batch):
                sums[place] = _put(files[place], np.ascontiguousarray(part).reshape(-1).view(np.uint8).data, sums[place])
            rows += len(batch[0])
            if time.monotonic() - noted > NOTE_SECONDS:
                _note(aside, files, rows, sums)
                noted = time.monotonic()
        _synced(files)
    (aside / NOTE).unlink(missing_ok=True)
    (aside / MANIFEST).write_text(json.dumps({"size": size, "crc32": dict(zip(names, sums, strict=True))}))


def _noted(aside: Path, names: list[str]) -> _Progress:
    """What was noted there, if the files still hold it."""
    try:
        found = _Progress(**json.loads((aside / NOTE).read_text()))
        whole = all(_checksum(aside / name, nbytes) == crc for name, nbytes, crc in zip(names, found.nbytes, found.crc32, strict=True))
    except (OSError, ValueError, TypeError):
        whole = False
    return found if whole else _Progress(0, [], [])


def _note(aside: Path, files: list[BinaryIO], rows: int, sums: list[int]) -> None:
    _synced(files)
    new = aside / f"{NOTE}.new"
    new.write_text(json.dumps(_Progress(rows, [file.tell() for file in files], sums)._asdict()))
    os.replace(new, aside / NOTE)


def _synced(files: list[BinaryIO]) -> None:
    for file in files:
        file.flush()
        os.fsync(file.fileno())


def _put(file: BinaryIO, data: Any, crc: int) -> int:
    file.write(data)
    return zlib.crc32(data, crc)


def _header(part: Any, size: int) -> bytes:
    dtype = np.dtype(part.dtype.as_numpy_dtype)
    described = dtype.str if np.dtype(dtype.str) == dtype else f"<u{dtype.itemsize}"
    header = io.BytesIO()
    npy.write_array_header_1_0(header, {"descr": described, "fortran_order": False, "shape": (size, *part.shape[1:].as_list())})
    return header.getvalue()
