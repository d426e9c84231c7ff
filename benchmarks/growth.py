"""How the cost of a builder's call grows with the number of files and of records: seconds, and memory it keeps, each in a fresh process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import harness
import memory

CASES = {
    **{f"{files:,} images": {"rows": files, "form": "images"} for files in (1_000, 10_000, 200_000)},
    **{f"{records:,} records": {"rows": records, "form": "records"} for records in (10_000, 100_000, 1_000_000)},
}
CLASSES = 100


def built(case: dict[str, Any], folder: str) -> Any:
    import tfinput

    if case["form"] == "images":
        return tfinput.from_images(folder, image_size=8, verbose=False)
    return tfinput.from_tfrecords(f"{folder}/a.tfrecord", verbose=False)


def written(case: dict[str, Any], folder: str) -> None:
    """Empty files, or records of 100 bytes: neither is read before training."""
    import tensorflow as tf

    if case["form"] == "images":
        for name in range(CLASSES):
            (Path(folder) / f"class-{name:03}").mkdir()
        for place in range(case["rows"]):
            (Path(folder) / f"class-{place % CLASSES:03}" / f"{place:06}.jpg").touch()
        return
    with tf.io.TFRecordWriter(f"{folder}/a.tfrecord") as writer:
        for _ in range(case["rows"]):
            writer.write(b"x" * 100)


def child(case: dict[str, Any]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        small = case | {"rows": 200}
        written(small, other)
        built(small, other)  # TensorFlow's own start and all imports are paid before.
        written(case, folder)
        before, feeds = memory.anonymous(), []
        first = harness.timed(lambda: feeds.append(built(case, folder)))
        kept = memory.anonymous() - before
        return {"first": first, "again": harness.timed(lambda: built(case, folder)), "bytes": kept / case["rows"]}


def measure(case: dict[str, Any], repeats: int) -> dict[str, Any]:
    runs = [harness.fresh(__file__, case) for _ in range(repeats)]
    return {"seconds": {name: [run[name] for run in runs] for name in ("first", "again", "bytes")}}


def main(argv: list[str] | None = None) -> None:
    harness.command("growth", __doc__, CASES, measure, child, argv, repeats=3)


if __name__ == "__main__":
    main()
