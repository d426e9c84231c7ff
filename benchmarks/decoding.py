"""What bounds reading images: milliseconds that decoding and resizing one JPEG take, in one thread, by TensorFlow's operations alone.

    python benchmarks/decoding.py

Decoding "at 1/4" is what `decode="fast"` does with 2000 x 1500 pixels; at 1/8 they no longer cover 224 x 224. The second table is of whole
runs of the hand-written pipeline: whether turning pixels into floats before they are resized, which makes the same values, is quicker. The
tables are printed, not stored: they explain the ratios of `images.py`.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import harness
import images
import tensorflow as tf

REPEATS, PICTURES, RUNS = 40, 4, 20
CASES: dict[str, dict[str, Any]] = {
    "500 x 375, quality 90": {"rows": PICTURES, "width": 500, "height": 375},
    "2000 x 1500, quality 90": {"rows": PICTURES, "width": 2000, "height": 1500},
    "2000 x 1500, quality 75": {"rows": PICTURES, "width": 2000, "height": 1500, "quality": 75},
    "china.jpg enlarged, quality 90": {"rows": PICTURES, "width": 2000, "height": 1500, "photographs": ["china.jpg"]},
    "flower.jpg enlarged, quality 90": {"rows": PICTURES, "width": 2000, "height": 1500, "photographs": ["flower.jpg"]},
    "flower.jpg enlarged, quality 75": {"rows": PICTURES, "width": 2000, "height": 1500, "photographs": ["flower.jpg"], "quality": 75},
}


def milliseconds(work: Callable[[Any], Any], given: list[Any]) -> float:
    """The median over all that is given, after one call to warm up."""
    work(given[0])
    seconds = []
    for each in itertools.chain.from_iterable(itertools.repeat(given, REPEATS)):
        start = time.perf_counter()
        work(each)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


def row(case: dict[str, Any]) -> list[str]:
    made = [tf.io.encode_jpeg(image, quality=case.get("quality", 90)).numpy() for image in images.pictures(case)]
    size = sum(map(len, made)) / len(made) / case["width"] / case["height"]

    def decoded(ratio: int) -> Callable[[Any], Any]:
        return lambda data: tf.io.decode_jpeg(data, channels=3, ratio=ratio)

    def resized(ratio: int) -> Callable[[Any], Any]:
        return lambda data: tf.image.resize(decoded(ratio)(data), images.SIZE)

    figures = [milliseconds(work, made) for work in (decoded(1), resized(1), resized(4), decoded(8))]
    return [f"{size:.2f}", *(f"{each:.2f}" for each in figures), f"{figures[1] / figures[2]:.2f}"]


def as_floats(contents: Any) -> Any:
    return tf.image.resize(tf.cast(tf.io.decode_jpeg(contents, channels=3), tf.float32), images.SIZE)


def whole_runs() -> dict[str, list[float]]:
    """Milliseconds an image, of one iterator each, in turn."""
    case = images.CASES["500 x 375"]
    with tempfile.TemporaryDirectory() as folder:
        images.written(case, folder)
        datasets = {"as they are": images.by_hand(folder), "as floats": images.by_hand(folder, as_floats)}
        seconds = harness.interleave(images.runs(case, datasets), RUNS)
    return {name: [1000 * each / case["steps"] / images.BATCH for each in times] for name, times in seconds.items()}


def main() -> None:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    print("| a JPEG | bytes a pixel | decoded | decoded, resized | at 1/4, resized | at 1/8, not resized | gain of 1/4 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, case in CASES.items():
        print(f"| {' | '.join([name, *row(case)])} |", flush=True)
    print(f"\n| 500 x 375, resized | ms an image, {RUNS} runs, from the quickest to the slowest |\n| --- | --- |")
    for name, times in whole_runs().items():
        print(f"| {name} | {' '.join(f'{each:.2f}' for each in sorted(times))} |", flush=True)


if __name__ == "__main__":
    main()
