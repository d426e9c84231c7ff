"""TFRecords: one epoch of small examples against parsing one by one and against parsing batches, both shuffled in a buffer.

Also how long listing and counting take as files and records grow.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import harness
import numpy as np

SHARDS, VALUES, BATCH, BUFFER = 4, 16, 256, 1 << 14
CASES = {"TFRecord, 16 floats": {"rows": 200_000}}


def features() -> dict[str, Any]:
    import tensorflow as tf

    return {"x": tf.io.FixedLenFeature([VALUES], tf.float32), "y": tf.io.FixedLenFeature([], tf.int64)}


def written(rows: int, folder: str) -> str:
    import tensorflow as tf

    random = np.random.default_rng(0)
    values = random.random((rows, VALUES))
    for shard in range(SHARDS):
        with tf.io.TFRecordWriter(str(Path(folder) / f"{shard}.tfrecord")) as writer:
            for row in range(shard, rows, SHARDS):
                feature = {
                    "x": tf.train.Feature(float_list=tf.train.FloatList(value=values[row])),
                    "y": tf.train.Feature(int64_list=tf.train.Int64List(value=[row % 10])),
                }
                writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return str(Path(folder) / "*.tfrecord")


def peers(pattern: str) -> dict[str, Any]:
    import tensorflow as tf

    def records() -> Any:
        files = tf.data.Dataset.list_files(pattern, shuffle=True)
        opened = files.interleave(tf.data.TFRecordDataset, cycle_length=SHARDS, num_parallel_calls=tf.data.AUTOTUNE)
        return opened.shuffle(BUFFER)

    spec = features()
    one = records().map(lambda record: tf.io.parse_single_example(record, spec), num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH)
    batch = records().batch(BATCH).map(lambda rows: tf.io.parse_example(rows, spec), num_parallel_calls=tf.data.AUTOTUNE)
    return {"one_by_one": one.repeat().prefetch(tf.data.AUTOTUNE), "batches": batch.repeat().prefetch(tf.data.AUTOTUNE)}


def child(case: dict[str, Any]) -> dict[str, list[float]]:
    import tfinput

    with tempfile.TemporaryDirectory() as folder:
        pattern = written(case["rows"], folder)
        feed = tfinput.from_tfrecords(pattern, features=features(), batch_size=BATCH, verbose=False)
        steps = feed.steps_per_epoch
        datasets = {"tfinput": feed.repeated, **peers(pattern)}
        runs = {name: harness.burst(dataset, steps // 8, steps) for name, dataset in datasets.items()}
        return harness.interleave(runs, case["repeats"])


def measure(case: dict[str, Any], repeats: int) -> dict[str, Any]:
    seconds = harness.fresh(__file__, case | {"repeats": repeats})
    return {"seconds": seconds, "ratios": harness.ratios(seconds)}


def main(argv: list[str] | None = None) -> None:
    harness.command("records", __doc__, CASES, measure, child, argv, repeats=5)


if __name__ == "__main__":
    main()
