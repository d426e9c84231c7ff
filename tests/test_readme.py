"""The README keeps its word: its code runs, in order and in one namespace, its links lead somewhere."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import keras
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_every_block_of_code_runs() -> None:
    keras.utils.set_random_seed(0)
    namespace: dict[str, Any] = {}
    kinds = [kind for kind, _ in BLOCKS]
    assert kinds.count("sh") == 1
    for number, (kind, code) in enumerate(BLOCKS):
        if kind == "python":
            exec(compile(code, f"README.md, block {number}", "exec"), namespace)
        elif kind == "pycon":
            example = doctest.DocTestParser().get_doctest(code, namespace, f"README.md, block {number}", None, None)
            assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, clear_globs=False).failed == 0
        else:
            assert kind == "sh"


def test_the_first_example_has_eight_lines() -> None:
    assert len([line for line in BLOCKS[0][1].splitlines() if line]) == 8


def test_the_two_set_up_commands_are_those_of_the_checks() -> None:
    (commands,) = [code.splitlines() for kind, code in BLOCKS if kind == "sh"]
    checks = (ROOT / ".ci" / "run").read_text()
    for command in [part for line in commands for part in line.split(" && ")]:
        assert command.replace("pip ", "").replace("python ", "") in checks


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_to_files(name: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / name).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []
