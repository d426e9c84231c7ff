"""How tfinput refuses: one first line with what, where, expected, got, and the next move."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable

# Of a path, what is shown at least before the file's name; and how long a name may be where files are kept.
PATH_START = 8
LONGEST_NAME = 255


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
    """A repr that fits in an error line; a path is cut in its middle, since the file's name is what one looks for.

    >>> short("a" * 100, limit=10)
    "'aaaaaa..."
    >>> short("/a/folder/with/a/long/name/x.csv", limit=20)
    "'/a/folder.../x.csv'"
    """
    text = " ".join(repr(value).split())
    if len(text) <= limit:
        return text
    if isinstance(value, (list, tuple)) and value and _is_path(value[0]):
        return f"[{short(value[0], limit)}, {len(value)} in all]"
    if isinstance(value, (list, tuple, dict)) and (path := _first_path(value)) is not None:
        return f"a {type(value).__name__} of {short(path, limit)} and more"
    if _is_path(value):
        text = repr(os.fspath(value))  # type: ignore[call-overload]
        place = max(text.rfind("/"), text.rfind("\\") if os.sep == "\\" else -1)
        return text[: max(limit - 3 - len(text) + place, PATH_START)] + "..." + text[place:]
    return text[: limit - 3] + "..."


def _first_path(value: object) -> object:
    """The first path in a nest whose parts begin with one; None where there is none."""
    while isinstance(value, (list, tuple, dict)) and value:
        value = next(iter(value.values() if isinstance(value, dict) else value))
    return value if _is_path(value) else None


def _is_path(value: object) -> bool:
    """Whether a value can only be a path, or is text that reads like one."""
    if isinstance(value, os.PathLike):
        return True
    if not isinstance(value, (str, bytes)):
        return False
    text = os.fsdecode(value)
    folder, name = os.path.split(text)
    rooted = re.match(r"[/~.]|\w+:[/\\]", text) is not None
    return bool(folder) and len(name) <= LONGEST_NAME and text.isprintable() and (rooted or " " not in text)
