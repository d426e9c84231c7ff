"""What Keras' image layers get beside the images, in the form that Keras defines, and how the results become the user's arrays again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfinput.engine.scenes import Leaf, Scene, checked

Field = tuple[str, Any, Callable[[Any], None]]  # the key in Keras' dict, what stands there, and what takes the result back


def masks(seen: Scene) -> Field:
    """Masks, side by side as channels of one array."""
    axis = 1 if seen.first else -1
    given, counts = [], []
    for leaf in seen.masks:
        mask = seen.values[leaf]
        mask = tf.expand_dims(mask, axis) if mask.shape.rank == 3 else mask
        if mask.shape[axis] is None:
            raise seen.refuse(leaf, "masks with a known number of channels", f"the shape {mask.shape}")
        mask = _exact(seen, leaf, mask)
        if not seen.sides(seen.image).is_fully_defined() or not seen.sides(leaf).is_fully_defined():
            same = _sizes(seen, mask) == _sizes(seen, seen.values[seen.image])
            mask = checked(mask, same, f"{seen.called(leaf)} has another height and width than the images")
        given.append(mask)
        counts.append(mask.shape[axis])

    def back(moved: Any) -> None:
        for leaf, mask in zip(seen.masks, tf.split(moved, counts, axis), strict=True):
            was = seen.values[leaf]
            mask = tf.squeeze(mask, axis) if was.shape.rank == 3 else mask
            fix = "interpolation='nearest' on the layer, or a newer Keras, keeps masks whole"
            seen.values[leaf] = _restored(seen, leaf, mask, was.dtype, fix)

    return "segmentation_masks", tf.concat(given, axis), back


def _sizes(seen: Scene, value: Any) -> Any:
    return tf.shape(value)[2:4] if seen.first else tf.shape(value)[1:3]


def _exact(seen: Scene, leaf: Leaf, value: Any) -> Any:
    """Numbers as float32, in which Keras' layers compute; refused where they do not fit."""
    number = tf.cast(value, tf.float32)
    if value.dtype.is_floating or value.dtype == tf.bool or value.dtype.size < 4:
        return number
    return checked(number, tf.cast(number, value.dtype) == value, f"{seen.called(leaf)} holds numbers beyond 2**24")


def _restored(seen: Scene, leaf: Leaf, value: Any, dtype: Any, fix: str) -> Any:
    """An array in its own dtype again; whole numbers must still be whole."""
    if not dtype.is_floating:
        value = checked(value, value == tf.round(value), f"{seen.layer} blends the whole numbers of {seen.called(leaf)}: {fix}")
    return tf.cast(value, dtype)


def boxes(seen: Scene) -> Field:
    """Boxes (batch, boxes, 4) and their classes (batch, boxes), ragged, or padded with 0 or -1, which stays padding."""
    leaf, classes = seen.boxes[0]
    given = seen.values[leaf]
    kinds = None if classes is None else seen.values[classes]
    shapes = f"{given.shape}" if kinds is None else f"{given.shape} and {kinds.shape}"
    if len(seen.boxes) > 1 or given.shape.rank != 3 or (kinds is not None and kinds.shape.rank != 2):
        raise seen.refuse(leaf, "one set of boxes, of shape (batch, boxes, 4), with labels of shape (batch, boxes)", shapes)
    if kinds is not None and kinds.dtype.is_unsigned:
        fix = "Return them as tf.cast(labels, tf.int32) from preprocess: a box that leaves the image gets the label -1."
        raise seen.refuse(leaf, "labels of boxes that can be -1", kinds.dtype.name, fix)
    ragged = isinstance(given, tf.RaggedTensor)
    lengths = given.row_lengths() if ragged else None
    dense = given.to_tensor(shape=(None, None, 4)) if ragged else given
    labels: Any = kinds.to_tensor(-1) if isinstance(kinds, tf.RaggedTensor) else kinds
    padding = tf.reduce_all(dense == 0, -1) | tf.reduce_all(dense == -1, -1)

    def back(moved: Any) -> None:
        places = tf.cast(moved["boxes"], tf.float32)
        places = tf.cast(places if dense.dtype.is_floating else tf.round(places), dense.dtype)
        seen.values[leaf] = _ragged(tf.where(padding[..., None], dense, places), lengths)
        if classes is not None:
            seen.values[classes] = _ragged(tf.where(padding, labels, tf.cast(moved["labels"], labels.dtype)), lengths)

    numbers = tf.zeros(tf.shape(dense)[:2]) if classes is None else _exact(seen, classes, labels)
    return "bounding_boxes", {"boxes": tf.cast(dense, tf.float32), "labels": numbers}, back


def _ragged(value: Any, lengths: Any) -> Any:
    return value if lengths is None else tf.RaggedTensor.from_tensor(value, lengths)


def labels(seen: Scene, chosen: Sequence[Leaf], mixed: bool) -> Field:
    """Labels, side by side as columns; whether they are known to be mixed decides what they must be."""
    given, counts = [], []
    for leaf in chosen:
        label = _mixable(seen, leaf, seen.values[leaf]) if mixed else seen.values[leaf]
        label = _exact(seen, leaf, label)
        label = label[:, None] if label.shape.rank == 1 else label
        if label.shape.rank != 2 or label.shape[1] is None:
            raise seen.refuse(leaf, "as many labels for each example", f"the shape {label.shape}")
        given.append(label)
        counts.append(label.shape[1])

    def back(made: Any) -> None:
        for leaf, label in zip(chosen, tf.split(made, counts, 1), strict=True):
            was = seen.values[leaf]
            label = label[:, 0] if was.shape.rank == 1 else label
            seen.values[leaf] = _restored(seen, leaf, label, was.dtype, "give them one-hot, as floats")

    return "labels", tf.concat(given, 1), back


def pasted(seen: Scene) -> Field:
    """A mask that numbers the examples: where a layer pasted a part of another one, it tells which, and how much of it.

    Keras' own shares are those of the part before it is cut to whole pixels, and its masks have as many channels as the images.
    """
    mixable = {leaf: _mixable(seen, leaf, seen.values[leaf]) for leaf in seen.labels}
    images = seen.values[seen.image]
    axis = 1 if seen.first else 3
    numbers = tf.range(tf.cast(tf.shape(images)[0], tf.float32))[:, None, None, None]
    plane = tf.ones_like(tf.gather(images, [0], axis=axis), tf.float32) * numbers

    def back(made: Any) -> None:
        plane = tf.gather(made, 0, axis=axis)
        other = plane != numbers[..., 0]
        partner = tf.cast(tf.reduce_max(tf.where(other, plane, -1.0), (1, 2)), tf.int32)
        partner = tf.where(partner < 0, tf.range(tf.shape(partner)[0]), partner)
        for leaf in seen.masks:
            mask = seen.values[leaf]
            inside = other if mask.shape.rank == 3 else tf.expand_dims(other, axis)
            seen.values[leaf] = tf.where(inside, tf.gather(mask, partner), mask)
        for leaf, label in mixable.items():
            share = tf.cast(tf.reduce_mean(tf.cast(other, tf.float32), (1, 2)), label.dtype)
            share = tf.reshape(share, [-1] + [1] * (label.shape.rank - 1))
            seen.values[leaf] = share * tf.gather(label, partner) + (1 - share) * label

    return "segmentation_masks", plane, back


def _mixable(seen: Scene, leaf: Leaf, label: Any) -> Any:
    """Labels that can be mixed: floats; of single numbers, none that are classes."""
    single = label.shape.rank == 1 or label.shape[-1] == 1
    if label.dtype.is_floating:
        if not single:
            return label
        numbers = tf.reshape(label, [-1])
        classes = tf.reduce_all(numbers == tf.round(numbers)) & (tf.reduce_max(numbers) > 1)
        return checked(label, ~classes, f"{seen.called(leaf)} looks like class numbers, which cannot be mixed: give them one-hot")
    if label.dtype == tf.string:
        raise seen.refuse(leaf, "one-hot labels as floats, which can be mixed", "strings", "Return them as numbers from preprocess.")
    way = "tf.one_hot(y, classes)" if single else "tf.cast(y, tf.float32)"
    fix = f"Use label_mode='categorical' where the builder has it, or return x, {way} from preprocess."
    raise seen.refuse(leaf, "one-hot labels as floats, which can be mixed", f"{label.dtype.name} of shape {label.shape}", fix)
