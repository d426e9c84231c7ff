"""Text as a source: files that are one example each, read in the graph, and files of lines, kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from tfinput.errors import FileError, MissingFileError, refusal
from tfinput.material.columns import Column, digest_files, fingerprint
from tfinput.material.folders import shown
from tfinput.material.rows import TensorRows, strings
from tfinput.material.targets import Targets
from tfinput.runtime.python_op import weakly
from tfinput.sources.base import Loader, Source

BOM = b"\xef\xbb\xbf"
UTF8 = "utf-8"
ANOTHER_ENCODING = "Pass the encoding that it has, encoding=None to take bytes as they are, or on_bad='skip'."


@dataclass(frozen=True)
class Texts:
    """Text files, how their bytes are read (`encoding` is Python's name, None for bytes as they are) and how many are kept."""

    paths: list[bytes]
    encoding: str | None
    max_length: int | None
    tensor: Any = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensor", strings(self.paths))

    def digest(self, into: Any) -> None:
        """Feed what makes these texts what they are to a hash object."""
        into.update(repr((self.encoding, self.max_length)).encode())
        digest_files(self.paths, into)


def of_files(texts: Texts, targets: Targets | None, **about: Any) -> Source:
    """The source over text files, with targets of the same number; `about` are fields of the Source."""
    parts: list[Any] = [texts] if targets is None else [texts, targets]

    def recoded(contents: bytes) -> bytes:
        return contents.decode(str(texts.encoding)).encode()

    def read(indices: Any) -> Any:
        return tuple(tf.gather(part.tensor, indices) for part in parts)

    def load(row: Any, seed: Any) -> Any:
        del seed
        text = _text(tf.io.read_file(row[0]), texts, recoded)
        return text if targets is None else (text, targets.encoded(row[1]))

    def explain(row: Any, error: Exception) -> Exception:
        return explained(row[0].numpy(), texts.encoding, error)

    spec = tf.TensorSpec((), tf.string)
    return Source(
        size=len(texts.paths),
        spec=spec if targets is None else (spec, targets.spec),
        read=read,
        loader=Loader(load=load, explain=explain),
        locate=lambda index: shown(texts.paths[index]),
        fingerprint=lambda: fingerprint(*parts),
        in_memory=False,
        **about,
    )


def of_lines(lines: list[bytes], targets: Targets | None, **about: Any) -> Source:
    """The source over lines of text in memory."""
    leaf = Column("text", len(lines), tf.TensorSpec((), tf.string), TensorRows(strings(lines)))
    parts: list[Any] = [leaf] if targets is None else [leaf, targets]

    def read(indices: Any) -> Any:
        text = tf.gather(leaf.rows.tensor, indices)
        return text if targets is None else (text, targets.encoded(tf.gather(targets.tensor, indices)))

    return Source(
        size=len(lines),
        spec=leaf.spec if targets is None else (leaf.spec, targets.spec),
        read=read,
        fingerprint=lambda: fingerprint(*parts),
        **about,
    )


def _text(contents: Any, texts: Texts, recoded: Callable[[bytes], bytes]) -> Any:
    """The text of a file's contents, in UTF-8 unless it is to be left alone."""
    if texts.encoding == UTF8:  # Gives what it takes, and fails on what Python takes for no UTF-8, too.
        contents = tf.strings.unicode_transcode(contents, "UTF-8", "UTF-8", errors="strict")
    elif texts.encoding is not None:
        contents = tf.ensure_shape(tf.numpy_function(weakly(recoded), [contents], tf.string, stateful=False), ())
    return contents if texts.max_length is None else tf.strings.substr(contents, 0, texts.max_length)


def explained(path: bytes, encoding: str | None, error: Exception) -> Exception:
    """Why a text file could not be read."""
    try:
        with open(path, "rb") as file:
            contents = file.read()
        if encoding is not None:
            contents.decode(encoding).encode()
    except OSError as problem:
        missing = isinstance(problem, FileNotFoundError)
        got = "no file" if missing else str(problem.strerror)
        return refusal(shown(path), "a text file", got, "Restore the file.", MissingFileError if missing else FileError)
    except UnicodeError as problem:
        return undecodable(shown(path), encoding, problem)
    return refusal(shown(path), "a text file", f"{type(error).__name__}: {str(error).splitlines()[0]}", "Check the file.", FileError)


def undecodable(where: str, encoding: str | None, problem: UnicodeError, before: int = 0) -> Exception:
    """The error for bytes that are no text, `before` bytes into a file."""
    return refusal(where, f"text in {encoding}", what_is_wrong(problem, before), ANOTHER_ENCODING, FileError)


def what_is_wrong(problem: UnicodeError, before: int = 0) -> str:
    """A decoding error in short: which byte, and where."""
    if isinstance(problem, UnicodeDecodeError):
        return f"byte {problem.object[problem.start]:#04x} at offset {before + problem.start} ({problem.reason})"
    return str(problem)


def lines(path: bytes, encoding: str | None) -> tuple[list[bytes], dict[int, str]]:
    """The lines of a file, in UTF-8 unless they are to be left alone, and what is wrong with the broken ones of them.

    Lines end with a line feed, which the last one may lack; a carriage return before it belongs to it. A byte order mark is no
    part of the first line.
    """
    try:
        with open(path, "rb") as file:
            contents = file.read()
    except OSError as error:
        raise refusal(shown(path), "a text file", str(error.strerror), "Check its permissions.", FileError) from error
    if encoding not in (None, UTF8):
        try:
            contents = contents.decode(str(encoding)).encode()
        except UnicodeError as error:
            raise undecodable(shown(path), encoding, error) from error
    start = len(BOM) if encoding is not None and contents.startswith(BOM) else 0
    rows = contents[start:].split(b"\n")
    broken = _broken(rows, start) if encoding == UTF8 and not _is_utf8(contents) else {}
    if not rows[-1]:
        rows.pop()
    return [row.removesuffix(b"\r") for row in rows], broken


def _is_utf8(contents: bytes) -> bool:
    try:
        contents.decode()
    except UnicodeDecodeError:
        return False
    return True


def _broken(rows: list[bytes], place: int) -> dict[int, str]:
    found = {}
    for number, row in enumerate(rows):
        try:
            row.decode()
        except UnicodeDecodeError as error:
            found[number] = what_is_wrong(error, place)
        place += len(row) + 1
    return found


def fields(rows: list[bytes], delimiter: bytes, label_first: bool) -> tuple[list[bytes], list[bytes], dict[int, str]]:
    """Labels and texts of lines, cut at the first delimiter (or the last, where labels come last), and what is wrong with lines."""
    labels, texts, broken = [], [], {}
    for number, row in enumerate(rows):
        first, found, last = row.partition(delimiter) if label_first else row.rpartition(delimiter)
        label, text = (first, last) if label_first else (last, first)
        if not found:
            broken[number] = "an empty line" if not row else f"no {delimiter.decode()!r} in it"
        elif not label:
            broken[number] = f"no label {'before' if label_first else 'behind'} {delimiter.decode()!r}"
        labels.append(label)
        texts.append(text)
    return labels, texts, broken
