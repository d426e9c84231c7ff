"""`from_text`: folders and lists of text files, and files of lines."""

from __future__ import annotations

import codecs
import dataclasses
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from tfinput import feed, options
from tfinput.builders import _broken_files, _build, _label_names
from tfinput.builders import _files as subjects
from tfinput.errors import FileError, MissingFileError, refusal, short
from tfinput.material import folders
from tfinput.material.folders import shown, suffix
from tfinput.sampling.labels import vector_like
from tfinput.sampling.steps import integer
from tfinput.sources import text
from tfinput.sources.base import Source

PATH = (str, bytes, os.PathLike)
_INTEGER = re.compile(rb"0|-?[1-9][0-9]{0,17}")


@options.common_options
def from_text(
    subject: Any,
    *,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    delimiter: str | None = None,
    label_first: bool = True,
    max_length: int | None = None,
    encoding: str | None = "utf-8",
    ragged: bool = False,
    on_bad: str = "raise",
    follow_links: bool = False,
    verbose: bool = True,
    **given: Unpack[options.Options],
) -> feed.Feed:
    r"""Feed a Keras model from text: a folder with one subfolder of files a class, paths with labels, or a file of lines.

    >>> import tempfile, pathlib, tfinput
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.tsv"
    >>> _ = path.write_text("bad\tToo long.\ngood\tA joy\nbad\tNo\n")
    >>> feed = tfinput.from_text(path, delimiter="\t", batch_size=3)
    Found 3 lines belonging to 2 classes.
    >>> [part.numpy().tolist() for part in next(iter(feed.examples()))]
    [[b'Too long.', b'A joy', b'No'], [0, 1, 0]]

    Examples are scalar strings. Those of files are the files' bytes, as `keras.utils.text_dataset_from_directory` gives them (a
    byte order mark included); unlike there, all examples are shuffled anew each epoch, and splits are exact.

    Lines are read into memory once. They end with `\n` or `\r\n`, which the last one may lack. An empty line is an empty example,
    so that examples are numbered as lines are. A byte order mark is no part of the first line.

    `preprocess` and `augment` may return tokens of any number: they are padded with zeros (text with "") to the longest of the
    batch.

    Args:
        subject: a folder with `.txt` files; `(paths, labels)`, `(folder, labels)`, or paths alone, where each file is one example; or
            the path to one file, whose lines are the examples, also as `(path, labels)`. Labels may be class names or numbers of any shape
            (classes, regression targets, several labels).
        labels: for a path: "inferred" from the folder's subfolders, or the lines' labels; None for none; for a file of lines one per
            line; for a folder a dict or a Series (or DataFrame) by file: its name, with or without its suffix, or its path from the
            folder on, one for each file; or a list in the order of `feed.paths`, which is refused where people order such names in
            other ways too (`2.txt` before `10.txt`).
        label_mode: "int" (int32), "categorical" (one-hot float32), "binary" (float32 of shape 1; two classes) or None for no
            labels. Numbers given as labels stay as they are with "int"; so do the labels of lines if all are whole (int64).
        class_names: the class folders to use, or the labels of lines, in this order; else all, sorted.
        delimiter: what parts the label from the text in each line, such as "\t"; None for lines without labels.
        label_first: whether the label is what comes before the first delimiter of a line, or what comes behind the last.
        max_length: cut longer texts to this many bytes.
        encoding: what the files are encoded in. Examples are UTF-8, whatever it is, and bytes that are none are refused. None
            takes all bytes as they are.
        ragged: give what `preprocess` returns of several lengths as `tf.RaggedTensor`, instead of padded.
        on_bad: "raise" names a broken file at the batch where it occurs, or a broken line at once; "skip" reads all files once
            before training and leaves broken ones (or broken lines) out: `feed.skipped` lists them. Indices, groups and classes
            to stratify by still count all files (or lines).
        follow_links: follow links to folders, and to files outside of the folder.
        verbose: print how many files or lines were found.
        {common options}

    Returns:
        A `tfinput.Feed` of strings and labels.

    Raises:
        ValueError: for wrong options, folders without text files, unequal numbers of paths and labels, and broken files and lines
            (`tfinput.errors.FileError`, also an `OSError`).
        TypeError: for unknown options.

    """
    known = _build.begin(dict(given), from_text)
    options.one_of("on_bad", on_bad, ("raise", "skip"))
    look = TextOptions(
        encoding=_encoding(encoding),
        max_length=None if max_length is None else integer("max_length", max_length),
        delimiter=_delimiter(delimiter),
        label_first=bool(label_first),
        on_bad=on_bad,
        uneven="ragged" if ragged else "padded",
    )
    asked = subjects.FileOptions(labels, label_mode, class_names, follow_links, verbose, wanted, "text files", masks=False)
    made = _source(subject, asked, look, "text")
    again = asked.after(made.class_names)
    others = [None if known[name] is None else _source(known[name], again, look, name) for name in ("validation_data", "test_data")]
    return _build.build(made, known, *others, verbose=verbose)


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How files become texts."""

    encoding: str | None
    max_length: int | None
    delimiter: bytes | None
    label_first: bool
    on_bad: str
    uneven: str | None


def wanted(name: bytes, head: Callable[[], bytes]) -> bool:
    """Whether a file is called a text."""
    del head
    return suffix(name) == ".txt"


def _encoding(name: Any) -> str | None:
    if name is None:
        return None
    try:
        "a".encode(name).decode(name)
    except (LookupError, TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise refusal("encoding", "the name of an encoding, or None", short(name), "Pass for example 'latin-1'.", kind) from None
    return str(codecs.lookup(name).name)


def _delimiter(given: Any) -> bytes | None:
    if given is None or (isinstance(given, str) and given and not set(given) & set("\r\n")):
        return None if given is None else given.encode()
    raise refusal("delimiter", "a text within lines, or None", short(given), r"Pass '\t'.")


def _source(subject: Any, asked: subjects.FileOptions, look: TextOptions, name: str) -> Source:
    paired = isinstance(subject, tuple) and len(subject) == 2 and not isinstance(subject[1], PATH)
    path, labels = subject if paired else (subject, asked.given)
    if isinstance(path, PATH) and os.path.isfile(os.path.expanduser(path)):
        if not (paired or asked.given is None or isinstance(asked.given, str) or name == "text"):
            raise refusal(name, "(path, labels), since labels are those of the training lines", "a path", "Pass (path, labels).")
        return _lines(os.fsencode(os.path.expanduser(path)), labels, asked, look, name)
    if paired and isinstance(path, PATH) and not os.path.isdir(os.path.expanduser(path)):
        missing = os.fsencode(os.path.expanduser(path))
        expected, got = "a file of lines, or a folder, as labels are given with it", folders.absent(missing, "nothing there")
        raise refusal(f"{name} {shown(missing)}", expected, got, folders.remedy(missing), MissingFileError)
    if look.delimiter is not None:
        got = "a folder" if isinstance(path, PATH) and os.path.isdir(path) else short(subject)
        raise refusal(f"{name} with a delimiter", "the path to a file of lines", got, "Pass a path, or delimiter=None.")
    return _broken_files.sifted(
        lambda kept: _files(kept, look, name), subjects.labeled_files(subject, asked, name), asked, name, look.on_bad
    )


def _files(found: subjects.LabeledFiles, look: TextOptions, name: str) -> Source:
    texts = text.Texts(found.paths, look.encoding, look.max_length)
    return text.of_files(texts, found.targets, name=name, uneven=look.uneven, **found.about)


def _lines(path: bytes, labels: Any, asked: subjects.FileOptions, look: TextOptions, name: str) -> Source:
    asked = dataclasses.replace(subjects.checked(asked), kind="lines")
    written, rows, broken = _read(path, look)
    if not rows:
        raise refusal(f"{name} {shown(path)}", "at least one line", "an empty file", "Check the path.", FileError)
    if broken and look.on_bad == "raise":
        number, (expected, reason) = next(iter(broken.items()))
        fix = text.ANOTHER_ENCODING if expected == _text_in(look) else "Correct it, or pass on_bad='skip'."
        raise refusal(f"{shown(path)}, line {number + 1}", expected, reason, fix, FileError)
    places = subjects.LabeledFiles([path + f", line {number + 1}".encode() for number in range(len(rows))] if broken else rows)
    left_out = _broken_files.sound(places, {number: reason for number, (_, reason) in broken.items()}, asked, name)[1]
    numbers = np.setdiff1d(np.arange(len(rows)), list(broken))
    lines = [rows[number][: look.max_length] for number in numbers]
    if isinstance(labels, str):
        labels = _written(labels, None if written is None else [written[number] for number in numbers], asked)
    elif labels is not None:
        labels = _of_lines(f"{name} labels", _label_names.by_line(f"{name} labels", labels, len(rows)), len(rows), numbers)
    found = subjects.settled(subjects.pairs(lines, labels, asked, name), asked, name)
    return text.of_lines(
        lines,
        found.targets,
        name=name,
        uneven=look.uneven,
        locate=lambda index: f"{shown(path)}, line {numbers[index] + 1}",
        **(found.about | left_out | {"paths": None}),
    )


def _of_lines(what: str, labels: Any, count: int, numbers: Any) -> Any:
    """The labels of the lines that are left, of one for every line."""
    if len(numbers) == count:
        return labels
    array = vector_like(what, labels)
    if array.ndim == 0 or len(array) != count:
        got = f"{len(array)}" if array.ndim else "one value"
        raise refusal(what, f"{count}, one per line, broken ones too", got, "Pass one label per line.")
    return array[numbers]


def _read(path: bytes, look: TextOptions) -> tuple[list[bytes] | None, list[bytes], dict[int, tuple[str, str]]]:
    """Labels, if there are any, and texts of lines; of the broken ones, what was expected and what came."""
    rows, wrong = text.lines(path, look.encoding)
    broken = {number: (_text_in(look), reason) for number, reason in wrong.items()}
    if look.delimiter is None:
        return None, rows, broken
    written, rows, wrong = text.fields(rows, look.delimiter, look.label_first)
    expected = f"a label, {look.delimiter.decode()!r} and a text"
    return written, rows, dict(sorted(({number: (expected, reason) for number, reason in wrong.items()} | broken).items()))


def _text_in(look: TextOptions) -> str:
    return f"text in {look.encoding}"


def _written(given: str, written: list[bytes] | None, asked: subjects.FileOptions) -> Any:
    """Labels from the lines: numbers if all of them (and of the training data) are whole ones, else names."""
    options.one_of("labels", given, ("inferred", None))
    if written is None:
        return None
    if asked.class_names is None and all(map(_INTEGER.fullmatch, [*map(os.fsencode, asked.trained or ()), *written])):
        return np.array([int(each) for each in written])
    return [os.fsdecode(each) for each in written]
