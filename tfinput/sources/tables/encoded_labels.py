"""Text labels as class numbers, for a source whose targets are one column of text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.errors import nearest, refusal, short
from tfinput.sources.base import Source


def encoded(source: Source, names: Sequence[str] | None) -> Source:
    """The same source with its text labels numbered from 0 on in the order of `names`, or of the sorted classes; else unchanged."""
    if not isinstance(source.spec, tuple) or not isinstance(source.spec[1], tf.TensorSpec) or source.spec[1].dtype != tf.string:
        return source
    texts = np.asarray([] if (given := source.labels()) is None else given)
    there = sorted({text.decode("utf-8", "surrogateescape") for text in texts.tolist()})
    names = tuple(there if names is None else names)
    unknown = sorted(set(there) - set(names))
    if unknown:
        row = int(np.flatnonzero(texts == unknown[0].encode("utf-8", "surrogateescape"))[0])
        fix = nearest(unknown[0], names).strip() or f"There are {short(names, 200)}."
        raise refusal(f"{source.place(row)}, label", "a class of the training examples", short(unknown[0]), fix)
    keys = [name.encode("utf-8", "surrogateescape") for name in names]
    numbers = {key: number for number, key in enumerate(keys)}
    with tf.device("CPU:0"):
        values = tf.lookup.KeyValueTensorInitializer(tf.constant(keys), tf.range(len(keys), dtype=tf.int32))
        table = tf.lookup.StaticHashTable(values, default_value=-1)

    def read(rows: Any) -> Any:
        x, y, *weight = source.read(rows)
        return (x, table.lookup(y), *weight)

    x, _, *weight = source.spec
    codes = np.array([numbers[text] for text in texts.tolist()], np.int32)
    return dataclasses.replace(source, spec=(x, tf.TensorSpec((), tf.int32), *weight), read=read, labels=lambda: codes, class_names=names)
