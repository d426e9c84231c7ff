"""HDF5 datasets as rows; data outside of the file, which a link may point to anywhere, is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tfinput.errors import FileError, refusal, short
from tfinput.sources.memory import Array

COPY = "Links out of a file are not followed: copy the data into one file."


class Hdf5Rows:
    """Rows of an HDF5 dataset, read by sorted indices, as HDF5 wants them."""

    tensor = None

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.shape, self.dtype = tuple(dataset.shape), dataset.dtype
        self.path = f"{dataset.file.filename}::{dataset.name}"

    def take(self, indices: Array) -> Array:
        """The rows at `indices`; text as bytes, as it lies in the file."""
        if len(indices) == 0:
            return self._read(slice(0, 0))
        needed, back = np.unique(indices, return_inverse=True)
        dense = needed[-1] - needed[0] + 1 == len(needed)
        return self._read(slice(needed[0], needed[-1] + 1) if dense else needed)[back]

    def _read(self, where: Any) -> Array:
        try:
            rows = np.asarray(self._dataset[where])
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            fix = "The file was closed, cut or damaged: build the feed again from a whole file that stays open."
            raise refusal(self.path, "rows that can be read", short(str(error), 200), fix, FileError) from error
        if rows.dtype.kind == "S":
            return rows.astype(object)
        return rows if rows.dtype.isnative else rows.astype(rows.dtype.newbyteorder("="))

    def all(self) -> Array:
        """All rows, read into memory."""
        return self._read(slice(None))

    def file(self) -> tuple[str, str] | None:
        """The file that holds the rows and the place in it; None while someone may write to it."""
        file = self._dataset.file
        return (str(file.filename), self._dataset.name) if file.mode == "r" and file.driver != "core" else None


def open_hdf5(name: str) -> dict[str, Any]:
    """The datasets at the top of an HDF5 file."""
    import h5py

    try:
        file = h5py.File(name, "r")
    except OSError as error:
        raise refusal(name, "an HDF5 file", f"{error}", "The file is cut or no HDF5 file: write it again.", FileError) from error
    found = {key: _at(file, key, f"{name}::{key}") for key in file}
    if not found:
        raise refusal(name, "at least one dataset", "an empty file", "Check what was written.")
    return found


def _at(file: Any, key: str, label: str) -> Hdf5Rows:
    import h5py

    link = file.get(key, getlink=True)
    if not isinstance(link, h5py.HardLink):
        # A soft link stays in the file, but what it points to need not.
        told = f"a link to {short(getattr(link, 'filename', link.path))}"
        fix = "Links are not followed: pass the other file itself, or the dataset opened with h5py."
        raise refusal(label, "data inside the file", told, fix)
    if not isinstance(file[key], h5py.Dataset):
        raise refusal(label, "a dataset", "a group", f"Pass its datasets: h5py.File({short(file.filename)})['{key}/…'].")
    return hdf5_rows(file[key])


def hdf5_rows(dataset: Any) -> Hdf5Rows:
    """Rows of a dataset whose data lie in its own file."""
    import h5py

    label = f"{dataset.file.filename}::{dataset.name}"
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
