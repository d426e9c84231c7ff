"""Which columns of a table play which part in an example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfinput.errors import nearest, refusal, short
from tfinput.sources.tables.csv_header import by_name


@dataclass(frozen=True)
class Roles:
    """Which columns are inputs, which targets, and which the weight."""

    features: tuple[str, ...]
    label: str | tuple[str, ...] | None
    weight: str | None
    matrix: bool

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that are read."""
        labels = self.label if isinstance(self.label, tuple) else (self.label,)
        return tuple(name for name in (*self.features, *labels, self.weight) if name is not None)


def settled(source: str, there: Sequence[str], label: Any, weight: Any, columns: Any, matrix: Any, left_out: Sequence[str] = ()) -> Roles:
    """Settle which columns play which part; `there` are all columns, `left_out` those that are no features unless asked for."""
    several = isinstance(label, (list, tuple))
    labels = tuple(_column(source, "label", name, there) for name in (label if several else () if label is None else (label,)))
    given = None if weight is None else _column(source, "weight", weight, there)
    taken = (*labels, *(() if given is None else (given,)))
    if len(set(taken)) < len(taken):
        raise refusal("label and weight", "different columns", short(taken), "Name each column once.")
    if given is not None and not labels:
        raise refusal("weight", "a label beside it", "no label", "Pass label=, or no weight.")
    if several and not labels:
        raise refusal("label", "at least one column", "an empty list", "Pass label=None if there are no targets.")
    if isinstance(columns, (str, bytes)):
        raise refusal("columns", "a list of names", short(columns), f"Pass columns=[{columns!r}].", TypeError)
    if columns is None:
        features = tuple(name for name in there if name not in taken and name not in left_out)
    else:
        features = tuple(_column(source, "columns", name, there) for name in columns)
    for name in features:
        if name in taken:
            raise refusal("columns", "inputs only", f"{name!r}, which is the label or weight", "Leave it out of columns.")
    if not features or len(set(features)) < len(features):
        got = "none" if not features else f"a name twice in {short(features)}"
        raise refusal(source if columns is None else "columns", "at least one column of inputs, each once", got, "Check the names.")
    return Roles(features, labels if several else labels[0] if labels else None, given, bool(matrix))


def _column(source: str, role: str, name: Any, there: Sequence[str]) -> str:
    name = by_name(name, there)
    if name in there:
        return str(name)
    fix = nearest(str(name), there).strip() or f"It has {short(list(there), 200)}."
    if len(there) == 1 and (other := next((each for each in ";\t|," if each in there[0]), None)):
        fix = f"Its only column is {short(there[0])}: is it delimiter={other!r}?"
    raise refusal(role, f"a column of {source}", short(name), fix)
