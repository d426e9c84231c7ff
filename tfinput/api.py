"""What the door leads to: every name that users may use, imported. `tfinput` itself imports this when a name is first used."""

from __future__ import annotations

from tfinput.builders.from_arrays import from_arrays
from tfinput.builders.from_audio import from_audio
from tfinput.builders.from_csv import from_csv
from tfinput.builders.from_dataset import from_dataset
from tfinput.builders.from_generator import from_generator
from tfinput.builders.from_images import from_images
from tfinput.builders.from_parquet import from_parquet
from tfinput.builders.from_sequence import from_sequence
from tfinput.builders.from_text import from_text
from tfinput.builders.from_tfds import from_tfds
from tfinput.builders.from_tfrecords import from_tfrecords
from tfinput.builders.from_timeseries import from_timeseries
from tfinput.builders.mix import mix
from tfinput.feed import Feed

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
