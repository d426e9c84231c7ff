"""Tables are paired by the names of their rows and columns, never by place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf

import tfinput

N = 12
NAMES = [f"row{place:02}" for place in range(N)]
FRAME = pd.DataFrame({"a": np.arange(float(N)), "b": np.arange(float(N)) * 10}, index=NAMES)
ONE = pd.Series(np.arange(N), index=NAMES)
MIXED = np.random.default_rng(0).permutation(N)
TIMES = pd.date_range("2024-01-01", periods=N)
PLACES = "Correct the index. If rows belong together by their places, pass both with .reset_index(drop=True)."


def all_of(feed: Any, split: str = "train") -> Any:
    """The examples of a split, each part as one array."""
    batches = list(feed.examples(split).as_numpy_iterator())
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *batches)


def several_levels(values: Any) -> Any:
    pairs = pd.MultiIndex.from_tuples([(place // 3, f"part{place % 3}") for place in range(N)])
    return values.set_axis(pairs)


INDEXES = {
    "text": lambda values: values,
    "numbers": lambda values: values.set_axis(np.arange(N) * 7 - 3),
    "dates": lambda values: values.set_axis(TIMES),
    "several levels": several_levels,
    "categories": lambda values: values.set_axis(pd.CategoricalIndex(NAMES)),
    "a default index": lambda values: values.reset_index(drop=True),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_rows_in_another_order_are_aligned_by_the_index(kind: str) -> None:
    x, y = INDEXES[kind](FRAME), INDEXES[kind](ONE)
    feed = tfinput.from_arrays(x.iloc[MIXED], y, y.iloc[::-1] * 0.5, batch_size=5)
    first, second, third = all_of(feed)
    np.testing.assert_array_equal(first, x.to_numpy()[MIXED])
    np.testing.assert_array_equal(second, MIXED)
    np.testing.assert_array_equal(third, MIXED * 0.5)
    assert "y, sample_weight put in the order of x, by the index" in repr(feed)
    for batch in feed.train.take(feed.steps_per_epoch):
        np.testing.assert_array_equal(batch[0][:, 0].numpy(), batch[1].numpy())


def test_rows_in_one_order_stay_and_nothing_is_said() -> None:
    feed = tfinput.from_arrays(FRAME.iloc[MIXED], ONE.iloc[MIXED], batch_size=5)
    np.testing.assert_array_equal(all_of(feed)[1], MIXED)
    assert repr(feed) == "Feed(arrays: train 12 in 3 steps of 5; seed=0)"


def test_text_targets_and_tables_of_targets_move_too() -> None:
    text = pd.Series([f"class {place}" for place in range(N)], index=NAMES)
    both = {"text": text.iloc[::-1], "table": FRAME.iloc[MIXED], "none": np.arange(N)}
    x, y = all_of(tfinput.from_arrays(FRAME, both, batch_size=5))
    assert y["text"].tolist() == [each.encode() for each in text]
    np.testing.assert_array_equal(y["table"], x)
    np.testing.assert_array_equal(y["none"], np.arange(N))


def test_nests_of_frames_are_aligned_with_the_first_of_them() -> None:
    x = {"one": FRAME.iloc[MIXED], "two": (ONE, FRAME["b"].iloc[::-1])}
    made = all_of(tfinput.from_arrays(x, FRAME["a"], batch_size=5))
    np.testing.assert_array_equal(made[0]["one"][:, 0], MIXED)
    np.testing.assert_array_equal(made[0]["two"][0], MIXED)
    np.testing.assert_array_equal(made[0]["two"][1], MIXED * 10)
    np.testing.assert_array_equal(made[1], MIXED)


def test_arrays_have_no_names_and_are_paired_by_place() -> None:
    shuffled = ONE.iloc[MIXED]
    for x, y in ((FRAME.to_numpy(), shuffled), (FRAME.iloc[::-1], np.asarray(shuffled)), (tf.constant(ONE.to_numpy()), shuffled)):
        made = all_of(tfinput.from_arrays(x, y, batch_size=5))
        np.testing.assert_array_equal(made[0], np.asarray(x))
        np.testing.assert_array_equal(made[1], MIXED)


def test_targets_and_weights_are_paired_where_inputs_are_an_array() -> None:
    _, y, weight = all_of(tfinput.from_arrays(FRAME.to_numpy(), ONE.iloc[MIXED], ONE * 1.0, batch_size=5))
    np.testing.assert_array_equal(y, weight)
    np.testing.assert_array_equal(y, MIXED)


def test_an_index_that_pandas_wrote_into_an_arrow_table_names_its_rows() -> None:
    table = pa.Table.from_pandas(FRAME.iloc[MIXED])
    assert "__index_level_0__" in table.column_names
    x, y = all_of(tfinput.from_arrays(table, ONE, batch_size=5))
    np.testing.assert_array_equal(x, FRAME.to_numpy()[MIXED])
    np.testing.assert_array_equal(y, MIXED)
    x, y = all_of(tfinput.from_arrays(FRAME, pa.RecordBatch.from_pandas(FRAME.iloc[MIXED]), batch_size=5))
    np.testing.assert_array_equal(x, y)


DISAGREE: dict[str, tuple[Any, Any, str]] = {
    "a row that is missing": (
        FRAME,
        ONE.drop("row03"),
        "y: expected a row named 'row03', as row 3 of x is, got none among its 11 rows. Pass x.loc[y.index].",
    ),
    "a row too many": (
        FRAME.drop("row03"),
        ONE,
        "y: expected 11 rows named as those of x, got 12 rows, of which row 3 is named 'row03', as none there. Pass y.loc[x.index].",
    ),
    "another row": (
        FRAME,
        ONE.rename(index={"row03": "row33"}),
        f"y: expected a row named 'row03', as row 3 of x is, got none among its 12 rows. {PLACES}",
    ),
    "a default index": (
        FRAME,
        ONE.reset_index(drop=True),
        f"y: expected a row named 'row00', as row 0 of x is, got none among its 12 rows. {PLACES}",
    ),
    "numbers and their text": (
        FRAME.reset_index(drop=True),
        ONE.set_axis([str(place) for place in range(N)]),
        f"y: expected a row named 0, as row 0 of x is, got none among its 12 rows. {PLACES}",
    ),
    "a name twice": (
        FRAME,
        ONE.rename(index={"row05": "row04"}),
        f"y: expected row 5 named 'row05', as that of x is, got 'row04'. Names that come twice pair no rows. {PLACES}",
    ),
    "names twice, and more of them": (
        FRAME.rename(index={"row05": "row04"}),
        pd.concat([ONE.rename(index={"row05": "row04"}), ONE[:1]]),
        f"y: expected 12 rows named as those of x, got 13, the same up to row 12. Names that come twice pair no rows. {PLACES}",
    ),
    "a part of a nest": (
        {"one": FRAME, "two": ONE.drop("row00")},
        ONE,
        "x['two']: expected a row named 'row00', as row 0 of x['one'] is, got none among its 11 rows. Pass x['one'].loc[x['two'].index].",
    ),
}


@pytest.mark.parametrize("name", DISAGREE)
def test_rows_that_disagree_are_refused_with_the_first_of_them(name: str) -> None:
    x, y, message = DISAGREE[name]
    with pytest.raises(ValueError, match=f"^tfinput: {re.escape(message)}$"):
        tfinput.from_arrays(x, y)
    with pytest.raises(ValueError, match="validation_data "):
        tfinput.from_arrays(FRAME if not isinstance(x, dict) else {"one": FRAME, "two": ONE}, ONE, validation_data=(x, y))


def test_names_that_come_twice_in_one_order_are_the_same_rows() -> None:
    twice = ["a"] * N
    np.testing.assert_array_equal(all_of(tfinput.from_arrays(FRAME.set_axis(twice), ONE.set_axis(twice), batch_size=5))[1], np.arange(N))


def test_classes_groups_and_masks_are_aligned_with_the_examples() -> None:
    classes, groups = ONE % 2, ONE // 3
    apart = tfinput.from_arrays(FRAME, ONE, validation_split=3, groups=groups.iloc[MIXED])
    assert (
        apart.indices["validation"].tolist()
        == tfinput.from_arrays(FRAME, ONE, validation_split=3, groups=groups.to_numpy()).indices["validation"].tolist()
    )
    assert len(set(groups.iloc[apart.indices["validation"]])) == 1
    even = tfinput.from_arrays(FRAME, ONE, validation_split=4, stratify=classes.iloc[::-1])
    assert (even.indices["validation"] % 2).sum() == 2
    mask = tfinput.from_arrays(FRAME, ONE, validation_split=(ONE > 8).iloc[MIXED])
    assert mask.indices["validation"].tolist() == [9, 10, 11]
    places = tfinput.from_arrays(FRAME, ONE, validation_split=pd.Series([3, 5], index=["row00", "row01"]))
    assert places.indices["validation"].tolist() == [3, 5]


def test_folds_take_groups_by_name() -> None:
    feed = tfinput.from_arrays(FRAME, ONE)
    named = [fold.indices["validation"].tolist() for fold in feed.kfold(2, groups=(ONE // 3).iloc[MIXED])]
    assert named == [fold.indices["validation"].tolist() for fold in feed.kfold(2, groups=(ONE // 3).to_numpy())]
    with pytest.raises(ValueError, match=r"stratify: expected a row named 'row00', as row 0 of x is, got none among its 12 rows"):
        feed.kfold(2, stratify=(ONE % 2).reset_index(drop=True))


@pytest.mark.parametrize("option", ["groups", "stratify", "validation_split", "test_split"])
def test_options_whose_names_disagree_are_refused(option: str) -> None:
    value = (ONE > 8) if option.endswith("_split") else ONE // 6
    given = {"validation_split": 4} | {option: value.reset_index(drop=True)}
    with pytest.raises(ValueError, match=rf"{option}: expected a row named 'row00', as row 0 of x is, got none among its 12 rows"):
        tfinput.from_arrays(FRAME, ONE, **given)


TABLES = {"pandas": lambda frame: frame, "arrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False)}


@pytest.mark.parametrize("other", TABLES)
@pytest.mark.parametrize("one", TABLES)
def test_columns_of_validation_data_take_the_order_of_the_training_columns(one: str, other: str) -> None:
    turned = TABLES[other](FRAME[["b", "a"]])
    for data in ((TABLES[one](FRAME), FRAME[["a", "b"]].to_numpy()), ({"t": TABLES[one](FRAME)}, {"y": TABLES[one](FRAME)})):
        nested = isinstance(data[0], dict)
        held = ({"t": turned}, {"y": turned}) if nested else (turned, FRAME[["a", "b"]].to_numpy())
        feed = tfinput.from_arrays(*data, validation_data=held, test_data=held, batch_size=5)
        for split in ("train", "validation", "test"):
            for made in tf.nest.flatten(all_of(feed, split)):
                np.testing.assert_array_equal(made, FRAME.to_numpy())


COLUMNS = {
    "missing": (FRAME[["b"]], "expected a column 'a', as the training x has, got none among ['b']"),
    "surplus": (FRAME.assign(c=1.0), "expected the columns of the training x, ['a', 'b'], got 'c' besides"),
    "other": (FRAME.rename(columns={"b": "c"}), "expected a column 'b', as the training x has, got none among ['a', 'c']"),
    "twice": (FRAME.set_axis(["a", "a"], axis=1), "expected a column 'b', as the training x has, got none among ['a', 'a']"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_validation_data_that_differ_are_refused_with_the_first(name: str) -> None:
    table, message = COLUMNS[name]
    for form in TABLES:
        if form == "arrow" and name == "twice":
            continue
        with pytest.raises(ValueError, match=re.escape(f"validation_data x: {message}")):
            tfinput.from_arrays(FRAME, ONE, validation_data=(TABLES[form](table), ONE.to_numpy()))


def test_a_model_is_evaluated_on_the_columns_that_it_trained_on() -> None:
    y = FRAME["a"] * 2 - FRAME["b"]
    validation = (FRAME[["b", "a"]].iloc[MIXED], y.iloc[::-1])
    feed = tfinput.from_arrays(FRAME, y, validation_data=validation, batch_size=4)
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mae")
    model.layers[0].set_weights([np.array([[2.0], [-1.0]])])
    assert model.evaluate(**feed.evaluate_args(), verbose=0) == pytest.approx(0, abs=1e-4)


def test_images_and_labels_in_columns_are_paired_by_the_index(tmp_path: Path) -> None:
    for place in range(N):
        (tmp_path / f"{place}.png").write_bytes(tf.io.encode_png(np.full((2, 2, 3), place, np.uint8)).numpy())
    paths = pd.Series([str(tmp_path / f"{place}.png") for place in range(N)], index=NAMES)
    feed = tfinput.from_images((paths.iloc[MIXED], ONE), image_size=2, batch_size=5, verbose=False)
    x, y = all_of(feed)
    np.testing.assert_array_equal(x[:, 0, 0, 0], y)
    with pytest.raises(ValueError, match=r"images labels: expected a row named 'row00', as row 0 of the paths is, got none"):
        tfinput.from_images((paths, ONE.reset_index(drop=True)), verbose=False)


def windows(data: Any, targets: Any = None, **given: Any) -> Any:
    return tfinput.from_timeseries(data, targets, sequence_length=3, batch_size=4, **given)


SERIES = FRAME.set_axis(TIMES)
AHEAD = {
    "beside": (SERIES, SERIES["a"], 0),
    "shuffled": (SERIES, SERIES["a"].iloc[MIXED], 0),
    "ahead": (SERIES[:-2], SERIES["a"][2:], 2),
    "ahead and shorter": (SERIES, SERIES["a"][2:], 2),
    "ahead by more than there is": (SERIES[:6], SERIES["a"][6:], 6),
    "the last ones missing": (SERIES, SERIES["a"].shift(-2).dropna() - 2, 0),
    "one date again and again": (SERIES.set_axis([TIMES[0]] * N), SERIES["a"].set_axis([TIMES[0]] * N), 0),
    "without names": (SERIES[:-2], SERIES["a"].to_numpy()[2:], 2),
    "many": ({"p": SERIES[:6], "q": SERIES[6:]}, {"q": SERIES["a"][6:][::-1], "p": SERIES["a"][:6]}, 0),
}


@pytest.mark.parametrize("name", AHEAD)
def test_targets_of_windows_are_beside_their_rows_or_equally_far_ahead(name: str) -> None:
    data, targets, ahead = AHEAD[name]
    if isinstance(targets, dict):
        targets = {key: targets[key] for key in data}
    x, y = all_of(windows(data, targets))
    np.testing.assert_array_equal(x[:, 0, 0] + ahead, y)


APART = {
    "a hole": (SERIES, SERIES["a"].drop(TIMES[5])),
    "rows turned round": (SERIES[:-2], SERIES["a"][2:].iloc[::-1]),
    "a default index": (SERIES, SERIES["a"].reset_index(drop=True)),
    "other dates": (SERIES, SERIES["a"].set_axis(TIMES - pd.Timedelta(days=400))),
    "rows rolled, but for one": (SERIES, SERIES["a"].iloc[np.roll(np.arange(N), 3)][:-1]),
}


@pytest.mark.parametrize("name", APART)
def test_targets_of_windows_whose_rows_are_others_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"targets: expected .*row .* named .* of data is, got"):
        windows(*APART[name])


def test_columns_of_series_are_aligned_with_those_of_the_first() -> None:
    turned = SERIES[["b", "a"]]
    feed = windows([SERIES, turned], validation_data=turned, test_data=[turned, SERIES])
    for split in ("train", "validation", "test"):
        x = all_of(feed, split)
        np.testing.assert_array_equal(x[..., 0] * 10, x[..., 1])
    with pytest.raises(ValueError, match=r"validation_data data: expected a column 'a', as data has, got none among \['b', 'c'\]"):
        windows(SERIES, validation_data=turned.rename(columns={"a": "c"}))
    with pytest.raises(ValueError, match=r"data\[1\]: expected a column 'b', as data\[0\] has, got none among \['a', 'c'\]"):
        windows([SERIES, SERIES.rename(columns={"b": "c"})])
