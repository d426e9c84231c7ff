"""`from_arrays`: arrays, nests of arrays, tables and array files."""

from __future__ import annotations

import os
from typing import Any, Unpack

from tfinput import feed, options
from tfinput.builders import _build
from tfinput.errors import refusal, short
from tfinput.sources import arrays
from tfinput.sources.base import Source


@options.common_options
def from_arrays(x: Any, y: Any = None, sample_weight: Any = None, **given: Unpack[options.Options]) -> feed.Feed:
    """Feed a Keras model from arrays.

    >>> import numpy as np, tfinput
    >>> x, y = np.random.rand(100, 8).astype("float32"), np.arange(100) % 3
    >>> tfinput.from_arrays(x, y, batch_size=32, validation_split=0.2)
    Feed(arrays: train 80 in 3 steps of 32, validation 20 in 1 step of 20; seed=0)

    `model.fit(**feed.fit_args(), epochs=10)` then trains on it.

    Arrays in memory are copied once; changing one later does not change the feed. Files, memmaps and HDF5 datasets are read
    a batch at a time and stay where they are. No value is changed: dtypes stay as they are.

    Tables are paired by name: rows that pandas calls by the same index, each once, are put in the order of the first table's, which
    the feed's repr says, and columns of validation and test tables in that of the training tables'. Arrays have no names, and are
    paired by place.

    Args:
        x: inputs: an array with one row per example, or a dict or (named) tuple of such arrays; a list counts as a tuple.
            An array may be of NumPy, a `tf.Tensor`, a pandas or Arrow column or numeric table, an HDF5 dataset, anything
            with `__array__` or DLPack, or a path to a `.npy`, `.npz` or `.h5` file. A file whose arrays are named `x`, `y`
            and `sample_weight` gives all three.
        y: targets, likewise.
        sample_weight: a weight per example, or a nest of them like `y`.
        {common options}

    Returns:
        A `tfinput.Feed`.

    Raises:
        ValueError: for arrays of unequal length, empty ones, sizes that leave no step or no example, damaged files, and tables whose
            rows or columns are called differently, with the first that is.
        TypeError: for unknown options, and material that is no array of numbers, bools or text.

    """
    known = _build.begin(dict(given), from_arrays)
    made = arrays.source(x, y, sample_weight)
    targets = isinstance(made.spec, tuple) and len(made.spec) > 1  # A file may have brought them.
    others = [_other(known[name], name, targets, made.columns) for name in ("validation_data", "test_data")]
    return _build.build(made, known, *others)


def _other(data: Any, name: str, targets: bool, columns: arrays.Columns) -> Source | None:
    if data is None:
        return None
    if not targets or isinstance(data, (str, os.PathLike)):
        return arrays.source(data, name=name, columns=columns)
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        fix = "Pass validation examples in the builder's own form."
        raise refusal(name, "(x, y) or (x, y, sample_weight)", short(type(data).__name__), fix, TypeError)
    return arrays.source(data[0], data[1], data[2] if len(data) == 3 else None, name, columns)
