"""TFRecord files: every record once an epoch, in an order that any place can be found in; damage is always told, and where."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfinput
from tfinput.errors import FileError
from tfinput.sources.records import tfrecord_index

FEATURES = {"x": tf.io.FixedLenFeature([], tf.int64), "y": tf.io.FixedLenFeature([], tf.int64)}


def example(number: int, **more: int) -> bytes:
    values = {"x": number, "y": number % 3} | more
    features = {name: tf.train.Feature(int64_list=tf.train.Int64List(value=[value])) for name, value in values.items()}
    return bytes(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def write(path: Path, rows: Iterable[bytes], compression: str = "") -> Path:
    with tf.io.TFRecordWriter(str(path), options=compression) as writer:
        for row in rows:
            writer.write(row)
    return path


def shards(folder: Path, counts: Iterable[int], compression: str = "") -> str:
    """Files whose records are numbered one after another."""
    done = 0
    for place, count in enumerate(counts):
        write(folder / f"part-{place}.tfrecord", (example(number) for number in range(done, done + count)), compression)
        done += count
    return str(folder / "part-*.tfrecord")


def numbers(dataset: Any, steps: int | None = None) -> list[list[int]]:
    batches = itertools.islice(dataset, steps)
    return [tf.nest.flatten(batch)[0].numpy().tolist() for batch in batches]


def feed_of(subject: Any, **options: Any) -> Any:
    return tfinput.from_tfrecords(subject, **{"features": FEATURES, "label": "y", "verbose": False} | options)


def assert_laws(make: Callable[..., Any]) -> list[list[int]]:
    """Whole epochs, exact validation, and each later point the same as in the uninterrupted stream; gives two epochs."""
    feed = make()
    steps = feed.steps_per_epoch
    train = numbers(feed.repeated, 3 * steps)
    for epoch in range(3):
        got = list(itertools.chain(*train[epoch * steps : (epoch + 1) * steps]))
        assert sorted(got) == feed.indices["train"].tolist()
    if feed.validation_size:
        assert list(itertools.chain(*numbers(feed.validation))) == feed.indices["validation"].tolist()
        assert not set(feed.indices["train"]) & set(feed.indices["validation"])
        assert int(feed.validation.cardinality()) == feed.validation_steps
    for step in (steps - 1, steps + 2):
        assert numbers(feed.at(step=step).repeated, 2) == train[step : step + 2]
    assert train[:steps] != train[steps : 2 * steps]
    return train[: 2 * steps]


@pytest.mark.floor
@pytest.mark.parametrize(("compression", "window"), [("", None), ("", 7), ("GZIP", 7), ("ZLIB", None)])
def test_every_record_comes_once_an_epoch_in_an_order_that_any_point_can_be_found_in(tmp_path: Path, compression: str, window: Any) -> None:
    pattern = shards(tmp_path, [150, 3, 140], compression)
    train = assert_laws(lambda: feed_of(pattern, batch_size=23, validation_split=0.3, shuffle_window=window))
    feed = feed_of(pattern, batch_size=1 if window else 1000, validation_split=0.3, shuffle_window=window, num_parallel_calls=3)
    assert list(itertools.chain(*numbers(feed.repeated, 2 * feed.steps_per_epoch))) == list(itertools.chain(*train))


@pytest.mark.parametrize(
    ("count", "options"),
    [(1, {}), (9, {}), (9, {"drop_remainder": True}), (9, {"shuffle": False}), (1, {"validation_split": [0, 5, 6]})],
)
def test_small_sets(tmp_path: Path, count: int, options: dict[str, Any]) -> None:
    if "validation_split" in options:
        count += 7
    pattern = shards(tmp_path, [count])
    for batch_size in (4,) if options else (1, 4, 9):
        feed = feed_of(pattern, batch_size=batch_size, shuffle_window=3, **options)
        steps = feed.steps_per_epoch
        train = numbers(feed.repeated, 3 * steps)
        for epoch in range(3):
            got = list(itertools.chain(*train[epoch * steps : (epoch + 1) * steps]))
            assert len(set(got)) == len(got) == min(steps * batch_size, feed.train_size)
            assert set(got) <= set(feed.indices["train"].tolist())
            if not options.get("shuffle", True):
                assert got == feed.indices["train"].tolist()
        late = steps + steps // 2
        assert numbers(feed.at(step=late).repeated, 2) == train[late : late + 2]


def test_what_is_dropped_changes_and_seeds_differ(tmp_path: Path) -> None:
    pattern = shards(tmp_path, [40])
    feed = feed_of(pattern, batch_size=16, drop_remainder=True)
    batches = numbers(feed.repeated, 8)
    epochs = [set(batches[place] + batches[place + 1]) for place in range(0, 8, 2)]
    assert len(set(map(frozenset, epochs))) > 1
    orders = {tuple(itertools.chain(*numbers(feed_of(pattern, seed=seed).repeated, 2))) for seed in range(3)}
    assert len(orders) == 3


def test_the_order_of_an_epoch_is_frozen(tmp_path: Path) -> None:
    feed = feed_of(shards(tmp_path, [9, 4]), batch_size=13, shuffle_window=8)
    assert numbers(feed.repeated, 2) == GOLDEN


def test_the_runs_of_all_files_are_mixed(tmp_path: Path) -> None:
    feed = feed_of(shards(tmp_path, [400, 400, 400]), batch_size=200, shuffle_window=400)
    for batch in numbers(feed.repeated, 6):
        assert len({number // 400 for number in batch}) > 1


def test_parse_one_by_one_and_raw_records_give_the_same_order(tmp_path: Path) -> None:
    pattern = shards(tmp_path, [60, 30])

    def parse(record: Any) -> Any:
        found = tf.io.parse_single_example(record, FEATURES)
        return {"x": found["x"]}, found["y"]

    expected = numbers(feed_of(pattern).repeated, 6)
    assert numbers(tfinput.from_tfrecords(pattern, parse=parse, verbose=False).repeated, 6) == expected

    def branching(record: Any) -> Any:
        x, y = parse(record)
        if x["x"] < 0:  # AutoGraph turns it into a graph's.
            y = y + 1
        return x, y

    assert numbers(tfinput.from_tfrecords(pattern, parse=branching, verbose=False).repeated, 6) == expected
    raw = itertools.islice(tfinput.from_tfrecords(pattern, verbose=False).repeated, 6)
    assert [[tf.io.parse_single_example(record, FEATURES)["x"].numpy() for record in batch] for batch in raw] == expected


def test_augmentation_resumes_bit_for_bit(tmp_path: Path) -> None:
    pattern = shards(tmp_path, [31])

    def augment(x: Any, y: Any, seed: Any) -> Any:
        return {**x, "noise": tf.random.stateless_uniform((3,), seed)}, y

    def noise(dataset: Any, steps: int) -> list[Any]:
        return [batch[0]["noise"].numpy().tolist() for batch in itertools.islice(dataset, steps)]

    feed = feed_of(pattern, batch_size=7, augment=augment, shuffle_window=10)
    whole = noise(feed.repeated, 15)
    assert [noise(feed.at(step=step).repeated, 2) for step in (2, 6)] == [whole[step : step + 2] for step in (2, 6)]
    by_one = noise(feed_of(pattern, batch_size=1, augment=augment, shuffle_window=10).repeated, 31)
    assert [row for batch in whole[:5] for row in batch] == [batch[0] for batch in by_one]


@pytest.mark.parametrize("cache", ["memory", "folder"])
def test_a_cache_makes_it_an_array_source(tmp_path: Path, cache: str) -> None:
    pattern = shards(tmp_path, [50, 20])
    folder = "memory" if cache == "memory" else tmp_path / "cache"
    feed = feed_of(pattern, cache=folder, validation_split=0.2, batch_size=8)
    assert_laws(lambda: feed)
    arrays = tfinput.from_arrays(np.arange(70), batch_size=8, validation_split=feed.indices["validation"])
    assert numbers(feed.repeated, 20) == numbers(arrays.repeated, 20)


def test_fit_and_evaluate_equal_numpy(tmp_path: Path) -> None:
    feed = feed_of(
        shards(tmp_path, [40, 33]), batch_size=16, validation_split=0.3, preprocess=lambda x, y: (tf.cast(x["x"], tf.float32)[None], y)
    )
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Rescaling(0.01), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(**feed.fit_args(), epochs=2, verbose=0)
    assert len(history.history["val_loss"]) == 2
    held = feed.indices["validation"].astype("float32")
    expected = np.mean((model.predict(held[:, None], verbose=0)[:, 0] - held % 3) ** 2)
    assert model.evaluate(**feed.evaluate_args(), verbose=0) == pytest.approx(expected, rel=1e-5)


def test_validation_files_weights_and_several_labels(tmp_path: Path) -> None:
    write(tmp_path / "train", (example(number, w=number) for number in range(10)))
    write(tmp_path / "held", (example(number, w=number) for number in range(10, 14)))
    features = FEATURES | {"w": tf.io.FixedLenFeature([], tf.int64)}
    feed = feed_of(tmp_path / "train", features=features, weight="w", validation_data=tmp_path / "held", batch_size=4)
    assert list(itertools.chain(*numbers(feed.validation))) == [10, 11, 12, 13]
    for x, y, weight in feed.examples():
        assert y.numpy().tolist() == (x["x"].numpy() % 3).tolist()
        assert weight.numpy().tolist() == x["x"].numpy().tolist()
    several = feed_of(tmp_path / "train", features=features, label=["y", "w"])
    assert set(several.element_spec[1]) == {"y", "w"}


def test_a_record_never_moves_to_another_split_when_files_are_added(tmp_path: Path) -> None:
    def splits(pattern: str) -> dict[str, set[int]]:
        feed = feed_of(pattern, validation_split=0.3, test_split=0.2)
        return {name: {number for batch in numbers(feed.examples(name)) for number in batch} for name in ("train", "validation", "test")}

    write(tmp_path / "b.tfrecord", map(example, range(300)))
    before = splits(str(tmp_path / "*.tfrecord"))
    assert abs(len(before["validation"]) - 90) < 40
    assert abs(len(before["test"]) - 60) < 35
    write(tmp_path / "a.tfrecord", map(example, range(300, 500)))
    after = splits(str(tmp_path / "*.tfrecord"))
    assert set.union(*after.values()) == set(range(500))
    assert sum(map(len, after.values())) == 500
    for name, numbered in before.items():
        assert {number for number in after[name] if number < 300} == numbered


def test_kfold_over_records(tmp_path: Path) -> None:
    folds = feed_of(shards(tmp_path, [30])).kfold(2)
    held = [list(itertools.chain(*numbers(fold.validation))) for fold in folds]
    assert sorted(itertools.chain(*held)) == list(range(30))
    for fold, out in zip(folds, held, strict=True):
        assert sorted(itertools.chain(*numbers(fold.train, fold.steps_per_epoch))) == sorted(set(range(30)) - set(out))


def test_the_count_is_remembered_and_never_trusted_when_stale(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", map(example, range(300)))
    beside = tmp_path / ".a.tfrecord.tfinput-index"
    assert feed_of(path).train_size == 300
    kept = beside.read_text()
    beside.write_text(kept.replace('"counts": [128', '"counts": [127'))
    assert feed_of(path).train_size == 299  # It is what is used while the file stays as it is ...
    stamp = path.stat().st_mtime_ns
    changed = bytearray(path.read_bytes())
    changed[100_000 % len(changed)] ^= 0
    path.write_bytes(changed)
    os.utime(path, ns=(stamp, stamp))
    assert feed_of(path).train_size == 300  # ... and not after it was written, be its size and time the same.
    for junk in ("", "{}", "[1, 2]", '{"format": 1}', '{"format": 2}', "\0"):
        beside.write_text(junk)
        assert feed_of(path).train_size == 300
    write(path, map(example, range(7)))
    assert feed_of(path).train_size == 7
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".a.tfrecord.tfinput-index", "a.tfrecord"]


def test_a_folder_that_cannot_be_written_to_costs_a_recount_only(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", map(example, range(5)))
    (tmp_path / ".a.tfrecord.tfinput-index").mkdir()  # Nothing can replace a folder, whoever runs the tests.
    assert feed_of(path).train_size == feed_of(path).train_size == 5


SMALL = [b"first", b"", b"the third record", b"4"]


def small(path: Path) -> bytes:
    return write(path, SMALL).read_bytes()


def boundaries() -> list[int]:
    return list(itertools.accumulate((len(row) + tfrecord_index.FRAME for row in SMALL), initial=0))


def read_all(path: Path, **options: Any) -> list[bytes]:
    feed = tfinput.from_tfrecords(path, batch_size=3, verbose=False, **options)
    return [row for batch in feed.examples() for row in batch.numpy().tolist()]


def fields() -> list[int]:
    """Bytes of every part of the first record (its length, that one's checksum, its data, that one's checksum), and some of the others."""
    end = 12 + len(SMALL[0])
    return [0, 7, 8, 11, 12, end - 1, end, end + 3, *(start + place for start in boundaries()[1:-1] for place in (0, 12))]


def test_a_file_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    data = small(path)
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        if cut in boundaries():  # A whole file, as far as it can tell: only who knows the number can.
            assert cut != boundaries()[2] or read_all(path) == SMALL[:2]
            with pytest.raises(ValueError, match=r"expected (size=4 records|at least one record), got"):
                read_all(path, size=4)
            continue
        with pytest.raises(FileError, match=re.escape(str(path))):
            read_all(path)


def test_a_file_cut_at_any_byte_after_the_build_is_told_where(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    data = small(path)
    dataset = tfinput.from_tfrecords(path, batch_size=3, verbose=False).examples()
    for cut in fields():
        path.write_bytes(data[:cut])
        whole = sum(end <= cut for end in boundaries()) - 1
        with pytest.raises(tf.errors.OpError, match=rf"tfinput: {re.escape(str(path))}, record {whole}: expected a sound record"):
            list(dataset)
    path.write_bytes(data)
    assert [row for batch in dataset for row in batch.numpy().tolist()] == SMALL


def test_a_changed_byte_anywhere_is_told_or_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    data = small(path)
    dataset = tfinput.from_tfrecords(path, verbose=False).examples()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        hit = sum(end <= place for end in boundaries()) - 1
        # A length that cannot be true is told when the feed is built, all else when the record is read.
        if 1 <= place - boundaries()[hit] < 8:
            with pytest.raises(FileError, match=re.escape(str(path))):
                tfrecord_index.index(str(path).encode(), None, False)
        if place not in fields() or (hit and place == boundaries()[hit]):
            continue
        with pytest.raises(tf.errors.OpError, match=rf"tfinput: {re.escape(str(path))}, record {hit}: expected a sound record"):
            list(dataset)
        left = tfinput.from_tfrecords(path, verbose=False, on_bad="skip")
        assert left.train_size == 3
        assert list(left.skipped) == [str(path)]
        assert f"record {hit} at byte {boundaries()[hit]}" in left.skipped[str(path)]
        if place - boundaries()[hit] in (0, 12):
            assert [row for batch in left.examples() for row in batch.numpy().tolist()] == SMALL[:hit] + SMALL[hit + 1 :]


def test_skipping_a_cut_end_and_several_records(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", (b"%08d" % number for number in range(400)))
    data = bytearray(path.read_bytes())
    size = 8 + tfrecord_index.FRAME
    assert len(data) == 400 * size
    for number in (0, 5, 6, 130, 399):
        data[number * size + 20] ^= 1
    path.write_bytes(data[: 395 * size + 4])
    feed = tfinput.from_tfrecords(path, on_bad="skip", batch_size=50, verbose=False)
    gone = {0, 5, 6, 130, 395, 396, 397, 398, 399}
    found = [int(row) for row in itertools.chain(*numbers(feed.examples()))]
    assert found == [number for number in range(400) if number not in gone]
    assert "skipped broken files: 1" in repr(feed)
    assert not (tmp_path / ".a.tfrecord.tfinput-index").exists()

    def refuse(row: Any) -> Any:
        with tf.control_dependencies([tf.debugging.assert_none_equal(row, b"%08d" % 140)]):
            return row

    with pytest.raises(tf.errors.OpError, match=rf"preprocess failed in {re.escape(str(path))}, record 140"):
        list(tfinput.from_tfrecords(path, on_bad="skip", preprocess=refuse, verbose=False).examples())


@pytest.mark.parametrize("compression", ["GZIP", "ZLIB"])
def test_a_compressed_file_must_end_well(tmp_path: Path, compression: str) -> None:
    path = write(tmp_path / "a", map(example, range(50)), compression)
    data = path.read_bytes()
    assert len(read_all(path)) == 50
    for cut in (1, 8, 9, len(data) // 2):
        path.write_bytes(data[:-cut])
        with pytest.raises(FileError, match=r"a whole compressed file|whole record"):
            read_all(path)
    path.write_bytes(data[:-6] + bytes([data[-6] ^ 1]) + data[-5:])
    with pytest.raises(FileError, match="a whole compressed file"):
        read_all(path)
    path.write_bytes(data + data)
    if compression == "GZIP":
        assert len(read_all(path)) == 100
    else:
        with pytest.raises(FileError, match="more after the end"):
            read_all(path)


def test_a_plain_record_whose_length_looks_like_zlib_is_plain(tmp_path: Path) -> None:
    path = write(tmp_path / "a", [b"x" * 0x9C78, b"y"])
    assert path.read_bytes()[:2] == b"\x78\x9c"
    assert [len(row) for row in read_all(path)] == [0x9C78, 1]


def test_what_is_no_tfrecord_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    for junk in (b"x", b"id,name\n1,2\n3,4", b"\0" * 100, b"<html><body>no such page</body></html>"):
        path.write_bytes(junk)
        with pytest.raises(FileError, match=rf"{re.escape(str(path))}: expected a TFRecord file, got a file"):
            read_all(path)
    path.write_bytes(b"")
    with pytest.raises(FileError, match="expected at least one record, got none in any file"):
        read_all(path)


def test_a_record_without_a_feature_is_named_also_inside_fit(tmp_path: Path) -> None:
    rows = [example(number) for number in range(20)]
    rows[13] = tf.train.Example().SerializeToString()
    path = write(tmp_path / "a.tfrecord", rows)
    feed = feed_of(path, batch_size=4, preprocess=lambda x, y: (tf.cast(x["x"], tf.float32)[None], y))
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(tf.errors.OpError, match=rf"{re.escape(str(path))}, record 13: expected an Example with the features"):
        model.fit(**feed.fit_args(), verbose=0)


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        ({"z": tf.io.FixedLenFeature([], tf.int64)}, r"got Feature: z .*is required but could not be found\. Correct features"),
        ({"x": tf.io.FixedLenFeature([], tf.float32)}, r"got Key: x.*Data types don't match.* It has \['x: 1 int64'"),
        ({"x": tf.io.FixedLenFeature([2], tf.int64)}, r"got Key: x.*Values size: 1 but output shape: \[2\]"),
    ],
)
def test_features_that_are_not_there_are_told_at_the_call(tmp_path: Path, feature: dict[str, Any], said: str) -> None:
    """With what the first record holds."""
    path = write(tmp_path / "a.tfrecord", [example(number) for number in range(3)])
    with pytest.raises(
        FileError, match=rf"^tfinput: {re.escape(str(path))}, record 0: expected an Example with the features asked for, {said}"
    ):
        tfinput.from_tfrecords(path, features=feature, verbose=False)


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
@pytest.mark.parametrize("sizes", [(0, 5), (5, 0), (5, 0, 4), (0, 0, 3, 0)])
def test_files_without_records_may_lie_among_others(tmp_path: Path, compression: str, sizes: tuple[int, ...]) -> None:
    """A writer that had nothing to write leaves one behind."""
    paths, numbers = [], iter(range(sum(sizes)))
    for place, size in enumerate(sizes):
        paths.append(str(tmp_path / f"{place}.tfrecord"))
        with tf.io.TFRecordWriter(paths[-1], tf.io.TFRecordOptions(compression_type=compression)) as writer:
            for number in itertools.islice(numbers, size):
                writer.write(example(number))
    for _ in range(2):  # The second time, the counts are remembered.
        feed = tfinput.from_tfrecords(paths, features={"x": tf.io.FixedLenFeature([], tf.int64)}, batch_size=2, verbose=False)
        found = [batch["x"].numpy().tolist() for batch in feed.repeated.take(feed.steps_per_epoch)]
        assert sorted(itertools.chain(*found)) == list(range(sum(sizes)))
        assert list(itertools.chain(*(batch["x"].numpy().tolist() for batch in feed.examples()))) == list(range(sum(sizes)))


def test_a_damaged_first_record_is_told_where_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", [example(number) for number in range(3)])
    data = bytearray(path.read_bytes())
    data[14] ^= 1
    path.write_bytes(data)
    feed = feed_of(path)
    with pytest.raises(tf.errors.OpError, match=r"record 0: expected a sound record"):
        list(feed.examples())


@pytest.mark.parametrize("result", [None, (), {}])
def test_a_parse_that_returns_nothing_is_refused(tmp_path: Path, result: Any) -> None:
    path = write(tmp_path / "a.tfrecord", [b"1"])
    with pytest.raises(
        TypeError, match=rf"^tfinput: parse: expected tensors from it, got {re.escape(repr(result))}\. End it with: return x, y\."
    ):
        tfinput.from_tfrecords(path, parse=lambda record: result, verbose=False)


def test_a_parse_that_fails_is_named_with_its_record(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", [b"1", b"2", b"three", b"4"])
    feed = tfinput.from_tfrecords(path, parse=lambda record: tf.strings.to_number(record), batch_size=2, verbose=False)
    with pytest.raises(tf.errors.OpError, match=rf"parse failed in {re.escape(str(path))}, record 2"):
        list(feed.examples())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "yy"}, r"label: expected the name of a feature, got 'yy'\. Did you mean 'y'\?"),
        ({"label": "z"}, r"label: expected the name of a feature, got 'z'\. There are \['x', 'y'\]"),
        ({"weight": "x", "label": None}, r"weight: expected a label beside it"),
        ({"weight": "ww"}, r"weight: expected the name of a feature"),
        ({"features": None}, r"label: expected features to take it from"),
        ({"features": {}}, r"features: expected a dict of tf\.io features"),
        ({"parse": lambda record: record}, r"features and parse: expected one of the two"),
        ({"features": {"x": tf.io.VarLenFeature(tf.int64)}, "label": None}, r"features\['x'\]: expected a feature with dense values"),
        ({"size": 11}, r"tfrecords: expected size=11 records, got 10"),
        ({"shuffle_window": 0}, r"shuffle_window: expected a positive whole number"),
        ({"on_bad": "ignore"}, r"on_bad: expected one of 'raise', 'skip', got 'ignore'"),
        ({"validation_split": 1e-9}, r"validation_split: expected between 1 and 9|into which none falls"),
        ({"stratify": True, "validation_split": 0.5}, r"stratify=True: expected class labels y"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "a.tfrecord", map(example, range(10)))
    with pytest.raises((ValueError, TypeError), match=message):
        feed_of(path, **options)


def test_paths_and_patterns(tmp_path: Path) -> None:
    for place, name in enumerate(["a[1].tfrecord", "b.tfrecord", "c*.tfrecord"]):
        write(tmp_path / name, [example(place)])

    def found(subject: Any) -> list[int]:
        return list(itertools.chain(*numbers(feed_of(subject).examples())))

    assert found(tmp_path / "a[1].tfrecord") == [0]
    assert found(str(tmp_path / "c*.tfrecord")) == [2]
    assert found(str(tmp_path / "*.tfrecord")) == [0, 1, 2]
    assert found([tmp_path / "b.tfrecord", str(tmp_path / "a[1].tfrecord")]) == [1, 0]
    with pytest.raises(FileNotFoundError, match="expected a file, or a pattern that matches some, got no such file"):
        found(tmp_path / "d-*")
    with pytest.raises(FileNotFoundError, match=r"path 1: .*: expected a file, got no file there"):
        found([tmp_path / "b.tfrecord", tmp_path / "d"])
    with pytest.raises(FileError, match="expected a file, got a folder"):
        found(tmp_path)
    with pytest.raises(ValueError, match="expected at least one path"):
        found([])


def array_records(path: Path, rows: Iterable[bytes]) -> Path:
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(path), "group_size:1")
    for row in rows:
        writer.write(row)
    writer.close()
    return path


def test_array_records_are_shuffled_like_arrays(tmp_path: Path) -> None:
    array_records(tmp_path / "a.array_record-0", map(example, range(40)))
    array_records(tmp_path / "a.array_record-1", map(example, range(40, 53)))
    pattern = str(tmp_path / "a.array_record-*")
    feed = feed_of(pattern, batch_size=8)
    assert numbers(feed.repeated, 20) == numbers(tfinput.from_arrays(np.arange(53), batch_size=8).repeated, 20)
    assert_laws(lambda: feed_of(pattern, batch_size=8, validation_split=0.3))
    by_one = tfinput.from_tfrecords(pattern, parse=lambda row: tf.io.parse_single_example(row, FEATURES), batch_size=8, verbose=False)
    assert numbers(by_one.repeated, 20) == numbers(feed.repeated, 20)


def test_array_records_hold_any_bytes_and_name_what_is_wrong(tmp_path: Path) -> None:
    rows = [b"ends in nothing\0\0", b"\xff", b"x" * 100_000]
    path = array_records(tmp_path / "a.array_record", rows)
    assert read_all(path) == rows
    feed = tfinput.from_tfrecords(path, parse=tf.strings.to_number, verbose=False)
    with pytest.raises(tf.errors.OpError, match=rf"parse failed in {re.escape(str(path))}, record 0"):
        list(feed.examples())
    data = bytearray(path.read_bytes())
    for cut in (0, 10, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(FileError, match=rf"{re.escape(str(path))}: expected a sound ArrayRecord file, got"):
            read_all(path)
    data[120] ^= 1
    path.write_bytes(data)
    with pytest.raises((FileError, tf.errors.OpError), match=rf"{re.escape(str(path))}: expected a sound ArrayRecord file, got"):
        read_all(path)
    plain = write(tmp_path / "b.tfrecord", rows)
    with pytest.raises(ValueError, match="expected files of one kind"):
        tfinput.from_tfrecords([path, plain], verbose=False)


GOLDEN = [[10, 9, 2, 0, 12, 3, 1, 11, 5, 7, 8, 6, 4], [2, 3, 7, 1, 0, 6, 4, 5, 12, 11, 8, 10, 9]]
