"""What image files are to become, and how their pixels come to that size: by the same `tf.image.resize` as in Keras."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfinput.sources.images.branches import either

CHANNELS = {"rgb": 3, "rgba": 4, "grayscale": 1}
# TensorFlow resizes floats in half the time that it takes for the same values as integers, and makes the very same of them. So many values
# take half a megabyte as floats. To turn more into floats (2 MB) saves 0.1 ms of an image, but where another core wrote that memory last,
# as TensorFlow's threads hand it on, writing it can cost 0.4 ms: measured on cores that are at times far apart, in up to two of three runs.
QUICKER_AS_FLOATS = ("bilinear", "bicubic")
FEW = 1 << 17

Pixels = Any
Colour = tuple[int, int, int, int]


@dataclass(frozen=True)
class Mask:
    """How the pixels of a mask become numbers of classes."""

    classes: tuple[tuple[Colour, int], ...] = ()  # what colours (RGBA) stand for; without them gray levels and indices are the classes
    palette: bytes | None = None  # the colours that indices must stand for in every file; None: whatever they are
    lossy: bool = False  # whether files whose numbers are not exact are taken


@dataclass(frozen=True)
class ImageOptions:
    """How a file becomes an array of `size` (height, width)."""

    size: tuple[int, int]
    channels: int = 3
    interpolation: str = "bilinear"
    fit: str = "stretch"  # or "crop", "pad": what is done about another aspect ratio
    dtype: str = "float32"
    fast: bool = False
    exif: bool = False
    crop: tuple[tuple[float, float], tuple[float, float]] | None = None  # ranges of scale and ratio of a random crop
    mask: Mask | None = None  # where pixels are numbers of classes
    first: bool = False  # whether channels come before height and width

    @property
    def bits(self) -> int:
        """Bits a channel that are decoded."""
        return 16 if self.dtype == "uint16" else 8

    @property
    def spec(self) -> Any:
        """The spec of one image."""
        return tf.TensorSpec((self.channels, *self.size) if self.first else (*self.size, self.channels), self.dtype)


def resized(image: Pixels, look: ImageOptions, few: bool | None = None) -> Pixels:
    """The image in the size, shape and dtype that is asked for; `few` says whether it has few values, if that is known."""
    if look.fit == "pad":
        image = tf.image.resize_with_pad(image, *look.size, method=look.interpolation)
    else:
        image = _stretched(_to_ratio(image, look.size) if look.fit == "crop" else image, look, few)
    if look.dtype != "float32" and image.dtype.is_floating:
        image = tf.saturate_cast(tf.round(image), look.dtype)
    image = tf.ensure_shape(tf.cast(image, look.dtype), (*look.size, look.channels))
    return tf.transpose(image, (2, 0, 1)) if look.first else image


def _stretched(image: Pixels, look: ImageOptions, few: bool | None) -> Pixels:
    resize = functools.partial(tf.image.resize, size=look.size, method=look.interpolation)
    if look.interpolation not in QUICKER_AS_FLOATS or few is False:
        return resize(image)

    def quicker(values: Pixels) -> Pixels:
        return resize(tf.cast(values, tf.float32))

    return quicker(image) if few else either(tf.size(image) <= FEW, image, quicker, resize)


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
