"""Full passes whose batches are all of one size, for devices that need that, and that still count every example exactly once.

The last batch is filled up with examples that were there before, at weight 0. Keras divides a batch's loss by its examples, those of
weight 0 too, so the others weigh padded / real: the loss over the whole pass is then exact, and so are `weighted_metrics`.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfinput.sampling.order import counter
from tfinput.sampling.steps import Shares


def weighted(batches: Any, size: int, count: int, shares: Shares) -> Any:
    """Add weights to a host's batches of `size` examples; over all hosts, the first `count` are real. Inputs alone stay as they are."""
    whole = size * shares.hosts
    padded = -(-count // whole) * whole
    if padded == count or not _has_targets(batches.element_spec):
        return batches

    def weigh(number: Any, batch: Any) -> Any:
        place = shares.place(number * size + tf.range(size, dtype=tf.int64), size)
        weight = tf.where(place < count, tf.constant(padded / count, tf.float32), 0.0)
        x, y, *given = batch
        return x, y, tf.nest.map_structure(lambda each: _times(each, weight), given[0]) if given else weight

    numbered = tf.data.Dataset.zip((counter(0), batches))
    return numbered.map(tf.autograph.experimental.do_not_convert(weigh))


def _has_targets(spec: Any) -> bool:
    return isinstance(spec, tuple) and not hasattr(spec, "_fields") and len(spec) > 1


def _times(given: Any, weight: Any) -> Any:
    """The user's weights times those of the padding."""
    given = given if given.dtype.is_floating else tf.cast(given, tf.float32)
    shape = tf.concat([tf.shape(weight), tf.ones([tf.rank(given) - 1], tf.int32)], 0)
    return given * tf.cast(tf.reshape(weight, shape), given.dtype)
