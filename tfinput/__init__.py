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

if TYPE_CHECKING:
    from tfinput.builders.arrays import from_arrays
    from tfinput.builders.audio import from_audio
    from tfinput.builders.catalog import from_tfds
    from tfinput.builders.datasets import from_dataset
    from tfinput.builders.generators import from_generator
    from tfinput.builders.images import from_images
    from tfinput.builders.mixing import mix
    from tfinput.builders.records import from_tfrecords
    from tfinput.builders.sequences import from_sequence
    from tfinput.builders.series import from_timeseries
    from tfinput.builders.tables import from_csv, from_parquet
    from tfinput.builders.text import from_text
    from tfinput.feed import Feed

__version__ = "0.1.0"
__all__ = [
    "Feed",
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

# Importing tfinput must not import TensorFlow (two seconds): a name is looked up when it is first used.
_HOMES = {
    "Feed": "tfinput.feed",
    "from_arrays": "tfinput.builders.arrays",
    "from_audio": "tfinput.builders.audio",
    "from_csv": "tfinput.builders.tables",
    "from_dataset": "tfinput.builders.datasets",
    "from_generator": "tfinput.builders.generators",
    "from_images": "tfinput.builders.images",
    "from_parquet": "tfinput.builders.tables",
    "from_sequence": "tfinput.builders.sequences",
    "from_text": "tfinput.builders.text",
    "from_tfds": "tfinput.builders.catalog",
    "from_tfrecords": "tfinput.builders.records",
    "from_timeseries": "tfinput.builders.series",
    "mix": "tfinput.builders.mixing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tfinput' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
