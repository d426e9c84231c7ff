"""Archives and array files that lie, hide code or would fill the memory: refused before anything is run, written or taken."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_bad_input import Canary, archive_member, refused, write_header

import tfinput

DAMAGED = "The file is damaged: write it again."
OBJECTS = "Pickled objects can run any code when read: save numbers or fixed-width strings instead."
GIB = 2**30


def npy(path: Path, value: Any) -> bytes:
    np.save(path / "member.npy", value)
    return (path / "member.npy").read_bytes()


def lying(path: Path, kind: int, **claims: int) -> int:
    """An archive of one member of 800 bytes whose directory claims other sizes; how much room there is for it."""
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("x.npy", npy(path.parent, np.arange(100)))
        info = archive.filelist[0]
        room = archive.start_dir - info.header_offset - 30
        for name, size in claims.items():
            setattr(info, name, size)
    return room


@pytest.mark.parametrize("claimed", [2**42, 2**34, 10**7, 5000])
@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_sizes_that_the_archive_has_no_room_for_are_refused(tmp_path: Path, kind: int, claimed: int) -> None:
    """The compressed size too, which says how much a member may unpack to."""
    path = tmp_path / "x.npz"
    room = lying(path, kind, compress_size=claimed, file_size=claimed)
    message = f"{path}['x']: expected {claimed} bytes, as the archive's directory says, got room for {room} bytes. {DAMAGED}"
    refused(lambda: tfinput.from_arrays(path), ValueError, message)
    if kind == zipfile.ZIP_STORED:
        lying(path, kind, file_size=claimed)
        refused(lambda: tfinput.from_arrays(path), ValueError, message)


def test_members_that_lie_over_each_other_are_refused(tmp_path: Path) -> None:
    """Of many that share one piece of the file each could unpack to as much as the limit."""
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy(tmp_path, np.arange(100)))
        archive.writestr("b.npy", npy(tmp_path, np.arange(100)))
        archive.filelist[1].header_offset = archive.filelist[0].header_offset
    with pytest.raises(ValueError, match=rf"^tfinput: {path}\['a'\]: expected \d+ bytes, as the archive's directory says, got room"):
        tfinput.from_arrays(path)


BOMB = """
import os, resource, sys
import numpy as np, tfinput

tfinput.from_arrays(np.arange(3))  # TensorFlow is loaded.
kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
address_space = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (address_space + int(sys.argv[2]),) * 2)
try:
    print(tfinput.from_arrays(sys.argv[1]).train_size)
except Exception as error:
    print(type(error).__name__, error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - kilobytes)
"""


def with_memory(path: Path, free: int) -> tuple[str, int]:
    """What becomes of it in a process that may take so many bytes more, and the kilobytes that it took."""
    run = subprocess.run([sys.executable, "-c", BOMB, str(path), str(free)], capture_output=True, text=True, timeout=200, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    said, kilobytes = run.stdout.splitlines()
    return said, int(kilobytes)


needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")


def zeros(archive: zipfile.ZipFile, name: str, size: int) -> None:
    """A member of zeros, packed a piece at a time."""
    with archive.open(name, "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": (4, size // 4)})
        for start in range(0, size, 1 << 24):
            member.write(bytes(min(1 << 24, size - start)))


@needs_proc
@pytest.mark.parametrize("parts", [1, 4])
def test_an_archive_that_unpacks_to_a_thousand_times_its_size_is_refused_before_memory_is_taken(tmp_path: Path, parts: int) -> None:
    """As one member or as several."""
    path = tmp_path / "x.npz"
    size = (GIB + 2**20) // parts
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for part in range(parts):
            zeros(archive, f"x{part}.npy", size)
    assert path.stat().st_size < 2**23
    said, kilobytes = with_memory(path, 2**28)
    total = parts * (size + 128)
    assert said == (
        f"ValueError tfinput: {path}['x{parts - 1}']: expected at most {GIB} bytes that are packed more than 200 to 1, got {total} bytes. "
        "If that is meant, store them unpacked, with numpy.savez."
    )
    assert kilobytes < 2**16


def test_an_array_of_zeros_is_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        zeros(archive, "a.npy", 2**28)
        zeros(archive, "b.npy", 2**28)
    feed = tfinput.from_arrays(path, batch_size=1)
    assert feed.train_size == 4
    assert not any(rows.numpy().any() for rows in next(iter(feed.examples("train"))).values())


@needs_proc
def test_an_archive_for_which_there_is_no_memory_is_told_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    size = 10**9
    archive_member(path, (size,), np.random.default_rng(0).bytes(2**20), size)
    said, kilobytes = with_memory(path, 2**28)
    assert said.startswith(f"FileError tfinput: {path}['x']: expected memory for {size + 128} bytes, got Unable to allocate ")
    assert said.endswith(" Write it with numpy.savez: what is not compressed stays in the file.")
    assert kilobytes < 2**16


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_names_that_look_like_paths_are_names(tmp_path: Path, save: Any) -> None:
    names = ["../../evil", "/etc/x", "a/../../b", "..", "C:\\x"]
    inner = tmp_path / "in" / "ner"
    inner.mkdir(parents=True)
    save(inner / "x.npz", **{name: np.arange(place, place + 3) for place, name in enumerate(names)})
    with zipfile.ZipFile(inner / "x.npz") as archive:
        assert archive.namelist() == [f"{name}.npy" for name in names]
    before = everything(tmp_path)
    batch = next(iter(tfinput.from_arrays(inner / "x.npz").examples("train")))
    assert {name: rows.numpy().tolist() for name, rows in batch.items()} == {
        name: [place, place + 1, place + 2] for place, name in enumerate(names)
    }
    assert everything(tmp_path) == before
    assert not os.path.exists("/etc/x.npy")
    assert not os.path.exists("../../evil.npy")


def everything(folder: Path) -> list[tuple[str, int, int]]:
    return sorted((str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*"))


def test_a_symlink_in_an_archive_is_not_followed(tmp_path: Path) -> None:
    np.save(tmp_path / "secret.npy", np.arange(4))
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("x.npy")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, str(tmp_path / "secret.npy"))
    with pytest.raises(ValueError, match=rf"^tfinput: {path}\['x'\]: expected a NumPy array file, got the magic string"):
        tfinput.from_arrays(path)


@pytest.mark.parametrize("names", [("x.npy", "x.npy"), ("x.npy", "y.npy", "x.npy"), ("x", "x.npy")])
def test_two_members_of_one_name_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's own, of the second
        for place, name in enumerate(names):
            archive.writestr(name, npy(tmp_path, np.arange(place, place + 3)))
    message = f"{path}['x']: expected each name once, got a second member of that name. Write it again with other names."
    refused(lambda: tfinput.from_arrays(path), ValueError, message)


@pytest.mark.parametrize("form", ["x.npy", "x.npz", "member"])
@pytest.mark.parametrize("protocol", [0, 2, pickle.HIGHEST_PROTOCOL])
def test_raw_pickles_are_refused_and_not_run(tmp_path: Path, form: str, protocol: int) -> None:
    """`numpy.load` would unpickle what is no array file."""
    trace = tmp_path / "trace"
    raw = pickle.dumps(Canary(trace), protocol)
    path = tmp_path / ("x.npz" if form == "member" else form)
    if form == "member":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", raw)
    else:
        path.write_bytes(raw)
    what = {"x.npy": "a NumPy array file", "x.npz": r"a whole \.npz archive", "member": "a NumPy array file"}[form]
    label = r"\['x'\]" if form == "member" else ""
    with pytest.raises(ValueError, match=rf"^tfinput: {path}{label}: expected {what}, got .*\. .*rite it again"):
        tfinput.from_arrays(path)
    assert not trace.exists()
    pickle.loads(raw)
    assert trace.exists()


@pytest.mark.parametrize("form", ["npy", "npz", "compressed"])
def test_objects_in_a_field_are_refused_and_not_unpickled(tmp_path: Path, form: str) -> None:
    trace = tmp_path / "trace"
    value = np.array([(1, Canary(trace))] * 3, [("a", "i4"), ("b", "O")])
    path = tmp_path / ("x.npy" if form == "npy" else "x.npz")
    if form == "npy":
        np.save(path, value)
    else:
        {"npz": np.savez, "compressed": np.savez_compressed}[form](path, x=value)
    label = "" if form == "npy" else "['x']"
    message = f"{path}{label}: expected numbers or strings, got pickled Python objects. {OBJECTS}"
    refused(lambda: tfinput.from_arrays(path), ValueError, message)
    assert not trace.exists()


def test_there_is_no_option_that_lets_pickles_in(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([Canary(tmp_path / "trace")] * 3, object))
    with pytest.raises(TypeError, match=r"^tfinput: .*allow_pickle"):
        tfinput.from_arrays(tmp_path / "x.npy", allow_pickle=True)  # type: ignore[call-arg]
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("more", [1, 64, 10**6, 2**40])
def test_a_stored_member_whose_header_promises_more_than_it_holds_is_refused(tmp_path: Path, more: int) -> None:
    """Else the next member's bytes would be its values."""
    path = tmp_path / "x.npz"
    write_header(tmp_path / "x.npy", (8 + more,), "<f8", np.arange(8.0).tobytes())
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "x.npy", "x.npy")
        archive.writestr("y.npy", npy(tmp_path, np.arange(1000)))
    promised = 128 + 8 * (8 + more)
    message = f"{path}['x']: expected {promised} bytes, as its header says (shape ({8 + more},), float64), got 192 bytes. {DAMAGED}"
    refused(lambda: tfinput.from_arrays(path), ValueError, message)
