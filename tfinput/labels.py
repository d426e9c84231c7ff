"""Class labels in the forms that people keep them in."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfinput.errors import refusal


def classes(what: str, given: Any) -> np.ndarray[Any, Any]:
    """The class of each example, from a vector or column of classes (numbers or text) or from one-hot rows.

    >>> classes("y", [[0, 1], [1, 0]]).tolist()
    [1, 0]
    """
    labels: np.ndarray[Any, Any] = np.asarray(given)
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


def _one_hot(rows: np.ndarray[Any, Any]) -> bool:
    return rows.dtype.kind in "biuf" and bool(((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all())
