"""The command line, as a user runs it: in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tfinput
from tfinput.__main__ import main

ROOT = Path(__file__).parents[1]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "PYTHONWARNINGS"))}
    line = [sys.executable, "-m", "tfinput", *arguments]
    return subprocess.run(line, cwd=ROOT, env=plain, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.floor
def test_the_demo_trains_well_and_proves_its_result() -> None:
    done = command("demo")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "Feed(arrays: train 1438 in 45 steps of 32, validation 359 in 12 steps of 32; seed=0)" in done.stdout
    assert "An epoch is 45 steps, validation is 12. " in done.stdout
    assert done.stdout.count("45/45 - ") == 8
    found = re.search(r"Keras says (\S+); NumPy counts (\d+) of 359 right, (\S+)\.", done.stdout)
    assert found is not None
    assert found[1] == found[3] == f"{int(found[2]) / 359:.6f}"
    assert int(found[2]) / 359 >= 0.95
    assert done.stdout.endswith("They are equal.\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: COMMAND"),
        (["dance"], "invalid choice: 'dance'"),
        (["demo", "--epochs", "0"], "expected a positive whole number, got '0'"),
        (["demo", "--batch-size", "2.5"], "expected a positive whole number, got '2.5'"),
        (["demo", "--seed", "x"], "invalid int value: 'x'"),
    ],
)
def test_bad_usage_is_refused_with_exit_code_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert said in capsys.readouterr().err


def test_help_names_the_commands_and_needs_no_tensorflow() -> None:
    code = "import sys; from tfinput.__main__ import main\ntry: main(['--help'])\nfinally: print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert "demo" in done.stdout
    assert done.stdout.endswith("False\n")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"tfinput {tfinput.__version__}\n"
