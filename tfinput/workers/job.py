"""A job: which elements are to be made, and how one part of a request is done. Worker processes load this; TensorFlow stays out."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfinput.errors import refusal, short
from tfinput.material.forms import Form
from tfinput.material.nests import Array

LOAD = -1  # in messages, in place of the number of a part: a job to load, or what became of that


@dataclass(frozen=True)
class Job:
    """Elements by number: `items[number]`, of one form; where they are `batched`, each is a batch of examples of that form."""

    items: Any
    form: Form
    name: str
    batched: bool = False

    def place(self, index: int) -> str:
        """How a message calls an element."""
        return place(self.name, index)

    def run(self, part: Slice, columns: Sequence[Array], tell: Callable[[int], None]) -> list[Array] | None:
        """Write the elements of a part into its rows, or return the arrays of a batch; `tell` hears which element is begun."""
        if self.batched:
            (index,) = part.indices
            return self.form.batch(next(self._made(part, tell))[1], lambda: self.place(index))
        for row, element in self._made(part, tell):
            self.form.write(columns, part.row + row, element, lambda row=row: self.place(part.indices[row]))  # type: ignore[misc]
        return None

    def _made(self, part: Slice, tell: Callable[[int], None]) -> Iterator[tuple[int, Any]]:
        """The elements, each with its row: all at once where that is quicker, one by one where each has a seed."""
        tell(0)
        if part.seeds is None and hasattr(self.items, "__getitems__"):
            yield from enumerate(self._many(part.indices))
            return
        for row, index in enumerate(part.indices):
            if part.seeds is not None:
                seed_all(part.seeds[row])
            try:
                element = self.items[index]
            except StopIteration as error:  # Out of this generator it would come as another one.
                raise failure(self.place(index), error) from error
            yield row, element
            tell(row + 1)

    def _many(self, indices: list[int]) -> Sequence[Any]:
        try:
            found = self.items.__getitems__(list(indices))
        except BaseException as error:  # Which of them it was, nobody knows.
            raise failure(f"{self.name}, one of the items {short(indices)}", error) from error
        if not isinstance(found, (list, tuple)) or len(found) != len(indices):
            got = f"{len(found)}" if hasattr(found, "__len__") else type(found).__name__
            raise refusal(f"{self.name}.__getitems__", f"a list of {len(indices)} items", got, "Return one for each index.")
        return found


@dataclass(frozen=True)
class Slice:
    """Neighbouring rows of a request: the elements to put there, and a seed for each where they are made in worker processes."""

    indices: list[int]
    row: int
    seeds: list[int] | None = None

    def rest(self, done: int) -> Slice:
        """The same without the first rows."""
        return Slice(self.indices[done:], self.row + done, self.seeds[done:] if self.seeds is not None else None)


def place(name: str, index: int) -> str:
    """How a message calls an element of a sequence."""
    return f"{name}, item {index}"


def failure(place: str, error: BaseException) -> Exception:
    """The error of an element, with its place; one that is told already stays as it is."""
    said = described(error)
    if isinstance(error, Exception) and said.partition(": ")[2].startswith("tfinput:"):
        return error
    return ValueError(f"tfinput: {place}: {said}")


def described(error: BaseException) -> str:
    """The kind of an error, and what it says."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # It cannot even say that.
        return type(error).__name__


def seed_all(seed: int) -> None:
    """Seed the global generators of Python, NumPy and (where it is loaded) torch; only in a worker process, which is this library's own."""
    random.seed(seed)
    np.random.seed((seed ^ seed >> 32) & 0xFFFFFFFF)  # noqa: NPY002  what the user's code draws from
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)
