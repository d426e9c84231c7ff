"""Text files and lines: the bytes that Keras gives, every example once, and the broken file or line named."""

from __future__ import annotations

import codecs
import itertools
import os
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfinput
from tfinput.sources import text

WORDS = {"neg": ["", "two words", "ä€😀"], "pos": ["a\nb\r\n", "  spaces  ", "\ufeffmark", "nul\0 in it"]}


def folder_of(root: Path, content: dict[str, list[str]] | None = None) -> Path:
    for name, texts in (content or WORDS).items():
        (root / name).mkdir(parents=True)
        for place, each in enumerate(texts):
            (root / name / f"{place:02}.txt").write_bytes(each.encode())
    return root


def feed_of(subject: Any, **options: Any) -> tfinput.Feed:
    return tfinput.from_text(subject, verbose=False, **options)


def rows(dataset: Any, count: int | None = None) -> list[Any]:
    """Examples one after another: texts, or (text, label)."""
    made = []
    for batch in itertools.islice(dataset, count):
        parts = batch if isinstance(batch, tuple) else (batch,)
        columns = [part.numpy().tolist() for part in parts]
        made += list(zip(*columns, strict=True)) if len(columns) > 1 else columns[0]
    return made


def numbered(root: Path, count: int = 13, classes: int = 2) -> Path:
    """Files whose text is their own number; the class is its remainder."""
    for number in range(count):
        place = root / f"class{number % classes}" / f"{number:03}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(str(number))
    return root


def refused(subject: Any, message: str, kind: type[Exception] = ValueError, **options: Any) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        feed_of(subject, **options)


@pytest.mark.parametrize(("mode", "max_length"), [("int", None), ("categorical", 1), ("binary", 5), (None, 5)])
def test_values_are_those_of_keras(tmp_path: Path, mode: str | None, max_length: int | None) -> None:
    folder_of(tmp_path)
    theirs = keras.utils.text_dataset_from_directory(
        tmp_path, label_mode=mode, max_length=max_length, shuffle=False, batch_size=3, verbose=False
    )
    feed = feed_of(tmp_path, label_mode=mode, max_length=max_length, batch_size=3)
    expected = [batch if isinstance(batch, tuple) else (batch,) for batch in theirs]
    got = [batch if isinstance(batch, tuple) else (batch,) for batch in feed.examples()]
    assert len(got) == len(expected)
    for mine, yours in zip(itertools.chain(*got), itertools.chain(*expected), strict=True):
        assert mine.dtype == yours.dtype
        assert mine.numpy().tolist() == yours.numpy().tolist()
    if mode is not None:
        assert feed.class_names == tuple(theirs.class_names)


def test_what_was_found_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder_of(tmp_path)
    (tmp_path / "neg" / "notes.md").write_text("#")
    assert repr(tfinput.from_text(tmp_path)) == "Feed(text: train 7 in 1 step of 7; seed=0)"
    told = capsys.readouterr().out.splitlines()
    assert told == [f"Left out in {tmp_path}: 1 .md files.", "Found 7 text files belonging to 2 classes."]


@pytest.mark.parametrize("batch", [1, 4])
def test_every_epoch_holds_every_file_once_and_validation_is_exact(tmp_path: Path, batch: int) -> None:
    feed = feed_of(numbered(tmp_path), batch_size=batch, validation_split=3, stratify=True)
    steps = feed.steps_per_epoch
    seen = rows(feed.train, 3 * steps)
    epochs = [seen[start : start + feed.train_size] for start in range(0, 3 * feed.train_size, feed.train_size)]
    assert rows(feed.at(2).train, steps) == epochs[2]
    held = rows(feed.validation)
    assert held == rows(feed.validation)
    for epoch in epochs:
        numbers = [int(text) for text, _ in epoch + held]
        assert sorted(numbers) == list(range(13))
        assert [label for _, label in epoch + held] == [number % 2 for number in numbers]
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_paths_with_labels_paths_alone_and_folders_without_labels(tmp_path: Path) -> None:
    numbered(tmp_path, 4)
    paths = sorted(tmp_path.rglob("*.txt"))
    texts = [path.read_bytes() for path in paths]
    assert rows(feed_of(paths).examples()) == texts
    assert rows(feed_of((paths[0], paths[1]), validation_data=paths).validation) == texts
    assert rows(feed_of(tmp_path, labels=None).examples()) == texts
    assert rows(feed_of(tmp_path, labels=[3, 1, 4, 1]).examples()) == list(zip(texts, [3, 1, 4, 1], strict=True))
    named = feed_of((paths, ["b", "a", "b", "b"]), test_data=(paths[:2], ["a", "b"]))
    assert rows(named.examples()) + rows(named.test) == list(zip(texts + texts[:2], [1, 0, 1, 1, 0, 1], strict=True))
    ratings = feed_of((paths, [0.5, 1.5, 2.5, 3.5]))
    assert rows(ratings.examples()) == list(zip(texts, [0.5, 1.5, 2.5, 3.5], strict=True))


def test_a_label_that_is_also_the_name_of_a_file_stays_a_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_text(path.name)
    monkeypatch.chdir(tmp_path)
    assert rows(feed_of((paths, ["b", "a"])).examples()) == [(b"a", 1), (b"b", 0)]


def test_validation_data_has_the_classes_of_training(tmp_path: Path) -> None:
    numbered(tmp_path / "train", 6, classes=3)
    for name in ("class1", "class2"):
        (tmp_path / "more" / name).mkdir(parents=True)
        (tmp_path / "more" / name / "x.txt").write_text(name)
    feed = feed_of(tmp_path / "train", class_names=["class2", "class1"], validation_data=tmp_path / "more")
    assert rows(feed.validation) == [(b"class2", 0), (b"class1", 1)]
    paths = sorted((tmp_path / "more").rglob("*.txt"))
    pairs = feed_of((paths * 2, ["a", "b", "c", "a"]), validation_data=(paths, ["c", "b"]))
    assert [label for _, label in rows(pairs.validation)] == [2, 1]
    message = "tfinput: validation_data: expected (paths, labels), since labels are those of the training files, got a folder. "
    refused(tmp_path / "more", f"{message}Pass (paths, labels).", labels=[0, 1], validation_data=tmp_path / "more")


# Lines.


def lines_of(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


LINES = {
    "plain": (b"one\ntwo\n", [b"one", b"two"]),
    "no end": (b"one\ntwo", [b"one", b"two"]),
    "CRLF": (b"one\r\ntwo\r\n", [b"one", b"two"]),
    "both ends": (b"one\r\ntwo\nthree", [b"one", b"two", b"three"]),
    "blank lines": (b"\none\n\n\ntwo\n\n", [b"", b"one", b"", b"", b"two", b""]),
    "one blank line": (b"\n", [b""]),
    "carriage returns": (b"a\rb\r\r\nc\n", [b"a\rb\r", b"c"]),
    "BOM": ("\ufeffone\ntwo\ufeff\n".encode(), [b"one", "two\ufeff".encode()]),
    "only a BOM and a line": ("\ufeff\n".encode(), [b""]),
    "other separators": ("a\x0bb\x0cc\x1cd\u2028e\x85f\n".encode(), ["a\x0bb\x0cc\x1cd\u2028e\x85f".encode()]),
    "NUL": (b"a\0b\0\n\0\n", [b"a\0b\0", b"\0"]),
    "Unicode": ("ä€😀\n日本\n".encode(), ["ä€😀".encode(), "日本".encode()]),
}


@pytest.mark.parametrize("name", LINES)
def test_lines_are_cut_where_they_end(tmp_path: Path, name: str) -> None:
    content, expected = LINES[name]
    assert text.lines(os.fsencode(lines_of(tmp_path / "lines.txt", content)), "utf-8") == (expected, {})


@pytest.mark.parametrize("name", ["both ends", "NUL"])
def test_lines_are_examples(tmp_path: Path, name: str) -> None:
    content, expected = LINES[name]
    feed = feed_of(lines_of(tmp_path / "lines.txt", content), batch_size=2)
    assert feed.train_size == len(expected)
    assert rows(feed.examples()) == expected
    assert sorted(rows(feed.train, feed.steps_per_epoch)) == sorted(expected)
    assert feed.element_spec.dtype == tf.string


@pytest.mark.parametrize(("ending", "last"), [(b"\n", True), (b"\r\n", False)])
def test_lines_with_labels(tmp_path: Path, ending: bytes, last: bool) -> None:
    content = ending.join([b"pos\tgood\tindeed", b"neg\tbad", b"pos\t", b"neut\t\xc3\xa4"]) + (ending if last else b"")
    feed = feed_of(lines_of(tmp_path / "x.tsv", content), delimiter="\t")
    assert feed.class_names == ("neg", "neut", "pos")
    assert rows(feed.examples()) == [(b"good\tindeed", 2), (b"bad", 0), (b"", 2), ("ä".encode(), 1)]
    assert feed.element_spec[1].dtype == tf.int32
    swapped = feed_of(tmp_path / "x.tsv", delimiter="\t", label_mode=None)
    assert rows(swapped.examples()) == [b"good\tindeed", b"bad", b"", "ä".encode()]


def test_the_label_may_come_last_and_in_other_forms(tmp_path: Path) -> None:
    path = lines_of(tmp_path / "x.txt", b"a, b, yes\nc, no\n")
    assert rows(feed_of(path, delimiter=", ", label_first=False).examples()) == [(b"a, b", 1), (b"c", 0)]
    fasttext = lines_of(tmp_path / "y.txt", b"__label__b some words\n__label__a more\n")
    feed = feed_of(fasttext, delimiter=" ", label_mode="categorical")
    assert feed.class_names == ("__label__a", "__label__b")
    assert rows(feed.examples()) == [(b"some words", [0.0, 1.0]), (b"more", [1.0, 0.0])]
    assert [label for _, label in rows(feed_of(path, delimiter=", ", label_first=False, label_mode="binary").examples())] == [[1.0], [0.0]]
    assert [label for _, label in rows(feed_of(path, delimiter=", ", label_first=False, class_names=["yes", "no"]).examples())] == [0, 1]


def test_whole_numbers_of_lines_stay_as_they_are(tmp_path: Path) -> None:
    path = lines_of(tmp_path / "x.tsv", b"10\ta\n-2\tb\n9\tc\n")
    more = lines_of(tmp_path / "y.tsv", b"9\td\n9\te\n")
    feed = feed_of(path, delimiter="\t", validation_data=more)
    assert rows(feed.examples()) == [(b"a", 10), (b"b", -2), (b"c", 9)]
    assert rows(feed.validation) == [(b"d", 9), (b"e", 9)]
    assert feed.element_spec[1].dtype == tf.int64
    names = lines_of(tmp_path / "z.tsv", b"01\ta\n1\tb\n")  # are two labels
    assert feed_of(names, delimiter="\t").class_names == ("01", "1")
    one_hot = lines_of(tmp_path / "w.tsv", b"2\ta\n0\tb\n")
    assert [label for _, label in rows(feed_of(one_hot, delimiter="\t", label_mode="categorical").examples())] == [[0, 0, 1], [1, 0, 0]]


def test_validation_lines_have_the_classes_of_training(tmp_path: Path) -> None:
    path = lines_of(tmp_path / "x.tsv", b"c\t1\na\t2\nb\t3\n")
    more = lines_of(tmp_path / "y.tsv", b"b\t4\nc\t5\n")
    assert rows(feed_of(path, delimiter="\t", validation_data=more).validation) == [(b"4", 1), (b"5", 2)]
    lines_of(more, b"b\t4\nd\t5\n")
    message = "tfinput: validation_data labels[1]: expected one of the classes ['a', 'b', 'c'], got 'd'. "
    refused(path, f"{message}Correct it, or name every class in class_names.", delimiter="\t", validation_data=more)


def test_lines_beside_labels(tmp_path: Path) -> None:
    path = lines_of(tmp_path / "x.txt", b"a\nb\nc\n")
    expected = [(b"a", 0.5), (b"b", 1.5), (b"c", 2.5)]
    assert rows(feed_of((path, [0.5, 1.5, 2.5])).examples()) == expected
    assert rows(feed_of(path, labels=[0.5, 1.5, 2.5], validation_data=(path, [0.5, 1.5, 2.5])).validation) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path))
        assert rows(feed_of("~/x.txt").examples()) == [b"a", b"b", b"c"]
    refused((path, [1, 2]), "tfinput: text labels: expected 3, one per file, got 2. Pass one label per path.")
    refused((path, [1, 2, 3, 4]), "tfinput: text labels: expected 3, one per file, got 4. Pass one label per path.")
    message = "tfinput: validation_data: expected (path, labels), since labels are those of the training lines, got a path. "
    refused(path, f"{message}Pass (path, labels).", labels=[1, 2, 3], validation_data=path)


def test_laws_hold_for_lines(tmp_path: Path) -> None:
    path = lines_of(tmp_path / "x.tsv", b"".join(b"%d\t%d\n" % (number % 3, number) for number in range(50)))
    feed = feed_of(path, delimiter="\t", batch_size=8, validation_split=0.2, test_split=5, stratify=True)
    held = rows(feed.validation) + rows(feed.test)
    assert (feed.validation_size, feed.test_size) == (10, 5)
    for epoch in range(3):
        seen = [(int(text), label) for text, label in rows(feed.at(epoch).train, feed.steps_per_epoch) + held]
        assert sorted(seen) == [(number, number % 3) for number in range(50)]
    whole = rows(feed.train, 12)
    assert rows(feed.at(step=3).train, 9) == whole[3 * 8 :]
    assert sum(feed.class_weight().values()) == pytest.approx(3, abs=0.2)


# Preprocessing to tokens.


def codes(text: Any, label: Any) -> Any:
    return tf.strings.unicode_decode(text, "UTF-8"), label


TOKENS = [b"abc", b"", b"de", b"f", b"ghijk", b"lm", b"nopq"]


@pytest.mark.parametrize(
    ("batch", "ragged", "lazy"),
    [(1, False, True), (2, True, True), (2, False, False), (7, True, False)],
)
def test_tokens_of_several_lengths_are_padded_or_ragged(tmp_path: Path, batch: int, ragged: bool, lazy: bool) -> None:
    if lazy:
        paths = [lines_of(tmp_path / f"{place}.txt", each) for place, each in enumerate(TOKENS)]
        subject: Any = (paths, np.arange(7))
    else:
        subject = (lines_of(tmp_path / "x.txt", b"\n".join(TOKENS)), np.arange(7))
    feed = feed_of(subject, preprocess=codes, ragged=ragged, batch_size=batch, validation_split=2)
    spec = feed.element_spec[0]
    assert isinstance(spec, tf.RaggedTensorSpec if ragged else tf.TensorSpec)
    for dataset, steps in ((feed.train, 3 * feed.steps_per_epoch), (feed.validation, None), (feed.examples(), None)):
        seen = []
        for tokens, labels in itertools.islice(dataset, steps):
            lengths = [len(TOKENS[label]) for label in labels.numpy()]
            dense = tokens.to_tensor() if ragged else tokens
            assert dense.shape == (len(lengths), max(lengths))
            for row, label in zip(dense.numpy(), labels.numpy().tolist(), strict=True):
                assert row.tolist() == [*TOKENS[label], *[0] * (max(lengths) - len(TOKENS[label]))]
                seen.append(label)
        assert set(seen) <= set(range(7))
        if steps:
            each = sorted(feed.indices["train"].tolist())
            assert [sorted(seen[start : start + 5]) for start in range(0, 15, 5)] == [each] * 3


def masked(tokens: Any, label: Any, seed: Any) -> Any:
    """Keep a random number of tokens, each with noise of its own."""
    keep = tf.random.stateless_uniform([], seed, 0, tf.size(tokens) + 1, tf.int32)
    return tf.cast(tokens[:keep], tf.float64) + tf.random.stateless_normal([keep], seed, dtype=tf.float64), label


@pytest.mark.parametrize(("ragged", "drop"), [(False, False), (True, True)])
def test_augmented_tokens_go_on_bit_for_bit_and_belong_to_the_example(tmp_path: Path, ragged: bool, drop: bool) -> None:
    path = lines_of(tmp_path / "x.txt", b"\n".join(TOKENS))
    options: dict[str, Any] = {"preprocess": codes, "augment": masked, "ragged": ragged}
    feed = feed_of((path, np.arange(7)), batch_size=3, drop_remainder=drop, **options)
    steps = feed.steps_per_epoch

    def taken(feed: tfinput.Feed, count: int) -> list[Any]:
        return [(x.to_tensor() if ragged else x).numpy().tolist() + y.numpy().tolist() for x, y in itertools.islice(feed.train, count)]

    whole = taken(feed, 3 * steps)
    for start in (steps - 1, steps + 1):
        assert taken(feed.at(step=start), 3 * steps - start) == whole[start:]

    def by_example(batch: int) -> list[dict[int, list[float]]]:
        feed = feed_of((path, np.arange(7)), batch_size=batch, **options)
        found = []
        for x, y in itertools.islice(feed.train, 2 * feed.steps_per_epoch):
            for row, label in zip(x if ragged else x.numpy(), y.numpy().tolist(), strict=True):
                values = np.asarray(row)
                found.append((label, values[values != 0].tolist()))
        return [dict(found[:7]), dict(found[7:])]

    first = by_example(1)
    assert by_example(4) == first
    assert first[0] != first[1]


def test_python_tokenizers_are_padded_too(tmp_path: Path) -> None:
    path = lines_of(tmp_path / "x.txt", b"a bb\n\nc c c\n")

    def tokenize(text: Any) -> Any:
        return tf.numpy_function(lambda each: np.array([len(word) for word in bytes(each).split()], np.int64), [text], tf.int64)

    for ragged in (False, True):
        feed = feed_of(path, preprocess=tokenize, ragged=ragged)
        assert feed.element_spec.shape.as_list() == [3, None]
        batch = next(iter(feed.examples()))
        assert (batch.to_tensor() if ragged else batch).numpy().tolist() == [[1, 2, 0], [0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize("ragged", [False, True])
def test_an_error_in_a_hook_names_the_line(tmp_path: Path, ragged: bool) -> None:
    path = lines_of(tmp_path / "x.txt", b"1 2\n3\n4 x\n")

    def parse(text: Any) -> Any:
        return tf.strings.to_number(tf.strings.split(text), tf.int64)

    feed = feed_of(path, preprocess=parse, ragged=ragged, batch_size=2)
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"tfinput: preprocess failed in {path}, line 3: InvalidArgumentError"):
        list(feed.examples())

    def raising(batch: Any) -> Any:
        with tf.control_dependencies([tf.debugging.assert_less(tf.reduce_max(batch), tf.constant(4, tf.int64))]):
            return batch + 0

    lines_of(path, b"1 2\n3\n4 5\n")
    feed = feed_of(path, preprocess=parse, batch_preprocess=raising, ragged=ragged, batch_size=2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="tfinput: batch_preprocess failed in text, step 1 of epoch 0"):
        list(feed.examples())


def test_results_of_several_ranks_are_refused(tmp_path: Path) -> None:
    path = lines_of(tmp_path / "x.txt", b"1\n3\n4\n")

    def odd(text: Any) -> Any:
        return tf.numpy_function(lambda each: np.zeros((1,) * int(each), np.int64), [text], tf.int64)

    message = rf"preprocess: expected the shape \(None,\) of {path}, line 1, got \(None, None, None\) in {path}, line 2"
    feed = feed_of(path, preprocess=odd)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        list(feed.examples())


# Caching and training.


def test_texts_and_padded_tokens_in_a_cache(tmp_path: Path) -> None:
    paths = [lines_of(tmp_path / f"{place}.txt", each) for place, each in enumerate(TOKENS)]
    subject = (paths, np.arange(7))
    plain = feed_of(subject, batch_size=3)
    caches = [feed_of(subject, batch_size=3, cache=cache) for cache in ("memory", tmp_path / "cache")]
    os.remove(paths[0])
    for cached in caches:
        assert rows(cached.examples()) == list(zip(TOKENS, range(7), strict=True))
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected a text file, got no file"):
        list(plain.examples())
    paths[0].write_bytes(TOKENS[0])
    assert rows(caches[1].train, 6) == rows(plain.train, 6)

    def fixed(text: Any, label: Any) -> Any:
        tokens = codes(text, label)[0][:4]
        return tf.ensure_shape(tf.pad(tokens, [[0, 4 - tf.size(tokens)]]), [4]), label

    for cache in ("memory", tmp_path / "cache"):
        feed = feed_of(subject, preprocess=fixed, augment=masked, cache=cache, batch_size=3)
        again = feed_of(subject, preprocess=fixed, augment=masked, batch_size=3)
        for (x, y), (other, label) in zip(itertools.islice(feed.train, 6), again.train, strict=False):
            assert x.numpy().tolist() == other.numpy().tolist()
            assert y.numpy().tolist() == label.numpy().tolist()
    refused(
        subject,
        "tfinput: cache: expected examples of one shape, got shape (None,) from preprocess. "
        "Give it a fixed shape (tf.ensure_shape, padding), or use cache=None.",
        preprocess=codes,
        cache="memory",
    )


def test_a_model_learns_from_text(tmp_path: Path) -> None:
    path = lines_of(tmp_path / "x.tsv", b"".join(b"%d\t%s\n" % (n % 2, [b"bad awful", b"good fine day"][n % 2]) for n in range(40)))
    feed = feed_of(path, delimiter="\t", batch_size=8, validation_split=8)
    vectorize = keras.layers.TextVectorization(max_tokens=20)
    vectorize.adapt(feed.examples().map(lambda text, label: text))
    tokens = feed_of(path, delimiter="\t", batch_size=8, validation_split=8, preprocess=lambda text, label: (vectorize(text), label))
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.layers.Embedding(20, 4, mask_zero=True), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(1, "sigmoid")]
    )
    model.compile(keras.optimizers.Adam(0.1), "binary_crossentropy", metrics=["accuracy"])
    model.fit(**tokens.fit_args(model), epochs=4, verbose=0)
    assert model.evaluate(**tokens.evaluate_args(), verbose=0, return_dict=True)["accuracy"] == 1


# Faults.

BAD_UTF8 = {
    "stray byte": (b"abc\xffdef", "byte 0xff at offset 3 (invalid start byte)"),
    "cut": (b"ab\xe2\x82", "byte 0xe2 at offset 2 (unexpected end of data)"),
    "surrogate": (b"\xed\xa0\x80", "byte 0xed at offset 0 (invalid continuation byte)"),
    "overlong": (b"a\xc0\x80", "byte 0xc0 at offset 1 (invalid start byte)"),
    "Latin-1": ("Käse".encode("latin-1"), "byte 0xe4 at offset 1 (invalid continuation byte)"),
}


def moved(reason: str, by: int) -> str:
    """The same in a file with so many bytes before, and a line's end behind."""
    return re.sub(r"offset (\d+)", lambda found: f"offset {int(found[1]) + by}", reason).replace(
        "unexpected end of data", "invalid continuation byte"
    )


def test_files_that_are_no_text_are_named_and_left_out(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "all", {"a": ["fine"], "b": ["also"]})
    bad = {folder / "a" / f"{name}.txt": content for name, (content, _) in BAD_UTF8.items()}
    reasons = {str(folder / "a" / f"{name}.txt"): reason for name, (_, reason) in BAD_UTF8.items()}
    for path, content in bad.items():
        lines_of(path, content)
    fix = "Pass the encoding that it has, encoding=None to take bytes as they are, or on_bad='skip'."
    for path in bad:
        message = re.escape(f"tfinput: {path}: expected text in utf-8, got {reasons[str(path)]}. {fix}")
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            list(feed_of([path]).train.take(1))
    every = dict(rows(feed_of(folder, encoding=None).examples()))
    assert every == {b"fine": 0, b"also": 1} | dict.fromkeys(bad.values(), 0)
    skipping = feed_of(folder, on_bad="skip")
    assert rows(skipping.examples()) == [(b"fine", 0), (b"also", 1)]
    assert skipping.skipped == reasons


@pytest.mark.parametrize("name", BAD_UTF8)
def test_lines_that_are_no_text_are_named(tmp_path: Path, name: str) -> None:
    content, reason = BAD_UTF8[name]
    path = lines_of(tmp_path / "lines.txt", b"ok\n" + content + b"\r\nmore")
    fix = "Correct it, pass the encoding= that the file has, encoding=None to take bytes as they are, or on_bad='skip'."
    refused(path, f"tfinput: {path}, line 2: expected text in utf-8, got {moved(reason, 3)}. {fix}")
    assert text.lines(os.fsencode(path), None) == ([b"ok", content, b"more"], {})


def test_lines_that_are_no_text_are_left_out(tmp_path: Path) -> None:
    contents = [b"ok"] + [content for content, _ in BAD_UTF8.values()] + [b"more"]
    path = lines_of(tmp_path / "lines.txt", b"\n".join(contents))
    assert rows(feed_of(path, encoding=None).examples()) == contents
    skipping = feed_of(path, on_bad="skip")
    assert rows(skipping.examples()) == [b"ok", b"more"]
    starts = itertools.accumulate((len(each) + 1 for each in contents), initial=0)
    found = {f"{path}, line {line}": start for line, start in enumerate(starts, 1) if 1 < line < len(contents)}
    assert skipping.skipped == {
        where: re.sub(r"offset (\d+)", lambda place, start=start: f"offset {int(place[1]) + start}", reason)
        for (where, start), (_, reason) in zip(found.items(), BAD_UTF8.values(), strict=True)
    }


def test_other_encodings_become_utf8(tmp_path: Path) -> None:
    for encoding in ("latin-1", "cp1252", "utf-16", "utf-16-le", "utf-8-sig", "shift_jis"):
        words = "日本\r\nx" if encoding == "shift_jis" else "Käse\r\nx"
        folder_of(tmp_path / encoding, {"a": [""]})
        (tmp_path / encoding / "a" / "00.txt").write_bytes(words.encode(encoding))
        path = tmp_path / encoding / "a" / "00.txt"
        assert text.lines(os.fsencode(path), str(codecs.lookup(encoding).name))[0] == [each.encode() for each in words.splitlines()]
        if encoding in ("latin-1", "utf-16", "shift_jis"):
            assert rows(feed_of(tmp_path / encoding, encoding=encoding).examples()) == [(words.encode(), 0)]
    assert rows(feed_of(path, encoding=encoding).examples()) == ["日本".encode(), b"x"]
    bad = lines_of(tmp_path / "bad.txt", b"a\x81")
    fix = "Pass the encoding that it has, encoding=None to take bytes as they are, or on_bad='skip'."
    message = f"tfinput: {bad}: expected text in cp1252, got byte 0x81 at offset 1 (character maps to <undefined>). {fix}"
    refused(bad, message, encoding="cp1252")
    with pytest.raises(tf.errors.OpError, match=re.escape(message)):
        list(feed_of([bad], encoding="cp1252").examples())


@pytest.mark.parametrize("content", [b"a\tb\nnothing\n", b"a\tb\n\nc\td\n", b"\ttext\nc\td\n"])
def test_lines_that_do_not_fit_are_named(tmp_path: Path, content: bytes) -> None:
    path = lines_of(tmp_path / "x.tsv", content)
    number, reason = {
        b"a\tb\nno": (2, r"no '\t' in it"),
        b"a\tb\n\nc": (2, "an empty line"),
        b"\ttext\n": (1, r"no label before '\t'"),
    }[content[:6]]
    message = f"tfinput: {path}, line {number}: expected a label, '\\t' and a text, got {reason}. Correct it, or pass on_bad='skip'."
    refused(path, message, delimiter="\t")
    feed = feed_of(path, delimiter="\t", on_bad="skip", preprocess=codes)
    assert list(feed.skipped.items()) == [(f"{path}, line {number}", reason)]
    assert feed.train_size == content.count(b"\n") - 1
    assert set(feed.class_names or ()) <= {"a", "c"}


def test_labels_of_skipped_lines_are_left_out(tmp_path: Path) -> None:
    path = lines_of(tmp_path / "x.txt", b"a\n\xff\nc\n")
    assert rows(feed_of((path, [5, 6, 7]), on_bad="skip").examples()) == [(b"a", 5), (b"c", 7)]


def test_missing_and_empty_material(tmp_path: Path) -> None:
    empty = lines_of(tmp_path / "empty.txt", b"")
    refused(empty, f"tfinput: text {empty}: expected at least one line, got an empty file. Check the path.")
    worse = lines_of(tmp_path / "bad.txt", b"\xff\n\xfe\n")
    message = (
        "tfinput: text: expected at least one of the lines to be sound, got none; the first: byte 0xff at offset 0 (invalid start byte)"
    )
    refused(worse, f"{message}. Check the files.", on_bad="skip")
    refused(tmp_path / "no", f"tfinput: text {tmp_path / 'no'}: expected a folder, got nothing there. Check the path.", FileNotFoundError)
    assert rows(feed_of([empty]).examples()) == [b""]
    folder = folder_of(tmp_path / "all", {"a": ["x", "y"], "b": []})
    feed = feed_of(folder)
    os.remove(folder / "a" / "00.txt")
    gone = f"tfinput: {folder / 'a' / '00.txt'}: expected a text file, got no file. Restore the file."
    with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(gone)):
        list(feed.examples())
    every = folder_of(tmp_path / "worst", {"a": ["x"]})
    (every / "a" / "00.txt").write_bytes(b"\xff")
    message = "tfinput: text: expected at least one of the text files to be sound, got none; the first: "
    refused(every, f"{message}byte 0xff at offset 0 (invalid start byte). Check the files.", on_bad="skip")


@pytest.mark.parametrize(
    ("options", "message", "kind"),
    [
        (
            {"encoding": "latin-99"},
            "encoding: expected the name of an encoding, or None, got 'latin-99'. Pass for example 'latin-1'.",
            ValueError,
        ),
        ({"encoding": "hex"}, "encoding: expected the name of an encoding, or None, got 'hex'. Pass for example 'latin-1'.", ValueError),
        ({"encoding": 8}, "encoding: expected the name of an encoding, or None, got 8. Pass for example 'latin-1'.", TypeError),
        ({"delimiter": ""}, r"delimiter: expected a text within lines, or None, got ''. Pass '\t'.", ValueError),
        ({"delimiter": "\n"}, r"delimiter: expected a text within lines, or None, got '\n'. Pass '\t'.", ValueError),
        ({"max_length": 0}, "max_length: expected a positive whole number, got 0. Pass an int of at least 1.", ValueError),
        ({"on_bad": "drop"}, "on_bad: expected one of 'raise', 'skip', got 'drop'. Pass 'raise'.", ValueError),
        ({"labels": "infer"}, "labels: expected one of 'inferred', None, got 'infer'. Did you mean 'inferred'?", ValueError),
        ({"label_mode": "multi"}, "label_mode: expected one of 'int', 'categorical', 'binary', None, got 'multi'. Pass 'int'.", ValueError),
        (
            {"max_len": 3},
            "from_text(max_len=…): expected one of its options, got 'max_len'. Did you mean 'max_length'? See help(tfinput.from_text).",
            TypeError,
        ),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: Any, message: str, kind: type[Exception]) -> None:
    refused(lines_of(tmp_path / "x.txt", b"a\n"), f"tfinput: {message}", kind, **options)


def test_a_delimiter_belongs_to_lines(tmp_path: Path) -> None:
    folder_of(tmp_path / "all")
    message = "tfinput: text with a delimiter: expected the path to a file of lines, got a folder. Pass a path, or delimiter=None."
    refused(tmp_path / "all", message, delimiter="\t")
