"""Splits of time series: by time, not by chance. The last windows of each series test, those before validate, the rest trains.

Between two splits as many windows are left out as would share rows with both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfinput.errors import refusal
from tfinput.sampling.order import Members
from tfinput.sampling.quotas import shares
from tfinput.sampling.splits import SplitMembers, wanted

Vector = np.ndarray[Any, Any]


def split(counts: Vector, apart: int, validation: Any, test: Any, name: Callable[[int], str]) -> SplitMembers:
    """Which windows train, validate and test.

    `counts` are the windows of each series, which are numbered series after series; `apart` is how far the numbers of two windows
    of a series lie apart at least if they are to be in different splits; `name` says what a series is called.
    """
    size = int(counts.sum())
    asked = {"validation_split": wanted("validation_split", validation, size), "test_split": wanted("test_split", test, size)}
    given = {key: want for key, want in asked.items() if want is not None}
    if not given:
        return SplitMembers(Members(size), None, None)
    held = _indices(given) if any(isinstance(want, np.ndarray) for want in given.values()) else _last(counts, apart, given, name)
    rest = _far_from(np.sort(np.concatenate(list(held.values()))), counts, apart)
    if len(rest) == 0:
        out = sum(map(len, held.values()))
        got = f"none: of {size} windows {out} are held out, and the others share rows with those, or lie in the gap"
        raise refusal("train set", "at least one window", got, "Make the splits, the windows or the gap smaller.")
    members = {key: Members(len(indices), indices) for key, indices in held.items()}
    return SplitMembers(Members(len(rest), rest), members.get("validation_split"), members.get("test_split"))


def _indices(given: dict[str, Any]) -> dict[str, Vector]:
    """The windows that the user chose for each split."""
    for key, want in given.items():
        if not isinstance(want, np.ndarray):
            fix = "Pass indices for both splits, or a fraction or count for both."
            raise refusal(key, "indices, as the other split has", f"{want} windows", fix)
    chosen, counts = np.unique(np.concatenate(list(given.values())), return_counts=True)
    both = chosen[counts > 1]
    if len(both):
        raise refusal("test_split", "indices of no other split", f"index {both[0]} twice", "Make the splits disjoint.")
    return given


def _last(counts: Vector, apart: int, given: dict[str, Any], name: Callable[[int], str]) -> dict[str, Vector]:
    """The last windows of each series, in proportion to how many it has: from the end, test, then validation."""
    held: dict[str, Vector] = {}
    stops = np.cumsum(counts)
    left = counts.copy()
    for key in ("test_split", "validation_split"):
        if key not in given:
            continue
        takes = shares(counts, given[key])
        # What was held out before leaves a gap behind it.
        left -= np.where((left < counts) & (takes > 0), apart - 1, 0)
        short = np.flatnonzero(left < takes)
        if len(short):
            fix = "Make the splits, the windows or the gap smaller, or hold out whole series with split_by='series'."
            room = f"room for its {takes[short[0]]} windows of {key} before the gap"
            raise refusal(name(int(short[0])), room, f"{counts[short[0]]} windows in all", fix)
        ends = stops - counts + left
        held[key] = np.concatenate([np.arange(end - take, end) for end, take in zip(ends, takes, strict=True)])
        left -= takes
    return held


def _far_from(held: Vector, counts: Vector, apart: int) -> Vector:
    """The windows that lie at least so far from those held out of their series."""
    series = np.repeat(np.arange(len(counts)), counts)
    # Each series gets a stretch of numbers of its own, far from the others'.
    place = np.arange(len(series)) + series * apart
    taken = place[held]
    after = np.searchsorted(taken, place)
    far = np.ones(len(place), bool)
    inside = after < len(taken)
    far[inside] &= taken[after[inside]] - place[inside] >= apart
    far[after > 0] &= place[after > 0] - taken[after[after > 0] - 1] >= apart
    return np.flatnonzero(far)
