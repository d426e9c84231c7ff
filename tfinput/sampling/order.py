"""Order: (seed, epoch) -> a permutation of the training examples, as an endless stream of index blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.sampling import seeds
from tfinput.sampling.quotas import Quotas, even

# Up to here an epoch's permutation is materialised (4 bytes an example, the next epoch's drawn ahead): exactly uniform, and
# quick (measured: 0.7 s for 10 million). Beyond, indices are permuted one by one in constant memory.
MATERIALISED = 2**25
# Batches whose examples are sorted by length together. More make batches more alike, and examples keep the same neighbours longer.
WINDOW = 50


@dataclass(frozen=True, eq=False)
class Members:
    """Which examples of a source belong to a split: `count` of them, all if `chosen` is None; `quotas` say how often each trains."""

    count: int
    chosen: np.ndarray[Any, Any] | None = None
    quotas: Quotas | None = None

    @property
    def indices(self) -> np.ndarray[Any, Any]:
        """Their positions in the source, ascending."""
        return np.arange(self.count) if self.chosen is None else self.chosen

    @property
    def drawn(self) -> int:
        """Examples in an epoch of training."""
        return self.count if self.quotas is None else self.quotas.total

    def only(self, indices: np.ndarray[Any, Any]) -> Members:
        """Some of them; if an epoch took each class equally often, it still does."""
        if self.quotas is None:
            return Members(len(indices), indices)
        groups = self.quotas.groups[np.searchsorted(self.indices, indices)]
        return Members(len(indices), indices, even(np.unique(groups, return_inverse=True)[1]))

    def tensor(self) -> Any:
        """The indices as a tensor: int32 where that suffices, since memory traffic is what an index costs."""
        large = self.count > 0 and int(self.count if self.chosen is None else self.chosen[-1]) >= 2**31
        dtype = tf.int64 if large else tf.int32
        if self.chosen is None:
            return tf.range(tf.cast(self.count, dtype), dtype=dtype)
        return tf.constant(self.chosen, dtype)


def counter(start: int) -> Any:
    """An endless dataset of int64 numbers; TensorFlow's own has a function, which takes 20 ms to trace."""
    return tf.data.Dataset.range(start, tf.int64.max)


def permutation(members: Any, stream: int, epoch: Any) -> Any:
    """Shuffle a vector of indices, pure in (stream, epoch): Fisher-Yates over Philox, so that every order can occur."""
    shuffled = _shuffled(members, tf.stack([tf.constant(stream, tf.int64), tf.cast(epoch, tf.int64)]))
    shuffled.set_shape(members.shape)
    return shuffled


@tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
def _shuffled(members: Any, seed: Any) -> Any:
    """A function of its own since it takes 15 ms to trace: all feeds share it."""
    return tf.random.experimental.stateless_shuffle(members, seed, alg="philox")


def by_length(order: Any, lengths: Any, batch_size: int, stream: int, epoch: Any) -> Any:
    """An epoch's order whose batches hold examples of like lengths, pure in (order, stream, epoch).

    Windows of whole batches are sorted by length, cut into batches, and all batches are shuffled; a short last batch stays so.
    """
    whole = tf.size(order) // batch_size * batch_size
    windows = tf.range(whole) // (WINDOW * batch_size)
    longest = tf.reduce_max(lengths) + 1
    keys = tf.cast(windows, tf.int64) * longest + tf.gather(lengths, order[:whole])
    like = tf.gather(order, tf.argsort(keys, stable=True))
    batches = permutation(tf.reshape(like, (-1, batch_size)), stream, epoch)
    return tf.concat([tf.reshape(batches, (-1,)), order[whole:]], 0)


def numbers(first: Any, endless: bool) -> Any:
    """The numbers of the epochs that a stream passes through: from the first on, or the first alone; an int or a tensor."""
    return counter(first) if endless else tf.data.Dataset.from_tensors(tf.cast(first, tf.int64))


def stream(
    members: Members,
    seen: int,
    seed: int,
    shuffle: bool,
    epoch: Any,
    offset: int,
    endless: bool = True,
    lengths: Any = None,
    batch_size: int = 1,
) -> Any:
    """A dataset of index vectors that, laid end to end, are the training order from example `offset` of `epoch` on.

    Where it is `endless`, epoch follows epoch without a seam; else it ends with the epoch, whose number may be a tensor. Each epoch
    is the first `seen` examples of its own permutation (or of the source's order, without `shuffle`) of the members, or of what
    their quotas take. How the vectors are cut is not part of the order: rebatch them. With the `lengths` of the source's examples,
    each batch of the order holds examples of like lengths.
    """
    name = seeds.key(seed, "order")
    if shuffle and members.count > MATERIALISED and lengths is None and members.quotas is None:
        return _counted(members, seen, name, epoch, offset, endless)
    with tf.init_scope():  # Never a constant of a graph, which would copy it.
        everyone = None if members.chosen is None else members.tensor()
        taken = None if members.quotas is None else members.quotas.drawer(seeds.key(seed, "quotas"))

    def draw(number: Any) -> Any:
        every = members.tensor() if everyone is None else everyone
        if taken is not None:
            every = tf.gather(every, taken(number))
        order = permutation(every, name, number) if shuffle else every
        if lengths is not None and shuffle:
            order = by_length(order[:seen], lengths, batch_size, seeds.key(seed, "batches"), number)
        start = tf.where(number == epoch, tf.constant(offset, tf.int64), tf.constant(0, tf.int64))
        return order[start:seen]

    orders = numbers(epoch, endless).map(draw)
    # The prefetch draws the next epoch's order while this one trains.
    return orders.prefetch(1) if endless else orders


def _counted(members: Members, seen: int, name: int, epoch: Any, offset: int, endless: bool = True, chunk: int = 8192) -> Any:
    """The same in constant memory, by permuting positions one at a time.

    Uses TensorFlow's `index_shuffle`. Its permutations of few elements are far from uniform and raw epoch numbers make poor seeds
    for it, so it serves only very large sets, with hashed seeds.
    """
    with tf.init_scope():
        everyone = None if members.chosen is None else members.tensor()
    chunk = min(chunk, seen)  # so that it spans two epochs at most

    def draw(number: Any) -> Any:
        place = number * chunk + offset + tf.range(chunk, dtype=tf.int64)
        if not endless:
            place = place[: seen - number * chunk - offset]
        first = place[0] // seen
        within = place % seen

        def shuffled(which: Any) -> Any:
            hashed = seeds.fold(name, which + epoch)
            return tf.random.experimental.index_shuffle(within, hashed, tf.constant(members.count - 1, tf.int64))

        index = tf.where(place >= (first + 1) * seen, shuffled(first + 1), shuffled(first))
        return index if everyone is None else tf.gather(everyone, index)

    return (counter(0) if endless else tf.data.Dataset.range(-(-(seen - offset) // chunk))).map(draw)
