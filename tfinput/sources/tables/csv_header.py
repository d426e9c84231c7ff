"""Whether the first record of a CSV file names its columns, and what they are called where it does not."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from tfinput.errors import HeaderError, refusal, short

# What stands for a missing value, but in columns of text that are inputs.
MISSING = ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"]
MISSING += ["N/A", "NA", "NULL", "NaN", "n/a", "nan", "null", "None", "<NA>"]
NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_NUMBER = re.compile(rf"{NUMBER}|\s*([+-]?inf(inity)?|0x[0-9a-f]+)\s*", re.IGNORECASE | re.ASCII)
# Dates, times, amounts, ranges: digits without letters, but for those that ISO 8601 and powers of ten have.
_FIGURE = re.compile(r"(?=.*\d)([\W\d_]|(?<=\d)[TZeE])*", re.DOTALL)
_YEARS = (1500, 2200)
# From so many on, numbers that rise or fall from name to name are no accident: of 8 random ones in a row, 1 in 20,000 is in order.
_ORDERED = 8
_RUN = 4
MIXED_HEADERS = "Pass column_names=[...] as the headers have them, and no header=: then each file may have a header or not."
OTHER_DELIMITERS = ";\t|,"


@dataclass(frozen=True)
class CsvHeader:
    """What a user said of the first record of each file: whether it names the columns (None: look), and what they are called."""

    row: bool | None = None
    names: tuple[str, ...] | None = None

    @classmethod
    def asked(cls, header: Any, names: Any) -> CsvHeader:
        """What the options `header` and `column_names` mean."""
        # 0 is what pandas calls a header in the first line: as a bool it would be the contrary.
        if not (header is None or isinstance(header, bool) or (isinstance(header, str) and header == "infer")):
            fix = "Pass True if the first line of each file names its columns, False if it is data."
            raise refusal("header", "'infer', True or False", short(header), fix, ValueError if isinstance(header, str) else TypeError)
        return cls(None if header == "infer" else bool(header), None if names is None else _names(names))

    def settled(
        self, path: str, line: int, row: tuple[str, ...], below: Callable[[], list[list[str]]], known: tuple[str, ...] = ()
    ) -> tuple[tuple[str, ...], bool]:
        """What the columns of a file are called, and whether its first record, `row`, is no data.

        `below` gives the next records. `known` is the first record of the files before: one that repeats it is what that one is.
        """
        where, names = f"{path} line {line}", self.names
        if names is not None and len(names) != len(row):
            fix = "Name each column once, in the order of the file; columns=[...] chooses among them."
            raise refusal(f"column_names for {where}", f"{len(row)} names, as there are fields", f"{len(names)}", fix)
        if self.row is False:
            if names is not None and _same(row, names):
                fix = "Leave header out: then each file may have a header or not."
                raise refusal(where, "data, as header=False says", "the column_names themselves", fix)
            return names or numbered(len(row)), False
        if self.row:
            if names is not None and known and row != known and data_in(row, below()) is not None:
                raise refusal(where, f"names of columns, such as {short(list(known))} of the files before", short(list(row)), MIXED_HEADERS)
            return names or row, True
        if names is not None:
            return names, self._repeated(where, row, names, below)
        if row != known and (why := data_in(row, below())) is not None:
            raise refusal(where, "the names of the columns", why, MIXED_HEADERS if known else _remedy(row), HeaderError)
        return row, True

    @staticmethod
    def _repeated(where: str, row: tuple[str, ...], names: tuple[str, ...], below: Callable[[], list[list[str]]]) -> bool:
        """Whether a first record repeats the names that were given, and is no data."""
        if not _same(row, names) and data_in(row, below()) is None:
            fix = "Pass header=True if they are names, which column_names replace, or header=False if they are data."
            raise refusal(where, "data, or the column_names themselves", short(list(row)), fix)
        return _same(row, names)


INFERRED = CsvHeader()


def numbered(count: int) -> tuple[str, ...]:
    """What columns without names are called: their places, from 0 on, as pandas calls them."""
    return tuple(map(str, range(count)))


def by_name(value: Any, names: Sequence[str]) -> Any:
    """A column that is meant by its place, by its name; only where names are places, so that no number means two columns."""
    if isinstance(value, Mapping):
        return {by_name(key, names): each for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [by_name(each, names) for each in value]
    place = int(value) if isinstance(value, Integral) and not isinstance(value, bool) else len(names)
    return names[place] if -len(names) <= place < len(names) and tuple(names) == numbered(len(names)) else value


def data_in(row: Sequence[str], below: Sequence[Sequence[str]]) -> str | None:
    """What in the first record seems to be data, given the next ones; None if it names columns, as far as that can be seen.

    A number above numbers is data, as is a date above dates, and a text that stands below again. A word above nothing but numbers
    is a name, and then whole numbers beside it are names, too. So are numbers that run on from column to column as those of no
    record below do: pixels 0 to 783, the years of a wide table, wavelengths.

    >>> data_in(["5.1", "setosa"], [["4.9", "setosa"]])
    "'5.1', a number above numbers"
    >>> data_in(["size", "kind"], [["4.9", "setosa"]])
    >>> data_in(["country", "2019", "2020"], [["Italy", "1.5", "2"]])
    """
    below = [record for record in below if len(record) == len(row)]
    columns = list(zip(*below, strict=True)) if below else [()] * len(row)
    if row[0] == "" and columns[0] == numbered(len(below)):  # The index that pandas writes.
        return None
    kinds = [Counter(filter(None, map(_kind, values))) for values in columns]
    found = {place: why for place, cell in enumerate(row) if (why := _like_its_column(cell, columns[place], kinds[place]))}
    titled = any(_kind(cell) == "word" and count and not count["word"] for cell, count in zip(row, kinds, strict=True))
    if titled and all(cell.strip().isdecimal() for cell in row if _kind(cell) in ("number", "figure")):
        return None
    numbers = [place for place in found if _kind(row[place]) == "number"]
    if len(numbers) == len(found) and _run_on([row[place] for place in numbers], [[r[place] for place in numbers] for r in below], titled):
        return None
    return next(iter(found.values()), None)


def _like_its_column(cell: str, values: Sequence[str], kinds: Counter[str]) -> str | None:
    """Why a field of the first record is one of its column's values, if it seems so."""
    kind = _kind(cell)
    if kind == "word":
        return f"{short(cell)}, which stands below again" if cell in values else None
    if kind is None or (values and 2 * kinds[kind] <= kinds.total()):
        return None
    if not values:
        return f"{short(cell)} and nothing below"
    if kind == "number":
        return f"{short(cell)}, a number above numbers"
    return f"{short(cell)} above values such as {short(next(value for value in values if _kind(value) == kind))}"


def _kind(text: str) -> str | None:
    """Whether a field is a number, another figure or a word; None if it stands for a missing value."""
    if _NUMBER.fullmatch(text):
        return "number"
    if text.strip() in MISSING or not any(map(str.isalnum, text)):
        return None
    return "figure" if _FIGURE.fullmatch(text) else "word"


def _run_on(cells: Sequence[str], below: Sequence[Sequence[str]], titled: bool) -> bool:
    """Whether numbers run on from name to name as those of no record below do."""
    numbers = _floats(cells)
    if numbers is None or len(numbers) < 2 or not _in_order(numbers):
        return False
    records = [record for record in map(_floats, below) if record is not None]
    years = [_is_year(number) for number in itertools.chain(*records)]
    if all(map(_is_year, numbers)) and 2 * sum(years) <= len(years):
        return True
    ordered = sum(map(_in_order, records))
    if (titled and 2 * ordered <= len(records)) or (len(numbers) >= _ORDERED and not ordered):
        return True
    if all(map(str.isdecimal, cells)) and all("." in value for value in itertools.chain(*below) if value not in MISSING):
        return _even(numbers)  # Whole numbers above decimal ones only: what pandas calls columns without names.
    return len(numbers) >= _RUN and _even(numbers) and not any(map(_even, records))


def _floats(texts: Sequence[str]) -> list[float] | None:
    try:
        return [float(text) for text in texts]
    except ValueError:
        return None


def _is_year(number: float) -> bool:
    return number % 1 == 0 and _YEARS[0] <= number < _YEARS[1]


def _in_order(numbers: Sequence[float]) -> bool:
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    return all(step > 0 for step in steps) or all(step < 0 for step in steps)


def _even(numbers: Sequence[float]) -> bool:
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    return steps[0] != 0 and all(abs(step - steps[0]) <= 1e-6 * abs(steps[0]) for step in steps)


def _same(row: Sequence[str], names: Sequence[str]) -> bool:
    return [cell.strip() for cell in row] == [name.strip() for name in names]


def _remedy(row: Sequence[str]) -> str:
    other = next((each for each in OTHER_DELIMITERS if len(row) == 1 and each in row[0]), None)
    if other is not None:
        return f"Is it delimiter={other!r}? Else pass header=False if that line is data, header=True if it is not."
    return "Pass header=False if that line is data (and column_names=[...] to name the columns), header=True if it is not."


def _names(given: Any) -> tuple[str, ...]:
    """The names that a user gave."""
    fix = "Pass a name for each column, such as column_names=['length', 'width', 'kind']."
    if isinstance(given, (str, bytes, Mapping)):
        raise refusal("column_names", "a list of names", short(given), fix, TypeError)
    try:
        names = tuple(given)
    except TypeError as error:
        raise refusal("column_names", "a list of names", short(given), fix, TypeError) from error
    for place, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise refusal(f"column_names[{place}]", "text that is not empty", short(name), fix, TypeError if name != "" else ValueError)
        if names.index(name) < place:
            raise refusal("column_names", "different names", f"{name!r} twice", "Rename one.")
    if not names:
        raise refusal("column_names", "at least one name", "none", fix)
    return tuple(map(str, names))
