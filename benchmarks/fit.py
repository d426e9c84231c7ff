"""A whole `model.fit` of a small dense model: fed by tfinput, by `fit(x, y)`, and by one batch that stays in memory (the limit)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import harness
import numpy as np

ROWS = {"80 B": 20, "3 KB": 768}
CASES = {
    f"{name} x {batch_size}": {"columns": columns, "rows": batch_size * steps + batch_size // 2, "batch_size": batch_size, "epochs": 3}
    for name, columns in ROWS.items()
    for batch_size, steps in ((32, 800), (256, 300))
}
CASES["3 KB x 32, validation"] = CASES["3 KB x 32"] | {"validation": 5_000}


def model(columns: int) -> Any:
    import keras

    keras.utils.set_random_seed(0)
    made = keras.Sequential([keras.layers.Input((columns,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(10)])
    made.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return made


def child(case: dict[str, Any]) -> dict[str, list[float]]:
    import tensorflow as tf

    import tfinput

    columns, rows, batch_size = case["columns"], case["rows"], case["batch_size"]
    random = np.random.default_rng(0)

    def arrays(count: int) -> tuple[Any, Any]:
        return random.random((count, columns), np.float32), random.integers(0, 10, count)

    x, y = arrays(rows)
    held = {"validation_data": arrays(case["validation"])} if "validation" in case else {}

    def resident(count: int) -> tuple[Any, int]:
        return tf.data.Dataset.from_tensors((x[:batch_size], y[:batch_size])).repeat(), -(-count // batch_size)

    def by_tfinput() -> dict[str, Any]:
        return tfinput.from_arrays(x, y, batch_size=batch_size, **held).fit_args()

    def by_keras() -> dict[str, Any]:
        return {"x": x, "y": y, "batch_size": batch_size, **held}

    def by_resident() -> dict[str, Any]:
        data, steps = resident(rows)
        given = {"x": data, "steps_per_epoch": steps}
        if held:
            data, steps = resident(case["validation"])
            given |= {"validation_data": data, "validation_steps": steps}
        return given

    def fit(given: Callable[[], dict[str, Any]]) -> Callable[[], float]:
        """What the call needs is built inside the timing, as `fit(x, y)` builds it too; the model is compiled before."""
        trained = model(columns)
        trained.fit(**given(), epochs=1, verbose=0)
        return lambda: harness.timed(lambda: trained.fit(**given(), epochs=case["epochs"], verbose=0))

    runs = {"tfinput": fit(by_tfinput), "keras": fit(by_keras), "resident": fit(by_resident)}
    return harness.interleave(runs, case["repeats"])


def measure(case: dict[str, Any], repeats: int) -> dict[str, Any]:
    seconds = harness.fresh(__file__, case | {"repeats": repeats})
    return {"seconds": seconds, "ratios": harness.ratios(seconds)}


def main(argv: list[str] | None = None) -> None:
    harness.command("fit", __doc__, CASES, measure, child, argv, repeats=7)


if __name__ == "__main__":
    main()
