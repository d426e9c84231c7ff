"""Pixels of image files, in a graph: decoded by what the bytes are, after a look at the header, cut and turned.

By default pixels are those of Keras' `image_dataset_from_directory`, by the same decoders. Whatever is refused is given to a decoder as
nothing at all, so that it fails here; why is found out later, in Python.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfinput.sources.images import headers, masks, rare
from tfinput.sources.images.branches import apart, either, only
from tfinput.sources.images.resize import ImageOptions, Mask

RATIOS = (1, 2, 4, 8)
MARGIN = 2
END_OF_JPEG = b"\xff\xd9"

Pixels = Any


def pixels(contents: Any, look: ImageOptions, seed: Any) -> tuple[Pixels, Any]:
    """The pixels of a file, or of a part of it that the seed draws; and height and width of the whole."""
    if look.mask is not None:
        # Numbers are made of the whole, so that a mask is refused or not whatever is cut out of it.
        numbers = _numbers(contents, look, look.mask)
        return _cut(numbers, tf.shape(numbers)[:2], look, seed), tf.shape(numbers)[:2]

    def whole(image: Pixels) -> tuple[Pixels, Any]:
        size = tf.shape(image)[:2]
        return _cut(image, size, look, seed), size

    def png(data: Any) -> tuple[Pixels, Any]:
        return whole(_png(data, look))

    def jpeg(data: Any) -> tuple[Pixels, Any]:
        return _jpeg(data, look, seed)

    def other(data: Any) -> Any:
        return tf.cond(rare.first(data) == b"\x89", lambda: png(data), lambda: whole(_rare(data, look)))

    image, size = png(contents) if look.bits == 16 else either(rare.first(contents) == b"\xff", contents, jpeg, apart(other))
    return tf.ensure_shape(image, (None, None, look.channels)), size


def _fits(size: Any, *also: Any) -> Any:
    """Whether there are not too many pixels, which fails before any is decoded, and all else holds."""
    return functools.reduce(tf.logical_and, also, tf.reduce_prod(tf.cast(size, tf.int64)) <= headers.PIXELS)


# JPEG


def jpeg_size(contents: Any, look: ImageOptions) -> tuple[Any, Any]:
    """Height and width, and whether it can be decoded as is asked for."""
    shape = tf.io.extract_jpeg_shape(contents, tf.int64)
    return shape[:2], _fits(shape[:2], *([shape[2] != 4] if look.channels == 1 else []))


def _jpeg(contents: Any, look: ImageOptions, seed: Any) -> tuple[Pixels, Any]:
    sides, fits = jpeg_size(contents, look)
    contents = only(fits, contents)
    raw = tf.cast(sides, tf.int32)
    turn = _turn(contents) if look.exif else None
    whole = _swapped(raw, turn)
    channels = min(look.channels, 3)
    if look.crop is not None and seed is not None:
        window = _raw_window(_window(whole, look, seed), whole, turn)
        # Only what is in the window is decoded, so a file that is cut off further down would pass: one without an end is read whole.
        image = tf.cond(
            tf.strings.substr(contents, -2, 2) == END_OF_JPEG,
            lambda: _decoded_part(contents, window, raw, channels),
            lambda: _sliced(tf.io.decode_jpeg(contents, channels), window),
        )
    elif look.fast:
        times = halvings(raw, _swapped(tf.constant(look.size, tf.int32), turn))
        image = tf.switch_case(times, [_at_ratio(contents, ratio, channels) for ratio in RATIOS])
    else:
        image = tf.io.decode_jpeg(contents, channels)
    image = image if turn is None else _upright(image, turn)
    return _with_channels(image, look.channels) if look.channels > channels else image, whole


def halvings(sides: Any, need: Any) -> Any:
    """How often the decoder can halve the sides, which is free, and still cover what is needed."""
    return tf.add_n([tf.cast(tf.reduce_all(-(-sides // ratio) >= need), tf.int32) for ratio in RATIOS[1:]])


def _decoded_part(contents: Any, window: Any, raw: Any, channels: int) -> Pixels:
    """A window of a JPEG. At the edges of what is decoded, colours lack the neighbours they are smoothed with."""
    begin = tf.maximum(window[:2] - MARGIN, 0)
    end = tf.minimum(window[:2] + window[2:] + MARGIN, raw)
    image = tf.io.decode_and_crop_jpeg(contents, tf.concat([begin, end - begin], 0), channels)
    return _sliced(image, tf.concat([window[:2] - begin, window[2:]], 0))


def _at_ratio(contents: Any, ratio: int, channels: int) -> Callable[[], Any]:
    return lambda: tf.io.decode_jpeg(contents, channels, ratio=ratio)


def _turn(contents: Any) -> Any:
    """The EXIF orientation. 2, 3, 6 and 7 are mirrored left to right, 3, 4, 7 and 8 upside down, after 5 to 8 were transposed."""
    return tf.cast(rare.orientation(contents), tf.int32)


def _among(turn: Any, *values: int) -> Any:
    return tf.reduce_any(turn == tf.constant(values))


def _swapped(size: Any, turn: Any) -> Any:
    """Height and width as they are before or after the turn, if there is any."""
    return size if turn is None else tf.where(turn >= 5, size[::-1], size)


def _upright(image: Pixels, turn: Any) -> Pixels:
    image = tf.cond(turn >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    down, right = (tf.where(_among(turn, *turns), -1, 1) for turns in ((3, 4, 7, 8), (2, 3, 6, 7)))
    return image[::down, ::right]


# Parts


def _window(whole: Any, look: ImageOptions, seed: Any) -> Any:
    """A random window: top, left, height, width."""
    scale, ratio = look.crop or ((1.0, 1.0), (1.0, 1.0))
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([whole, [look.channels]], 0),
        tf.zeros((1, 0, 4)),
        seed,
        min_object_covered=0.0,
        aspect_ratio_range=ratio,
        area_range=scale,
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], size[:2]], 0)


def _raw_window(window: Any, whole: Any, turn: Any) -> Any:
    """Where a window of the upright image lies in the file."""
    if turn is None:
        return window
    begin, size = window[:2], window[2:]
    mirrored = tf.stack([_among(turn, 3, 4, 7, 8), _among(turn, 2, 3, 6, 7)])
    begin = tf.where(mirrored, whole - begin - size, begin)
    return tf.concat([_swapped(begin, turn), _swapped(size, turn)], 0)


def _sliced(image: Pixels, window: Any) -> Pixels:
    return image[window[0] : window[0] + window[2], window[1] : window[1] + window[3]]


def _cut(image: Pixels, whole: Any, look: ImageOptions, seed: Any) -> Pixels:
    return image if look.crop is None or seed is None else _sliced(image, _window(whole, look, seed))


# PNG, GIF, BMP, WebP


def png_fits(contents: Any, look: ImageOptions) -> Any:
    """Whether it can be decoded as is asked for."""
    size = tf.io.decode_raw(tf.strings.substr(contents, 16, 8), tf.int32, little_endian=False)
    depth = rare.unsigned(contents, 24, 1)[0]
    return _fits(size, tf.reduce_all(size > 0), (depth == 16) == (look.bits == 16))


def _png(contents: Any, look: ImageOptions) -> Pixels:
    contents = only(png_fits(contents, look), contents)
    if look.bits == 8 and look.channels < 4:
        return tf.io.decode_png(contents, look.channels)
    # TensorFlow leaves alpha at 1 in 255 where it adds it to a palette or to gray of less than 8 bits.
    image = _with_channels(tf.io.decode_png(contents, 0, tf.dtypes.as_dtype(f"uint{look.bits}")), look.channels)
    return rare.keyed(image, contents) if look.channels == 4 else image


def _rare(contents: Any, look: ImageOptions) -> Pixels:
    """GIF, BMP, WebP."""
    return _with_channels(
        tf.cond(rare.first(contents) == b"G", lambda: rare.gif(contents, look), lambda: rare.bitmap(contents)), look.channels
    )


# Masks


def _numbers(contents: Any, look: ImageOptions, mask: Mask) -> Pixels:
    """A mask as numbers of classes, of one channel."""
    if not mask.lossy:
        may_be = tf.reduce_any(rare.first(contents) == tf.constant([b"\xff", b"R"]))
        contents = either(may_be, contents, rare.lossless, tf.identity)
    colour = dataclasses.replace(look, channels=3, mask=None)
    if mask.classes:
        return masks.mapped(pixels(contents, dataclasses.replace(colour, channels=4), None)[0], mask.classes)

    def jpeg(data: Any) -> Pixels:
        return masks.gray(_jpeg(data, colour, None)[0])

    def other(data: Any) -> Pixels:
        return tf.cond(
            rare.first(data) == b"\x89", lambda: rare.indexed(only(png_fits(data, look), data), mask), lambda: gif_or_bitmap(data)
        )

    def gif_or_bitmap(data: Any) -> Pixels:
        return tf.cond(rare.first(data) == b"G", lambda: rare.gif(data, look), lambda: masks.gray(rare.bitmap(data)))

    return tf.ensure_shape(either(rare.first(contents) == b"\xff", contents, jpeg, apart(other)), (None, None, 1))


def _with_channels(image: Pixels, channels: int) -> Pixels:
    """Gray, gray with alpha, colour or colour with alpha, as so many channels; alpha is dropped or opaque."""
    image = tf.ensure_shape(image, (None, None, None))
    has = tf.shape(image)[2]
    if channels == 1:
        return tf.cond(has < 3, lambda: image[..., :1], lambda: tf.image.rgb_to_grayscale(image[..., :3]))
    colour = tf.cond(has < 3, lambda: tf.concat([image[..., :1]] * 3, 2), lambda: image[..., :3])
    if channels == 3:
        return colour
    opaque = tf.fill(tf.concat([tf.shape(image)[:2], [1]], 0), tf.constant(image.dtype.max, image.dtype))
    return tf.concat([colour, tf.cond(has % 2 == 0, lambda: image[..., -1:], lambda: opaque)], 2)
