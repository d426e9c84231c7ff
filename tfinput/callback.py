"""Python functions that a TensorFlow graph calls, without keeping alive what they refer to.

TensorFlow keeps every function given to `tf.numpy_function` or `tf.py_function` for the life of the process (it hangs it on
the outermost graph), and with it all data that it refers to. So it is given a stand-in that refers weakly to the function;
whoever builds a dataset keeps the function itself, in the closure of a map of that dataset.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any


def weakly(function: Callable[..., Any]) -> Callable[..., Any]:
    """A stand-in that calls `function` as long as somebody else keeps it.

    >>> def double(x): return 2 * x
    >>> call = weakly(double)
    >>> call(3)
    6
    """
    kept = weakref.ref(function)

    def call(*arguments: Any) -> Any:
        target = kept()
        if target is None:
            raise RuntimeError("tfinput: this dataset is gone: keep the feed, or the dataset, as long as you read from it.")
        return target(*arguments)

    return call
