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
    from tfinput.builders.from_arrays import from_arrays
    from tfinput.builders.from_audio import from_audio
    from tfinput.builders.from_dataset import from_dataset
    from tfinput.builders.from_generator import from_generator
    from tfinput.builders.from_images import from_images
    from tfinput.builders.from_sequence import from_sequence
    from tfinput.builders.from_tables import from_csv, from_parquet
    from tfinput.builders.from_text import from_text
    from tfinput.builders.from_tfds import from_tfds
    from tfinput.builders.from_tfrecords import from_tfrecords
    from tfinput.builders.from_timeseries import from_timeseries
    from tfinput.builders.mix import mix
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
    "from_arrays": "tfinput.builders.from_arrays",
    "from_audio": "tfinput.builders.from_audio",
    "from_csv": "tfinput.builders.from_tables",
    "from_dataset": "tfinput.builders.from_dataset",
    "from_generator": "tfinput.builders.from_generator",
    "from_images": "tfinput.builders.from_images",
    "from_parquet": "tfinput.builders.from_tables",
    "from_sequence": "tfinput.builders.from_sequence",
    "from_text": "tfinput.builders.from_text",
    "from_tfds": "tfinput.builders.from_tfds",
    "from_tfrecords": "tfinput.builders.from_tfrecords",
    "from_timeseries": "tfinput.builders.from_timeseries",
    "mix": "tfinput.builders.mix",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tfinput' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
