"""pandas and Arrow tables as arrays: numeric tables become a matrix, columns become vectors, and no value changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfinput.errors import refusal, short

Array = np.ndarray[Any, Any]


def array(path: str, value: Any) -> Array:
    """A pandas Series or Index, or an Arrow array, as a vector; a DataFrame or an Arrow table as a matrix."""
    if type(value).__module__.split(".")[0] == "pyarrow":
        if hasattr(value, "column_names"):
            return _matrix(path, [(name, _arrow_column(f"{path}[{name!r}]", value.column(i))) for i, name in enumerate(value.column_names)])
        return _arrow_column(path, value)
    if hasattr(value, "columns"):
        return _matrix(path, [(name, _pandas_column(f"{path}[{name!r}]", value.iloc[:, i])) for i, name in enumerate(value.columns)])
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
    if hasattr(column.type, "value_type"):  # dictionaries and lists
        fix = "Pass plain columns: .dictionary_decode() for categories; pad lists to one length."
        raise refusal(path, "numbers or text", f"a column of {column.type}", fix, TypeError)
    return np.asarray(column.to_numpy() if hasattr(column, "chunks") else column.to_numpy(zero_copy_only=False))


def _matrix(path: str, columns: list[tuple[Any, Array]]) -> Array:
    if not columns:
        raise refusal(path, "at least one column", "a table without columns", "Check the table.")
    for name, column in columns:
        if column.dtype.kind not in "biufc":
            shown = short([name for name, _ in columns], 30)
            fix = f"A table becomes one matrix; else pass a dict of columns: {{name: table[name] for name in {shown}}}."
            raise refusal(f"{path}[{name!r}]", "a numeric column", f"{column.dtype}", fix, TypeError)
    dtype = np.result_type(*(column.dtype for _, column in columns))
    for name, column in columns:
        if not holds(dtype, column):
            fix = "Pass a dict of columns, or convert the column yourself."
            raise refusal(f"{path}[{name!r}]", f"values that {dtype} holds exactly", f"{column.dtype} values that it does not", fix)
    return np.stack([column.astype(dtype) for _, column in columns], axis=1)


def holds(dtype: np.dtype[Any], column: Array) -> bool:
    """Whether every value survives the way to `dtype` and back."""
    cast = column.astype(dtype)
    if column.dtype.kind not in "iu" or dtype.kind in "iu":
        return bool(np.array_equal(cast.astype(column.dtype), column, equal_nan=column.dtype.kind in "fc"))
    # A float just past the largest integer comes back as whatever this machine makes of it.
    inside = cast.real < 2.0 ** (8 * column.dtype.itemsize - (column.dtype.kind == "i"))
    return bool(inside.all()) and bool(np.array_equal(cast.real.astype(column.dtype), column))
