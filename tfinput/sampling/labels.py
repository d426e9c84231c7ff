"""Class labels in the forms that people keep them in."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfinput.errors import refusal, short


def classes(what: str, given: Any) -> np.ndarray[Any, Any]:
    """The class of each example, from a vector or column of classes (numbers or text) or from one-hot rows.

    >>> classes("y", [[0, 1], [1, 0]]).tolist()
    [1, 0]
    """
    labels = vector_like(what, given)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and _one_hot(labels):
        labels = labels.argmax(axis=1)
    if labels.ndim != 1:
        fix = "Pass an array with one class per example."
        raise refusal(what, "one class per example, or one-hot rows", f"rows of shape {labels.shape[1:]}", fix)
    if labels.dtype.kind == "f" and not (labels == np.floor(labels)).all():
        fix = "Pass an array of classes (a binned target, say)."
        raise refusal(what, "class labels", "fractional numbers, as of a regression target", fix)
    return labels


def balanced(labels: np.ndarray[Any, Any]) -> dict[int, float]:
    """A weight for each class, so that all weigh the same: examples / (classes * examples of the class)."""
    if labels.dtype.kind not in "biuf" or labels.min() < 0:
        fix = "Encode the classes as numbers."
        raise refusal("class_weight", "classes numbered from 0 on", f"{labels.dtype}, such as {short(labels[0])}", fix)
    names, counts = np.unique(labels, return_counts=True)
    return {int(name): len(labels) / (len(names) * int(count)) for name, count in zip(names, counts, strict=True)}


def vector_like(what: str, given: Any, expected: str = "one value per example") -> np.ndarray[Any, Any]:
    """What a user passed for a vector, as an array."""
    try:
        return np.asarray(given)
    except ValueError as error:  # rows of different lengths
        raise refusal(what, expected, short(given), "Pass a vector.", TypeError) from error


def numbered(what: str, names: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A number from 0 on for each name, in the order of the sorted names."""
    try:
        numbers: np.ndarray[Any, Any] = np.unique(names, return_inverse=True)[1].reshape(-1)
    except TypeError as error:
        fix = "Pass numbers or text, for example with .astype(str)."
        raise refusal(what, "values of one kind, which can be sorted", f"{error}", fix, TypeError) from error
    return numbers


def _one_hot(rows: np.ndarray[Any, Any]) -> bool:
    return rows.dtype.kind in "biuf" and bool(((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all())
