"""The cache: what `preprocess` gives, kept as arrays, in memory or in a folder of plain `.npy` files; then it is an array source.

In a folder, a cache is named by a fingerprint of the material and of `preprocess`, written aside and renamed when complete,
and checked by its checksums when it is opened. So it is never stale and never half-written; two writers do not meet; and
deleting it only costs the time to write it again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
import types
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm.auto import tqdm

from tfinput import pipeline
from tfinput.errors import refusal, short
from tfinput.layers import is_layer
from tfinput.options import Settings
from tfinput.order import Members
from tfinput.source import Source
from tfinput.sources import arrays
from tfinput.sources.leaves import Leaf, leaf, memory_leaf
from tfinput.sources.memory import TensorRows, aligned

MANIFEST = "manifest.json"
CHUNK = 1 << 20


def apply(source: Source, settings: Settings) -> tuple[Source, Settings]:
    """The cached source, and the settings without the work that is done; unchanged where there is nothing to keep."""
    if settings.cache is None or (settings.preprocess is None and source.in_memory):
        return source, settings
    rest = dataclasses.replace(settings, preprocess=None)
    if settings.cache == "memory":
        cached = _in_memory(source, settings)
    else:
        name = hashlib.blake2b(f"{source.fingerprint()} {code_digest(settings.preprocess)}".encode(), digest_size=12).hexdigest()
        cached = _in_folder(source, settings, Path(settings.cache) / f"{source.name}-{name}")
    return dataclasses.replace(cached, labels=source.labels, class_names=source.class_names), rest


def _blocks(source: Source, settings: Settings) -> tuple[Any, Iterator[Any], int]:
    """The spec of a batch of the preprocessed examples, and the batches, with a progress bar where it takes long."""
    plain = dataclasses.replace(settings, augment=None, batch_preprocess=None, batch_augment=None)
    size = max(1, min(256, (8 << 20) // max(source.example_bytes, 1)))
    batches = pipeline.full_pass(source, Members(source.size), size, plain)
    for part in tf.nest.flatten(batches.element_spec):
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
    from tfinput.sources.files import open_file

    rows = open_file(file)
    rows.dtype = np.dtype(spec.dtype.as_numpy_dtype)
    return leaf(file.stem, rows)


def _intact(folder: Path) -> bool:
    """Whether a whole cache lies there; a damaged one is removed, to be written again."""
    try:
        sums = json.loads((folder / MANIFEST).read_text())["crc32"]
        if all(_checksum(folder / name) == crc for name, crc in sums.items()):
            return True
    except FileNotFoundError:
        if not folder.exists():
            return False
    except (ValueError, KeyError, TypeError):
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
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    aside = folder.parent / f".{folder.name}.{os.getpid()}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        _fill(aside, source.size, flat, batches)
        os.rename(aside, folder)
    except OSError as error:
        if not _intact(folder):
            fix = "Free some space, choose another folder, or use cache=None."
            raise refusal(f"cache in {folder.parent}", f"room for {need} bytes", f"{error}", fix, OSError) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return spec


def _fill(aside: Path, size: int, flat: list[Any], batches: Iterator[Any]) -> None:
    files = [open(aside / f"{place}.npy", "wb") for place in range(len(flat))]  # noqa: SIM115 - closed together below
    sums = [0] * len(flat)
    try:
        for place, part in enumerate(flat):
            dtype = np.dtype(part.dtype.as_numpy_dtype)
            described = dtype.str if np.dtype(dtype.str) == dtype else f"<u{dtype.itemsize}"
            header = {"descr": described, "fortran_order": False, "shape": (size, *part.shape[1:].as_list())}
            np.lib.format.write_array_header_1_0(files[place], header)
        for batch in batches:
            for file, rows in zip(files, batch, strict=True):
                file.write(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
        for file in files:
            file.flush()
            os.fsync(file.fileno())
    finally:
        for file in files:
            file.close()
    sums = [_checksum(aside / f"{place}.npy") for place in range(len(flat))]
    manifest = {"size": size, "crc32": {f"{place}.npy": crc for place, crc in enumerate(sums)}}
    (aside / MANIFEST).write_text(json.dumps(manifest))


def _sweep(parent: Path) -> None:
    """Remove what writers that died left aside."""
    for left in parent.glob(".*.tmp"):
        pid = left.name.split(".")[-2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc").exists():
            shutil.rmtree(left, ignore_errors=True)


def code_digest(function: Any) -> str:
    """A digest of what a function does: its code, defaults, closure and the globals it names, in any process the same.

    A Keras layer counts with its configuration and weights. Code of imported modules counts by name only.
    """
    digest = hashlib.blake2b(digest_size=12)
    _feed(digest, function, set())
    return digest.hexdigest()


def _feed(digest: Any, value: Any, seen: set[int]) -> None:
    if id(value) in seen:
        return
    if is_layer(value):
        digest.update(json.dumps(value.get_config(), sort_keys=True, default=repr).encode())
        for weight in value.get_weights():
            _feed(digest, weight, seen)
    elif isinstance(value, types.FunctionType):
        seen.add(id(value))
        _feed(digest, value.__code__, seen)
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        named = [value.__globals__[name] for name in _names(value.__code__) if name in value.__globals__]
        for part in (value.__defaults__, sorted((value.__kwdefaults__ or {}).items()), cells, named):
            _feed(digest, part, seen)
    elif isinstance(value, types.MethodType):
        _feed(digest, (value.__func__, value.__self__), seen)
    elif isinstance(value, types.CodeType):
        digest.update(value.co_code + repr(value.co_names + value.co_varnames).encode())
        _feed(digest, value.co_consts, seen)
    elif isinstance(value, (types.ModuleType, type)):
        digest.update(value.__name__.encode())
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif isinstance(value, (tf.Tensor, tf.Variable)):
        _feed(digest, value.numpy(), seen)
    elif isinstance(value, dict):
        for key in sorted(value, key=repr):
            _feed(digest, (key, value[key]), seen)
    elif isinstance(value, (tuple, list)):
        digest.update(f"{type(value).__name__}{len(value)}".encode())
        for part in value:
            _feed(digest, part, seen)
    elif isinstance(value, (frozenset, set)):
        digest.update(short(sorted(map(repr, value)), 1 << 20).encode())
    elif hasattr(value, "func") and hasattr(value, "keywords"):  # functools.partial
        _feed(digest, (value.func, value.args, value.keywords), seen)
    elif isinstance(value, (int, float, complex, str, bytes, type(None), type(Ellipsis))):
        digest.update(repr(value).encode())
    elif hasattr(value, "__dict__"):
        seen.add(id(value))
        digest.update(type(value).__qualname__.encode())
        _feed(digest, vars(value), seen)
        _feed(digest, vars(type(value)).get("__call__"), seen)
    else:
        digest.update(type(value).__qualname__.encode())


def _names(code: types.CodeType) -> list[str]:
    inner = [part for part in code.co_consts if isinstance(part, types.CodeType)]
    return [*code.co_names, *(name for part in inner for name in _names(part))]
