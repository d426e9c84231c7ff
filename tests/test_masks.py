"""Masks: classes or nothing. Colours are refused or mapped by a palette, loss is warned of, pictures as targets are asked for."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from pictures import encoded, listed, noise, number, written
from PIL import Image

import tfinput

CLASSES = np.random.default_rng(0).integers(0, 3, (9, 13), np.uint8)
COLOURS = np.array([[0, 0, 0], [128, 0, 0], [0, 65, 0]], np.uint8)
SIZE: dict[str, Any] = {"image_size": (9, 13), "verbose": False}
WAY = r"Pass mask_palette=\{\(128, 0, 0\): 1, \.\.\.\} if colours stand for classes, or label_mode='image' if the targets are pictures\."


def palette_of(colours: Any, indices: Any = CLASSES) -> Image.Image:
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette(np.asarray(colours, np.uint8).tobytes())
    return picture


def clear(image: Any, alpha: Any) -> Any:
    return np.concatenate([image, np.broadcast_to(np.asarray(alpha, np.uint8), (*image.shape[:2], 1))], -1)


COLOUR = COLOURS[CLASSES]
IN_COLOUR = {
    "colour.png": encoded(COLOUR, "PNG"),
    "with alpha.png": encoded(clear(COLOUR, 255), "PNG"),
    "palette.png": encoded(palette_of(COLOURS), "PNG"),
    "other palette.png": encoded(palette_of(COLOURS[::-1], 2 - CLASSES), "PNG", bits=4),
    "palette.gif": encoded(palette_of(COLOURS), "GIF"),
    "colour.bmp": encoded(COLOUR, "BMP"),
    "with alpha.bmp": encoded(clear(COLOUR, 255), "BMP"),
    "colour.webp": encoded(COLOUR, "WEBP", lossless=True),
}
REFUSED = {name: data for name, data in IN_COLOUR.items() if "palette" not in name}
IN_GRAY = {
    "palette.png": encoded(palette_of(COLOURS), "PNG"),
    "gray.png": encoded(CLASSES, "PNG"),
    "gray and alpha.png": encoded(Image.fromarray(CLASSES).convert("LA"), "PNG"),
    "as colour.png": encoded(CLASSES[..., None].repeat(3, 2), "PNG"),
    "with alpha.png": encoded(clear(CLASSES[..., None].repeat(3, 2), 255), "PNG"),
    "with a key.png": encoded(CLASSES, "PNG", transparency=0),
    "gray.bmp": encoded(CLASSES, "BMP"),
    "as colour.bmp": encoded(CLASSES[..., None].repeat(3, 2), "BMP"),
    "unused bytes.bmp": encoded(clear(CLASSES[..., None].repeat(3, 2), 7), "BMP"),
    "gray.gif": encoded(CLASSES, "GIF"),
    "gray.webp": encoded(CLASSES[..., None].repeat(3, 2), "WEBP", lossless=True),
    "palette of grays.png": encoded(palette_of(np.arange(4).repeat(3)), "PNG"),
}


def pairs(folder: Path, masks: dict[str, bytes]) -> tuple[list[Path], list[Path]]:
    image = written(folder, {"image.png": encoded(noise(9, 13), "PNG")}) / "image.png"
    return [image] * len(masks), listed(folder / "masks", masks)


def feed_of(folder: Path, masks: dict[str, bytes], **options: Any) -> tfinput.Feed:
    return tfinput.from_images(pairs(folder, masks), **SIZE | options)


def masks_of(feed: tfinput.Feed) -> Any:
    return np.concatenate([mask.numpy() for _, mask in feed.examples("train")])


# Colours that stand for classes


@pytest.mark.parametrize(
    "palette",
    [
        {(0, 0, 0): 0, (128, 0, 0): 1, (0, 65, 0): 2},
        {(0, 65, 0): 2, 0: 0, (128, 0, 0, 255): 1, (255, 255, 255): 255},
        [(0, 0, 0), (128, 0, 0), (0, 65, 0)],
        COLOURS,
    ],
    ids=["mapping", "mapping of all forms", "list", "array"],
)
def test_a_palette_maps_the_colours_of_every_kind_of_file(tmp_path: Path, palette: Any) -> None:
    masks = masks_of(feed_of(tmp_path, IN_COLOUR, mask_palette=palette))
    assert (masks.dtype, masks.shape) == (np.uint8, (len(IN_COLOUR), 9, 13, 1))
    for name, mask in zip(IN_COLOUR, masks[..., 0], strict=True):
        assert np.array_equal(mask, CLASSES), name


def test_classes_are_what_the_palette_says_also_where_masks_are_resized_and_cut(tmp_path: Path) -> None:
    palette = {(0, 0, 0): 255, (128, 0, 0): 0, (0, 65, 0): 7}
    numbers = np.array([255, 0, 7], np.uint8)[CLASSES]
    masks = masks_of(feed_of(tmp_path, IN_COLOUR, mask_palette=palette, image_size=(20, 31)))
    assert (masks == tf.image.resize(numbers[..., None], (20, 31), "nearest").numpy()).all()
    blocks = CLASSES[:6, :4].repeat(16, 0).repeat(16, 1)
    image, mask = (written(tmp_path, {name: encoded(each, "PNG")}) / name for name, each in (("a.png", blocks), ("b.png", COLOURS[blocks])))
    how = {"image_size": 96, "interpolation": "nearest", "color_mode": "grayscale", "random_crop": True, "verbose": False}
    feed = tfinput.from_images(([image] * 8, [mask] * 8), mask_palette=COLOURS, **how)
    cut = [(image, mask) for image, mask in feed.train.take(feed.steps_per_epoch)]
    assert all(np.array_equal(image, tf.cast(mask, tf.float32)) for image, mask in cut)
    assert not np.array_equal(cut[0][1][0], cut[0][1][1])


def test_gray_levels_become_classes_by_a_palette(tmp_path: Path) -> None:
    levels = np.array([0, 128, 255], np.uint8)[CLASSES]
    masks = masks_of(feed_of(tmp_path, {"a.png": encoded(levels, "PNG"), "b.gif": encoded(levels, "GIF")}, mask_palette=[0, 128, 255]))
    assert (masks[..., 0] == CLASSES).all()


def test_a_colour_that_the_palette_lacks_is_named_with_its_place(tmp_path: Path) -> None:
    stray = COLOUR.copy()
    stray[4, 7] = 1, 2, 3
    said = r"expected a mask, whose pixels are classes, got a PNG with a colour that mask_palette lacks: row 4, column 7 is \(1, 2, 3\)\. "
    said += "Add the colour to mask_palette, or correct the mask"
    with pytest.raises(ValueError, match=rf"^tfinput: images masks: \S+a\.png: {said}"):
        feed_of(tmp_path, {"a.png": encoded(stray, "PNG")}, mask_palette=COLOURS)
    many = {f"{place:02}.png": encoded(stray if place == 7 else COLOUR, "PNG") for place in range(40)}
    feed = feed_of(tmp_path, many, mask_palette=COLOURS)  # The few that are looked at first are sound.
    with pytest.raises(tf.errors.OpError, match=rf"tfinput: \S+07\.png: {said}"):
        list(feed.train.take(feed.steps_per_epoch))
    # Nearest pixels would not show it: the whole mask counts.
    with pytest.raises(tf.errors.OpError, match=rf"tfinput: \S+07\.png: {said}"):
        list(feed_of(tmp_path, many, mask_palette=COLOURS, image_size=1, random_crop=True).train.take(2))


def test_alpha_counts_where_a_palette_has_it(tmp_path: Path) -> None:
    alpha = np.where(CLASSES == 2, 0, 255)[..., None]
    data = {"a.png": encoded(clear(np.full((9, 13, 3), 9, np.uint8), alpha), "PNG")}
    assert np.array_equal(masks_of(feed_of(tmp_path, data, mask_palette={(9, 9, 9): 0, (9, 9, 9, 0): 1}))[0, ..., 0], CLASSES == 2)
    with pytest.raises(ValueError, match=r"a PNG with a colour that mask_palette lacks: row \d+, column \d+ is \(9, 9, 9, 0\)\."):
        feed_of(tmp_path, data, mask_palette=[(9, 9, 9)])


# What is no mask


@pytest.mark.parametrize("name", REFUSED)
def test_colours_without_a_palette_are_refused_at_the_call(tmp_path: Path, name: str) -> None:
    kind = {"png": "PNG", "bmp": "BMP", "webp": "WebP"}[name.split(".")[1]]
    row, column = np.argwhere(CLASSES)[0]
    colour = re.escape(str(tuple(COLOUR[row, column].tolist())))
    said = rf"^tfinput: images masks: \S+{name}: expected a mask, whose pixels are classes, got a {kind} in colour: "
    with pytest.raises(ValueError, match=said + rf"row {row}, column {column} is {colour}\. {WAY}"):
        feed_of(tmp_path, {name: REFUSED[name]})


@pytest.mark.parametrize("name", REFUSED)
def test_colours_in_one_of_many_masks_are_refused_inside_fit(tmp_path: Path, name: str) -> None:
    feed = feed_of(tmp_path, {f"{place:02}.png": REFUSED[name] if place == 7 else IN_GRAY["gray.png"] for place in range(40)})
    model = keras.Sequential([keras.Input((9, 13, 3)), keras.layers.Conv2D(3, 1)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(tf.errors.OpError, match=r"tfinput: \S+07\.png: expected a mask, .* in colour: row \d+, column \d+ is"):
        model.fit(**feed.fit_args(model), verbose=0)


def test_photographs_as_targets_are_no_masks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"photo\.png: .* got a PNG in colour: row 0, column 0 is \(.*\)\. {WAY}"):
        feed_of(tmp_path, {"photo.png": encoded(noise(9, 13), "PNG")})


def test_gray_in_files_of_colour_is_a_mask(tmp_path: Path) -> None:
    for name, mask in zip(IN_GRAY, masks_of(feed_of(tmp_path, IN_GRAY))[..., 0], strict=True):
        assert np.array_equal(mask, CLASSES), name


@pytest.mark.parametrize("kind", ["RGBA", "LA"])
def test_alpha_that_is_not_opaque_is_refused(tmp_path: Path, kind: str) -> None:
    picture = clear(np.zeros((9, 13, 3), np.uint8), np.where(CLASSES == 2, 0, 255)[..., None])
    data = encoded(Image.fromarray(picture).convert(kind), "PNG")
    row, column = np.argwhere(CLASSES == 2)[0]
    said = rf"got a PNG with alpha that is not 255 everywhere: row {row}, column {column} is \(0, 0, 0, 0\)\. Save it without alpha, or"
    with pytest.raises(ValueError, match=said):
        feed_of(tmp_path, {"a.png": data})


def test_masks_that_are_none_are_left_out_unless_all_are(tmp_path: Path) -> None:
    feed = feed_of(tmp_path, {"0.png": IN_GRAY["gray.png"], "1.png": IN_COLOUR["colour.png"], "2.png": IN_GRAY["gray.png"]}, on_bad="skip")
    assert feed.train_size == len(masks_of(feed)) == 2
    ((_, reason),) = feed.skipped.items()
    assert re.match(r"its mask \S+1\.png: a PNG in colour: row \d+, column \d+ is \(.*\)$", reason)
    with pytest.raises(ValueError, match=rf"0\.png: expected a mask, .* got a PNG in colour: .* {WAY}"):
        feed_of(tmp_path, {f"{place}.png": IN_COLOUR["colour.png"] for place in range(3)}, on_bad="skip")


# Loss

LOSSY = {"jpg": encoded(CLASSES * 120, "JPEG"), "webp": encoded((CLASSES * 120)[..., None].repeat(3, 2), "WEBP")}


@pytest.mark.parametrize("end", LOSSY)
def test_masks_with_loss_are_warned_of_once(tmp_path: Path, end: str) -> None:
    masks = {f"{place}.{end}": LOSSY[end] for place in range(3)}
    with pytest.warns(UserWarning, match="stored with loss") as caught:
        feed = feed_of(tmp_path, masks, validation_data=pairs(tmp_path / "validation", masks))
    (warning,) = caught
    said = rf"tfinput: images masks: \S+0\.{end} is stored with loss: pixels next to edges change, and so do their classes\. "
    said += r"Save masks as PNG\."
    assert re.fullmatch(said, str(warning.message))
    assert warning.filename == __file__
    expected = tf.io.decode_image(LOSSY[end], 3, expand_animations=False)[..., :1]
    assert all(np.array_equal(mask, expected) for mask in masks_of(feed))


@pytest.mark.parametrize("end", LOSSY)
def test_a_mask_with_loss_that_nobody_was_warned_of_is_refused(tmp_path: Path, end: str) -> None:
    said = r"tfinput: \S+07\.png: expected a mask, .* got a (JPEG|WebP) with loss, which keeps no exact classes, among masks without loss\."
    for options in ({}, {"mask_palette": [0, 1, 2]}):
        feed = feed_of(tmp_path, {f"{place:02}.png": LOSSY[end] if place == 7 else IN_GRAY["gray.png"] for place in range(40)}, **options)
        with pytest.raises(tf.errors.OpError, match=said):
            list(feed.train.take(feed.steps_per_epoch))


def test_a_jpeg_among_many_is_known_by_its_name(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"07\.jpg is stored with loss"):
        feed = feed_of(
            tmp_path,
            {f"{place:02}.{'jpg' if place == 7 else 'png'}": LOSSY["jpg"] if place == 7 else IN_GRAY["gray.png"] for place in range(40)},
        )
    assert len(masks_of(feed)) == 40


def test_colours_in_a_jpeg_are_warned_of_and_refused(tmp_path: Path) -> None:
    data = {"a.jpg": encoded(COLOUR, "JPEG")}
    for palette, said in ((None, "a JPEG in colour: row"), (COLOURS, "a JPEG with a colour that mask_palette lacks: row")):
        with pytest.warns(UserWarning, match=r"a\.jpg is stored with loss"), pytest.raises(ValueError, match=said):
            feed_of(tmp_path, data, mask_palette=palette)


# Palettes whose indices are classes


def test_palettes_that_differ_are_refused_unless_indices_are_asked_for(tmp_path: Path) -> None:
    one, other = (encoded(palette_of(colours), "PNG") for colours in (COLOURS, COLOURS[[0, 2, 1]]))
    said = r"expected a mask, .* got a PNG with a palette whose colour 1 is \(0, 65, 0\), "
    said += r"which is \(128, 0, 0\) in the palette of other masks\. "
    said += r"Pass mask_palette=\{colour: class, \.\.\.\}, or mask_palette='index' if indices are classes whatever the colours\."
    with pytest.raises(ValueError, match=rf"^tfinput: images masks: \S+1\.png: {said}"):
        feed_of(tmp_path, {"0.png": one, "1.png": other})
    assert (masks_of(feed_of(tmp_path, {"0.png": one, "1.png": other}, mask_palette="index"))[..., 0] == CLASSES).all()
    many = {f"{place:02}.png": other if place == 7 else one for place in range(40)}
    with pytest.raises(tf.errors.OpError, match=rf"tfinput: \S+07\.png: {said}"):
        masks_of(feed_of(tmp_path, many))
    feed = feed_of(tmp_path, many, on_bad="skip")
    assert len(feed.skipped) == 1
    assert (masks_of(feed)[..., 0] == CLASSES).all()


def test_gifs_whose_palettes_differ_are_refused(tmp_path: Path) -> None:
    files = {f"{place}.gif": encoded(palette_of(colours), "GIF") for place, colours in enumerate((COLOURS, COLOURS[[0, 2, 1]]))}
    with pytest.raises(ValueError, match=r"got a GIF with a palette whose colour 1 is"):
        feed_of(tmp_path, files)
    assert (masks_of(feed_of(tmp_path, files, mask_palette="index"))[..., 0] == CLASSES).all()


def test_a_shorter_palette_of_the_same_colours_agrees(tmp_path: Path) -> None:
    voc = np.concatenate([COLOURS, noise(253, 3, 1)[..., 0]])
    files = {"0.png": encoded(palette_of(COLOURS), "PNG"), "1.png": encoded(palette_of(voc), "PNG")}
    assert (masks_of(feed_of(tmp_path, files))[..., 0] == CLASSES).all()


def test_validation_masks_have_the_palette_of_the_training_masks(tmp_path: Path) -> None:
    one, other = (encoded(palette_of(colours), "PNG") for colours in (COLOURS, COLOURS[[0, 2, 1]]))
    with pytest.raises(ValueError, match=r"^tfinput: validation_data masks: \S+0\.png: .* a palette whose colour 1 is"):
        feed_of(tmp_path / "a", {"0.png": one}, validation_data=pairs(tmp_path / "b", {"0.png": other}))


def test_a_palette_among_gray_masks_that_nobody_saw_is_refused(tmp_path: Path) -> None:
    many = {f"{place:02}.png": IN_GRAY["palette.png" if place == 7 else "gray.png"] for place in range(40)}
    with pytest.raises(tf.errors.OpError, match=r"07\.png: .* a palette, which none of the masks has that were looked at first\."):
        masks_of(feed_of(tmp_path, many))


# Pictures as targets


@pytest.mark.parametrize("how", [{}, {"dtype": "uint8", "color_mode": "rgba"}, {"interpolation": "bicubic", "crop_to_aspect_ratio": True}])
def test_pictures_as_targets_become_what_images_become(tmp_path: Path, how: dict[str, Any]) -> None:
    files = {
        "a.png": encoded(noise(9, 13), "PNG"),
        "b.jpg": encoded(noise(9, 13, seed=1), "JPEG"),
        "c.gif": encoded(palette_of(COLOURS), "GIF"),
    }
    paths = listed(tmp_path, files)
    how |= {"image_size": (7, 8), "verbose": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        feed = tfinput.from_images((paths, paths), label_mode="image", **how)
    ((images, targets),) = feed.examples("train")
    assert images.dtype == targets.dtype
    assert np.array_equal(images, targets)
    alone = np.concatenate([np.asarray(batch) for batch in tfinput.from_images(paths, **how).examples("train")])
    assert np.array_equal(targets, alone)


def test_pictures_as_targets_are_cut_with_their_images_and_train(tmp_path: Path) -> None:
    paths = listed(tmp_path, {f"{place}.png": encoded(noise(40, 30, seed=place), "PNG") for place in range(4)})
    how: dict[str, Any] = {"image_size": 16, "random_crop": True, "batch_size": 2, "verbose": False}
    feed = tfinput.from_images((paths, paths), label_mode="image", validation_data=(paths, paths), **how)
    for images, targets in feed.train.take(feed.steps_per_epoch):
        assert np.array_equal(images, targets)
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Identity()])
    model.compile(loss="mse")
    assert model.evaluate(**feed.evaluate_args(), verbose=0) == 0


def test_a_broken_target_is_named(tmp_path: Path) -> None:
    paths = listed(tmp_path, {"0.png": number(0), "1.png": number(1), "2.png": encoded(noise(4, 6), "PNG")})
    broken = listed(tmp_path, {"a.png": number(1)[:60]})[0]
    feed = tfinput.from_images((paths[:2] + paths[:1], [paths[0], broken, paths[2]]), label_mode="image", on_bad="skip", **SIZE)
    reasons = list(feed.skipped.values())
    assert reasons[0].startswith(f"its target {broken}: a damaged PNG")


# Options

OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"mask_palette": "voc"}, r"mask_palette: expected \{colour: class\} or colours .* or 'index', got 'voc'\."),
    "number": ({"mask_palette": 3}, r"mask_palette: expected \{colour: class\} or colours"),
    "nothing": ({"mask_palette": []}, "mask_palette: expected .* got no colour"),
    "two channels": ({"mask_palette": [(1, 2)]}, r"mask_palette: expected colours, got \(1, 2\)\. Pass red, green, blue"),
    "large": ({"mask_palette": [(1, 2, 256)]}, r"mask_palette: expected colours, got \(1, 2, 256\)"),
    "fractions": ({"mask_palette": [(0.5, 0.1, 1.0)]}, "mask_palette: expected colours, got"),
    "turned round": (
        {"mask_palette": {0: (0, 0, 0)}},
        r"mask_palette: expected classes from 0 to 255, got \(0, 0, 0\)\. Pass \{colour: class\}",
    ),
    "many": ({"mask_palette": {(0, 0, 0): 256}}, "mask_palette: expected classes from 0 to 255, got 256"),
    "twice": ({"mask_palette": [(0, 0, 0), (1, 1, 1), 0]}, "mask_palette: expected each colour once, got 0 for classes 0 and 2"),
    "flat": ({"mask_palette": [0, 0, 0, 128, 0, 0]}, "mask_palette: expected each colour once"),
    "both": ({"mask_palette": [0], "label_mode": "image"}, "mask_palette and label_mode='image': expected one of the two, got both"),
    "one-hot": ({"label_mode": "categorical"}, "label_mode of images masks: expected 'int' or 'image', got 'categorical'"),
    "binary": ({"label_mode": "binary"}, "label_mode of images masks: expected 'int' or 'image', got 'binary'"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_of_masks_that_are_refused(tmp_path: Path, case: str) -> None:
    options, said = OPTIONS[case]
    with pytest.raises((TypeError, ValueError), match=f"^tfinput: {said}"):
        feed_of(tmp_path, {"a.png": IN_GRAY["gray.png"]}, **options)


def test_targets_that_are_no_pictures_are_refused(tmp_path: Path) -> None:
    paths = listed(tmp_path, {"a/0.png": number(0), "b/1.png": number(1)})
    said = r"^tfinput: images labels: expected paths of pictures for label_mode='image', got "
    for subject, got in ((tmp_path, "classes"), (paths, "none"), ((paths, [1, 2]), "classes"), ((paths, [0.5, 1.5]), "numbers")):
        with pytest.raises(ValueError, match=said + got):
            tfinput.from_images(subject, label_mode="image", **SIZE)
    with pytest.raises(ValueError, match=r"^tfinput: images labels: expected paths of masks for mask_palette, got others\."):
        tfinput.from_images((paths, [1, 2]), mask_palette=[0], **SIZE)
