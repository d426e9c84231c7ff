"""Shared by all tests: quiet TensorFlow, and how to read the identities of examples out of a dataset."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow looks through every function for what oneDNN could do, which takes a sixth of the tests' time.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import itertools
from typing import Any

import numpy as np
import pytest

# Scripts that tests run in processes of their own; importing them for doctests would set up Keras for all tests.
collect_ignore = ["interrupted.py", "mirrored.py", "sharded.py"]


def ids(dataset: Any, count: int | None = None) -> list[list[int]]:
    """The identities in each batch of a dataset whose examples, or whose inputs, are their own identities."""
    batches = dataset if count is None else itertools.islice(dataset, count)
    return [np.asarray(batch[0] if isinstance(batch, tuple) else batch).tolist() for batch in batches]


@pytest.fixture(scope="session")
def read_ids() -> Any:
    return ids
