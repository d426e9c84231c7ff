"""Arrays in files: `.npy`, `.npz` and HDF5, opened without reading them whole, checked against their headers first.

Nothing is unpickled, no link out of a file is followed, and a file that shrank while it was open raises an error at the next
read. (Only a file of small rows, or a memmap, that is cut during a copy still ends the process: reading costs 1 to 2 us a row, many
times the cost of a batch of small rows.)
"""

from __future__ import annotations

import math
import mmap
import os
import struct
import weakref
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from tfinput.errors import FileError, MissingFileError, refusal, refuse_short, short
from tfinput.sources.hdf5 import open_hdf5
from tfinput.sources.memory import Array, Buffers, aligned

# Rows of so many bytes are read instead of copied from the mapping: 32 of 150 KB take 0.46 ms then and not 0.35.
WIDE = 16 << 10
SUFFIXES = (".npy", ".npz", ".h5", ".hdf5")
# Deflate packs zeros 1032 to 1. What is packed beyond 200 to 1 may fill this much memory: more, if it is meant, need not be packed.
PACKED, UNPACKED_BYTES = 200, 1 << 30
LOCAL_HEADER_BYTES = 30


class MappedRows:
    """Rows of one array in a mapped file, copied a batch at a time; the file stays where it is."""

    tensor = None
    _strided: bool
    _rows: Array

    def __init__(self, path: str, offset: int, shape: tuple[int, ...], dtype: Any, fortran: bool = False) -> None:
        with open(path, "rb") as file:
            refuse_short(path, os.fstat(file.fileno()).st_size, offset + math.prod(shape) * np.dtype(dtype).itemsize)
            whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._settle(path, whole, offset, shape, dtype, fortran)
            if hasattr(os, "preadv") and not self._strided and self._rows.shape[1] >= WIDE:
                self._file = os.dup(file.fileno())
                weakref.finalize(self, os.close, self._file)

    def _settle(self, path: str, whole: Any, offset: int, shape: tuple[int, ...], dtype: Any, fortran: bool = False) -> None:
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)
        self._mapping, self._offset = whole, offset
        self._file = -1
        self._end = offset + math.prod(shape) * self.dtype.itemsize
        self._identified = True
        self._buffers = Buffers()
        self._strided = fortran and len(shape) > 1
        # Bytes, not elements: what lies inside a .npz is not aligned, and NumPy would copy it whole.
        flat = np.frombuffer(whole, np.uint8, count=self._end - offset, offset=offset)
        if self._strided:
            self._rows = np.ndarray(shape, self.dtype, flat, order="F")
        else:
            self._rows = flat.reshape(shape[0], -1) if shape[0] and flat.size else np.empty((shape[0], 0), np.uint8)

    @classmethod
    def of_memmap(cls, array: np.memmap[Any, Any]) -> MappedRows:
        """The rows of a contiguous memmap, in its own mapping: what was written to it is seen, even if its file was replaced."""
        root = _root(array)
        made = cls.__new__(cls)
        start = root.offset + array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        # NumPy's mapping starts at the page in which the array starts.
        page = root.offset - root.offset % mmap.ALLOCATIONGRANULARITY
        made._settle(str(array.filename), root.base, start - page, array.shape, array.dtype, not array.flags.c_contiguous)
        made._end += page
        made._identified = array.mode == "r"
        return made

    def take(self, indices: Array) -> Array:
        """The rows at `indices`; text as bytes."""
        # Reading a mapped page that is gone would kill the process (SIGBUS).
        refuse_short(self.path, self._mapping.size(), self._end)
        if self._strided:
            rows = np.ascontiguousarray(self._rows[indices])
        else:
            # The very array that was lent is returned: its buffer comes back when the last use of it ends.
            rows = self._buffers.lend((len(indices), *self.shape[1:]), self.dtype)
            if rows.nbytes:
                out = rows.reshape(len(indices), -1).view(np.uint8)
                if self._file < 0:
                    np.take(self._rows, indices, axis=0, out=out, mode="clip")
                else:
                    self._read(indices, out)
        if self.dtype.kind in "US":
            return _as_bytes(self.path, rows)
        return rows if self.dtype.isnative else rows.astype(self.dtype.newbyteorder("="))

    def _read(self, indices: Array, out: Array) -> None:
        width = out.shape[1]
        for place, index in enumerate(indices.tolist()):
            row, done = memoryview(out[place]), 0
            while done < width:
                read = os.preadv(self._file, [row[done:]], self._offset + index * width + done)
                if read == 0:
                    refuse_short(self.path, self._mapping.size(), self._end)
                done += read

    def stretches(self, starts: Array, ends: Array) -> list[bytes]:
        """The bytes between places of a vector of bytes."""
        refuse_short(self.path, self._mapping.size(), self._end)
        return [self._mapping[self._offset + start : self._offset + end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]

    def all(self) -> Array:
        """All rows, read into memory."""
        return np.array(self.take(np.arange(self.shape[0])))

    def file(self) -> tuple[str, str] | None:
        """The file that holds the rows and the place in it; None while someone may write to it."""
        return (self.path, f"{self._end} {self._strided} {self.dtype.str}") if self._identified else None


class TextRows:
    """Rows of text in two files: the bytes of all texts one after another, and where each ends."""

    tensor = None

    def __init__(self, text: MappedRows, ends: MappedRows) -> None:
        self.text, self.ends = text, ends

    def take(self, indices: Array) -> Array:
        """The rows at `indices`, as bytes."""
        ends = self.ends.take(indices)
        count = len(indices)
        before = self.ends.take(np.maximum(indices, 1) - 1).reshape(count, -1)[:, -1:]
        before[indices == 0] = 0
        flat = ends.reshape(count, -1)
        starts = np.concatenate([before, flat[:, :-1]], axis=1)
        rows = np.empty(flat.size, object)
        rows[:] = self.text.stretches(starts.reshape(-1), flat.reshape(-1))
        return rows.reshape(ends.shape)

    def all(self) -> Array:
        """All rows, read into memory."""
        return self.take(np.arange(self.ends.shape[0]))


def refuse_cut(array: np.memmap[Any, Any]) -> None:
    """Refuse a memmap whose file has become shorter: copying it would end the process."""
    root = _root(array)
    refuse_short(str(root.filename), root.base.size(), root.offset + root.nbytes)


def _root(array: Any) -> Any:
    """The memmap that others are views of."""
    while isinstance(array.base, np.memmap):
        array = array.base
    return array


def _as_bytes(path: str, rows: Array) -> Array:
    try:
        return (np.char.encode(rows, "utf-8") if rows.dtype.kind == "U" else rows).astype(object)
    except UnicodeEncodeError as error:
        raise refusal(path, "text", f"{error}", "Write it again as valid Unicode.") from error


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
            "nothing there" if not os.path.exists(name) else "a folder",
            f"Check the path; the working folder is {os.getcwd()}.",
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
