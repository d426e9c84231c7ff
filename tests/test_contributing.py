"""CONTRIBUTING answers where things are; what it says is true."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from layout import ROWS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
ANSWERS = re.findall(r"^\| (Where .*\?) \| `(.*?)` \| `(.*?)` \|$", TEXT, re.MULTILINE)


def test_there_are_answers() -> None:
    assert len(ANSWERS) >= 10


@pytest.mark.parametrize(("question", "file", "name"), ANSWERS, ids=[question for question, _, _ in ANSWERS])
def test_what_a_change_is_about_lies_where_its_name_says(question: str, file: str, name: str) -> None:
    body = ast.parse((ROOT / "tfinput" / file).read_text()).body
    defined = {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    defined |= {target.id for node in body if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)}
    assert name in defined, question


def test_the_rows_are_those_of_the_test_of_imports() -> None:
    table = TEXT[TEXT.index("| row | what it knows |") :].split("\n\n")[0].splitlines()[2:]
    rows = [set(re.findall(r"`(\w+)/?`", line.split("|")[1])) for line in table]
    assert rows == [set(row) - {"__init__"} for row in ROWS]
