"""Step arithmetic: whole numbers in, whole numbers out, no TensorFlow.

Training steps round up (the last batch of an epoch is short) unless the remainder is dropped;
full passes always round up, because a full pass leaves nothing out.
"""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

from tfinput.errors import refusal, short


def integer(name: str, value: object, least: int = 1) -> int:
    """Take any integer (NumPy's too, but no bool or float) that is at least `least`.

    >>> integer("batch_size", 32)
    32
    """
    wanted = "a positive whole number" if least == 1 else f"a whole number of at least {least}"
    if not isinstance(value, bool):
        try:
            number = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            raise refusal(name, wanted, f"{short(value)} ({type(value).__name__})", "Pass an int.", TypeError) from None
        if number >= least:
            return number
    raise refusal(name, wanted, short(value), f"Pass an int of at least {least}.")


class Shares(NamedTuple):
    """How devices share each batch.

    Attributes:
        shards: equal parts that a batch must be cut into.
        replicas: parts of any size that it is cut into; no fewer than `shards`.
        hosts: processes that each read one of as many equal pieces of every batch.
        host: which of them this is.

    """

    shards: int = 1
    replicas: int = 1
    hosts: int = 1
    host: int = 0

    def place(self, local: Any, size: int) -> Any:
        """Where in all batches an example is that this host reads as its `local`-th, in pieces of `size`; ints or tensors.

        >>> [Shares(2, 2, hosts=2, host=1).place(local, size=3) for local in range(6)]
        [3, 4, 5, 9, 10, 11]
        """
        return local if self.hosts == 1 else local // size * (size * self.hosts) + self.host * size + local % size

    def fill(self, size: int, batch_size: int) -> bool:
        """Whether the last batch of a full pass over `size` examples must be filled up.

        >>> Shares(2, 2).fill(9, 4), Shares(1, 2).fill(9, 4), Shares(1, 2).fill(1, 4)
        (True, False, True)
        """
        return size % batch_size > 0 and (self.shards > 1 or size < self.replicas)


ALONE = Shares()


class Layout(NamedTuple):
    """How one pass over `size` examples falls into batches."""

    size: int
    batch_size: int
    drop_remainder: bool

    @property
    def steps(self) -> int:
        """Batches in one pass."""
        return self.size // self.batch_size if self.drop_remainder else -(-self.size // self.batch_size)

    @property
    def seen(self) -> int:
        """Examples in one pass: all of them, or a whole number of batches."""
        return self.steps * self.batch_size if self.drop_remainder else self.size

    @property
    def last(self) -> int:
        """Examples in the last batch of a pass."""
        return self.seen - (self.steps - 1) * self.batch_size

    @property
    def uniform(self) -> bool:
        """Whether all batches are of one size."""
        return self.last == self.batch_size or self.steps == 1


def layout(size: int, batch_size: int, drop_remainder: bool, what: str = "train") -> Layout:
    """Lay `size` examples out in batches; refuse what would give no step at all.

    >>> layout(10, 4, drop_remainder=False).steps, layout(10, 4, drop_remainder=True).steps
    (3, 2)
    """
    if size == 0:
        raise refusal(f"{what} set", "at least one example", "no examples (0)", "Check the data, or the split sizes.")
    laid = Layout(size, batch_size, drop_remainder)
    if laid.steps == 0:
        raise refusal(
            f"{what} set",
            f"at least batch_size={batch_size} examples, since drop_remainder=True drops short batches",
            f"{size} examples, which would give 0 steps",
            f"Use batch_size={size} or less, or drop_remainder=False.",
        )
    return laid


def position(epoch: int, step: int, steps_per_epoch: int) -> tuple[int, int]:
    """Carry steps beyond the epoch's end over into epochs, so that a global step will do.

    >>> position(0, 7, steps_per_epoch=3)
    (2, 1)
    """
    return epoch + step // steps_per_epoch, step % steps_per_epoch


def even_batch_size(size: int, batch_size: int, shards: int = 1) -> int:
    """The largest divisor of `size` in [batch_size / 2, batch_size] that `shards` divides, else `batch_size` or what of it is there.

    Batches of one size need one compilation and no arithmetic about the last batch.

    >>> even_batch_size(360, 128), even_batch_size(359, 128), even_batch_size(50, 128)
    (120, 128, 50)
    """
    if size <= batch_size and size % shards == 0:
        return size
    for candidate in range(batch_size, -(-batch_size // 2) - 1, -1):
        if size % candidate == 0 and candidate % shards == 0:
            return candidate
    # Keras under a strategy wants a first batch that all replicas get the same number of.
    return batch_size if size > batch_size or shards == 1 else max(shards, size // shards * shards)


def divisors_near(steps: int, wanted: int, count: int = 3) -> list[int]:
    """Divisors of `steps`, those nearest to `wanted` first.

    >>> divisors_near(12, 5)
    [4, 6, 3]
    """
    low = [d for d in range(1, math.isqrt(steps) + 1) if steps % d == 0]
    every = sorted({*low, *(steps // d for d in low)})
    return sorted(every, key=lambda d: (abs(d - wanted), d))[:count]
