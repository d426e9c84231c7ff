"""What a source of examples is: material without any word on batching, order or epochs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Source:
    """Examples that can be read by index, many at a time.

    Attributes:
        name: what errors and the repr call it.
        size: number of examples.
        spec: one example: a `tf.TensorSpec`, or a nest of them, as Keras takes it: `x`, `(x, y)` or `(x, y, sample_weight)`.
        read: called in a graph, turns an int vector of indices into a batch of that structure.
        labels: returns the classes of all examples, or None where there is no single array of them.
        fingerprint: returns a digest of the material, for the cache.
        in_memory: whether reading costs no more than copying.
        class_names: names of the classes, in the order of their labels.

    """

    name: str
    size: int
    spec: Any
    read: Callable[[Any], Any]
    labels: Callable[[], np.ndarray[Any, Any] | None] = field(default=lambda: None)
    fingerprint: Callable[[], str] = field(default=lambda: "")
    in_memory: bool = True
    class_names: tuple[str, ...] | None = None

    @property
    def example_bytes(self) -> int:
        """Bytes of one example, unknown sizes counted as 16."""
        import tensorflow as tf

        def nbytes(spec: Any) -> int:
            elements: int = spec.shape.num_elements() or 16
            return elements * max(int(spec.dtype.size), 1)

        return sum(nbytes(spec) for spec in tf.nest.flatten(self.spec))
