"""Python sequences as a source: `items[index]`, made in a thread or in worker processes ahead of the training step."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfinput.material.forms import Form, FormField
from tfinput.material.nests import Array, mapped
from tfinput.runtime.python_op import weakly
from tfinput.sources.base import Fetch, Source
from tfinput.sources.python import ragged_columns
from tfinput.workers.job import Job, Slice
from tfinput.workers.pool import Pool
from tfinput.workers.requests import Engine, Fetcher
from tfinput.workers.sameness import Ledger
from tfinput.workers.thread import Thread

# Items that are looked at twice where a split needs them to be the same.
LOOK, LOOK_SECONDS = 4, 0.25
FIX = (
    "Keep each item in its place: leave out what shuffles or draws them, also in on_epoch_end (shuffle=True shuffles anew for each "
    "epoch); or pass validation_data= in place of the split."
)
# Items that are asked for together where the classes are read.
TOGETHER = 128


def source(
    job: Job,
    size: int,
    workers: int,
    item_timeout: float | None,
    fingerprint: Callable[[], str],
    first: Sequence[Array],
    batches: Array | None = None,
    ragged: bool = False,
) -> Source:
    """The source over `size` items, with the columns of the first; where each is a batch, `batches` says how many examples it holds."""
    engine: Engine = Pool(job, workers, item_timeout) if workers else Thread(job, item_timeout)
    rows = None if batches is None else int(batches.max())

    def locate(index: int) -> str:
        return job.place(index) if rows is None else f"{job.place(index // rows)}, row {index % rows}"

    ledger = Ledger(job.form, size * (rows or 1), locate, FIX, places_only=False, shapes_apart=False)
    fetcher = Fetcher(job, engine, 1 if batches is not None else max(1, workers), workers > 0, rows, ledger)
    return Source(
        name=job.name,
        size=size,
        fetch=_fetch(fetcher, max(1, workers), first),
        batches=batches,
        labels=lambda: _labels(fetcher, size),
        fingerprint=fingerprint,
        in_memory=False,
        locate=locate,
        hold=functools.partial(_hold, ledger, job, size if workers == 0 else 0, rows),
        summary=fetcher.described,
        **_about(job, ragged),
    )


def _hold(ledger: Ledger, job: Job, size: int, rows: int | None) -> None:
    """Hold items to be the same from now on; some of the first ones are looked at twice, if that takes no time."""
    held = ledger.held
    ledger.hold()
    give_up = time.monotonic() + LOOK_SECONDS
    for _ in range(0 if held else 2):
        for index in range(min(size, LOOK)):
            if index and time.monotonic() > give_up:
                break
            columns = job.form.columns(1)
            made = job.run(Slice([index], 0), columns, lambda _: None) or columns
            ledger.look(index * (rows or 1) + np.arange(len(made[0])), made)


def _fetch(fetcher: Fetcher, workers: int, first: Sequence[Array]) -> Fetch:
    job = fetcher.job
    specs = _specs(job)
    # One object each, which lives as long as a dataset's functions refer to the functions below.
    opened, asked = fetcher.session, fetcher.request

    def collected(ticket: Any) -> Any:
        return _packed(job, fetcher.collect(ticket))

    def session() -> Any:
        return tf.data.Dataset.from_generator(weakly(opened), output_signature=tf.TensorSpec((), tf.int64))

    def request(number: Any, indices: Any, seeds: Any, last: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(weakly(asked), [number, indices, seeds, last], tf.int64), ())

    def collect(ticket: Any, indices: Any) -> Any:
        rows = tf.numpy_function(weakly(collected), [ticket], [each.dtype for each in specs])
        count = None if job.batched else indices.shape[0]
        return tuple(tf.ensure_shape(part, [count, *each.shape[1:]]) for part, each in zip(rows, specs, strict=True))

    def probe() -> Any:
        return tuple(tf.constant(column) for column in _packed(job, first))

    return Fetch(session=session, request=request, collect=collect, probe=probe, ahead=2 * workers)


def _about(job: Job, ragged: bool) -> dict[str, Any]:
    """The fields of a source that tell of shapes; the rows of a batch have one shape, whatever other batches have."""
    if not job.batched:
        return ragged_columns.about(job.form, ragged)
    spec = mapped(lambda _, leaf: ragged_columns.spec(leaf), job.form.structure)
    return {"spec": spec, "read": lambda columns: tf.nest.pack_sequence_as(spec, tf.nest.flatten(columns))}


def _specs(job: Job) -> list[Any]:
    """What comes of Python code, as tensors."""
    if not job.batched:
        return list(ragged_columns.column_specs(job.form))
    specs = map(ragged_columns.spec, job.form.leaves)
    return [tf.TensorSpec((None, *each.shape), each.dtype) for each in specs]


def _packed(job: Job, columns: Sequence[Array]) -> Sequence[Array]:
    return columns if job.batched else ragged_columns.encoded(job.form, columns)


def _labels(fetcher: Fetcher, size: int) -> Array | None:
    """All targets, where each item has one number or text of them; made as the items are made while training, by workers too."""
    structure = fetcher.job.form.structure
    target = structure[1] if isinstance(structure, tuple) and len(structure) > 1 else None
    if fetcher.job.batched or not isinstance(target, FormField) or not target.even:
        return None
    place = len(Form(structure[0]).leaves)
    found: list[Array] = []
    with tqdm(total=size, desc="tfinput: reading the classes", unit=" items", delay=2, leave=False) as bar:
        for start in range(0, size, TOGETHER):
            indices = list(range(start, min(start + TOGETHER, size)))
            found.append(fetcher.once(indices)[place].copy())
            bar.update(len(indices))
    fetcher.engine.rest()
    return np.concatenate(found)
