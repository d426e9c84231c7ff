"""Arrays in files: `.npy`, `.npz` and HDF5, opened without reading them whole, checked against their headers first.

Nothing is unpickled, no link out of a file is followed, and a file that shrinks while it is open raises an error.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from tfinput.errors import refusal, short
from tfinput.sources.memory import Array, Buffers, aligned

SUFFIXES = (".npy", ".npz", ".h5", ".hdf5")


class MappedRows:
    """Rows of one array in a mapped file, copied a batch at a time; the file stays where it is."""

    tensor = None

    def __init__(self, path: str, offset: int, shape: tuple[int, ...], dtype: Any, fortran: bool = False) -> None:
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)
        self._end = offset + math.prod(shape) * self.dtype.itemsize
        self._file = open(path, "rb")  # noqa: SIM115 - stays open as long as the rows do, to see the file's size
        self._buffers = Buffers()
        self._check_size()
        # Bytes, not elements: what lies inside a .npz is not aligned, and NumPy would copy it whole.
        whole = mmap.mmap(self._file.fileno(), self._end, access=mmap.ACCESS_READ)
        flat = np.frombuffer(whole, np.uint8, count=self._end - offset, offset=offset)
        self._strided = fortran and len(shape) > 1
        if self._strided:
            self._rows = np.ndarray(shape, self.dtype, flat, order="F")
        else:
            self._rows = flat.reshape(shape[0], -1) if shape[0] and flat.size else np.empty((shape[0], 0), np.uint8)

    def _check_size(self) -> None:
        size = os.fstat(self._file.fileno()).st_size
        if size < self._end:
            # Reading a mapped page that is gone would kill the process (SIGBUS).
            fix = "The file shrank after it was written or opened: restore it and build the feed again."
            raise refusal(self.path, f"at least {self._end} bytes", f"{size} bytes", fix, OSError)

    def take(self, indices: Array) -> Array:
        """The rows at `indices`."""
        self._check_size()
        shape = (len(indices), *self.shape[1:])
        if self._strided:
            return np.ascontiguousarray(self._rows[indices], self.dtype.newbyteorder("="))
        out = self._buffers.lend((len(indices), self._rows.shape[1]), np.uint8)
        np.take(self._rows, indices, axis=0, out=out, mode="clip")
        rows = out.view(self.dtype).reshape(shape) if out.size else np.empty(shape, self.dtype)
        return rows if self.dtype.isnative else rows.astype(self.dtype.newbyteorder("="))

    def all(self) -> Array:
        """All rows, read into memory."""
        return np.array(self.take(np.arange(self.shape[0])))


class Hdf5Rows:
    """Rows of an HDF5 dataset, read by sorted indices, as HDF5 wants them."""

    tensor = None

    def __init__(self, dataset: Any) -> None:
        import h5py

        self._dataset = dataset
        self.shape, self.dtype = tuple(dataset.shape), dataset.dtype
        self.path = f"{dataset.file.filename}::{dataset.name}"
        self._rows = dataset.asstr() if h5py.check_string_dtype(dataset.dtype) else dataset

    def take(self, indices: Array) -> Array:
        """The rows at `indices`."""
        if len(indices) == 0:
            return np.asarray(self._rows[:0])
        needed, back = np.unique(indices, return_inverse=True)
        dense = needed[-1] - needed[0] + 1 == len(needed)
        rows = np.asarray(self._rows[needed[0] : needed[-1] + 1] if dense else self._rows[needed])[back]
        return rows if rows.dtype.isnative else rows.astype(rows.dtype.newbyteorder("="))

    def all(self) -> Array:
        """All rows, read into memory."""
        return np.asarray(self._rows[:])


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
            FileNotFoundError,
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
            members = {info.filename.removesuffix(".npy"): _member(archive, info, file, name) for info in archive.infolist()}
    except (zipfile.BadZipFile, EOFError, OSError, struct.error) as error:
        if str(error).startswith("tfinput:"):
            raise
        raise refusal(name, "a whole .npz archive", f"{error}", "The file is cut or damaged: write it again.") from error
    if not members:
        raise refusal(name, "at least one array", "an empty archive", "Write it with numpy.savez.")
    return members


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: BinaryIO, name: str) -> Any:
    label = f"[{info.filename.removesuffix('.npy')!r}]"
    with archive.open(info) as content:
        shape, fortran, dtype = _header(content, name + label)
        start = content.tell()
        promised = start + math.prod(shape) * dtype.itemsize
        if promised != info.file_size:
            raise refusal(
                name + label,
                f"{promised} bytes, as its header says (shape {shape}, {dtype})",
                f"{info.file_size} bytes",
                "The file is damaged: write it again.",
            )
        if info.compress_type != zipfile.ZIP_STORED:
            return _unpacked(content, shape, dtype, fortran)
    # The local header in front of the data has its own name and extra fields, of its own length.
    file.seek(info.header_offset + 26)
    names, extra = struct.unpack("<HH", file.read(4))
    offset = info.header_offset + 30 + names + extra + start
    return _mapped(name, offset, os.path.getsize(name), shape, dtype, fortran, label)


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


def open_hdf5(name: str) -> dict[str, Any]:
    """The datasets at the top of an HDF5 file; groups and links out of the file are refused."""
    import h5py

    try:
        file = h5py.File(name, "r")
    except OSError as error:
        raise refusal(name, "an HDF5 file", f"{error}", "The file is cut or no HDF5 file: write it again.") from error
    found: dict[str, Any] = {}
    for key in file:
        link = file.get(key, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise refusal(
                f"{name}::{key}",
                "data inside the file",
                f"a link to {short(link.filename)}",
                "Links out of a file are not followed: pass the other file itself.",
            )
        if not isinstance(file[key], h5py.Dataset):
            raise refusal(f"{name}::{key}", "a dataset", "a group", f"Pass its datasets: h5py.File({name!r})['{key}/…'].")
        found[key] = hdf5_rows(file[key])
    if not found:
        raise refusal(name, "at least one dataset", "an empty file", "Check what was written.")
    return found


def hdf5_rows(dataset: Any) -> Hdf5Rows:
    """Rows of a dataset whose data lie in its own file."""
    label = f"{dataset.file.filename}::{dataset.name}"
    outside = [part[0] for part in dataset.external or ()]
    if dataset.is_virtual:
        outside += [source.file_name for source in dataset.virtual_sources() if source.file_name != "."]
    if outside:
        fix = "Links out of a file are not followed: copy the data into one file."
        raise refusal(label, "data inside the file", f"data in {short(outside[0])}", fix)
    if not dataset.shape:
        raise refusal(label, "an array with one row per example", "a single value (shape ())", "Store a longer array.")
    return Hdf5Rows(dataset)
