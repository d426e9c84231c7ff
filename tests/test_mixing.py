"""Epochs with quotas: several feeds with weights, and classes in balance. Which examples come, and how often, is the oracle."""

from __future__ import annotations

import collections
import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from identities import ids

import tfinput
from tfinput.sampling.quotas import Quotas, even, shares

Counts = collections.Counter[int]


def epochs_of(feed: tfinput.Feed, count: int) -> list[list[int]]:
    """The identities in each of some epochs, one after another."""
    steps = feed.steps_per_epoch
    batches = ids(feed.repeated, count * steps)
    return [list(itertools.chain(*batches[at : at + steps])) for at in range(0, count * steps, steps)]


def assert_in_turn(seen: Counts, members: Any) -> None:
    """No example came a (k+1)st time before all came k times."""
    times = [seen[int(member)] for member in members]
    assert max(times) - min(times) <= 1


def test_quotas_hold_in_every_epoch_over_small_numbers() -> None:
    for sizes in ([1, 1], [1, 7], [3, 5, 2], [6]):
        groups = np.repeat(np.arange(len(sizes)), sizes)
        for takes in itertools.product((1, 5), repeat=len(sizes)):
            draw = Quotas(groups, np.array(takes), "").drawer(stream=5)
            seen: Counts = collections.Counter()
            for epoch in range(4):
                drawn = draw(tf.constant(epoch, tf.int64)).numpy()
                assert np.bincount(groups[drawn], minlength=len(sizes)).tolist() == list(takes)
                seen.update(drawn.tolist())
                for group in range(len(sizes)):
                    assert_in_turn(seen, np.flatnonzero(groups == group))


def test_a_far_epoch_is_drawn_as_if_by_itself() -> None:
    groups = np.array([0, 1, 0, 0, 1, 0])
    draw = tf.function(Quotas(groups, np.array([3, 3]), "").drawer(stream=1))
    far = [draw(tf.constant(10**9 + step, tf.int64)).numpy().tolist() for step in range(4)]
    assert len({tuple(each) for each in far}) > 1
    seen = collections.Counter(itertools.chain(*far))
    assert [seen[member] for member in (1, 4)] == [6, 6]
    assert all(seen[member] == 3 for member in (0, 2, 3, 5))


def test_which_examples_of_a_large_group_come_is_uniform() -> None:
    groups = np.repeat([0, 1], [50, 10])
    draws = [Quotas(groups, np.array([10, 10]), "").drawer(stream)(tf.constant(0, tf.int64)).numpy() for stream in range(100)]
    times = np.bincount(np.concatenate(draws), minlength=60)[:50]
    # 20 expected of each, with a standard deviation of 4.
    assert times.min() > 4
    assert times.max() < 40


@pytest.mark.parametrize("weights", [[1, 1], [3, 1, 1], [0.1, 0.2, 0.7], [5, 1e-3]])
def test_shares_are_exact_to_one(weights: list[float]) -> None:
    for total in range(1, 60):
        got = shares(np.array(weights), total)
        assert got.sum() == total
        assert (np.abs(got - np.array(weights) / np.sum(weights) * total) < 1).all()


def test_balance_takes_the_number_of_examples_rounded_so_that_classes_are_even() -> None:
    for counts, each in (([9, 1], 5), ([9, 2], 6), ([4, 4, 2], 3), ([1, 1, 1], 1), ([3], 3)):
        assert even(np.repeat(np.arange(len(counts)), counts)).takes.tolist() == [each] * len(counts)


LABELS = np.array([0] * 12 + [5] * 5 + [9])


@pytest.mark.parametrize(("batch", "drop"), [(1, False), (4, False), (4, True), (40, False)])
def test_every_epoch_holds_each_class_equally_often(batch: int, drop: bool) -> None:
    feed = tfinput.from_arrays(np.arange(18), LABELS, batch_size=batch, balance="classes", drop_remainder=drop)
    seen: Counts = collections.Counter()
    epochs = epochs_of(feed, 6)
    for epoch in epochs:
        seen.update(epoch)
        taken = collections.Counter(LABELS[epoch].tolist())
        if drop:
            assert len(epoch) == 16
            assert max(taken.values()) <= 6
        else:
            assert taken == {0: 6, 5: 6, 9: 6}
            for name in (0, 5, 9):
                assert_in_turn(seen, np.flatnonzero(name == LABELS))
    assert len({tuple(epoch) for epoch in epochs}) == 6
    # What is frequent is not left out for ever: 36 places for 12 examples.
    assert set(seen) == set(range(18))
    frequent = [frozenset(each for each in epoch if each < 12) for epoch in epochs]
    assert len(set(frequent)) > 2


def test_a_balanced_order_does_not_depend_on_how_it_is_served_and_goes_on_anywhere() -> None:
    def built(batch: int, **options: Any) -> tfinput.Feed:
        return tfinput.from_arrays(np.arange(18), LABELS, batch_size=batch, balance="classes", **options)

    expected = [*itertools.chain(*epochs_of(built(1), 3))]
    for batch, calls in ((4, None), (5, 4), (18, 1)):
        assert [*itertools.chain(*epochs_of(built(batch, num_parallel_calls=calls), 3))] == expected
    assert [*itertools.chain(*epochs_of(built(4, preprocess=lambda x, y: (x, y), cache="memory"), 3))] == expected
    feed = built(4)
    whole = ids(feed.repeated, 15)
    for step in (1, 4, 5, 10):
        assert ids(feed.at(step=step).repeated, 4) == whole[step : step + 4]
    assert [*itertools.chain(*epochs_of(built(1, seed=1), 3))] != expected


def test_an_example_that_comes_again_in_an_epoch_is_augmented_anew() -> None:
    def noisy(x: Any, y: Any, seed: Any) -> Any:
        return tf.cast(x, tf.float64) + tf.random.stateless_uniform([], seed, dtype=tf.float64) / 2, y

    def drawn(batch: int) -> list[float]:
        feed = tfinput.from_arrays(np.arange(18), LABELS, batch_size=batch, balance="classes", augment=noisy)
        return [*itertools.chain(*(x.numpy().tolist() for x, _ in feed.repeated.take(2 * feed.steps_per_epoch)))]

    values = drawn(4)
    alone = [value for value in values if int(value) == 17]
    assert len(alone) == 12 == len(set(alone))
    assert drawn(7) == values
    feed = tfinput.from_arrays(np.arange(18), LABELS, batch_size=5, balance="classes", augment=noisy)
    tail = [x.numpy().tolist() for x, _ in feed.at(epoch=1, step=2).repeated.take(2)]
    assert [*itertools.chain(*tail)] == values[28:36]


def test_balance_is_of_the_training_examples_alone() -> None:
    feed = tfinput.from_arrays(np.arange(18), LABELS, batch_size=4, balance="classes", validation_split=4, test_split=[0, 17])
    assert repr(feed).endswith("seed=0; an epoch takes 6 of each of 2 classes)")
    assert feed.train_size == 12
    assert [*itertools.chain(*ids(feed.validation))] == feed.indices["validation"].tolist()
    assert [*itertools.chain(*ids(feed.examples("train")))] == feed.indices["train"].tolist()
    train = set(feed.indices["train"].tolist())
    for epoch in epochs_of(feed, 2):
        assert set(epoch) <= train
        assert collections.Counter(LABELS[epoch].tolist()) == {0: 6, 5: 6}


def test_folds_are_balanced_too() -> None:
    for fold in tfinput.from_arrays(np.arange(18), LABELS, batch_size=4, balance="classes").kfold(3):
        train = set(fold.indices["train"].tolist())
        taken = collections.Counter(LABELS[epochs_of(fold, 1)[0]].tolist())
        assert set(epochs_of(fold, 1)[0]) <= train
        assert len(set(taken.values())) == 1
        assert set(taken) == set(LABELS[list(train)].tolist())


def test_classes_may_be_one_hot_or_text() -> None:
    y = np.array(["a"] * 9 + ["b"])
    feed = tfinput.from_arrays(np.arange(10), y, balance="classes")
    assert collections.Counter(y[epochs_of(feed, 1)[0]].tolist()) == {"a": 5, "b": 5}
    hot = np.eye(2)[(y == "b").astype(int)]
    assert epochs_of(tfinput.from_arrays(np.arange(10), hot, balance="classes"), 2) == epochs_of(feed, 2)


def test_what_cannot_be_balanced_is_refused(tmp_path: Path) -> None:
    x = np.arange(4)
    for arguments, options, said in (
        ((x,), {}, r"balance='classes': expected one array of class labels y, got none\."),
        ((x, np.arange(4) / 3), {}, "balance='classes': expected class labels, got fractional numbers"),
        ((x, x), {"shuffle": False}, "balance with shuffle=False: expected one of the two, got both"),
    ):
        with pytest.raises(ValueError, match=said):
            tfinput.from_arrays(*arguments, balance="classes", **options)
    with pytest.raises(ValueError, match=r"balance: expected 'classes' or None, got True\. Pass balance='classes'\."):
        tfinput.from_arrays(x, x, balance=True)
    path = tmp_path / "table.csv"
    path.write_text("a,y\n" + "".join(f"{number},{number % 5 == 0:d}\n" for number in range(20)))
    with pytest.raises(
        ValueError, match=r"expected examples that can be read in any order, got csv, which is read as a stream\. Pass cache"
    ):
        tfinput.from_csv(path, label="y", in_memory=False, balance="classes", verbose=False)
    feed = tfinput.from_csv(path, label="y", in_memory=False, balance="classes", cache="memory", verbose=False, batch_size=20)
    assert np.bincount(next(iter(feed.train))[1].numpy()).tolist() == [10, 10]


def two(**options: Any) -> list[tfinput.Feed]:
    return [tfinput.from_arrays(np.arange(12), **options), tfinput.from_arrays(np.arange(100, 105), **options)]


@pytest.mark.parametrize(("weights", "size", "taken"), [([1, 1], None, (9, 8)), ([1, 3], 8, (2, 6)), ((0.9, 0.1), 40, (36, 4))])
def test_an_epoch_takes_its_share_of_each_feed(weights: Any, size: int | None, taken: tuple[int, int]) -> None:
    mixed = tfinput.mix(two(), weights=weights, size=size, batch_size=4)
    assert mixed.steps_per_epoch == -(-sum(taken) // 4)
    seen: Counts = collections.Counter()
    epochs = epochs_of(mixed, 7)
    for epoch in epochs:
        assert (sum(each < 100 for each in epoch), sum(each >= 100 for each in epoch)) == taken
        seen.update(epoch)
        assert_in_turn(seen, range(12))
        assert_in_turn(seen, range(100, 105))
    assert len({tuple(epoch) for epoch in epochs}) == 7


def test_without_weights_every_example_comes_once() -> None:
    mixed = tfinput.mix(two(), batch_size=4)
    everyone = [*range(12), *range(100, 105)]
    epochs = epochs_of(mixed, 3)
    assert all(sorted(epoch) == everyone for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert epochs_of(tfinput.mix(two(), batch_size=4, shuffle=False), 1) == [everyone]
    once = epochs_of(tfinput.mix(two(), size=17, batch_size=4), 2)
    assert all(sorted(epoch) == everyone for epoch in once)


def test_a_mixed_order_does_not_depend_on_how_it_is_served_and_goes_on_anywhere() -> None:
    def built(batch: int, **options: Any) -> tfinput.Feed:
        return tfinput.mix(two(**options), weights=[1, 2], batch_size=batch)

    expected = [*itertools.chain(*epochs_of(built(1), 3))]
    for batch in (3, 50):
        assert [*itertools.chain(*epochs_of(built(batch), 3))] == expected
    assert [*itertools.chain(*epochs_of(built(3, preprocess=lambda x: x), 3))] == expected
    feed = built(3)
    whole = ids(feed.repeated, 20)
    for step in (2, 5, 6, 12):
        assert ids(feed.at(step=step).repeated, 5) == whole[step : step + 5]


def test_validation_is_each_feeds_own_once_and_never_trains() -> None:
    feeds = [
        tfinput.from_arrays(np.arange(12), validation_split=3, test_split=2),
        tfinput.from_arrays(np.arange(100, 105), validation_data=np.arange(200, 204)),
        tfinput.from_arrays(np.arange(300, 306)),
    ]
    mixed = tfinput.mix(feeds, weights=[1, 1, 1], batch_size=4)
    assert [*itertools.chain(*ids(mixed.validation))] == [*feeds[0].indices["validation"], *range(200, 204)]
    assert [*itertools.chain(*ids(mixed.test))] == feeds[0].indices["test"].tolist()
    held = {*feeds[0].indices["validation"], *feeds[0].indices["test"], *range(200, 204)}
    assert not held & set(itertools.chain(*epochs_of(mixed, 3)))
    assert [*itertools.chain(*ids(mixed.examples("train")))] == [*feeds[0].indices["train"], *range(100, 105), *range(300, 306)]
    assert mixed.train_size == 7 + 5 + 6


def test_nests_texts_and_files_are_stitched_in_the_order_of_the_draw(tmp_path: Path) -> None:
    def parts(start: int, count: int, file: Path | None = None) -> Any:
        number = np.arange(start, start + count)
        wide = np.repeat(number[:, None], 3, axis=1).astype("float32")
        if file is not None:
            np.save(file, wide)
        return {"number": number, "wide": wide if file is None else file, "text": number.astype(str)}, number % 2

    feeds = [
        tfinput.from_arrays(*parts(0, 20)),
        tfinput.from_arrays(*parts(100, 3, tmp_path / "a.npy")),
        tfinput.from_arrays(*parts(200, 9)),
    ]
    mixed = tfinput.mix(feeds, weights=[1, 2, 1], batch_size=5)
    for x, y in mixed.repeated.take(2 * mixed.steps_per_epoch):
        number = x["number"].numpy()
        assert x["wide"].numpy().tolist() == np.repeat(number[:, None], 3, axis=1).tolist()
        assert [text.decode() for text in x["text"].numpy()] == [str(each) for each in number]
        assert y.numpy().tolist() == (number % 2).tolist()
    assert mixed.element_spec[0]["wide"].shape.as_list() == [None, 3]


def picture(path: Path, colour: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(tf.io.encode_png(tf.fill((4, 4, 3), tf.constant(colour, tf.uint8))).numpy())
    return path


def test_files_mix_with_arrays_each_with_the_functions_of_its_own_feed(tmp_path: Path) -> None:
    paths = [picture(tmp_path / f"{number}.png", number) for number in range(1, 6)]
    images = tfinput.from_images((paths, np.arange(1, 6)), image_size=(4, 4), verbose=False, validation_split=1)

    def doubled(x: Any, y: Any) -> Any:
        return x * 2, y

    def noisy(x: Any, y: Any, seed: Any) -> Any:
        return x + tf.random.stateless_uniform([], seed) / 4, y

    filled = np.arange(50, 54, dtype="float32")[:, None, None, None] + np.zeros((4, 4, 4, 3), "float32")
    arrays = tfinput.from_arrays(filled, np.arange(100, 108, 2, dtype="int64"), preprocess=doubled, augment=noisy, validation_split=1)
    mixed = tfinput.mix([images, arrays], weights=[1, 1], size=10, batch_size=3)
    assert mixed.class_names == images.class_names
    assert mixed.element_spec[0].shape.as_list() == [None, 4, 4, 3]
    augmented = []
    served = [(x.numpy(), y.numpy()) for x, y in mixed.repeated.take(2 * mixed.steps_per_epoch)]
    for x, y in served:
        for image, label in zip(x, y, strict=True):
            shift = float(image[0, 0, 0]) - label
            assert (image == image[0, 0, 0]).all()
            if label >= 100:
                augmented.append(shift)
            else:
                assert shift == 0
    assert len(augmented) == 10 == len({round(each, 6) for each in augmented})
    assert all(0 <= each <= 0.26 for each in augmented)
    for step in (1, 5):
        tail = list(mixed.at(step=step).repeated.take(2))
        for (x, y), (ours, labels) in zip(tail, served[step:], strict=False):
            assert x.numpy().tobytes() == ours.tobytes()
            assert y.numpy().tolist() == labels.tolist()
    for x, y in mixed.validation:
        assert x.numpy()[:, 0, 0, 0].tolist() == y.numpy().tolist()


def test_an_error_names_the_feed_the_file_and_the_function(tmp_path: Path) -> None:
    good, bad = picture(tmp_path / "good.png", 3), picture(tmp_path / "bad.png", 4)
    bad.write_bytes(bad.read_bytes()[:-30])
    images = tfinput.from_images(([good, bad], [0, 1]), image_size=(4, 4), verbose=False)

    def broken(x: Any, y: Any) -> Any:
        tf.debugging.assert_less(y, tf.constant(2, tf.int64))
        return x, y

    arrays = tfinput.from_arrays(np.zeros((3, 4, 4, 3), "f4"), np.arange(3), preprocess=broken)
    with pytest.raises(tf.errors.OpError, match=r"preprocess failed in feed 1, arrays, example 2: InvalidArgumentError"):
        list(tfinput.mix([tfinput.from_arrays(np.zeros((3, 4, 4, 3), "f4"), np.zeros(3, int)), arrays]).examples())
    sound = tfinput.from_arrays(np.zeros((3, 4, 4, 3), "f4"), np.zeros(3, int).astype("int64"))
    with pytest.raises(tf.errors.OpError, match=r"tfinput: .*bad\.png"):
        list(tfinput.mix([sound, images], batch_size=8).examples())


def test_padded_examples_mix(tmp_path: Path) -> None:
    feeds = []
    for name, text in (("a", "a\nbcd\n"), ("b", "ef\nghijk\n")):
        (tmp_path / name).write_text(text)
        feeds.append(tfinput.from_text(tmp_path / name, preprocess=tf.strings.bytes_split, verbose=False))
    (batch,) = tfinput.mix(feeds, batch_size=4).repeated.take(1)
    assert sorted(b"".join(row) for row in batch.numpy()) == [b"a", b"bcd", b"ef", b"ghijk"]
    assert batch.shape == (4, 5)


def test_functions_given_to_the_mix_come_after_the_feeds_own() -> None:
    feeds = two(preprocess=lambda x: x * 10)
    mixed = tfinput.mix(feeds, batch_size=17, preprocess=lambda x: x + 1, batch_augment=lambda x: x * 2)
    (batch,) = ids(mixed.repeated, 1)
    assert sorted(batch) == [2 * (10 * each + 1) for each in [*range(12), *range(100, 105)]]
    assert ids(mixed.examples("train"))[0] == [10 * each + 1 for each in [*range(12), *range(100, 105)]]


def test_classes_of_a_mix_can_be_balanced() -> None:
    feeds = [tfinput.from_arrays(np.arange(10), np.zeros(10, int)), tfinput.from_arrays(np.arange(100, 104), np.array([1, 1, 1, 0]))]
    mixed = tfinput.mix(feeds, balance="classes", batch_size=14)
    (batch,) = mixed.repeated.take(1)
    assert np.bincount(batch[1].numpy()).tolist() == [7, 7]


def test_fit_trains_on_a_mix() -> None:
    feeds = [
        tfinput.from_arrays(np.ones((count, 2), "f4"), np.full(count, aim, "f4"), validation_split=2) for count, aim in ((30, 0), (6, 1))
    ]
    mixed = tfinput.mix(feeds, weights=[1, 1], batch_size=8)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(**mixed.fit_args(model), epochs=30, verbose=0)
    # Equal weights pull the prediction to the middle, whatever the sizes.
    assert model.predict(np.ones((1, 2), "f4"), verbose=0)[0, 0] == pytest.approx(0.5, abs=0.1)
    assert model.evaluate(**mixed.evaluate_args(), verbose=0) == pytest.approx(0.25, abs=0.05)


X = np.arange(4)
BAD: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "one feed": (lambda: two()[:1], {}, ValueError, "feeds: expected two or more, got 1. A single feed needs no mix."),
    "no feeds": (lambda: [X, X], {}, TypeError, "feeds: expected a list of feeds, got [array("),
    "other dtypes": (
        lambda: [*two()[:1], tfinput.from_arrays(X * 1.0)],
        {},
        ValueError,
        "feed 1 (arrays): expected examples as those of feed 0: TensorSpec(shape=(), dtype=tf.int64, name=None), "
        "got TensorSpec(shape=(), dtype=tf.float64, name=None). Bring them into one form with preprocess.",
    ),
    "other shapes": (
        lambda: [*two()[:1], tfinput.from_arrays(np.zeros((4, 2), int))],
        {},
        ValueError,
        "feed 1 (arrays): expected examples as those of feed 0: TensorSpec(shape=(), dtype=tf.int64, name=None), got TensorSpec(shape=(2,)",
    ),
    "other structures": (lambda: [*two()[:1], tfinput.from_arrays(X, X)], {}, ValueError, "feed 1 (arrays): expected examples as those of"),
    "too few weights": (two, {"weights": [1]}, ValueError, "weights: expected 2 numbers, one for each feed, got [1]. "),
    "text for weights": (two, {"weights": ["1", "2"]}, ValueError, "weights: expected 2 numbers, one for each feed, got ['1', '2']. "),
    "a weight of 0": (two, {"weights": [1, 0]}, ValueError, "weights[1]: expected a number above 0, got 0.0. Leave out a feed"),
    "a weight that is no number": (two, {"weights": [float("nan"), 1]}, ValueError, "weights[0]: expected a number above 0, got nan. "),
    "a weight too small": (
        two,
        {"weights": [1, 1e-6]},
        ValueError,
        "weights: expected weights that give each feed at least one of 17 examples, got none of feed 1. Pass a larger size.",
    ),
    "no size": (two, {"size": 0}, ValueError, "size: expected a positive whole number, got 0. "),
    "a split of the mix": (
        two,
        {"validation_split": 2},
        ValueError,
        "mix(validation_split=…): expected it in the feeds' own builders, got 2. ",
    ),
    "a cache of the mix": (two, {"cache": "memory"}, ValueError, "mix(cache=…): expected it in the feeds' own builders, got 'memory'. "),
    "weights without shuffle": (
        two,
        {"weights": [1, 1], "shuffle": False},
        ValueError,
        "weights with shuffle=False: expected one of the two, got both: what an epoch takes is drawn. Use shuffle=True, or weights=None.",
    ),
    "weights and balance": (
        two,
        {"weights": [1, 1], "balance": "classes"},
        ValueError,
        "balance with weights: expected one of the two, got",
    ),
    "balance without classes": (two, {"balance": "classes"}, ValueError, "balance='classes': expected one array of class labels y in each"),
    "batches of their own": (
        lambda: two(batch_augment=lambda x: x),
        {},
        ValueError,
        "feed 0 (arrays): expected functions of single examples, got batch_augment. "
        "Pass batch_augment to mix, whose batches hold examples of all feeds.",
    ),
    "a mix of mixes": (
        lambda: [tfinput.mix(two(), weights=[1, 1]), *two()],
        {},
        ValueError,
        "feed 0 (mix of arrays, arrays): expected a feed that trains on each example once, got one with quotas of its own. ",
    ),
    "from the middle": (
        lambda: [two()[0].at(1), *two()],
        {},
        ValueError,
        "feed 0 (arrays): expected a feed from its start on, got one from",
    ),
    "python code": (
        lambda: [tfinput.from_sequence([1, 2, 3]), *two()],
        {},
        ValueError,
        "feed 0 (list): expected examples that can be read by number in the graph, got those of list, which cannot. Pass cache='memory' or",
    ),
    "no such option": (
        two,
        {"weight": [1, 1]},
        TypeError,
        "mix(weight=…): expected one of its options, got 'weight'. Did you mean 'weights'?",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_mixed_is_refused(case: str) -> None:
    feeds, options, kind, said = BAD[case]
    with pytest.raises(kind) as refused:
        tfinput.mix(feeds(), **options)
    assert str(refused.value).startswith(f"tfinput: {said}")


def test_streams_and_other_classes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,y\n" + "".join(f"{number},0\n" for number in range(20)))
    feeds = [tfinput.from_csv(path, label="y", in_memory=memory, verbose=False) for memory in (True, False)]
    with pytest.raises(
        ValueError, match=r"^tfinput: feed 1 \(csv\): expected examples .* got those of csv, which cannot\. Pass cache='memory'"
    ):
        tfinput.mix(feeds)
    kept = tfinput.from_csv(path, label="y", in_memory=False, verbose=False, cache="memory")
    (batch,) = tfinput.mix([feeds[0], kept], batch_size=40).repeated.take(1)
    assert sorted(batch[0]["a"].numpy().tolist()) == sorted([*range(20)] * 2)
    folders = []
    for names in (("cat", "dog"), ("cat", "fox")):
        root = tmp_path / "_".join(names)
        root.mkdir()
        for name in names:
            picture(root / name / "1.png", 1)
        folders.append(tfinput.from_images(root, image_size=(4, 4), verbose=False))
    with pytest.raises(ValueError, match=r"feed 1: expected the classes \['cat', 'dog'\] of feed 0, got \['cat', 'fox'\]\."):
        tfinput.mix(folders)


def test_folds_of_a_mix_are_mixes_of_folds() -> None:
    with pytest.raises(ValueError, match=r"kfold: expected a feed of one source, got a mix\. Mix the folds"):
        tfinput.mix(two()).kfold(2)
    folds = [tfinput.mix(pair, weights=[1, 1]) for pair in zip(*(each.kfold(2) for each in two()), strict=True)]
    assert sorted(itertools.chain(*(ids(fold.validation)[0] for fold in folds))) == [*range(12), *range(100, 105)]
