"""Identity: where the examples of each split come from, as a feed shows it: places, files and labels, in one order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfinput.errors import AbsentError, refusal

Arrays = dict[str, np.ndarray[Any, Any]]


def indices(parts: Mapping[str, Any]) -> Arrays:
    """For each split the places of its examples in what the caller gave."""
    return _frozen({name: part.source.positions(part.members.indices) for name, part in parts.items()})


def paths(parts: Mapping[str, Any]) -> Arrays:
    """For each split the files of its examples; refused where they have none of their own."""
    found = {}
    for name, part in parts.items():
        if (every := part.source.paths) is not None:
            found[name] = np.array([os.fsdecode(every[index]) for index in part.members.indices], object)
    if not found:
        fix = "Use feed.indices, which count what you gave."
        raise refusal("paths", "a source with a file for each example", parts["train"].source.name, fix, AbsentError)
    return _frozen(found)


def labels(parts: Mapping[str, Any]) -> Arrays:
    """For each split the labels of its examples as the model gets them; refused where there is no single array of them."""
    given = {name: part.source.labels_at(part.members.indices) for name, part in parts.items()}
    found = {name: np.asarray(each).view() for name, each in given.items() if each is not None}
    if not found:
        fix = "Index what you gave by feed.indices, or read them from feed.examples(split)."
        raise refusal("labels", "one array of labels", f"none in {parts['train'].source.name}", fix, AbsentError)
    return _frozen(found)


def skipped(parts: Mapping[str, Any]) -> dict[str, str]:
    """Broken files that were left out, and why."""
    found = {part.source.name: part.source.skipped for part in parts.values()}
    return {os.fsdecode(path): reason for each in found.values() for path, reason in each}


def _frozen(arrays: Arrays) -> Arrays:
    for array in arrays.values():
        array.flags.writeable = False
    return arrays
