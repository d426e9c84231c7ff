"""Sameness: where a split holds examples back, example n must be the same one in each pass, else what validates has trained too.

Hashes of what came first under each number tell. Values may vary, as augmentation in the user's code makes them, so an example counts
as another one only by evidence: its target is another, or what comes now came under other numbers before. Where numbers are no more
than places in a pass, something must stay the same besides.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfinput.errors import refusal
from tfinput.material.forms import Form
from tfinput.material.nests import Array

# Hashes that are kept, eight bytes each: a quarter of a million examples of sixteen arrays tell as much as all would.
ENTRIES = 1 << 22
# Of larger examples so many words, evenly spread, are looked at.
WORDS = 1 << 12
# Values that vary are looked for among all others so often, and so many of them at a time.
SEARCHES, SOUGHT = 8, 64

_ODD = np.random.default_rng(0).integers(0, 1 << 63, 2 * WORDS + 8, np.uint64) * np.uint64(2) + np.uint64(1)


class Ledger:
    """What came first under each number of a source; idle until something is held back."""

    def __init__(self, form: Form, size: int, place: Callable[[int], str], fix: str, *, places_only: bool, shapes_apart: bool) -> None:
        """Take the form of examples, how many there are, what messages call one, and what helps.

        `places_only` says whether numbers are places in a pass, `shapes_apart` whether shapes that vary come as columns of their own.
        """
        self.held = False
        self._place, self._fix, self._places_only = place, fix, places_only
        self._targets, columns = _targets(form, shapes_apart)
        self._numbers = max(1, min(size, ENTRIES // columns))
        self._shape = (columns, self._numbers)
        self._lock = threading.Lock()
        self._searches = 0

    def hold(self) -> None:
        """From now on examples are held back."""
        with self._lock:
            if not self.held:
                self._first = np.zeros(self._shape, np.uint64)
                self._known = np.zeros(self._numbers, bool)
                self._steady = np.ones(self._shape[0], bool)
                self.held = True

    def look(self, numbers: Array, columns: Sequence[Array]) -> None:
        """Note examples that come for the first time; refuse those that are others now."""
        if not self.held:
            return
        inside = numbers < self._numbers
        numbers = numbers[inside]
        if not len(numbers):
            return
        now = np.stack([hashes(column[inside]) for column in columns])
        with self._lock:
            again = self._known[numbers]
            self._compare(numbers[again], now[:, again])
            new = numbers[~again]
            self._first[:, new], self._known[new] = now[:, ~again], True
            if self._places_only and not self._steady.all() and numbers[-1] == self._numbers - 1:
                self._refuse_unless_steady(int(numbers[-1]))

    def _compare(self, numbers: Array, now: Array) -> None:
        unlike = now != self._first[:, numbers]
        if not unlike.any():
            return
        self._steady &= ~unlike.any(axis=1)
        for column in np.flatnonzero(unlike.any(axis=1)).tolist():
            rows = np.flatnonzero(unlike[column])[:SOUGHT]
            earlier = self._earlier(column, now[column, rows])
            moved = earlier >= 0
            if 2 * moved.sum() >= len(rows) or column in self._targets:
                row = int(np.flatnonzero(moved)[0]) if moved.any() else 0
                raise self._other(int(numbers[rows[row]]), int(earlier[row]), "target" if column in self._targets else "value")
        if self._places_only and not self._steady.any():
            raise self._other(int(numbers[np.flatnonzero(unlike.any(axis=0))[0]]))

    def _earlier(self, column: int, values: Array) -> Array:
        """Under which number each of some values came before, or -1."""
        found = np.full(len(values), -1)
        if self._searches < SEARCHES:
            self._searches += 1
            numbers = np.flatnonzero(self._known)
            before = self._first[column, numbers]
            order = np.argsort(before, kind="stable")
            at = np.minimum(np.searchsorted(before, values, sorter=order), len(order) - 1)
            same = before[order[at]] == values
            found[same] = numbers[order[at[same]]]
        return found

    def _refuse_unless_steady(self, number: int) -> None:
        """Refuse a pass in which nothing that tells examples apart has stayed as it was."""
        known = self._first[:, self._known]
        telling = (known != known[:, :1]).any(axis=1)
        if not (telling & self._steady).any():
            raise self._other(number)

    def _other(self, number: int, earlier: int = -1, what: str = "value") -> Exception:
        got = f"another {what} than in an earlier pass" + (f", where #{earlier} had it" if earlier >= 0 else "")
        return refusal(self._place(number), "the same example in each pass, since a split holds some back", got, self._fix)


def _targets(form: Form, shapes_apart: bool) -> tuple[list[int], int]:
    """The columns of targets that are single numbers or texts, and how many columns there are."""
    structure, found, at = form.structure, [], 0
    features = len(Form(structure[0]).leaves) if isinstance(structure, tuple) and len(structure) > 1 else len(form.leaves)
    rest = features + len(Form(structure[1]).leaves) if features < len(form.leaves) else features
    for place, leaf in enumerate(form.leaves):
        if features <= place < rest and leaf.shape == ():
            found.append(at)
        at += 1 if leaf.even or not shapes_apart else 2
    return found, at


def hashes(column: Array) -> Array:
    """A number for each row of a column, of all its bits or, where it has many, of some."""
    rows = len(column)
    if column.dtype.kind == "O":
        each = column.reshape(rows, math.prod(column.shape[1:]))
        return np.array([hash(tuple(map(_of_object, row))) & (1 << 64) - 1 for row in each], np.uint64)
    flat = np.ascontiguousarray(column).reshape(rows, math.prod(column.shape[1:])).view(np.uint8)
    end = flat.shape[1] // 8 * 8
    words = flat[:, :end].view(np.uint64)
    words = words[:, :: max(1, words.shape[1] // WORDS)]
    # Whole numbers as floats differ in high bits only, which a product would push out; so they go into the low ones as well.
    words = words ^ (words >> np.uint64(32))
    # Modulo 2**64 an odd factor loses nothing, so that a difference in one word always shows.
    made: Array = words @ _ODD[: words.shape[1]] + flat[:, end:].astype(np.uint64) @ _ODD[-8:][: flat.shape[1] - end]
    return made


def _of_object(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = (value.shape, value.tobytes() if value.dtype.kind != "O" else tuple(value.ravel().tolist()))
        return hash(value)
    half = WORDS * 4
    return value if len(value) <= 2 * half else (len(value), value[:half], value[-half:])
