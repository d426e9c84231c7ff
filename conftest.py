"""For all tests and doctests: temporary files lie in one folder, which goes with the run."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Docstrings cannot clean up what they write; child processes look at the environment."""
    folder = tempfile.mkdtemp(prefix="tfinput-")
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
