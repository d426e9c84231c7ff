"""The cache: what `preprocess` gives, kept as arrays, in memory or in a folder of plain `.npy` files; then it is an array source.

In a folder, a cache is named by a fingerprint of the material and of `preprocess`, written aside and renamed when complete,
and checked by its checksums when it is opened. So it is never stale and never half-written; two writers do not meet; and
deleting it only costs the time to write it again.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfinput.engine import cache_folder, fingerprints, pipeline
from tfinput.errors import refusal
from tfinput.material.columns import Column, leaf, memory_leaf
from tfinput.material.mapped_rows import TextRows
from tfinput.material.npy import open_file
from tfinput.material.rows import TensorRows, aligned
from tfinput.options import Settings
from tfinput.sampling.order import Members
from tfinput.sampling.steps import ALONE
from tfinput.sources import arrays
from tfinput.sources.base import Source

FORMAT = 2


def apply(source: Source, settings: Settings) -> tuple[Source, Settings]:
    """The cached source, and the settings without the work that is done; unchanged where there is nothing to keep."""
    if settings.cache is None or (settings.preprocess is None and source.in_memory):
        return source, settings
    rest = dataclasses.replace(settings, preprocess=None)
    if settings.cache == "memory":
        cached = _in_memory(source, settings)
    else:
        made = f"{FORMAT} {tf.__version__} {source.fingerprint()} {fingerprints.of(settings.preprocess)}"
        name = hashlib.blake2b(made.encode(), digest_size=12).hexdigest()
        cached = _in_folder(source, settings, Path(settings.cache) / f"{source.name}-{name}")
    # What says which example is which stays as it was; only how examples are made is another.
    same = ("labels", "encoded", "paths", "numbering", "locate", "uneven", "class_names", "skipped")
    return dataclasses.replace(cached, **{name: getattr(source, name) for name in same}), rest


def _blocks(source: Source, settings: Settings, start: int = 0) -> tuple[Any, Iterator[Any]]:
    """The spec of a batch of the preprocessed examples, and the batches from example `start` on, with a progress bar."""
    plain = dataclasses.replace(settings, augment=None, batch_preprocess=None, batch_augment=None, shares=ALONE)
    size = max(1, min(256, (8 << 20) // max(source.example_bytes, 1)))
    members = Members(source.size - start, np.arange(start, source.size)) if start else Members(source.size)
    batches = pipeline.full_pass(source, members, size, plain)
    for part in tf.nest.flatten(batches.element_spec):
        if not isinstance(part, tf.TensorSpec):
            raise refusal("cache", "dense tensors from preprocess", str(part), "Use .to_tensor() or tf.sparse.to_dense, or cache=None.")
        if not part.shape[1:].is_fully_defined():
            fix = "Give it a fixed shape (tf.ensure_shape, padding), or use cache=None."
            raise refusal("cache", "examples of one shape", f"shape {part.shape[1:]} from preprocess", fix)

    def rows() -> Iterator[Any]:
        with tqdm(total=source.size, initial=start, unit=" examples", desc="tfinput: caching", delay=2, leave=False) as bar:
            for batch in batches:
                flat = [part.numpy() for part in tf.nest.flatten(batch)]
                yield flat
                bar.update(len(flat[0]))

    return batches.element_spec, rows()


def _in_memory(source: Source, settings: Settings) -> Source:
    spec, batches = _blocks(source, settings)
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

    def made(place: int) -> Column:
        if place not in texts:
            return memory_leaf(f"cached[{place}]", held[place])
        rows = TensorRows(tf.constant(np.concatenate(texts[place])))
        return Column(f"cached[{place}]", source.size, tf.TensorSpec(flat[place].shape[1:], tf.string), rows)

    return arrays.of_leaves(tf.nest.pack_sequence_as(spec, [made(place) for place in range(len(flat))]), source.name)


def _in_folder(source: Source, settings: Settings, folder: Path) -> Source:
    spec, batches = _blocks(source, settings)
    flat = tf.nest.flatten(spec)
    if not cache_folder.intact(folder):
        cache_folder.write(folder, flat, source.size, lambda start: _blocks(source, settings, start)[1] if start else batches)
    parts = [_opened(f"cached[{place}]", cache_folder.files(folder, place, part), part) for place, part in enumerate(flat)]
    return arrays.of_leaves(tf.nest.pack_sequence_as(spec, parts), source.name)


def _opened(path: str, files: list[Path], spec: Any) -> Column:
    rows = [open_file(file) for file in files]
    if spec.dtype == tf.string:
        return Column(path, rows[0].shape[0], tf.TensorSpec(spec.shape[1:], tf.string), TextRows(rows[1], rows[0]))
    rows[0].dtype = np.dtype(spec.dtype.as_numpy_dtype)
    return leaf(path, rows[0])
