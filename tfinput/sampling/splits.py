"""Splits: which examples train, which validate, which test; disjoint by construction, drawn by the seed.

An example's place in the draw is a hash of (seed, its index), or of its group's, so a split is the same on every machine
and with every version, and what is drawn is a uniform random subset.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tfinput.errors import refusal, short
from tfinput.sampling import seeds
from tfinput.sampling.labels import classes, numbered, vector_like
from tfinput.sampling.numbering import Numbering
from tfinput.sampling.order import Members

Vector = np.ndarray[Any, Any]


class SplitMembers(NamedTuple):
    """The members of each split; None where there is no such split."""

    train: Members
    validation: Members | None
    test: Members | None


def wanted(name: str, value: Any, size: int, hashed: bool = False, numbering: Numbering | None = None) -> int | float | Vector | None:
    """Settle what a split option asks for: a count, ascending indices, or None.

    Fractions are of all examples and round to the nearest count; `hashed` keeps them as fractions. Indices that are asked for count
    what the caller gave; those settled count the `size` examples that are left of it.
    """
    if value is None:
        return None
    array = vector_like(name, value, "a fraction, a count or indices")
    if array.ndim == 1:
        return _indices(name, array, size) if numbering is None else _left_of(name, array, numbering)
    huge = isinstance(value, int) and array.dtype.kind == "O"
    if array.ndim or (array.dtype.kind not in "fiu" and not huge):
        raise refusal(name, "a fraction, a count or indices", short(value), "Pass for example 0.2.", TypeError)
    fraction = array.dtype.kind == "f"
    if fraction and not 0 < float(value) < 1:
        fix = "Pass for example 0.2; a count is an int."
        raise refusal(name, "a fraction between 0 and 1", short(value), fix)
    count = int(float(value) * size + 0.5) if fraction else int(value)
    if not 0 < count < size:
        fix = "Leave examples on both sides, or pass None for no such split."
        got = f"{short(value)}, which is {count}" if fraction else str(count)
        raise refusal(name, f"between 1 and {size - 1} of the {size} examples", got, fix)
    return float(value) if fraction and hashed else count


def _indices(name: str, array: Vector, size: int) -> Vector:
    if array.dtype.kind == "b" and len(array) == size:
        array = np.flatnonzero(array)
    if len(array) and array.dtype.kind not in "iu":
        fix = "Pass whole numbers, or a mask with one bool per example."
        raise refusal(name, "indices", f"an array of {array.dtype} of length {len(array)}", fix, TypeError)
    array = np.sort(array)
    if len(array) == 0 or len(array) >= size:
        raise refusal(name, f"between 1 and {size - 1} indices", str(len(array)), "Leave examples on both sides.")
    if array[0] < 0 or array[-1] >= size:
        outside = array[0] if array[0] < 0 else array[-1]
        raise refusal(name, f"indices from 0 to {size - 1}", str(outside), "Check the indices against the data.")
    repeated = array[:-1][array[1:] == array[:-1]]
    if len(repeated):
        raise refusal(name, "each index once", f"index {repeated[0]} twice", "Pass np.unique(indices).")
    return array.astype(np.int64)


def _left_of(name: str, array: Vector, numbering: Numbering) -> Vector:
    """The examples at indices of the caller's list, of which some may have been left out."""
    asked = _indices(name, array, numbering.total)
    found = numbering.examples(asked)
    if len(found) == 0:
        got = f"only such as were left out: {short(asked.tolist())}"
        raise refusal(name, "indices of examples that can be read", got, "Repair those files, or pass other indices.")
    return found


def left_out(value: Any, numbering: Numbering | None) -> Vector:
    """The indices that a split asks for and at which no example is left."""
    array = np.asarray([] if value is None or numbering is None else value)
    if numbering is None or array.ndim != 1 or len(array) == 0:
        return np.zeros(0, np.int64)
    return numbering.left_out(_indices("", array, numbering.total))


def _classes(given: Any, size: int) -> Vector:
    if given is None:
        raise refusal("stratify=True", "class labels y", "no single array y", "Pass an array with one class per example as stratify.")
    if isinstance(given, str):
        fix = "Pass True to take the labels, or an array with one class per example."
        raise refusal("stratify", "True, or one class per example", short(given), fix, TypeError)
    found = classes("stratify", given)
    if len(found) != size:
        raise refusal("stratify", f"{size} classes, one per example", str(len(found)), "Pass one class per example.")
    return numbered("stratify", found)


def _shares(counts: Vector, total: int) -> Vector:
    """Split `total` over the classes in proportion to `counts`, by largest remainders."""
    share, remainder = np.divmod(counts * total, counts.sum())
    rest = np.argsort(-remainder, kind="stable")[: total - share.sum()]
    share[rest] += 1
    return np.asarray(share)


class Drawer:
    """Draws members for splits or folds from the examples that are still left."""

    def __init__(
        self, size: int, seed: int, stratify: Any, groups: Any, labels: Any, identities: Any = None, numbering: Numbering | None = None
    ) -> None:
        """Take one class or group for each example that the caller gave; `numbering` says which of them are left."""
        if stratify is False:
            stratify = None
        if stratify is not None and groups is not None:
            fix = "Use one of them, or pass indices drawn by sklearn.model_selection.StratifiedGroupKFold."
            raise refusal("stratify and groups", "one of the two", "both", fix)
        self.size, self.seed = size, seed
        self.numbering = numbering
        self.identities = None if identities is None else identities()
        self.shares = 0.0
        self.left = np.ones(size, bool)
        self.classes = None if stratify is None else self._classes(stratify, labels)
        self.groups = None if groups is None else self._groups(groups)

    def _classes(self, stratify: Any, labels: Any) -> Vector:
        if stratify is True or self.numbering is None:
            return _classes(labels() if stratify is True else stratify, self.size)
        found: Vector = _classes(stratify, self.numbering.total)[self.numbering.positions]
        return found

    def _groups(self, groups: Any) -> Vector:
        groups = vector_like("groups", groups)
        total = self.size if self.numbering is None else self.numbering.total
        if groups.shape != (total,):
            every = "" if self.numbering is None else ", skipped ones too"
            raise refusal("groups", f"{total} groups, one per example{every}", f"shape {groups.shape}", "Pass a vector.")
        found = numbered("groups", groups)
        return found if self.numbering is None else found[self.numbering.positions]

    def _number(self, example: Any) -> Any:
        """What the caller calls an example."""
        return example if self.numbering is None else self.numbering.positions[example]

    def ranked(self, name: str) -> Vector:
        """The examples that are left, in the order of the draw."""
        left = np.flatnonzero(self.left)
        named = self._number(left) if self.identities is None else self.identities[left]
        return left[np.argsort(seeds.scores(seeds.key(self.seed, name), named), kind="stable")]

    def _hashed(self, name: str, share: float) -> Vector:
        """The examples whose hash falls into the next `share` of all hashes."""
        scores = seeds.scores(seeds.key(self.seed, "split"), np.asarray(self.identities)) / 2.0**64
        low, self.shares = self.shares, self.shares + share
        taken = np.flatnonzero(self.left & (low <= scores) & (scores < self.shares))
        if len(taken) == 0:
            fix = "Pass a count, or more records."
            raise refusal(name, "a fraction that some example's hash falls into", f"{share}, into which none falls", fix)
        return taken

    def draw(self, name: str, want: int | float | Vector) -> Members:
        """Take `want` examples (a count, a share of all hashes, or the very indices) from what is left."""
        if isinstance(want, np.ndarray):
            taken = want
            if not self.left[taken].all():
                both = taken[~self.left[taken]][0]
                raise refusal(name, "indices of no other split", f"index {self._number(both)} twice", "Make the splits disjoint.")
            self._refuse_cut_groups(name, taken)
        elif isinstance(want, float):
            taken = self._hashed(name, want)
        elif want >= self.left.sum():
            fix = "Make the splits smaller."
            raise refusal(name, f"fewer than the {self.left.sum()} examples that are left", str(want), fix)
        elif self.groups is not None:
            taken = self._draw_groups(name, want)
        elif self.classes is not None:
            taken = self._draw_classes(name, want)
        else:
            taken = self.ranked(name)[:want]
        self.left[taken] = False
        return Members(len(taken), np.sort(taken))

    def _draw_classes(self, name: str, want: int) -> Vector:
        ranked = self.ranked(name)
        classes = self.classes[ranked]  # type: ignore[index]
        counts = np.bincount(classes)
        self._refuse_lonely(name, counts)
        share = _shares(counts, want)
        taken = [ranked[classes == number][:part] for number, part in enumerate(share)]
        return np.concatenate(taken)

    def _refuse_lonely(self, name: str, counts: Vector, least: int = 2) -> None:
        few = np.flatnonzero((counts > 0) & (counts < least))
        if len(few):
            shown = np.flatnonzero(np.asarray(self.classes == few[0]))[:3]
            raise refusal(
                f"{name} with stratify",
                f"at least {least} examples of each class",
                f"{counts[few[0]]} of the class of example {self._number(shown[0])} to draw from",
                "Drop or merge that class, or use stratify=None.",
            )

    def _refuse_cut_groups(self, name: str, taken: Vector) -> None:
        if self.groups is None:
            return
        inside = np.zeros(self.size, bool)
        inside[taken] = True
        cut = np.flatnonzero(~inside & np.isin(self.groups, self.groups[taken]))
        if len(cut):
            within = taken[self.groups[taken] == self.groups[cut[0]]][0]
            fix = "Pass the indices of whole groups, or use groups=None."
            got = f"example {self._number(within)} but not {self._number(cut[0])} of the same group"
            raise refusal(f"{name} with groups", "whole groups", got, fix)

    def _draw_groups(self, name: str, want: int) -> Vector:
        """Whole groups in the order of the draw, as long as they bring the total nearer to `want`."""
        left = np.flatnonzero(self.left)
        groups = self.groups[left]  # type: ignore[index]
        names, counts = np.unique(groups, return_counts=True)
        if len(names) < 2:
            raise refusal(f"{name} with groups", "at least 2 groups", "one group", "Use groups=None.")
        order = np.argsort(seeds.scores(seeds.key(self.seed, name), names), kind="stable")
        chosen: list[int] = []
        total = 0
        for group, count in zip(names[order], counts[order], strict=True):
            if abs(total + count - want) < abs(total - want) and len(chosen) < len(names) - 1:
                chosen.append(group)
                total += count
        if not chosen:
            chosen = [names[np.argmin(counts)]]
        return left[np.isin(groups, chosen)]

    def folds(self, count: int) -> list[Vector]:
        """Deal what is left into `count` folds whose sizes differ by at most one (by at most one group, with groups)."""
        if self.groups is not None:
            return self._group_folds(count)
        ranked = self.ranked("folds")
        if len(ranked) < count:
            raise refusal("kfold", f"at least {count} examples", str(len(ranked)), "Use fewer folds.")
        if self.classes is not None:
            self._refuse_lonely("kfold", np.bincount(self.classes[ranked]), count)
            ranked = ranked[np.argsort(self.classes[ranked], kind="stable")]
        return [np.sort(ranked[fold::count]) for fold in range(count)]

    def _group_folds(self, count: int) -> list[Vector]:
        left = np.flatnonzero(self.left)
        groups = self.groups[left]  # type: ignore[index]
        names, counts = np.unique(groups, return_counts=True)
        if len(names) < count:
            raise refusal("kfold", f"at least {count} groups", str(len(names)), "Use fewer folds.")
        fold_of = np.zeros(len(names), np.int64)
        filled = np.zeros(count, np.int64)
        ranks = np.argsort(np.argsort(seeds.scores(seeds.key(self.seed, "folds"), names), kind="stable"))
        for place in np.lexsort((ranks, -counts)):
            fold_of[place] = np.argmin(filled)
            filled[fold_of[place]] += counts[place]
        return [left[fold_of[np.searchsorted(names, groups)] == fold] for fold in range(count)]


def split(
    size: int,
    seed: int,
    validation: Any,
    test: Any,
    stratify: Any,
    groups: Any,
    labels: Any,
    identities: Any = None,
    numbering: Numbering | None = None,
) -> SplitMembers:
    """Draw the test set, then the validation set; the rest trains. `labels` is a function that gives the classes."""
    hashed = identities is not None and (stratify is None or stratify is False) and groups is None
    validation = wanted("validation_split", validation, size, hashed, numbering)
    test = wanted("test_split", test, size, hashed, numbering)
    if validation is None and test is None:
        return SplitMembers(Members(size), None, None)
    drawer = Drawer(size, seed, stratify, groups, labels, identities, numbering)
    # Given indices are set aside first, so that a draw never takes them.
    asked = sorted((("test_split", test), ("validation_split", validation)), key=lambda pair: not isinstance(pair[1], np.ndarray))
    drawn = {name: None if want is None else drawer.draw(name, want) for name, want in asked}
    rest = np.flatnonzero(drawer.left)
    if len(rest) == 0:
        raise refusal("train set", "at least one example", "none left by the splits", "Make the splits smaller.")
    return SplitMembers(Members(len(rest), rest), drawn["validation_split"], drawn["test_split"])
