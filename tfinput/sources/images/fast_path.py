"""Pictures as nearly all of a folder are: of one kind, decoded without a branch.

A graph without branches needs no change of thread for each picture (`straight`). It is made for what a few of the files are, if the
names of all have endings of one kind. A file that is something else fails in it, as does whatever `decoding` refuses: its block is made
again with `decoding.pixels`, which takes all kinds, and so takes twice the time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfinput.sources.images import headers
from tfinput.sources.images.decode import RATIOS, halvings, jpeg_size, png_fits
from tfinput.sources.images.resize import FEW, ImageOptions, resized

SAMPLES = 8
# Of each: a JPEG's size comes after what cameras write about the picture.
HEADER_BYTES = 1 << 18
_ALIKE = dict.fromkeys((b"jpeg", b"jpe", b"jfif"), b"jpg")


def decoder(paths: list[bytes], look: ImageOptions) -> Callable[[Any], Any] | None:
    """What decodes most of these files in a graph, as far as a few of them tell; None where pictures take branches anyway."""
    if look.crop is not None or look.exif or look.mask or look.bits > 8 or look.channels > 3:
        return None
    if len({_ALIKE.get(end, end) for end in {path.rpartition(b".")[2].lower() for path in paths}}) > 1:
        return None
    found = [_header(path) for path in paths[:: max(1, len(paths) // SAMPLES)]]
    seen = [each for each in found if each is not None]
    kinds = {each.kind for each in seen}
    if len(seen) < len(found) or kinds not in ({"JPEG"}, {"PNG"}):
        return None
    scales = {RATIOS[_halvings(each, look)] for each in seen}
    if len(scales) > 1:
        return None
    (scale,) = scales
    few = all(-(-each.height // scale) * -(-each.width // scale) * look.channels <= FEW for each in seen)
    if kinds == {"PNG"}:
        return lambda contents: resized(_png(contents, look), look, few)
    return lambda contents: resized(_jpeg(contents, look, scale), look, few)


def _header(path: bytes) -> headers.ImageHeader | None:
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            return headers.header(file.read(HEADER_BYTES))
    except OSError:
        return None


def _halvings(header: headers.ImageHeader, look: ImageOptions) -> int:
    if not look.fast or header.kind != "JPEG":
        return 0
    with tf.device("CPU:0"):
        return int(halvings(tf.constant([header.height, header.width]), tf.constant(look.size)))


def _jpeg(contents: Any, look: ImageOptions, scale: int) -> Any:
    # TensorFlow prints a line where it is to find the size of another kind.
    with _only_if(tf.strings.substr(contents, 0, 1) == b"\xff"):
        sides, fits = jpeg_size(contents, look)
    if look.fast:
        times = halvings(tf.cast(sides, tf.int32), tf.constant(look.size))
        fits = tf.logical_and(fits, times == RATIOS.index(scale))
    with _only_if(fits):
        return tf.io.decode_jpeg(contents, look.channels, ratio=scale)


def _png(contents: Any, look: ImageOptions) -> Any:
    with _only_if(tf.strings.substr(contents, 0, 1) == b"\x89"):
        fits = png_fits(contents, look)
    with _only_if(fits):
        return tf.io.decode_png(contents, look.channels)


def _only_if(test: Any) -> Any:
    """What is made within fails unless the test holds; `tf.debugging.Assert` would be a branch."""
    return tf.control_dependencies([tf.raw_ops.Assert(condition=test, data=[test])])
