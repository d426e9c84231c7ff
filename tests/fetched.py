"""Fetching without TensorFlow, so that it is quick to start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tfinput.material.forms import Form
from tfinput.workers.job import Job
from tfinput.workers.pool import Pool
from tfinput.workers.requests import Fetcher

SIZE = 24
BATCH = 6


def fetcher(items: Any, workers: int, timeout: float | None = 20) -> Fetcher:
    job = Job(items, Form.of((np.zeros(3, np.float32), np.int64(0)), "items, item 0"), "items")
    if workers:
        return Fetcher(job, Pool(job, workers, timeout), workers, seeded=True)
    from tfinput.workers.thread import Thread  # imports TensorFlow

    return Fetcher(job, Thread(job, timeout), 1, seeded=False)


def one_pass(fetch: Fetcher, size: int = SIZE, ahead: int = 3) -> Iterator[list[int]]:
    """Batches of identities, with some asked for ahead; the session ends with the generator."""
    session = fetch.session()
    number = next(session)
    try:
        starts = list(range(0, size, BATCH))
        asked: list[Any] = []
        while starts or asked:
            while starts and len(asked) < ahead:
                indices = np.arange(starts[0], min(starts.pop(0) + BATCH, size))
                asked.append(fetch.request(number, indices, np.zeros((len(indices), 2), np.int32), False))
            x, y = fetch.collect(asked.pop(0))
            assert (x == y[:, None]).all()
            yield y.tolist()
    finally:
        session.close()


def everything(fetch: Fetcher, size: int = SIZE) -> list[int]:
    return [index for batch in one_pass(fetch, size) for index in batch]
