"""What the builders of files have in common: class folders, paths with labels, and what labels become."""

from __future__ import annotations

import dataclasses
import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfinput.errors import FileError, MissingFileError, nearest, refusal, short
from tfinput.labels import classes, vector_like
from tfinput.sources import folders
from tfinput.sources.folders import shown
from tfinput.sources.leaves import leaf
from tfinput.sources.targets import Targets

Array = np.ndarray[Any, Any]
MODES = ("int", "categorical", "binary", None)


@dataclass(frozen=True)
class Asked:
    """What a user asked of the files of a kind and of their labels."""

    given: Any
    mode: str | None
    class_names: Any
    follow_links: bool
    verbose: bool
    wanted: folders.Wanted
    kind: str

    def inferred(self, subject: Any) -> bool:
        """Whether the labels of a subject come from its folders."""
        return _is_path(subject) and isinstance(self.given, str) and self.mode is not None


@dataclass(frozen=True)
class Found:
    """Files with what belongs to each: labels as given, targets for the model, or masks."""

    paths: list[bytes]
    labels: Array | None = None
    class_names: tuple[str, ...] | None = None
    mode: str | None = None
    masks: list[bytes] | None = None

    def kept(self, chosen: Array) -> Found:
        """Only the files at some indices."""
        masks = None if self.masks is None else [self.masks[index] for index in chosen]
        labels = None if self.labels is None else self.labels[chosen]
        return dataclasses.replace(self, paths=[self.paths[index] for index in chosen], labels=labels, masks=masks)

    @property
    def targets(self) -> Targets | None:
        """What the model is to learn of each file, or None without labels."""
        if self.labels is None:
            return None
        return Targets(leaf("labels", self.labels), self.mode, len(self.class_names or ()))


def one_of(name: str, value: Any, names: Sequence[Any]) -> None:
    """Refuse a value that is none of those known."""
    if value not in names:
        close = nearest(value, [each for each in names if each]) if isinstance(value, str) else ""
        known = ", ".join(map(repr, names))
        raise refusal(name, f"one of {known}", short(value), close.strip() or f"Pass {names[0]!r}.")


def _is_path(subject: Any) -> bool:
    return isinstance(subject, (str, bytes, os.PathLike))


def found(subject: Any, asked: Asked, name: str) -> Found:
    """The files of a subject, with their labels."""
    one_of("label_mode", asked.mode, MODES)
    if _is_path(subject):
        made = _folder(subject, asked, name)
    elif isinstance(subject, tuple) and len(subject) == 2 and not _is_path(subject[0]):
        made = _pairs(paths_of(name, subject[0]), subject[1], asked, name)
    else:
        made = Found(paths_of(name, subject))
    if made.mode == "binary" and len(made.class_names or ()) != 2:
        got = f"{len(made.class_names or ())}: {short(made.class_names)}"
        raise refusal("label_mode='binary'", "two classes", got, "Use label_mode='int' or 'categorical'.")
    if asked.verbose:
        belonging = f" belonging to {len(made.class_names)} classes" if made.class_names else ""
        print(f"Found {len(made.paths)} {asked.kind}{belonging}.")
    return made


def _folder(subject: Any, asked: Asked, name: str) -> Found:
    root = folders.folder_of(name, subject)
    inferred = asked.inferred(subject)
    if isinstance(asked.given, str):
        one_of("labels", asked.given, ("inferred", None))
    listing = folders.listed(root, asked.wanted, inferred, asked.class_names, asked.follow_links, asked.kind)
    if asked.verbose and listing.left_out:
        print(f"Left out in {shown(root)}: " + ", ".join(f"{count} {what}" for what, count in listing.left_out.most_common()) + ".")
    if inferred:
        return Found(listing.paths, listing.labels, listing.class_names, asked.mode)
    if asked.given is None or asked.mode is None:
        return Found(listing.paths)
    return _pairs(listing.paths, asked.given, asked, name)


def _pairs(paths: list[bytes], labels: Any, asked: Asked, name: str) -> Found:
    if labels is None or asked.mode is None:
        return Found(paths)
    array = vector_like(f"{name} labels", labels)
    if array.ndim == 0 or len(array) != len(paths):
        got = "one value" if array.ndim == 0 else f"{len(array)}"
        raise refusal(f"{name} labels", f"{len(paths)}, one per file", got, "Pass one label per path.")
    if array.dtype.kind in "USOT" and array.ndim == 1:
        first = array[0]
        if _is_path(first) and os.path.isfile(first):
            return Found(paths, masks=paths_of(f"{name} masks", array))
        return _named(paths, array, asked)
    if asked.mode == "int":
        names = tuple(map(str, np.unique(array).tolist())) if array.ndim == 1 and array.dtype.kind in "iub" else None
        return Found(paths, array, names, None)
    numbers = classes(f"{name} labels", array)
    if numbers.dtype.kind not in "iub" or numbers.min() < 0:
        raise refusal(f"{name} labels", "classes numbered from 0 on", short(numbers[0]), "Use label_mode='int'.")
    names = tuple(map(str, range(int(numbers.max()) + 1)))
    return Found(paths, numbers.astype(np.int32), names, asked.mode)


def _named(paths: list[bytes], array: Array, asked: Asked) -> Found:
    texts = [each.decode("utf-8", "surrogateescape") if isinstance(each, bytes) else str(each) for each in array.tolist()]
    names = sorted(set(texts)) if asked.class_names is None else [str(each) for each in asked.class_names]
    number = {each: place for place, each in enumerate(names)}
    unknown = [each for each in texts if each not in number]
    if unknown:
        raise refusal("labels", f"names of class_names, {short(names)}", short(unknown[0]), nearest(unknown[0], names).strip() or "Add it.")
    return Found(paths, np.array([number[each] for each in texts], np.int32), tuple(names), asked.mode)


def files_of(name: str, given: Any) -> list[bytes]:
    """The files of a path, a list of paths, or a pattern; a path that is there is never taken for a pattern."""
    if not _is_path(given):
        return paths_of(name, given)
    path = os.fsencode(os.path.expanduser(given))
    found = [path] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True))
    if not found:
        raise refusal(
            f"{name} {shown(path)}", "a file, or a pattern that matches some", "no such file", "Check the path.", MissingFileError
        )
    return paths_of(name, found)


def paths_of(name: str, given: Any) -> list[bytes]:
    """Paths of files that are there, as bytes."""
    if _is_path(given):
        raise refusal(name, "a list of paths", "one path", "Pass [path].", TypeError)
    try:
        paths = [os.fsencode(each) for each in given]
    except TypeError as error:
        raise refusal(name, "a folder, paths, or (paths, labels)", short(given), "Pass paths as str or pathlib.Path.", TypeError) from error
    if not paths:
        raise refusal(name, "at least one path", "an empty list", "Check the list.")
    for place, path in enumerate(paths):
        if not os.path.isfile(path):
            got = "a folder" if os.path.isdir(path) else "no file there"
            kind = FileError if os.path.isdir(path) else MissingFileError
            raise refusal(f"{name}, path {place}: {shown(path)}", "a file", got, "Check the path.", kind)
    return paths
