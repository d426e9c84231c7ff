"""Serialized `tf.train.Example`s: what is in one, and why it could not be parsed."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfinput.errors import FileError, refusal, short

_DTYPES = {"int64_list": "int64", "float_list": "float32", "bytes_list": "string"}


def features_of(record: bytes) -> dict[str, tuple[str, int]]:
    """The features of a record by name, with the dtype and number of their values; none if it is no Example.

    >>> value = tf.train.Feature(int64_list=tf.train.Int64List(value=[5, 6]))
    >>> features_of(tf.train.Example(features=tf.train.Features(feature={"a": value})).SerializeToString())
    {'a': ('int64', 2)}
    """
    example: Any = tf.train.Example()
    try:
        example.ParseFromString(record)
    except Exception:  # protobuf's own kind of error, which moved between its versions
        return {}
    found = {}
    for name, feature in sorted(example.features.feature.items()):
        kind = feature.WhichOneof("kind")
        found[name] = (_DTYPES.get(kind, "nothing"), len(getattr(feature, kind).value) if kind else 0)
    return found


def unparsed(place: str, record: bytes, error: Any) -> Exception:
    """The error for a record in which the features that were asked for are not found."""
    said = " ".join(str(error.message).split("[Op:")[0].split("}}")[-1].replace("Name: <unknown>,", "").split()).rstrip(".")
    held = [f"{name}: {count} {dtype}" for name, (dtype, count) in features_of(record).items()]
    fix = f"Correct features, or give a default_value. It has {short(held, 300)}."
    return refusal(place, "an Example with the features asked for", said, fix, FileError)
