"""`from_images`: folders and lists of image files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Unpack

from tfinput import feed, options
from tfinput.builders import _broken_files, _build, _files, _masks
from tfinput.errors import refusal, short
from tfinput.material.folders import suffix
from tfinput.sampling.steps import integer
from tfinput.sources.base import Source
from tfinput.sources.images import headers, image_source, resize

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
    mask_palette: Any = None,
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
        subject: a folder, `(paths, labels)`, paths alone, or `(folder, labels)`. Labels may be class names, numbers of any shape (classes,
            regression targets, several labels), or paths of masks: pictures of the same sizes, which become uint8 of one
            channel, resized without interpolation: gray levels, and of a PNG or GIF with a palette, its indices. Masks in colour
            or with alpha are refused without `mask_palette`; those stored with loss (JPEG) are warned of.
        labels: for a folder: "inferred" from its subfolders; None for none; a dict or a Series (or DataFrame) by file: its name, with or
            without its suffix, or its path from the folder on, one for each file; or a list in the order of `feed.paths`, which is
            refused where people order such names in other ways too (`img2.png` before `img10.png`).
        label_mode: "int" (int32), "categorical" (one-hot float32), "binary" (float32 of shape 1; two classes) or None for no
            labels. Numbers given as labels stay as they are with "int". "image": labels are paths of pictures that become what
            the images become, as targets (image to image).
        class_names: the class folders to use, in this order; else all, sorted. With labels, the names of the classes in the
            order of their numbers. Validation and test data have the classes of the training data.
        mask_palette: for masks in colour, what class each colour stands for: `{(0, 0, 0): 0, (128, 0, 0): 1}`, or the colours
            in the order of their classes. A colour of four numbers tells alpha, one number is a gray. "index": palettes of
            masks may differ, and their indices are the classes; otherwise masks whose palettes differ are refused.
        image_size: height and width, or one number for both, in pixels.
        color_mode: "rgb", "rgba" or "grayscale". Only "rgba" tells what is clear; else clear pixels of a GIF are black, as in Keras.
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
            broken ones out: `feed.skipped` lists them. Indices, groups and classes to stratify by still count all files.
        follow_links: follow links to folders, and to files outside of the folder.
        verbose: print how many files were found.
        {common options}

    Returns:
        A `tfinput.Feed` of images of shape (height, width, channels), or (channels, height, width) with "channels_first", and labels.

    Raises:
        ValueError: for wrong options, folders without images, unequal numbers of paths and labels, masks in colour without
            `mask_palette` or with a colour that it lacks, and broken files (`tfinput.errors.FileError`, also an `OSError`).
        TypeError: for unknown options.

    """
    known = _build.begin(dict(given), from_images)
    look = _image_options(
        image_size, color_mode, interpolation, crop_to_aspect_ratio, pad_to_aspect_ratio, random_crop, decode, dtype, exif_rotation
    )
    look = dataclasses.replace(look, first=_channels_first(data_format))
    options.one_of("on_bad", on_bad, ("raise", "skip"))
    if look.crop is not None and known["cache"] is not None:
        fix = "Cache whole images and crop them in augment, or use cache=None."
        raise refusal("cache with random_crop", "one of the two", "both: a cached crop would be the same each epoch", fix)
    asked = _files.FileOptions(labels, label_mode, class_names, follow_links, verbose, wanted, "images")
    mask = _masks.asked(mask_palette, label_mode)
    made, mask = _source(subject, asked, look, mask, on_bad, "images")
    others = []
    for name in ("validation_data", "test_data"):
        again, whole = asked.after(made.class_names), dataclasses.replace(look, crop=None)
        others.append(None if known[name] is None else _source(known[name], again, whole, mask, on_bad, name)[0])
    return _build.build(made, known, *others, verbose=verbose)


def wanted(name: bytes, head: Callable[[], bytes]) -> bool:
    """Whether a file is an image: by its extension, and by its first bytes where that is of no known kind."""
    end = suffix(name)
    return end in headers.SUFFIXES or (end not in UNREADABLE and headers.kind(head()) is not None)


def _source(
    subject: Any, asked: _files.FileOptions, look: resize.ImageOptions, mask: resize.Mask | None, on_bad: str, name: str
) -> tuple[Source, resize.Mask | None]:
    """The source, and how its masks are read if it has any, which other data must share."""
    found = _files.labeled_files(subject, asked, name)
    target = look
    if found.masks is None and mask is not None and mask != _masks.UNSEEN and asked.trained is None:
        raise refusal(f"{name} labels", "paths of masks for mask_palette", "others", "Pass (paths, mask paths), or no mask_palette.")
    if found.masks is not None and mask is not None:
        target = dataclasses.replace(look, channels=1, interpolation="nearest", dtype="uint8", fast=False, mask=mask)
        target = _masks.looked_at(found.masks, target, on_bad, name)

    def made(kept: _files.LabeledFiles) -> Source:
        pictures = image_source.Pictures(kept.paths, look)
        others = None if kept.masks is None else image_source.Pictures(kept.masks, target)
        return image_source.source(pictures, kept.targets, others, name=name, **kept.about)

    return _broken_files.sifted(made, found, asked, name, on_bad), target.mask or mask


def _channels_first(data_format: str | None) -> bool:
    if data_format is None:
        import keras

        data_format = keras.config.image_data_format()
    options.one_of("data_format", data_format, ("channels_last", "channels_first"))
    return data_format == "channels_first"


def _image_options(
    size: Any, color: Any, interpolation: Any, crop: bool, pad: bool, random_crop: Any, decode: Any, dtype: Any, exif: bool
) -> resize.ImageOptions:
    options.one_of("color_mode", color, tuple(resize.CHANNELS))
    options.one_of("interpolation", interpolation, INTERPOLATIONS)
    options.one_of("decode", decode, ("exact", "fast"))
    options.one_of("dtype", dtype, ("float32", "uint8", "uint16"))
    if crop and pad:
        fix = "Pass one of them."
        raise refusal("crop_to_aspect_ratio and pad_to_aspect_ratio", "one of the two", "both", fix)
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2 or isinstance(size, str):
        raise refusal("image_size", "(height, width) or one number", short(size), "Pass for example (224, 224).")
    height, width = (integer("image_size", side) for side in sides)
    return resize.ImageOptions(
        size=(height, width),
        channels=resize.CHANNELS[color],
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
            options.one_of("random_crop", name, tuple(ranges))
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
