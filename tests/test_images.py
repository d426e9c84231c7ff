"""Images: their pixels, labels and masks; and the laws of a feed, over pictures that are their own numbers."""

from __future__ import annotations

import io
import itertools
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from pictures import by_pillow, encoded, ids, listed, noise, number, numbered, numbers, places, seen, written
from PIL import Image, ImageOps

import tfinput
from tfinput.builders import _files
from tfinput.builders.from_images import wanted
from tfinput.sources.images.resize import FEW

SIZE: dict[str, Any] = {"image_size": (4, 5), "verbose": False}


def flat(batches: Any) -> list[int]:
    return list(itertools.chain.from_iterable(batches))


def feed_of(folder: Any, **options: Any) -> tfinput.Feed:
    return tfinput.from_images(folder, **SIZE, **options)


@pytest.fixture(scope="module")
def eleven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered(tmp_path_factory.mktemp("eleven"), 11)


# The laws


@pytest.mark.floor
@pytest.mark.parametrize(("batch", "drop"), [(1, False), (3, False), (4, True)])
def test_every_epoch_holds_every_image_once_in_the_order_of_arrays(eleven: Path, batch: int, drop: bool) -> None:
    feed = feed_of(eleven, batch_size=batch, drop_remainder=drop, seed=3)
    arrays = tfinput.from_arrays(np.arange(11), batch_size=batch, drop_remainder=drop, seed=3)
    steps = feed.steps_per_epoch
    assert steps == (11 // batch if drop else -(-11 // batch))
    assert feed.repeated.cardinality() == tf.data.INFINITE_CARDINALITY
    batches = ids(feed.repeated, 3 * steps)
    assert batches == [each.numpy().tolist() for each in arrays.repeated.take(3 * steps)]
    for epoch in range(3):
        once = list(itertools.chain(*batches[epoch * steps : (epoch + 1) * steps]))
        assert len(set(once)) == len(once) == (steps * batch if drop else 11)
    if drop:
        assert feed.element_spec[0].shape == (4, 4, 5, 3)


def test_splits_are_exact_disjoint_and_repeat_themselves(eleven: Path) -> None:
    feed = feed_of(eleven, batch_size=2, validation_split=3, test_split=2)
    parts = [flat(ids(feed.train, feed.steps_per_epoch)), flat(ids(feed.validation)), flat(ids(feed.test))]
    assert sorted(flat(parts)) == list(range(11))
    assert parts[1:] == [sorted(parts[1]), sorted(parts[2])] == [feed.indices["validation"].tolist(), feed.indices["test"].tolist()]
    assert flat(ids(feed.validation)) == parts[1]
    assert len(feed.validation) == feed.validation_steps == len(list(feed.validation))


def noisy(image: Any, label: Any, seed: Any) -> Any:
    return image + tf.random.stateless_uniform([], seed), label


def test_going_on_from_any_step_equals_the_uninterrupted_stream(tmp_path: Path) -> None:
    written(tmp_path, {f"{place % 2}/{place}.png": encoded(noise(9, 12, seed=place), "PNG") for place in range(3)})
    written(tmp_path, {f"{place % 2}/{place}.jpg": encoded(noise(9, 12, seed=place), "JPEG") for place in range(3, 5)})
    feed = feed_of(tmp_path, batch_size=2, random_crop=True, augment=noisy)
    whole = list(feed.repeated.take(7))
    for start in (2, 4):
        tail = list(feed.at(step=start).repeated.take(2))
        for ours, theirs in zip(tail, whole[start:], strict=False):
            assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("cache", ["memory", "folder"])
def test_a_cache_changes_nothing(eleven: Path, tmp_path: Path, cache: str) -> None:
    where = "memory" if cache == "memory" else tmp_path / "cache"
    feeds = [feed_of(eleven, batch_size=4, validation_split=4, cache=where) for _ in range(2 if cache == "folder" else 1)]
    plain = feed_of(eleven, batch_size=4, validation_split=4)
    for feed in feeds:
        assert ids(feed.repeated, 9) == ids(plain.repeated, 9)
        assert ids(feed.validation) == ids(plain.validation)
        assert (feed.class_names, feed.element_spec) == (plain.class_names, plain.element_spec)
    assert feed_of(eleven, batch_size=4, validation_split=4, cache=where, label_mode="categorical").element_spec[1].shape == (None, 3)
    if cache == "folder":
        written(eleven, {"class0/0000.png": number(500)})
        assert 500 in flat(ids(feed_of(eleven, cache=where).examples("train")))
        written(eleven, {"class0/0000.png": number(0)})
    with pytest.raises(ValueError, match=r"^tfinput: cache with random_crop: expected one of the two, got both"):
        feed_of(eleven, cache=where, random_crop=True)


def test_validation_is_a_folder_or_paths_with_labels(eleven: Path, tmp_path: Path) -> None:
    other = written(tmp_path, {f"class2/{value}.png": number(value) for value in (100, 101)})
    paths = [other / "class2/100.png", other / "class2/101.png"]
    as_folder = feed_of(eleven, validation_data=other, test_data=(paths, ["class2", "class1"]))
    assert ids(as_folder.validation) == ids(as_folder.test) == [[100, 101]]
    # The folder has one class only, which keeps the number it has in training.
    assert next(iter(as_folder.validation))[1].numpy().tolist() == [2, 2]
    assert next(iter(as_folder.test))[1].numpy().tolist() == [2, 1]
    trained = (sorted(eleven.glob("*/*")), [0, 1, 2] * 3 + [0, 1])
    pairs = feed_of(trained, label_mode="categorical", validation_data=(paths, [1, 0]))
    assert next(iter(pairs.validation))[1].numpy().tolist() == [[0, 1, 0], [1, 0, 0]]
    named = feed_of((trained[0], ["a", "b", "c"] * 3 + ["a", "b"]), validation_data=(paths, ["c", "b"]))
    assert next(iter(named.validation))[1].numpy().tolist() == [2, 1]


def test_folds_weights_and_shares_of_classes(eleven: Path) -> None:
    whole = feed_of(eleven, batch_size=4)
    labels = {place: int(label) for batch in whole.examples("train") for place, label in zip(numbers(batch[0]), batch[1], strict=True)}
    assert sorted(labels.values()) == [0] * 4 + [1] * 4 + [2] * 3
    held = [flat(ids(fold.validation)) for fold in whole.kfold(3)]
    assert sorted(flat(held)) == list(range(11))
    assert whole.class_weight() == {0: 11 / 12, 1: 11 / 12, 2: 11 / 9}
    stratified = feed_of(eleven, validation_split=3, stratify=True)
    assert sorted(labels[place] for place in flat(ids(stratified.validation))) == [0, 1, 2]
    assert whole.class_names == ("class0", "class1", "class2")


def test_a_model_trains_and_evaluate_equals_numpy(tmp_path: Path) -> None:
    for place in range(30):
        picture = noise(6, 6, seed=place) // 4 + (190 if place % 2 else 0)
        written(tmp_path, {f"{'bright' if place % 2 else 'dark'}/{place}.png": encoded(picture, "PNG")})
    feed = tfinput.from_images(tmp_path, image_size=6, batch_size=8, validation_split=10, stratify=True, verbose=False)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(**feed.fit_args(model), epochs=8, verbose=0)
    result = model.evaluate(**feed.evaluate_args(), verbose=0, return_dict=True)
    logits = model.predict(**feed.predict_args(), verbose=0)
    labels = np.concatenate([batch[1] for batch in feed.validation])
    exact = np.log(np.exp(logits).sum(1)) - logits[np.arange(10), labels]
    assert result["accuracy"] == pytest.approx((logits.argmax(1) == labels).mean())
    assert result["loss"] == pytest.approx(exact.mean(), rel=1e-5)
    assert result["accuracy"] > 0.8


def test_errors_of_hooks_name_the_file(eleven: Path) -> None:
    def picky(image: Any, label: Any) -> Any:
        tf.debugging.assert_none_equal(image[0, 0, 1], 7.0)
        return image, label

    feed = feed_of(eleven, preprocess=picky)
    with pytest.raises(tf.errors.OpError, match=r"tfinput: preprocess failed in \S+class1/0010\.png: "):
        list(feed.repeated.take(1))


# Pixels: those of Keras

SHAPES = [(9, 13), (40, 31), (7, 5), (64, 64)]
COMMON = {
    "jpg": lambda image: encoded(image, "JPEG"),
    "progressive.jpg": lambda image: encoded(image, "JPEG", progressive=True, quality=60),
    "gray.jpg": lambda image: encoded(image[..., :1], "JPEG"),
    "rgb.png": lambda image: encoded(image, "PNG"),
    "gray.png": lambda image: encoded(image[..., :1], "PNG"),
    "rgba.png": lambda image: encoded(np.concatenate([image, image[..., :1]], -1), "PNG"),
    "la.png": lambda image: encoded(Image.fromarray(image).convert("LA"), "PNG"),
}
COLOURS = {
    "cmyk.jpg": lambda image: encoded(Image.fromarray(image).convert("CMYK"), "JPEG"),
    "palette.png": lambda image: encoded(Image.fromarray(image).quantize(16), "PNG"),
    "bits.png": lambda image: encoded(Image.fromarray(image).convert("1"), "PNG"),
    "bmp": lambda image: encoded(image, "BMP"),
    "gray.bmp": lambda image: encoded(image[..., :1], "BMP"),
    "gif": lambda image: encoded(Image.fromarray(image).quantize(16), "GIF"),
    "clear.gif": lambda image: encoded(Image.fromarray(image).quantize(16), "GIF", transparency=3),
}


def zoo(folder: Path, kinds: dict[str, Any]) -> Path:
    files = {f"{n % 3}/{n}.{kind}": make(noise(*shape, seed=n)) for n, shape in enumerate(SHAPES) for kind, make in kinds.items()}
    return written(folder, files)


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo(tmp_path_factory.mktemp("zoo"), COMMON | COLOURS)


def by_keras(folder: Path, **options: Any) -> Any:
    dataset = keras.utils.image_dataset_from_directory(folder, shuffle=False, verbose=False, batch_size=100, **options)
    return next(iter(dataset))


def assert_as_keras(folder: Path, **options: Any) -> None:
    images, labels = by_keras(folder, **options)
    feed = tfinput.from_images(folder, batch_size=100, verbose=False, **options)
    ours = next(iter(feed.examples("train")))
    assert ours[0].dtype == tf.float32  # Keras gives uint8 for "nearest".
    assert np.array_equal(ours[0], images)
    assert ours[1].dtype == labels.dtype
    assert np.array_equal(ours[1], labels)


INTERPOLATIONS = ["nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic"]


@pytest.mark.floor
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_pixels_are_those_of_keras(animals: Path, fit: str) -> None:
    options = {} if fit == "stretch" else {f"{fit}_to_aspect_ratio": True}
    assert_as_keras(animals, image_size=(17, 23), **options)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_every_interpolation_is_that_of_keras(animals: Path, interpolation: str) -> None:
    assert_as_keras(animals, image_size=(20, 12), interpolation=interpolation)


def test_color_modes_are_those_of_keras_where_it_has_them(tmp_path: Path) -> None:
    assert_as_keras(zoo(tmp_path / "gray", COMMON), image_size=(17, 23), color_mode="grayscale")
    alpha = {kind: make for kind, make in (COMMON | COLOURS).items() if kind in ("rgb.png", "gray.png", "rgba.png", "la.png", "bmp")}
    assert_as_keras(zoo(tmp_path / "alpha", alpha), image_size=(17, 23), color_mode="rgba")


@pytest.mark.parametrize("color_mode", ["grayscale", "rgb", "rgba"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pictures_of_every_size_are_resized_as_by_keras(tmp_path: Path, interpolation: str, color_mode: str) -> None:
    """Small ones are resized as floats, large ones as integers; some here lie on both sides of the border."""
    border = math.isqrt(FEW // {"grayscale": 1, "rgb": 3, "rgba": 4}[color_mode])
    sizes = [*itertools.product((1, 7, 24, 90), (2, 11, 61)), (border, border), (border + 1, border), (border + 1, border + 1), (700, 500)]
    for place, size in enumerate(sizes):
        written(tmp_path, {f"a/{place:02}.png": encoded(noise(*size, seed=place), "PNG")})
    assert_as_keras(tmp_path, image_size=(50, 40), interpolation=interpolation, color_mode=color_mode)


def test_every_common_shape_is_cut_and_padded_as_by_keras(tmp_path: Path) -> None:
    for place, shape in enumerate(itertools.product((1, 2, 5, 8), (1, 3, 7))):
        written(tmp_path, {f"a/{place:02}.png": encoded(noise(*shape, seed=place), "PNG")})
    for fit, size in (("crop", (9, 17)), ("pad", (8, 8))):
        assert_as_keras(tmp_path, image_size=size, **{f"{fit}_to_aspect_ratio": True})


def test_labels_are_those_of_keras(eleven: Path) -> None:
    assert_as_keras(eleven, image_size=(4, 5), label_mode="categorical")
    assert_as_keras(eleven, image_size=(4, 5), class_names=["class2", "class0"], label_mode="binary")
    images = by_keras(eleven, image_size=(4, 5), label_mode=None)
    assert np.array_equal(seen(eleven, image_size=(4, 5), label_mode=None), images)
    assert np.array_equal(seen(eleven, image_size=(4, 5), labels=None), images)
    given = [place % 5 for place in range(len(images))]
    ours = next(iter(feed_of(eleven, labels=given).examples("train")))
    assert all(np.array_equal(a, b) for a, b in zip(ours, by_keras(eleven, image_size=(4, 5), labels=given), strict=True))


# Pixels: those of Pillow

LOSSLESS = {
    "rgb.png": lambda image: encoded(image[..., :3], "PNG"),
    "rgba.png": lambda image: encoded(image, "PNG"),
    "gray.png": lambda image: encoded(image[..., 0], "PNG"),
    "la.png": lambda image: encoded(Image.fromarray(image).convert("LA"), "PNG"),
    "bits.png": lambda image: encoded(Image.fromarray(image[..., 0]).convert("1"), "PNG"),
    "palette.png": lambda image: encoded(Image.fromarray(image[..., :3]).quantize(16), "PNG"),
    "clear palette.png": lambda image: encoded(Image.fromarray(image[..., :3]).quantize(16), "PNG", transparency=3),
    "rgb.bmp": lambda image: encoded(image[..., :3], "BMP"),
    "gray.bmp": lambda image: encoded(image[..., 0], "BMP"),
    "palette.gif": lambda image: encoded(Image.fromarray(image[..., :3]).quantize(16), "GIF"),
    "woven.gif": lambda image: encoded(Image.fromarray(image[..., :3]).quantize(16), "GIF", interlace=1),
    "gray.gif": lambda image: encoded(image[..., 0], "GIF"),
    # What it shows by itself, as the format means it, and not the first frame of its film.
    "moving.png": lambda image: encoded(
        image[..., :3], "PNG", save_all=True, default_image=True, append_images=[Image.new("RGB", (13, 9))] * 2
    ),
}
WEBP = {
    "lossy.webp": lambda image: encoded(image[..., :3], "WEBP"),
    "lossless.webp": lambda image: encoded(image[..., :3], "WEBP", lossless=True),
    "alpha.webp": lambda image: encoded(image, "WEBP", lossless=True, exact=True),
    "lossy alpha.webp": lambda image: encoded(image, "WEBP"),
    "gray.webp": lambda image: encoded(image[..., 0], "WEBP"),
}


def assert_as_pillow(folder: Path, files: dict[str, bytes], **options: Any) -> None:
    paths = listed(folder, files)
    for mode, like, tolerance in (("rgb", "RGB", 0), ("rgba", "RGBA", 0), ("grayscale", "L", 1)):
        ours = seen(paths, color_mode=mode, dtype="uint8", **options)
        for name, image in zip(files, ours, strict=True):
            assert abs(image.astype(int) - by_pillow(files[name], like)).max() <= tolerance, (name, mode)


def test_pixels_of_png_bmp_gif_are_those_of_pillow_in_every_color_mode(tmp_path: Path) -> None:
    assert_as_pillow(tmp_path, {name: make(noise(9, 13, 4)) for name, make in LOSSLESS.items()}, image_size=(9, 13))


def test_pixels_of_webp_are_those_of_pillow_in_every_color_mode(tmp_path: Path) -> None:
    assert_as_pillow(tmp_path, {name: make(noise(9, 13, 4)) for name, make in WEBP.items()}, image_size=(9, 13))


def test_a_bitmap_may_be_stored_from_the_top_and_with_its_masks_told(tmp_path: Path) -> None:
    whole = bytearray(encoded(noise(4, 4), "BMP"))
    rows = [whole[54 + 12 * row : 66 + 12 * row] for row in range(4)]
    whole[22:26] = (-4).to_bytes(4, "little", signed=True)
    whole[54:] = b"".join(reversed(rows))
    masked = bytearray(encoded(noise(4, 4, 4), "BMP"))
    masked[30:34] = (3).to_bytes(4, "little")
    masked[54:54] = b"".join(each.to_bytes(4, "little") for each in (0xFF0000, 0xFF00, 0xFF))
    masked[10:14] = (66).to_bytes(4, "little")
    ours = seen(listed(tmp_path, {"a.bmp": bytes(whole), "b.bmp": bytes(masked)}), image_size=4, dtype="uint8")
    assert np.array_equal(ours[0], noise(4, 4))
    assert np.array_equal(ours[1], noise(4, 4, 4)[..., :3])


def test_jpegs_with_alpha_asked_for_are_opaque(tmp_path: Path) -> None:
    paths = listed(tmp_path, {"a.jpg": encoded(noise(9, 13), "JPEG"), "b.jpg": encoded(noise(9, 13, 1), "JPEG")})
    rgb, rgba = (seen(paths, image_size=(9, 13), color_mode=mode) for mode in ("rgb", "rgba"))
    assert np.array_equal(rgba[..., :3], rgb)
    assert (rgba[..., 3] == 255).all()


def test_photographs(tmp_path: Path) -> None:
    from sklearn.datasets import load_sample_images

    photos = load_sample_images()
    for place, path in enumerate(photos.filenames):
        written(tmp_path, {f"a/{place}.jpg": Path(path).read_bytes()})
    height, width, _ = photos.images[0].shape
    ours = seen(tmp_path, image_size=(height, width))
    assert np.array_equal(ours, by_keras(tmp_path, image_size=(height, width))[0])
    assert abs(ours - np.stack(photos.images)).mean() < 2  # Pillow has another inverse cosine transform.
    large = listed(tmp_path, {"large.jpg": encoded(Image.fromarray(photos.images[0]).resize((1200, 900)), "JPEG")})
    exact, fast = (seen(large, image_size=224, decode=decode) for decode in ("exact", "fast"))
    assert 0.1 < abs(exact - fast).mean() < 9
    quarter = tf.io.decode_jpeg(large[0].read_bytes(), 3, ratio=4)
    assert np.array_equal(fast[0], tf.image.resize(quarter, (224, 224)))


# Other ways to look


def test_fast_decoding_leaves_small_jpegs_and_other_kinds_alone(tmp_path: Path) -> None:
    paths = listed(tmp_path, {"a.jpg": encoded(noise(60, 90), "JPEG"), "b.png": encoded(noise(600, 90), "PNG")})
    exact, fast, less = (seen(paths, image_size=size, decode=how) for size, how in ((31, "exact"), (31, "fast"), (30, "fast")))
    assert np.array_equal(fast, exact)
    assert np.array_equal(less[1], seen(paths, image_size=30)[1])
    half = tf.io.decode_jpeg((tmp_path / "a.jpg").read_bytes(), 3, ratio=2)
    assert np.array_equal(less[0], tf.image.resize(half, (30, 30)))


def test_integers_are_rounded_and_kept_in_range(tmp_path: Path) -> None:
    written(tmp_path, {"a.png": encoded(noise(9, 13) // 128 * 255, "PNG")})
    whole, exact = (seen([tmp_path / "a.png"], dtype=dtype, image_size=(20, 31), interpolation="bicubic") for dtype in ("uint8", "float32"))
    assert whole.dtype == np.uint8
    assert (exact.min(), exact.max()) < (0, 0)
    assert exact.max() > 255
    assert np.array_equal(whole, np.clip(np.rint(exact), 0, 255))


def test_16_bits_are_kept(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (9, 13), np.uint16)
    colour = tf.constant(np.random.default_rng(1).integers(0, 65536, (9, 13, 3), np.uint16))
    paths = listed(tmp_path, {"a.png": encoded(deep, "PNG"), "b.png": tf.io.encode_png(colour).numpy()})
    ours = seen(paths, image_size=(9, 13), dtype="uint16")
    assert ours.dtype == np.uint16
    assert np.array_equal(ours, [np.repeat(deep[..., None], 3, -1), colour])
    alpha = seen(paths, image_size=(9, 13), dtype="uint16", color_mode="rgba")
    assert np.array_equal(alpha[..., :3], ours)
    assert (alpha[..., 3] == 65535).all()
    assert np.array_equal(seen(paths, image_size=(9, 13), dtype="uint16", color_mode="grayscale")[0, ..., 0], deep)


def turned(orientation: int) -> bytes:
    """A JPEG of four flat quadrants, to be turned."""
    quadrants = np.array([[[250, 10, 10], [10, 250, 10]], [[10, 10, 250], [240, 240, 240]]], np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(quadrants.repeat(16, 0).repeat(32, 1), "JPEG", quality=100, subsampling=0, exif=exif)


@pytest.mark.parametrize("size", [(32, 64), (64, 32)])
def test_every_exif_orientation_is_that_of_pillow(tmp_path: Path, size: tuple[int, int]) -> None:
    turns = range(1, 5) if size == (32, 64) else range(5, 9)
    paths = listed(tmp_path, {f"{turn}.jpg": turned(turn) for turn in turns})
    ours = seen(paths, image_size=size, exif_rotation=True)
    theirs = [np.asarray(ImageOps.exif_transpose(Image.open(path))) for path in paths]
    assert abs(ours - np.stack(theirs)).max() < 6
    if size == (32, 64):
        assert np.array_equal(seen(paths, image_size=size), [tf.io.decode_jpeg(path.read_bytes()) for path in paths])
    small = seen(paths, image_size=(size[0] // 4, size[1] // 4), exif_rotation=True, decode="fast")
    assert abs(small - [each[2::4, 2::4] for each in theirs]).max() < 20


def test_files_without_an_orientation_stay_as_they_are(tmp_path: Path) -> None:
    odd = [turned(9), turned(0), encoded(noise(32, 64), "JPEG"), encoded(noise(32, 64), "PNG")]
    paths = listed(tmp_path, {str(place): data for place, data in enumerate(odd)})
    plain, rotated = (seen(paths, image_size=(32, 64), exif_rotation=each) for each in (False, True))
    assert np.array_equal(plain, rotated)


# Random crops


def epochs_of(feed: tfinput.Feed, epochs: int) -> Any:
    """The images of each epoch, in the order of their labels."""
    batches = iter(feed.repeated)
    for _ in range(epochs):
        images, labels = (np.concatenate(part) for part in zip(*itertools.islice(batches, feed.steps_per_epoch), strict=True))
        yield images[np.argsort(labels)]


def windows(feed: tfinput.Feed, epochs: int) -> Any:
    """For each epoch and image: top, left, bottom, right of what was cut out of `places`."""
    found = []
    for images in epochs_of(feed, epochs):
        corners = [(image[0, 0, 0], image[0, 0, 1], image[-1, -1, 0], image[-1, -1, 1]) for image in images]
        found.append(np.array(corners, int))
    return np.stack(found) + np.array([0, 0, 1, 1])


def test_a_random_crop_belongs_to_the_seed_the_epoch_and_the_example(tmp_path: Path) -> None:
    paths = listed(tmp_path, dict.fromkeys(map(str, range(6)), encoded(places(200, 240), "PNG")))
    options: dict[str, Any] = {"image_size": 256, "interpolation": "nearest", "dtype": "uint8", "verbose": False}
    options["random_crop"] = {"scale": (0.2, 0.6), "ratio": (0.5, 2)}
    feed = tfinput.from_images((paths, np.arange(6)), batch_size=4, **options)
    cuts = windows(feed, 6)
    assert np.array_equal(cuts[:2], windows(tfinput.from_images((paths, np.arange(6)), batch_size=1, **options), 2))
    assert len(np.unique(cuts.reshape(-1, 4), axis=0)) == 36
    assert not np.array_equal(cuts[0], windows(tfinput.from_images((paths, np.arange(6)), seed=1, **options), 1)[0])
    top, left, bottom, right = np.moveaxis(cuts, -1, 0)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (bottom <= 200).all()
    assert (right <= 240).all()
    area, ratio = (bottom - top) * (right - left) / (200 * 240), (right - left) / (bottom - top)
    assert area.min() > 0.19
    assert area.max() < 0.61
    assert ratio.min() > 0.49
    assert ratio.max() < 2.05
    assert np.ptp(area) > 0.2
    assert np.ptp(np.log(ratio)) > 0.6


def test_a_crop_of_a_jpeg_is_what_decoding_and_cutting_gives(tmp_path: Path) -> None:
    options: dict[str, Any] = {"image_size": 64, "interpolation": "nearest", "dtype": "uint8", "random_crop": True, "verbose": False}
    files = {f"{n}.png": encoded(places(50, 60), "PNG") for n in range(5)} | {f"{n}.jpg": encoded(noise(50, 60), "JPEG") for n in range(5)}
    # Something may follow the end of a JPEG.
    files["4.jpg"] += b"something else"
    written(tmp_path, files)

    def feed(end: str) -> tfinput.Feed:
        return tfinput.from_images(([tmp_path / f"{n}.{end}" for n in range(5)], np.arange(5)), **options)

    whole = tf.io.decode_jpeg(files["0.jpg"], 3)
    for cuts, images in zip(windows(feed("png"), 3), epochs_of(feed("jpg"), 3), strict=True):
        for (top, left, bottom, right), image in zip(cuts, images, strict=True):
            assert np.array_equal(image, tf.image.resize(whole[top:bottom, left:right], (64, 64), "nearest"))


def test_validation_and_full_passes_are_not_cropped(tmp_path: Path) -> None:
    paths = listed(tmp_path, dict.fromkeys(map(str, range(4)), encoded(places(20, 24), "PNG")))
    feed = tfinput.from_images(
        (paths, np.arange(4)), image_size=(20, 24), random_crop=True, validation_split=1, test_data=(paths, np.arange(4)), verbose=False
    )
    for dataset in (feed.validation, feed.test, feed.examples("train")):
        for images, _ in dataset:
            assert (images == places(20, 24)).numpy().all()


def test_any_small_image_can_be_cropped(tmp_path: Path) -> None:
    shapes = [(1, 1), (1, 40), (40, 1), (2, 3)]
    files = {f"{n}.{kind}": encoded(noise(*shape), kind) for n, shape in enumerate(shapes) for kind in ("png", "jpeg")}
    feed = tfinput.from_images(listed(tmp_path, files), image_size=4, random_crop=True, verbose=False)
    assert next(iter(feed.train)).shape == (8, 4, 4, 3)


# Masks


def test_masks_are_read_as_numbers_and_never_mixed(tmp_path: Path) -> None:
    indices = noise(9, 13, 1)[..., 0] % 5
    palette = Image.fromarray(indices).convert("P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9, 7, 7, 7])
    files = {
        "palette.png": encoded(palette, "PNG"),
        "palette of 4 bits.png": encoded(palette, "PNG", bits=4),
        "clear.png": encoded(palette, "PNG", transparency=2),
        "gray.png": encoded(indices, "PNG"),
        "gray.bmp": encoded(indices, "BMP"),
    }
    masks = listed(tmp_path, files)
    image = written(tmp_path, {"image.png": encoded(noise(9, 13), "PNG")}) / "image.png"
    for size in ((9, 13), (20, 31)):
        feed = tfinput.from_images(([image] * 5, masks), image_size=size, verbose=False)
        got = next(iter(feed.examples("train")))[1]
        assert (got.dtype, got.shape) == (tf.uint8, (5, *size, 1))
        expected = tf.image.resize(indices[..., None], size, "nearest").numpy()
        for name, mask in zip(files, got.numpy(), strict=True):
            assert np.array_equal(mask, expected), name
    bits = {f"{depth}.png": encoded(Image.fromarray(indices % 2).convert("P"), "PNG", bits=depth) for depth in (1, 2, 4, 8)}
    masks = listed(tmp_path, bits)
    got = next(iter(tfinput.from_images(([image] * 4, masks), image_size=(9, 13), verbose=False).examples("train")))[1]
    assert (got.numpy()[..., 0] == indices % 2).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_masks_are_cropped_and_turned_with_their_images(tmp_path: Path, kind: str) -> None:
    blocks = (noise(6, 4, 1)[..., 0] // 8 * 8).repeat(16, 0).repeat(16, 1)
    pairs: list[tuple[Path, Path]] = []
    for turn in range(1, 9) if kind == "JPEG" else [1]:
        exif = Image.Exif()
        exif[0x0112] = turn
        raw = Image.fromarray(blocks)
        back = {5: 5, 6: 8, 8: 6}.get(turn, turn)  # What undoes each turn.
        undo = Image.Exif()
        undo[0x0112] = back
        raw.getexif()[0x0112] = back
        stored = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(raw, "TIFF", exif=undo))))
        how = {"quality": 100, "exif": exif} if kind == "JPEG" else {}
        names = (f"{turn}.{kind}", f"{turn} mask.png")
        written(tmp_path, {names[0]: encoded(Image.fromarray(np.asarray(stored)), kind, **how), names[1]: encoded(blocks, "PNG")})
        pairs.append((tmp_path / names[0], tmp_path / names[1]))
    images, masks = zip(*pairs, strict=True)
    options = {"image_size": 96, "interpolation": "nearest", "exif_rotation": True, "random_crop": True, "color_mode": "grayscale"}
    feed = tfinput.from_images((list(images), list(masks)), decode="fast", verbose=False, **options)
    cut = []
    for image, mask in feed.repeated.take(3):
        assert abs(image - tf.cast(mask, tf.float32)).numpy().max() <= 3
        cut.append(mask.numpy())
    assert not np.array_equal(cut[0], cut[1])


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    written(tmp_path, {"a.jpg": encoded(noise(9, 13), "JPEG"), "m.png": encoded(noise(9, 12, 1), "PNG")})
    feed = tfinput.from_images(([tmp_path / "a.jpg"], [tmp_path / "m.png"]), image_size=8, verbose=False)
    said = r"tfinput: \S+a\.jpg and its mask \S+m\.png: expected pictures of one size, got 13 x 9 and 12 x 9\. Pair each"
    with pytest.raises(tf.errors.OpError, match=said):
        next(iter(feed.train))


def test_a_missing_mask_is_told(tmp_path: Path) -> None:
    written(tmp_path, {name: number(0) for name in ("a.png", "b.png", "m.png")})
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    with pytest.raises(FileNotFoundError, match=r"^tfinput: images masks, path 0: \S+none\.png: expected a file, got no file there\."):
        tfinput.from_images((paths, [tmp_path / "none.png", tmp_path / "m.png"]), verbose=False)


def test_sizes_without_masks_do_not_matter_to_fast_decoding(tmp_path: Path) -> None:
    written(tmp_path, {"a.jpg": encoded(noise(90, 130), "JPEG"), "m.png": encoded(noise(90, 130, 1), "PNG")})
    feed = tfinput.from_images(([tmp_path / "a.jpg"], [tmp_path / "m.png"]), image_size=8, decode="fast", verbose=False)
    image, mask = next(iter(feed.examples("train")))
    assert np.array_equal(image[0], tf.image.resize(tf.io.decode_jpeg((tmp_path / "a.jpg").read_bytes(), ratio=8), (8, 8)))
    assert np.array_equal(mask[0], tf.image.resize(noise(90, 130, 1), (8, 8), "nearest"))


# Labels


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return listed(tmp_path_factory.mktemp("four"), {f"{value}.png": number(value) for value in range(4)})


FLAGS = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]], np.float32)
LABELS: dict[str, tuple[Any, str, Any, tuple[str, ...] | None]] = {
    "names": (["b", "a", "c", "a"], "int", np.array([1, 0, 2, 0], np.int32), ("a", "b", "c")),
    "array of names": (np.array(["b", "a", "b", "a"]), "int", np.array([1, 0, 1, 0], np.int32), ("a", "b")),
    "bytes": ([b"b", b"a", b"b", b"a"], "int", np.array([1, 0, 1, 0], np.int32), ("a", "b")),
    "names, one-hot": (["b", "a", "b", "a"], "categorical", np.eye(2, dtype=np.float32)[[1, 0, 1, 0]], ("a", "b")),
    "names of two": (["b", "a", "b", "a"], "binary", np.float32([[1], [0], [1], [0]]), ("a", "b")),
    "int64": (np.array([3, 7, 3, 9]), "int", np.array([3, 7, 3, 9]), ("3", "7", "9")),
    "uint8": (np.array([3, 7, 3, 9], np.uint8), "int", np.array([3, 7, 3, 9], np.uint8), ("3", "7", "9")),
    "numbers, one-hot": ([0, 2, 1, 0], "categorical", np.eye(3, dtype=np.float32)[[0, 2, 1, 0]], ("0", "1", "2")),
    "numbers of two": ([0, 1, 1, 0], "binary", np.float32([[0], [1], [1], [0]]), ("0", "1")),
    "regression": (np.array([0.5, -1, 2, 3], np.float32), "int", np.array([0.5, -1, 2, 3], np.float32), None),
    "several": (FLAGS, "int", FLAGS, None),
    "column": (np.array([[0], [1], [2], [0]]), "categorical", np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], ("0", "1", "2")),
}


@pytest.mark.parametrize("form", LABELS)
def test_labels_of_every_form(four: list[Path], form: str) -> None:
    given, mode, expected, names = LABELS[form]
    asked = _files.FileOptions("inferred", mode, None, False, False, wanted, "images")
    found = _files.labeled_files((four, given), asked, "images")
    assert found.targets is not None
    labels = found.targets.encoded(found.targets.tensor)
    assert labels.dtype == found.targets.spec.dtype == expected.dtype
    assert np.array_equal(labels, expected)
    assert found.class_names == names


def test_labels_arrive(four: list[Path]) -> None:
    for form in ("names, one-hot", "several"):
        given, mode, expected, names = LABELS[form]
        feed = feed_of((four, given), label_mode=mode, validation_data=(four[2:], given[2:]))
        assert np.array_equal(next(iter(feed.examples("train")))[1], expected)
        assert np.array_equal(next(iter(feed.validation))[1], expected[2:])
        assert feed.class_names == names


def test_class_names_give_the_numbers(four: list[Path]) -> None:
    feed = feed_of((four, ["b", "a", "c", "a"]), class_names=["c", "b", "a", "z"])
    assert next(iter(feed.examples("train")))[1].numpy().tolist() == [1, 2, 0, 2]
    assert feed.class_names == ("c", "b", "a", "z")
    assert feed_of((four, [0, 1, 1, 0]), class_names=["no", "yes", "maybe"]).class_names == ("no", "yes", "maybe")
    assert feed_of((four, [0, 1, 1, 0]), class_names=["no", "yes", "maybe"], label_mode="categorical").element_spec[1].shape == (4, 3)


BAD: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "too few": ([0, 1], {}, ValueError, "images labels: expected 4, one per file, got 2. Pass one label per path."),
    "one": (7, {}, ValueError, "images labels: expected 4, one per file, got one value."),
    "unknown name": (
        ["cat", "dgo", "cat", "dog"],
        {"class_names": ["cat", "dog"]},
        ValueError,
        "images labels[1]: expected one of the classes ['cat', 'dog'], got 'dgo'. Did you mean 'dog'?",
    ),
    "nothing": (
        ["a", None, "a", "b"],
        {},
        TypeError,
        "images labels[1]: expected a class name or a path, as the others, got NoneType None.",
    ),
    "missing": (
        ["a", "a", float("nan"), "b"],
        {},
        TypeError,
        "images labels[2]: expected a class name or a path, as the others, got float nan. Pass str.",
    ),
    "a number": (
        ["a", "a", "b", 3],
        {},
        TypeError,
        "images labels[3]: expected a class name or a path, as the others, got int 3. Pass str.",
    ),
    "negative": ([-1, 0, 1, 2], {"label_mode": "categorical"}, ValueError, "images labels: expected classes numbered from 0 on, got -1."),
    "fractions": (
        [0.5, 0, 1, 2],
        {"label_mode": "categorical"},
        ValueError,
        "images labels: expected class labels, got fractional numbers",
    ),
    "three of two": (["a", "b", "c", "a"], {"label_mode": "binary"}, ValueError, "label_mode='binary': expected two classes, got 3"),
    "outside": (
        [0, 1, 2, 0],
        {"class_names": ["a", "b"]},
        ValueError,
        "images labels: expected numbers from 0 to 1, of the classes ['a', 'b'], got 2. Name every class in class_names.",
    ),
    "one string": (["a"] * 4, {"class_names": "abc"}, TypeError, "class_names: expected a list of names, got 'abc'. Pass ['abc']."),
    "twice": (["a"] * 4, {"class_names": ["a", "a"]}, ValueError, "class_names: expected each name once, got a name twice in ['a', 'a']."),
    "new in validation": (
        ["a", "b", "a", "b"],
        {"validation_data": ["c", "a", "b", "a"]},
        ValueError,
        "validation_data labels[0]: expected one of the classes ['a', 'b'], got 'c'.",
    ),
    "larger in validation": (
        [0, 1, 1, 0],
        {"validation_data": [0, 1, 2, 0], "label_mode": "categorical"},
        ValueError,
        "validation_data labels: expected numbers from 0 to 1, of the classes ['0', '1'], got 2.",
    ),
    "no labels in validation": (
        [0, 1, 1, 0],
        {"validation_data": None},
        ValueError,
        "validation_data: expected examples like the training",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_labels_that_are_refused(four: list[Path], case: str) -> None:
    labels, options, kind, said = BAD[case]
    if "validation_data" in options:
        options = options | {"validation_data": (four, options["validation_data"])}
    with pytest.raises(kind) as refused:
        feed_of((four, labels), **options)
    assert str(refused.value).startswith(f"tfinput: {said}")


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "color_mode": ({"color_mode": "gray"}, "color_mode: expected one of 'rgb', 'rgba', 'grayscale', got 'gray'."),
    "interpolation": ({"interpolation": "bilnear"}, r"interpolation: expected .*, got 'bilnear'\. Did you mean 'bilinear'\?"),
    "decode": ({"decode": "quick"}, "decode: expected one of 'exact', 'fast', got 'quick'."),
    "dtype": ({"dtype": "float16"}, "dtype: expected one of 'float32', 'uint8', 'uint16', got 'float16'."),
    "on_bad": ({"on_bad": "ignore"}, "on_bad: expected one of 'raise', 'skip', got 'ignore'."),
    "label_mode": ({"label_mode": "onehot"}, "label_mode: expected one of 'int', 'categorical', 'binary', 'image', None, got 'onehot'."),
    "both": ({"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, "crop_to_aspect_ratio and pad_to_aspect_ratio: expected one"),
    "three sides": ({"image_size": (1, 2, 3)}, r"image_size: expected \(height, width\) or one number, got \(1, 2, 3\)\."),
    "sides as text": ({"image_size": "8x8"}, r"image_size: expected \(height, width\) or one number, got '8x8'\. Pass for example"),
    "no side": ({"image_size": 0}, "image_size: expected"),
    "crop": ({"random_crop": 0.5}, "random_crop: expected True or a dict with scale and ratio, got 0.5."),
    "crop's name": ({"random_crop": {"area": (0, 1)}}, "random_crop: expected one of 'scale', 'ratio', got 'area'."),
    "crop's scale": ({"random_crop": {"scale": (0.5, 2)}}, r"random_crop\['scale'\]: expected a range of two positive numbers"),
    "crop's order": ({"random_crop": {"ratio": (2, 1)}}, r"random_crop\['ratio'\]: expected a range of two positive numbers"),
    "unknown": ({"augmentation": 1}, r"from_images\(augmentation=…\): expected one of its options, got 'augmentation'\. Did you mean"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_that_are_refused(four: list[Path], case: str) -> None:
    options, said = OPTIONS[case]
    with pytest.raises((TypeError, ValueError), match=f"^tfinput: {said}"):
        tfinput.from_images(four, **{"verbose": False} | options)


def test_what_is_said(four: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    feed = tfinput.from_images((four, ["b", "a", "b", "a"]), image_size=4, validation_data=(four[:1], ["b"]))
    assert capsys.readouterr().out == "Found 4 images belonging to 2 classes.\nFound 1 images belonging to 2 classes in validation_data.\n"
    assert repr(feed) == "Feed(images: train 4 in 1 step of 4, validation 1 in 1 step of 1; seed=0)"
    tfinput.from_images(four, verbose=False)
    assert capsys.readouterr().out == ""
