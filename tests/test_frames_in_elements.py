"""Rows and tables among the elements of Python sources: their columns are put in the order of the first element's."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tfinput

N = 6
FRAME = pd.DataFrame({"a": np.arange(float(N)), "b": np.arange(float(N)) * 10}, index=list("uvwxyz"))
TURNED = FRAME[["b", "a"]]
ONE = FRAME["a"]


def all_of(feed: Any, split: str = "train") -> Any:
    batches = list(feed.examples(split).as_numpy_iterator())
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *batches)


def rows(*tables: pd.DataFrame) -> list[Any]:
    """Rows of several tables in turn, each with its number."""
    return [(tables[place % len(tables)].iloc[place], float(place)) for place in range(N)]


class Batches(keras.utils.PyDataset):
    """Two batches, the rows and columns of the second in another order than those of the first."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, place: int) -> Any:
        return (FRAME[:3], ONE[:3].iloc[::-1]) if place == 0 else (TURNED[3:], ONE[3:].iloc[[2, 0, 1]])


SOURCES: dict[str, Any] = {
    "rows": lambda: tfinput.from_sequence(rows(FRAME, TURNED), validation_data=rows(TURNED), batch_size=4),
    "rows in a worker": lambda: tfinput.from_sequence(rows(FRAME, TURNED), validation_data=rows(TURNED), batch_size=4, workers=1),
    "batches": lambda: tfinput.from_sequence(Batches()),
    "generated rows": lambda: tfinput.from_generator(lambda: iter(rows(FRAME, TURNED)), validation_data=lambda: iter(rows(TURNED))),
    "generated batches": lambda: tfinput.from_generator(lambda: (Batches()[place] for place in (0, 1)), batched=True),
}


@pytest.mark.parametrize("name", SOURCES)
def test_columns_and_rows_are_put_in_order(name: str) -> None:
    feed = SOURCES[name]()
    for split in [split for split in ("train", "validation") if getattr(feed, split) is not None]:
        x, y = all_of(feed, split)
        np.testing.assert_array_equal(x, FRAME.to_numpy())
        np.testing.assert_array_equal(y, ONE.to_numpy())


def test_tables_as_examples_take_the_columns_of_the_first() -> None:
    x = all_of(tfinput.from_sequence([FRAME[:2], TURNED[2:4], FRAME[4:]], batch_size=2))
    np.testing.assert_array_equal(x.reshape(N, 2), FRAME.to_numpy())


def test_names_of_steps_differ_from_example_to_example() -> None:
    recordings = [ONE.set_axis(pd.date_range(f"202{place}", periods=N)) + place for place in range(3)]
    np.testing.assert_array_equal(all_of(tfinput.from_sequence(recordings)), np.stack(recordings))


def test_other_columns_are_refused_with_the_number_of_the_item() -> None:
    feed = tfinput.from_sequence(rows(FRAME, FRAME.rename(columns={"a": "c"})))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"list, item 1\[0\]: expected a column 'a', as the first\[0\] has, got none among"
    ):
        all_of(feed)


def test_rows_of_a_batch_that_disagree_are_refused() -> None:
    feed = tfinput.from_generator(lambda: iter([(FRAME[:3], ONE[:3]), (FRAME[3:], ONE[:3])]), batched=True, size=N)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"batch #1\[1\]: expected a row named 'x', as row 0 of .* got none among its 3"
    ):
        all_of(feed)


@pytest.mark.parametrize("items", [FRAME, ONE])
def test_a_table_is_no_sequence_of_examples(items: Any) -> None:
    with pytest.raises(TypeError, match=r"got a pandas \w+, whose \[0\] is a label, not a place\. Use from_arrays"):
        tfinput.from_sequence(items)


def test_a_mix_of_tables_wants_one_order_of_columns() -> None:
    one, other = tfinput.from_arrays(FRAME, ONE), tfinput.from_arrays(TURNED, ONE)
    with pytest.raises(ValueError, match=r"feed 1, x: expected the columns \['a', 'b'\] of feed 0, got \['b', 'a'\]\. Pass each builder"):
        tfinput.mix([one, other])
    x, y = all_of(tfinput.mix([one, tfinput.from_arrays(TURNED[["a", "b"]], ONE)]))
    np.testing.assert_array_equal(x[:, 0], y)
