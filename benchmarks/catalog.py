"""TensorFlow Datasets: one epoch of a prepared dataset against `tfds.load`, shuffled in a buffer, batched and prefetched.

ArrayRecord files, which `tfds.load` does not read, against TFDS' data source in a plain loop.
"""

from __future__ import annotations

import contextlib
import functools
import io
import tempfile
from collections.abc import Callable
from typing import Any

import harness
import numpy as np

SHARDS, BATCH, BUFFER = 4, 128, 1 << 14
CASES = {
    "TFRecord, 28 x 28 PNG": {"rows": 60_000, "format": "tfrecord", "image": True},
    "TFRecord, 16 floats": {"rows": 200_000, "format": "tfrecord", "image": False},
    "ArrayRecord, 28 x 28 PNG": {"rows": 60_000, "format": "array_record", "image": True},
    # What `tfds.load` does by itself for datasets below 250 MiB, unless files are shuffled.
    "TFRecord, 28 x 28 PNG, cached": {"rows": 60_000, "format": "tfrecord", "image": True, "cached": True},
}


@functools.cache
def dataset_class() -> Any:
    """A dataset of random pictures, or of vectors, with labels; its configuration is a case."""
    import tensorflow_datasets as tfds

    class Made(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        case: dict[str, Any]

        def _info(self) -> Any:
            image, vector = tfds.features.Image(shape=(28, 28, 1)), tfds.features.Tensor(shape=(16,), dtype=np.float32)
            features = {"x": image if self.case["image"] else vector, "y": tfds.features.ClassLabel(num_classes=10)}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("x", "y"))

        def _split_generators(self, dl_manager: Any) -> Any:
            del dl_manager
            return {"train": self._generate_examples()}

        def _generate_examples(self) -> Any:
            random = np.random.default_rng(0)
            for row in range(self.case["rows"]):
                x = random.integers(0, 256, (28, 28, 1), np.uint8) if self.case["image"] else random.random(16, np.float32)
                yield row, {"x": x, "y": row % 10}

    return Made


def prepared(case: dict[str, Any], folder: str) -> Any:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        made = dataset_class()
        made.case = case
        builder = made(data_dir=folder, file_format=case["format"])
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=SHARDS))
    return builder


def loaded(builder: Any, cached: bool) -> Any:
    """What `tfds.load` gives, as its guide goes on: shuffled, batched, prefetched."""
    import tensorflow as tf

    dataset = builder.as_dataset(split="train", as_supervised=True, shuffle_files=not cached)
    return dataset.shuffle(BUFFER).batch(BATCH).prefetch(tf.data.AUTOTUNE).repeat()


def by_number(builder: Any, steps: int) -> Callable[[], float]:
    """What TFDS offers for ArrayRecord files, which it does not read into a `tf.data.Dataset`: its data source, in a loop."""
    source, random = builder.as_data_source(split="train"), np.random.default_rng(0)

    def epoch() -> None:
        order = random.permutation(len(source))
        for step in range(steps):
            items = source.__getitems__(order[step * BATCH : (step + 1) * BATCH].tolist())
            _ = [np.stack([item[name] for item in items]) for name in ("x", "y")]

    return lambda: harness.timed(epoch)


def child(case: dict[str, Any]) -> dict[str, list[float]]:
    import tfinput

    cached = case.get("cached", False)
    with tempfile.TemporaryDirectory() as folder:
        builder = prepared(case, folder)
        feed = tfinput.from_tfds(builder, batch_size=BATCH, cache="memory" if cached else None)
        steps = feed.steps_per_epoch
        indexed = case["format"] == "array_record"
        peer = by_number(builder, steps) if indexed else harness.burst(loaded(builder, cached), steps // 8, steps)
        if cached:
            peer()  # Fills the cache, as building the feed did.
        return harness.interleave({"tfinput": harness.burst(feed.repeated, steps // 8, steps), "load": peer}, case["repeats"])


def measure(case: dict[str, Any], repeats: int) -> dict[str, Any]:
    seconds = harness.fresh(__file__, case | {"repeats": repeats})
    return {"seconds": seconds, "ratios": harness.ratios(seconds)}


def main(argv: list[str] | None = None) -> None:
    harness.command("catalog", __doc__, CASES, measure, child, argv, repeats=5)


if __name__ == "__main__":
    main()
