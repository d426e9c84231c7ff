"""HDF5 datasets as rows; data outside of the file, which a link may point to anywhere, is refused."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tfinput.errors import FileError, refusal, refuse_short, short
from tfinput.material.rows import Array

COPY = "Links out of a file are not followed: copy the data into one file."
DAMAGED = "The file is closed or damaged, or holds what h5py cannot read: open it, or write it again."


class Hdf5Rows:
    """Rows of an HDF5 dataset, read by sorted indices, as HDF5 wants them."""

    tensor = None

    def __init__(self, dataset: Any) -> None:
        self._dataset, self._file = dataset, dataset.file
        self.shape, self.dtype = tuple(dataset.shape), dataset.dtype
        self.path = _label(dataset)
        # HDF5 may know of bytes that this or another process has yet to write.
        final = self._file.mode == "r" and not self._file.swmr_mode
        self._driver = self._file.driver  # h5py takes 15 us to tell it.
        self._size = self._file.id.get_filesize() if final else self._size_now()

    def take(self, indices: Array) -> Array:
        """The rows at `indices`; text as bytes, as it lies in the file."""
        if len(indices) == 0:
            return self._read(slice(0, 0))
        needed, back = np.unique(indices, return_inverse=True)
        dense = needed[-1] - needed[0] + 1 == len(needed)
        return self._read(slice(needed[0], needed[-1] + 1) if dense else needed)[back]

    def _read(self, where: Any) -> Array:
        fix = "The file was closed, cut or damaged: build the feed again from a whole file that stays open."
        with _named_damage(self.path, "rows that can be read", fix):
            self._refuse_cut()
            try:
                rows = np.asarray(self._dataset[where])
            finally:
                self._refuse_cut()
        if rows.dtype.kind == "S":
            return rows.astype(object)
        return rows if rows.dtype.isnative else rows.astype(rows.dtype.newbyteorder("="))

    def _refuse_cut(self) -> None:
        # HDF5 asks for a file's size once, and gives zeros for what is gone since. One that it writes it may itself shorten.
        size = self._size_now()
        if size is not None:
            refuse_short(self.path, size, min(self._size, self._file.id.get_filesize()))

    def _size_now(self) -> int | None:
        """Bytes of the open file; None where it is not one file with a name."""
        if self._driver == "sec2":
            return os.fstat(self._file.id.get_vfd_handle()).st_size
        return os.path.getsize(self._file.filename) if self._driver == "stdio" else None

    def all(self) -> Array:
        """All rows, read into memory."""
        return self._read(slice(None))

    def file(self) -> tuple[str, str] | None:
        """The file that holds the rows and the place in it; None while someone may write to it."""
        file = self._file
        return (str(file.filename), self._dataset.name) if file.mode == "r" and self._driver != "core" else None


@contextmanager
def _named_damage(what: str, expected: str, fix: str) -> Iterator[None]:
    """Refuse with the file's name what h5py reports of damage, in errors of any kind."""
    try:
        yield
    except Exception as error:
        if isinstance(error, MemoryError) or hasattr(error, "got"):  # A refusal has it.
            raise
        raise refusal(what, expected, short(str(error), 200), fix, FileError) from error


def _label(thing: Any) -> str:
    try:
        return f"{thing.file.filename}::{thing.name}"
    except Exception:  # of several kinds, also of other objects that have its number now
        return "a closed HDF5 file"


def open_hdf5(name: str) -> dict[str, Any]:
    """The datasets at the top of an HDF5 file."""
    import h5py

    with _named_damage(name, "an HDF5 file", "The file is cut or no HDF5 file: write it again."):
        file = h5py.File(name, "r")
    found = {}
    for key, thing in members(file):
        if not isinstance(thing, h5py.Dataset):
            fix = f"Pass its datasets: h5py.File({name!r})['{key}/…']."
            raise refusal(f"{name}::{key}", "a dataset", "a group", fix)
        found[key] = hdf5_rows(thing)
    if not found:
        raise refusal(name, "at least one dataset", "an empty file", "Check what was written.")
    return found


def is_group(value: Any) -> bool:
    """Whether it is a file or group of h5py, which is not imported for the question."""
    h5py = sys.modules.get("h5py")
    return h5py is not None and isinstance(value, h5py.Group)


def members(group: Any) -> Iterator[tuple[str, Any]]:
    """The datasets and groups of a file or group by name, none of them behind a link."""
    label = _label(group).removesuffix("/")
    with _named_damage(label.removesuffix("::"), "names that can be read", DAMAGED):
        keys = list(group)
    for key in keys:
        place = label + str(key) if label.endswith("::") else f"{label}/{key}"
        if not isinstance(key, str):
            raise refusal(place, "a name in UTF-8", short(key), DAMAGED, FileError)
        yield key, _member(group, key, place)


def _member(group: Any, key: str, label: str) -> Any:
    import h5py

    with _named_damage(label, "data that can be read", DAMAGED):
        link = group.get(key, getlink=True)
        if isinstance(link, h5py.HardLink):
            return _no_circle(group, group[key], label)
        if link is None:
            raise refusal(label, "data that can be read", "a name that leads nowhere", DAMAGED, FileError)
        # A soft link stays in the file, but what it points to need not.
        told = f"a link to {short(getattr(link, 'filename', link.path))}"
        fix = "Links are not followed: pass the other file itself, or the dataset opened with h5py."
        raise refusal(label, "data inside the file", told, fix)


def _no_circle(group: Any, thing: Any, label: str) -> Any:
    while is_group(thing):
        if group == thing:
            raise refusal(label, "a group or dataset", "a group that it lies in", "Pass the datasets one by one.")
        if group.name == "/":
            break
        group = group.parent
    return thing


def hdf5_rows(dataset: Any) -> Hdf5Rows:
    """Rows of a dataset whose data lie in its own file."""
    with _named_damage(_label(dataset), "data that can be read", DAMAGED):
        return _checked(dataset, _label(dataset))


def _checked(dataset: Any, label: str) -> Hdf5Rows:
    import h5py

    for elsewhere in _outside(dataset):
        raise refusal(label, "data inside the file", f"data in {short(elsewhere)}", COPY)
    if not dataset.shape:
        raise refusal(label, "an array with one row per example", "a single value (shape ())", "Store a longer array.")
    if dataset.dtype.kind == "O" and h5py.check_string_dtype(dataset.dtype) is None:
        fix = "Pad the rows to one length."
        raise refusal(label, "numbers, bools or text", "rows of different lengths, or references", fix, TypeError)
    return Hdf5Rows(dataset)


def _outside(dataset: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Where else than in its own file a dataset takes data from, also by way of other datasets of that file."""
    path = (*path, dataset.name)
    yield from (part[0] for part in dataset.external or ())
    for source in dataset.virtual_sources() if dataset.is_virtual else ():
        if source.file_name != ".":
            yield source.file_name
        elif "/" + source.dset_name.strip("/") in path:
            yield f"itself, by way of {source.dset_name}"
        else:
            yield from _behind(dataset.file, source.dset_name, path)


def _behind(file: Any, name: str, path: tuple[str, ...]) -> Iterator[str]:
    import h5py

    place = file
    for step in name.strip("/").split("/"):
        link = place.get(step, getlink=True) if isinstance(place, h5py.Group) and step in list(place) else None  # `in` follows links
        if not isinstance(link, h5py.HardLink):
            yield f"{name}, behind a link"
            return
        place = place[step]
    if isinstance(place, h5py.Dataset):
        yield from _outside(place, path)
