"""Arrays in files: `.npy`, `.npz`, HDF5 and memmaps are delivered bit for bit and stay where they are."""

from __future__ import annotations

import itertools
import os
import zipfile
from pathlib import Path
from typing import Any

import h5py
import ml_dtypes
import numpy as np
import pytest
from identities import ids
from test_arrays import NUMBERS, TEXTS, assert_all_delivered, assert_delivered, delivered, random_bits, same

import tfinput
from tfinput.material import npy
from tfinput.sources import arrays

VALUE = random_bits("int64", (13, 3))
UTF8 = np.array([text.encode() for text in TEXTS], object)


def saved(folder: Path, value: Any, name: str = "x.npy") -> Path:
    np.save(folder / name, value)
    return folder / name


def both(x: Any, expected: Any) -> None:
    """The pass in order and a shuffled epoch, for material that has no length of its own."""
    size = len(expected)
    feed = tfinput.from_arrays(np.arange(size), x, batch_size=4)
    assert same(np.concatenate([batch[1].numpy() for batch in feed.examples("train")]), expected)
    epoch = list(feed.repeated.take(feed.steps_per_epoch))
    order = np.concatenate([batch[0].numpy() for batch in epoch])
    assert sorted(order.tolist()) == list(range(size))
    assert same(np.concatenate([batch[1].numpy() for batch in epoch])[np.argsort(order)], expected)


@pytest.mark.floor
@pytest.mark.parametrize("form", ["C", "F", "swapped"])
def test_npy_files_arrive_bit_for_bit(tmp_path: Path, form: str) -> None:
    cases: dict[str, Any] = {}
    for name in set(NUMBERS) - {"bfloat16"}:
        value = random_bits(name, (13, 3))
        stored = {"C": value, "F": np.asfortranarray(value), "swapped": value.astype(value.dtype.newbyteorder())}[form]
        path = saved(tmp_path, stored, f"{name}.npy")
        assert np.load(path).flags.f_contiguous == (form == "F")
        cases[name] = (path if form == "C" else str(path), value)
    assert_all_delivered(cases)


@pytest.mark.parametrize("kind", ["U", ">U", "S"])
@pytest.mark.parametrize("matrix", [False, True])
def test_npy_files_of_text_arrive_as_utf8(tmp_path: Path, kind: str, matrix: bool) -> None:
    text = UTF8.astype("S") if kind == "S" else np.array(TEXTS)
    text = text.astype(text.dtype.newbyteorder(">")) if kind == ">U" else text
    both(saved(tmp_path, text.reshape(3, 2) if matrix else text), UTF8.reshape(3, 2) if matrix else UTF8)


def test_bytes_in_a_file_need_not_be_text(tmp_path: Path) -> None:
    raw = np.array([b"\xff\x00\xfe", b"\x80"])
    both(saved(tmp_path, raw), raw.astype(object))


def test_npy_files_of_any_rank_arrive(tmp_path: Path) -> None:
    cases: dict[str, Any] = {}
    for shape, order in itertools.product([(5,), (5, 1), (5, 2, 3), (5, 0), (5, 1, 2, 1)], "CF"):
        value = random_bits("int32", shape)
        cases[f"{shape} {order}"] = (saved(tmp_path, np.asarray(value, order=order), f"{len(cases)}.npy"), value)
    assert_all_delivered(cases)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_header_is_read(tmp_path: Path, version: tuple[int, int]) -> None:
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array(file, VALUE, version=version)
    both(tmp_path / "x.npy", VALUE)


@pytest.mark.parametrize("compressed", [False, True])
def test_npz_files_arrive_whole(tmp_path: Path, compressed: bool) -> None:
    save = np.savez_compressed if compressed else np.savez
    # An odd number of bytes in front makes what follows unaligned in a stored archive.
    save(
        tmp_path / "d.npz", odd=np.zeros((13, 1), "i1"), a=VALUE, b=np.asfortranarray(VALUE), c=VALUE.astype(">i8"), d=np.array(["é"] * 13)
    )
    expected = {"odd": np.zeros((13, 1), "i1"), "a": VALUE, "b": VALUE, "c": VALUE, "d": np.array(["é".encode()] * 13, object)}
    batch = next(iter(tfinput.from_arrays(tmp_path / "d.npz", batch_size=13).examples("train")))
    assert set(batch) == set(expected)
    for name, rows in expected.items():
        assert same(batch[name].numpy(), rows), name


@pytest.mark.floor
@pytest.mark.parametrize("suffix", ["npz", "compressed.npz", "h5"])
@pytest.mark.parametrize("keys", [("x",), ("x", "y"), ("x", "y", "sample_weight")])
def test_a_file_with_the_names_of_keras_gives_all_its_parts(tmp_path: Path, suffix: str, keys: tuple[str, ...]) -> None:
    parts = {"x": VALUE, "y": np.arange(13), "sample_weight": np.linspace(0, 1, 13)}
    parts = {key: parts[key] for key in keys}
    path = tmp_path / f"d.{suffix}"
    if suffix == "h5":
        with h5py.File(path, "w") as file:
            for key, part in parts.items():
                file[key] = part
    else:
        (np.savez_compressed if "compressed" in suffix else np.savez)(path, **parts)
    batch = next(iter(tfinput.from_arrays(path, batch_size=13).examples("train")))
    batch = batch if isinstance(batch, tuple) else (batch,)
    assert len(batch) == len(keys)
    for got, expected in zip(batch, parts.values(), strict=True):
        assert same(got.numpy(), expected)


def test_files_and_arrays_go_together(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", x=np.arange(3), y=np.arange(3) * 10)
    x = saved(tmp_path, np.arange(9))
    feed = tfinput.from_arrays({"a": x, "b": np.arange(9) * 2}, x)
    batch = next(iter(feed.examples("train")))
    assert [batch[0]["a"].numpy().tolist(), batch[0]["b"].numpy().tolist()] == [list(range(9)), list(range(0, 18, 2))]
    for data in (tmp_path / "v.npz", (np.arange(3), np.arange(3) * 10)):
        feed = tfinput.from_arrays(tmp_path / "v.npz", validation_data=data)
        assert [part.numpy().tolist() for part in next(iter(feed.validation))] == [[0, 1, 2], [0, 10, 20]]


@pytest.mark.parametrize("stored", ["plain", "chunked", "compressed", "swapped", "bool", "float16", "complex64"])
def test_hdf5_files_and_datasets_arrive_bit_for_bit(tmp_path: Path, stored: str) -> None:
    value = random_bits(stored, (13, 3)) if stored in NUMBERS else VALUE
    how = {"chunked": {"chunks": (4, 2)}, "compressed": {"compression": "gzip"}}.get(stored, {})
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("anything", data=value.astype(">i8") if stored == "swapped" else value, **how)
    both(tmp_path / "x.h5", value)
    with h5py.File(tmp_path / "x.h5") as file:
        both(file["anything"], value)


@pytest.mark.parametrize("kind", ["variable", "variable ascii", "fixed"])
def test_text_in_hdf5_arrives_as_the_bytes_that_lie_there(tmp_path: Path, kind: str) -> None:
    texts = [text for text in TEXTS if "\0" not in text]
    encoded = [text.encode() for text in texts]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        if kind == "fixed":
            file["x"] = np.array([*encoded, b"\xff\xfe"])
        else:
            dtype = h5py.string_dtype("ascii" if "ascii" in kind else "utf-8")
            file.create_dataset("x", data=[*encoded, b"\xff\xfe"], dtype=dtype)
    both(tmp_path / "x.h5", np.array([*encoded, b"\xff\xfe"], object))


def test_an_open_hdf5_file_is_a_nest(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"], file["deep/b"] = np.arange(4), np.arange(4) * 2
    with h5py.File(tmp_path / "x.h5") as file:
        batch = next(iter(tfinput.from_arrays(file).examples("train")))
    assert batch["a"].numpy().tolist() == [0, 1, 2, 3]
    assert batch["deep"]["b"].numpy().tolist() == [0, 2, 4, 6]


MAPPED = {
    "whole": lambda m: m,
    "rows": lambda m: m[2:11],
    "rows of rows": lambda m: m[1:][3:9],
    "one part": lambda m: m.reshape(-1)[5:20],
    "every second": lambda m: m[::2],
    "columns": lambda m: m[:, 1:],
    "reversed": lambda m: m[::-1],
    "transposed": lambda m: m.T,
    "reshaped": lambda m: m.reshape(3, 13),
    "as array": np.asarray,
    "chosen": lambda m: m[[3, 1, 2]],
}


@pytest.mark.parametrize("size", sorted({len(cut(VALUE)) for cut in MAPPED.values()}))
def test_memmaps_and_their_slices_arrive(tmp_path: Path, size: int) -> None:
    path = saved(tmp_path, VALUE)
    cases: dict[str, Any] = {}
    for mode, (name, cut) in itertools.product(["r", "c", "r+"], MAPPED.items()):
        if len(cut(VALUE)) == size:
            cases[f"{mode} {name}"] = (cut(np.load(path, mmap_mode=mode)), cut(VALUE))
    assert_all_delivered(cases)


def test_memmaps_with_an_offset_arrive(tmp_path: Path) -> None:
    whole: dict[str, Any] = {}
    for offset, order in itertools.product([0, 1, 24, 5000, 3 * 4096 + 8], "CF"):
        name = f"{order}{offset}"
        (tmp_path / name).write_bytes(b"\7" * offset + VALUE.tobytes(order) + b"\7" * 9)
        whole[name] = (np.memmap(tmp_path / name, np.int64, "r", offset, VALUE.shape, order), VALUE)
    assert_all_delivered(whole)
    assert_all_delivered({name: (mapped[4:], VALUE[4:]) for name, (mapped, _) in whole.items()})


def test_memmaps_of_text_and_half_floats_arrive(tmp_path: Path) -> None:
    text = np.array(TEXTS)
    both(np.load(saved(tmp_path, text), mmap_mode="r"), UTF8)
    halves = random_bits("bfloat16", (9, 2))
    (tmp_path / "raw").write_bytes(halves.tobytes())
    assert_delivered(np.memmap(tmp_path / "raw", ml_dtypes.bfloat16, "r", shape=(9, 2)), halves)


@pytest.mark.parametrize("mode", ["c", "r+"])
def test_what_was_written_to_a_memmap_is_what_arrives(tmp_path: Path, mode: Any) -> None:
    mapped = np.load(saved(tmp_path, np.zeros(6, int)), mmap_mode=mode)
    feed = tfinput.from_arrays(mapped)
    mapped[:] = np.arange(6)  # private to this process with mode "c"
    assert ids(feed.examples("train")) == [list(range(6))]
    assert np.load(tmp_path / "x.npy").tolist() == ([0] * 6 if mode == "c" else list(range(6)))


def test_a_memmap_of_a_file_that_was_replaced_or_removed_still_gives_its_own_rows(tmp_path: Path) -> None:
    mapped = np.load(saved(tmp_path, np.arange(6)), mmap_mode="r")
    os.replace(saved(tmp_path, np.arange(6) * 10, "new.npy"), tmp_path / "x.npy")
    assert ids(tfinput.from_arrays(mapped).examples("train")) == [list(range(6))]
    os.remove(tmp_path / "x.npy")
    assert ids(tfinput.from_arrays(mapped).examples("train")) == [list(range(6))]


def test_a_file_is_read_as_it_goes(tmp_path: Path) -> None:
    """Unlike an array in memory, a file is not copied: what is written into it is seen."""
    path = saved(tmp_path, np.arange(6))
    feed = tfinput.from_arrays(path)
    assert ids(feed.examples("train")) == [list(range(6))]
    np.load(path, mmap_mode="r+")[3] = 100
    assert ids(feed.examples("train")) == [[0, 1, 2, 100, 4, 5]]


def test_a_file_costs_no_memory_of_its_size(tmp_path: Path) -> None:
    """A sparse file far larger than memory can be fed from."""
    rows = 2**20
    header = tmp_path / "x.npy"
    with open(header, "wb") as file:
        np.lib.format.write_array_header_2_0(file, {"descr": "|u1", "fortran_order": False, "shape": (rows, 2**20)})
        start = file.tell()
        file.truncate(start + rows * 2**20)
    with open(header, "r+b") as file:
        file.seek(start + 777 * 2**20)
        file.write(b"\5" * 10)
    feed = tfinput.from_arrays(header, np.arange(rows), batch_size=2, validation_split=[777, 1_000_000])
    x, y = next(iter(feed.validation))
    assert y.numpy().tolist() == [777, 1_000_000]
    assert x.numpy().sum(axis=1).tolist() == [50, 0]
    assert len(next(iter(feed.train))[0]) == 2


@pytest.mark.parametrize("calls", [1, 8])
@pytest.mark.parametrize("form", ["npy", "swapped", "fortran", "npz", "h5", "memmap"])
def test_batches_that_are_kept_keep_their_values(tmp_path: Path, calls: int, form: str) -> None:
    value = random_bits("int32", (64, 50))
    if form == "h5":
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["x"] = value
    elif form == "npz":
        np.savez(tmp_path / "x.npz", x=value)
    else:
        saved(tmp_path, {"swapped": value.astype(">i4"), "fortran": np.asfortranarray(value)}.get(form, value))
    x = np.load(tmp_path / "x.npy", mmap_mode="r") if form == "memmap" else tmp_path / f"x.{form if form in ('h5', 'npz') else 'npy'}"
    feed = tfinput.from_arrays(np.arange(64), x, batch_size=3, num_parallel_calls=calls)
    kept, views = [], []
    for place, batch in enumerate(feed.repeated.take(3 * feed.steps_per_epoch)):
        if place % 2:
            kept.append(batch)
        else:
            views.append((batch[0].numpy(), batch[1].numpy()))
        del batch
    for numbers, rows in itertools.chain(kept, views):
        assert np.array_equal(np.asarray(rows), value[np.asarray(numbers)])


def test_many_feeds_over_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = saved(tmp_path, np.arange(40))
    feeds = [tfinput.from_arrays(path, batch_size=3, seed=seed) for seed in range(3)]
    alone = [ids(feed.repeated, 28) for feed in feeds]
    together = list(zip(*(feed.repeated.take(28) for feed in feeds), strict=True))
    assert [[batch.numpy().tolist() for batch in column] for column in zip(*together, strict=True)] == alone


def test_stored_archives_stay_in_their_file_and_compressed_ones_are_unpacked(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=VALUE)
    np.savez_compressed(tmp_path / "c.npz", x=VALUE)
    assert not arrays.source(tmp_path / "s.npz").in_memory
    assert arrays.source(tmp_path / "c.npz").in_memory


def test_archives_with_extra_fields_and_something_in_front_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=VALUE)
    whole = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(b"#!/bin/sh\n" + whole)
    both(tmp_path / "x.npz", VALUE)
    np.save(tmp_path / "member.npy", VALUE)
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        info = zipfile.ZipInfo("member.npy")
        info.extra = b"\x01\x02\x04\x00abcd"
        archive.writestr(info, (tmp_path / "member.npy").read_bytes())
    both(tmp_path / "y.npz", VALUE)


def test_an_upper_case_ending_is_an_ending(tmp_path: Path) -> None:
    saved(tmp_path, VALUE).rename(tmp_path / "X.NPY")
    both(tmp_path / "X.NPY", VALUE)


def test_fingerprints_tell_files_slices_and_states_apart(tmp_path: Path) -> None:
    def digest(x: Any) -> str:
        return arrays.source(x).fingerprint()

    path = saved(tmp_path, np.arange(100))
    mapped, writable = np.load(path, mmap_mode="r"), np.load(path, mmap_mode="r+")
    seen = [digest(path), digest(mapped[:50]), digest(mapped[10:60]), digest(mapped[50:]), digest(np.arange(100)), digest(np.arange(100.0))]
    seen += [digest(saved(tmp_path, np.arange(100), "other.npy")), digest({"a": np.arange(100)}), digest((np.arange(100),))]
    assert len(set(seen)) == len(seen)
    assert digest(path) == seen[0] == digest(mapped)
    before = digest(writable)
    assert before == digest(writable)
    writable[5] = 7
    assert digest(writable) != before
    os.utime(path, ns=(1, 1))
    assert digest(path) != seen[0]
    np.savez(tmp_path / "z.npz", a=np.arange(9), b=np.arange(9))
    opened = npy.open_file(tmp_path / "z.npz")
    assert digest(opened["a"]) != digest(opened["b"])


def test_delivered_is_the_oracle_it_claims_to_be() -> None:
    passed, shuffled = delivered(VALUE)
    assert same(passed, VALUE)
    assert same(shuffled, VALUE)
    assert not same(VALUE, VALUE.astype("i4"))
    assert not same(VALUE, VALUE[::-1])
    assert not same(np.array([0.0]), np.array([-0.0]))
    assert not same(np.array([b"a"], object), np.array([b"b"], object))
