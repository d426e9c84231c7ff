"""pandas and Arrow tables as arrays: numeric tables become a matrix, columns become vectors, and no value changes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np

from tfinput.errors import refusal, short
from tfinput.material import pairing

Array = np.ndarray[Any, Any]
DATES = "Turn it into numbers, as seconds since a day (pandas.to_datetime(column).astype('int64') counts its unit), or drop the column."


def array(path: str, value: Any, mixed: str = "") -> Array:
    """A pandas Series or Index, or an Arrow array, as a vector; a DataFrame or an Arrow table as a matrix.

    `mixed` is what to do about columns that are no numbers, where a dict of columns is no way out.
    """
    if type(value).__module__.split(".")[0] == "pyarrow":
        if hasattr(value, "column_names"):
            left = pairing.unnamed(value)
            kept = [(name, value.column(place)) for place, name in enumerate(value.column_names) if name not in left]
            return _matrix(path, [(name, _arrow_column(f"{path}[{name!r}]", column)) for name, column in kept], mixed)
        return _arrow_column(path, value)
    if hasattr(value, "columns"):
        return _matrix(path, [(name, _pandas_column(f"{path}[{name!r}]", value.iloc[:, i])) for i, name in enumerate(value.columns)], mixed)
    return _pandas_column(path, value)


def _pandas_column(path: str, column: Any) -> Array:
    if type(column.dtype).__name__ == "CategoricalDtype":
        fix = "Pass the codes (.cat.codes) or the text (.astype(str))."
        raise refusal(path, "numbers or text", "a categorical column", fix, TypeError)
    plain = isinstance(column.dtype, np.dtype)
    if not plain or column.dtype.kind == "O":
        missing = np.flatnonzero(np.asarray(column.isna()))
        if len(missing):
            fix = "Fill or drop missing values: .fillna(...) or .dropna()."
            raise refusal(path, "a value in every row", f"nothing in row {missing[0]} ({len(missing)} rows)", fix)
    if plain:
        return np.asarray(column)
    kind = getattr(column.dtype, "numpy_dtype", None)
    return np.asarray(column.to_numpy(dtype=kind) if kind is not None and kind.kind in "biuf" else column.to_numpy())


def _arrow_column(path: str, column: Any) -> Array:
    if column.null_count:
        fix = "Fill or drop nulls: pyarrow.compute.fill_null(column, ...)."
        raise refusal(path, "a value in every row", f"{column.null_count} nulls", fix)
    if hasattr(column.type, "value_type"):
        return _nested(path, column.combine_chunks() if hasattr(column, "chunks") else column)
    made = np.asarray(column.to_numpy() if hasattr(column, "chunks") else column.to_numpy(zero_copy_only=False))
    if made.dtype.kind in "mM":
        fix = "Convert it: numpy.asarray(column).astype('int64') counts its unit."
        raise refusal(path, "numbers or text", f"a column of {column.type} (dates or durations)", fix, TypeError)
    return made


def _nested(path: str, column: Any) -> Array:
    """Rows that are lists or tensors of one length, side by side; categories and lists of several lengths are refused."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if hasattr(column, "to_numpy_ndarray"):
        return np.asarray(column.to_numpy_ndarray())
    if any(getattr(pa.types, f"is_{kind}")(column.type) for kind in ("list", "large_list", "fixed_size_list")):
        lengths = pc.min_max(pc.list_value_length(column)).as_py()
        if lengths["min"] == lengths["max"] and lengths["min"]:
            values = _arrow_column(path, column.flatten())
            return values.reshape(len(column), lengths["min"], *values.shape[1:])
    fix = "Pass plain columns: .dictionary_decode() for categories; pad lists to one length."
    raise refusal(path, "numbers or text", f"a column of {column.type}", fix, TypeError)


def _matrix(path: str, columns: list[tuple[Any, Array]], mixed: str) -> Array:
    if not columns:
        raise refusal(path, "at least one column", "a table without columns", "Check the table.")
    for name, column in columns:
        if column.dtype.kind not in "biufc" or column.ndim > 1:
            got = f"{column.dtype}" if column.ndim == 1 else f"vectors of shape {column.shape[1:]}"
            raise refusal(f"{path}[{name!r}]", "a numeric column", got, mixed or _instead(column, columns), TypeError)
    dtype = np.result_type(*(column.dtype for _, column in columns))
    for name, column in columns:
        if not holds(dtype, column):
            fix = "Convert the column yourself." if mixed else "Pass a dict of columns, or convert the column yourself."
            raise refusal(f"{path}[{name!r}]", f"values that {dtype} holds exactly", f"{column.dtype} values that it does not", fix)
    return np.stack([column.astype(dtype) for _, column in columns], axis=1)


def _instead(column: Array, columns: list[tuple[Any, Array]]) -> str:
    """What to do about a column that is no part of a matrix."""
    if column.dtype.kind in "mM" or any(isinstance(each, (dt.date, dt.time, dt.timedelta)) for each in column[:1].flat):
        return DATES
    shown = short([name for name, _ in columns], 30)
    return f"A table becomes one matrix; else pass a dict of columns: {{name: table[name] for name in {shown}}}."


def holds(dtype: np.dtype[Any], column: Array) -> bool:
    """Whether every value survives the way to `dtype` and back."""
    cast = column.astype(dtype)
    if column.dtype.kind not in "iu" or dtype.kind in "iu":
        return bool(np.array_equal(cast.astype(column.dtype), column, equal_nan=column.dtype.kind in "fc"))
    # A float just past the largest integer comes back as whatever this machine makes of it.
    inside = cast.real < 2.0 ** (8 * column.dtype.itemsize - (column.dtype.kind == "i"))
    return bool(inside.all()) and bool(np.array_equal(cast.real.astype(column.dtype), column))
