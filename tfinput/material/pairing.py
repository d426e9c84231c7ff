"""Names in tables: what the rows and columns of pandas and Arrow tables are called, and the order that puts one like another.

What has names is paired by them, never by place; arrays have none. Neither pandas nor TensorFlow is imported here: worker processes
use it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfinput.errors import refusal, short

# What pandas calls an index without a name, where it writes it beside the columns of an Arrow table.
UNNAMED = "__index_level_"
# Rows at which a series may go on where another ends, that are tried; more are there only of names that are nearly all alike.
TRIES = 100
PLACES = "Correct the index. If rows belong together by their places, pass both with .reset_index(drop=True)."


def names(value: Any) -> Any:
    """The names of the rows: the index of pandas, which it may have written into an Arrow table; None of what has none."""
    if _of_pandas(value):
        return value.index
    if _is_table(value):
        kept = _index_columns(value)
        # What lies in columns was moved with the rows; a mere range (a dict) may have been written before.
        if kept and all(isinstance(name, str) and name in value.column_names for name in kept):
            return value.select(kept).to_pandas().index
    return None


def is_named(value: Any) -> bool:
    """Whether a value is a table, or a column or row of one, of pandas or Arrow."""
    return _of_pandas(value) or _is_table(value)


def columns(value: Any) -> tuple[Any, ...] | None:
    """The names of the columns of a table; None of what has none."""
    if _is_table(value):
        left = unnamed(value)
        return tuple(name for name in value.column_names if name not in left)
    found = getattr(value, "columns", None)
    return tuple(found) if found is not None and hasattr(value, "shape") and len(value.shape) == 2 else None


def labels(value: Any) -> tuple[Any, ...] | None:
    """The names of what an example has side by side: columns, or the entries of a row of a table; None of what has none."""
    if _of_pandas(value) and not hasattr(value, "columns"):
        index = value.index
        # Numbers and dates count steps, which are others in another example.
        return tuple(index) if len(index) and all(isinstance(each, str) for each in index) else None
    return columns(value)


def unnamed(table: Any) -> tuple[str, ...]:
    """The columns of an Arrow table that are an index of pandas which nobody named."""
    kept = _index_columns(table)
    return tuple(name for name in table.column_names if name.startswith(UNNAMED) and name in kept)


def order(path: str, theirs: Any, first: str, mine: Any) -> np.ndarray[Any, Any] | None:
    """Where the rows called `mine`, of what is called `first`, are among those called `theirs`; None where they are in order already.

    Names that are not the same, or not each once, are refused with the first that differs.
    """
    if mine is theirs or mine.equals(theirs):
        return None
    unique = mine.is_unique and theirs.is_unique
    if unique:
        found: np.ndarray[Any, Any] = theirs.get_indexer(mine)
        missing = np.flatnonzero(found < 0)
        if not len(missing) and len(mine) == len(theirs):
            return found
    if not unique:
        raise _differing(path, theirs, first, mine, f"Names that come twice pair no rows. {PLACES}")
    surplus = np.flatnonzero(mine.get_indexer(theirs) < 0)
    if len(missing):
        row = int(missing[0])
        fix = PLACES if len(surplus) else f"Pass {first}.loc[{path}.index]."
        raise refusal(path, f"a row named {_shown(mine[row])}, as row {row} of {first} is", f"none among its {len(theirs)} rows", fix)
    row = int(surplus[0])
    got = f"{len(theirs)} rows, of which row {row} is named {_shown(theirs[row])}, as none there"
    raise refusal(path, f"{len(mine)} rows named as those of {first}", got, f"Pass {path}.loc[{first}.index].")


def along(path: str, value: Any, first: str, mine: Any) -> Any:
    """The value with its rows in the order of those called `mine`, where both have names."""
    theirs = None if mine is None else names(value)
    if theirs is None:
        return value
    places = order(path, theirs, first, mine)
    return value if places is None else value.take(places)


def paired(paths: Sequence[str], values: Sequence[Any]) -> list[Any]:
    """Values with their rows in the order of the first of them that has names."""
    named = next((place for place, value in enumerate(values) if names(value) is not None), None)
    if named is None:
        return list(values)
    mine = names(values[named])
    return [value if place == named else along(paths[place], value, paths[named], mine) for place, value in enumerate(values)]


def column_order(path: str, theirs: Sequence[Any], first: str, mine: Sequence[Any]) -> list[int] | None:
    """Where the columns called `mine`, of what is called `first`, are among `theirs`; None where they are in order already."""
    if tuple(mine) == tuple(theirs):
        return None
    fix = f"Give it the columns of {first}: .drop or rename others; their order does not matter."
    missing = next((name for name in mine if name not in theirs), None)
    if missing is not None:
        raise refusal(path, f"a column {_shown(missing)}, as {first} has", f"none among {short(list(theirs), 200)}", fix)
    surplus = next((name for name in theirs if name not in mine), None)
    if surplus is not None:
        raise refusal(path, f"the columns of {first}, {short(list(mine), 200)}", f"{_shown(surplus)} besides", fix)
    if len(set(mine)) < len(mine) or len(set(theirs)) < len(theirs):
        got = f"{short(list(theirs), 200)}, in which a name comes twice"
        raise refusal(path, f"the columns {short(list(mine), 200)} of {first}", got, "Give each column a name of its own.")
    return [theirs.index(name) for name in mine]


def with_columns(value: Any, places: Sequence[int]) -> Any:
    """A table with its columns, or a row of one with its entries, in another order."""
    if _of_pandas(value):
        return value.iloc[:, places] if hasattr(value, "columns") else value.iloc[places]
    found = columns(value) or ()
    return value.select([found[place] for place in places])


def follow(path: str, targets: Any, first: str, data: Any) -> np.ndarray[Any, Any] | None:
    """Where the rows called `targets` are to lie beside those of `data`; None where each lies beside the row that it belongs to.

    Targets may be some rows ahead, all of them equally far, as `data[n:]` is. Elsewhere they are paired by name.
    """
    if data.equals(targets):
        return None
    if len(data) == len(targets) and set(data) == set(targets):
        return order(path, targets, first, data)
    if _ahead(targets, data) or _ahead(data, targets) or _after(targets, data):
        return None
    fix = "Pass rows of one table, data[:-n] and targets[n:], with none left out between; or numbers without names, .to_numpy()."
    raise _differing(path, targets, first, data, fix)


def _ahead(ahead: Any, behind: Any) -> bool:
    """Whether the first names are those of the second from some row on, as far as both go, and none of its others."""
    if not len(ahead) or not len(behind):
        return False
    for start in np.flatnonzero(behind.isin(ahead[:1]))[:TRIES]:
        rest = ahead[len(behind) - start :]
        if _shared(behind[start:], ahead) and not (behind.is_unique and behind.isin(rest).any()):
            return True
    return False


def _shared(some: Any, others: Any) -> bool:
    count = min(len(some), len(others))
    return bool(some[:count].equals(others[:count]))


def _after(later: Any, earlier: Any) -> bool:
    """Whether all of a series' rows come after those of another, as far as their order tells."""
    try:
        ordered = later.is_monotonic_increasing and earlier.is_monotonic_increasing
        return bool(ordered and len(later) and len(earlier) and later.dtype == earlier.dtype and later[0] > earlier[-1])
    except TypeError:
        return False


def _differing(path: str, theirs: Any, first: str, mine: Any, fix: str) -> Exception:
    """The error for names that differ, at the first row that does."""
    pairs = zip(mine, theirs, strict=False)
    row = next((place for place, (one, other) in enumerate(pairs) if one != other and not (one != one and other != other)), None)
    if row is None:
        row = min(len(mine), len(theirs))
        expected = f"{len(mine)} rows named as those of {first}"
        return refusal(path, expected, f"{len(theirs)}, the same up to row {row}", fix)
    return refusal(path, f"row {row} named {_shown(mine[row])}, as that of {first} is", f"{_shown(theirs[row])}", fix)


def _shown(name: Any) -> str:
    return short(name.item() if isinstance(name, np.generic) else name)


def _of_pandas(value: Any) -> bool:
    """Whether a value is a table or column of pandas, or of what is used like it."""
    return hasattr(value, "iloc") and hasattr(value, "index")


def _is_table(value: Any) -> bool:
    """Whether a value is a table of Arrow."""
    return type(value).__module__.split(".")[0] == "pyarrow" and hasattr(value, "column_names")


def _index_columns(table: Any) -> list[Any]:
    about = table.schema.pandas_metadata or {}
    return list(about.get("index_columns", ()))
