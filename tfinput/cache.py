"""The cache: what `preprocess` gives, kept as arrays, in memory or in a folder of plain `.npy` files; then it is an array source.

In a folder, a cache is named by a fingerprint of the material and of `preprocess`, written aside and renamed when complete,
and checked by its checksums when it is opened. So it is never stale and never half-written; two writers do not meet; and
deleting it only costs the time to write it again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
import secrets
import shutil
import socket
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tensorflow as tf
from numpy.lib import format as npy
from tqdm import tqdm

from tfinput import digests, pipeline
from tfinput.errors import FileError, refusal
from tfinput.options import Settings
from tfinput.order import Members
from tfinput.source import Source
from tfinput.sources import arrays
from tfinput.sources.files import open_file
from tfinput.sources.leaves import Leaf, leaf, memory_leaf
from tfinput.sources.memory import TensorRows, aligned

MANIFEST = "manifest.json"
FORMAT = 1
CHUNK = 1 << 20


def apply(source: Source, settings: Settings) -> tuple[Source, Settings]:
    """The cached source, and the settings without the work that is done; unchanged where there is nothing to keep."""
    if settings.cache is None or (settings.preprocess is None and source.in_memory):
        return source, settings
    rest = dataclasses.replace(settings, preprocess=None)
    if settings.cache == "memory":
        cached = _in_memory(source, settings)
    else:
        made = f"{FORMAT} {tf.__version__} {source.fingerprint()} {digests.of(settings.preprocess)}"
        name = hashlib.blake2b(made.encode(), digest_size=12).hexdigest()
        cached = _in_folder(source, settings, Path(settings.cache) / f"{source.name}-{name}")
    return dataclasses.replace(
        cached, labels=source.labels, uneven=source.uneven, class_names=source.class_names, skipped=source.skipped
    ), rest


def _blocks(source: Source, settings: Settings) -> tuple[Any, Iterator[Any], int]:
    """The spec of a batch of the preprocessed examples, and the batches, with a progress bar where it takes long."""
    plain = dataclasses.replace(settings, augment=None, batch_preprocess=None, batch_augment=None)
    size = max(1, min(256, (8 << 20) // max(source.example_bytes, 1)))
    batches = pipeline.full_pass(source, Members(source.size), size, plain)
    for part in tf.nest.flatten(batches.element_spec):
        if not isinstance(part, tf.TensorSpec):
            raise refusal("cache", "dense tensors from preprocess", str(part), "Use .to_tensor() or tf.sparse.to_dense, or cache=None.")
        if not part.shape[1:].is_fully_defined():
            fix = "Give it a fixed shape (tf.ensure_shape, padding), or use cache=None."
            raise refusal("cache", "examples of one shape", f"shape {part.shape[1:]} from preprocess", fix)

    def rows() -> Iterator[Any]:
        with tqdm(total=source.size, unit=" examples", desc="tfinput: caching", delay=2, leave=False) as bar:
            for batch in batches:
                flat = [part.numpy() for part in tf.nest.flatten(batch)]
                yield flat
                bar.update(len(flat[0]))

    return batches.element_spec, rows(), size


def _in_memory(source: Source, settings: Settings) -> Source:
    spec, batches, _ = _blocks(source, settings)
    flat = tf.nest.flatten(spec)
    texts: dict[int, list[Any]] = {place: [] for place, part in enumerate(flat) if part.dtype == tf.string}
    held = {
        place: aligned((source.size, *part.shape[1:]), part.dtype.as_numpy_dtype) for place, part in enumerate(flat) if place not in texts
    }
    done = 0
    for batch in batches:
        for place, rows in enumerate(batch):
            if place in texts:
                texts[place].append(rows)
            else:
                held[place][done : done + len(rows)] = rows
        done += len(batch[0])

    def made(place: int) -> Leaf:
        if place not in texts:
            return memory_leaf(f"cached[{place}]", held[place])
        rows = TensorRows(tf.constant(np.concatenate(texts[place])))
        return Leaf(f"cached[{place}]", source.size, tf.TensorSpec(flat[place].shape[1:], tf.string), rows)

    return arrays.of_leaves(tf.nest.pack_sequence_as(spec, [made(place) for place in range(len(flat))]), source.name)


def _in_folder(source: Source, settings: Settings, folder: Path) -> Source:
    spec = None
    if not _intact(folder):
        spec = _write(source, settings, folder)
    if spec is None:
        spec = _blocks(source, settings)[0]
    files = [folder / f"{place}.npy" for place in range(len(tf.nest.flatten(spec)))]
    return arrays.of_leaves(
        tf.nest.pack_sequence_as(spec, [_opened(file, part) for file, part in zip(files, tf.nest.flatten(spec), strict=True)]), source.name
    )


def _opened(file: Path, spec: Any) -> Leaf:
    rows = open_file(file)
    rows.dtype = np.dtype(spec.dtype.as_numpy_dtype)
    return leaf(file.stem, rows)


def _intact(folder: Path) -> bool:
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


def _checksum(path: Path) -> int:
    crc = 0
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc


def _write(source: Source, settings: Settings, folder: Path) -> Any:
    """Write the cache aside and rename it; whoever comes second finds the place taken and uses what is there."""
    spec, batches, _ = _blocks(source, settings)
    flat = tf.nest.flatten(spec)
    if any(part.dtype == tf.string for part in flat):
        raise refusal("cache", "numbers for a folder of .npy files", "text", "Use cache='memory'.")
    need = sum(source.size * part.dtype.size * math.prod(part.shape[1:]) for part in flat)
    aside = folder.parent / f".{folder.name}.{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        aside.mkdir()
        _fill(aside, source.size, flat, batches)
        os.rename(aside, folder)
    except OSError as error:
        if not _intact(folder):
            fix = "Free some space, choose another folder, or use cache=None."
            raise refusal(f"cache in {folder.parent}", f"room for {need} bytes", f"{error}", fix, FileError) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return spec


def _fill(aside: Path, size: int, flat: list[Any], batches: Iterator[Any]) -> None:
    names = [f"{place}.npy" for place in range(len(flat))]
    sums = [0] * len(flat)
    with ExitStack() as stack:
        files = [stack.enter_context(open(aside / name, "wb")) for name in names]
        for place, part in enumerate(flat):
            sums[place] = _put(files[place], _header(part, size), 0)
        for batch in batches:
            for place, rows in enumerate(batch):
                sums[place] = _put(files[place], np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data, sums[place])
        for file in files:
            file.flush()
            os.fsync(file.fileno())
    (aside / MANIFEST).write_text(json.dumps({"size": size, "crc32": dict(zip(names, sums, strict=True))}))


def _put(file: BinaryIO, data: Any, crc: int) -> int:
    file.write(data)
    return zlib.crc32(data, crc)


def _header(part: Any, size: int) -> bytes:
    dtype = np.dtype(part.dtype.as_numpy_dtype)
    described = dtype.str if np.dtype(dtype.str) == dtype else f"<u{dtype.itemsize}"
    header = io.BytesIO()
    npy.write_array_header_1_0(header, {"descr": described, "fortran_order": False, "shape": (size, *part.shape[1:].as_list())})
    return header.getvalue()


def _sweep(parent: Path) -> None:
    """Remove what writers of this machine that died left aside."""
    for left in parent.glob(f".*.{socket.gethostname()}.*.tmp"):
        pid = left.name.split(".")[-3]
        if pid.isdigit() and Path("/proc").exists() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)
