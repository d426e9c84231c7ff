"""Images as a source: files decoded one by one in the graph, by what their bytes are and not by their names.

By default pixels are those of Keras' `image_dataset_from_directory`: the same decoder, the same `tf.image.resize`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.errors import FileError, MissingFileError, refusal
from tfinput.source import Loader, Source
from tfinput.sources import formats
from tfinput.sources.folders import shown
from tfinput.sources.leaves import file_identity
from tfinput.sources.targets import Targets

CHANNELS = {"rgb": 3, "rgba": 4, "grayscale": 1}
RATIOS = (1, 2, 4, 8)
# A fingerprint of many files reads little of each.
ENDS = 1 << 12

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

    @property
    def bits(self) -> int:
        """Bits a channel that are decoded."""
        return 16 if self.dtype == "uint16" else 8

    @property
    def spec(self) -> Any:
        """The spec of one image."""
        return tf.TensorSpec((*self.size, self.channels), self.dtype)


@dataclass(frozen=True)
class Pictures:
    """A list of image files and how to look at them."""

    paths: list[bytes]
    look: Look
    tensor: Any = field(init=False)

    def __post_init__(self) -> None:
        with tf.device("CPU:0"):
            object.__setattr__(self, "tensor", tf.constant(self.paths, tf.string))

    @property
    def spec(self) -> Any:
        """The spec of one picture."""
        return self.look.spec

    def digest(self, into: Any) -> None:
        """Feed what makes these pictures what they are to a hash object."""
        into.update(repr(self.look).encode())
        for path in self.paths:
            into.update(path + b"\0" + file_identity(os.fsdecode(path), ENDS))


def source(pictures: Pictures, targets: Targets | None = None, masks: Pictures | None = None, **about: Any) -> Source:
    """The source over pictures, with targets or masks of the same number; `about` are fields of the Source."""
    scene = [pictures] if masks is None else [pictures, masks]
    looks = [each.look for each in scene]
    parts: list[Pictures | Targets] = [*scene] if targets is None else [*scene, targets]

    def read(indices: Any) -> Any:
        return tuple(tf.gather(part.tensor, indices) for part in parts)

    def load(row: Any, seed: Any) -> Any:
        made = _decoded(row[: len(scene)], looks, seed)
        if targets is not None:
            made += (targets.encoded(row[-1]),)
        return made[0] if len(made) == 1 else made

    def explain(row: Any, error: Exception) -> Exception:
        return explained([path.numpy() for path in row[: len(scene)]], looks, error)

    def fingerprint() -> str:
        digest = hashlib.blake2b(digest_size=16)
        for part in parts:
            part.digest(digest)
        return digest.hexdigest()

    specs = tuple(part.spec for part in parts)
    return Source(
        size=len(pictures.paths),
        spec=specs[0] if len(specs) == 1 else specs,
        read=read,
        loader=Loader(load=load, explain=explain, random=pictures.look.crop is not None),
        fingerprint=fingerprint,
        in_memory=False,
        **about,
    )


def _decoded(paths: Any, looks: list[Look], seed: Any) -> tuple[Any, ...]:
    """Pictures of one scene: a random crop cuts the same place out of all."""
    whole = [_pixels(tf.io.read_file(path), look, seed) for path, look in zip(paths, looks, strict=True)]
    # A mask of another size than its image would be stretched over it unseen.
    same = [tf.debugging.assert_equal(tf.shape(each)[:2], tf.shape(whole[0])[:2]) for each in whole[1:]]
    with tf.control_dependencies([each for each in same if each is not None]):
        return tuple(_resized(tf.identity(image), look) for image, look in zip(whole, looks, strict=True))


def _pixels(contents: Any, look: Look, seed: Any) -> Pixels:
    """Decode what the bytes are, after a look at the header; whatever is refused fails here and is explained later."""
    first = tf.io.decode_raw(tf.strings.substr(contents, 0, 1), tf.uint8)[0]
    jpeg = first == 0xFF

    def by_jpeg() -> Pixels:
        shape = tf.io.extract_jpeg_shape(contents)
        return _jpeg(_allowed(contents, tf.reduce_prod(tf.cast(shape[:2], tf.int64))), shape, look, seed)

    def by_other() -> Pixels:
        checked = _checked(contents, first, look.bits)
        if look.bits == 16:
            image = tf.io.decode_png(checked, look.channels, tf.uint16)
        else:
            image = tf.io.decode_image(checked, look.channels, expand_animations=False)
        return _cropped(tf.ensure_shape(image, (None, None, look.channels)), look, seed)

    if look.bits == 16:
        return by_other()
    return tf.ensure_shape(tf.cond(jpeg, by_jpeg, by_other), (None, None, look.channels))


def _allowed(contents: Any, pixels: Any, also: Any = True) -> Any:
    """The contents, or nothing, which no decoder takes, where there are too many pixels."""
    return tf.where((pixels > 0) & (pixels <= formats.PIXELS) & also, contents, "")


def _jpeg(contents: Any, shape: Any, look: Look, seed: Any) -> Pixels:
    if look.crop is not None and seed is not None:
        begin, size = _window(shape, look, seed)
        cut = tf.concat([begin[:2], size[:2]], 0)
        image = tf.io.decode_and_crop_jpeg(contents, cut, look.channels)
    elif look.fast:
        # The decoder halves the size for free: by the largest factor that still covers what is asked for.
        need = tf.constant(look.size, tf.int32)
        covers = [tf.reduce_all(-(-shape[:2] // ratio) >= need) for ratio in RATIOS[1:]]
        branch = tf.add_n([tf.cast(each, tf.int32) for each in covers])
        image = tf.switch_case(branch, [_at_ratio(contents, ratio, look.channels) for ratio in RATIOS])
    else:
        image = tf.io.decode_jpeg(contents, look.channels)
    return _upright(image, contents) if look.exif else image


def _at_ratio(contents: Any, ratio: int, channels: int) -> Callable[[], Any]:
    return lambda: tf.io.decode_jpeg(contents, channels, ratio=ratio)


def _window(shape: Any, look: Look, seed: Any) -> tuple[Any, Any]:
    scale, ratio = look.crop or ((1.0, 1.0), (1.0, 1.0))
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        tf.zeros((1, 0, 4)),
        seed,
        min_object_covered=0.0,
        aspect_ratio_range=ratio,
        area_range=scale,
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    return begin, size


def _cropped(image: Pixels, look: Look, seed: Any) -> Pixels:
    if look.crop is None or seed is None:
        return image
    begin, size = _window(tf.shape(image), look, seed)
    return tf.slice(image, begin, tf.concat([size[:2], [look.channels]], 0))


def _upright(image: Pixels, contents: Any) -> Pixels:
    turned = tf.numpy_function(lambda data: np.int32(formats.orientation(data)), [contents], tf.int32, stateful=False)
    flip, transpose = tf.image.flip_left_right, tf.image.transpose
    ways = [
        lambda: image,
        lambda: flip(image),
        lambda: tf.image.rot90(image, 2),
        lambda: tf.image.flip_up_down(image),
        lambda: transpose(image),
        lambda: tf.image.rot90(image, 3),
        lambda: tf.image.rot90(transpose(image), 2),
        lambda: tf.image.rot90(image),
    ]
    return tf.switch_case(turned - 1, ways)


# Where each kind keeps width and height: first byte, bytes, little-endian. PNG, GIF, BMP, and WebP's VP8, VP8L (bits), VP8X.
_PLACES = (
    *((16, 4, False), (20, 4, False), (6, 2, True), (8, 2, True), (18, 4, True), (22, 4, True)),
    *((26, 2, True), (28, 2, True), (21, 4, True), (21, 4, True), (24, 3, True), (27, 3, True)),
)


def _linear() -> Any:
    """Those numbers as linear functions of the first 32 bytes, so that one product reads all of them."""
    weights = np.zeros((32, len(_PLACES)))
    for column, (start, count, little) in enumerate(_PLACES):
        for place in range(count):
            weights[start + place, column] = 256.0 ** (place if little else count - 1 - place)
    return weights


_WEIGHTS = _linear()
# Which pair of columns tells the size, by the first byte of the file (G, B, R; all others as PNG) and of WebP's chunk.
_PAIR = np.zeros(256, np.int32)
_PAIR[[0x47, 0x42, 0x52]] = 1, 2, 3
_CHUNK = np.zeros(256, np.int32)
_CHUNK[[0x4C, 0x58]] = 1, 2


def _checked(contents: Any, first: Any, bits: int) -> Any:
    """The contents of anything but a JPEG if its header allows it to be decoded, else nothing."""
    head = tf.io.decode_raw(tf.strings.substr(contents, 0, 32), tf.uint8)
    head = tf.ensure_shape(tf.concat([head, tf.zeros(32 - tf.size(head), tf.uint8)], 0), (32,))
    numbers = tf.cast(tf.linalg.matvec(tf.constant(_WEIGHTS), tf.cast(head, tf.float64), transpose_a=True), tf.int64)
    place = tf.cast(first, tf.int32)
    pair = tf.gather(_PAIR, place)
    pair = tf.where(pair == 3, 3 + tf.gather(_CHUNK, tf.cast(head[15], tf.int32)), pair)
    width, height = numbers[2 * pair], numbers[2 * pair + 1]
    vp8, vp8l, vp8x, bmp = (pair == number for number in (3, 4, 5, 2))
    mask = tf.constant(0x3FFF, tf.int64)
    one = tf.constant(1, tf.int64)
    width = tf.where(vp8 | vp8l, tf.bitwise.bitwise_and(width, mask), width) + tf.where(vp8l | vp8x, one, 0)
    height = tf.where(vp8l, tf.bitwise.right_shift(height, 14 * one), height)
    height = tf.where(vp8 | vp8l, tf.bitwise.bitwise_and(height, mask), height) + tf.where(vp8l | vp8x, one, 0)
    height = tf.where(bmp & (height >= 2**31), 2**32 - height, height)  # top-down bitmaps have a negative height
    deep = (pair == 0) & (head[24] == 16)
    still = (first != 0x47) | _still(contents, first)
    return _allowed(contents, width * height, (deep == (bits == 16)) & still & ~(vp8x & (tf.bitwise.bitwise_and(head[20], 2) == 2)))


def _still(contents: Any, first: Any) -> Any:
    """Whether a GIF is whole and of one frame: TensorFlow takes the first frame of any, even of one that is cut off."""

    def count(data: bytes) -> np.bool_:
        try:
            return np.bool_(formats.gif_frames(data) == 1)
        except IndexError:
            return np.bool_(False)

    return tf.cond(
        first == 0x47,
        lambda: tf.ensure_shape(tf.numpy_function(count, [contents], tf.bool, stateful=False), ()),
        lambda: tf.constant(True),
    )


def _resized(image: Pixels, look: Look) -> Pixels:
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


def explained(paths: list[bytes], looks: list[Look], error: Exception) -> Exception:
    """Why the images of an example could not be decoded: which file, and what is wrong with it."""
    sizes = []
    for path, look in zip(paths, looks, strict=True):
        kinds = ", ".join(formats.KINDS)
        found = problem(path, look)
        if found is not None:
            missing = not os.path.exists(path)
            fix = "Restore the file." if missing else "Replace or remove it, or pass on_bad='skip'."
            return refusal(shown(path), f"an image ({kinds})", found, fix, MissingFileError if missing else FileError)
        with open(path, "rb") as file:
            sizes.append(formats.header(file.read()))
    if len({each[1:3] for each in sizes if each}) > 1:
        tall = " and ".join(f"{each.width} x {each.height}" for each in sizes if each)
        return refusal(f"{shown(paths[0])} and its mask", "pictures of one size", tall, "Pair each image with its own mask.", FileError)
    return refusal(shown(paths[0]), "an image", f"{type(error).__name__}: {str(error).splitlines()[0]}", "Check the file.", FileError)


def problem(path: bytes, look: Look) -> str | None:
    """What is wrong with a file, or None; decodes it if its header is in order."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        return "no file" if isinstance(error, FileNotFoundError) else f"{error.strerror}"
    if formats.kind(data[:32]) is None:
        return formats.described(data[:32])
    told = formats.header(data)
    if told is None:
        return f"a damaged {formats.kind(data[:32])} (its header is cut off or broken)"
    if told.problem is not None:
        return told.problem
    if told.kind == "PNG" and (told.bits == 16) != (look.bits == 16):
        return "a 16-bit PNG, whose depth 8 bits would lose (dtype='uint16' keeps it)" if look.bits == 8 else f"a {told.bits}-bit PNG"
    if told.kind != "PNG" and look.bits == 16:
        return f"a {told.kind}, which has 8 bits a channel"
    try:
        with tf.device("CPU:0"):
            _pixels(tf.constant(data), look, None)
    except tf.errors.OpError as error:
        said = str(error.message).split("[Op:")[0].strip().splitlines()[0].rstrip(".")
        return f"a damaged {told.kind} ({len(data)} bytes: {said})"
    return None
