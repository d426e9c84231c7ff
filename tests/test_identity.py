"""Identity: places, splits, groups and classes count the caller's own list, broken files too, and files and labels stand beside them."""

from __future__ import annotations

import itertools
import re
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from pictures import encoded, number, numbers
from PIL import Image

import tfinput

COUNT = 12
BROKEN = (3, 7, 11)
SOUND = [place for place in range(COUNT) if place not in BROKEN]
Y = np.arange(COUNT) * 10


def files(root: Path, data: Callable[[int], bytes], suffix: str, folders: int = 1) -> list[Path]:
    """Files that hold their own places in the sorted listing; some are broken."""
    paths = [root / f"class{place * folders // COUNT}" / f"{place:02}{suffix}" for place in range(COUNT)]
    for place, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff broken" if place in BROKEN else data(place))
    return paths


def clip(place: int, folder: Path) -> bytes:
    with wave.open(str(folder / "clip"), "wb") as file:
        file.setparams((1, 2, 8000, 4, "NONE", ""))
        file.writeframes(np.full(4, place, "<i2").tobytes())
    return (folder / "clip").read_bytes()


def pictures_of(batch: Any) -> list[int]:
    return numbers(batch)


def texts_of(batch: Any) -> list[int]:
    return [int(each) for each in batch.numpy()]


def clips_of(batch: Any) -> list[int]:
    return np.rint(batch.numpy()[:, 0, 0] * 2**15).astype(int).tolist()


def images(root: Path) -> Any:
    return tfinput.from_images, (files(root, number, ".png"), Y), {"image_size": (4, 5)}, pictures_of


def masks(root: Path) -> Any:
    masked = files(root / "masks", lambda place: encoded(np.full((4, 5), place, np.uint8), "PNG"), ".png")
    pictures = files(root / "images", number, ".png")
    pictures[3].write_bytes(number(3))  # Its mask is broken, it is not.
    return tfinput.from_images, (pictures, masked), {"image_size": (4, 5)}, pictures_of


def image_folder(root: Path) -> Any:
    files(root / "all", number, ".png", folders=3)
    return tfinput.from_images, root / "all", {"image_size": (4, 5)}, pictures_of


def text_folder(root: Path) -> Any:
    files(root / "all", lambda place: b"%d" % place, ".txt", folders=2)
    return tfinput.from_text, root / "all", {}, texts_of


def texts(root: Path) -> Any:
    return tfinput.from_text, (files(root, lambda place: b"%d" % place, ".txt"), Y), {}, texts_of


def lines(root: Path) -> Any:
    path = root / "lines.txt"
    path.write_bytes(b"\n".join(b"\xff" if place in BROKEN else b"%d" % place for place in range(COUNT)))
    return tfinput.from_text, (path, Y), {}, texts_of


def sounds(root: Path) -> Any:
    return tfinput.from_audio, (files(root, lambda place: clip(place, root), ".wav"), Y), {}, clips_of


def records(root: Path) -> Any:
    paths = [str(root / f"{part}.tfrecord") for part in range(2)]
    for part, path in enumerate(paths):
        with tf.io.TFRecordWriter(path) as writer:
            for place in range(6 * part, 6 * part + 6):
                writer.write(b"%04d" % place)
        data = bytearray(Path(path).read_bytes())
        for place in set(BROKEN) & set(range(6 * part, 6 * part + 6)):
            data[(place - 6 * part) * 20 + 13] ^= 1
        Path(path).write_bytes(data)
    return tfinput.from_tfrecords, paths, {}, texts_of


KINDS = [images, masks, image_folder, text_folder, texts, lines, sounds, records]
kinds = pytest.mark.parametrize("kind", KINDS)


class Case:
    """One kind of source with broken examples, and how its examples tell their places."""

    def __init__(self, kind: Callable[[Path], Any], root: Path) -> None:
        self.builder, self.subject, self.options, self.read = kind(root)

    def feed(self, **options: Any) -> tfinput.Feed:
        feed = self.builder(self.subject, **{"on_bad": "skip", "verbose": False, "batch_size": 4} | self.options | options)
        assert isinstance(feed, tfinput.Feed)
        return feed

    def seen(self, feed: tfinput.Feed, split: str) -> list[int]:
        """The places that the examples of a split tell, in their order."""
        batches = [batch[0] if isinstance(batch, tuple) else batch for batch in feed.examples(split)]
        return list(itertools.chain(*map(self.read, batches)))

    def check(self, feed: tfinput.Feed, splits: tuple[str, ...] = ("train", "validation")) -> None:
        """Indices are the places that the data themselves tell, and all sound examples are there."""
        assert {split: self.seen(feed, split) for split in splits} == {name: each.tolist() for name, each in feed.indices.items()}
        assert sorted(itertools.chain(*feed.indices.values())) == SOUND


@kinds
def test_indices_count_what_was_given_where_some_of_it_is_skipped(tmp_path: Path, kind: Any) -> None:
    case = Case(kind, tmp_path)
    feed = case.feed(validation_split=4, test_split=2)
    case.check(feed, ("train", "validation", "test"))
    epoch = itertools.chain(*(case.read(tf.nest.flatten(batch)[0]) for batch in feed.train.take(feed.steps_per_epoch)))
    assert sorted(epoch) == feed.indices["train"].tolist()
    later = feed.at(epoch=1)
    case.check(later, ("train", "validation", "test"))
    if isinstance(case.subject, tuple) and case.subject[1] is Y:
        for split, held in feed.indices.items():
            labels = np.concatenate([batch[1].numpy() for batch in feed.examples(split)])
            assert Y[held].tolist() == labels.tolist() == feed.labels[split].tolist()


@kinds
@pytest.mark.parametrize("form", [list, np.array, lambda asked: np.isin(np.arange(COUNT), asked)], ids=["list", "array", "mask"])
def test_indices_that_are_asked_for_count_what_was_given(tmp_path: Path, kind: Any, form: Any, capsys: Any) -> None:
    case = Case(kind, tmp_path)
    feed = case.feed(validation_split=form([0, 4, 8]), test_split=form([10, 5]))
    assert (case.seen(feed, "validation"), case.seen(feed, "test")) == ([0, 4, 8], [5, 10])
    case.check(feed, ("train", "validation", "test"))
    assert capsys.readouterr().out == ""
    some = case.feed(validation_split=form([0, 3, 7, 8]), verbose=True)
    assert case.seen(some, "validation") == [0, 8] == some.indices["validation"].tolist()
    assert "Left out of validation_split, since they were skipped: 2 of its indices (3, 7).\n" in capsys.readouterr().out
    message = re.escape("tfinput: validation_split: expected indices of examples that can be read, got only such as were left out: [3, 7].")
    with pytest.raises(ValueError, match=message):
        case.feed(validation_split=form([3, 7]))
    with pytest.raises(ValueError, match="indices from 0 to 11, got 12"):
        case.feed(validation_split=[0, 12])


@kinds
def test_groups_and_classes_are_those_of_all_that_was_given(tmp_path: Path, kind: Any) -> None:
    case = Case(kind, tmp_path)
    groups = np.array([f"group{place // 2}" for place in range(COUNT)])
    for seed in range(3):
        feed = case.feed(validation_split=4, groups=groups, seed=seed)
        case.check(feed)
        sides = [{place // 2 for place in case.seen(feed, split)} for split in ("train", "validation")]
        assert not sides[0] & sides[1]
        feed = case.feed(validation_split=3, stratify=np.arange(COUNT) % 3, seed=seed)
        case.check(feed)
        assert sorted(place % 3 for place in case.seen(feed, "validation")) == [0, 1, 2]
    for wrong in ({"groups": groups[SOUND]}, {"stratify": np.arange(len(SOUND)) % 3}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected 12 "):
            case.feed(validation_split=4, **wrong)
    with pytest.raises(ValueError, match="whole groups, got example 8 but not 9 of the same group"):
        case.feed(validation_split=[8], groups=groups)
    cut = case.feed(validation_split=[6], groups=groups)  # The other of its group is broken.
    assert case.seen(cut, "validation") == [6]


@kinds
def test_folds_count_what_was_given(tmp_path: Path, kind: Any) -> None:
    case = Case(kind, tmp_path)
    held = []
    for fold in case.feed().kfold(3, groups=np.arange(COUNT) // 2):
        case.check(fold)
        held.append(fold.indices["validation"].tolist())
        assert not {place // 2 for place in held[-1]} & {place // 2 for place in fold.indices["train"]}
    assert sorted(itertools.chain(*held)) == SOUND


@kinds
@pytest.mark.parametrize("cache", ["memory", "folder"])
def test_a_cache_changes_no_number(tmp_path: Path, kind: Any, cache: str) -> None:
    case = Case(kind, tmp_path)
    plain = case.feed(validation_split=4)
    feed = case.feed(validation_split=4, cache=cache if cache == "memory" else str(tmp_path / "kept"))
    case.check(feed)
    assert {name: each.tolist() for name, each in feed.indices.items()} == {name: each.tolist() for name, each in plain.indices.items()}
    assert hasattr(feed, "paths") == hasattr(plain, "paths")
    if hasattr(plain, "paths"):
        assert feed.paths["validation"].tolist() == plain.paths["validation"].tolist()


@kinds
def test_a_file_that_breaks_moves_no_other_out_of_a_split(tmp_path: Path, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules[__name__], "BROKEN", ())
        whole = Case(kind, tmp_path).feed(validation_split=6).indices["validation"].tolist()
    assert set(BROKEN) & set(whole)
    left = Case(kind, tmp_path).feed(validation_split=6).indices["validation"].tolist()
    assert set(whole) - set(BROKEN) <= set(left)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in (lines, records)])
def test_paths_are_the_files_of_each_split(tmp_path: Path, kind: Any) -> None:
    case = Case(kind, tmp_path)
    feed = case.feed(validation_split=4, test_split=[1])
    assert set(feed.paths) == {"train", "validation", "test"}
    for split, paths in feed.paths.items():
        assert [int(Path(path).stem) for path in paths] == feed.indices[split].tolist() == case.seen(feed, split)
        assert all(isinstance(path, str) and Path(path).is_file() for path in paths)
    with pytest.raises(ValueError, match="read-only"):
        feed.paths["test"][0] = ""
    asked = feed.at(step=1).paths["validation"]
    assert asked.tolist() == feed.paths["validation"].tolist()
    assert isinstance(asked[np.array([True, False, True, False])], np.ndarray)


def test_predictions_come_in_the_order_of_paths(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), np.uint8)
    for place, row in enumerate(rows):
        (tmp_path / f"img{place + 3}.png").write_bytes(encoded(row, "PNG"))
    feed = tfinput.from_images(tmp_path, labels=None, image_size=(4, 5), validation_split=4, verbose=False)
    inputs = keras.Input((4, 5, 3))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: keras.ops.mean(x, (1, 2, 3)), output_shape=())(inputs))
    for split in ("train", "validation"):
        predicted = model.predict(**feed.predict_args(split), verbose=0)
        assert predicted == pytest.approx([np.asarray(Image.open(path)).mean() for path in feed.paths[split]], rel=1e-5)


def test_validation_folders_have_numbers_paths_and_labels_of_their_own(tmp_path: Path) -> None:
    trained, other = tmp_path / "trained", tmp_path / "other"
    files(trained, number, ".png", folders=3)
    files(other, number, ".png", folders=2)
    feed = tfinput.from_images(trained, validation_data=other, on_bad="skip", image_size=(4, 5), verbose=False)
    for split, root in (("train", trained), ("validation", other)):
        images, labels = (np.concatenate(parts) for parts in zip(*feed.examples(split).as_numpy_iterator(), strict=True))
        assert numbers(images) == feed.indices[split].tolist() == SOUND
        assert [Path(path).parent.parent for path in feed.paths[split]] == [root] * len(SOUND)
        assert [Path(path).parent.name for path in feed.paths[split]] == [f"class{label}" for label in feed.labels[split]]
        assert feed.labels[split].tolist() == labels.tolist()
    assert len(feed.skipped) == 2 * len(BROKEN)


def test_mixed_feeds_number_what_each_was_given(tmp_path: Path) -> None:
    first, second = (Case(images, tmp_path / name).feed(validation_split=3, seed=seed) for seed, name in enumerate("ab"))
    mixed = tfinput.mix([first, second])
    for split in ("train", "validation"):
        wanted = [*first.indices[split], *(COUNT + second.indices[split])]
        assert mixed.indices[split].tolist() == wanted
        assert [int(Path(path).stem) for path in mixed.paths[split]] == [place % COUNT for place in wanted]
        labels = np.concatenate([batch[1].numpy() for batch in mixed.examples(split)])
        assert mixed.labels[split].tolist() == labels.tolist()


@pytest.mark.parametrize("mode", ["int", "categorical", "binary", "numbers", "rows", None])
def test_labels_are_what_the_model_gets(tmp_path: Path, mode: str | None) -> None:
    paths = files(tmp_path, number, ".png", folders=2)
    subject = {"numbers": (paths, Y / 8), "rows": (paths, np.arange(COUNT * 2).reshape(COUNT, 2))}.get(str(mode), tmp_path)
    how = {} if mode in ("numbers", "rows") else {"label_mode": mode}
    feed = tfinput.from_images(subject, on_bad="skip", image_size=(4, 5), validation_split=4, verbose=False, **how)
    if mode is None:
        assert not hasattr(feed, "labels")
        return
    for fold in (feed, tfinput.mix([feed, feed])):
        for split in ("train", "validation"):
            labels = np.concatenate([batch[1].numpy() for batch in fold.examples(split)])
            np.testing.assert_array_equal(fold.labels[split], labels, strict=True)


def test_labels_of_tables_arrays_and_sequences_are_what_the_model_gets(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("x,kind,value\n" + "".join(f"{row},{'ab'[row % 2]},{row / 4}\n" for row in range(COUNT)))
    made = [
        tfinput.from_csv(path, label="kind", validation_split=4, verbose=False),
        tfinput.from_csv(path, label="value", validation_split=4, verbose=False),
        tfinput.from_arrays(np.zeros((COUNT, 2)), Y, validation_split=4),
        tfinput.from_sequence([(np.float32(row), np.int64(row)) for row in range(COUNT)], validation_split=4),
        tfinput.from_generator(lambda: ((row, row % 3) for row in range(COUNT)), size=COUNT, validation_split=4),
    ]
    for feed in made:
        for split in ("train", "validation"):
            labels = np.concatenate([batch[1].numpy() for batch in feed.examples(split)])
            np.testing.assert_array_equal(feed.labels[split], labels, strict=True)


def test_what_a_feed_has_not_is_named() -> None:
    feed = tfinput.from_arrays(np.zeros(COUNT))
    assert not hasattr(feed, "paths")
    message = "tfinput: paths: expected a source with a file for each example, got arrays. Use feed.indices, which count what you gave."
    for kind in (AttributeError, ValueError):
        with pytest.raises(kind, match=f"^{re.escape(message)}$"):
            _ = feed.paths
    message = "tfinput: labels: expected one array of labels, got none in arrays. "
    with pytest.raises(AttributeError, match=f"^{re.escape(message)}"):
        _ = feed.labels
    with pytest.raises(AttributeError, match=re.escape(message)):
        _ = tfinput.from_arrays(np.zeros(4), {"a": np.zeros(4), "b": np.ones(4)}).labels


def test_errors_about_examples_name_their_own_files_behind_skipped_ones_and_with_a_cache(tmp_path: Path) -> None:
    case = Case(images, tmp_path)

    def refuse(image: Any, label: Any) -> Any:
        tf.debugging.assert_none_equal(label, tf.constant(80, label.dtype))
        return image, label

    for cache in (None, "memory"):
        feed = case.feed(augment=refuse, cache=cache)
        with pytest.raises(tf.errors.OpError, match=r"augment failed in \S+/08\.png"):
            list(feed.train.take(feed.steps_per_epoch))


def test_labels_of_a_folder_of_the_same_classes_give_no_note_of_nothing(tmp_path: Path, capsys: Any) -> None:
    for split in ("train", "other"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "0.png").write_bytes(number(0))
    tfinput.from_images(tmp_path / "train", validation_data=tmp_path / "other", class_names=["a", "b"], image_size=(4, 5))
    assert "Left out" not in capsys.readouterr().out
    tfinput.from_images(tmp_path / "train", class_names=["a"], image_size=(4, 5))
    assert "Left out" in capsys.readouterr().out
