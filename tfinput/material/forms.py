"""Elements of Python sources: their form is found once, and every later one is put into rows of it, or refused by its place.

TensorFlow is not imported here: worker processes write elements too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfinput.errors import refusal, short
from tfinput.material import pairing
from tfinput.material.nests import TEXT, Array, as_array, mapped, parts

ALIGNMENT = 64


@dataclass(frozen=True)
class FormField:
    """One array of an element.

    Attributes:
        path: how a message writes it: `[0]['image']`, or nothing where the element is an array.
        shape: None where the length varies.
        dtype: `TEXT` for text.
        asked: whether the user asked for this dtype, so that floats are rounded to it; else only what fits exactly is taken.
        names: what the first element's columns, or the entries of its row of a table, are called, where it came with names.

    """

    path: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]
    asked: bool = False
    names: tuple[Any, ...] | None = None

    @property
    def even(self) -> bool:
        """Whether all elements have one shape."""
        return None not in self.shape

    @property
    def plain(self) -> bool:
        """Whether rows of it lie side by side in memory."""
        return self.even and self.dtype != TEXT

    def row(self, shape: tuple[int | None, ...]) -> FormField:
        """One row of it, of this shape, where it is a batch; a vector's names are those of its rows, not of columns."""
        return dataclasses.replace(self, shape=shape, names=self.names if len(self.shape) > 1 else None)

    def column(self, rows: int) -> Array:
        """Room for rows of it."""
        return np.empty((rows, *self.shape) if self.even else (rows,), self.dtype if self.plain else object)

    def __str__(self) -> str:
        shape = ", ".join("None" if each is None else str(each) for each in self.shape)
        return f"{'text' if self.dtype == TEXT else self.dtype}[{shape}]"


class Form:
    """What the elements of a source look like, and how they are put into columns with one row for each."""

    def __init__(self, structure: Any) -> None:
        """Take a nest whose arrays are `Leaf`s."""
        self.structure = structure
        self.leaves: list[FormField] = [leaf for _, leaf in parts("", structure)]
        self._paths = [leaf.path for leaf in self.leaves]
        self._rows = [(leaf.dtype, leaf.shape if leaf.plain else None, _taken(leaf)) for leaf in self.leaves]
        self._single = isinstance(structure, FormField)
        self._flat_tuple = type(structure) is tuple and all(isinstance(part, FormField) for part in structure)

    @classmethod
    def of(cls, element: Any, where: str) -> Form:
        """The form of a first element."""

        def leaf(path: str, value: Any) -> FormField:
            array = as_array(f"{where}{path}", value)
            return FormField(path, array.shape, TEXT if array.dtype.kind == "O" else array.dtype, names=pairing.labels(value))

        made = cls(mapped(leaf, element))
        if not made.leaves:
            raise refusal(where, "at least one array", f"an empty {type(element).__name__}", "Return the example.")
        return made

    @classmethod
    def of_batches(cls, first: Any, last: Any, where: str) -> tuple[Form, int]:
        """The form of one row of a first batch, where lengths vary that differ in the last one; and how many rows the last has."""
        made = cls.of(first, where)
        for leaf in made.leaves:
            if not leaf.shape:
                fix = "Return batches: arrays with a row per example."
                raise refusal(f"{where}{leaf.path}", "a batch of examples", "a single value", fix)
        other = cls.of(last, "the last item")
        if [(each.path, len(each.shape)) for each in other.leaves] != [(each.path, len(each.shape)) for each in made.leaves]:
            fix = "Give every item the same structure."
            raise refusal("the last item", f"a batch like the first, {made}", f"{other}", fix)
        shapes = {
            mine.path: tuple(a if a == b else None for a, b in zip(mine.shape[1:], yours.shape[1:], strict=True))
            for mine, yours in zip(made.leaves, other.leaves, strict=True)
        }
        rowed = mapped(lambda _, leaf: leaf.row(shapes[leaf.path]), made.structure)
        return cls(rowed), int(other.leaves[0].shape[0] or 0)

    @property
    def names(self) -> dict[str, tuple[Any, ...]]:
        """What columns are called, by the paths of the arrays that came with names."""
        return {leaf.path: leaf.names for leaf in self.leaves if leaf.names is not None}

    def like(self, names: dict[str, tuple[Any, ...]]) -> Form:
        """The same with columns in the order of others, where both have names."""

        def leaf(path: str, leaf: FormField) -> FormField:
            return dataclasses.replace(leaf, names=names.get(path, leaf.names) if leaf.names is not None else None)

        return Form(mapped(leaf, self.structure))

    @property
    def plain(self) -> bool:
        """Whether every row has a fixed place in memory."""
        return all(leaf.plain for leaf in self.leaves)

    def __str__(self) -> str:
        return str(mapped(lambda _, leaf: _Shown(leaf), self.structure))

    def columns(self, rows: int) -> list[Array]:
        """Room for some elements."""
        return [leaf.column(rows) for leaf in self.leaves]

    def places(self, rows: int) -> tuple[list[int], int]:
        """Where each column starts in a block of memory, aligned, and the bytes of all."""
        starts, end = [], 0
        for leaf in self.leaves:
            starts.append(end)
            nbytes = rows * math.prod(leaf.shape) * leaf.dtype.itemsize  # type: ignore[arg-type]
            end += -(-nbytes // ALIGNMENT) * ALIGNMENT
        return starts, end

    def views(self, buffer: Any, rows: int) -> list[Array]:
        """The columns over a block of memory; only of a plain form."""
        flat = np.frombuffer(buffer, np.uint8)
        made = []
        for leaf, start in zip(self.leaves, self.places(rows)[0], strict=True):
            nbytes = rows * math.prod(leaf.shape) * leaf.dtype.itemsize  # type: ignore[arg-type]
            made.append(flat[start : start + nbytes].view(leaf.dtype).reshape((rows, *leaf.shape)))  # type: ignore[arg-type]
        return made

    def write(self, columns: Sequence[Array], row: int, element: Any, where: Callable[[], str]) -> None:
        """Put an element into a row of the columns; `where` says which one it is."""
        # This runs once for each element: a microsecond here is what many generators take themselves.
        if self._single:
            values: Any = (element,)
        else:
            same = self._flat_tuple and type(element) is tuple and len(element) == len(self.leaves)
            values = element if same else self._flat(element, where)
        for leaf, rows, column, value in zip(self.leaves, self._rows, columns, values, strict=True):
            dtype, shape, taken = rows
            kind = type(value)
            if kind is np.ndarray and value.shape == shape and value.dtype == dtype:
                column[row] = value
                continue
            try:
                if kind in taken:
                    column[row] = value
                    continue
            except OverflowError:  # told below
                pass
            self._flat(element, where)
            column[row] = self._fitted(leaf, value, where)

    def batch(self, element: Any, where: Callable[[], str]) -> list[Array]:
        """The arrays of an element that is a batch: with one row for each example, however many."""
        made: list[Array] = []
        for leaf, value in zip(self.leaves, self._paired(element, where), strict=True):
            place = f"{where()}{leaf.path}"
            array = as_array(place, _in_order(leaf, value, place))
            if array.ndim == 0 or len(array) != len(made[0] if made else array):
                got = "a single value" if array.ndim == 0 else f"{len(array)}"
                rows = f"a batch of {len(made[0])} rows, as {self.leaves[0].path or 'the first'} has" if made else "a batch"
                raise refusal(place, rows, got, "Give all arrays of a batch one length.")
            rowed = FormField(leaf.path, (None, *leaf.shape), leaf.dtype, leaf.asked)
            made.append(_exact(leaf, array, place) if _fits(rowed, array) else self._fitted(rowed, array, where))
        return made

    def write_rows(self, columns: Sequence[Array], start: int, batch: Any, count: int, where: Callable[[], str]) -> None:
        """Put a batch of elements, arrays with one row for each, into rows of the columns."""
        for leaf, column, value in zip(self.leaves, columns, self._paired(batch, where), strict=True):
            place = f"{where()}{leaf.path}"
            array = as_array(place, _in_order(leaf, value, place))
            if array.ndim == 0 or len(array) != count:
                got = "a single value" if array.ndim == 0 else f"{len(array)}"
                raise refusal(place, f"a batch of {count} rows, as its other arrays have", got, "Give all arrays one length.")
            if leaf.plain and array.dtype == leaf.dtype and array.shape[1:] == leaf.shape:
                column[start : start + count] = array
                continue
            for row in range(count):
                column[start + row] = self._fitted(leaf, array[row], where)

    def _flat(self, element: Any, where: Callable[[], str]) -> list[Any]:
        kind = type(element)
        if kind is tuple and len(self._paths) == len(element) and not any(isinstance(part, (tuple, list, Mapping)) for part in element):
            flat = list(element)
            if type(self.structure) is tuple:
                return flat
        found = list(parts("", element))
        if [path for path, _ in found] != self._paths:
            seen = mapped(lambda _, value: type(value).__name__, element)
            raise refusal(where(), f"an element like the first, {self}", short(seen, 200), "Give every element the same structure.")
        return [value for _, value in found]

    def _paired(self, batch: Any, where: Callable[[], str]) -> list[Any]:
        """The arrays of a batch, those with named rows in the order of the first of them."""
        flat = self._flat(batch, where)
        if not any(hasattr(value, "iloc") for value in flat):
            return flat
        return pairing.paired([f"{where()}{path}" for path in self._paths], flat)

    def _fitted(self, leaf: FormField, value: Any, where: Callable[[], str]) -> Any:
        """A value as its column takes it; refused where that would change it."""
        place = f"{where()}{leaf.path}"
        array = as_array(place, _in_order(leaf, value, place))
        if not _fits(leaf, array):
            shape = FormField("", array.shape, array.dtype)
            fix = "Give every element one shape, or say in output_signature which lengths vary (None)."
            raise refusal(place, f"{leaf}", f"{shape}", fix)
        array = _exact(leaf, array, place)
        if leaf.even:
            return array if array.dtype.kind != "O" or array.ndim else array[()]
        return array.copy()  # Many sources fill one array again and again.


def _in_order(leaf: FormField, value: Any, place: str) -> Any:
    """A value with its columns in the order of the first element's, where both have names."""
    if leaf.names is None or type(value) is np.ndarray:
        return value
    found = pairing.labels(value)
    order = None if found is None else pairing.column_order(place, found, f"the first{leaf.path}", leaf.names)
    return value if order is None else pairing.with_columns(value, order)


def _taken(leaf: FormField) -> frozenset[type]:
    """Types of single values that a column of a leaf takes as they are."""
    if leaf.shape != ():
        return frozenset()
    own = {np.dtype(bool): bool, np.dtype(np.int64): int, np.dtype(np.float64): float, TEXT: bytes}.get(leaf.dtype)
    return frozenset({leaf.dtype.type} if leaf.dtype != TEXT else ()) | frozenset({own} if own else ())


def _fits(leaf: FormField, array: Array) -> bool:
    return len(array.shape) == len(leaf.shape) and all(want in (None, have) for want, have in zip(leaf.shape, array.shape, strict=True))


class _Shown:
    def __init__(self, leaf: FormField) -> None:
        self.leaf = leaf

    def __repr__(self) -> str:
        return str(self.leaf)


def _exact(leaf: FormField, array: Array, place: str) -> Array:
    """The array in a leaf's dtype, if no value changes by it."""
    if array.size == 0:  # What NumPy makes of an empty list has no dtype to speak of.
        return np.empty(array.shape, leaf.dtype)
    if (leaf.dtype == TEXT) != (array.dtype.kind == "O"):
        got = "text" if array.dtype.kind == "O" else f"{array.dtype} {short(array.tolist(), 30)}"
        raise refusal(place, f"{leaf}", got, "Return one dtype.", TypeError)
    if leaf.dtype == TEXT or array.dtype == leaf.dtype:
        return array
    made, same = _cast(array, leaf)
    if not np.all(same):
        wrong = array[~same].reshape(-1)[0]
        fix = f"Return {leaf.dtype}, or name the right dtype in output_signature."
        raise refusal(place, f"{leaf}", f"{short(wrong.item())} ({array.dtype}), which does not fit", fix)
    return made


def _cast(array: Array, leaf: FormField) -> tuple[Array, Array]:
    """The array in a leaf's dtype, and which of its values are the same there."""
    kinds = array.dtype.kind + leaf.dtype.kind
    if kinds[0] == "c" and kinds[1] != "c":
        return array, np.zeros(array.shape, bool)
    with np.errstate(all="ignore"):
        made: Array = array.astype(leaf.dtype)
        back: Array = (made.real if kinds[1] == "c" and kinds[0] != "c" else made).astype(array.dtype)
        same: Array = (back == array) | ((array != array) & (back != back))
        if kinds in ("iu", "ui"):  # -1 becomes 255 and -1 again.
            same &= (made < 0) == (array < 0)
        if leaf.asked and kinds[0] == "f" and kinds[1] not in "biu":
            same |= np.isfinite(back) & np.isfinite(array)
    return made, same
