"""Quotas: epochs that take a fixed number of examples from each of several groups, whatever the groups hold.

Each group is laid out as an endless row of permutations of its members, and an epoch takes the next stretch of that row. So no
example comes a (k+1)st time before all of its group came k times, and any epoch is found without drawing those before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.sampling import seeds

Vector = np.ndarray[Any, Any]


def shares(weights: Vector, total: int) -> Vector:
    """Split `total` in proportion to weights, by largest remainders: each share is exact to one.

    >>> shares(np.array([3, 1, 1]), 8).tolist()
    [5, 2, 1]
    """
    if weights.dtype.kind == "f":
        exact = weights / weights.sum() * total
        share = np.floor(exact + 1e-9).astype(np.int64)
        remainder = exact - share
    else:
        share, remainder = np.divmod(weights * total, weights.sum())
    share[np.argsort(-remainder, kind="stable")[: total - share.sum()]] += 1
    return np.asarray(share)


@dataclass(frozen=True, eq=False)
class Quotas:
    """How many examples of each group an epoch takes.

    Attributes:
        groups: the group of each member, numbered from 0 on.
        takes: how many examples an epoch takes of each group.
        summary: what the repr of a feed says of them.

    """

    groups: Vector
    takes: Vector
    summary: str

    @property
    def total(self) -> int:
        """Examples in an epoch."""
        return int(self.takes.sum())

    def drawer(self, stream: int) -> Callable[[Any], Any]:
        """What draws an epoch in a graph, pure in (stream, epoch): which members it takes, as positions among them, group by group."""
        counts = np.bincount(self.groups, minlength=len(self.takes))
        stretches = int(np.sum(-(-self.takes // counts) + 1))
        # Tensors made here are no constants of the graph, whose size is limited.
        members = tf.constant(np.argsort(self.groups, kind="stable"), tf.int32 if len(self.groups) < 2**31 else tf.int64)
        held, takes = tf.constant(counts, tf.int64), tf.constant(self.takes, tf.int64)

        def draw(epoch: Any) -> Any:
            begin = tf.cast(epoch, tf.int64) * takes
            first = begin // held
            passes = (begin + takes - 1) // held - first + 1
            # What the passes hold that the epoch takes from, laid out pass after pass, group after group.
            starts = tf.cumsum(passes * held, exclusive=True)
            group = _numbers(starts, tf.reduce_sum(passes * held))
            within = tf.range(tf.size(group, tf.int64)) - tf.gather(starts, group)
            size = tf.gather(held, group)
            turn, rank = within // size, within % size
            member = tf.gather(tf.cumsum(held, exclusive=True), group) + rank
            score = seeds.fold(stream, tf.gather(first, group) + turn, member)
            order = _sorted_within(tf.gather(tf.cumsum(passes, exclusive=True), group) + turn, score, stretches)
            place = tf.gather(first * held - begin, group) + within
            inside = (place >= 0) & (place < tf.gather(takes, group))
            return tf.gather(members, tf.gather(member, tf.boolean_mask(order, inside)))

        return draw


def even(groups: Vector) -> Quotas:
    """As many examples of each class: their number, rounded so that it divides evenly.

    >>> even(np.array([0, 0, 0, 0, 1])).takes.tolist()
    [3, 3]
    """
    classes = int(groups.max()) + 1
    each = max(1, int(len(groups) / classes + 0.5))
    return Quotas(groups, np.full(classes, each), f"an epoch takes {each} of each of {classes} classes")


def _numbers(starts: Any, size: Any) -> Any:
    """For each place of a row of stretches the number of its stretch; `tf.repeat` takes memory of as many stretches as the longest's."""
    borders = tf.scatter_nd(starts[1:, None], tf.ones_like(starts[1:], tf.int32), size[None])
    return tf.cumsum(borders)


def _sorted_within(stretch: Any, score: Any, stretches: int) -> Any:
    """An order that leaves each stretch where it is and sorts it by score."""
    # One sort of both together takes half as long as a stable sort after another; at least 38 bits of the score are left.
    bits = 63 - stretches.bit_length()
    high = tf.bitwise.left_shift(stretch, tf.constant(bits, tf.int64))
    low = tf.bitwise.right_shift(tf.bitcast(score, tf.uint64), tf.constant(64 - bits, tf.uint64))
    return tf.argsort(high + tf.cast(low, tf.int64))
