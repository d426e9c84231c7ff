"""`from_sequence`: examples of several lengths, and the datasets of other libraries."""

from __future__ import annotations

import importlib.util
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from identities import LENGTHS, Rows, ids

import tfinput


def expected(numbers: list[int]) -> list[list[int]]:
    return [[number] * LENGTHS[number] for number in numbers]


@pytest.mark.parametrize("workers", [0, 2])
def test_lengths_that_vary_are_padded_or_ragged(workers: int) -> None:
    feed = tfinput.from_sequence(Rows(), batch_size=3, ragged=True, workers=workers)
    for epoch in range(2):
        batches = list(itertools.islice(feed.at(epoch=epoch).repeated, 3))
        numbers = [batch[1].numpy().astype(int).tolist() for batch in batches]
        assert [batch[0]["row"].to_list() for batch in batches] == [expected(each) for each in numbers]
        assert sorted(itertools.chain(*numbers)) == list(range(len(LENGTHS)))
    like = tfinput.from_arrays(np.arange(len(LENGTHS)), batch_size=3)
    assert ids(feed.repeated.map(lambda x, y: y), 3) == ids(like.repeated, 3)
    signature = (
        {"row": tf.TensorSpec([None], tf.int64), "text": tf.TensorSpec([None], tf.string)},
        tf.TensorSpec([], tf.float32),
    )
    options: Any = {"batch_size": 3, "output_signature": signature, "workers": workers, "shuffle": False}
    x, _ = next(iter(tfinput.from_sequence(Rows(), **options).train))
    assert x["row"].dtype == tf.int64
    assert x["row"].numpy().tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [2, 2, 2, 2]]
    assert x["text"].numpy().tolist() == [[b"w"] * 3 + [b""], [b"w"] + [b""] * 3, [b"w"] * 4]


@pytest.mark.parametrize("cached", [False, True])
def test_hooks_see_examples_as_long_as_they_are(cached: bool, tmp_path: Path) -> None:
    options: Any = {"batch_size": 7, "shuffle": False, "cache": tmp_path if cached else None}
    feed = tfinput.from_sequence(Rows(), ragged=True, preprocess=lambda x, y: (tf.size(x["row"]), y), **options)
    x, y = next(iter(feed.train))
    assert x.numpy().tolist() == list(LENGTHS)
    assert y.numpy().tolist() == list(range(7))


@pytest.mark.parametrize(
    ("items", "options", "said"),
    [
        ([np.zeros(2), np.zeros(3)], {}, r"item 1: expected float64\[2\], got float64\[3\].*output_signature"),
        ([np.zeros((2, 2)), np.zeros((3, 3))], {"ragged": True}, r"item 1: expected float64\[None, 2\], got float64\[3, 3\]"),
        ([1, 2], {"ragged": True}, "ragged=True: expected an array whose length may vary"),
        ([1, 2], {"ragged": 1}, "ragged: expected True or False, got 1"),
        ([1, 2], {"output_signature": tf.TensorSpec([], tf.uint8), "ragged": True}, "None in a shape of output_signature"),
        ([1, 300], {"output_signature": tf.TensorSpec([], tf.uint8)}, r"item 1: expected uint8\[\], got 300"),
        ([300, 1], {"output_signature": tf.TensorSpec([], tf.uint8)}, r"item 0: expected uint8\[\], got 300"),
        ([1, 2], {"output_signature": "uint8"}, "output_signature: expected a tf.TensorSpec"),
    ],
)
def test_what_does_not_fit_is_named(items: Any, options: Any, said: str) -> None:
    with pytest.raises((ValueError, TypeError, tf.errors.OpError), match=said):
        next(iter(tfinput.from_sequence(items, batch_size=2, shuffle=False, **options).train))


def needed(name: str) -> Any:
    """A module of the extra `sequences`."""
    if importlib.util.find_spec(name) is None and not os.environ.get("TFINPUT_REQUIRE_BACKENDS"):
        pytest.skip(f"{name} is not installed")
    return importlib.import_module(name)


def whole(feed: Any) -> None:
    """Two epochs and a validation of 12 examples that are their own identities, in the order of arrays."""
    like = tfinput.from_arrays(np.arange(12), batch_size=4, validation_split=3)
    assert ids(feed.repeated, 6) == ids(like.repeated, 6)
    assert ids(feed.validation) == ids(like.validation)


@pytest.mark.backends
@pytest.mark.parametrize("workers", [0, 2])
def test_a_dataset_of_hugging_face(workers: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = needed("datasets")
    made = datasets.Dataset.from_dict({"number": list(range(12)), "label": [each % 3 for each in range(12)]})
    whole(
        tfinput.from_sequence(made, batch_size=4, validation_split=3, workers=workers, preprocess=lambda row: (row["number"], row["label"]))
    )
    assert next(iter(tfinput.from_sequence(made.with_format("numpy"), batch_size=4).train))["label"].dtype == tf.int64


@pytest.mark.backends
@pytest.mark.parametrize("workers", [0, 2])
def test_a_dataset_of_torch(workers: int) -> None:
    torch = needed("torch")
    made = torch.utils.data.TensorDataset(torch.arange(12), torch.arange(12.0))
    whole(tfinput.from_sequence(made, batch_size=4, validation_split=3, workers=workers))


@pytest.mark.backends
@pytest.mark.parametrize("workers", [0, 2])
def test_a_dataset_of_grain(workers: int) -> None:
    grain = needed("grain")
    made = grain.MapDataset.range(12).map(lambda number: (number, number % 3))
    whole(tfinput.from_sequence(made, batch_size=4, validation_split=3, workers=workers))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_data_source_of_tensorflow_datasets(workers: int, tmp_path: Path) -> None:
    from test_tfds import Pictures

    builder = Pictures(data_dir=tmp_path, file_format="array_record")
    builder.download_and_prepare()
    made = builder.as_data_source(split="train[:12]")
    numbered = tfinput.from_sequence(made, shuffle=False, batch_size=12, ragged=True, preprocess=lambda row: row["number"], workers=workers)
    stored = next(iter(numbered.train)).numpy().tolist()
    assert len(set(stored)) == 12
    feed = tfinput.from_sequence(made, batch_size=4, validation_split=3, ragged=True, preprocess=lambda row: row["number"], workers=workers)
    like = tfinput.from_arrays(np.array(stored), batch_size=4, validation_split=3)
    assert ids(feed.repeated, 6) == ids(like.repeated, 6)
    assert ids(feed.validation) == ids(like.validation)
