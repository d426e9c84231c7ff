"""Windows over time series: those of Keras, split by time so that no row lies on two sides, and never all made at once."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tfinput
from tfinput.sampling.time_splits import split
from tfinput.sources.series import Series, Window


def windows(dataset: Any) -> list[list[int]]:
    """The windows of a dataset, or their inputs, one after another."""
    batches = [batch[0] if isinstance(batch, tuple) else batch for batch in dataset]
    return [window for batch in batches for window in batch.numpy().tolist()]


def targets_of(dataset: Any) -> list[int]:
    return [target for batch in dataset for target in batch[1].numpy().tolist()]


def read_all(series: Series) -> Any:
    """All windows of a source in one read, as the pipeline reads a block."""
    source = series.source()
    return tf.nest.map_structure(lambda part: part.numpy().tolist(), source.read(tf.range(source.size)))


def keras_windows(rows: int, aims: int | None, **arguments: Any) -> Any:
    """The same of Keras; None where it gives none."""
    targets = None if aims is None else 1000 + np.arange(aims)
    dataset = keras.utils.timeseries_dataset_from_array(np.arange(rows), targets, batch_size=64, **arguments)
    batch = next(iter(dataset), None)
    return None if batch is None else tf.nest.map_structure(lambda part: part.numpy().tolist(), batch)


def own_windows(rows: int, aims: int | None, window: Window) -> Any:
    targets = None if aims is None else 1000 + np.arange(aims)
    try:
        return read_all(Series.of(np.arange(rows), targets, window))
    except ValueError as refused:
        assert re.search("rows, which a window spans|between", str(refused)), refused  # noqa: PT017 - only some are refused
        return None


def counted_windows(rows: int, aims: int | None, window: Window) -> Any:
    """What windows are, by counting."""
    end = rows if window.end is None else window.end
    reach = [tuple(range(start, start + window.span, window.rate)) for start in range(window.start, end, window.stride)]
    kept = [list(each) for each in reach if each[-1] < end and (aims is None or each[0] < aims)]
    if not kept:
        return None
    return kept if aims is None else (kept, [1000 + each[0] for each in kept])


def test_windows_are_those_of_a_count_over_small_numbers() -> None:
    for rows, length, stride, rate in itertools.product((1, 4, 9, 12), (1, 2, 3, 4), (1, 2, 5, 20), (1, 2, 3)):
        window = Window(length=length, stride=stride, rate=rate)
        assert own_windows(rows, None, window) == counted_windows(rows, None, window)
    for lack, start, end, stride, rate in itertools.product((0, 1, 7), (0, 1, 4), (None, 7, 12), (1, 3), (1, 2)):
        window = Window(length=3, stride=stride, rate=rate, start=start, end=end)
        assert own_windows(12, 12 - lack, window) == counted_windows(12, 12 - lack, window)


@pytest.mark.parametrize("length", [1, 2, 4])
def test_windows_are_those_of_keras(length: int) -> None:
    for rows, lack, stride, rate in itertools.product((9, 12), (None, 0, 5), (1, 2), (1, 3)):
        window = Window(length=length, stride=stride, rate=rate)
        aims = None if lack is None else rows - lack
        expected = keras_windows(rows, aims, sequence_length=length, sequence_stride=stride, sampling_rate=rate)
        assert own_windows(rows, aims, window) == expected, (rows, lack, window)


def test_the_first_and_the_last_row_are_those_of_keras() -> None:
    for start, end, stride in itertools.product((None, 1, 4), (None, 7, 11), (1, 2)):
        expected = keras_windows(12, 12, sequence_length=2, sampling_rate=2, sequence_stride=stride, start_index=start, end_index=end)
        assert own_windows(12, 12, Window(length=2, rate=2, stride=stride, start=start or 0, end=end)) == expected


def test_the_builder_serves_what_keras_serves() -> None:
    series = np.arange(40).reshape(20, 2)
    feed = tfinput.from_timeseries(series[:-3], series[3:, 0], sequence_length=4, sequence_stride=2, sampling_rate=2, batch_size=3)
    theirs = keras.utils.timeseries_dataset_from_array(series[:-3], series[3:, 0], 4, 2, 2, batch_size=3)
    for ours, other in zip(feed.examples("train"), theirs, strict=True):
        assert ours[0].numpy().tolist() == other[0].numpy().tolist()
        assert ours[1].numpy().tolist() == other[1].numpy().tolist()


@pytest.mark.parametrize(("batch", "drop"), [(1, False), (3, False), (3, True), (32, False)])
def test_every_epoch_holds_every_window_once_in_a_new_order(batch: int, drop: bool) -> None:
    feed = tfinput.from_timeseries(
        np.arange(24), sequence_length=4, sampling_rate=2, sequence_stride=2, batch_size=batch, drop_remainder=drop
    )
    every = {tuple(range(start, start + 8, 2)) for start in range(0, 18, 2)}
    steps = feed.steps_per_epoch
    served = list(feed.repeated.take(3 * steps))
    epochs = [[tuple(window) for window in windows(served[at : at + steps])] for at in (0, steps, 2 * steps)]
    for epoch in epochs:
        assert len(set(epoch)) == len(epoch)
        assert set(epoch) == every if not drop else set(epoch) < every or len(every) % batch == 0
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_order_is_the_same_for_every_batch_size_and_goes_on_from_any_step() -> None:
    def built(batch: int) -> tfinput.Feed:
        return tfinput.from_timeseries([np.arange(9), np.arange(50, 62)], sequence_length=3, batch_size=batch)

    expected = windows(built(1).repeated.take(3 * 17))
    feed = built(5)
    assert feed.steps_per_epoch == 4
    assert windows(feed.repeated.take(12)) == expected
    for step in range(9):
        at = step // 4 * 17 + step % 4 * 5
        assert windows(feed.at(step=step).repeated.take(3)) == expected[at : at + len(windows(feed.at(step=step).repeated.take(3)))]


def test_no_window_crosses_two_series() -> None:
    series = {"a": np.arange(5), "b": np.arange(100, 103), "c": np.arange(200, 207)}
    aims = {name: 1000 + rows for name, rows in series.items()}
    feed = tfinput.from_timeseries(series, aims, sequence_length=3, sequence_stride=2, batch_size=4)
    expected = [[0, 1, 2], [2, 3, 4], [100, 101, 102], [200, 201, 202], [202, 203, 204], [204, 205, 206]]
    assert windows(feed.examples("train")) == expected
    assert targets_of(feed.examples("train")) == [1000 + window[0] for window in expected]
    assert feed.parts["train"].source.place(4) == "data['c'], rows 2 to 4"


def rows_of(indices: Any, counts: Any, window: Window, reach: int = 0) -> set[tuple[int, int]]:
    """The rows (series, row) between the first and the last of some windows, and so many after."""
    ends = np.cumsum(counts)
    found = set()
    for index in indices:
        series = int(np.searchsorted(ends, index, side="right"))
        first = (index - (ends[series] - counts[series])) * window.stride
        found |= {(series, int(first) + row) for row in range(window.span + reach)}
    return found


def apart(window: Window, gap: int) -> int:
    return -(-(window.span + gap) // window.stride)


def test_no_row_lies_on_two_sides_of_a_split_over_small_numbers() -> None:
    drawn = 0
    for length, stride, rate, gap in itertools.product((1, 2, 4), (1, 2, 5), (1, 2), (0, 1, 3)):
        window = Window(length=length, stride=stride, rate=rate)
        for counts, validation, test in itertools.product(([9], [23], [12, 17]), (None, 1, 0.2), (None, 2, 0.1)):
            if validation is None and test is None:
                continue
            try:
                made = split(np.array(counts), apart(window, gap), validation, test, str)
            except ValueError as refused:
                assert re.search("room for|at least one window", str(refused))  # noqa: PT017 - only some are refused
                continue
            drawn += 1
            parts = [part.indices for part in (made.train, made.validation, made.test) if part is not None]
            # A window and what follows it within the gap, its target included, meets no window of another split.
            for one, other in itertools.permutations(parts, 2):
                assert not rows_of(one, counts, window, gap) & rows_of(other, counts, window)
            # Nothing more than that is left out: each window that does not train would share a row, or lie in the gap.
            held = np.concatenate(parts[1:])
            for index in set(range(sum(counts))) - set(np.concatenate(parts).tolist()):
                near = rows_of([index], counts, window, gap) & rows_of(held, counts, window)
                assert near or rows_of([index], counts, window) & rows_of(held, counts, window, gap)
    assert drawn > 400


def test_the_last_windows_are_held_out_in_the_order_of_time() -> None:
    feed = tfinput.from_timeseries(np.arange(100), sequence_length=10, validation_split=0.2, test_split=5, batch_size=4)
    assert feed.indices["test"].tolist() == list(range(86, 91))
    assert feed.indices["validation"].tolist() == list(range(59, 77))  # 18 of 91, and 9 left out behind them
    assert feed.indices["train"].tolist() == list(range(50))
    served = [windows(dataset) for dataset in (feed.repeated.take(feed.steps_per_epoch), feed.validation, feed.test)]
    rows = [{row for window in part for row in window} for part in served]
    assert not rows[0] & rows[1]
    assert not rows[1] & rows[2]
    assert served[1] == [list(range(start, start + 10)) for start in range(59, 77)]
    assert windows(feed.validation) == served[1]


def test_each_series_gives_its_last_windows_in_proportion() -> None:
    feed = tfinput.from_timeseries([np.arange(40), np.arange(20), np.arange(10)], sequence_length=1, validation_split=0.2)
    assert feed.indices["validation"].tolist() == [*range(32, 40), *range(56, 60), 68, 69]
    assert feed.train_size == 56


@pytest.mark.parametrize(
    ("gap", "ahead", "cut", "left_out"),
    [
        (None, 1, True, 5),  # data[:-1], targets[1:]: nothing tells how far ahead they look, so one step
        (None, 1, False, 4),  # data, data[1:]: a row within the window
        (None, 8, False, 8),
        (8, 12, True, 12),
        (0, 12, True, 4),
    ],
)
def test_the_gap_keeps_the_targets_of_training_out_of_validation(gap: int | None, ahead: int, cut: bool, left_out: int) -> None:
    series = np.arange(80)
    feed = tfinput.from_timeseries(
        series[:-ahead] if cut else series, series[ahead:], sequence_length=5, gap=gap, validation_split=20, batch_size=80
    )
    train, validation = next(iter(feed.train)), next(iter(feed.validation))
    first = validation[0].numpy().min()
    assert feed.indices["validation"][0] - feed.indices["train"][-1] - 1 == left_out
    assert train[0].numpy().max() < first
    if gap != 0:
        assert train[1].numpy().max() < first
    # Without targets nothing but shared rows is left out.
    plain = tfinput.from_timeseries(series, sequence_length=5, validation_split=20)
    assert plain.indices["train"][-1] + 5 == plain.indices["validation"][0]


def test_chosen_windows_are_held_out_and_their_neighbours_do_not_train() -> None:
    feed = tfinput.from_timeseries(np.arange(30), sequence_length=3, validation_split=[10, 11], test_split=np.arange(28) == 20)
    assert feed.indices["validation"].tolist() == [10, 11]
    assert feed.indices["test"].tolist() == [20]
    assert feed.indices["train"].tolist() == [*range(8), *range(14, 18), *range(23, 28)]


def test_whole_series_are_held_out() -> None:
    series = [np.arange(100 * place, 100 * place + 10 + place) for place in range(8)]
    feed = tfinput.from_timeseries(series, sequence_length=4, split_by="series", validation_split=0.25, test_split=0.2)
    held = [{row // 100 for window in windows(feed.examples(name)) for row in window} for name in ("train", "validation", "test")]
    assert sorted(itertools.chain(*held)) == list(range(8))
    assert all(held)
    folds = tfinput.from_timeseries(series, sequence_length=4, split_by="series").kfold(4)
    validated = [{row // 100 for window in windows(fold.validation) for row in window} for fold in folds]
    assert sorted(itertools.chain(*validated)) == list(range(8))
    for fold, held_out in zip(folds, validated, strict=True):
        assert not held_out & {row // 100 for window in windows(fold.examples("train")) for row in window}


BASE = np.random.default_rng(0).normal(size=(30, 3)).astype("float32")
FORMS = {
    "array": lambda a: a,
    "tensor": tf.constant,
    "frame": lambda a: pd.DataFrame(a, columns=list("abc")),
    "Fortran order": np.asfortranarray,
}


def expected_windows(array: Any) -> Any:
    return np.stack([array[start : start + 8 : 2] for start in range(0, len(array) - 6, 3)])


def read(data: Any, **options: Any) -> Any:
    feed = tfinput.from_timeseries(data, sequence_length=4, sampling_rate=2, sequence_stride=3, batch_size=4, **options)
    return np.concatenate([batch.numpy() for batch in feed.examples("train")])


@pytest.mark.parametrize("form", FORMS)
def test_series_of_every_form_arrive_bit_for_bit(form: str) -> None:
    got = read(FORMS[form](BASE))
    assert got.dtype == BASE.dtype
    assert got.tobytes() == expected_windows(BASE).tobytes()


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "float16", "complex64", "str"])
def test_series_of_every_kind_arrive(dtype: str) -> None:
    series = (np.arange(60).reshape(20, 3) % 7).astype(dtype)
    whole = [series, series[::-1].copy()]
    expected = np.concatenate([expected_windows(part) for part in whole])
    got = read(whole)
    assert got.tolist() == (np.char.encode(expected).astype(object) if dtype == "str" else expected).tolist()


def test_files_are_read_in_place_alone_and_beside_arrays(tmp_path: Path) -> None:
    other = BASE[::-1].copy()
    np.save(tmp_path / "a.npy", BASE)
    np.save(tmp_path / "b.npy", other)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["c"] = BASE
    for data in (tmp_path / "a.npy", str(tmp_path / "c.h5"), np.load(tmp_path / "a.npy", mmap_mode="r")):
        assert read(data).tobytes() == expected_windows(BASE).tobytes()
    expected = np.concatenate([expected_windows(BASE), expected_windows(other)]).tobytes()
    for data in ([tmp_path / "a.npy", tmp_path / "b.npy"], [BASE, tmp_path / "b.npy"], [tmp_path / "c.h5", other]):
        assert read(data).tobytes() == expected
    feed = tfinput.from_timeseries(
        [tmp_path / "a.npy", other], [np.arange(30), np.arange(100, 130)], sequence_length=5, batch_size=7, validation_split=0.2
    )
    assert not feed.parts["train"].source.in_memory
    for x, y in feed.repeated.take(feed.steps_per_epoch):
        for window, aim in zip(x.numpy(), y.numpy(), strict=True):
            assert window.tobytes() == (BASE if aim < 100 else other)[aim % 100 : aim % 100 + 5].tobytes()


def test_text_beside_a_file_arrives(tmp_path: Path) -> None:
    text = np.array(list("abcdefghijklmno"))
    np.save(tmp_path / "t.npy", text)
    got = read([tmp_path / "t.npy", text[:9]])
    assert got.tolist() == [[b"a", b"c", b"e", b"g"], [b"d", b"f", b"h", b"j"], [b"g", b"i", b"k", b"m"], [b"a", b"c", b"e", b"g"]]


def test_missing_values_are_values() -> None:
    series = np.array([1, np.nan, 3, 4, np.nan])
    assert np.array_equal(read(np.repeat(series, 2)), expected_windows(np.repeat(series, 2)), equal_nan=True)


def test_a_cache_of_what_preprocess_gives_is_of_these_windows(tmp_path: Path) -> None:
    for length in (2, 3):
        for _ in range(2):
            feed = tfinput.from_timeseries(np.arange(9), sequence_length=length, preprocess=lambda x: x * 2, cache=tmp_path)
            assert windows(feed.examples("train")) == [[2 * row for row in range(start, start + length)] for start in range(10 - length)]


def test_hooks_get_one_window_and_errors_name_its_rows() -> None:
    feed = tfinput.from_timeseries(np.arange(9), sequence_length=3, augment=lambda x, seed: x + 100, validation_split=2)
    assert min(min(window) for window in windows(feed.repeated.take(1))) >= 100
    assert windows(feed.validation) == [[5, 6, 7], [6, 7, 8]]

    def broken(x: Any) -> Any:
        tf.debugging.assert_less(x, tf.constant(7, tf.int64))
        return x

    feed = tfinput.from_timeseries({"oslo": np.arange(9)}, sequence_length=3, preprocess=broken, batch_size=2)
    with pytest.raises(tf.errors.OpError, match=r"preprocess failed in data\['oslo'\], rows 5 to 7"):
        list(feed.examples("train"))


def test_classes_of_windows_can_be_balanced() -> None:
    aims = (np.arange(40) >= 35).astype(int)
    feed = tfinput.from_timeseries(np.arange(42), aims, sequence_length=3, balance="classes", batch_size=40)
    for batch in feed.repeated.take(3):
        assert np.bincount(batch[1].numpy()).tolist() == [20, 20]
        assert all(aims[window[0]] == aim for window, aim in zip(batch[0].numpy(), batch[1].numpy(), strict=True))


def test_fit_and_evaluate_use_the_windows() -> None:
    series = np.sin(np.arange(200) / 10).astype("float32")
    feed = tfinput.from_timeseries(series, series[10:], sequence_length=10, validation_split=0.2, validation_data=None, batch_size=16)
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    history = model.fit(**feed.fit_args(model), epochs=2, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]
    x, y = (np.concatenate(part) for part in zip(*[(x.numpy(), y.numpy()) for x, y in feed.validation], strict=True))
    expected = np.mean(np.abs(model.predict(x, verbose=0)[:, 0] - y))
    assert model.evaluate(**feed.evaluate_args(), verbose=0)[1] == pytest.approx(expected, rel=1e-5)


def test_other_series_validate_from_their_first_row() -> None:
    feed = tfinput.from_timeseries(
        np.arange(20), np.arange(20), sequence_length=3, start_index=5, validation_data=(np.arange(100, 105), np.arange(3))
    )
    assert feed.train_size == 13
    assert windows(feed.validation) == [[100, 101, 102], [101, 102, 103], [102, 103, 104]]
    plain = tfinput.from_timeseries(np.arange(20), sequence_length=3, test_data=[np.arange(3), np.arange(4)])
    assert windows(plain.test) == [[0, 1, 2], [0, 1, 2], [1, 2, 3]]


def test_windows_without_targets_are_told() -> None:
    feed = tfinput.from_timeseries(np.arange(20), np.arange(15), sequence_length=3)
    assert repr(feed) == "Feed(series: train 15 in 1 step of 15; seed=0; windows left out for want of targets: 3)"


TEN = np.arange(10)
SHIFT = "targets[i] belongs to the window that starts at row i: pass data[:-n] and targets[n:] to predict n rows ahead."
BAD: dict[str, tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = {
    "too short": (
        (TEN,),
        {"sequence_length": 6, "sampling_rate": 2},
        ValueError,
        "data: expected at least 11 rows, which a window spans, got 10. Use a shorter window, or leave this series out.",
    ),
    "one of many too short": (
        ({"a": TEN, "b": TEN[:2]},),
        {},
        ValueError,
        "data['b']: expected at least 3 rows, which a window spans, got 2. Use a shorter window, or leave this series out.",
    ),
    "too short after the start": (
        ([TEN, TEN[:5]],),
        {"start_index": 3},
        ValueError,
        "data[1]: expected at least 3 rows, which a window spans, got 2. Use a shorter window, or leave this series out.",
    ),
    "more targets than rows": (
        (TEN, np.arange(11)),
        {},
        ValueError,
        f"targets: expected between 1 and 10 rows, as many as data has, got 11. {SHIFT}",
    ),
    "no targets": ((TEN, TEN[:0]), {}, ValueError, f"targets: expected between 1 and 10 rows, as many as data has, got 0. {SHIFT}"),
    "targets end before the start": (
        (TEN, TEN[:4]),
        {"start_index": 4},
        ValueError,
        f"targets: expected between 5 and 10 rows, as many as data has, got 4. {SHIFT}",
    ),
    "targets of other series": (
        ({"a": TEN, "b": TEN}, {"a": TEN, "c": TEN}),
        {},
        ValueError,
        "targets: expected targets for 2 series (a, b), got targets for 2 series (a, c). "
        "Pass targets in the form of data: one array, or a list or dict with one for each series.",
    ),
    "one array of targets for many": (
        ([TEN, TEN], TEN),
        {},
        ValueError,
        "targets: expected targets for 2 series (0, 1), got targets for one series. "
        "Pass targets in the form of data: one array, or a list or dict with one for each series.",
    ),
    "other columns": (
        ([TEN, np.zeros((10, 2), int)],),
        {},
        ValueError,
        "data[1]: expected rows of shape () and int64, as data[0] has, got (2,) and int64. Give all series the same columns and dtype.",
    ),
    "other dtypes": (
        ([TEN, TEN * 1.0],),
        {},
        ValueError,
        "data[1]: expected rows of shape () and int64, as data[0] has, got () and float64. Give all series the same columns and dtype.",
    ),
    "nests": (
        ([{"a": TEN}],),
        {},
        TypeError,
        "data[0]: expected one array for each series, got a dict of arrays. Put what belongs to one time step side by side, as columns.",
    ),
    "numbers": (
        ([1, 2, 3],),
        {},
        ValueError,
        "data: expected arrays, got a list of single values ([1, 2, 3]). "
        "A list is a nest of arrays here: for one array of these values pass np.array([...]).",
    ),
    "length 0": ((TEN,), {"sequence_length": 0}, ValueError, "sequence_length: expected a positive whole number, got 0. "),
    "stride 0": ((TEN,), {"sequence_stride": 0}, ValueError, "sequence_stride: expected a positive whole number, got 0. "),
    "half a rate": ((TEN,), {"sampling_rate": 1.5}, TypeError, "sampling_rate: expected a positive whole number, got 1.5 (float). "),
    "start outside": (
        (TEN,),
        {"start_index": 10},
        ValueError,
        "start_index: expected a row of data, 0 to 9, got 10. Use a smaller start_index.",
    ),
    "end outside": ((TEN,), {"end_index": 11}, ValueError, "end_index: expected between 1 and 10, the rows of data, got 11. "),
    "end before start": ((TEN,), {"start_index": 5, "end_index": 5}, ValueError, "end_index: expected between 6 and 10, the rows"),
    "negative gap": ((TEN,), {"gap": -1}, ValueError, "gap: expected a whole number of at least 0, got -1. "),
    "no such split": ((TEN,), {"split_by": "times"}, ValueError, "split_by: expected one of 'time', 'series', got 'times'. Did you mean"),
    "one series by series": ((TEN,), {"split_by": "series"}, ValueError, "split_by='series': expected several series, got one. "),
    "stratify": (
        (TEN, TEN % 2),
        {"stratify": True, "validation_split": 2},
        ValueError,
        "stratify: expected nothing: time series are split by time, or by series, got True. "
        "Pass split_by='series' to keep whole series together, or drop it.",
    ),
    "nothing left to train on": (
        (TEN,),
        {"validation_split": 6},
        ValueError,
        "train set: expected at least one window, got none: of 8 windows 6 are held out, and the others share rows with those, "
        "or lie in the gap. Make the splits, the windows or the gap smaller.",
    ),
    "no room for validation": (
        (TEN,),
        {"validation_split": 4, "test_split": 3},
        ValueError,
        "data: expected room for its 4 windows of validation_split before the gap, got 8 windows in all. "
        "Make the splits, the windows or the gap smaller, or hold out whole series with split_by='series'.",
    ),
    "indices and a count": (
        (TEN,),
        {"validation_split": [3], "test_split": 1},
        ValueError,
        "test_split: expected indices, as the other split has, got 1 windows. "
        "Pass indices for both splits, or a fraction or count for both.",
    ),
    "indices twice": (
        (TEN,),
        {"validation_split": [1, 3], "test_split": [3]},
        ValueError,
        "test_split: expected indices of no other split, got index 3 twice. Make the splits disjoint.",
    ),
    "validation data without targets": (
        (TEN, TEN),
        {"validation_data": TEN},
        TypeError,
        "validation_data: expected (data, targets), got 'ndarray'. Pass it in the builder's own form.",
    ),
    "validation data that is too short": (
        (TEN,),
        {"validation_data": TEN[:2]},
        ValueError,
        "validation_data data: expected at least 3 rows, which a window spans, got 2. ",
    ),
    "no such option": ((TEN,), {"sequence_strides": 1}, TypeError, "from_timeseries(sequence_strides=…): expected one of its options, got"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_windowed_is_refused(case: str) -> None:
    given, options, kind, said = BAD[case]
    with pytest.raises(kind) as refused:
        tfinput.from_timeseries(*given, **{"sequence_length": 3, **options})
    assert str(refused.value).startswith(f"tfinput: {said}")


def test_folds_over_time_are_refused() -> None:
    with pytest.raises(ValueError, match=r"kfold: expected examples in no order, got windows over time, which share rows\. Use split_by"):
        tfinput.from_timeseries(TEN, sequence_length=2).kfold(2)


def test_no_window_is_made_ahead_of_its_batch() -> None:
    # All windows together would take 800 GB.
    series = np.zeros((1_000_000, 2), np.float32)
    feed = tfinput.from_timeseries(series, sequence_length=100_000, batch_size=2, validation_split=10)
    assert feed.train_size == 1_000_000 - 100_000 + 1 - 10 - 99_999
    assert next(iter(feed.train)).shape == (2, 100_000, 2)
