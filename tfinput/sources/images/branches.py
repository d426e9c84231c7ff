"""Branches of a graph for what is done to every image, where `tf.cond` takes a noticeable part of the time.

A branch of `tf.cond` runs as a function, maybe in a thread that does not have the pixels in its cache: measured, 2 to 3 % of the time of an
image of 500 x 375. These are the operations that it is made of, in one function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def either(test: Any, value: Any, holds: Callable[[Any], Any], fails: Callable[[Any], Any]) -> Any:
    """`holds(value)` or `fails(value)`.

    Nothing in them may have effects, as an assertion has: what comes later would wait for the branch that is not taken as well.
    """
    if tf.executing_eagerly():
        return tf.cond(test, lambda: holds(value), lambda: fails(value))
    no, yes = tf.raw_ops.Switch(data=value, pred=test)
    found, otherwise = holds(yes), fails(no)
    merged = [tf.raw_ops.Merge(inputs=list(pair))[0] for pair in zip(tf.nest.flatten(found), tf.nest.flatten(otherwise), strict=True)]
    return tf.nest.pack_sequence_as(found, merged)


def only(test: Any, value: Any) -> Any:
    """The value if the test holds; if not, what is made of it never comes, which is an error. It has no effects."""
    if tf.executing_eagerly():
        tf.debugging.Assert(test, [test])
        return value
    return tf.raw_ops.Switch(data=value, pred=test)[1]


def apart(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function as one operation: those of a branch that is not taken are gone through one by one. For a rare branch of many.

    Two of them must not run side by side: an error in one cancels the other, whose own error, that it was cancelled, may be told first.
    """
    if tf.executing_eagerly():
        return function
    made: Callable[[Any], Any] = tf.function(function, autograph=False, experimental_attributes={"_noinline": True})
    return made
