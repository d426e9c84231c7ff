"""What the user's functions return: tensors, and what becomes tensors, in tuples and dicts."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfinput.errors import refusal, short


def check_result(name: str, result: Any, like: str) -> Any:
    """The result of the function that is called `name`; refused where a dataset could not hold it. `like` says what is meant.

    >>> check_result("augment", {"a": 1.5}, "x, y")
    {'a': 1.5}
    >>> check_result("augment", None, "x, y")
    Traceback (most recent call last):
        ...
    TypeError: tfinput: augment: expected tensors from it, got None. End it with: return x, y.
    """
    parts = tf.nest.flatten(result)
    if result is None or not parts:
        raise refusal(name, "tensors from it", short(result), f"End it with: return {like}.", TypeError)
    for part in parts:
        if part is None:
            raise refusal(name, "tensors from it", f"None in {short(_kinds(result))}", "Leave it out, or return a tensor.", TypeError)
        if not _fits(part):
            fix = f"Return tensors, in tuples or dicts, such as ({like})."
            raise refusal(name, "tensors from it", f"{type(part).__name__} {short(part)}", fix, TypeError)
    return result


def _kinds(result: Any) -> Any:
    return tf.nest.map_structure(lambda part: None if part is None else "tensor", result)


def _fits(part: Any) -> bool:
    try:
        tf.type_spec_from_value(part)
    except TypeError:
        return False
    return not isinstance(part, tf.data.Dataset)
