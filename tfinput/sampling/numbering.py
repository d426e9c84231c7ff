"""Numbering: the places that a source's examples have in what the caller gave, where some of that was left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

Vector = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Numbering:
    """`total` is how many the caller gave; `positions` are those of the examples that are left, ascending."""

    total: int
    positions: Vector

    @classmethod
    def without(cls, total: int, left_out: Iterable[int]) -> Numbering | None:
        """All of `total` but those left out; None where none is."""
        left_out = list(left_out)
        return cls(total, np.setdiff1d(np.arange(total), left_out)) if left_out else None

    def examples(self, positions: Vector) -> Vector:
        """The examples at ascending positions of the caller's list; those that were left out have none."""
        return np.flatnonzero(np.isin(self.positions, positions, assume_unique=True))

    def left_out(self, positions: Vector) -> Vector:
        """Those of some positions at which no example is left."""
        return np.setdiff1d(positions, self.positions)
