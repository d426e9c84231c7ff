"""Windows over time series: shuffled batches against `keras.utils.timeseries_dataset_from_array`."""

from __future__ import annotations

from typing import Any

import harness
import numpy as np

LEAD_IN = 50
CASES = {
    "100,000 x 1, windows of 24, batches of 32": {"rows": 100_000, "columns": 1, "length": 24, "rate": 1, "batch_size": 32, "steps": 1000},
    "100,000 x 14, every 6th of 720, batches of 256": {
        "rows": 100_000,
        "columns": 14,
        "length": 120,
        "rate": 6,
        "batch_size": 256,
        "steps": 100,
    },
    "1,000,000 x 8, windows of 60, batches of 128": {
        "rows": 1_000_000,
        "columns": 8,
        "length": 60,
        "rate": 1,
        "batch_size": 128,
        "steps": 200,
    },
}


def child(case: dict[str, Any]) -> dict[str, list[float]]:
    import keras

    import tfinput

    data = np.random.default_rng(0).normal(size=(case["rows"], case["columns"])).astype("float32")
    targets = data[:, 0].copy()
    asked = {"sequence_length": case["length"], "sampling_rate": case["rate"], "batch_size": case["batch_size"]}
    datasets = {
        "tfinput": tfinput.from_timeseries(data, targets, **asked).repeated,
        "keras": keras.utils.timeseries_dataset_from_array(data, targets, shuffle=True, **asked).repeat(),
    }
    runs = {name: harness.burst(dataset, LEAD_IN, case["steps"]) for name, dataset in datasets.items()}
    return harness.interleave(runs, case["repeats"])


def measure(case: dict[str, Any], repeats: int) -> dict[str, Any]:
    seconds = harness.fresh(__file__, case | {"repeats": repeats})
    return {"seconds": seconds, "ratios": harness.ratios(seconds)}


def main(argv: list[str] | None = None) -> None:
    harness.command("series", __doc__, CASES, measure, child, argv, repeats=5)


if __name__ == "__main__":
    main()
