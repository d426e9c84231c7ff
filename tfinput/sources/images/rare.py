"""What TensorFlow's decoders pass over in PNG, GIF and BMP files: read in Python, since it does not lie at fixed places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.runtime.python_op import weakly
from tfinput.sources.images import headers, masks, palettes
from tfinput.sources.images.branches import only
from tfinput.sources.images.resize import ImageOptions, Mask

Pixels = Any
# For a mask whose palette may be any: no palette, since those have three bytes a colour.
ANY = b"any palette"
# By how much libpng multiplies gray of fewer than 8 bits.
_SPREAD = np.ones(256, np.uint8)
_SPREAD[[1, 2, 4]] = 255, 85, 17


def first(contents: Any) -> Any:
    """The first byte of a file."""
    return tf.strings.substr(contents, 0, 1)


def unsigned(contents: Any, start: int, count: int) -> Any:
    """Bytes of a file as numbers."""
    return tf.io.decode_raw(tf.strings.substr(contents, start, count), tf.uint8)


def orientation(contents: Any) -> Any:
    """The EXIF orientation of a JPEG."""
    return _in_python(_orientation, tf.int64, (), contents)


def lossless(contents: Any) -> Any:
    """A file, or nothing if its pixels may differ from those that were saved."""
    return _in_python(_lossless, tf.string, (), contents)


def keyed(image: Pixels, contents: Any) -> Pixels:
    """The picture (RGBA), clear where it has the colour that a PNG without alpha may name for that."""
    key = _in_python(_colour_key, tf.int32, (None,), contents)
    image = only(tf.size(key) != 2, image)

    def cleared() -> Pixels:
        hit = tf.reduce_all(tf.cast(image[..., :3], tf.int32) == key, -1, keepdims=True)
        return tf.concat([image[..., :3], tf.where(hit, tf.zeros((), image.dtype), image[..., 3:])], 2)

    return tf.cond(tf.size(key) > 0, cleared, lambda: image)


def bitmap(contents: Any) -> Pixels:
    """A BMP or WebP, with the channels that it has.

    TensorFlow takes the indices of a BMP's palette for gray, and its unused bytes for alpha.
    """
    passed = _in_python(_bitmap, tf.string, (), contents)
    return tf.ensure_shape(tf.io.decode_image(passed, 0, expand_animations=False), (None, None, None))


def gif(contents: Any, look: ImageOptions) -> Pixels:
    """A GIF as RGBA, or the indices of a mask; where its frame does not cover its canvas, filled as by Pillow.

    TensorFlow takes the first frame of any GIF, even of one that is cut off, and makes black of all that is clear or uncovered.
    """
    data, colours, place = tf.numpy_function(weakly(_gif), [contents, _known(look.mask)], (tf.string, tf.uint8, tf.int32), stateful=False)
    data, colours = tf.ensure_shape(data, ()), tf.ensure_shape(colours, (None, 4))
    top, left, height, width, outside, covered = tf.unstack(tf.ensure_shape(place, (6,)))
    indices = tf.io.decode_gif(data)[0, ..., :1]
    indices = only(tf.cast(tf.reduce_max(indices), tf.int32) < tf.shape(colours)[0], indices)
    size = tf.shape(indices)
    around = [[top, height - top - size[0]], [left, width - left - size[1]], [0, 0]]
    indices = tf.pad(indices, around, constant_values=tf.cast(outside, tf.uint8))
    if look.mask is not None:
        return indices
    if look.channels < 4:  # As in Keras.
        colours = tf.where(tf.logical_and(covered == 1, colours[:, 3:] == 0), tf.zeros((), tf.uint8), colours)
    return tf.gather(colours, tf.cast(indices[..., 0], tf.int32))


def indexed(contents: Any, mask: Mask) -> Pixels:
    """A PNG of one channel; of a palette, the indices."""
    depth, kind = tf.unstack(tf.ensure_shape(unsigned(contents, 24, 2), (2,)))

    def indices() -> Pixels:
        gray = _in_python(_without_palette, tf.string, (), contents, _known(mask))
        return tf.io.decode_png(gray, 1) // tf.gather(_SPREAD, tf.cast(depth, tf.int32))

    return tf.cond(kind == 3, indices, lambda: masks.gray(tf.io.decode_png(contents, 0)))


def _known(mask: Mask | None) -> Any:
    return tf.constant(ANY if mask is None or mask.palette is None else mask.palette)


def _in_python(function: Callable[..., Any], dtype: Any, shape: Any, *data: Any) -> Any:
    return tf.ensure_shape(tf.numpy_function(weakly(function), data, dtype, stateful=False), shape)


def _on_bytes(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that gets bytes: TensorFlow passes an array of them where it runs eagerly."""
    return lambda *data: function(*(each if isinstance(each, bytes) else each.item() for each in data))


def _agrees(data: bytes, known: bytes) -> bool:
    return known == ANY or palettes.agree(palettes.palette(data), known)


def _parts_of_gif(data: bytes, known: bytes) -> tuple[bytes, Any, Any]:
    """The indices of a GIF's frame as another GIF, its colours, and its place on the canvas with 1 if it covers that."""
    if not headers.passed(data) or not _agrees(data, known):
        return b"", np.zeros((0, 4), np.uint8), np.zeros(6, np.int32)
    frame = palettes.frame(data)
    return frame.indices, frame.colours, np.array([*frame.place, frame.covers], np.int32)


_orientation = _on_bytes(headers.orientation)
_lossless = _on_bytes(lambda data: b"" if palettes.lossy(data) else data)
_colour_key = _on_bytes(palettes.colour_key)
_bitmap = _on_bytes(lambda data: palettes.opaque(headers.passed(data)))
_gif = _on_bytes(_parts_of_gif)
_without_palette = _on_bytes(lambda data, known: headers.without_palette(data) if _agrees(data, known) else b"")
