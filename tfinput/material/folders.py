"""Folders of files, one subfolder a class: listed quickly, in a fixed order, without leaving the folder.

Names are bytes all the way, because a file's name need not be UTF-8, and are never patterns: `a[1].png` is that file. The
order is Keras': classes sorted by name, then folders, then files.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from tfinput.errors import FileError, MissingFileError, nearest, refusal, short

# Whether a file is of the kind that is wanted: by its name, and by its first bytes where the name does not tell.
Wanted = Callable[[bytes, Callable[[], bytes]], bool]
HEAD = 32
# So many links to nothing are named.
LINKS = 3


@dataclass(frozen=True)
class Listing:
    """The files that were found, of how many names was left out what, and the links that lead to nothing."""

    paths: list[bytes]
    labels: np.ndarray[Any, Any] | None = None
    class_names: tuple[str, ...] | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    broken: tuple[bytes, ...] = ()

    def said(self, root: bytes) -> str:
        """What was left out of a folder, links to nothing by their names; nothing if all was taken."""
        counted = ", ".join(f"{count} {what}" for what, count in self.left_out.most_common())
        named = f"\nBroken links in {shown(root)}: {links(root, self.broken)}." if self.broken else ""
        return f"Left out in {shown(root)}: {counted}.{named}" if counted else ""


def shown(path: bytes) -> str:
    r"""A path as text for messages: bytes that are no UTF-8, and what would break the line, are escaped.

    >>> shown(b"a/bad" + bytes([255, 10]))
    'a/bad\\xff\\n'
    """
    text = path.decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def remedy(path: bytes, check: str = "Check the path.") -> str:
    """What to do about a path where nothing is."""
    if os.path.islink(path):
        return "Restore what it leads to, or remove the link."
    return "Only local files are read: download it, for example with keras.utils.get_file." if b"://" in path else check


def absent(path: bytes, otherwise: str) -> str:
    """What is found at a path where no file is: a link to nothing, or what else it is called."""
    return f"a link to {shown(os.readlink(path))}, where nothing is" if os.path.islink(path) else otherwise


def links(root: bytes, broken: Sequence[bytes]) -> str:
    """The links in a folder that lead to nothing, for messages.

    >>> links(b"a", [b"a/b/%d.png" % place for place in range(5)])
    'b/0.png, b/1.png, b/2.png and 2 more'
    """
    named = ", ".join(shown(os.path.relpath(path, root)) for path in broken[:LINKS])
    return named + (f" and {len(broken) - LINKS} more" if len(broken) > LINKS else "")


def head_of(path: bytes) -> bytes:
    """The first bytes of a file."""
    with open(path, "rb") as file:
        return file.read(HEAD)


def suffix(name: bytes) -> str:
    """A file name's extension in lower case, with its dot.

    >>> suffix(b"photo.JPG"), suffix(b"README")
    ('.jpg', '')
    """
    return shown(os.path.splitext(name)[1].lower())


class Walk:
    """All wanted files below a folder, hidden ones left out at every depth; links are followed only where that was asked for."""

    def __init__(self, root: bytes, wanted: Wanted, follow_links: bool) -> None:
        self.root, self.wanted, self.follow_links = os.path.realpath(root), wanted, follow_links
        self.left_out: Counter[str] = Counter()
        self.broken: list[bytes] = []
        self._bar: Any = tqdm(unit=" files", desc="tfinput: listing", delay=2, leave=False)

    def files(self, folder: bytes, above: tuple[bytes, ...] = ()) -> list[bytes]:
        """Paths in the order of their folders, then of their names."""
        found: list[bytes] = []
        for parent, names in sorted(self._folders(folder, above)):
            found += [os.path.join(parent, name) for name in sorted(names)]
        return found

    def subfolders(self, folder: bytes) -> list[bytes]:
        """The names of the folders in a folder, sorted."""
        return sorted(entry.name for entry in self._visible(folder) if self._is_folder(entry))

    def count_loose(self, folder: bytes) -> None:
        """Count what lies beside the class folders."""
        for entry in self._visible(folder):
            if not _is(entry.is_dir) and self._is_wanted(entry):
                self.left_out["files outside of class folders"] += 1

    def close(self) -> None:
        """End the progress bar."""
        self._bar.close()

    def _folders(self, folder: bytes, above: tuple[bytes, ...]) -> Iterator[tuple[bytes, list[bytes]]]:
        real = os.path.realpath(folder)
        if real in above:
            fix = "Remove the link."
            raise refusal(shown(folder), "a folder that does not contain itself", "a link to a folder above it", fix, FileError)
        names: list[bytes] = []
        for entry in self._visible(folder):
            if self._is_folder(entry):
                yield from self._folders(entry.path, (*above, real))
            elif self._is_wanted(entry):
                names.append(entry.name)
        self._bar.update(len(names))
        yield folder, names

    def _visible(self, folder: bytes) -> list[os.DirEntry[bytes]]:
        try:
            with os.scandir(folder) as entries:
                return [entry for entry in entries if not entry.name.startswith(b".")]
        except OSError as error:
            kind = MissingFileError if isinstance(error, FileNotFoundError) else FileError
            fix = "Check the path and its permissions."
            raise refusal(shown(folder), "a folder that can be listed", error.strerror or str(error), fix, kind) from error

    def _is_folder(self, entry: os.DirEntry[bytes]) -> bool:
        if not _is(entry.is_dir):
            return False
        if entry.is_symlink() and not self.follow_links:
            fix = "Pass follow_links=True to read what it leads to, or remove it."
            raise refusal(shown(entry.path), "a folder", f"a link to {shown(os.path.realpath(entry.path))}", fix, FileError)
        return True

    def _is_wanted(self, entry: os.DirEntry[bytes]) -> bool:
        if entry.is_symlink():
            target = os.path.realpath(entry.path)
            inside = target.startswith(os.path.join(self.root, b""))
            if not inside and not self.follow_links:
                fix = "Pass follow_links=True to read it, or remove the link."
                raise refusal(
                    shown(entry.path), f"a file in {shown(self.root)}", f"a link that leads out of it, to {shown(target)}", fix, FileError
                )
        if not _is(entry.is_file):
            self.left_out["broken links" if entry.is_symlink() else "no regular files"] += 1
            self.broken += [entry.path] if entry.is_symlink() else []
            return False
        if self.wanted(entry.name, lambda: _head(entry.path)):
            return True
        self.left_out[f"{suffix(entry.name) or 'other'} files"] += 1
        return False


def _is(asked: Callable[[], bool]) -> bool:
    """What `is_dir` or `is_file` says; False for a link that leads to itself."""
    try:
        return asked()
    except OSError:
        return False


def _head(path: bytes) -> bytes:
    try:
        return head_of(path)
    except OSError:
        return b""


def folder_of(what: str, given: Any) -> bytes:
    """A path to a folder, as bytes."""
    path = os.fsencode(os.path.expanduser(given))
    if os.path.isdir(path):
        return path
    got, kind, fix = "a file", FileError, remedy(path)
    try:
        os.stat(path)
    except FileNotFoundError:
        got, kind = absent(path, "nothing there"), MissingFileError
        fix = "Pass the paths that match as a list: glob.glob(pattern)." if glob.has_magic(path) else fix
    except OSError as error:
        got = error.strerror or str(error)
    raise refusal(f"{what} {shown(path)}", "a folder", got, fix, kind)


def class_folders(root: bytes, follow_links: bool) -> list[str]:
    """The names of the folders in a folder, sorted."""
    walk = Walk(root, lambda *_: False, follow_links)
    try:
        return [os.fsdecode(name) for name in walk.subfolders(root)]
    finally:
        walk.close()


def listed(root: bytes, wanted: Wanted, classes: bool, class_names: Any, follow_links: bool, kind: str) -> Listing:
    """The files below a folder; with `classes`, each of its subfolders is a class.

    `kind` is what the files are called in messages ("images").
    """
    walk = Walk(root, wanted, follow_links)
    try:
        found = _classes(walk, root, class_names, kind) if classes else Listing(walk.files(root), left_out=walk.left_out)
        found = replace(found, broken=tuple(walk.broken))
    finally:
        walk.close()
    if not found.paths:
        there = ", ".join(f"{count} {what}" for what, count in walk.left_out.most_common(4)) or "none"
        named = f"; broken links: {links(root, walk.broken)}" if walk.broken else ""
        raise refusal(shown(root), f"at least one of the {kind}", f"none ({there} there{named})", "Check the path.", FileError)
    return found


def _classes(walk: Walk, root: bytes, class_names: Any, kind: str) -> Listing:
    folders = walk.subfolders(root)
    there = [os.fsdecode(name) for name in folders]
    if not folders:
        fix = f"Put the {kind} of each class into a folder of its own, or pass labels=None."
        raise refusal(shown(root), "a folder for each class", "no folders in it", fix, FileError)
    if class_names is not None:
        names = [str(name) for name in class_names]
        unknown = [name for name in names if name not in there]
        if unknown:
            got = f"{unknown[0]!r}, which is no folder"
            fix = f"{nearest(unknown[0], there)} There are {short(there, 200)}.".strip()
            raise refusal("class_names", f"names of folders in {shown(root)}", got, fix)
        if unused := set(there) - set(names):
            walk.left_out["folders not in class_names"] += len(unused)
        there, folders = names, [os.fsencode(name) for name in names]
    walk.count_loose(root)
    per_class = [walk.files(os.path.join(root, name)) for name in folders]
    for name, files in zip(folders, per_class, strict=True):
        if not files:
            walk.left_out[f"empty class {shown(name)}"] += 1
    labels = np.repeat(np.arange(len(folders), dtype=np.int32), [len(files) for files in per_class])
    return Listing([path for files in per_class for path in files], labels, tuple(there), walk.left_out)
