"""`from_csv`: files of rows and columns, as text."""

from __future__ import annotations

import functools
from typing import Any, Unpack

from tfinput import feed, options
from tfinput.builders import _build, _table_files, _tables
from tfinput.errors import refusal, short
from tfinput.sources.tables import csv_files, csv_header, csv_table, table_source

# Memory that a table takes over the size of its file; gzip packs text to about a fifth.
UNFOLDED, UNZIPPED = 2, 10


@options.common_options
def from_csv(
    subject: Any,
    *,
    label: Any = None,
    label_mode: str | None = "int",
    weight: Any = None,
    columns: Any = None,
    as_matrix: bool = False,
    fill: Any = None,
    header: bool | str | None = "infer",
    column_names: Any = None,
    delimiter: str = ",",
    in_memory: bool | None = None,
    verbose: bool = True,
    **given: Unpack[options.Options],
) -> feed.Feed:
    r"""Feed a Keras model from CSV files, whose first line names the columns or is data like the others.

    >>> import tempfile, pathlib, tfinput
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "flats.csv"
    >>> _ = path.write_text("rooms,size,city,price\n" + "2,45.5,Rome,100\n3,70,Oslo,150\n" * 4)
    >>> feed = tfinput.from_csv(path, label="price", batch_size=4, validation_split=2)
    Found 8 rows of 4 columns in 1 file.
    >>> feed
    Feed(csv: train 6 in 2 steps of 4, validation 2 in 1 step of 2; seed=0)
    >>> feed.element_spec[0]["size"]
    TensorSpec(shape=(None,), dtype=tf.float64, name=None)

    Without such a line the columns are called "0", "1", and so on, unless `column_names` names them:

    >>> _ = path.write_text("5.1,3.5,setosa\n4.9,3.0,setosa\n6.3,3.3,virginica\n")
    >>> tfinput.from_csv(path, header=False, label=2, as_matrix=True).class_names
    Found 3 rows of 3 columns in 1 file.
    ('setosa', 'virginica')

    An example is `x`, `(x, y)` or `(x, y, sample_weight)`, where x is a dict of columns, each of shape (), or one vector.

    A column has one dtype over all files: int64 if all its values are whole numbers, else float64 if all are numbers, else
    bool (true, false), else text, which is said where most of them are numbers; dates stay text. Numbers are float64 so that
    they are what the file says; Keras casts them to float32. An empty field, NA, NaN, None, null and the like are missing, but in
    inputs that are text, where they are text. Quoted fields may hold delimiters and line ends; blank lines do not count.

    Args:
        subject: a path, a list of paths, or a pattern such as `"data/*.csv"`, whose matches are sorted. Plain or gzip, in UTF-8,
            with the same columns each.
        label: the column of targets, or a list of columns for a dict of targets.
        label_mode: "int" numbers the classes of a label that is text, sorted by name (`feed.class_names`), as int32; None leaves text
            as it is. Numbers stay as they are.
        weight: the column of sample weights.
        columns: which columns are inputs, in this order; None takes all others.
        as_matrix: True makes one vector of the inputs, which must all be numbers, of a dtype that holds all their values.
        fill: what stands for missing values, those of the label and weight included: one value, or a dict by column. Without it
            they are errors. Text also replaces empty fields in inputs that are text; for a label that is text it is a class.
        header: True: the first line of each file names its columns; False (or None, as in pandas): it is data. "infer" takes it
            for names and refuses it where it looks like data, such as a number above numbers; with `column_names` it is data, or
            those very names, in some files this and in others that.
        column_names: a name for each column, in the order of the files. With `header=True` they replace those in the files.
            Columns of files with neither are called by their places, "0", "1", ..., as in pandas; then `label`, `weight`,
            `columns` and `fill` take places, too: `label=-1` is the last column.
        delimiter: what separates fields, one character.
        in_memory: True reads all rows at once, False a piece of 8 MB at a time while training. None reads at once
            what takes at most a quarter of the free memory.
        verbose: print how much was found.
        {common options}

    Returns:
        A `tfinput.Feed`.

    Raises:
        ValueError: for first lines that look like data, another number of `column_names` than of columns, columns that are not
            there, missing values, whole numbers that neither int64 nor float64 holds, with the line of the file, and for lines of
            another length, unclosed quotes and damaged files (`tfinput.errors.FileError`, also an `OSError`).
        TypeError: for unknown options, and for text where as_matrix needs numbers.

    """
    known = _build.begin(dict(given), from_csv)
    if not isinstance(delimiter, str) or len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
        raise refusal("delimiter", "one ASCII character", short(delimiter), "Pass for example delimiter=';'.")
    read = functools.partial(_csv, delimiter, csv_header.CsvHeader.asked(header, column_names))
    asked = _tables.TableOptions(label, weight, columns, as_matrix, fill, _tables.read_at_once(in_memory), verbose)
    return _tables.feed_of(read, "csv", subject, asked, label_mode, known)


def _csv(delimiter: str, header: csv_header.CsvHeader, name: str, subject: Any, asked: _tables.TableOptions) -> _tables.Opened:
    files = _csv_files(delimiter, header, name, subject, asked)
    first = files[0]
    # pandas writes its index as a first column without a name.
    index = [""] if first.names[0] == "" else []
    fix = "Rename one, pass column_names=[...], or header=False if the first line is data."
    chosen = asked.roles(first.path, first.names, index, fix)
    if "" in chosen.features and asked.columns is None:
        got = f"none for column {first.names.index('') + 1}"
        raise refusal(first.path, "a name for each column", got, "Name it, or pass columns=[...].")
    nbytes = sum(file.state[0] * (UNZIPPED if file.zipped else UNFOLDED) for file in files)
    fits = asked.fits(nbytes)
    types = None if asked.fields is None else {each: asked.fields[each].type for each in chosen.names}
    labels = (chosen.label,) if isinstance(chosen.label, str) else chosen.label or ()
    fill = csv_header.by_name(asked.fill, first.names)
    table = csv_table.CsvTable(name, files, chosen.names, fill, types, fits, labels)
    for said in table.mixed() if asked.verbose else ():
        print(said)
    return asked.opened(table_source.Rows(table, chosen), fits)


def _csv_files(
    delimiter: str, header: csv_header.CsvHeader, name: str, subject: Any, asked: _tables.TableOptions
) -> list[csv_files.CsvFile]:
    """The files of a subject, which have the same columns."""
    files: list[csv_files.CsvFile] = []
    for path in _table_files.paths(name, subject, (), asked.follow_links, asked.verbose):
        file = csv_files.csv_file(path, delimiter, header, files[0] if files else asked.before)
        if files and file.names != files[0].names:
            got, fix = _table_files.difference(file.names, files[0].names)
            if header == csv_header.INFERRED:
                fix = f"{fix.removesuffix('.')}, or, if some have no header, pass column_names=[...]."
            raise refusal(path, f"the columns of {files[0].path}", got, fix)
        files.append(file)
    # Columns that are known by their places alone are others where there are more or fewer of them.
    if header.row is False and asked.before is not None and len(files[0].names) != len(asked.before.names):
        fix = "Give all files the same columns."
        raise refusal(files[0].path, f"{len(asked.before.names)} columns, as in training", f"{len(files[0].names)}", fix)
    return files
