"""tfinput: the way from your data to `model.fit`, as tf.data pipelines with exact step counts.

>>> import numpy as np, tfinput
>>> feed = tfinput.from_arrays(np.zeros((10, 3)), np.arange(10), batch_size=4, validation_split=0.2)
>>> feed.steps_per_epoch, feed.validation_steps
(2, 1)

`model.fit(**feed.fit_args(), epochs=10)` trains on it; `model.evaluate(**feed.evaluate_args())` evaluates one whole pass.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tfinput import errors

if TYPE_CHECKING:
    from tfinput.api import (
        Feed,
        from_arrays,
        from_audio,
        from_csv,
        from_dataset,
        from_generator,
        from_images,
        from_parquet,
        from_sequence,
        from_text,
        from_tfds,
        from_tfrecords,
        from_timeseries,
        mix,
    )

__version__ = "0.1.0"
__all__ = [
    "Feed",
    "errors",
    "from_arrays",
    "from_audio",
    "from_csv",
    "from_dataset",
    "from_generator",
    "from_images",
    "from_parquet",
    "from_sequence",
    "from_text",
    "from_tfds",
    "from_tfrecords",
    "from_timeseries",
    "mix",
]


def __getattr__(name: str) -> Any:
    # Importing tfinput must not import TensorFlow (two seconds): a name is looked up when it is first used.
    if name not in __all__:
        raise AttributeError(f"module 'tfinput' has no attribute {name!r}")
    value = getattr(importlib.import_module("tfinput.api"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
