"""`from_csv` and `from_parquet`: files of rows and columns."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from tfinput import assembly, feed, options
from tfinput.builders import subjects
from tfinput.errors import FileError, refusal, short
from tfinput.source import Source
from tfinput.sources import csvfiles, csvtable, parquet, roles, tablestreams, tabular
from tfinput.sources.columns import Field, known_fill
from tfinput.sources.encoded import encoded
from tfinput.sources.folders import Walk, links, shown, suffix

# What is read into memory takes at most this share of what is free.
SHARE = 0.25
# Memory that a table takes over the size of its file; gzip packs text to about a fifth.
UNFOLDED, UNZIPPED = 2, 10
PARQUET = (".parquet", ".parq", ".pq")
Opened = tuple[Source, tabular.Rows]
UNNAMED = "__index_level_"


@dataclass(frozen=True)
class Asked:
    """What a user asked of the columns of a table."""

    label: Any
    weight: Any
    columns: Any
    as_matrix: bool
    fill: Any
    in_memory: bool | None
    verbose: bool
    follow_links: bool = False
    fields: dict[str, Field] | None = None

    def again(self, first: tabular.Rows) -> Asked:
        """The same of other files: what was settled for the first ones."""
        return dataclasses.replace(self, columns=first.chosen.features, verbose=False, fields=first.pieces.fields)

    def roles(self, source: str, names: Sequence[str], index: Sequence[str]) -> roles.Roles:
        """Settle which columns play which part; an index that pandas wrote beside the columns is no feature unless asked for."""
        twice = next((name for name in names if list(names).count(name) > 1), None)
        if twice is not None:
            raise refusal(source, "columns of different names", f"{twice!r} twice", "Rename one.")
        left_out = [name for name in index if name in names]
        chosen = roles.settled(source, names, self.label, self.weight, self.columns, self.as_matrix, left_out)
        if self.verbose and left_out and self.columns is None:
            print(f"Left out {', '.join(map(repr, left_out))}, which pandas writes for the index.")
        known_fill(self.fill, chosen.names)
        return chosen

    def fits(self, nbytes: float) -> bool:
        """Whether to read it all at once."""
        return nbytes <= SHARE * tabular.free_bytes() if self.in_memory is None else self.in_memory

    def opened(self, rows: tabular.Rows, fits: bool) -> Opened:
        """The source of some rows, after saying what was found."""
        made = tabular.in_memory(rows) if fits else tablestreams.streamed(rows)
        if self.verbose:
            files = len(rows.pieces.paths)
            streamed = "" if made.stream is None else ", read while training"
            print(f"Found {made.size:,} rows of {len(rows.chosen.names)} columns in {files} file{'s' * (files > 1)}{streamed}.")
        return made, rows


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
    delimiter: str = ",",
    in_memory: bool | None = None,
    verbose: bool = True,
    **given: Unpack[options.Options],
) -> feed.Feed:
    r"""Feed a Keras model from CSV files whose first line names the columns.

    >>> import tempfile, pathlib, tfinput
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "flats.csv"
    >>> _ = path.write_text("rooms,size,city,price\n" + "2,45.5,Rome,100\n3,70,Oslo,150\n" * 4)
    >>> feed = tfinput.from_csv(path, label="price", batch_size=4, validation_split=2)
    Found 8 rows of 4 columns in 1 file.
    >>> feed
    Feed(csv: train 6 in 2 steps of 4, validation 2 in 1 step of 2; seed=0)
    >>> feed.element_spec[0]["size"]
    TensorSpec(shape=(None,), dtype=tf.float64, name=None)

    An example is `x`, `(x, y)` or `(x, y, sample_weight)`, where x is a dict of columns, each of shape (), or one vector.

    A column has one dtype over all files: int64 if all its values are whole numbers, else float64 if all are numbers, else
    bool (true, false), else text, which is said where most of them are numbers; dates stay text. Numbers are float64 so that
    they are what the file says; Keras casts them to float32. An empty field, NA, NaN, null and the like are missing, but in a
    column of text, where they are text. Quoted fields may hold delimiters and line ends; blank lines do not count.

    Args:
        subject: a path, a list of paths, or a pattern such as `"data/*.csv"`, whose matches are sorted. Plain or gzip, in UTF-8,
            with the same columns each.
        label: the column of targets, or a list of columns for a dict of targets.
        label_mode: "int" numbers the classes of a label that is text, sorted by name (`feed.class_names`), as int32; None leaves text
            as it is. Numbers stay as they are.
        weight: the column of sample weights.
        columns: which columns are inputs, in this order; None takes all others.
        as_matrix: True makes one vector of the inputs, which must all be numbers, of a dtype that holds all their values.
        fill: what stands for missing values: one value, or a dict by column. Without it they are errors. Text also replaces
            empty fields in columns of text.
        delimiter: what separates fields, one character.
        in_memory: True reads all rows at once, False a piece of 8 MB at a time while training. None reads at once
            what takes at most a quarter of the free memory.
        verbose: print how much was found.
        {common options}

    Returns:
        A `tfinput.Feed`.

    Raises:
        ValueError: for columns that are not there, missing values, whole numbers that neither int64 nor float64 holds, with the
            line of the file, and for lines of another length, unclosed quotes and damaged files (`tfinput.errors.FileError`, also
            an `OSError`).
        TypeError: for unknown options, and for text where as_matrix needs numbers.

    """
    known = options.known(dict(given), from_csv)
    if not isinstance(delimiter, str) or len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
        raise refusal("delimiter", "one ASCII character", short(delimiter), "Pass for example delimiter=';'.")
    asked = Asked(label, weight, columns, as_matrix, fill, _choice(in_memory), verbose)
    return _feed(functools.partial(_csv, delimiter), "csv", subject, asked, label_mode, known)


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
    known = options.known(dict(given), from_parquet)
    asked = Asked(label, weight, columns, as_matrix, fill, _choice(in_memory), verbose, follow_links)
    return _feed(_parquet, "parquet", subject, asked, label_mode, known)


def _choice(in_memory: Any) -> bool | None:
    if in_memory not in (True, False, None):
        raise refusal("in_memory", "True, False or None", short(in_memory), "Leave it out: what fits is read into memory.", TypeError)
    return None if in_memory is None else bool(in_memory)


def _feed(read: Callable[[str, Any, Asked], Opened], name: str, subject: Any, asked: Asked, mode: Any, known: dict[str, Any]) -> feed.Feed:
    """The feed of a subject, with the validation and test examples that are given by themselves."""
    subjects.one_of("label_mode", mode, ("int", None))
    made, first = read(name, subject, asked)
    given = ("validation_data", "test_data")
    others = [None if known[each] is None else read(each, known[each], asked.again(first))[0] for each in given]
    if mode == "int":
        made = encoded(made, None)
        others = [other and encoded(other, made.class_names) for other in others]
    return assembly.build(made, known, *others)


def _csv(delimiter: str, name: str, subject: Any, asked: Asked) -> Opened:
    files = [csvfiles.csv_file(path, delimiter) for path in _paths(name, subject, (), asked)]
    first = files[0]
    for file in files[1:]:
        if file.names != first.names:
            got, fix = _difference(file.names, first.names)
            raise refusal(file.path, f"the columns of {first.path}", got, fix)
    # pandas writes its index as a first column without a name.
    chosen = asked.roles(first.path, first.names, [""] if first.names[0] == "" else [])
    if "" in chosen.features and asked.columns is None:
        got = f"none for column {first.names.index('') + 1}"
        raise refusal(first.path, "a name for each column", got, "Name it, or pass columns=[...].")
    nbytes = sum(file.state[0] * (UNZIPPED if file.zipped else UNFOLDED) for file in files)
    fits = asked.fits(nbytes)
    types = None if asked.fields is None else {each: asked.fields[each].type for each in chosen.names}
    table = csvtable.CsvTable(name, files, chosen.names, asked.fill, types, fits)
    for said in table.mixed() if asked.verbose else ():
        print(said)
    return asked.opened(tabular.Rows(table, chosen), fits)


def _parquet(name: str, subject: Any, asked: Asked) -> Opened:
    files = [parquet.parquet_file(path) for path in _paths(name, subject, PARQUET, asked)]
    first = files[0]
    names = first.schema.names
    chosen = asked.roles(first.path, names, [each for each in names if each.startswith(UNNAMED)])
    for file in files[1:]:
        there = file.schema.names
        wrong = set(chosen.names) - set(there) if asked.columns is not None else set(names) ^ set(there)
        if wrong:
            got, fix = _difference(there, names)
            raise refusal(file.path, f"the columns of {first.path}", got, fix)
    table = parquet.ParquetTable(name, files, chosen.names, asked.fill)
    return asked.opened(tabular.Rows(table, chosen), asked.fits(table.nbytes))


def _difference(names: Sequence[str], first: Sequence[str]) -> tuple[str, str]:
    missing, more = [each for each in first if each not in names], [each for each in names if each not in first]
    got = [f"no {short(missing)}"] * bool(missing) + [f"{short(more)} besides"] * bool(more)
    return " and ".join(got) or f"another order: {short(list(names))}", "Give all files the same columns."


def _paths(name: str, subject: Any, suffixes: Sequence[str], asked: Asked) -> list[str]:
    """The files of a subject: a path, a list of paths, a pattern, or a folder where there are suffixes."""
    if isinstance(subject, (str, bytes, os.PathLike)):
        path = os.path.expanduser(os.fsdecode(subject))
        if suffixes and os.path.isdir(path):
            return _folder(path, suffixes, asked)
    paths = [os.fsdecode(path) for path in subjects.files_of(name, subject)]
    for path in paths:
        if not os.access(path, os.R_OK):
            raise refusal(shown(os.fsencode(path)), "a file that may be read", "no permission", "Check its permissions.", FileError)
    return paths


def _folder(path: str, suffixes: Sequence[str], asked: Asked) -> list[str]:
    """The files below a folder, in the order of their paths; names that begin with a dot or underscore are of whoever wrote them."""
    root = os.fsencode(path)
    walk = Walk(root, lambda name, _: suffix(name) in suffixes, asked.follow_links)
    with contextlib.closing(walk):
        found = walk.files(root)
    inside = {each: os.path.relpath(each, root).split(os.sep.encode()) for each in found}
    for each, names in inside.items():
        parted = next((name for name in names[:-1] if b"=" in name), None)
        if parted is not None:
            fix = "Read it with pyarrow.dataset and write it with that column."
            raise refusal(shown(each), "files that hold all columns", f"a folder {shown(parted)!r}, whose name is one", fix, FileError)
    if walk.left_out["broken links"] and asked.verbose:
        print(f"Left out in {shown(root)}: {walk.left_out['broken links']} broken links.\nBroken links: {links(root, walk.broken)}.")
    kept = sorted(os.fsdecode(each) for each, names in inside.items() if not any(name.startswith(b"_") for name in names))
    if not kept:
        there = f", but broken links: {links(root, walk.broken)}" if walk.broken else ""
        raise refusal(path, f"a folder with files of {', '.join(suffixes)}", f"none{there}", "Check the path.", FileError)
    return kept
