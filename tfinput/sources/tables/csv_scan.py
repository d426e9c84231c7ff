"""Where the records of CSV bytes begin and end: quotes respected, whole blocks at a time.

A quote opens a field only where the field begins, and two in a row inside one are text, as in Python's csv module and in
Arrow's reader. Then every second quote opens, unless stray quotes stand in the middle of fields; only blocks that have such
are walked quote by quote.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

QUOTE, LF, CR = b'"\n\r'


class UnclosedQuoteError(ValueError):
    """A quoted field that does not end; its argument is where it begins."""


def records(data: bytes, delimiter: str) -> tuple[Array, Array]:
    r"""Where records begin and where the next may, blank lines left out.

    >>> starts, ends = records(b'a,"1\n2"\n\n3,4', ",")
    >>> starts.tolist(), ends.tolist()
    ([0, 9], [8, 12])
    """
    block = np.frombuffer(data, np.uint8)
    marks, quotes = _line_ends(block), _quotes(block, delimiter)
    if len(quotes) % 2:
        raise UnclosedQuoteError(int(_one_by_one(block, quotes.tolist(), delimiter)[-1]))
    marks = marks[np.searchsorted(quotes, marks) % 2 == 0]
    ends = np.append(marks + 1, len(block))
    starts = np.concatenate([[0], ends[:-1]])
    contents = np.append(marks - ((marks > 0) & (block[marks] == LF) & (block[marks - 1] == CR)), len(block))
    full = contents > starts
    return starts[full], ends[full]


def cut(data: bytes, delimiter: str) -> int:
    r"""Up to where a block that goes on later holds whole records only; 0 if it holds none.

    >>> cut(b'a,b\n1,"x\ny"\n2,"z\n', ",")
    12
    """
    if b'"' not in data and b"\n" in data:
        return data.rindex(b"\n") + 1
    block = np.frombuffer(data, np.uint8)
    marks = _line_ends(block)
    # A carriage return at the very end may be the first half of a line end.
    marks = marks[(marks < len(block) - 1) | (block[marks] == LF)]
    marks = marks[np.searchsorted(_quotes(block, delimiter), marks) % 2 == 0]
    return int(marks[-1]) + 1 if len(marks) else 0


def first(data: bytes, delimiter: str, last: bool) -> int:
    r"""Where the first record ends; 0 if more bytes are needed to tell, or if there is none in the `last` ones.

    >>> first(b"\na,b\n1,2\n", ",", last=False)
    5
    """
    whole = data if last else data[: cut(data, delimiter)]
    ends = records(whole, delimiter)[1].tolist() if whole else [0]
    return int(ends[0]) if ends else 0


def lines(data: bytes) -> int:
    r"""How many lines end in some bytes.

    >>> lines(b"a\r\nb\rc\n")
    3
    """
    return len(_line_ends(np.frombuffer(data, np.uint8)))


def _line_ends(block: Array) -> Array:
    """The last byte of each line end: LF, CR or both."""
    marks = np.flatnonzero((block == LF) | (block == CR))
    following = block[np.minimum(marks + 1, len(block) - 1)]
    kept: Array = marks[(block[marks] == LF) | (following != LF) | (marks == len(block) - 1)]
    return kept


def _quotes(block: Array, delimiter: str) -> Array:
    """The quotes that open and close fields, in turn; doubled ones inside a field may close and open it again."""
    quotes = np.flatnonzero(block == QUOTE)
    opening = quotes[::2]
    before = block[opening - 1]
    begins = (opening == 0) | (before == ord(delimiter)) | (before == LF) | (before == CR)
    begins[1:] |= opening[1:] == quotes[1:-1:2][: len(opening) - 1] + 1
    return quotes if begins.all() else _one_by_one(block, quotes.tolist(), delimiter)


def _one_by_one(block: Array, quotes: list[int], delimiter: str) -> Array:
    borders, at_once = (ord(delimiter), LF, CR), block.data
    kept: list[int] = []
    place = 0
    while place < len(quotes):
        at = quotes[place]
        place += 1
        if at and at_once[at - 1] not in borders:
            continue
        kept.append(at)
        while place + 1 < len(quotes) and quotes[place + 1] == quotes[place] + 1:
            place += 2
        if place < len(quotes):
            kept.append(quotes[place])
            place += 1
    return np.array(kept, np.int64)
