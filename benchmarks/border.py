"""An epoch's border: what `fit(train)` and a plain loop over `feed.train` cost there, beside the endless dataset, which has none."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np

BATCH = 32
# Rows an epoch: few, so that many borders are passed.
CASES: dict[str, dict[str, Any]] = {
    "arrays, 3 KB": {"kind": "arrays", "rows": 3_200, "epochs": 20},
    "arrays, 10 million rows of 4 B, batches of 8,192": {"kind": "long", "rows": 10_000_000, "epochs": 3},
    "images, 200 x 150": {"kind": "images", "rows": 640, "epochs": 8},
    "CSV, streamed": {"kind": "csv", "rows": 6_400, "epochs": 10},
    "generator, 20 floats": {"kind": "generator", "rows": 6_400, "epochs": 20},
    "sequence, 3 KB, two workers": {"kind": "sequence", "rows": 3_200, "epochs": 20},
}


class Items:
    """Rows of 3 KB that worker processes make."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> Any:
        return np.full(768, index, np.float32), index % 10


def feed_of(case: dict[str, Any], folder: Path) -> Any:
    import tensorflow as tf

    import tfinput

    rows = case["rows"]
    random = np.random.default_rng(0)
    if case["kind"] == "arrays":
        return tfinput.from_arrays(random.random((rows, 768), np.float32), np.arange(rows) % 10, batch_size=BATCH)
    if case["kind"] == "long":
        return tfinput.from_arrays(random.random((rows, 1), np.float32), np.arange(rows, dtype="int32") % 10, batch_size=8_192)
    if case["kind"] == "images":
        for number in range(rows):
            pixels = random.integers(0, 256, (15, 20, 3), np.uint8).repeat(10, 0).repeat(10, 1)
            (folder / f"{number}.jpg").write_bytes(tf.io.encode_jpeg(pixels, quality=85).numpy())
        paths = [folder / f"{number}.jpg" for number in range(rows)]
        return tfinput.from_images((paths, np.arange(rows) % 10), image_size=(96, 128), batch_size=BATCH, verbose=False)
    if case["kind"] == "csv":
        np.savetxt(
            folder / "rows.csv", random.random((rows, 20)), delimiter=",", header=",".join(f"c{place}" for place in range(20)), comments=""
        )
        return tfinput.from_csv(folder / "rows.csv", label="c19", as_matrix=True, in_memory=False, batch_size=BATCH, verbose=False)
    if case["kind"] == "generator":
        pool = random.random((1024, 20), np.float32)
        return tfinput.from_generator(lambda: ((pool[row % 1024], row % 10) for row in range(rows)), size=rows, batch_size=BATCH)
    return tfinput.from_sequence(Items(rows), workers=2, batch_size=BATCH)


def passes(feed: Any, epochs: int, whole: bool) -> Callable[[], float]:
    """Seconds of some epochs, by a loop in Python over the passes, or over the endless dataset; after an epoch that is not counted."""

    def run() -> float:
        if whole:
            for _ in feed.train:
                pass
            began = time.perf_counter()
            for _ in range(epochs):
                for _ in feed.train:
                    pass
            return time.perf_counter() - began
        steps, batches = feed.steps_per_epoch, iter(feed.repeated)
        for _ in range(steps):
            next(batches)
        began = time.perf_counter()
        for _ in range(epochs * steps):
            next(batches)
        return time.perf_counter() - began

    return run


def fits(feed: Any, epochs: int, whole: bool) -> Callable[[], float]:
    """Seconds of `fit` of a small model, on `feed.train` or with `fit_args()`; it is compiled and traced before."""
    import keras

    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(feed.train, shuffle=False, verbose=0)

    def run() -> float:
        arguments = {"x": feed.train, "shuffle": False} if whole else feed.fit_args()
        return harness.timed(lambda: model.fit(**arguments, epochs=epochs, verbose=0))

    return run


def child(case: dict[str, Any]) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        feed, epochs = feed_of(case, Path(folder)), case["epochs"]
        runs = {
            "tfinput": passes(feed, epochs, whole=True),
            "repeated": passes(feed, epochs, whole=False),
            "fit": fits(feed, epochs, whole=True),
            "fit_args": fits(feed, epochs, whole=False),
        }
        return harness.interleave(runs, case["repeats"])


def measure(case: dict[str, Any], repeats: int) -> dict[str, Any]:
    seconds = harness.fresh(__file__, case | {"repeats": repeats})
    return {"seconds": seconds, "ratios": harness.ratios(seconds)}


def main(argv: list[str] | None = None) -> None:
    harness.command("border", __doc__ or "", CASES, measure, child, argv, repeats=5)


if __name__ == "__main__":
    main()
