"""Tables from files: a CSV file from the builder's call through one epoch against `make_csv_dataset`, Parquet against Arrow alone.

Arrow reads all columns at once, or batches of the same size one after another. "least" is Arrow reading all at once, and then a constant of
the batches' shapes handed over as often: examples in any order can only be handed over when all are there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import arrays
import harness
import numpy as np

COLUMNS = 20
CASES = {
    "CSV, 100,000 x 20": {"rows": 100_000, "batch_size": 256, "form": "csv"},
    "CSV streamed, 100,000 x 20": {"rows": 100_000, "batch_size": 256, "form": "csv", "in_memory": False},
    "Parquet, 1,000,000 x 20": {"rows": 1_000_000, "batch_size": 256, "form": "parquet"},
    "Parquet, batches of 8,192": {"rows": 1_000_000, "batch_size": 8192, "form": "parquet"},
    "Parquet, 4,000,000 x 20, batches of 8,192": {"rows": 4_000_000, "batch_size": 8192, "form": "parquet"},
    "Parquet as a matrix, 1,000,000 x 20": {"rows": 1_000_000, "batch_size": 256, "form": "parquet", "as_matrix": True},
    "Parquet streamed, 1,000,000 x 20": {"rows": 1_000_000, "batch_size": 256, "form": "parquet", "in_memory": False},
}


def written(form: str, rows: int, folder: str) -> str:
    """A file of numbers with a label."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    random = np.random.default_rng(0)
    table = pa.table({f"c{place}": random.normal(size=rows) for place in range(COLUMNS)} | {"y": random.integers(0, 10, rows)})
    path = str(Path(folder) / f"table.{form}")
    (csv.write_csv if form == "csv" else parquet.write_table)(table, path)
    return path


def consumed(dataset: Any, steps: int) -> None:
    harness.consumer(dataset)(steps)


def csv_runs(path: str, case: dict[str, Any]) -> dict[str, Callable[[], None]]:
    import tensorflow as tf

    import tfinput

    batch_size, steps = case["batch_size"], -(-case["rows"] // case["batch_size"])

    def own() -> None:
        feed = tfinput.from_csv(path, label="y", batch_size=batch_size, in_memory=case.get("in_memory"), verbose=False)
        consumed(feed.repeated, steps)

    def make_csv_dataset() -> None:
        dataset = tf.data.experimental.make_csv_dataset(path, batch_size, label_name="y", num_epochs=1, shuffle=True)
        consumed(dataset, case["rows"] // batch_size)

    return {"tfinput": own, "make_csv": make_csv_dataset}


def parquet_runs(path: str, case: dict[str, Any]) -> dict[str, Callable[[], None]]:
    import pyarrow.parquet as pq
    import tensorflow as tf

    import tfinput

    def build() -> Any:
        asked = {name: case[name] for name in ("batch_size", "in_memory", "as_matrix") if name in case}
        return tfinput.from_parquet(path, label="y", verbose=False, **asked)

    streamed = None if case.get("in_memory") is None else build()

    def own() -> None:
        feed = streamed or build()  # What is read again in each epoch needs no new feed.
        consumed(feed.repeated, feed.steps_per_epoch)

    def arrow() -> None:
        for column in pq.read_table(path).columns:
            column.to_numpy()

    def arrow_batches() -> None:
        for batch in pq.ParquetFile(path).iter_batches(case["batch_size"]):
            for column in batch.columns:
                column.to_numpy()

    spec = build().element_spec

    def least() -> None:
        arrow()
        batch = tf.nest.map_structure(lambda part: tf.zeros([case["batch_size"], *part.shape[1:]], part.dtype), spec)
        consumed(arrays.constant(*batch), -(-case["rows"] // case["batch_size"]))

    runs = {"tfinput": own, "arrow": arrow, "arrow_batches": arrow_batches}
    return runs if streamed else runs | {"least": least}


def child(case: dict[str, Any]) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        path = written(case["form"], case["rows"], folder)
        runs = (csv_runs if case["form"] == "csv" else parquet_runs)(path, case)
        for run in runs.values():  # TensorFlow's own start and all imports are paid before.
            run()
        return harness.interleave({name: lambda run=run: harness.timed(run) for name, run in runs.items()}, case["repeats"])


def measure(case: dict[str, Any], repeats: int) -> dict[str, Any]:
    seconds = harness.fresh(__file__, case | {"repeats": repeats})
    return {"seconds": seconds, "ratios": harness.ratios(seconds)}


def main(argv: list[str] | None = None) -> None:
    harness.command("tables", __doc__, CASES, measure, child, argv, repeats=5)


if __name__ == "__main__":
    main()
