"""Generators: small and larger examples, beside TensorFlow's own `from_generator`, and beside the bare generator and `np.stack`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import harness
import numpy as np

CASES = {
    "20 floats, B=32": {"rows": 60_000, "values": 20, "batch": 32},
    "20 floats, B=128": {"rows": 60_000, "values": 20, "batch": 128},
    "3 KB, B=128": {"rows": 40_000, "values": 768, "batch": 128},
}
# TensorFlow's way is timed over fewer steps, which is enough for what takes so long.
FEWER = 8


def generator(rows: int, values: int) -> Callable[[], Iterator[Any]]:
    pool = np.random.default_rng(0).random((1024, values), dtype="float32")

    def examples() -> Iterator[Any]:
        for row in range(rows):
            yield pool[row % 1024], row % 10

    return examples


def stacked(examples: Callable[[], Iterator[Any]], batch: int, steps: int) -> Callable[[], float]:
    """The bare generator with its examples put into batches, and nothing else."""

    def run() -> float:
        elements = examples()
        start = time.perf_counter()
        for _ in range(steps):
            x, y = zip(*(next(elements) for _ in range(batch)), strict=True)
            np.stack(x), np.array(y)
        return time.perf_counter() - start

    return run


def child(case: dict[str, Any]) -> dict[str, list[float]]:
    import tensorflow as tf

    import tfinput

    rows, batch = case["rows"], case["batch"]
    examples = generator(rows, case["values"])
    feed = tfinput.from_generator(examples, size=rows, batch_size=batch, shuffle=False)
    spec = (tf.TensorSpec((case["values"],), tf.float32), tf.TensorSpec((), tf.int64))
    plain = tf.data.Dataset.from_generator(examples, output_signature=spec).repeat().batch(batch).prefetch(tf.data.AUTOTUNE)
    steps = feed.steps_per_epoch
    few = harness.burst(plain, max(1, steps // FEWER // 8), steps // FEWER)
    runs = {
        "tfinput": harness.burst(feed.repeated, steps // 8, steps),
        "tensorflow": lambda: few() * steps / (steps // FEWER),
        "stacked": stacked(examples, batch, rows // batch),
    }
    return harness.interleave(runs, case["repeats"])


def measure(case: dict[str, Any], repeats: int) -> dict[str, Any]:
    seconds = harness.fresh(__file__, case | {"repeats": repeats})
    return {"seconds": seconds, "ratios": harness.ratios(seconds)}


def main(argv: list[str] | None = None) -> None:
    harness.command("generators", __doc__, CASES, measure, child, argv, repeats=5)


if __name__ == "__main__":
    main()
