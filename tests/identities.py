"""How tests read the identities of examples out of a dataset; worker processes import this with the classes, so it imports little."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

SHARDS = (5, 3, 4)
LENGTHS = (3, 1, 4, 0, 5, 2, 6)


def shard(number: int) -> Any:
    """Numbers whose hundreds say which shard made them."""
    for each in range(SHARDS[number]):
        yield np.int64(100 * number + each)


def shard_without_end(number: int) -> Any:
    """Never ends, as one can see."""
    while True:
        yield number


def same_shard(number: int) -> Any:
    """Sixty examples with their targets."""
    return ((np.full(3, 2 * each + number, "float32"), each % 2) for each in range(60))


def shuffled_shard(number: int) -> Any:
    """The same in another order each time."""
    order = np.random.default_rng().permutation(60)
    return ((np.full(3, 2 * each + number, "float32"), int(each % 2)) for each in order)


def ids(dataset: Any, count: int | None = None) -> list[list[int]]:
    """The identities in each batch of a dataset whose examples, or whose inputs, are their own identities."""
    batches = dataset if count is None else itertools.islice(dataset, count)
    return [np.asarray(batch[0] if isinstance(batch, tuple) else batch).tolist() for batch in batches]


class Numbers:
    """Items that are their own identities."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        assert 0 <= index < self.size
        return np.int64(index), np.float32(index % 3)


class Rows:
    """Item n is a vector of `LENGTHS[n]` times the number n, in an array that is used again and again."""

    def __init__(self) -> None:
        self.held = np.zeros(16, np.int32)

    def __len__(self) -> int:
        return len(LENGTHS)

    def __getitem__(self, index: int) -> Any:
        made = self.held[: LENGTHS[index]]
        made[:] = index
        return {"row": made, "text": ["w"] * LENGTHS[index]}, np.float32(index)
