"""Splits, folds and class weights: identities of examples are the oracle."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from identities import ids

import tfinput
from tfinput.sampling import splits

QUICK = settings(max_examples=150, deadline=None)


def feed_of(size: int, **options: Any) -> tfinput.Feed:
    return tfinput.from_arrays(np.arange(size), np.zeros(size), batch_size=7, **options)


def served(feed: tfinput.Feed) -> dict[str, list[int]]:
    """The identities that each dataset gives, in its order."""
    parts = {"train": ids(feed.train, feed.steps_per_epoch)}
    for name in ("validation", "test"):
        if getattr(feed, name) is not None:
            parts[name] = ids(getattr(feed, name))
    return {name: list(itertools.chain(*batches)) for name, batches in parts.items()}


def drawn(size: int, seed: int = 0, validation: Any = None, test: Any = None, **more: Any) -> list[list[int]]:
    """The members of train, validation and test, without datasets."""
    labels = more.get("labels")
    made = splits.split(size, seed, validation, test, more.get("stratify"), more.get("groups"), lambda: labels)
    return [[] if part is None else part.indices.tolist() for part in made]


MASK = np.isin(np.arange(20), [3, 7, 11])


@pytest.mark.floor
@pytest.mark.parametrize(
    ("given_split", "count", "exact"),
    [
        (0.25, 5, None),
        (np.float32(0.25), 5, None),
        (0.02 + 1e-9 + 0.005, 1, None),
        (0.124, 2, None),
        (0.126, 3, None),
        (0.97, 19, None),
        (5, 5, None),
        (np.int8(5), 5, None),
        (np.array(5), 5, None),
        (19, 19, None),
        ([3, 7, 11], 3, [3, 7, 11]),
        (np.array([11, 3, 7], np.uint8), 3, [3, 7, 11]),
        ((3,), 1, [3]),
        (range(4, 8), 4, [4, 5, 6, 7]),
        (MASK, 3, [3, 7, 11]),
        (MASK.tolist(), 3, [3, 7, 11]),
        (tf.constant([0, 19]), 2, [0, 19]),
    ],
)
@pytest.mark.parametrize("name", ["validation", "test"])
def test_a_split_is_a_fraction_a_count_indices_or_a_mask(name: str, given_split: Any, count: int, exact: Any) -> None:
    feed = feed_of(20, **{f"{name}_split": given_split})
    parts = served(feed)
    assert len(parts[name]) == count
    assert exact is None or parts[name] == exact
    assert parts[name] == sorted(parts[name]) == feed.indices[name].tolist()
    assert sorted(parts["train"] + parts[name]) == list(range(20))
    assert sorted(parts["train"]) == feed.indices["train"].tolist()
    assert (feed.train_size, getattr(feed, f"{name}_size")) == (20 - count, count)


@pytest.mark.parametrize(
    ("validation", "test", "sizes"),
    [
        (0.2, 0.1, (14, 4, 2)),
        (5, 0.1, (13, 5, 2)),
        ([0, 1], 0.5, (8, 2, 10)),
        (10, [19, 0], (8, 10, 2)),
        ([5], [6], (18, 1, 1)),
        (10, 9, (1, 10, 9)),
    ],
)
def test_validation_and_test_together_are_disjoint_and_complete(validation: Any, test: Any, sizes: tuple[int, ...]) -> None:
    feed = feed_of(20, validation_split=validation, test_split=test)
    parts = served(feed)
    assert tuple(len(parts[name]) for name in ("train", "validation", "test")) == sizes
    assert sorted(itertools.chain(*parts.values())) == list(range(20))
    for name, want in (("validation", validation), ("test", test)):
        if isinstance(want, list):
            assert parts[name] == sorted(want)


@QUICK
@given(data=st.data(), size=st.integers(2, 200), seed=st.integers())
def test_any_split_is_disjoint_and_complete(data: Any, size: int, seed: int) -> None:
    def asked(name: str) -> Any:
        kinds = st.none(), st.integers(1, size - 1), st.floats(0.01, 0.9), st.sets(st.integers(0, size - 1), min_size=1).map(sorted)
        return data.draw(st.one_of(*kinds), label=name)

    validation, test = asked("validation"), asked("test")
    try:
        parts = drawn(size, seed, validation, test)
    except ValueError as refused:
        if "left" not in str(refused) and "no other split" not in str(refused) and "between 1 and" not in str(refused):
            raise
        return
    assert sorted(itertools.chain(*parts)) == list(range(size))
    assert all(part == sorted(part) for part in parts)
    assert len(parts[0]) >= 1
    for part, want in zip(parts[1:], (validation, test), strict=True):
        if isinstance(want, list):
            assert part == want
        elif isinstance(want, int):
            assert len(part) == want
        elif want is not None:
            assert abs(len(part) - want * size) <= 0.5
    assert parts == drawn(size, seed, validation, test)


def test_a_split_is_drawn_uniformly_and_not_taken_from_the_end() -> None:
    validations = [drawn(20, seed, 5)[1] for seed in range(400)]
    assert validations.count(list(range(15, 20))) == 0
    assert len({tuple(each) for each in validations}) > 390
    counts = np.bincount(list(itertools.chain(*validations)), minlength=20)
    # 400 draws of 5 in 20: each example is expected 100 times, give or take 8.7.
    assert np.all(np.abs(counts - 100) < 4.5 * 8.7)
    pairs = sum(0 in each and 1 in each for each in validations)
    assert abs(pairs - 400 * 5 * 4 / 20 / 19) < 4.5 * (21 * 0.95) ** 0.5


def test_the_two_splits_are_drawn_independently() -> None:
    first = [set(drawn(20, seed, validation=5)[1]) for seed in range(100)]
    second = [set(drawn(20, seed, test=5)[2]) for seed in range(100)]
    assert first != second
    assert 80 < sum(len(a & b) for a, b in zip(first, second, strict=True)) < 170


GOLDEN = {
    0: [[4, 6, 7, 8], [10, 11], [3, 6, 7, 8], [9, 10, 11]],
    -7: [[0, 3, 4, 8], [6, 7], [3, 4, 7, 8], [0, 1, 2]],
}


@pytest.mark.floor
@pytest.mark.parametrize("seed", GOLDEN)
def test_golden_splits(seed: int) -> None:
    """Frozen: a validation set of an earlier release must be the same now."""
    classes = np.arange(12) % 2
    plain = drawn(12, seed, validation=4, test=2)
    stratified = drawn(12, seed, validation=4, stratify=True, labels=classes)
    grouped = drawn(12, seed, validation=4, groups=np.arange(12) // 3)
    assert [plain[1], plain[2], stratified[1], grouped[1]] == GOLDEN[seed]


CLASSES = np.array([0] * 10 + [1] * 20 + [2] * 5 + [3] * 2)


@pytest.mark.parametrize(
    ("y", "stratify"),
    [
        (CLASSES, True),
        (CLASSES.astype("float32"), True),
        (CLASSES[:, None], True),
        (np.eye(4, dtype="float32")[CLASSES], True),
        (np.array(["a", "b", "c", "d"])[CLASSES], True),
        (np.zeros(37), CLASSES),
        (np.zeros(37), CLASSES.tolist()),
        (np.zeros(37), [f"class {name}" for name in CLASSES]),
        (np.zeros(37), np.eye(4)[CLASSES]),
        (np.zeros(37), CLASSES.astype(bool)),
        (np.zeros(37), tf.constant(CLASSES)),
    ],
)
def test_stratified_splits_keep_the_shares_of_the_classes(y: Any, stratify: Any) -> None:
    classes = CLASSES.astype(bool) if getattr(stratify, "dtype", None) == np.bool_ else CLASSES
    feed = tfinput.from_arrays(np.arange(37), y, stratify=stratify, validation_split=0.3)
    found = feed.indices["validation"]
    assert len(found) == 11
    for name in np.unique(classes):
        assert abs((classes[found] == name).sum() - 11 * (classes == name).mean()) < 1
    assert sorted([*found, *feed.indices["train"]]) == list(range(37))


@QUICK
@given(counts=st.lists(st.integers(2, 30), min_size=1, max_size=6), share=st.floats(0.05, 0.9), seed=st.integers(0, 99), data=st.data())
def test_each_class_keeps_its_share_within_one_example(counts: list[int], share: float, seed: int, data: Any) -> None:
    classes = np.array(data.draw(st.permutations(np.repeat(np.arange(len(counts)), counts).tolist())))
    want = min(max(1, int(share * len(classes))), len(classes) - 1)
    validation = drawn(len(classes), seed, want, stratify=classes)[1]
    assert len(validation) == want
    for name, count in enumerate(counts):
        assert abs((classes[validation] == name).sum() - want * count / len(classes)) < 1


def test_two_stratified_splits_each_keep_the_shares_of_what_was_left() -> None:
    for seed in range(20):
        classes = CLASSES[:35]
        train, validation, test = drawn(35, seed, 8, 9, stratify=classes)
        assert sorted(train + validation + test) == list(range(35))
        left = classes[sorted(train + validation)]
        for name in range(3):
            assert abs((classes[test] == name).sum() - 9 * (classes == name).mean()) < 1
            assert abs((classes[validation] == name).sum() - 8 * (left == name).mean()) < 1


def test_a_stratified_draw_is_random_within_each_class() -> None:
    found = {tuple(drawn(37, seed, 10, stratify=CLASSES)[1]) for seed in range(50)}
    assert len(found) == 50
    assert {index for each in found for index in each} >= set(range(30))


@QUICK
@given(data=st.data(), size=st.integers(4, 80), seed=st.integers(0, 99))
def test_no_group_falls_on_both_sides(data: Any, size: int, seed: int) -> None:
    groups = np.array(data.draw(st.lists(st.integers(0, 9), min_size=size, max_size=size)))
    validation, test = data.draw(st.integers(1, size // 2)), data.draw(st.none() | st.integers(1, size // 3))
    try:
        parts = drawn(size, seed, validation, test, groups=groups)
    except ValueError as refused:
        if "at least 2 groups" not in str(refused) and "that are left" not in str(refused):
            raise
        return
    assert sorted(itertools.chain(*parts)) == list(range(size))
    of_part = [set(groups[part]) for part in parts]
    assert all(not a & b for a, b in itertools.combinations(of_part, 2))
    assert of_part[0]
    assert of_part[1]
    # Adding or leaving out a further group would not have helped: the split is within one group of what was asked.
    assert abs(len(parts[1]) - validation) <= max(np.bincount(groups))


@pytest.mark.parametrize("kind", [lambda g: g, lambda g: g.astype(str), lambda g: g * 1.5, lambda g: g.tolist(), lambda g: -g * 2**40])
def test_groups_may_have_names_of_any_kind(kind: Any) -> None:
    groups = np.arange(20) % 6
    feed = feed_of(20, validation_split=0.3, groups=kind(groups))
    assert feed.indices["validation"].tolist() == drawn(20, 0, 0.3, groups=kind(groups))[1]
    assert not set(groups[feed.indices["train"]]) & set(groups[feed.indices["validation"]])


def test_given_indices_may_be_whole_groups() -> None:
    feed = feed_of(6, validation_split=[0, 3], groups=[0, 1, 2, 0, 1, 2])
    assert feed.indices["train"].tolist() == [1, 2, 4, 5]


def test_indices_are_read_only_and_of_each_split() -> None:
    feed = feed_of(10, validation_split=3)
    assert set(feed.indices) == {"train", "validation"}
    with pytest.raises(ValueError, match="read-only"):
        feed.indices["validation"][0] = 5


ONE = "Leave examples on both sides, or pass None for no such split."
FRACTION = "Pass for example 0.2; a count is an int."
KIND = "a fraction, a count or indices"


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (0, ValueError, f"expected between 1 and 9 of the 10 examples, got 0. {ONE}"),
        (10, ValueError, f"expected between 1 and 9 of the 10 examples, got 10. {ONE}"),
        (11, ValueError, f"expected between 1 and 9 of the 10 examples, got 11. {ONE}"),
        (-1, ValueError, f"expected between 1 and 9 of the 10 examples, got -1. {ONE}"),
        (2**70, ValueError, f"expected between 1 and 9 of the 10 examples, got {2**70}. {ONE}"),
        (0.01, ValueError, f"expected between 1 and 9 of the 10 examples, got 0.01, which is 0. {ONE}"),
        (0.99, ValueError, f"expected between 1 and 9 of the 10 examples, got 0.99, which is 10. {ONE}"),
        (0.0, ValueError, f"expected a fraction between 0 and 1, got 0.0. {FRACTION}"),
        (1.0, ValueError, f"expected a fraction between 0 and 1, got 1.0. {FRACTION}"),
        (1.5, ValueError, f"expected a fraction between 0 and 1, got 1.5. {FRACTION}"),
        (-0.2, ValueError, f"expected a fraction between 0 and 1, got -0.2. {FRACTION}"),
        (float("nan"), ValueError, f"expected a fraction between 0 and 1, got nan. {FRACTION}"),
        (True, TypeError, f"expected {KIND}, got True. Pass for example 0.2."),
        ("0.2", TypeError, f"expected {KIND}, got '0.2'. Pass for example 0.2."),
        ([[1], [2]], TypeError, f"expected {KIND}, got [[1], [2]]. Pass for example 0.2."),
        ([[1], [2, 3]], TypeError, f"expected {KIND}, got [[1], [2, 3]]. Pass a vector."),
        (
            [0.1, 0.2],
            TypeError,
            "expected indices, got an array of float64 of length 2. Pass whole numbers, or a mask with one bool per example.",
        ),
        (
            [True] * 9,
            TypeError,
            "expected indices, got an array of bool of length 9. Pass whole numbers, or a mask with one bool per example.",
        ),
        ([], ValueError, "expected between 1 and 9 indices, got 0. Leave examples on both sides."),
        ([False] * 10, ValueError, "expected between 1 and 9 indices, got 0. Leave examples on both sides."),
        ([True] * 10, ValueError, "expected between 1 and 9 indices, got 10. Leave examples on both sides."),
        (range(10), ValueError, "expected between 1 and 9 indices, got 10. Leave examples on both sides."),
        ([3, 10], ValueError, "expected indices from 0 to 9, got 10. Check the indices against the data."),
        ([3, -1], ValueError, "expected indices from 0 to 9, got -1. Check the indices against the data."),
        (np.array([2**63], np.uint64), ValueError, f"expected indices from 0 to 9, got {2**63}. Check the indices against the data."),
        ([3, 4, 3], ValueError, "expected each index once, got index 3 twice. Pass np.unique(indices)."),
    ],
)
@pytest.mark.parametrize("name", ["validation_split", "test_split"])
def test_wrong_splits_are_refused(name: str, value: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as refused:
        feed_of(10, **{name: value})
    assert str(refused.value) == f"tfinput: {name}: {message}"


MESSY = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 3])


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"validation_split": [1, 2], "test_split": [2, 3]},
            ValueError,
            "validation_split: expected indices of no other split, got index 2 twice. Make the splits disjoint.",
        ),
        (
            {"validation_split": 0.5, "test_split": 0.5},
            ValueError,
            "validation_split: expected fewer than the 5 examples that are left, got 5. Make the splits smaller.",
        ),
        (
            {"validation_split": range(5), "test_split": range(5, 10)},
            ValueError,
            "train set: expected at least one example, got none left by the splits. Make the splits smaller.",
        ),
        (
            {"validation_split": 3, "stratify": "y"},
            TypeError,
            "stratify: expected True, or one class per example, got 'y'. "
            "Pass True to take the labels, or an array with one class per example.",
        ),
        (
            {"validation_split": 3, "stratify": MESSY},
            ValueError,
            "validation_split with stratify: expected at least 2 examples of each class, got 1 of the class of example 9 to draw from. "
            "Drop or merge that class, or use stratify=None.",
        ),
        (
            {"stratify": MESSY},
            ValueError,
            "stratify: expected a split to keep it in, got neither validation_split nor test_split. "
            "Pass validation_split or test_split too, or drop it.",
        ),
        (
            {"groups": MESSY},
            ValueError,
            "groups: expected a split to keep it in, got neither validation_split nor test_split. "
            "Pass validation_split or test_split too, or drop it.",
        ),
        (
            {"validation_split": 3, "stratify": MESSY[:9]},
            ValueError,
            "stratify: expected 10 classes, one per example, got 9. Pass one class per example.",
        ),
        (
            {"validation_split": 3, "stratify": np.arange(10) / 3},
            ValueError,
            "stratify: expected class labels, got fractional numbers, as of a regression target. "
            "Pass an array of classes (a binned target, say).",
        ),
        (
            {"validation_split": 3, "stratify": np.ones((10, 3))},
            ValueError,
            "stratify: expected one class per example, or one-hot rows, got rows of shape (3,). Pass an array with one class per example.",
        ),
        (
            {"validation_split": 3, "stratify": np.array([1, "a"] * 5, object)},
            TypeError,
            "stratify: expected values of one kind, which can be sorted, got '<' not supported between instances of 'str' and 'int'. "
            "Pass numbers or text, for example with .astype(str).",
        ),
        (
            {"validation_split": 3, "stratify": MESSY, "groups": MESSY},
            ValueError,
            "stratify and groups: expected one of the two, got both. "
            "Use one of them, or pass indices drawn by sklearn.model_selection.StratifiedGroupKFold.",
        ),
        (
            {"validation_split": 3, "groups": np.zeros(10)},
            ValueError,
            "validation_split with groups: expected at least 2 groups, got one group. Use groups=None.",
        ),
        (
            {"validation_split": 3, "groups": np.zeros((10, 2))},
            ValueError,
            "groups: expected 10 groups, one per example, got shape (10, 2). Pass a vector.",
        ),
        (
            {"validation_split": [4, 7, 8], "groups": MESSY},
            ValueError,
            "validation_split with groups: expected whole groups, got example 4 but not 3 of the same group. "
            "Pass the indices of whole groups, or use groups=None.",
        ),
    ],
)
def test_splits_that_cannot_be_are_refused(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as refused:
        feed_of(10, **options)
    assert str(refused.value) == f"tfinput: {message}"


def test_stratify_true_needs_one_array_of_classes() -> None:
    message = (
        "tfinput: stratify=True: expected class labels y, got no single array y. Pass an array with one class per example as stratify."
    )
    for y in (None, {"a": np.arange(4), "b": np.arange(4)}):
        with pytest.raises(ValueError, match="stratify") as refused:
            tfinput.from_arrays(np.arange(4), y, validation_split=2, stratify=True)
        assert str(refused.value) == message


def members(feed: tfinput.Feed) -> dict[str, list[int]]:
    return {name: indices.tolist() for name, indices in feed.indices.items()}


@pytest.mark.parametrize(("folds", "read"), [(2, served), (3, served), (7, members), (20, members)])
def test_in_folds_each_example_validates_once_and_trains_otherwise(folds: int, read: Any) -> None:
    feeds = feed_of(20).kfold(folds)
    parts = [read(feed) for feed in feeds]
    assert sorted(itertools.chain(*(part["validation"] for part in parts))) == list(range(20))
    for part in parts:
        assert sorted(part["train"] + part["validation"]) == list(range(20))
        assert part["validation"] == sorted(part["validation"])
    assert max(feed.validation_size for feed in feeds) - min(feed.validation_size for feed in feeds) <= 1
    assert parts[0]["validation"] != list(range(20 // folds))
    again = [members(feed)["validation"] for feed in feed_of(20).kfold(folds)]
    assert again == [part["validation"] for part in parts]
    assert [members(feed)["validation"] for feed in feed_of(20, seed=1).kfold(folds)] != again


def test_a_test_set_stays_aside_from_all_folds() -> None:
    whole = feed_of(23, test_split=5)
    test = served(whole)["test"]
    feeds = whole.kfold(4)
    assert all(served(feed)["test"] == test for feed in feeds)
    held = [members(feed)["validation"] for feed in feeds]
    assert sorted(itertools.chain(*held, test)) == list(range(23))
    for feed, validation in zip(feeds, held, strict=True):
        assert sorted(members(feed)["train"] + validation + test) == list(range(23))


def test_folds_keep_the_shares_of_the_classes() -> None:
    classes = np.array([0] * 21 + [1] * 9 + [2] * 7)
    feeds = tfinput.from_arrays(np.arange(37), classes, test_split=[36], stratify=True).kfold(3)
    counts = np.array([np.bincount(classes[feed.indices["validation"]], minlength=3) for feed in feeds])
    assert counts.sum(axis=0).tolist() == [21, 9, 6]
    assert np.all(counts.max(axis=0) - counts.min(axis=0) <= 1)
    assert counts.sum(axis=1).tolist() == [12, 12, 12]


def test_folds_keep_groups_together() -> None:
    groups = np.repeat(np.arange(9), [1, 2, 3, 4, 5, 4, 3, 2, 1])
    feeds = tfinput.from_arrays(np.arange(25), test_split=[24], groups=groups).kfold(3)
    held = [set(groups[feed.indices["validation"]]) for feed in feeds]
    assert sorted(itertools.chain(*held)) == list(range(8))
    assert all(not set(groups[feed.indices["train"]]) & kept for feed, kept in zip(feeds, held, strict=True))
    sizes = [feed.validation_size for feed in feeds]
    assert sum(sizes) == 24
    assert max(sizes) - min(sizes) <= 5


@pytest.mark.parametrize(
    ("options", "folds", "message"),
    [
        ({}, 1, "folds: expected a whole number of at least 2, got 1. Pass an int of at least 2."),
        ({}, 11, "kfold: expected at least 11 examples, got 10. Use fewer folds."),
        (
            {"validation_split": 2},
            2,
            "kfold: expected a feed without validation, got one with validation. "
            "Build the feed without validation_split and validation_data.",
        ),
        ({"test_split": [9], "groups": MESSY}, 4, "kfold: expected at least 4 groups, got 3. Use fewer folds."),
        (
            {"test_split": [9], "stratify": MESSY},
            3,
            "kfold with stratify: expected at least 3 examples of each class, got 2 of the class of example 7 to draw from. "
            "Drop or merge that class, or use stratify=None.",
        ),
    ],
)
def test_folds_that_cannot_be_are_refused(options: dict[str, Any], folds: int, message: str) -> None:
    feed = feed_of(10, **options)
    with pytest.raises(ValueError, match="fold") as refused:
        feed.kfold(folds)
    assert str(refused.value) == f"tfinput: {message}"


@pytest.mark.parametrize("form", [lambda y: y, lambda y: y[:, None], lambda y: np.eye(3)[y], lambda y: y.astype("f4"), lambda y: y > 0])
def test_class_weights_are_balanced_over_the_training_examples(form: Any) -> None:
    y = np.array([0] * 30 + [1] * 8 + [2] * 4)
    feed = tfinput.from_arrays(np.zeros(42), form(y), validation_split=12)
    names = (y > 0).astype(int) if form(y).dtype == bool else y
    train = names[feed.indices["train"]]
    expected = {int(name): 30 / (len(np.unique(train)) * (train == name).sum()) for name in np.unique(train)}
    assert feed.class_weight() == pytest.approx(expected)
    # The weighted classes count alike, and the weights are 1 on average.
    assert sum(feed.class_weight()[int(name)] for name in train) == pytest.approx(30)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "class_weight: expected one array of class labels y, got none. Compute the weights from your own labels."),
        (
            np.array(["a", "b"]),
            "class_weight: expected classes numbered from 0 on, got object, such as b'a'. Encode the classes as numbers.",
        ),
        (
            np.array([-1, 1]),
            "class_weight: expected classes numbered from 0 on, got int64, such as np.int64(-1). Encode the classes as numbers.",
        ),
        (
            np.array([0.5, 1]),
            "class_weight: expected class labels, got fractional numbers, as of a regression target. "
            "Pass an array of classes (a binned target, say).",
        ),
    ],
)
def test_class_weights_need_classes(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match="class_weight") as refused:
        tfinput.from_arrays(np.arange(2), y).class_weight()
    assert str(refused.value) == f"tfinput: {message}"
