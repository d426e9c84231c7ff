"""One pass over `feed.train` is one epoch, of every builder; `feed.repeated` is the same without end."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from identities import Numbers, ids, shard
from pictures import numbered

import tfinput

COUNT = 23
QUIET = {"verbose": False}


def examples() -> Iterator[Any]:
    for number in range(COUNT):
        yield np.int64(number), np.float32(number % 3)


def written(folder: Path, text: str) -> Path:
    (folder / "rows.csv").write_text(text)
    return folder / "rows.csv"


def records(folder: Path) -> str:
    for place, numbers in enumerate((range(10), range(10, COUNT))):
        with tf.io.TFRecordWriter(str(folder / f"{place}.tfrecord")) as writer:
            for number in numbers:
                feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
                writer.write(tf.train.Example(features=tf.train.Features(feature={"x": feature})).SerializeToString())
    return str(folder / "*.tfrecord")


def rows(folder: Path, **options: Any) -> tfinput.Feed:
    path = written(folder, "x,y\n" + "".join(f"{number},{number % 3}\n" for number in range(COUNT)))
    return tfinput.from_csv(path, label="y", **QUIET, **options)


def parquet(folder: Path, **options: Any) -> tfinput.Feed:
    import pyarrow as pa
    import pyarrow.parquet

    pa.parquet.write_table(pa.table({"x": np.arange(COUNT)}), folder / "x.parquet", row_group_size=7)
    return tfinput.from_parquet(folder / "x.parquet", **QUIET, **options)


def mixture(_: Path, **options: Any) -> tfinput.Feed:
    parts = [tfinput.from_arrays(np.arange(start, start + 20)) for start in (0, 100)]
    return tfinput.mix(parts, weights=[3, 1], **options)


def texts(folder: Path, **options: Any) -> tfinput.Feed:
    (folder / "lines.txt").write_text("".join(f"{number}\n" for number in range(COUNT)))
    return tfinput.from_text(folder / "lines.txt", preprocess=tf.strings.to_number, **QUIET, **options)


def sounds(folder: Path, **options: Any) -> tfinput.Feed:
    for number in range(COUNT):
        wave = tf.audio.encode_wav(tf.fill([4, 1], number / 32), 8000)
        (folder / f"{number:02}.wav").write_bytes(wave.numpy())
    return tfinput.from_audio(folder, labels=None, preprocess=lambda x: tf.round(x[0, 0] * 32), **QUIET, **options)


def photographs(folder: Path, **options: Any) -> tfinput.Feed:
    def number(image: Any, _: Any) -> Any:
        return image[0, 0, 0] * 256 + image[0, 0, 1]

    return tfinput.from_images(numbered(folder, COUNT), image_size=(4, 5), preprocess=number, **QUIET, **options)


def items(_: Path, **options: Any) -> tfinput.Feed:
    return tfinput.from_sequence(Numbers(COUNT), **options)


class Batches(keras.utils.PyDataset):
    """Batches that hold their own numbers."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return np.arange(3 * index, 3 * index + 3)


# A new builder is one line here.
BUILDERS: dict[str, Callable[..., tfinput.Feed]] = {
    "arrays": lambda _, **options: tfinput.from_arrays(np.arange(COUNT), **options),
    "arrays, cached": lambda _, **options: tfinput.from_arrays(np.arange(COUNT), cache="memory", preprocess=lambda x: x + 1, **options),
    "images": photographs,
    "text": texts,
    "audio": sounds,
    "CSV": rows,
    "CSV, streamed": lambda folder, **options: rows(folder, in_memory=False, **options),
    "Parquet, streamed": lambda folder, **options: parquet(folder, in_memory=False, **options),
    "TFRecord": lambda folder, **options: tfinput.from_tfrecords(
        records(folder), features={"x": tf.io.FixedLenFeature([], tf.int64)}, shuffle_window=6, **QUIET, **options
    ),
    "series": lambda _, **options: tfinput.from_timeseries(np.arange(COUNT), None, sequence_length=3, **options),
    "sequence": items,
    "sequence, two workers": lambda _, **options: items(_, workers=2, **options),
    "batches of a PyDataset": lambda *_, **__: tfinput.from_sequence(Batches()),
    "generator": lambda _, **options: tfinput.from_generator(examples, size=COUNT, shuffle_window=6, **options),
    "generator, two workers": lambda _, **options: tfinput.from_generator(shard, workers=2, size=8, **options),
    "dataset": lambda _, **options: tfinput.from_dataset(tf.data.Dataset.range(COUNT), **options),
    "mixture": mixture,
}


def flat(batches: Any) -> list[Any]:
    return [tuple(np.asarray(part).tolist() for part in tf.nest.flatten(batch)) for batch in batches]


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize("batch_size", [4, 40])
def test_passes_are_the_epochs_of_the_endless_dataset(tmp_path: Path, builder: str, batch_size: int) -> None:
    feed = BUILDERS[builder](tmp_path, batch_size=batch_size)
    steps = feed.steps_per_epoch
    assert len(feed.train) == steps == feed.train.cardinality()
    assert feed.repeated.cardinality() == tf.data.INFINITE_CARDINALITY
    assert feed.train.element_spec == feed.repeated.element_spec
    endless = flat(feed.repeated.take(3 * steps))
    train = feed.train
    assert flat(train.take(1)) == endless[:1]  # A look, and with one step a whole pass.
    done = steps == 1
    assert [flat(train) for _ in range(2)] == [endless[place * steps :][:steps] for place in (done, done + 1)]
    assert flat(feed.at(epoch=1).train) == endless[steps : 2 * steps]
    if steps > 1:
        rest = feed.at(epoch=1, step=steps - 1).train
        assert len(rest) == 1
        assert [flat(rest), flat(rest)] == [endless[2 * steps - 1 : 2 * steps]] * 2


@pytest.mark.floor
@pytest.mark.parametrize("drop", [False, True])
def test_passes_over_small_numbers_are_the_epochs_of_the_endless_dataset(drop: bool) -> None:
    for size, batch in itertools.product(range(1, 9), range(1, 6)):
        if drop and batch > size:
            continue
        feed = tfinput.from_arrays(np.arange(size), batch_size=batch, drop_remainder=drop)
        steps = feed.steps_per_epoch
        endless = ids(feed.repeated, 4 * steps)
        assert [ids(feed.train) for _ in range(2)] == [endless[:steps], endless[steps : 2 * steps]]
        train = feed.train
        assert ids(train) == endless[2 * steps : 3 * steps]
        for step in range(1, steps):
            assert ids(feed.at(epoch=3, step=step).train) == endless[3 * steps + step :]
        assert ids(train) == endless[3 * steps :]


def test_a_look_does_not_move_on_and_a_pass_that_is_left_after_its_last_batch_does() -> None:
    feed = tfinput.from_arrays(np.arange(10), batch_size=4)
    first, second = ids(feed.repeated, 3), ids(feed.at(epoch=1).repeated, 3)
    for count in (1, 2):
        assert ids(feed.train.take(count)) == first[:count]
    assert ids(feed.train, 3) == first  # `islice` asks for no fourth
    assert ids(feed.train) == second


def test_passes_that_run_side_by_side_are_of_one_epoch() -> None:
    for batch in (4, 10):
        feed = tfinput.from_arrays(np.arange(10), batch_size=batch)
        pairs = list(zip(feed.train, feed.train, strict=True))
        assert all(np.array_equal(one, other) for one, other in pairs)
        assert ids(feed.train) == ids(feed.at(epoch=1).train)


def test_a_dataset_made_of_passes_keeps_what_it_needs() -> None:
    def augment(x: Any, seed: Any) -> Any:
        return x + tf.random.stateless_uniform([], seed, maxval=1000, dtype=tf.int64)

    expected = ids(tfinput.from_arrays(np.arange(10), batch_size=4, augment=augment).repeated, 6)
    train = tfinput.from_arrays(np.arange(10), batch_size=4, augment=augment).train.map(lambda x: x).prefetch(1)
    assert ids(train) + ids(train) == expected
    iterator = iter(tfinput.from_arrays(np.arange(10), batch_size=4, augment=augment).train)
    assert ids(iterator) == expected[:3]


def test_the_test_set_comes_third() -> None:
    feed = tfinput.from_arrays(np.arange(20), batch_size=4, validation_split=3, test_split=2)
    train, validation, test = feed
    assert [len(train), ids(validation), ids(test)] == [4, [feed.indices["validation"].tolist()], [feed.indices["test"].tolist()]]
    assert len(tuple(tfinput.from_arrays(np.arange(20), validation_split=3))) == 2


def test_threads_that_pass_at_once_get_whole_epochs() -> None:
    feed = tfinput.from_arrays(np.arange(50), batch_size=7, preprocess=lambda x: x)
    train, seen = feed.train, []

    def work() -> None:
        for _ in range(5):
            seen.append(sorted(itertools.chain(*ids(train))))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [list(range(50))] * 20


def test_a_one_shot_iterator_goes_on_with_each_pass() -> None:
    feed = tfinput.from_generator(itertools.count(), size=4, endless=True, batch_size=2, shuffle=False)
    assert [ids(feed.train) for _ in range(3)] == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]]
    with pytest.raises(ValueError, match="an iterator that is read once"):
        _ = feed.at(epoch=1).train


EVERYDAY = """
import keras, numpy as np, tfinput
feed = tfinput.from_arrays(np.random.rand(100, 4), np.arange(100) % 2, batch_size=16, validation_split=0.2)
train, validation = feed
model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
history = model.fit(train, validation_data=validation, epochs=3, verbose=0)
assert int(model.optimizer.iterations) == 15, model.optimizer.iterations
assert len(history.history["val_loss"]) == 3
"""


def test_the_form_of_every_keras_page_ends() -> None:
    done = subprocess.run([sys.executable, "-c", EVERYDAY], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "ran out of data" not in done.stderr
