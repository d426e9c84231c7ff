"""`from_parquet`: files of typed columns."""

from __future__ import annotations

from typing import Any, Unpack

from tfinput import feed, options
from tfinput.builders import _build, _table_files, _tables
from tfinput.errors import refusal
from tfinput.sources.tables import parquet, table_source

SUFFIXES = (".parquet", ".parq", ".pq")
# How pandas calls the columns of an index without a name.
UNNAMED = "__index_level_"


@options.common_options
def from_parquet(
    subject: Any,
    *,
    label: Any = None,
    label_mode: str | None = "int",
    weight: Any = None,
    columns: Any = None,
    as_matrix: bool = False,
    fill: Any = None,
    in_memory: bool | None = None,
    follow_links: bool = False,
    verbose: bool = True,
    **given: Unpack[options.Options],
) -> feed.Feed:
    """Feed a Keras model from Parquet files.

    >>> import tempfile, pathlib, pyarrow as pa, pyarrow.parquet as pq, tfinput
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "flats.parquet"
    >>> pq.write_table(pa.table({"rooms": [2, 3, 4, 5], "size": [45.5, 70, 80, 99], "price": [1, 2, 3, 4]}), path)
    >>> tfinput.from_parquet(path, label="price", as_matrix=True, batch_size=2, validation_split=0.5)
    Found 4 rows of 3 columns in 1 file.
    Feed(parquet: train 2 in 1 step of 2, validation 2 in 1 step of 2; seed=0)

    An example is `x`, `(x, y)` or `(x, y, sample_weight)`, where x is a dict of columns or one vector.

    Numbers and bools keep their dtype; text, bytes and categories are text; lists of a fixed size are vectors. Decimals without
    digits after the point are int64. Dates, other decimals, lists of any length and structs are refused. Page checksums are
    verified where a file has them: damage to a file without them, or to the names and types in its footer, may pass unseen.

    Args:
        subject: a path, a list of paths, a pattern such as `"data/*.parquet"`, or a folder, with all Parquet files below it;
            files are sorted by name and have the same columns.
        label: the column of targets, or a list of columns for a dict of targets.
        label_mode: "int" numbers the classes of a label that is text, sorted by name (`feed.class_names`), as int32; None leaves text
            as it is. Numbers stay as they are.
        weight: the column of sample weights.
        columns: which columns are inputs, in this order; None takes all others.
        as_matrix: True makes one vector of the inputs, which must all be numbers, of a dtype that holds all their values.
        fill: what stands for missing values: one value, or a dict by column. Without it they are errors.
        in_memory: True reads all rows at once, False row groups one after another while training, large ones in parts. None reads
            at once what takes at most a quarter of the free memory.
        follow_links: follow links to folders, and to files outside of the folder.
        verbose: print how much was found.
        {common options}

    Returns:
        A `tfinput.Feed`.

    Raises:
        ValueError: for columns that are not there, missing values, with their row (from 1 on), and damaged files
            (`tfinput.errors.FileError`, also an `OSError`).
        TypeError: for unknown options, and for columns that make no tensors.

    """
    known = _build.begin(dict(given), from_parquet)
    asked = _tables.TableOptions(label, weight, columns, as_matrix, fill, _tables.read_at_once(in_memory), verbose, follow_links)
    return _tables.feed_of(_parquet, "parquet", subject, asked, label_mode, known)


def _parquet(name: str, subject: Any, asked: _tables.TableOptions) -> _tables.Opened:
    files = [parquet.parquet_file(path) for path in _table_files.paths(name, subject, SUFFIXES, asked.follow_links, asked.verbose)]
    first = files[0]
    names = first.schema.names
    chosen = asked.roles(first.path, names, [each for each in names if each.startswith(UNNAMED)])
    for file in files[1:]:
        there = file.schema.names
        wrong = set(chosen.names) - set(there) if asked.columns is not None else set(names) ^ set(there)
        if wrong:
            got, fix = _table_files.difference(there, names)
            raise refusal(file.path, f"the columns of {first.path}", got, fix)
    table = parquet.ParquetTable(name, files, chosen.names, asked.fill)
    return asked.opened(table_source.Rows(table, chosen), asked.fits(table.nbytes))
