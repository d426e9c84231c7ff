"""How tests read the identities of examples out of a dataset; worker processes import this with the tests' classes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np


def ids(dataset: Any, count: int | None = None) -> list[list[int]]:
    """The identities in each batch of a dataset whose examples, or whose inputs, are their own identities."""
    batches = dataset if count is None else itertools.islice(dataset, count)
    return [np.asarray(batch[0] if isinstance(batch, tuple) else batch).tolist() for batch in batches]
