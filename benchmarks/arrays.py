"""The training stream from arrays in memory: batches a second against Keras, `shuffle(N)` and plain NumPy copies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import harness
import numpy as np

# Columns, rows, and for each batch size how many epochs make a timing of about half a second: shorter ones scatter.
ROWS = {
    "80 B": (20, 1_000_000, {32: 1, 256: 4}),
    "3 KB": (768, 100_000, {32: 6, 256: 10}),
    "150 KB": (37_500, 4_000, {32: 12, 256: 12}),
}
CASES = {
    f"{name} x {batch_size}": {"columns": columns, "rows": rows, "batch_size": batch_size, "epochs": count}
    for name, (columns, rows, epochs) in ROWS.items()
    for batch_size, count in epochs.items()
}
RING = 4


def limit(x: Any, y: Any, batch_size: int, epochs: int, ring: int) -> Callable[[], float]:
    """Copy rows in shuffled order into buffers made before: one that stays in the cache, or several in turn."""
    random = np.random.default_rng(1)
    # Filled once, so that no page of them is touched for the first time while it counts.
    buffers = [(np.full((batch_size, *x.shape[1:]), 1, x.dtype), np.full(batch_size, 1, y.dtype)) for _ in range(ring)]

    def epoch(orders: list[Any]) -> None:
        for order in orders:
            for step, start in enumerate(range(0, len(order), batch_size)):
                to_x, to_y = buffers[step % ring]
                indices = order[start : start + batch_size]
                np.take(x, indices, axis=0, out=to_x[: len(indices)], mode="clip")
                np.take(y, indices, axis=0, out=to_y[: len(indices)], mode="clip")

    return lambda: harness.timed(epoch, [random.permutation(len(x)) for _ in range(epochs)])


def constant(x: Any, y: Any) -> Any:
    """One batch for ever: what taking a batch costs, were there nothing to do for it."""
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return tf.data.Dataset.from_tensors((x, y)).repeat().with_options(options)


def stream(dataset: Any, steps: int, epochs: int) -> Callable[[], float]:
    """Whole epochs, timed after a lead-in that empties what was prepared while other runs were timed."""
    consume = harness.consumer(dataset)
    consume(steps)

    def run() -> float:
        consume(max(8, steps // 4))
        return harness.timed(consume, steps * epochs)

    return run


def child(case: dict[str, Any]) -> dict[str, list[float]]:
    rows, batch_size, epochs = case["rows"], case["batch_size"], case["epochs"]
    random = np.random.default_rng(0)
    x, y = random.random((rows, case["columns"]), np.float32), random.integers(0, 10, rows)
    steps = -(-rows // batch_size)
    runs = {name: stream(build(x, y, batch_size), steps, epochs) for name, build in harness.PIPELINES.items()}
    runs["constant"] = stream(constant(x[:batch_size], y[:batch_size]), steps, epochs)
    runs["take"] = limit(x, y, batch_size, epochs, 1)
    if case["columns"] >= ROWS["150 KB"][0]:
        runs["take_ring"] = limit(x, y, batch_size, epochs, RING)
    return harness.interleave(runs, case["repeats"])


def measure(case: dict[str, Any], repeats: int) -> dict[str, Any]:
    seconds = harness.fresh(__file__, case | {"repeats": repeats})
    return {"seconds": seconds, "ratios": harness.ratios(seconds)}


def main(argv: list[str] | None = None) -> None:
    harness.command("arrays", __doc__, CASES, measure, child, argv, repeats=7)


if __name__ == "__main__":
    main()
