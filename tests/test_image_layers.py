"""Keras' image layers as hooks: whatever they do to pixels, masks, boxes and labels go along, or it is refused."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfinput
from tfinput.engine import keras_layers as own

L = keras.layers
HEIGHT, WIDTH, SIZE = 40, 56, 16
XYXY = {"bounding_box_format": "xyxy"}


def scenes() -> tuple[Any, Any, Any]:
    """Images with one bright rectangle each, the masks of it, and the boxes (left, top, right, bottom) around it."""
    rng = np.random.default_rng(0)
    masks, boxes = np.zeros((SIZE, HEIGHT, WIDTH, 1), np.uint8), np.zeros((SIZE, 1, 4), np.float32)
    for number in range(SIZE):
        top, left, height, width = rng.integers(8, 16), rng.integers(8, 24), rng.integers(9, 17), rng.integers(9, 24)
        masks[number, top : top + height, left : left + width] = 1
        boxes[number] = left, top, left + width, top + height
    return np.repeat(masks * 255.0, 3, -1).astype("f4"), masks, boxes


IMAGES, MASKS, BOUNDS = scenes()
MOVING = {
    "RandomFlip": lambda **more: L.RandomFlip(**more),
    "RandomRotation": lambda **more: L.RandomRotation(0.2, fill_mode="constant", interpolation="nearest", **more),
    "RandomZoom": lambda **more: L.RandomZoom((-0.4, 0.3), fill_mode="constant", interpolation="nearest", **more),
    "RandomTranslation": lambda **more: L.RandomTranslation(0.2, 0.3, fill_mode="constant", interpolation="nearest", **more),
    "RandomShear": lambda **more: L.RandomShear(0.3, 0.3, fill_mode="constant", interpolation="nearest", **more),
    "RandomPerspective": lambda **more: L.RandomPerspective(1.0, 0.8, interpolation="nearest", **more),
    "RandomCrop": lambda **more: L.RandomCrop(32, 40, **more),
    "Resizing": lambda **more: L.Resizing(32, 44, interpolation="nearest", **more),
    "CenterCrop": lambda **more: L.CenterCrop(32, 40, **more),
}


def one(feed: tfinput.Feed) -> Any:
    return next(iter(feed.train))


def around(image: Any) -> list[int] | None:
    """The box around the bright pixels."""
    rows, columns = np.nonzero(image[..., 0] > 127)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else None


@pytest.mark.parametrize("option", ["batch_augment", "batch_preprocess"])
@pytest.mark.parametrize("name", MOVING)
def test_masks_move_with_their_images(name: str, option: str) -> None:
    feed = tfinput.from_arrays(IMAGES, MASKS, batch_size=SIZE, shuffle=False, **{option: MOVING[name]()})
    image, mask = one(feed)
    assert mask.dtype == tf.uint8
    assert mask.shape[1:3] == image.shape[1:3]
    assert set(np.unique(mask)) == {0, 1}
    wrong = ((image.numpy()[..., 0] > 127) != mask.numpy()[..., 0]).mean(axis=(1, 2))
    assert wrong.max() < 0.01
    moved = option == "batch_augment" or name in own.IN_INFERENCE
    assert moved == (image.shape != IMAGES.shape or bool((image.numpy() != IMAGES).any()))


def test_masks_move_with_images_whose_colours_change_too() -> None:
    feed = tfinput.from_arrays(IMAGES / 2 + 40, MASKS, batch_size=SIZE, shuffle=False, batch_augment=L.RandAugment(interpolation="nearest"))
    fits, moved = [], 0
    for epoch in range(6):
        image, mask = one(feed.at(epoch=epoch))
        moved += int((mask.numpy() != MASKS).any())
        pairs = [(each.mean(-1).ravel(), there.ravel()) for each, there in zip(image.numpy(), mask.numpy(), strict=True)]
        fits += [abs(np.corrcoef(each, there)[0, 1]) for each, there in pairs if each.std() > 3 and there.std() > 0]
    assert moved > 1
    assert len(fits) > 3 * SIZE
    assert np.quantile(fits, 0.05) > 0.85


@pytest.mark.parametrize("name", sorted(own.MOVES_BOXES))
@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_boxes_move_with_their_images(name: str, kind: Any) -> None:
    y = {"boxes": BOUNDS.astype(kind), "labels": np.arange(SIZE, dtype=np.int64)[:, None]}
    image, moved = one(tfinput.from_arrays(IMAGES, y, batch_size=SIZE, shuffle=False, batch_augment=MOVING[name](**XYXY)))
    assert moved["boxes"].dtype == kind
    assert moved["labels"].dtype == tf.int64
    seen = [around(each) for each in image.numpy()]
    for number, (there, box) in enumerate(zip(seen, moved["boxes"].numpy()[:, 0], strict=True)):
        if there is not None:
            assert np.abs(box - there).max() < 2, number
            assert int(moved["labels"][number, 0]) == number
    assert sum(there is not None for there in seen) > SIZE / 2
    assert (image.shape != IMAGES.shape) or (moved["boxes"].numpy() != BOUNDS).any()


def test_masks_and_boxes_move_together_and_ragged_boxes_stay_ragged() -> None:
    counts = np.array([1 + number % 3 for number in range(SIZE)], np.int32)

    def ragged(x: Any, y: Any) -> Any:
        boxes = tf.RaggedTensor.from_tensor(tf.repeat(y["boxes"], 3, axis=1), y["count"])
        kinds = tf.RaggedTensor.from_tensor(tf.repeat(y["number"][:, None], 3, axis=1), y["count"])
        return x, {"find": {"boxes": boxes, "classes": kinds}, "mask": y["mask"]}

    y = {"boxes": BOUNDS, "count": counts, "number": np.arange(SIZE, dtype=np.int32), "mask": MASKS[..., 0].astype("i4")}
    layer = L.Pipeline([L.RandomBrightness(0.01), L.RandomFlip(**XYXY), L.RandomTranslation(0.1, 0.1, "constant", "nearest", **XYXY)])
    feed = tfinput.from_arrays(IMAGES, y, batch_size=SIZE, shuffle=False, batch_preprocess=ragged, batch_augment=layer)
    image, moved = one(feed)
    assert moved["mask"].shape == (SIZE, HEIGHT, WIDTH)
    assert (((image.numpy()[..., 0] > 127) != moved["mask"].numpy()).mean(axis=(1, 2)) < 0.01).all()
    boxes, kinds = moved["find"]["boxes"], moved["find"]["classes"]
    assert boxes.row_lengths().numpy().tolist() == kinds.row_lengths().numpy().tolist() == counts.tolist()
    for number in range(SIZE):
        assert np.abs(boxes[number].numpy() - around(image[number].numpy())).max() < 2
        assert set(kinds[number].numpy()) == {number}


FORMATS = {
    "xyxy": lambda left, top, right, bottom: [left, top, right, bottom],
    "yxyx": lambda left, top, right, bottom: [top, left, bottom, right],
    "xywh": lambda left, top, right, bottom: [left, top, right - left, bottom - top],
    "center_xywh": lambda left, top, right, bottom: [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top],
    "rel_xyxy": lambda left, top, right, bottom: [left / WIDTH, top / HEIGHT, right / WIDTH, bottom / HEIGHT],
    "rel_xywh": lambda left, top, right, bottom: [left / WIDTH, top / HEIGHT, (right - left) / WIDTH, (bottom - top) / HEIGHT],
}


@pytest.mark.parametrize("name", ["RandomFlip", "RandomTranslation", "RandomZoom"])
@pytest.mark.parametrize("form", FORMATS)
def test_boxes_may_be_written_in_keras_other_ways(form: str, name: str) -> None:
    boxes = np.array([[FORMATS[form](*box)] for box in BOUNDS[:, 0]], np.float32)
    y = {"boxes": boxes, "labels": np.zeros((SIZE, 1), np.int32)}
    layer = MOVING[name](bounding_box_format=form)
    image, moved = one(tfinput.from_arrays(IMAGES, y, batch_size=SIZE, shuffle=False, batch_augment=layer))
    scale = [WIDTH, HEIGHT] * 2 if form.startswith("rel") else 1
    for each, box in zip(image.numpy(), moved["boxes"].numpy()[:, 0], strict=True):
        there = around(each)
        if there is not None:
            assert np.abs((box - FORMATS[form](*there)) * scale).max() < 2


def test_weights_of_pixels_move_too_and_those_of_examples_stay() -> None:
    weights = np.arange(SIZE, dtype="f4")
    for layer in (L.RandomFlip(), keras.Sequential([L.RandomFlip(), L.RandomInvert(value_range=(0, 255), factor=0.0)])):
        feed = tfinput.from_arrays(IMAGES, MASKS, MASKS[..., 0] / 2, batch_size=SIZE, shuffle=False, batch_augment=layer)
        image, mask, weight = one(feed)
        assert np.array_equal(image[..., :1] > 127, mask)
        assert np.array_equal(mask[..., 0] / 2, weight)
        assert (mask.numpy() != MASKS).any()
        feed = tfinput.from_arrays(IMAGES, MASKS, weights, batch_size=SIZE, shuffle=False, batch_augment=layer)
        assert np.array_equal(one(feed)[2], weights)
    with pytest.raises(ValueError, match=r"Mirror, with sample_weight that belongs to them"):
        tfinput.from_arrays(IMAGES, weights, MASKS[..., 0] / 2, batch_size=SIZE, batch_augment=Mirror())


@pytest.mark.parametrize("padding", [0, -1])
def test_padding_of_boxes_stays_padding(padding: int) -> None:
    boxes = np.concatenate([BOUNDS, np.full_like(BOUNDS, padding)], axis=1)
    kinds = np.tile(np.array([[3, padding]], np.int32), (SIZE, 1))
    feed = tfinput.from_arrays(IMAGES, {"boxes": boxes, "labels": kinds}, batch_size=SIZE, batch_augment=L.RandomFlip(**XYXY))
    image, y = one(feed)
    assert (y["boxes"].numpy()[:, 1] == padding).all()
    assert (y["labels"].numpy() == kinds).all()
    assert all(np.allclose(box, around(each), atol=1e-3) for box, each in zip(y["boxes"].numpy()[:, 0], image.numpy(), strict=True))


# Mixing

PLAIN = np.arange(32) % 3
SHADES = np.broadcast_to(np.eye(3, dtype="f4")[PLAIN][:, None, None], (32, 8, 8, 3)).copy()  # each class has a channel of its own
ONE_HOT = np.eye(3, dtype="f4")[PLAIN]


@pytest.mark.parametrize("layer", [L.MixUp(0.7), L.CutMix(), L.Pipeline([L.RandomFlip(), L.MixUp(0.7)]), keras.Sequential([L.CutMix()])])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_labels_are_mixed_as_their_images_are(layer: Any, kind: str) -> None:
    feed = tfinput.from_arrays(SHADES, ONE_HOT.astype(kind), batch_size=16, batch_augment=layer)
    whole = list(feed.train.take(feed.steps_per_epoch))
    mixed = 0
    for image, label in whole:
        assert label.dtype.as_numpy_dtype == np.dtype(kind)
        assert np.allclose(image.numpy().mean((1, 2)), label.numpy(), atol=1e-4)
        mixed += int(((label.numpy() > 0.05) & (label.numpy() < 0.95)).any(1).sum())
    assert mixed > 4
    assert np.array_equal(next(iter(feed.at(step=1).train))[0], whole[1][0])


def test_several_outputs_are_mixed_as_one() -> None:
    y = {"a": ONE_HOT, "b": PLAIN.astype("f4") / 2, "c": 1 - ONE_HOT}
    image, label = one(tfinput.from_arrays(SHADES, y, batch_size=32, batch_augment=L.MixUp(0.7)))
    shares = image.numpy().mean((1, 2))
    assert np.allclose(label["a"], shares, atol=1e-4)
    assert label["b"].shape == (32,)
    assert np.allclose(label["b"], shares @ [0, 0.5, 1], atol=1e-4)
    assert np.allclose(label["c"], 1 - shares, atol=1e-4)


def test_masks_are_cut_and_pasted_as_their_images_are() -> None:
    y = {"mask": (SHADES[..., :1] * 7).astype(np.uint8), "class": ONE_HOT}
    image, label = one(tfinput.from_arrays(SHADES, y, batch_size=32, batch_augment=L.CutMix()))
    assert label["mask"].shape == (32, 8, 8, 1)
    assert np.array_equal(image.numpy()[..., :1] * 7, label["mask"])
    assert np.allclose(image.numpy().mean((1, 2)), label["class"], atol=1e-4)


ROUND = np.zeros((32, 8, 8, 3), "f4")
BOXES = {"boxes": np.tile(np.array([1, 2, 5, 6], "f4"), (32, 2, 1)), "labels": np.zeros((32, 2), "i4")}


@pytest.mark.parametrize("layer", [L.MixUp(), L.CutMix(), L.Pipeline([L.RandomInvert(), L.CutMix()])])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            (ROUND, PLAIN),
            r"one-hot labels as floats.* got int64 of shape \(32,\)\. Use label_mode='categorical' .*tf.one_hot\(y, classes\)",
        ),
        ((ROUND, PLAIN[:, None].astype("i4")), r"got int32 of shape \(32, 1\).*tf.one_hot"),
        ((ROUND, ONE_HOT.astype(int)), r"got int64 of shape \(32, 3\).*tf.cast\(y, tf.float32\)"),
        ((ROUND, np.array(["cat", "dog"] * 16)), r"got strings"),
        ((ROUND, {"a": ONE_HOT, "b": PLAIN}), r"y\['b'\]: expected one-hot"),
        (({"images": ROUND, "labels": PLAIN},), r"x\['labels'\]: expected one-hot"),
        ((ROUND, ONE_HOT, np.ones(32, "f4")), r"sample_weight: expected none.*got weights\. Write a function"),
        ((ROUND, BOXES), r"can mix, got an array of shape \(32, 2, 4\)"),
        ((ROUND, np.zeros((32, 4, 4, 2))), r"can mix, got an array"),
    ],
)
def test_what_cannot_be_mixed_is_refused_at_the_call(layer: Any, data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^tfinput: batch_augment=\w+, .*" + message):
        tfinput.from_arrays(*data, batch_size=32, batch_augment=layer)


def test_class_numbers_that_are_floats_are_refused_when_they_come() -> None:
    for label in (PLAIN.astype("f4"), PLAIN[:, None].astype("f4")):
        feed = tfinput.from_arrays(ROUND, label, batch_size=32, batch_augment=L.MixUp())
        with pytest.raises(tf.errors.InvalidArgumentError, match="y looks like class numbers, which cannot be mixed"):
            one(feed)
    assert one(tfinput.from_arrays(ROUND, (PLAIN > 0).astype("f4"), batch_size=32, batch_augment=L.MixUp()))[1].shape == (32,)


# What is refused, and what is not


@pytest.mark.parametrize(
    ("layer", "y", "message"),
    [
        (L.RandomFlip(), BOXES, r"y\['boxes'\]: expected a layer with a bounding_box_format, got none\. .*bounding_box_format='xyxy'"),
        (
            L.RandomFlip(**XYXY),
            BOXES["boxes"],
            r"y: expected what RandomFlip can move .* got an array of shape \(32, 2, 4\).*called 'boxes'",
        ),
        (L.RandomFlip(**XYXY), (BOXES["boxes"], PLAIN), r"y\[0\]: expected what RandomFlip can move"),
        (L.RandomRotation(0.1), np.zeros((32, 5, 2)), r"got an array of shape \(32, 5, 2\)"),
        (L.RandomFlip(), np.zeros((32, 4, 4, 1)), r"got an array of shape \(32, 4, 4, 1\).*as high and wide as the images"),
        (L.RandomRotation(0.1, bounding_box_format="xywh"), BOXES, r"y\['boxes'\]: expected boxes as 'xyxy', .*got 'xywh'.*convert_format"),
        (L.RandomPerspective(bounding_box_format="rel_xyxy"), BOXES, r"expected boxes as 'xyxy', .*got 'rel_xyxy'"),
        (L.RandomCrop(4, 4, **XYXY), BOXES, r"a layer whose boxes fit its images, got RandomCrop"),
        (L.RandAugment(**XYXY), BOXES, r"a layer whose boxes fit its images, got RandAugment"),
        (L.AugMix(), np.zeros((32, 8, 8)), r"a layer whose masks fit its images, got AugMix"),
        (L.RandomElasticTransform(), np.zeros((32, 8, 8)), r"a layer whose masks fit its images, got RandomElasticTransform"),
    ],
)
def test_what_cannot_be_moved_is_refused_at_the_call(layer: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^tfinput: batch_augment=\w+, .*" + message):
        tfinput.from_arrays(ROUND, y, batch_size=32, batch_augment=layer)


@pytest.mark.parametrize("y", [BOXES["boxes"][:, 0], BOXES["boxes"][:, 0].astype(int), np.full((32, 2), 3.5), np.full((32, 6), 0.5)])
def test_numbers_that_may_be_positions_are_refused_when_they_come(y: Any) -> None:
    feed = tfinput.from_arrays(ROUND, y, batch_size=32, batch_augment=L.RandomFlip())
    with pytest.raises(tf.errors.InvalidArgumentError, match="y holds numbers that may be positions in the images"):
        one(feed)
    assert np.array_equal(one(tfinput.from_arrays(ROUND, y, batch_size=32, batch_augment=L.RandomBrightness(0.1)))[1], y)


@pytest.mark.parametrize(
    "y", [PLAIN, ONE_HOT, np.eye(4)[PLAIN], np.eye(4)[PLAIN] * 0.9 + 0.025, np.ones((32, 2), int), PLAIN / 7.0, np.array(["a", "b"] * 16)]
)
@pytest.mark.parametrize("layer", [L.RandomFlip(), L.RandomElasticTransform()])
def test_labels_stay_as_they_are(layer: Any, y: Any) -> None:
    feed = tfinput.from_arrays(ROUND, y, batch_size=32, shuffle=False, batch_augment=layer)
    assert np.array_equal(one(feed)[1], y if y.dtype.kind != "U" else y.astype("S"))


def test_blended_masks_are_refused_when_they_come() -> None:
    feed = tfinput.from_arrays(IMAGES, MASKS, batch_size=SIZE, batch_augment=L.CenterCrop(60, 40))
    with pytest.raises(tf.errors.InvalidArgumentError, match="CenterCrop blends the whole numbers of y: interpolation='nearest'"):
        one(feed)


def test_numbers_too_large_for_a_layer_are_refused_when_they_come() -> None:
    masks = MASKS.astype(np.int64) * (2**24 + 1)
    feed = tfinput.from_arrays(IMAGES, masks, batch_size=SIZE, batch_augment=L.RandomFlip())
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"y holds numbers beyond 2\*\*24"):
        one(feed)


@pytest.mark.parametrize("layer", [L.RandomFlip(), L.RandomBrightness(0.1), L.MixUp(), keras.Sequential([L.RandomFlip()])])
def test_images_without_channels_are_refused(layer: Any) -> None:
    """Keras takes a batch of them for one image, and turns the batch."""
    with pytest.raises(
        ValueError, match=r"images of shape \(batch, height, width, channels\) in x, got \(32, 8, 8\)\. .*x\[\.\.\., None\], y"
    ):
        tfinput.from_arrays(ROUND[..., 0], PLAIN, batch_size=32, batch_augment=layer)


def test_images_are_found_in_what_x_holds() -> None:
    age = np.arange(SIZE, dtype="f4")
    x, y = one(tfinput.from_arrays({"image": IMAGES, "age": age}, MASKS, batch_size=SIZE, shuffle=False, batch_augment=L.RandomFlip()))
    assert np.array_equal(x["age"], age)
    assert np.array_equal(x["image"][..., :1] > 127, y)
    assert (y.numpy() != MASKS).any()
    whole = {"images": IMAGES, "segmentation_masks": MASKS}
    both = one(tfinput.from_arrays(whole, batch_size=SIZE, shuffle=False, batch_augment=L.RandomFlip()))
    assert np.array_equal(both["images"][..., :1] > 127, both["segmentation_masks"])
    with pytest.raises(ValueError, match=r"one batch of images, got x\['left'\], x\['right'\]\. Call the images of the dict 'images'"):
        tfinput.from_arrays({"left": IMAGES, "right": IMAGES}, batch_size=SIZE, batch_augment=L.RandomFlip())


def test_channels_on_another_axis_are_refused() -> None:
    first = np.moveaxis(IMAGES, -1, 1)
    with pytest.raises(ValueError, match=r"channels_last, as the layer has it, got the shape .*data_format='channels_first'"):
        tfinput.from_arrays(first, batch_size=SIZE, batch_augment=L.RandomFlip())
    layer = L.RandomFlip(data_format="channels_first")
    image, mask = one(tfinput.from_arrays(first, MASKS[..., 0], batch_size=SIZE, batch_augment=layer))
    assert np.array_equal(image[:, 0] > 127, mask)
    with pytest.raises(ValueError, match=r"channels_first, as the layer has it"):
        tfinput.from_arrays(IMAGES, batch_size=SIZE, batch_augment=layer)


# Layers of the user's


class Mirror(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return x[:, :, ::-1]


class Own(type(L.RandomFlip()).__mro__[1]):  # type: ignore[misc]
    """One that follows Keras' protocol: turns images and masks upside down, and labels too."""

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        return images[:, ::-1] if training else images

    transform_segmentation_masks = transform_images

    def transform_labels(self, labels: Any, transformation: Any, training: bool = True) -> Any:
        return labels[::-1] if training else labels


def test_a_layer_of_the_users_that_follows_keras_gets_what_it_defines() -> None:
    image, mask = one(tfinput.from_arrays(IMAGES, MASKS, batch_size=SIZE, shuffle=False, batch_augment=Own()))
    assert np.array_equal(image, IMAGES[:, ::-1])
    assert np.array_equal(mask, MASKS[:, ::-1])
    numbers = np.arange(SIZE)
    _, label = one(tfinput.from_arrays(IMAGES, numbers, batch_size=SIZE, shuffle=False, batch_augment=Own()))
    assert np.array_equal(label, numbers[::-1])
    with pytest.raises(ValueError, match="a layer whose boxes fit its images, got Own"):
        tfinput.from_arrays(ROUND, BOXES, batch_size=SIZE, batch_augment=Own(**XYXY))


def nested() -> Any:
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, L.Add()([L.MixUp()(inputs), inputs]))


@pytest.mark.parametrize("option", ["batch_augment", "batch_preprocess"])
@pytest.mark.parametrize("layer", [Mirror(), keras.Sequential([L.Rescaling(0.1), Mirror()]), L.Pipeline([L.RandomFlip(), Mirror()])])
def test_a_layer_of_which_nothing_is_known_is_refused_with_masks_and_not_without(layer: Any, option: str) -> None:
    for y in (MASKS, MASKS[..., 0], {"boxes": BOUNDS, "labels": np.zeros((SIZE, 1))}):
        with pytest.raises(
            ValueError, match=rf"{option}=Mirror: expected a layer known to leave pixels .*{option}=lambda x, y: \(layer\(x\), y\)"
        ):
            tfinput.from_arrays(IMAGES, y, batch_size=SIZE, **{option: layer})
    assert one(tfinput.from_arrays(IMAGES, np.arange(SIZE), batch_size=SIZE, **{option: layer}))[0].shape == IMAGES.shape


def test_a_model_that_mixes_somewhere_inside_is_refused() -> None:
    with pytest.raises(TypeError, match="MixUp inside of it, which needs the labels"):
        tfinput.from_arrays(ROUND, ONE_HOT, batch_size=32, batch_augment=nested())


def test_a_functional_model_of_layers_in_a_row_is_a_stack() -> None:
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    model = keras.Model(inputs, L.Rescaling(1.0)(L.RandomFlip()(inputs)))
    image, mask = one(tfinput.from_arrays(IMAGES, MASKS, batch_size=SIZE, batch_augment=model))
    assert np.array_equal(image[..., :1] > 127, mask)


# What is known of Keras


def known() -> list[Any]:
    base = type(L.RandomFlip()).__mro__[1]
    assert base.__name__ == "BaseImagePreprocessingLayer"
    return [each for each in vars(L).values() if isinstance(each, type) and issubclass(each, base)]


def test_each_image_layer_of_keras_is_known() -> None:
    assert {each.__name__ for each in known()} <= own.MIXES | own.MOVES | own.STAYS
    assert set(MOVING) | {"RandAugment"} == own.MOVES_MASKS


@pytest.mark.parametrize("name", sorted(each.__name__ for each in known() if each.__name__ in own.STAYS))
def test_layers_that_are_known_to_leave_pixels_leave_them(name: str) -> None:
    """Of four even quarters, and so whatever moved would show."""
    x = np.zeros((8, 16, 16, 3), "f4")
    for number, (row, column) in enumerate(itertools.product((slice(0, 8), slice(8, 16)), repeat=2)):
        x[:, row, column] = np.random.default_rng(number).uniform(0, 255, (8, 1, 1, 3))
    given = {"RandomGaussianBlur": {"kernel_size": 3}, "RandomPosterization": {"factor": 4}, "Solarization": {}, "AutoContrast": {}}
    given |= {"Equalization": {}, "RandomErasing": {"factor": 0.0}, "RandomColorJitter": {}, "RandomInvert": {}, "RandomGrayscale": {}}
    given |= {"ContrastLimitedAdaptiveHistogramEqualization": {}, "CLAHE": {}, "Rescaling": {"scale": 2}}
    layer = getattr(L, name)(**given.get(name, {"factor": 0.5}))
    image = one(tfinput.from_arrays(x, np.zeros((8, 16, 16)), batch_size=8, shuffle=False, batch_augment=layer))[0].numpy()
    if "AdaptiveHistogram" not in name and name != "CLAHE":
        for row, column in itertools.product((slice(2, 6), slice(10, 14)), repeat=2):
            assert np.ptp(image[:, row, column], axis=(1, 2)).max() < 1e-2
