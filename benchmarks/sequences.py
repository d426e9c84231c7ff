"""Python items of 150 KB from two worker processes, with no work and with 1 ms of work an item.

Peers, with two workers each: torch's DataLoader, Grain's mp_prefetch, Keras' PyDataset with use_multiprocessing. The limit is what two
cores can do that make items and nothing else.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import harness
import numpy as np

# Something that takes so many batches, as long as it is open.
Taking = AbstractContextManager[Callable[[int], None]]
WORKERS, SHAPE = 2, (224, 224, 3)
CASES = {
    f"{name}, B={batch}": {"rows": rows, "work": work, "batch": batch}
    for name, rows, work in (("no work", 12_800, 0.0), ("1 ms", 3_200, 1e-3))
    for batch in (32, 128)
}


class Items:
    """`size` items that take a processor for `work` seconds each."""

    def __init__(self, size: int, work: float) -> None:
        self.size, self.work = size, work
        self.image = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        if self.work:
            end = time.perf_counter() + self.work
            while time.perf_counter() < end:
                pass
        return self.image, np.int64(index)


def drawn(start: Callable[[], Taking], steps: int) -> Callable[[], float]:
    """Time some steps of a new iterator, after one step that starts the workers."""

    def run() -> float:
        with start() as take:
            take(1)
            return harness.timed(take, steps)

    return run


def by_python(iterator: Any) -> Taking:
    """Take batches as a loop in Python does; TensorFlow's datasets are taken in a graph, as Keras does."""

    def take(steps: int) -> None:
        for _ in range(steps):
            next(iterator)

    return contextlib.nullcontext(take)


def with_torch(items: Items, batch: int) -> Taking:
    import torch

    return by_python(iter(torch.utils.data.DataLoader(items, batch_size=batch, shuffle=True, num_workers=WORKERS)))


def with_grain(items: Items, batch: int) -> Taking:
    import grain
    from absl import flags

    flags.FLAGS.mark_as_parsed()
    dataset = grain.MapDataset.source(items).shuffle(seed=0).repeat().to_iter_dataset().batch(batch)
    return by_python(iter(dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=WORKERS))))


@contextlib.contextmanager
def with_keras(items: Items, batch: int) -> Iterator[Callable[[int], None]]:
    import keras
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return len(items) // batch

        def __getitem__(self, index: int) -> Any:
            rows = [items[row] for row in range(index * batch, (index + 1) * batch)]
            return np.stack([image for image, _ in rows]), np.stack([label for _, label in rows])

    adapter = PyDatasetAdapter(Batches(workers=WORKERS, use_multiprocessing=True), shuffle=True)
    adapter.on_epoch_begin()
    try:
        yield harness.consumer(adapter.get_tf_dataset())
    finally:
        adapter.on_epoch_end()


def child(case: dict[str, Any]) -> dict[str, list[float]]:
    import tfinput

    items, batch = Items(case["rows"], case["work"]), case["batch"]
    steps = case["rows"] // batch - 2
    feed = tfinput.from_sequence(items, batch_size=batch, workers=WORKERS)
    starts = {
        "tfinput": lambda: contextlib.nullcontext(harness.consumer(feed.repeated)),
        "torch": lambda: with_torch(items, batch),
        "grain": lambda: with_grain(items, batch),
        "keras": lambda: with_keras(items, batch),
    }
    seconds = harness.interleave({name: drawn(start, steps) for name, start in starts.items()}, case["repeats"])
    if case["work"]:
        seconds["limit"] = [steps * batch * case["work"] / WORKERS] * case["repeats"]
    return seconds


def measure(case: dict[str, Any], repeats: int) -> dict[str, Any]:
    seconds = harness.fresh(__file__, case | {"repeats": repeats})
    return {"seconds": seconds, "ratios": harness.ratios(seconds)}


def main(argv: list[str] | None = None) -> None:
    harness.command("sequences", __doc__, CASES, measure, child, argv, repeats=3)


if __name__ == "__main__":
    main()
