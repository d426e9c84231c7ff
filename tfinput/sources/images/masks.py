"""Masks: pictures whose pixels are numbers of classes. What is no such number is refused, never made one.

A gray pixel is its level, a pixel of a palette its index, and a colour what `mask_palette` says.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.errors import refusal, short
from tfinput.sources.images.branches import only
from tfinput.sources.images.resize import Colour, Mask

Array = np.ndarray[Any, Any]
WAY = "Pass mask_palette={(128, 0, 0): 1, ...} if colours stand for classes, or label_mode='image' if the targets are pictures."


def gray(image: Any) -> Any:
    """The one channel of a picture whose colours are gray and whose alpha, if any, is opaque."""
    image = tf.ensure_shape(image, (None, None, None))
    has = tf.shape(image)[2]
    true = tf.constant(True)
    alike = tf.cond(has >= 3, lambda: tf.reduce_all(image[..., 1:3] == image[..., :1]), lambda: true)
    opaque = tf.cond(has % 2 == 0, lambda: tf.reduce_all(image[..., -1] == image.dtype.max), lambda: true)
    return only(tf.logical_and(alike, opaque), image)[..., :1]


def mapped(image: Any, classes: tuple[tuple[Colour, int], ...]) -> Any:
    """The classes that the colours (RGBA) of a picture stand for."""
    codes = np.array([colour for colour, _ in classes], np.uint8).view(np.int32)[:, 0]
    order = np.argsort(codes)
    known = tf.constant(codes[order])
    numbers = tf.constant(np.array([number for _, number in classes], np.uint8)[order])
    pixels = tf.bitcast(tf.ensure_shape(image, (None, None, 4)), tf.int32)
    flat = tf.reshape(pixels, [-1])
    place = tf.minimum(tf.searchsorted(known, flat), len(codes) - 1)
    place = only(tf.reduce_all(tf.gather(known, place) == flat), place)
    return tf.reshape(tf.gather(numbers, place), tf.shape(pixels))[..., None]


def fault(image: Array, mask: Mask, kind: str) -> tuple[str, str] | None:
    """What is wrong with a mask of these pixels (RGBA), and what to do; None if nothing is."""
    if mask.classes:
        known = np.array([colour for colour, _ in mask.classes], np.uint8).view(np.int32)
        if (where := _first(~np.isin(np.ascontiguousarray(image).view(np.int32)[..., 0], known))) is None:
            return None
        fix = "Add the colour to mask_palette, or correct the mask."
        return f"a {kind} with a colour that mask_palette lacks: {_pixel_text(image, where)}", fix
    if (where := _first((image[..., 1:3] != image[..., :1]).any(-1))) is not None:
        return f"a {kind} in colour: {_pixel_text(image, where)}", WAY
    if (where := _first(image[..., 3] != 255)) is not None:
        fix = "Save it without alpha, or pass mask_palette with colours of red, green, blue and alpha."
        return f"a {kind} with alpha that is not 255 everywhere: {_pixel_text(image, where)}", fix
    return None


def _first(wrong: Array) -> tuple[int, int] | None:
    if not wrong.any():
        return None
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    return int(row), int(column)


def _pixel_text(image: Array, where: tuple[int, int]) -> str:
    values = image[where].tolist()
    return f"row {where[0]}, column {where[1]} is {tuple(values if values[3] != 255 else values[:3])}"


def disagreement(found: bytes, mask: Mask) -> tuple[str, str]:
    """Where a palette differs from that of the other masks, and what to do."""
    fix = "Pass mask_palette={colour: class, ...}, or mask_palette='index' if indices are classes whatever the colours."
    if not mask.palette:
        return "a palette, which none of the masks has that were looked at first", fix
    one, other = (np.frombuffer(each, np.uint8).reshape(-1, 3).tolist() for each in (found, mask.palette))
    place = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    there = f"is {tuple(other[place])}" if place < len(other) else "is missing"
    return f"a palette whose colour {place} is {tuple(one[place])}, which {there} in the palette of other masks", fix


def palette(given: Any) -> tuple[tuple[Colour, int], ...]:
    """Colours (RGBA) with their classes, of what a user gives: a mapping, or colours in the order of their classes."""
    form = "{colour: class} or colours in the order of their classes, as [(0, 0, 0), (128, 0, 0)]"
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise refusal("mask_palette", f"{form}, or 'index'", short(given), "Pass for example {(0, 0, 0): 0, (128, 0, 0): 1}.", TypeError)
    pairs = given.items() if isinstance(given, Mapping) else ((colour, number) for number, colour in enumerate(given))
    found: dict[Colour, int] = {}
    for colour, number in pairs:
        key, value = _colour(colour), _number(number)
        if found.setdefault(key, value) != value:
            got = f"{short(colour)} for classes {found[key]} and {value}"
            raise refusal("mask_palette", "each colour once", got, "Give each colour one class.")
    if not found:
        raise refusal("mask_palette", form, "no colour", "Name the colours.")
    return tuple(found.items())


def _colour(given: Any) -> Colour:
    values: Any = given
    try:
        values = [operator.index(value) for value in (given if isinstance(given, Iterable) else [given])]
    except TypeError:
        values = []
    values = values * 3 if len(values) == 1 else values
    values = [*values, 255] if len(values) == 3 else values
    if len(values) != 4 or not all(0 <= value <= 255 for value in values):
        fix = "Pass red, green, blue (and alpha), each from 0 to 255, or one number for a gray."
        raise refusal("mask_palette", "colours", short(given), fix)
    return values[0], values[1], values[2], values[3]


def _number(given: Any) -> int:
    try:
        number = operator.index(given)
    except TypeError:
        number = -1
    if not 0 <= number <= 255:
        fix = "Pass {colour: class}: masks are uint8. For more classes use a gray PNG and preprocess."
        raise refusal("mask_palette", "classes from 0 to 255", short(given), fix)
    return number
