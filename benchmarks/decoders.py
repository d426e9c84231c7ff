"""Whether another decoder than TensorFlow's would make reading images quicker: libjpeg-turbo 3, and OpenCV's resizing.

    pip install simplejpeg opencv-python-headless
    python benchmarks/decoders.py [--repeats 7] [--only "500 x 375"]

The cases of `images.py` once more, with one pipeline besides: one Python call a batch, four of them side by side, in which simplejpeg
decodes every image into memory that its thread keeps (by the fast integer transform: the very pixels of TensorFlow's decoder; at a scale
where the case decodes fast) and OpenCV resizes it, as floats, straight into its place in the batch. The table is printed, not stored: it
says what tfinput would gain by two more packages and by pixels that are no longer those of Keras.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import harness
import images
import numpy as np
import report

CASES = ("500 x 375", "2000 x 1500, fast", "2000 x 1500, quality 75, fast", "2000 x 1500, photographs, fast")
CALLS = 4
ALIGNMENT = 64  # bytes; an array that begins at a multiple of it becomes a tensor without a copy


def aligned(shape: tuple[int, ...]) -> Any:
    size = int(np.prod(shape)) * 4
    memory = np.empty(size + ALIGNMENT, np.uint8)
    begin = -memory.ctypes.data % ALIGNMENT
    return memory[begin : begin + size].view(np.float32).reshape(shape)


def batch_reader(case: dict[str, Any]) -> Callable[[Any], Any]:
    """A function from paths to a batch of floats."""
    import cv2
    import simplejpeg

    cv2.setNumThreads(1)  # The calls side by side keep the cores busy.
    height, width = images.SIZE
    scaled = {"min_height": height, "min_width": width, "min_factor": 1} if "options" in case else {}
    kept = threading.local()

    def image(path: bytes, out: Any) -> None:
        if not hasattr(kept, "memory"):
            kept.memory = np.empty(case["height"] * case["width"] * 3, np.uint8)
        with open(path, "rb") as file:
            decoded = simplejpeg.decode_jpeg(file.read(), fastdct=True, fastupsample=False, buffer=kept.memory, **scaled)
        if getattr(kept, "floats", np.empty(0)).shape != decoded.shape:
            kept.floats = np.empty(decoded.shape, np.float32)
        np.copyto(kept.floats, decoded)
        cv2.resize(kept.floats, (width, height), dst=out)

    def batch(paths: Any) -> Any:
        out = aligned((len(paths), height, width, 3))
        for path, place in zip(paths, out, strict=True):
            image(path, place)
        return out

    return batch


def by_others(case: dict[str, Any], folder: str) -> Callable[[], float]:
    """A timing of it, after which no call goes on: to destroy an iterator waits for its Python calls, and may keep Python from running."""
    import tensorflow as tf

    reader = batch_reader(case)
    paths, labels = images.listed(folder)
    lead, steps = images.LEAD_IN, case["steps"]

    def load(paths: Any, labels: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(reader, [paths], tf.float32), (None, *images.SIZE, 3)), labels

    batches = tf.data.Dataset.from_tensor_slices((paths, labels)).shuffle(len(paths)).batch(images.BATCH)
    batches = batches.repeat().take(lead + steps + CALLS).map(load, num_parallel_calls=CALLS)

    def run() -> float:
        consume = harness.consumer(batches)
        consume(lead)
        seconds = harness.timed(consume, steps)
        consume(CALLS)
        return seconds

    return run


def difference(case: dict[str, Any], folder: str) -> float:
    """The largest, of 255, between its pixels and TensorFlow's of the same scale, in a few files."""
    import tensorflow as tf

    paths = [path.encode() for path in images.listed(folder)[0][:8]]
    theirs = batch_reader(case)(paths)
    own = [images.resized(tf.io.read_file(path), images.scale(case)) for path in paths]
    return max(float(np.abs(each - other).max()) for each, other in zip(theirs, own, strict=True))


def child(case: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as aside:
        runs = images.runs(case, images.pipelines(case, folder, aside))
        seconds = harness.interleave({**runs, "others": by_others(case, folder)}, case["repeats"])
        return {"seconds": seconds, "difference": difference(case, folder)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", choices=CASES, default=None)
    parser.add_argument("--child", default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        print(json.dumps(child(json.loads(args.child))))
        return
    print("| images to 224 x 224, x Keras' folder reader | tfinput | by hand | not resized | simplejpeg and OpenCV | they differ by |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in [args.only] if args.only else CASES:
        made = harness.fresh(__file__, {**images.CASES[name], "repeats": args.repeats})
        cells = [report.between(made, "keras", pipeline) for pipeline in ("tfinput", "by_hand", "unresized", "others")]
        print(f"| {name} | {' | '.join(cells)} | {made['difference']:.2g} |", flush=True)


if __name__ == "__main__":
    main()
