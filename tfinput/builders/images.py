"""`from_images`: folders and lists of image files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Unpack

from tfinput import assembly, feed, options
from tfinput.builders import subjects
from tfinput.errors import refusal, short
from tfinput.source import Source
from tfinput.sources import formats, images, looks
from tfinput.sources.folders import suffix
from tfinput.steps import whole

INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic")
UNREADABLE = frozenset(
    {".tif", ".tiff", ".avif", ".heic", ".heif", ".jp2", ".jxl", ".psd", ".svg", ".ico", ".txt", ".csv", ".json", ".xml"}
)


@options.common_options
def from_images(
    subject: Any,
    *,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    image_size: Any = (256, 256),
    color_mode: str = "rgb",
    interpolation: str = "bilinear",
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    random_crop: Any = None,
    decode: str = "exact",
    dtype: str = "float32",
    data_format: str | None = None,
    exif_rotation: bool = False,
    on_bad: str = "raise",
    follow_links: bool = False,
    verbose: bool = True,
    **given: Unpack[options.Options],
) -> feed.Feed:
    """Feed a Keras model from image files: a folder with one subfolder a class, or paths with labels.

    >>> import tempfile, pathlib, tensorflow as tf, tfinput
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> for place, name in enumerate(["cat", "dog", "cat", "dog"]):
    ...     (root / name).mkdir(exist_ok=True)
    ...     _ = (root / name / f"{place}.png").write_bytes(tf.io.encode_png(tf.zeros((8, 8, 3), tf.uint8)).numpy())
    >>> tfinput.from_images(root, image_size=(32, 32), batch_size=2, validation_split=0.5)
    Found 4 images belonging to 2 classes.
    Feed(images: train 2 in 1 step of 2, validation 2 in 1 step of 2; seed=0)

    Pixels are floats from 0 to 255, bit for bit those of `keras.utils.image_dataset_from_directory`; unlike there, all images
    are shuffled anew each epoch, splits are exact, and JPEG, PNG, GIF (one frame), BMP and WebP are told by their content. Alpha
    is dropped, not blended, unless "rgba" is asked for. Files of more than 100 million pixels are refused.

    Args:
        subject: a folder, `(paths, labels)`, or paths alone. Labels may be class names, numbers of any shape (classes,
            regression targets, several labels), or paths of masks: pictures of the same sizes, which become uint8 of one
            channel, resized without interpolation; of a PNG with a palette, its indices.
        labels: for a folder: "inferred" from its subfolders, None for none, or one label per file in the order of the paths.
        label_mode: "int" (int32), "categorical" (one-hot float32), "binary" (float32 of shape 1; two classes) or None for no
            labels. Numbers given as labels stay as they are with "int".
        class_names: the class folders to use, in this order; else all, sorted. With labels, the names of the classes in the
            order of their numbers. Validation and test data have the classes of the training data.
        image_size: height and width, or one number for both, in pixels.
        color_mode: "rgb", "rgba" or "grayscale".
        interpolation: how to resize: "bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian" or
            "mitchellcubic".
        crop_to_aspect_ratio: cut the centre with the aspect ratio of `image_size`, instead of stretching.
        pad_to_aspect_ratio: pad with black to that aspect ratio, instead of stretching.
        random_crop: in training, cut a random part before resizing, anew each epoch: True, or a dict with ranges `scale` (share
            of the area, default (0.08, 1)) and `ratio` (width by height, default (3/4, 4/3)). JPEGs are decoded only where they
            are cut. Where 10 draws find no such part, it is the whole image. Source: Szegedy et al., "Going deeper with
            convolutions", CVPR 2015.
        decode: "exact", or "fast": large JPEGs are decoded at 1/2, 1/4 or 1/8 of their size, the smallest that still covers
            `image_size`. Their pixels then differ a little, as after another filter; all else stays as it is. The fewer bytes a
            pixel the files take, the more time it saves.
        dtype: "float32", "uint8" (rounded), or "uint16" for 16-bit PNGs, which are refused otherwise.
        data_format: "channels_last", "channels_first", for masks too, or None for what `keras.config.image_data_format()` says.
        exif_rotation: turn JPEGs as their EXIF orientation says. Keras does not.
        on_bad: "raise" names a broken file at the batch where it occurs; "skip" reads all files once before training and leaves
            broken ones out: `feed.skipped` lists them.
        follow_links: follow links to folders, and to files outside of the folder.
        verbose: print how many files were found.
        {common options}

    Returns:
        A `tfinput.Feed` of images of shape (height, width, channels), or (channels, height, width) with "channels_first", and labels.

    Raises:
        ValueError: for wrong options, folders without images, unequal numbers of paths and labels, and broken files
            (`tfinput.errors.FileError`, also an `OSError`).
        TypeError: for unknown options.

    """
    known = options.known(dict(given), from_images)
    look = _look(
        image_size, color_mode, interpolation, crop_to_aspect_ratio, pad_to_aspect_ratio, random_crop, decode, dtype, exif_rotation
    )
    look = dataclasses.replace(look, first=_channels_first(data_format))
    subjects.one_of("on_bad", on_bad, ("raise", "skip"))
    if look.crop is not None and known["cache"] is not None:
        fix = "Cache whole images and crop them in augment, or use cache=None."
        raise refusal("cache with random_crop", "one of the two", "both: a cached crop would be the same each epoch", fix)
    asked = subjects.Asked(labels, label_mode, class_names, follow_links, verbose, wanted, "images")
    made = _source(subject, asked, look, on_bad, "images")
    others = []
    for name in ("validation_data", "test_data"):
        again, whole = asked.after(made.class_names), dataclasses.replace(look, crop=None)
        others.append(None if known[name] is None else _source(known[name], again, whole, on_bad, name))
    return assembly.build(made, known, *others)


def wanted(name: bytes, head: Callable[[], bytes]) -> bool:
    """Whether a file is an image: by its extension, and by its first bytes where that is of no known kind."""
    end = suffix(name)
    return end in formats.SUFFIXES or (end not in UNREADABLE and formats.kind(head()) is not None)


def _source(subject: Any, asked: subjects.Asked, look: looks.Look, on_bad: str, name: str) -> Source:
    found = subjects.found(subject, asked, name)

    def made(kept: subjects.Found) -> Source:
        pictures = images.Pictures(kept.paths, look)
        about: dict[str, Any] = {"name": name, "labels": lambda: kept.labels, "class_names": kept.class_names}
        if kept.masks is None:
            return images.source(pictures, kept.targets, **about)
        mask_look = dataclasses.replace(look, channels=1, interpolation="nearest", dtype="uint8", fast=False, mask=True)
        return images.source(pictures, None, images.Pictures(kept.masks, mask_look), **about)

    return subjects.sifted(made, found, asked, name, on_bad)


def _channels_first(data_format: str | None) -> bool:
    if data_format is None:
        import keras

        data_format = keras.config.image_data_format()
    subjects.one_of("data_format", data_format, ("channels_last", "channels_first"))
    return data_format == "channels_first"


def _look(
    size: Any, color: Any, interpolation: Any, crop: bool, pad: bool, random_crop: Any, decode: Any, dtype: Any, exif: bool
) -> looks.Look:
    subjects.one_of("color_mode", color, tuple(looks.CHANNELS))
    subjects.one_of("interpolation", interpolation, INTERPOLATIONS)
    subjects.one_of("decode", decode, ("exact", "fast"))
    subjects.one_of("dtype", dtype, ("float32", "uint8", "uint16"))
    if crop and pad:
        fix = "Pass one of them."
        raise refusal("crop_to_aspect_ratio and pad_to_aspect_ratio", "one of the two", "both", fix)
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2 or isinstance(size, str):
        raise refusal("image_size", "(height, width) or one number", short(size), "Pass for example (224, 224).")
    height, width = (whole("image_size", side) for side in sides)
    return looks.Look(
        size=(height, width),
        channels=looks.CHANNELS[color],
        interpolation=interpolation,
        fit="crop" if crop else "pad" if pad else "stretch",
        dtype=dtype,
        fast=decode == "fast",
        exif=bool(exif),
        crop=_crop(random_crop),
    )


def _crop(asked: Any) -> tuple[tuple[float, float], tuple[float, float]] | None:
    if asked is None or asked is False:
        return None
    ranges = {"scale": (0.08, 1.0), "ratio": (3 / 4, 4 / 3)}
    if isinstance(asked, dict):
        for name in asked:
            subjects.one_of("random_crop", name, tuple(ranges))
        ranges |= asked
    elif asked is not True:
        fix = "Pass for example {'scale': (0.3, 1)}."
        raise refusal("random_crop", "True or a dict with scale and ratio", short(asked), fix, TypeError)
    for name, value in ranges.items():
        try:
            low, high = (float(end) for end in value)
        except (TypeError, ValueError):
            low, high = 0.0, 0.0
        if not 0 < low <= high or (name == "scale" and high > 1):
            raise refusal(f"random_crop[{name!r}]", "a range of two positive numbers, low and high", short(value), "Pass (0.5, 1).")
        ranges[name] = (low, high)
    return ranges["scale"], ranges["ratio"]
