"""The files of a table: a path, a list of paths, a pattern, or a folder of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

from tfinput.builders import _files
from tfinput.errors import FileError, refusal, short
from tfinput.material.folders import Walk, links, shown, suffix


def difference(names: Sequence[str], first: Sequence[str]) -> tuple[str, str]:
    """How the columns of a file differ from those of the first one, and what to do."""
    missing, more = [each for each in first if each not in names], [each for each in names if each not in first]
    got = [f"no {short(missing)}"] * bool(missing) + [f"{short(more)} besides"] * bool(more)
    return " and ".join(got) or f"another order: {short(list(names))}", "Give all files the same columns."


def paths(name: str, subject: Any, suffixes: Sequence[str], follow_links: bool, verbose: bool) -> list[str]:
    """The files of a subject: a path, a list of paths, a pattern, or a folder where there are suffixes."""
    if isinstance(subject, (str, bytes, os.PathLike)):
        path = os.path.expanduser(os.fsdecode(subject))
        if suffixes and os.path.isdir(path):
            return _folder(path, suffixes, follow_links, verbose)
    found = [os.fsdecode(path) for path in _files.files_of(name, subject)]
    for path in found:
        if not os.access(path, os.R_OK):
            raise refusal(shown(os.fsencode(path)), "a file that may be read", "no permission", "Check its permissions.", FileError)
    return found


def _folder(path: str, suffixes: Sequence[str], follow_links: bool, verbose: bool) -> list[str]:
    """The files below a folder, in the order of their paths; names that begin with a dot or underscore are of whoever wrote them."""
    root = os.fsencode(path)
    walk = Walk(root, lambda name, _: suffix(name) in suffixes, follow_links)
    with contextlib.closing(walk):
        found = walk.files(root)
    inside = {each: os.path.relpath(each, root).split(os.sep.encode()) for each in found}
    for each, names in inside.items():
        parted = next((name for name in names[:-1] if b"=" in name), None)
        if parted is not None:
            fix = "Read it with pyarrow.dataset and write it with that column."
            raise refusal(shown(each), "files that hold all columns", f"a folder {shown(parted)!r}, whose name is one", fix, FileError)
    if walk.left_out["broken links"] and verbose:
        print(f"Left out in {shown(root)}: {walk.left_out['broken links']} broken links.\nBroken links: {links(root, walk.broken)}.")
    kept = sorted(os.fsdecode(each) for each, names in inside.items() if not any(name.startswith(b"_") for name in names))
    if not kept:
        there = f", but broken links: {links(root, walk.broken)}" if walk.broken else ""
        raise refusal(path, f"a folder with files of {', '.join(suffixes)}", f"none{there}", "Check the path.", FileError)
    return kept
