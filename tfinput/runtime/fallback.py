"""An error inside a graph, told in Python: TensorFlow cannot catch one, but a dataset has a fallback for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfinput.runtime.python_op import weakly


def with_fallback(run: Any, find: Callable[..., None], arguments: Any, what: str, keep: list[Any]) -> Any:
    """The single element of `run`; on an error in it, what `find(*arguments)` raises."""
    spec = run.element_spec
    flat = tf.nest.flatten(spec)

    def search(*values: Any) -> list[Any]:
        find(*tf.nest.pack_sequence_as(arguments, values))
        raise ValueError(f"tfinput: {what} failed once and worked when run again: is it deterministic?")

    keep.append(search)

    def fallback(_: Any) -> Any:
        kinds = [like.dtype if isinstance(like, tf.TensorSpec) else like for like in flat]
        found = tf.py_function(weakly(search), tf.nest.flatten(arguments), kinds)
        found = found if isinstance(found, (list, tuple)) else [found]
        shaped = [
            tf.ensure_shape(part, like.shape) if isinstance(like, tf.TensorSpec) else part for part, like in zip(found, flat, strict=True)
        ]
        return tf.nest.pack_sequence_as(spec, shaped)

    failed = tf.data.Dataset.from_tensors(0).map(tf.autograph.experimental.do_not_convert(fallback))
    return run.ignore_errors().concatenate(failed).take(1).get_single_element()
