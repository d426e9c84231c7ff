"""What `from_csv` and `from_parquet` share: the roles of columns, and whether a table is read at once or streamed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tfinput import feed, options
from tfinput.builders import _build
from tfinput.errors import refusal, short
from tfinput.material import rows as memory
from tfinput.sources.base import Source
from tfinput.sources.tables import csv_files, csv_header, csv_table, roles, table_source, table_streams
from tfinput.sources.tables.arrow_columns import Field, known_fill
from tfinput.sources.tables.encoded_labels import encoded

# What is read into memory takes at most this share of what is free.
SHARE = 0.25
Opened = tuple[Source, table_source.Rows]


@dataclass(frozen=True)
class TableOptions:
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
    before: csv_files.CsvFile | None = None  # the first of the CSV files that were read before

    def again(self, first: table_source.Rows) -> TableOptions:
        """The same of other files: what was settled for the first ones."""
        chosen = first.chosen
        before = first.pieces.first if isinstance(first.pieces, csv_table.CsvTable) else None
        asked = dataclasses.replace(self, label=chosen.label, weight=chosen.weight, columns=chosen.features, verbose=False)
        return dataclasses.replace(asked, fields=first.pieces.fields, before=before)

    def roles(self, source: str, names: Sequence[str], index: Sequence[str], fix: str = "Rename one.") -> roles.Roles:
        """Settle which columns play which part; an index that pandas wrote beside the columns is no feature unless asked for."""
        twice = next((name for name in names if list(names).count(name) > 1), None)
        if twice is not None:
            raise refusal(source, "columns of different names", f"{twice!r} twice", fix)
        left_out = [name for name in index if name in names]
        chosen = roles.settled(source, names, self.label, self.weight, self.columns, self.as_matrix, left_out)
        if self.verbose and left_out and self.columns is None:
            print(f"Left out {', '.join(map(repr, left_out))}, which pandas writes for the index.")
        known_fill(csv_header.by_name(self.fill, names), chosen.names)
        return chosen

    def fits(self, nbytes: float) -> bool:
        """Whether to read it all at once."""
        return nbytes <= SHARE * memory.free_bytes() if self.in_memory is None else self.in_memory

    def opened(self, rows: table_source.Rows, fits: bool) -> Opened:
        """The source of some rows, after saying what was found."""
        made = table_source.in_memory(rows) if fits else table_streams.streamed(rows)
        if self.verbose:
            files = len(rows.pieces.paths)
            streamed = "" if made.stream is None else ", read while training"
            print(f"Found {made.size:,} rows of {len(rows.chosen.names)} columns in {files} file{'s' * (files > 1)}{streamed}.")
        return made, rows


def read_at_once(in_memory: Any) -> bool | None:
    if in_memory not in (True, False, None):
        raise refusal("in_memory", "True, False or None", short(in_memory), "Leave it out: what fits is read into memory.", TypeError)
    return None if in_memory is None else bool(in_memory)


def feed_of(
    read: Callable[[str, Any, TableOptions], Opened], name: str, subject: Any, asked: TableOptions, mode: Any, known: dict[str, Any]
) -> feed.Feed:
    """The feed of a subject, with the validation and test examples that are given by themselves."""
    options.one_of("label_mode", mode, ("int", None))
    made, first = read(name, subject, asked)
    given = ("validation_data", "test_data")
    others = [None if known[each] is None else read(each, known[each], asked.again(first))[0] for each in given]
    if mode == "int":
        made = encoded(made, None)
        others = [other and encoded(other, made.class_names) for other in others]
    return _build.build(made, known, *others)
