"""The user's functions of one example, over arrays in memory, shuffled: against the same functions in a parallel map written by hand.

"A branch" is a random flip, which TensorFlow writes as one: such functions are run as a map of its own would run them. By hand, random
functions take their seeds from a counter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import harness
import numpy as np

ROWS, BATCH, LEAD_IN = 4096, 64, 50


def scaled(x: Any, y: Any) -> Any:
    import tensorflow as tf

    return tf.cast(x, tf.float32) / 255, y


def standardized(x: Any, y: Any) -> Any:
    import tensorflow as tf

    return tf.image.per_image_standardization(x), y


def cropped(x: Any, y: Any, seed: Any) -> Any:
    import tensorflow as tf

    return tf.image.stateless_random_crop(tf.pad(x, [[2, 2], [2, 2], [0, 0]]), (32, 32, 3), seed), y


def flipped(x: Any, y: Any, seed: Any) -> Any:
    import tensorflow as tf

    return tf.image.stateless_random_flip_left_right(x, seed), y


FUNCTIONS: dict[str, Callable[..., Any]] = {each.__name__: each for each in (scaled, standardized, cropped, flipped)}
CASES: dict[str, dict[str, Any]] = {
    "20 floats, scaled": {"shape": [20], "preprocess": "scaled"},
    "28 x 28, scaled": {"shape": [28, 28], "preprocess": "scaled"},
    "32 x 32 x 3, standardized": {"shape": [32, 32, 3], "preprocess": "standardized"},
    "32 x 32 x 3, scaled, random crop": {"shape": [32, 32, 3], "preprocess": "scaled", "augment": "cropped"},
    "32 x 32 x 3, scaled, random flip (a branch)": {"shape": [32, 32, 3], "preprocess": "scaled", "augment": "flipped"},
}
CASES = {name: {"rows": ROWS, "steps": 400, **case} for name, case in CASES.items()}


def by_hand(x: Any, y: Any, preprocess: Any, augment: Any) -> Any:
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).map(preprocess, num_parallel_calls=tf.data.AUTOTUNE)
    if augment is not None:
        counted = tf.data.Dataset.zip((dataset, tf.data.Dataset.counter()))
        dataset = counted.map(lambda row, count: augment(*row, seed=tf.stack([7, count])), num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.batch(BATCH).prefetch(tf.data.AUTOTUNE).repeat()


def child(case: dict[str, Any]) -> dict[str, list[float]]:
    import tfinput

    x = np.random.default_rng(0).integers(0, 256, (case["rows"], *case["shape"]), np.uint8)
    y = np.arange(len(x)) % 10
    functions = {name: FUNCTIONS.get(case.get(name, "")) for name in ("preprocess", "augment")}
    datasets = {
        "tfinput": tfinput.from_arrays(x, y, batch_size=BATCH, **functions).repeated,
        "by_hand": by_hand(x, y, **functions),
    }
    return harness.interleave({name: harness.burst(dataset, LEAD_IN, case["steps"]) for name, dataset in datasets.items()}, case["repeats"])


def measure(case: dict[str, Any], repeats: int) -> dict[str, Any]:
    seconds = harness.fresh(__file__, case | {"repeats": repeats})
    return {"seconds": seconds, "ratios": harness.ratios(seconds)}


def main(argv: list[str] | None = None) -> None:
    harness.command("hooks", __doc__, CASES, measure, child, argv, repeats=7)


if __name__ == "__main__":
    main()
