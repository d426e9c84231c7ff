"""TensorFlow Datasets: the same examples as TFDS reads, in every format; splits without a common example; what is wrong is told."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import tfinput
from tfinput.errors import FileError, MissingFileError
from tfinput.sources.records import tfds_sections

FORMATS = ["tfrecord", "array_record", "parquet"]
GOLDEN = [[6, 4, 2, 11, 1, 7, 5, 8, 0, 10, 9, 3, 12], [1, 10, 3, 2, 7, 6, 8, 5, 12, 0, 4, 9, 11]]


class Pictures(tfds.core.GeneratorBasedBuilder):
    """Pictures whose pixels are their numbers."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        features = {
            "image": tfds.features.Image(shape=(4, 4, 1)),
            "label": tfds.features.ClassLabel(names=["a", "b", "c"]),
            "number": np.int64,
            "words": tfds.features.Sequence(tfds.features.Text()),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label"))

    def _split_generators(self, dl_manager: Any) -> Any:
        return {"train": self._generate_examples(0, 50), "test": self._generate_examples(50, 60)}

    def _generate_examples(self, start: int, end: int) -> Any:
        for number in range(start, end):
            image = np.full((4, 4, 1), number, np.uint8)
            yield number, {"image": image, "label": number % 3, "number": number, "words": ["w"] * (number % 4)}


class Unlabelled(tfds.core.GeneratorBasedBuilder):
    """Pictures of several sizes, without supervised keys."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        features = {"image": tfds.features.Image(shape=(None, None, 1)), "number": np.int64}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: Any) -> Any:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Any:
        for number in range(12):
            yield number, {"image": np.full((4 + number % 3, 5, 1), number, np.uint8), "number": number}


def prepare(kind: Any, folder: Path, file_format: str = "tfrecord", shards: int = 3) -> Any:
    tfds.disable_progress_bar()
    builder = kind(data_dir=str(folder), file_format=file_format)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=shards))
    return builder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: Any) -> dict[str, Any]:
    return {each: prepare(Pictures, tmp_path_factory.mktemp(each), each) for each in FORMATS}


def pixels(dataset: Any, count: int | None = None) -> list[list[int]]:
    return [tf.nest.flatten(batch)[0].numpy()[:, 0, 0, 0].tolist() for batch in itertools.islice(dataset, count)]


def flat(batches: list[list[int]]) -> list[int]:
    return list(itertools.chain(*batches))


def by_tfds(builder: Any, split: Any) -> list[int]:
    """The numbers of a split's examples as TFDS reads them, in order."""
    plainly = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    return [int(example["number"]) for example in builder.as_dataset(split=split, read_config=plainly)]


@pytest.mark.parametrize("file_format", FORMATS)
def test_whole_epochs_and_exact_splits_of_every_format(prepared: dict[str, Any], file_format: str) -> None:
    builder, options = prepared[file_format], {"train": "train[:60%]", "validation": "train[60%:]", "test": "test"}
    feed = tfinput.from_tfds(builder, **options, batch_size=7)
    assert (feed.train_size, feed.validation_size, feed.test_size, feed.steps_per_epoch) == (30, 20, 10, 5)
    assert feed.class_names == ("a", "b", "c")
    train = pixels(feed.repeated, 15)
    for epoch in range(3):
        assert sorted(flat(train[epoch * 5 : epoch * 5 + 5])) == sorted(by_tfds(prepared["tfrecord"], "train[:60%]"))
    assert train[:5] != train[5:10]
    for name, expression in (("validation", "train[60%:]"), ("test", "test")):
        for _ in range(2):
            assert flat(pixels(feed.examples(name))) == by_tfds(prepared["tfrecord"], expression)
    assert feed.validation.cardinality() == feed.validation_steps == 4
    for step in (3, 6):
        assert pixels(feed.at(step=step).repeated, 3) == train[step : step + 3]
    other = tfinput.from_tfds(builder, **options, batch_size=30, num_parallel_calls=3)
    assert flat(pixels(other.repeated, 3)) == flat(train)
    for image, label in feed.examples():
        assert label.numpy().tolist() == (image.numpy()[:, 0, 0, 0] % 3).tolist()


def test_the_order_is_frozen(prepared: dict[str, Any]) -> None:
    feed = tfinput.from_tfds(prepared["tfrecord"], train="train[10:23]", batch_size=13)
    source_order = by_tfds(prepared["tfrecord"], "train[10:23]")
    assert [[source_order.index(number) for number in batch] for batch in pixels(feed.repeated, 2)] == GOLDEN


SPLITS = [
    *("all", "test+train[10:20]+train[30:]", "train[-7:]", "train[2shard:]", "train[17:33]", "test[:1]"),
    *(tfds.core.ReadInstruction("train", to=33, unit="%"), tfds.even_splits("train", 3)[1], tfds.Split.TEST),
]


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_a_split_holds_what_tfds_says(prepared: dict[str, Any], file_format: str, split: Any) -> None:
    feed = tfinput.from_tfds(prepared[file_format], train=split)
    expected = by_tfds(prepared["tfrecord"], split)
    assert flat(pixels(feed.examples("train"))) == expected
    assert feed.train_size == len(expected) == prepared[file_format].info.splits[split].num_examples


def test_augmentation_resumes_bit_for_bit(prepared: dict[str, Any]) -> None:
    def augment(image: Any, label: Any, seed: Any) -> Any:
        return tf.cast(image, tf.float32) + tf.random.stateless_uniform((4, 4, 1), seed), label

    feed = tfinput.from_tfds(prepared["tfrecord"], batch_size=8, augment=augment, validation_split=0.2)
    whole = [batch[0].numpy() for batch in feed.repeated.take(12)]
    for step in (2, 8):
        for ours, theirs in zip(feed.at(step=step).repeated.take(3), whole[step:], strict=False):
            assert np.array_equal(ours[0], theirs)


@pytest.mark.parametrize("file_format", FORMATS)
def test_features_decoders_and_dicts(prepared: dict[str, Any], file_format: str) -> None:
    builder = prepared[file_format]
    partial = tfds.decode.PartialDecoding({"number": True, "label": True})
    for x in tfinput.from_tfds(builder, as_supervised=False, decoders=partial).examples():
        assert sorted(x) == ["label", "number"]
        assert x["label"].numpy().tolist() == (x["number"].numpy() % 3).tolist()
    skipped = tfinput.from_tfds(builder, decoders={"image": tfds.decode.SkipDecoding()}, batch_size=50)
    images = next(iter(skipped.examples()))[0].numpy()
    assert [tf.io.decode_png(image).numpy()[0, 0, 0] for image in images] == by_tfds(prepared["tfrecord"], "train")
    chosen = tfinput.from_tfds(
        builder,
        as_supervised=False,
        decoders=tfds.decode.PartialDecoding({"number": True, "image": True}),
        preprocess=lambda x: (x["image"], x["number"]),
    )
    for image, number in chosen.examples():
        assert image.numpy()[:, 0, 0, 0].tolist() == number.numpy().tolist()


def test_words_of_several_lengths_become_one_shape_in_preprocess(prepared: dict[str, Any]) -> None:
    def counted(x: Any) -> Any:
        return x["image"], tf.size(x["words"])

    feed = tfinput.from_tfds(prepared["tfrecord"], as_supervised=False, preprocess=counted)
    for image, count in feed.examples():
        assert count.numpy().tolist() == (image.numpy()[:, 0, 0, 0] % 4).tolist()
    with pytest.raises(tf.errors.OpError, match=r"pictures, example 1: expected the shape .* Prepare it with file_format='tfrecord'"):
        list(tfinput.from_tfds(prepared["parquet"], as_supervised=False, preprocess=counted).examples())
    uneven = tfinput.from_tfds(prepared["tfrecord"], as_supervised=False)
    with pytest.raises(tf.errors.OpError, match=r"tfinput: .*expected the shape .* of .*record \d+, got .* in .*record \d+"):
        list(uneven.examples())


def test_stratified_and_hashed_splits(prepared: dict[str, Any]) -> None:
    for file_format in ("tfrecord", "array_record", "parquet"):
        feed = tfinput.from_tfds(prepared[file_format], validation_split=15, stratify=True)
        held = flat(pixels(feed.validation))
        assert np.bincount(np.array(held) % 3).tolist() == [5, 5, 5]
        assert sorted(held + flat(pixels(feed.train, feed.steps_per_epoch))) == list(range(50))
    for file_format in ("tfrecord", "array_record"):
        few, more = (tfinput.from_tfds(prepared[file_format], train=split, validation_split=0.3) for split in ("train[20:]", "all"))
        before, after = set(flat(pixels(few.validation))), set(flat(pixels(more.validation)))
        assert before
        assert {number for number in after if number in by_tfds(prepared["tfrecord"], "train[20:]")} == before


def test_evaluate_equals_numpy_and_fit_runs(prepared: dict[str, Any]) -> None:
    def scaled(image: Any, label: Any) -> Any:
        return tf.cast(image[0, 0], tf.float32) / 60, tf.cast(label, tf.float32)

    feed = tfinput.from_tfds(prepared["tfrecord"], validation="test", preprocess=scaled, batch_size=16)
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert len(model.fit(**feed.fit_args(), epochs=2, verbose=0).history["val_loss"]) == 2
    x = np.array(by_tfds(prepared["tfrecord"], "test"))
    expected = np.mean((model.predict(x[:, None].astype("float32") / 60, verbose=0)[:, 0] - x % 3) ** 2)
    assert model.evaluate(**feed.evaluate_args(), verbose=0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("cache", ["memory", "folder"])
def test_a_cache_keeps_the_examples(prepared: dict[str, Any], tmp_path: Path, cache: str) -> None:
    feed = tfinput.from_tfds(prepared["tfrecord"], cache="memory" if cache == "memory" else tmp_path, batch_size=50)
    order = flat(next(iter(tfinput.from_arrays(np.arange(50)[:, None], batch_size=50).train)).numpy().tolist())
    assert flat(pixels(feed.repeated, 1)) == np.array(by_tfds(prepared["tfrecord"], "train"))[order].tolist()


def test_pictures_of_several_sizes_are_resized_in_preprocess(tmp_path: Path) -> None:
    builder = prepare(Unlabelled, tmp_path)
    feed = tfinput.from_tfds(builder, as_supervised=False, preprocess=lambda x: (tf.image.resize(x["image"], (3, 3)), x["number"]))
    for image, number in feed.examples():
        assert image.shape[1:] == (3, 3, 1)
        assert image.numpy()[:, 0, 0, 0].tolist() == number.numpy().tolist()
    with pytest.raises(
        ValueError, match=r"as_supervised: expected a dataset with supervised_keys, got unlabelled, which has only .*'image'"
    ):
        tfinput.from_tfds(builder)


def test_a_dataset_is_named_in_many_ways(prepared: dict[str, Any], tmp_path: Path) -> None:
    builder = prepared["tfrecord"]
    folder = os.fspath(builder.data_path)
    for subject in (builder, folder, Path(folder)):
        assert tfinput.from_tfds(subject).train_size == 50
    root = os.path.dirname(os.path.dirname(folder))
    for name in ("pictures", "pictures:1.0.0", "Pictures"):
        assert tfinput.from_tfds(name, data_dir=root).train_size == 50
    with pytest.raises(
        MissingFileError, match=rf"expected a folder with dataset_info.json, got none in it. Pass {re.escape(repr(folder))}"
    ):
        tfinput.from_tfds(root)
    with pytest.raises(FileNotFoundError, match="Pass the folder of one version"):
        tfinput.from_tfds(tmp_path)


def test_data_that_is_not_there_is_prepared_only_when_asked_for(tmp_path: Path) -> None:
    message = rf"pictures: expected prepared data in {re.escape(str(tmp_path))}.*, got none. Run tfds.builder\('pictures', data_dir='.*'\)"
    with pytest.raises(MissingFileError, match=message + r"\.download_and_prepare\(\), or pass download=True"):
        tfinput.from_tfds("pictures", data_dir=tmp_path)
    assert not list(tmp_path.iterdir())
    assert tfinput.from_tfds("pictures", data_dir=tmp_path, download=True).train_size == 50
    assert tfinput.from_tfds("pictures", data_dir=tmp_path).train_size == 50


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"train": "trian"}, r"train: expected a split of pictures, got 'trian'. Did you mean 'train'\?"),
    ({"validation": "valid"}, r"validation: expected a split of pictures, got 'valid'. There are 'train', 'test'"),
    ({"train": "train+nope[:3]"}, r"got 'train\+nope\[:3\]'"),
    ({"train": "train[:"}, r"train: expected a split of pictures, got 'train\[:': Error parsing split"),
    ({"train": "train[90:120]"}, r"'train\[90:120\]': Requested slice \[90:120\] incompatible with 50 examples"),
    ({"train": "train[5:5]"}, r"expected a split with examples, got 'train\[5:5\]', which has none"),
    ({"train": 5}, r"train: expected a split such as 'train\[:80%\]', got 5 \(int\)"),
    ({"train": None}, r"train: expected a split such as"),
    ({"train": "train[:60%]", "validation": "train[50%:]"}, r"validation='train\[50%:\]': expected no example of train=.*records 8 to 12"),
    ({"validation": "test", "test": "test[:1]"}, r"test='test\[:1\]': expected no example of validation='test', got some of both.*0 to 0"),
    ({"validation": "train"}, "validation='train': expected no example of train='train'"),
    ({"train": "train[:20]+train[10:]"}, r"train: expected each example once, got 'train\[:20\]\+train\[10:\]', which has some twice"),
    ({"validation": "test", "validation_split": 0.2}, "validation and validation_split: expected one of the two, got both"),
    ({"test": "test", "test_split": 0.2}, "test and test_split: expected one of the two"),
    ({"validation_data": "test"}, r"validation_data: expected a split of the dataset as validation=, got 'test'. Pass validation='test'"),
    ({"decoders": tfds.decode.PartialDecoding({"image": True})}, "decoders: expected the feature 'label', which as_supervised takes"),
    ({"shuffle_window": 0}, "shuffle_window: expected a positive whole number"),
    ({"split": "train"}, r"from_tfds\(split=…\): expected one of its options"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[message for _, message in REFUSED])
@pytest.mark.parametrize("file_format", ["tfrecord", "parquet"])
def test_wrong_options_are_refused_at_the_call(prepared: dict[str, Any], file_format: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        tfinput.from_tfds(prepared[file_format], **options)


def test_unknown_names_are_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"from_tfds: expected the name of a dataset, got 'mnistt'. Did you mean 'mnist'\?"):
        tfinput.from_tfds("mnistt", data_dir=tmp_path)
    with pytest.raises(ValueError, match=r"name, configuration and version of a dataset, got 'mnist:9.9.9'.*only: 3.0.1"):
        tfinput.from_tfds("mnist:9.9.9", data_dir=tmp_path)
    with pytest.raises(ValueError, match=r"name, configuration and version of a dataset, got 'mnist/large'.*not found"):
        tfinput.from_tfds("mnist/large", data_dir=tmp_path)
    with pytest.raises(TypeError, match=r"expected a name, a builder or a folder, got 5 \(int\)"):
        tfinput.from_tfds(5)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_missing_file_is_told_at_the_call(prepared: dict[str, Any], tmp_path: Path, file_format: str) -> None:
    folder = shutil.copytree(prepared[file_format].data_path, tmp_path / "1.0.0")
    gone = folder / f"pictures-train.{file_format}-00001-of-00003"
    gone.unlink()
    with pytest.raises(MissingFileError, match=rf"pictures: expected the file {re.escape(str(gone))}, which .*got no such file"):
        tfinput.from_tfds(folder)
    assert tfinput.from_tfds(folder, train="train[:10]").train_size == 10


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_a_file_of_another_dataset_is_told_with_both_counts(prepared: dict[str, Any], tmp_path: Path, file_format: str) -> None:
    folder = shutil.copytree(prepared[file_format].data_path, tmp_path / "1.0.0")
    changed = folder / f"pictures-train.{file_format}-00001-of-00003"
    shutil.copy(folder / f"pictures-train.{file_format}-00000-of-00003", changed)
    with pytest.raises(FileError, match=rf"{re.escape(str(changed))}: expected 16 records, as dataset_info.json says, got 17\. The file"):
        tfinput.from_tfds(folder)


def test_damage_is_told_with_file_and_record(prepared: dict[str, Any], tmp_path: Path) -> None:
    folder = shutil.copytree(prepared["tfrecord"].data_path, tmp_path / "1.0.0")
    path = folder / "pictures-train.tfrecord-00001-of-00003"
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:-5])
    with pytest.raises(FileError, match=rf"{re.escape(str(path))}: expected a whole record 15 at byte \d+, got the end of the file"):
        tfinput.from_tfds(folder)
    data[-10] ^= 1
    path.write_bytes(data)
    feed = tfinput.from_tfds(folder, train="train[:20]", validation="train[20:]")
    assert len(flat(pixels(feed.examples("train")))) == 20
    with pytest.raises(
        tf.errors.OpError, match=rf"{re.escape(str(path))}, record 15: expected a sound record, got .*prepare the dataset again"
    ):
        list(feed.validation)
    with pytest.raises(ValueError, match=r"pictures: expected files on this machine, got gs://bucket/file"):
        tfds_sections.refuse_missing([tfds_sections.Stretch(b"gs://bucket/file", 0, 1, 1)], "pictures", "")


def test_a_record_that_cannot_be_parsed_is_told(prepared: dict[str, Any], tmp_path: Path) -> None:
    folder = shutil.copytree(prepared["tfrecord"].data_path, tmp_path / "1.0.0")
    path = folder / "pictures-train.tfrecord-00000-of-00003"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(17):
            writer.write(b"no example")
    feed = tfinput.from_tfds(folder, train="train[10:12]")
    with pytest.raises(tf.errors.OpError, match=rf"tfinput: parse failed in {re.escape(str(path))}, record 10: "):
        list(feed.examples())


def test_made_up_data_of_tfds_stand_in_for_a_dataset() -> None:
    with tfds.testing.mock_data(num_examples=23):
        feed = tfinput.from_tfds("mnist", validation="test", batch_size=10)
    assert (feed.train_size, feed.validation_size, feed.steps_per_epoch) == (23, 23, 3)
    assert feed.class_names == tuple("0123456789")
    every = {image.tobytes() for batch in feed.examples() for image in batch[0].numpy()}
    assert len(every) == 23
    for _ in range(2):
        images = [image.tobytes() for batch in feed.repeated.take(3) for image in batch[0].numpy()]
        assert sorted(images) == sorted(every)
    assert feed.element_spec[0].shape[1:] == (28, 28, 1)
    with tfds.testing.mock_data(num_examples=23):
        held = tfinput.from_dataset(tfds.load("mnist", split="train", as_supervised=True), batch_size=10, validation_split=0.3)
    ours = [image.tobytes() for batch in held.validation for image in batch[0].numpy()]
    theirs = [image.tobytes() for batch in held.repeated.take(held.steps_per_epoch) for image in batch[0].numpy()]
    assert sorted(ours + theirs) == sorted(every)
