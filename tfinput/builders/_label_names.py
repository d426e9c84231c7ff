"""Labels by name: which file each name of a table means, and lists that nothing ties to the files' order."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tfinput.errors import nearest, refusal, short
from tfinput.material import pairing
from tfinput.material.folders import shown

FEW = 3


def is_table(labels: Any) -> bool:
    """Whether labels come with names: a dict, or a Series or DataFrame of pandas with its index."""
    return isinstance(labels, Mapping) or hasattr(labels, "iloc")


def aligned(what: str, paths: Sequence[bytes], labels: Any, kind: str, root: bytes | None = None) -> Any:
    """The labels of a table in the order of the files; every file and every name must have its counterpart.

    A name is a file's path (from `root` on too), its name, or that without its suffix; `kind` is what the files are called.
    """
    names, values = _named(what, labels)
    files = {os.path.abspath(os.fsdecode(path)): shown(path if root is None else os.path.relpath(path, root)) for path in paths}
    holder: dict[str, int] = {}
    surplus = []
    for place, (name, found) in enumerate(zip(names, _meant(names, files, root), strict=True)):
        if len(found) > 1:
            many = f"{name!r}, which may be {_few(files[each] for each in sorted(found))}"
            raise refusal(what, "names that mean one file each", many, "Use paths from the folder on as names.")
        for each in found:
            if each in holder:
                two = f"{names[holder[each]]!r} and {name!r}, which are both {files[each]!r}"
                raise refusal(what, "each file once", two, "Drop one of them.")
            holder[each] = place
        surplus += [] if found else [name]
    missing = [each for path, each in files.items() if path not in holder]
    if surplus or missing:
        raise _unlike(what, f"a label for each of the {len(files)} {kind}, by its name", list(files.values()), surplus, missing)
    order = [holder[os.path.abspath(os.fsdecode(path))] for path in paths]
    return values[order] if isinstance(values, np.ndarray) else [values[place] for place in order]


def paired(what: str, subject: Any, paths: Sequence[bytes], labels: Any, kind: str) -> Any:
    """The labels of listed files: by name where a table's names are those of files, else place by place.

    Columns of one table go together by the names of their rows.
    """
    both = hasattr(subject, "iloc") and hasattr(labels, "iloc")
    if not is_table(labels) or (both and subject.index.equals(labels.index)):
        return labels
    keys = list(labels if isinstance(labels, Mapping) else labels.index)
    if all(isinstance(key, (str, bytes, os.PathLike)) for key in keys):
        files = {os.path.abspath(os.fsdecode(path)): "" for path in paths}
        if any(_meant([os.fsdecode(key) for key in keys], files, None)):
            return aligned(what, paths, labels, kind)
    return pairing.along(what, labels, "the paths", subject.index) if both else labels


def by_line(what: str, labels: Any, count: int) -> Any:
    """The labels of a file's lines, which have no other names than their numbers."""
    if isinstance(labels, Mapping):
        raise refusal(what, f"{count}, one per line in their order", "a dict", "Pass a list.", TypeError)
    if hasattr(labels, "iloc") and len(labels) == count and list(labels.index) != list(range(count)):
        got = f"the index {short(list(labels.index[:FEW]))}, …"
        fix = "If it is in the lines' order, pass .to_numpy() of it."
        raise refusal(what, "a Series whose index numbers the lines from 0 on", got, fix)
    return labels


def refuse_doubtful(what: str, paths: Sequence[bytes], root: bytes) -> None:
    """Refuse a list without names where the files' order is not the only one that people list them in.

    Some sort whole paths, and some count: "img2" before "img10". A list in such an order would give most files another's label.
    """
    names = [os.path.relpath(path, root) for path in paths]
    for earlier, later, how in _otherwise(list(map(os.fsdecode, names))):
        first, second = (shown(os.fsencode(each)) for each in (earlier, later))
        got = f"a list, while {first} comes before {second} here, which {how} has the other way round"
        fix = "Pass a dict or a Series by file name, such as dict(zip(names, labels)); or (paths, labels), in an order of your own."
        raise refusal(what, "labels by name", got, fix)


def _otherwise(names: list[str]) -> Iterator[tuple[str, str, str]]:
    """Pairs of names that come the other way round in another order that people use."""
    last: dict[tuple[str, ...], tuple[list[int], str]] = {}
    for name in names:
        parts = re.split("([0-9]+)", name)
        numbers = [int(each) for each in parts[1::2]]
        before, other = last.get(tuple(parts[::2]), (numbers, name))
        if numbers < before:
            yield other, name, "an order by number"
        last[tuple(parts[::2])] = numbers, name
    for one, other in pairwise(names):
        if other < one or other.split(os.sep) < one.split(os.sep):
            yield one, other, "an order of whole paths"


def _named(what: str, labels: Any) -> tuple[list[str], Any]:
    """The names and the values of a table."""
    index = labels if isinstance(labels, Mapping) else labels.index
    keys = list(index)
    wrong = [key for key in keys if not isinstance(key, (str, bytes, os.PathLike))]
    if wrong:
        got = f"the key {short(wrong[0])}" if isinstance(labels, Mapping) else f"a {type(labels).__name__} with {short(index)}"
        fix = "Pass table.set_index('file')['label'] or {file name: label}; only a list or an array goes by the order of feed.paths."
        raise refusal(what, "the names of the files beside their labels", got, fix, TypeError)
    names = [os.fsdecode(key) for key in keys]
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise refusal(what, "each name once", f"{name!r} twice", "Drop one of them.")
        seen.add(name)
    return names, list(labels.values()) if isinstance(labels, Mapping) else labels.to_numpy()


def _meant(names: Sequence[str], files: Mapping[str, Any], root: bytes | None) -> list[set[str]]:
    """The files that each name may mean: those of the first way of naming that knows it."""
    above = None if root is None else os.path.abspath(os.fsdecode(root))

    def path(file: str) -> tuple[str, ...]:
        return (file,) if above is None else (file, os.path.relpath(file, above))

    def without_suffix(file: str) -> tuple[str, ...]:
        return tuple(os.path.splitext(each)[0] for each in path(file))

    def name(file: str) -> tuple[str, ...]:
        return (os.path.basename(file),)

    def stem(file: str) -> tuple[str, ...]:
        return (os.path.splitext(os.path.basename(file))[0],)

    found: list[set[str]] = [set() for _ in names]
    ways: list[Callable[[str], tuple[str, ...]]] = [path, without_suffix, name, stem]
    for way in ways:
        rest = [place for place, each in enumerate(found) if not each]
        if not rest:
            break
        known: dict[str, set[str]] = {}
        for file in files:
            for each in way(file):
                known.setdefault(each, set()).add(file)
        for place in rest:
            for key in {os.path.normpath(names[place]), os.path.abspath(names[place])}:
                found[place] |= known.get(key, set())
    return found


def _unlike(what: str, expected: str, files: list[str], surplus: list[str], missing: list[str]) -> Exception:
    got = [f"no label of {_few(missing)} ({len(missing)} in all)"] if missing else []
    got += [f"labels of {_few(surplus)} ({len(surplus)} in all), which are not there"] if surplus else []
    close = nearest(surplus[0], files[:1000]).strip() if surplus else ""
    fix = close or ("Add what is missing, or pass (paths, labels) of the others." if missing else "Drop what is not there.")
    return refusal(what, expected, " and ".join(got), fix)


def _few(names: Any) -> str:
    """The first of some names."""
    listed = list(names)
    return ", ".join(repr(each) for each in listed[:FEW]) + (", …" if len(listed) > FEW else "")
