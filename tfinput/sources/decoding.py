"""Pixels of image files, in a graph: decoded by what the bytes are, after a look at the header, cut, turned and resized.

By default pixels are those of Keras' `image_dataset_from_directory`: the same decoders, the same `tf.image.resize`. Whatever is
refused is given to a decoder as nothing at all, so that it fails here; why is found out later, in Python.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.callback import weakly
from tfinput.sources import formats

CHANNELS = {"rgb": 3, "rgba": 4, "grayscale": 1}
RATIOS = (1, 2, 4, 8)
HEAD = 32
END_OF_JPEG = b"\xff\xd9"

Pixels = Any


@dataclass(frozen=True)
class Look:
    """How a file becomes an array of `size` (height, width)."""

    size: tuple[int, int]
    channels: int = 3
    interpolation: str = "bilinear"
    fit: str = "stretch"  # or "crop", "pad": what is done about another aspect ratio
    dtype: str = "float32"
    fast: bool = False
    exif: bool = False
    crop: tuple[tuple[float, float], tuple[float, float]] | None = None  # ranges of scale and ratio of a random crop
    mask: bool = False  # whether pixels are numbers of classes, and a palette's colours mean nothing

    @property
    def bits(self) -> int:
        """Bits a channel that are decoded."""
        return 16 if self.dtype == "uint16" else 8

    @property
    def spec(self) -> Any:
        """The spec of one image."""
        return tf.TensorSpec((*self.size, self.channels), self.dtype)


def pixels(contents: Any, look: Look, seed: Any) -> tuple[Pixels, Any]:
    """The pixels of a file, or of a part of it that the seed draws; and height and width of the whole."""
    first = _unsigned(contents, 0, 1)[0]

    def by_jpeg() -> tuple[Pixels, Any]:
        return _jpeg(contents, look, seed)

    def by_other() -> tuple[Pixels, Any]:
        image = _other(_checked(contents, first, look.bits), first, look)
        return _cut(image, tf.shape(image)[:2], look, seed), tf.shape(image)[:2]

    image, whole = by_other() if look.bits == 16 else tf.cond(first == 0xFF, by_jpeg, by_other)
    return tf.ensure_shape(image, (None, None, look.channels)), whole


def _unsigned(contents: Any, start: int, count: int) -> Any:
    return tf.io.decode_raw(tf.strings.substr(contents, start, count), tf.uint8)


def _allowed(contents: Any, height: Any, width: Any, also: Any) -> Any:
    """The contents, or nothing, which no decoder takes, where there are too many pixels."""
    count = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    return tf.where((count > 0) & (count <= formats.PIXELS) & also, contents, "")


# JPEG


def _jpeg(contents: Any, look: Look, seed: Any) -> tuple[Pixels, Any]:
    shape = tf.io.extract_jpeg_shape(contents)
    contents = _allowed(contents, shape[0], shape[1], (shape[2] != 4) | (look.channels != 1))
    turn = _turn(contents) if look.exif else tf.constant(1)
    raw = shape[:2]
    whole = _swapped(raw, turn)
    channels = min(look.channels, 3)
    if look.crop is not None and seed is not None:
        window = _raw_window(_window(whole, look, seed), whole, turn)
        # Only what is in the window is decoded, so a file that is cut off further down would pass: one without an end is read whole.
        image = tf.cond(
            tf.strings.substr(contents, -2, 2) == END_OF_JPEG,
            lambda: tf.io.decode_and_crop_jpeg(contents, window, channels),
            lambda: _sliced(tf.io.decode_jpeg(contents, channels), window),
        )
    elif look.fast:
        # The decoder halves the size for free: by the largest factor that still covers what is asked for.
        need = _swapped(tf.constant(look.size, tf.int32), turn)
        covers = [tf.reduce_all(-(-raw // ratio) >= need) for ratio in RATIOS[1:]]
        branch = tf.add_n([tf.cast(each, tf.int32) for each in covers])
        image = tf.switch_case(branch, [_at_ratio(contents, ratio, channels) for ratio in RATIOS])
    else:
        image = tf.io.decode_jpeg(contents, channels)
    image = _upright(image, turn) if look.exif else image
    return _with_channels(image, look.channels) if look.channels > channels else image, whole


def _at_ratio(contents: Any, ratio: int, channels: int) -> Callable[[], Any]:
    return lambda: tf.io.decode_jpeg(contents, channels, ratio=ratio)


def _turn(contents: Any) -> Any:
    """The EXIF orientation. 2, 3, 6 and 7 are mirrored left to right, 3, 4, 7 and 8 upside down, after 5 to 8 were transposed."""
    found = tf.numpy_function(weakly(formats.orientation), [contents], tf.int64, stateful=False)
    return tf.ensure_shape(tf.cast(found, tf.int32), ())


def _among(turn: Any, *values: int) -> Any:
    return tf.reduce_any(turn == tf.constant(values))


def _swapped(size: Any, turn: Any) -> Any:
    """Height and width as they are before or after the turn."""
    return tf.where(turn >= 5, size[::-1], size)


def _upright(image: Pixels, turn: Any) -> Pixels:
    image = tf.cond(turn >= 5, lambda: tf.image.transpose(image), lambda: image)
    down, right = (tf.where(_among(turn, *turns), -1, 1) for turns in ((3, 4, 7, 8), (2, 3, 6, 7)))
    return image[::down, ::right]


# Parts


def _window(whole: Any, look: Look, seed: Any) -> Any:
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
    begin, size = window[:2], window[2:]
    mirrored = tf.stack([_among(turn, 3, 4, 7, 8), _among(turn, 2, 3, 6, 7)])
    begin = tf.where(mirrored, whole - begin - size, begin)
    return tf.concat([_swapped(begin, turn), _swapped(size, turn)], 0)


def _sliced(image: Pixels, window: Any) -> Pixels:
    return image[window[0] : window[0] + window[2], window[1] : window[1] + window[3]]


def _cut(image: Pixels, whole: Any, look: Look, seed: Any) -> Pixels:
    return image if look.crop is None or seed is None else _sliced(image, _window(whole, look, seed))


# PNG, GIF, BMP, WebP


def _other(contents: Any, first: Any, look: Look) -> Pixels:
    if look.bits == 16:
        return _with_channels(tf.io.decode_png(contents, 0, tf.uint16), look.channels)

    def png() -> Pixels:
        return _indexed(contents) if look.mask else tf.io.decode_png(contents, look.channels)

    def other() -> Pixels:
        return _with_channels(tf.io.decode_image(contents, 0, expand_animations=False), look.channels)

    # TensorFlow leaves alpha at 1 in 255 where it adds it to a palette or to less than 8 bits; and only PNGs turn gray by themselves.
    return other() if look.channels == 4 else tf.cond(first == 0x89, png, other)


# By how much libpng multiplies gray of fewer than 8 bits.
_SPREAD = np.ones(256, np.uint8)
_SPREAD[[1, 2, 4]] = 255, 85, 17


def _indexed(contents: Any) -> Pixels:
    """A PNG of one channel; of a palette, the indices."""
    depth, kind = tf.unstack(tf.ensure_shape(_unsigned(contents, 24, 2), (2,)))

    def indices() -> Pixels:
        gray = tf.numpy_function(weakly(formats.without_palette), [contents], tf.string, stateful=False)
        return tf.io.decode_png(tf.ensure_shape(gray, ()), 1) // tf.gather(_SPREAD, tf.cast(depth, tf.int32))

    return tf.cond(kind == 3, indices, lambda: tf.io.decode_png(contents, 1))


def _with_channels(image: Pixels, channels: int) -> Pixels:
    """Gray, gray with alpha, colour or colour with alpha, as so many channels; alpha is dropped or opaque."""
    image = tf.ensure_shape(image, (None, None, None))
    has = tf.shape(image)[2]
    if channels == 1:
        return tf.cond(has < 3, lambda: image[..., :1], lambda: tf.image.rgb_to_grayscale(image[..., :3]))
    colour = tf.cond(has < 3, lambda: tf.repeat(image[..., :1], 3, axis=2), lambda: image[..., :3])
    if channels == 3:
        return colour
    opaque = tf.fill(tf.concat([tf.shape(image)[:2], [1]], 0), tf.constant(image.dtype.max, image.dtype))
    return tf.concat([colour, tf.cond(has % 2 == 0, lambda: image[..., -1:], lambda: opaque)], 2)


# Where PNG and WebP (its chunks VP8, VP8L with its bits, VP8X) keep width and height: first byte, bytes, little-endian.
_PLACES = ((16, 4, False), (20, 4, False), (26, 2, True), (28, 2, True), (21, 4, True), (21, 4, True), (24, 3, True), (27, 3, True))


def _linear() -> Any:
    """Those numbers as linear functions of the first bytes, so that one product reads all of them."""
    weights = np.zeros((HEAD, len(_PLACES)))
    for column, (start, count, little) in enumerate(_PLACES):
        for place in range(count):
            weights[start + place, column] = 256.0 ** (place if little else count - 1 - place)
    return weights


_WEIGHTS = _linear()
# Which of WebP's chunks it is, by the last letter of its name.
_CHUNK = np.zeros(256, np.int32)
_CHUNK[[0x4C, 0x58]] = 1, 2


def _checked(contents: Any, first: Any, bits: int) -> Any:
    """The contents of anything but a JPEG if its header allows it to be decoded, else nothing."""
    head = _unsigned(contents, 0, HEAD)
    head = tf.ensure_shape(tf.concat([head, tf.zeros(HEAD - tf.size(head), tf.uint8)], 0), (HEAD,))
    numbers = tf.cast(tf.linalg.matvec(tf.constant(_WEIGHTS), tf.cast(head, tf.float64), transpose_a=True), tf.int64)
    chunk = tf.gather(_CHUNK, tf.cast(head[15], tf.int32))
    pair = tf.where(first == 0x52, 1 + chunk, 0)
    width, height = numbers[2 * pair], numbers[2 * pair + 1]
    vp8, vp8l, vp8x = (pair == number for number in (1, 2, 3))
    fourteen = tf.constant(14, tf.int64)
    height = tf.where(vp8l, tf.bitwise.right_shift(height, fourteen), height)
    low = tf.where(vp8 | vp8l, tf.bitwise.left_shift(tf.ones_like(fourteen), fourteen) - 1, tf.int64.max)
    more = tf.where(vp8l | vp8x, tf.ones_like(fourteen), 0)
    width, height = (tf.bitwise.bitwise_and(each, low) + more for each in (width, height))
    moves = vp8x & (tf.bitwise.bitwise_and(head[20], 2) == 2)
    deep = (pair == 0) & (head[24] == 16)
    checked = _allowed(contents, height, width, (deep == (bits == 16)) & ~moves)
    rare = (first == 0x47) | (first == 0x42)
    return tf.cond(rare, lambda: _checked_in_python(contents), lambda: checked)


def _checked_in_python(contents: Any) -> Any:
    """The same for GIF and BMP, whose headers do not lie at fixed places.

    TensorFlow takes the first frame of any GIF, even of one that is cut off, and the indices of a BMP's palette for gray.
    """
    return tf.ensure_shape(tf.numpy_function(weakly(formats.passed), [contents], tf.string, stateful=False), ())


# Sizes


def resized(image: Pixels, look: Look) -> Pixels:
    """The image in the size, shape and dtype that is asked for."""
    if look.fit == "pad":
        image = tf.image.resize_with_pad(image, *look.size, method=look.interpolation)
    else:
        if look.fit == "crop":
            image = _to_ratio(image, look.size)
        image = tf.image.resize(image, look.size, method=look.interpolation)
    if look.dtype != "float32" and image.dtype.is_floating:
        image = tf.saturate_cast(tf.round(image), look.dtype)
    return tf.ensure_shape(tf.cast(image, look.dtype), (*look.size, look.channels))


def _to_ratio(image: Pixels, size: tuple[int, int]) -> Pixels:
    """The largest centred part with the aspect ratio of `size`; the arithmetic is that of `keras.utils.smart_resize`."""
    height, width = tf.shape(image)[0], tf.shape(image)[1]

    def side(whole: Any, other: Any, mine: int, its: int) -> tuple[Any, Any]:
        part = tf.cast(tf.cast(other * mine, tf.float32) / float(its), tf.int32)
        part = tf.maximum(tf.minimum(whole, part), 1)
        return tf.cast(tf.cast(whole - part, tf.float32) / 2, tf.int32), part

    top, tall = side(height, width, size[0], size[1])
    left, wide = side(width, height, size[1], size[0])
    return image[top : top + tall, left : left + wide]
