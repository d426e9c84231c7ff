"""Arrow columns as arrays: which types there are, what is missing in them, and no value changed on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfinput.errors import nearest, refusal, short

Array = np.ndarray[Any, Any]
# What a message calls a row, given its place in a piece of a table.
Where = Callable[[int], str]


@dataclass(frozen=True)
class Field:
    """One column: its Arrow type, what its rows become, and what stands for a missing value.

    `dtype` is the object dtype for text, whose values are bytes (UTF-8). `remedy` is what to do about a missing value without a fill.
    """

    name: str
    type: Any
    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()
    fill: Any = None
    remedy: str = ""

    @property
    def text(self) -> bool:
        """Whether its rows are text or bytes."""
        return self.dtype.kind == "O"


def field(path: str, name: str, kind: Any, fill: Any = None) -> Field:
    """The field for a column of an Arrow type; types that make no tensors are refused with what to do instead.

    `fill` is what a user gave for missing values: one for all columns where it fits, or a dict by column.
    """
    import pyarrow as pa

    types, what = pa.types, f"{path}, column {name!r}"
    given = fill.get(name) if isinstance(fill, Mapping) else fill
    if types.is_null(kind):
        kind = _kind_of_fill(what, name, given, fill)
    inner, shape = kind, tuple[int, ...]()
    while types.is_fixed_size_list(inner):
        inner, shape = inner.value_type, (*shape, inner.list_size)
    if types.is_dictionary(inner):
        inner = inner.value_type
    if types.is_decimal(inner) and inner.scale == 0 and inner.precision <= 18:
        dtype: Any = np.dtype(np.int64)
    elif types.is_integer(inner) or types.is_floating(inner) or types.is_boolean(inner):
        dtype = np.dtype(inner.to_pandas_dtype())
    elif _is_text(inner):
        dtype = np.dtype(object)
    else:
        raise refusal(what, "numbers, bools or text", f"{kind}", _instead(inner, name), TypeError)
    fitting = None if given is None else _fitting(given, dtype)
    if fitting is None and isinstance(fill, Mapping) and given is not None:
        fix = "Pass a value of the column's own type."
        raise refusal(f"fill for {what}", "text" if dtype.kind == "O" else f"a value that {dtype} holds", short(given), fix)
    return Field(name, kind, dtype, shape, fitting, _remedy(name, dtype, fill))


def _remedy(name: str, dtype: np.dtype[Any], fill: Any) -> str:
    """What to do about a missing value, given what was passed for them: nothing, none for this column, or one that does not fit it."""
    if fill is None:
        return f"Pass fill={{{name!r}: value}} or drop those rows."
    if isinstance(fill, Mapping):
        return f"Add {name!r} to fill, which has {short(list(fill))}, or drop those rows."
    wanted = "text" if dtype.kind == "O" else f"a value that {dtype} holds"
    return f"fill={short(fill)} is not {wanted}: pass a dict, fill={{{name!r}: value, ...}}, or drop those rows."


def known_fill(fill: Any, names: tuple[str, ...]) -> None:
    """Refuse values for columns that are not read."""
    for name in fill if isinstance(fill, Mapping) else ():
        if name not in names:
            raise refusal("fill", "columns that are read", repr(name), (nearest(str(name), names) or f" There are {short(names)}.").strip())


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    tests = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view", "fixed_size_binary")
    return any(getattr(pa.types, f"is_{each}")(kind) for each in tests)


def _instead(kind: Any, name: str) -> str:
    import pyarrow as pa

    types, leave = pa.types, "or leave it out with columns=[...]."
    if types.is_temporal(kind):
        return f"Turn it into numbers before, for example seconds as int64, {leave}"
    if types.is_decimal(kind):
        return f"float64 does not hold its values exactly: cast it before if that is fine, {leave}"
    if types.is_list(kind) or types.is_large_list(kind):
        return f"Pad its lists to one length and store them as a fixed-size list, {leave}"
    if types.is_struct(kind):
        return f"Store its fields as columns, for example with Table.flatten(), {leave}"
    return f"Convert {name!r} before, {leave}"


def _kind_of_fill(what: str, name: str, fill: Any, every: Any) -> Any:
    import pyarrow as pa

    if fill is None:
        fix = f"Leave it out with columns=[...], or {'pass fill=' if every is None else f'add {name!r} to fill'}."
        raise refusal(what, "values", "none in any row", fix)
    return pa.string() if isinstance(fill, (str, bytes)) else pa.from_numpy_dtype(np.asarray(fill).dtype)


def _fitting(given: Any, dtype: np.dtype[Any]) -> Any:
    """A value for what is missing, as one of the column's dtype, or None if it is not exactly that."""
    if dtype.kind == "O" or isinstance(given, (str, bytes)):
        text = given.encode() if isinstance(given, str) else given
        return text if dtype.kind == "O" and isinstance(text, bytes) else None
    try:
        value = np.asarray(given)
        if value.ndim or value.dtype.kind not in "biuf" or (value.dtype.kind == "b") != (dtype.kind == "b"):
            return None
        number = value.item()
        if dtype.kind in "iu" and (isinstance(number, float) or not np.iinfo(dtype).min <= number <= np.iinfo(dtype).max):
            return None
        made = dtype.type(number).item()
    except (TypeError, ValueError, OverflowError):
        return None
    return made if made == number or number != number else None


def values(column: Any, made: Field, where: Where) -> Array:
    """The rows of a column as an array of the field's dtype and shape; a missing value without a fill is an error that names its row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if made.shape:
        width = made.shape[0]
        if column.null_count:
            raise _missing(column, made, where, "Drop those rows.")
        inner = Field(made.name, column.type.value_type, made.dtype, made.shape[1:], made.fill, made.remedy)
        return values(column.flatten(), inner, lambda row: where(row // width)).reshape(-1, *made.shape)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.null_count and made.fill is None:
        raise _missing(column, made, where, made.remedy)
    if made.text:
        column = column.cast(pa.large_binary())
    elif pa.types.is_null(column.type):
        column = column.cast(made.type)
    if column.null_count:
        column = pc.fill_null(column, pa.scalar(made.fill, column.type))
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.int64())
    return np.asarray(column.to_numpy(zero_copy_only=False)).astype(made.dtype, copy=False)


def _missing(column: Any, made: Field, where: Where, fix: str) -> Exception:
    import pyarrow.compute as pc

    row = int(pc.index(pc.is_null(column), True).as_py())
    kind = "text" if made.text else str(made.dtype)
    return refusal(f"{where(row)}, column {made.name!r}", f"a value ({kind})", "nothing", fix)
