"""Python sequences as a source: `items[index]`, made in a thread or in worker processes ahead of the training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfinput.callback import weakly
from tfinput.source import Fetch, Source
from tfinput.sources.elements import TEXT, Array, Leaf, as_array, mapped
from tfinput.workers.fetching import Engine, Fetcher
from tfinput.workers.job import Job, Part
from tfinput.workers.pool import Pool
from tfinput.workers.thread import Thread


def source(
    job: Job,
    size: int,
    workers: int,
    item_timeout: float | None,
    fingerprint: Callable[[], str],
    batches: Array | None = None,
) -> Source:
    """The source over `size` items; where each is a batch, `batches` says how many examples it holds."""
    engine: Engine = Pool(job, workers, item_timeout) if workers else Thread(job, item_timeout)
    rows = None if batches is None else int(batches.max())
    fetcher = Fetcher(job, engine, 1 if batches is not None else max(1, workers), workers > 0, rows)
    return Source(
        name=job.name,
        size=size,
        spec=mapped(lambda _, leaf: spec(leaf), job.form.structure),
        read=lambda rows: rows,
        fetch=_fetch(fetcher, max(1, workers)),
        batches=batches,
        labels=lambda: _labels(job, size),
        fingerprint=fingerprint,
        in_memory=False,
        locate=job.place if rows is None else lambda index: f"{job.place(index // rows)}, row {index % rows}",
        told=fetcher.described,
    )


def spec(leaf: Leaf) -> Any:
    """What TensorFlow calls an array of an element."""
    return tf.TensorSpec(leaf.shape, tf.string if leaf.dtype == TEXT else tf.as_dtype(leaf.dtype))


def _fetch(fetcher: Fetcher, workers: int) -> Fetch:
    form, batched = fetcher.job.form, fetcher.job.batched
    specs = [spec(leaf) for leaf in form.leaves]
    # One object each, which lives as long as a dataset's functions refer to the functions below.
    opened, asked, collected = fetcher.session, fetcher.request, fetcher.collect

    def session() -> Any:
        return tf.data.Dataset.from_generator(weakly(opened), output_signature=tf.TensorSpec((), tf.int64))

    def request(number: Any, indices: Any, seeds: Any, last: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(weakly(asked), [number, indices, seeds, last], tf.int64), ())

    def collect(ticket: Any, indices: Any) -> Any:
        rows = tf.numpy_function(weakly(collected), [ticket], [each.dtype for each in specs])
        count = None if batched else indices.shape[0]
        shaped = [tf.ensure_shape(part, [count, *each.shape]) for part, each in zip(rows, specs, strict=True)]
        return tf.nest.pack_sequence_as(form.structure, shaped)

    return Fetch(session=session, request=request, collect=collect, probe=lambda: _first(fetcher.job), ahead=2 * workers)


def _first(job: Job) -> Any:
    """The first element as a batch of one, or the first batch."""
    columns = job.form.columns(1)
    made = job.run(Part([0], 0), columns, lambda _: None) or columns
    return tf.nest.pack_sequence_as(job.form.structure, [tf.constant(column) for column in made])


def _labels(job: Job, size: int) -> Array | None:
    """All targets, where each item has one number or text of them."""
    structure = job.form.structure
    if job.batched or not isinstance(structure, tuple) or len(structure) < 2 or not isinstance(structure[1], Leaf):
        return None
    steps = tqdm(range(size), desc="tfinput: reading the classes", unit=" items", delay=2, leave=False)
    found = [as_array(f"{job.place(index)}[1]", job.items[index][1]) for index in steps]
    return np.stack(found)
