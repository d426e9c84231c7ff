"""Targets of files: kept as numbers, encoded one by one in the graph, so that one-hot rows are never all in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfinput.material.columns import Column


@dataclass(frozen=True)
class Targets:
    """A target for each file; `mode` is Keras' label mode, None for values that stay as they are."""

    leaf: Column
    mode: str | None
    classes: int

    @property
    def tensor(self) -> Any:
        """The values before they are encoded."""
        return self.leaf.rows.tensor

    @property
    def spec(self) -> Any:
        """The spec of one encoded target."""
        if self.mode in ("categorical", "binary"):
            return tf.TensorSpec((self.classes if self.mode == "categorical" else 1,), tf.float32)
        return self.leaf.spec

    def encoded(self, value: Any) -> Any:
        """One value, or a vector of them, as the model wants it, in a graph."""
        if self.mode == "categorical":
            return tf.one_hot(value, self.classes)
        return tf.cast(value, tf.float32)[..., None] if self.mode == "binary" else value

    def digest(self, into: Any) -> None:
        """Feed what makes the targets what they are to a hash object."""
        into.update(repr((self.mode, self.classes)).encode())
        self.leaf.digest(into)
