"""`from_timeseries`: windows over time series."""

from __future__ import annotations

import dataclasses
from typing import Any, Unpack

import numpy as np

from tfinput import feed, options
from tfinput.builders import _build
from tfinput.errors import refusal, short
from tfinput.sampling import time_splits
from tfinput.sampling.splits import SplitMembers
from tfinput.sampling.steps import integer
from tfinput.sources.base import Source
from tfinput.sources.series import Series, Window


@options.common_options
def from_timeseries(
    data: Any,
    targets: Any = None,
    *,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    start_index: int | None = None,
    end_index: int | None = None,
    gap: int | None = None,
    split_by: str = "time",
    **given: Unpack[options.Options],
) -> feed.Feed:
    """Feed a Keras model from windows over one time series, or over many.

    >>> import numpy as np, tfinput
    >>> series = np.sin(np.arange(1000) / 10).astype("float32")
    >>> feed = tfinput.from_timeseries(series[:-10], series[10:], sequence_length=10, validation_split=0.2)
    >>> feed
    Feed(series: train 775 in 25 steps of 32, validation 196 in 7 steps of 28; seed=0)
    >>> [part.shape.as_list() for part in feed.element_spec]
    [[None, 10], [None]]

    The windows and their targets are those of `keras.utils.timeseries_dataset_from_array`. Unlike there, training is shuffled over
    the whole series, anew each epoch, and splits are by time: the last windows of each series test, those before them validate,
    and the rest trains. No row of the data lies in windows of two splits; what is left out for that is in no split. Only the
    windows of a batch are ever made.

    Args:
        data: a series: an array with one row per time step, of shape (time,) or (time, …), as `tfinput.from_arrays` takes it
            (arrays, tensors, tables, or a path to a `.npy` file, which is read a batch at a time). A list or dict of such
            arrays is many series of the same columns; no window crosses from one to the next.
        targets: the same for targets: `targets[i]` belongs to the window that starts at row `i`. They may be shorter than the data,
            as `data[n:]` is; windows that start beyond their end are left out. Rows of pandas tables must have the index of those of the
            data, or be all equally far ahead of them.
        sequence_length: rows in a window.
        sequence_stride: rows from the start of a window to that of the next.
        sampling_rate: rows from one row of a window to its next.
        start_index: the first row to use, of each series; None for the first there is.
        end_index: the row to end before, of each series; None for none. Targets are cut likewise.
        gap: rows that are left out, beside those that windows share, between two splits. At least the distance from a window's
            last row to its target keeps the targets of training out of the validation windows. None takes that distance: it is
            what targets lack in length of the data (`data`, `data[n:]`), else one row at `sampling_rate`; without targets 0.
        split_by: "time", or "series" to hold out whole series, drawn by the seed. Fractions and counts are of windows.
        {common options}

    Returns:
        A `tfinput.Feed` of windows of shape (sequence_length, …), or of windows and targets. `validation_split` may also be the
        indices of windows; then those that share rows with them, or lie in the gap, do not train. `validation_data` is another
        `(data, targets)`, used from its first row to its last.

    Raises:
        ValueError: for series shorter than a window, targets of other lengths, tables whose rows or columns are called differently, and
            splits that leave nothing to train on.
        TypeError: for unknown options, and material that is no array.

    """
    known = _build.begin(dict(given), from_timeseries)
    window = Window(
        length=integer("sequence_length", sequence_length),
        stride=integer("sequence_stride", sequence_stride),
        rate=integer("sampling_rate", sampling_rate),
        start=0 if start_index is None else integer("start_index", start_index, 0),
        end=None if end_index is None else integer("end_index", end_index),
    )
    options.one_of("split_by", split_by, ("time", "series"))
    series = Series.of(data, targets, window)
    rows = series.horizon if gap is None else integer("gap", gap, 0)
    others = [_other(known[name], series, window, name) for name in ("validation_data", "test_data")]
    for name in ("stratify", "groups"):
        if known[name] is not None and known[name] is not False:
            fix = "Pass split_by='series' to keep whole series together, or drop it."
            raise refusal(name, "nothing: time series are split by time, or by series", short(known[name]), fix)
    if split_by == "series":
        return _by_series(series, known, others)
    return dataclasses.replace(_build.build(series.source(), known, *others, split=_by_time(series, rows, known)), drawer=_no_folds)


def _other(data: Any, trained: Series, window: Window, name: str) -> Source | None:
    if data is None:
        return None
    window = dataclasses.replace(window, start=0, end=None)
    if trained.targets is None:
        return Series.of(data, None, window, name, trained).source()
    if not isinstance(data, tuple) or len(data) != 2:
        raise refusal(name, "(data, targets)", short(type(data).__name__), "Pass it in the builder's own form.", TypeError)
    return Series.of(data[0], data[1], window, name, trained).source()


def _by_time(series: Series, gap: int, known: dict[str, Any]) -> SplitMembers:
    apart = -(-(series.window.span + gap) // series.window.stride)
    return time_splits.split(series.counts, apart, known["validation_split"], known["test_split"], lambda number: series.data[number].path)


def _no_folds(*_: Any) -> Any:
    fix = "Use split_by='series' to deal out whole series, or build a feed for each end_index."
    raise refusal("kfold", "examples in no order", "windows over time, which share rows", fix)


def _by_series(series: Series, known: dict[str, Any], others: list[Source | None]) -> feed.Feed:
    if len(series.data) < 2:
        raise refusal("split_by='series'", "several series", "one", "Use split_by='time'.")
    belongs = np.repeat(np.arange(len(series.data)), series.counts)
    asked = known["validation_split"] is not None or known["test_split"] is not None
    made = _build.build(series.source(), known | ({"groups": belongs} if asked else {}), *others)
    draw = made.drawer
    return dataclasses.replace(made, drawer=lambda stratify, groups: draw(stratify, belongs if groups is None else groups))
