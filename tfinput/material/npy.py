"""Arrays in files: `.npy`, `.npz` and HDF5, opened without reading them whole, checked against their headers first.

Nothing is unpickled, and no link out of a file is followed.
"""

from __future__ import annotations

import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from tfinput.errors import FileError, MissingFileError, refusal, short
from tfinput.material.folders import absent, remedy
from tfinput.material.hdf5 import open_hdf5
from tfinput.material.mapped_rows import MappedRows
from tfinput.material.rows import Array, aligned

SUFFIXES = (".npy", ".npz", ".h5", ".hdf5")
# Deflate packs zeros 1032 to 1. What is packed beyond 200 to 1 may fill this much memory: more, if it is meant, need not be packed.
PACKED, UNPACKED_BYTES = 200, 1 << 30
LOCAL_HEADER_BYTES = 30


def open_file(path: str | os.PathLike[str]) -> Any:
    """The rows in a file: one for `.npy`, a dict by name for `.npz` and HDF5."""
    name = os.fspath(path)
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        fix = "Pass such a path, or the arrays themselves."
        raise refusal(f"path {short(name)}", f"a file that ends in one of {', '.join(SUFFIXES)}", f"{suffix or 'no ending'}", fix)
    if not os.path.isfile(name):
        raise refusal(
            f"path {short(name)}",
            "a file",
            absent(os.fsencode(name), "nothing there") if not os.path.exists(name) else "a folder",
            remedy(os.fsencode(name), f"Check the path; the working folder is {os.getcwd()}."),
            MissingFileError,
        )
    if suffix == ".npy":
        with open(name, "rb") as file:
            shape, fortran, dtype = _header(file, name)
            return _mapped(name, file.tell(), os.path.getsize(name), shape, dtype, fortran)
    return _open_npz(name) if suffix == ".npz" else open_hdf5(name)


def _header(file: Any, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except Exception as error:
        raise refusal(name, "a NumPy array file", f"{error}", "Write it again with numpy.save.") from error
    if dtype.hasobject:
        fix = "Pickled objects can run any code when read: save numbers or fixed-width strings instead."
        raise refusal(name, "numbers or strings", "pickled Python objects", fix)
    if any(not 0 <= extent < 2**63 for extent in shape) or dtype.itemsize == 0:
        raise refusal(name, "a shape and dtype that an array can have", f"{shape}, {dtype}", "The file is damaged: write it again.")
    return shape, fortran, dtype


def _mapped(name: str, offset: int, size: int, shape: tuple[int, ...], dtype: np.dtype[Any], fortran: bool, member: str = "") -> MappedRows:
    promised = offset + math.prod(shape) * dtype.itemsize
    if promised > size:
        raise refusal(
            f"{name}{member}",
            f"{promised} bytes, as its header says (shape {shape}, {dtype})",
            f"{size} bytes",
            "The file is cut or its header is wrong: write it again.",
        )
    if not shape:
        raise refusal(f"{name}{member}", "an array with one row per example", "a single value (shape ())", "Save a longer array.")
    return MappedRows(name, offset, shape, dtype, fortran)


def _open_npz(name: str) -> dict[str, Any]:
    """The members of a `.npz`: stored ones stay in the file, compressed ones are unpacked into memory."""
    try:
        with zipfile.ZipFile(name) as archive, open(name, "rb") as file:
            _check_directory(archive, name)
            members = {_key(info): _member(archive, info, file, name) for info in archive.infolist()}
    except FileError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, struct.error, NotImplementedError, RuntimeError) as error:
        raise refusal(name, "a whole .npz archive", f"{error}", "The file is cut or damaged: write it again.") from error
    if not members:
        raise refusal(name, "at least one array", "an empty archive", "Write it with numpy.savez.")
    return members


def _key(info: zipfile.ZipInfo) -> str:
    return info.filename.removesuffix(".npy")


def _check_directory(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse names and sizes that cannot be, before anything is unpacked."""
    members = sorted(archive.infolist(), key=lambda info: info.header_offset)
    ends = [*(info.header_offset for info in members[1:]), archive.start_dir]
    known: set[str] = set()
    packed = 0
    for info, end in zip(members, ends, strict=False):
        label = f"{name}[{_key(info)!r}]"
        room = max(0, end - info.header_offset - LOCAL_HEADER_BYTES)
        size = max(info.compress_size, info.file_size if info.compress_type == zipfile.ZIP_STORED else 0)
        if size > room:
            said = f"{size} bytes, as the archive's directory says"
            raise refusal(label, said, f"room for {room} bytes", "The file is damaged: write it again.")
        if _key(info) in known:
            raise refusal(label, "each name once", "a second member of that name", "Write it again with other names.")
        known.add(_key(info))
        packed += info.file_size if info.file_size > PACKED * info.compress_size else 0
        if packed > UNPACKED_BYTES:
            limit = f"at most {UNPACKED_BYTES} bytes that are packed more than {PACKED} to 1"
            raise refusal(label, limit, f"{packed} bytes", "If that is meant, store them unpacked, with numpy.savez.")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: BinaryIO, name: str) -> Any:
    label = f"[{_key(info)!r}]"
    with archive.open(info) as content:
        shape, fortran, dtype = _header(content, name + label)
        start = content.tell()
        promised = start + math.prod(shape) * dtype.itemsize
        if promised != info.file_size or not _can_hold(info):
            raise refusal(
                name + label,
                f"{promised} bytes, as its header says (shape {shape}, {dtype})",
                f"{info.file_size} bytes",
                "The file is damaged: write it again.",
            )
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise refusal(name + label, "an array stored or deflated", f"compression {info.compress_type}", "Use numpy.savez_compressed.")
        if info.compress_type == zipfile.ZIP_DEFLATED:
            try:
                return _unpacked(content, shape, dtype, fortran)
            except MemoryError as error:
                fix = "Write it with numpy.savez: what is not compressed stays in the file."
                raise refusal(name + label, f"memory for {promised} bytes", f"{error}", fix, FileError) from error
    # The local header in front of the data has its own name and extra fields, of its own length.
    file.seek(info.header_offset + 26)
    names, extra = struct.unpack("<HH", file.read(4))
    offset = info.header_offset + LOCAL_HEADER_BYTES + names + extra + start
    return _mapped(name, offset, os.path.getsize(name), shape, dtype, fortran, label)


def _can_hold(info: zipfile.ZipInfo) -> bool:
    """Whether so few bytes can unpack to so many (deflate's limit is 1032 to 1), before memory is taken for them."""
    return info.compress_type != zipfile.ZIP_DEFLATED or info.file_size <= 1100 * info.compress_size + 1100


def _unpacked(content: Any, shape: tuple[int, ...], dtype: np.dtype[Any], fortran: bool) -> Array:
    flat = aligned((math.prod(shape),), dtype)
    view = memoryview(flat.view(np.uint8).data) if flat.size else memoryview(b"")
    done = 0
    while done < len(view):
        chunk = content.read(min(1 << 20, len(view) - done))
        if not chunk:
            raise EOFError(f"the archive ends after {done} of {len(view)} bytes")
        view[done : done + len(chunk)] = chunk
        done += len(chunk)
    return flat.reshape(shape, order="F" if fortran else "C")
