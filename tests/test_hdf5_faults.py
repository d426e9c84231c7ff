"""HDF5 files that are cut, damaged or lead elsewhere: an error with the file's name, and no value that was never written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf
from test_bad_input import COPY, OUT, refused

import tfinput
from tfinput.material import hdf5

ROWS = 4096
VALUE = np.arange(1, 4 * ROWS + 1).reshape(ROWS, 4)  # no zeros
LAYOUTS: dict[str, dict[str, Any]] = {"contiguous": {}, "chunked": {"chunks": (64, 4)}, "gzip": {"chunks": (64, 4), "compression": "gzip"}}


def stored(path: Path, layout: str, value: Any = VALUE) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=value, **LAYOUTS[layout])
    return path


def read_on(batches: Any, path: Path, size: int, left: int) -> None:
    """What still comes is right; then comes the error."""
    shrank = rf"tfinput: {path}::/x: expected at least {size} bytes, got {left} bytes\. The file shrank"
    with pytest.raises(tf.errors.OpError, match=shrank):
        all_right(batches)


def all_right(batches: Any) -> None:
    for place, rows in batches:
        assert np.array_equal(rows, VALUE[place])


@pytest.mark.parametrize("driver", ["sec2", "stdio"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_that_shrank_while_it_was_open_is_an_error(tmp_path: Path, layout: str, driver: str) -> None:
    """HDF5 itself gives zeros for what is gone. In the middle of an epoch, between two, and before the first."""
    path = stored(tmp_path / "x.h5", layout)
    size = path.stat().st_size
    with h5py.File(path, driver=driver) as file:
        feed = tfinput.from_arrays(np.arange(ROWS), file["x"], batch_size=32)
        batches = iter(feed.examples("train"))
        next(batches)
        os.truncate(path, size // 2)
        read_on(batches, path, size, size // 2)
        read_on(feed.examples("train"), path, size, size // 2)
        read_on(feed.repeated.take(1), path, size, size // 2)
        # The file was longer when it was opened.
        read_on(tfinput.from_arrays(np.arange(ROWS), file["x"]).examples("train"), path, size, size // 2)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_path_whose_file_shrank_by_one_byte_is_an_error(tmp_path: Path, layout: str) -> None:
    path = stored(tmp_path / "x.h5", layout)
    size = path.stat().st_size
    feed = tfinput.from_arrays(np.arange(ROWS), path)
    os.truncate(path, size - 1)
    read_on(feed.examples("train"), path, size, size - 1)


def test_rows_that_are_being_read_while_the_file_shrinks_are_right_or_an_error(tmp_path: Path) -> None:
    value = np.ones((2**16, 64))
    for tenth in range(10):
        path = stored(tmp_path / f"{tenth}.h5", "contiguous", value)
        size = path.stat().st_size
        with h5py.File(path) as file:
            rows = hdf5.hdf5_rows(file["x"])
            cut = threading.Timer(0.03 + tenth / 1000, os.truncate, (path, size // 2))
            cut.start()
            with pytest.raises(ValueError, match=rf"^tfinput: {path}::/x: expected at least {size} bytes, got {size // 2} bytes\."):
                all_ones(rows)
            cut.join()
        path.unlink()


def all_ones(rows: Any) -> None:
    for _ in range(10_000):
        assert rows.all().min() == 1


def test_a_file_that_hdf5_itself_writes_or_that_was_replaced_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=VALUE, chunks=(64, 4))
        # Nothing is flushed yet.
        assert np.array_equal(rows_of(tfinput.from_arrays(file["x"])), VALUE)
        file["more"] = np.arange(10**6)
        file.flush()
        feed = tfinput.from_arrays(file["x"])
        size = path.stat().st_size
        del file["more"]
        file.flush()
        assert path.stat().st_size < size
        assert np.array_equal(rows_of(feed), VALUE)
    feed = tfinput.from_arrays(path)
    os.replace(written(tmp_path / "new.h5", np.arange(3)), path)
    assert np.array_equal(rows_of(feed), VALUE)


def test_a_file_with_a_user_block_is_whole(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=512) as file:
        file["x"] = VALUE
    assert np.array_equal(rows_of(tfinput.from_arrays(tmp_path / "x.h5")), VALUE)


def written(path: Path, value: Any, name: str = "x") -> Path:
    with h5py.File(path, "w") as file:
        file[name] = value
    return path


def rows_of(feed: Any) -> Any:
    return np.concatenate([batch.numpy() for batch in feed.examples("train")])


@pytest.mark.parametrize("place", ["", "g", "g/deep"])
@pytest.mark.parametrize("kind", ["external", "soft", "virtual", "raw"])
def test_no_link_in_an_open_file_or_group_is_followed(tmp_path: Path, kind: str, place: str) -> None:
    written(tmp_path / "other.h5", np.arange(4), "secret")
    (tmp_path / "raw").write_bytes(np.arange(4).tobytes())
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(4)
        group = file.require_group(f"/{place}")
        if kind == "virtual":
            layout = h5py.VirtualLayout((4,), "i8")
            layout[:] = h5py.VirtualSource("other.h5", "secret", (4,))
            group.create_virtual_dataset("x", layout)
        elif kind == "raw":
            group.create_dataset("x", (4,), "i8", external=[(str(tmp_path / "raw"), 0, 32)])
        else:
            group["x"] = h5py.ExternalLink("other.h5", "/secret") if kind == "external" else h5py.SoftLink("/a")
    where = f"/{place}/x".replace("//", "/")
    said = {"external": "a link to 'other.h5'", "soft": "a link to '/a'", "virtual": "data in 'other.h5'", "raw": "data in .*"}[kind]
    link = kind in ("external", "soft")
    message = f"{path}::{where[1:] if link and not place else where}: expected data inside the file, got {said}. {OUT if link else COPY}"
    with h5py.File(path) as file:
        whole = file[f"/{place}"]
        for given in (file, whole, {"a": whole}, (whole, file)):
            refused(lambda given=given: tfinput.from_arrays(given), ValueError, message)  # type: ignore[misc]
        # As by path, where no group is taken.
        if not place:
            refused(lambda: tfinput.from_arrays(path), ValueError, message)
        # A dataset that its user has opened is taken.
        if link:
            assert rows_of(tfinput.from_arrays(whole["x"])).tolist() == [0, 1, 2, 3]


def test_a_group_that_lies_in_itself_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["g/h/x"] = np.arange(4)
        file["g/h/up"] = file["g"]
    with h5py.File(tmp_path / "x.h5") as file:
        message = f"{tmp_path}/x.h5::/g/h/up: expected a group or dataset, got a group that it lies in. Pass the datasets one by one."
        refused(lambda: tfinput.from_arrays(file), ValueError, message)


def test_a_closed_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(written(tmp_path / "x.h5", np.arange(4))) as file:
        dataset = file["x"]
    for given in (file, dataset):
        with pytest.raises(ValueError, match=r"^tfinput: a closed HDF5 file: expected .*, got .*\. The file is closed or damaged"):
            tfinput.from_arrays(given)


FLIPS = """
import os, sys
import h5py, numpy as np
from tfinput.sources import arrays  # A feed takes ten times as long.

folder, way = sys.argv[1:]
with h5py.File(folder + "/whole.h5", "w") as file:
    file.create_dataset("x", data=np.arange(8), chunks=(4,), compression="gzip")
    file["y"] = np.arange(8.0)
whole = open(folder + "/whole.h5", "rb").read()
for place in range(0, min(len(whole), 2000)):
    # Of a name that it has seen, HDF5 would give what it has in memory.
    path = f"{folder}/{place}.h5"
    with open(path, "wb") as file:
        file.write(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
    if way == "open":
        try:
            opened = h5py.File(path)
        except OSError:
            continue
    try:
        arrays.source(opened if way == "open" else path)
    except Exception as error:
        print(place, type(error).__name__, str(error).replace(path, "PATH"))
    if way == "open":
        opened.close()
    os.remove(path)
"""


@pytest.mark.parametrize("way", ["path", "open"])
def test_any_damaged_byte_of_metadata_is_told_with_the_files_name(tmp_path: Path, way: str) -> None:
    """h5py tells of damage in errors of six kinds, and most without the file's name."""
    run = subprocess.run([sys.executable, "-c", FLIPS, str(tmp_path), way], capture_output=True, text=True, timeout=250, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    lines = run.stdout.splitlines()
    for line in lines:
        # What is still a dataset may be one of another kind.
        assert re.match(r"\d+ (FileError tfinput: PATH.*: expected .*, got .*\. .*[Ww]rite it again|\w+ tfinput: (x|PATH))", line), line
    told = " ".join(lines)
    kinds = (
        "Unable to get group info",
        "Link iteration failed",
        "a name that leads nowhere",
        "bad object header version",
        "a name in UTF-8",
    )
    for said in kinds:
        assert said in told, said
    assert sum(" FileError tfinput: PATH" in line for line in lines) > 200


def test_a_flipped_byte_in_a_chunk_with_a_checksum_is_an_error(tmp_path: Path) -> None:
    """Without compression too, where any bytes are numbers."""
    with h5py.File(tmp_path / "whole.h5", "w") as file:
        file.create_dataset("x", data=VALUE[:256], chunks=(64, 4), fletcher32=True)
        chunks = [file["x"].id.get_chunk_info(number) for number in range(4)]
    whole = (tmp_path / "whole.h5").read_bytes()
    for number, chunk in enumerate(chunks):
        assert chunk.size == 64 * 4 * 8 + 4
        for place in [*range(0, chunk.size, 499), chunk.size - 1]:
            path = tmp_path / f"{number} {place}.h5"
            damaged = bytearray(whole)
            damaged[chunk.byte_offset + place] ^= 1 << place % 8
            path.write_bytes(damaged)
            feed = tfinput.from_arrays(np.arange(256), path, batch_size=64)
            with pytest.raises(tf.errors.OpError, match=rf"tfinput: {path}::/x: expected rows that can be read, got "):
                all_right(feed.examples("train"))


class Opened:
    def __init__(self, path: Path) -> None:
        self.file = h5py.File(path)

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> Any:
        return self.file["x"][index]


class OpenedInside(Opened):
    def __init__(self, path: Path) -> None:
        self.path, self.file = path, None

    def __getitem__(self, index: int) -> Any:
        self.file = self.file or h5py.File(self.path)
        return self.file["x"][index]


def test_an_open_file_cannot_go_to_workers_and_one_that_they_open_is_read(tmp_path: Path) -> None:
    path = stored(tmp_path / "x.h5", "gzip")
    with pytest.raises(TypeError, match=r"^tfinput: .*h5py objects cannot be pickled.*[Oo]pen or make it inside, once in each process"):
        tfinput.from_sequence(Opened(path), batch_size=64, workers=1)
    feed = tfinput.from_sequence(OpenedInside(path), batch_size=64, workers=2, shuffle=False)
    got = np.concatenate([np.asarray(batch) for batch in feed.examples("train")])
    assert np.array_equal(got, VALUE)
