"""How tfinput refuses: one first line with what, where, expected, got, and the next move."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class FileError(OSError, ValueError):
    """A file that is missing, damaged, or has no room: refused like any other input, and still the OSError that people catch."""


class MissingFileError(FileError, FileNotFoundError):
    """A path with no file there."""


class HeaderError(ValueError):
    """A first line that looks like data where the names of columns were expected."""


class AbsentError(AttributeError, ValueError):
    """Something that a feed of this source does not have: refused like any other input, and `hasattr` says so."""


class WorkerDied(RuntimeError):  # noqa: N818  the name is what a user greps for
    """An element cannot be made: the worker processes that try it die."""


def refusal(what: str, expected: str, got: str, fix: str, kind: type[Exception] = ValueError) -> Exception:
    """Build (not raise) the error for bad input, so that the caller's `raise` ends its branch.

    >>> raise refusal("batch_size", "a positive whole number", "0", "Pass batch_size=32.")
    Traceback (most recent call last):
    ...
    ValueError: tfinput: batch_size: expected a positive whole number, got 0. Pass batch_size=32.
    """
    what = printable(what).replace("\n", "\\n")  # A file's name may hold anything.
    error = kind(f"tfinput: {what}: expected {printable(expected)}, got {printable(got)}. {printable(fix)}")
    error.got = got  # type: ignore[attr-defined]  # for lists of what is wrong with each file
    return error


def printable(text: str) -> str:
    r"""The text with the bytes of names that are no UTF-8 escaped, which no terminal and no error of TensorFlow's can take.

    >>> printable("bad\udcff")
    'bad\\xff'
    """
    return re.sub("[\udc80-\udcff]", lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)


def refuse_short(path: str, size: int, needed: int) -> None:
    """Refuse a file of `size` bytes that had, or must have, more."""
    if size < needed:
        fix = "The file shrank after it was written or opened: restore it and build the feed again."
        raise refusal(path, f"at least {needed} bytes", f"{size} bytes", fix, FileError)


def nearest(name: str, names: Iterable[str]) -> str:
    """Say which known name was probably meant, or nothing.

    >>> nearest("bach_size", ["batch_size", "seed"])
    " Did you mean 'batch_size'?"
    """
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def short(value: object, limit: int = 60) -> str:
    """A repr that fits in an error line.

    >>> short("a" * 100, limit=10)
    "'aaaaaa..."
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."
