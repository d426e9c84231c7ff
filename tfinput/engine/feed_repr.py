"""How a feed shows itself: one line, or a table in a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any, NamedTuple


class Row(NamedTuple):
    """What there is to say of a split."""

    split: str
    examples: int
    steps: int
    batch: int


def line(source: str, rows: Iterable[Row], more: str) -> str:
    """The repr of a feed.

    >>> line("arrays", [Row("train", 10, 3, 4)], "seed=0")
    'Feed(arrays: train 10 in 3 steps of 4; seed=0)'
    """
    told = [
        f"{row.split} {row.examples} in {row.steps} step{'s' if row.steps > 1 else ''} of {min(row.batch, row.examples)}" for row in rows
    ]
    return f"Feed({source}: {', '.join(told)}; {more})"


def table(source: str, rows: Iterable[Row], seed: str, spec: Any) -> str:
    """The same as HTML, with the spec of a batch."""

    def cells(values: Iterable[Any], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(value))}</{tag}>" for value in values) + "</tr>"

    head = cells(("split", "examples", "steps", "batch size"), "th")
    body = "".join(cells(row, "td") for row in rows)
    told = html.escape(str(spec))
    return f"<b>Feed</b> of {html.escape(source)}, seed {seed}<table>{head}{body}</table>a batch: <code>{told}</code>"
