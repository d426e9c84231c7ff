"""What of a batch belongs to its images: masks and boxes, which must move as the pixels do, and labels, which must mix with them.

Keras' layers take them in a dict with the keys "images", "labels", "segmentation_masks" and "bounding_boxes". What an array is, is told
by its shape and by the name it has; what cannot be told is refused, so that nothing is left behind without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from tfinput.errors import refusal

PICTURES = ("images", "image")
BOXES = ("boxes", "bboxes")
CLASSES = ("labels", "classes", "label", "class")
PARTS = ("x", "y", "sample_weight")
BY_HAND = "Write a function of (x, y) instead, which may call the layer with a dict of what belongs together."
POSITIONS = (2, 4)

Leaf = tuple[Any, ...]  # the keys and places that lead to an array of an element


def leaves(nest: Any, at: Leaf = ()) -> Iterator[tuple[Leaf, Any]]:
    """The arrays of a nest with the way to each, in the order of `tf.nest.flatten`."""
    if isinstance(nest, dict):
        for key in sorted(nest):
            yield from leaves(nest[key], (*at, key))
    elif isinstance(nest, (tuple, list)):
        for place, part in enumerate(nest):
            yield from leaves(part, (*at, place))
    else:
        yield at, nest


@dataclass
class Scene:
    """The arrays of an element, by the part that each has beside its images; `name` is the option whose layer wants them."""

    name: str
    layer: str
    first: bool  # whether channels come first
    values: dict[Leaf, Any]
    image: Leaf
    boxes: list[tuple[Leaf, Leaf | None]] = field(default_factory=list)
    masks: list[Leaf] = field(default_factory=list)
    labels: list[Leaf] = field(default_factory=list)
    unclear: dict[Leaf, str] = field(default_factory=dict)
    weight: Leaf | None = None

    def called(self, leaf: Leaf) -> str:
        """What an array is called in messages."""
        return PARTS[leaf[0]] + "".join(f"[{key!r}]" for key in leaf[1:])

    def refuse(self, leaf: Leaf, expected: str, got: str, fix: str = BY_HAND) -> Exception:
        """The error about an array."""
        return refusal(f"{self.name}={self.layer}, {self.called(leaf)}", expected, got, fix)

    def sides(self, leaf: Leaf) -> Any:
        """Height and width of an array of images or masks, as far as they are known."""
        shape = self.values[leaf].shape
        return shape[1:3] if shape.rank == 3 or not self.first else shape[2:4]

    def packed(self, element: Any) -> Any:
        """An element of this structure with the arrays as they are now."""
        return tf.nest.pack_sequence_as(element, list(self.values.values()))


def scene(name: str, layer: Any, first: bool, element: tuple[Any, ...]) -> Scene:
    """Find out what is what in an element (x, y, sample_weight); refused where the images cannot be told."""
    values = dict(leaves(element))
    title = type(layer).__name__
    seen = Scene(name, title, first, values, _image(name, title, {leaf: value for leaf, value in values.items() if leaf[0] == 0}))
    _refuse_other_channels(seen)
    taken = {seen.image}
    for leaf in values:
        if leaf[0] == 2:
            seen.weight = leaf
        if leaf[-1] in BOXES:
            beside = [other for other in values if other[:-1] == leaf[:-1] and other[-1] in CLASSES]
            classes = next((other for other in beside if values[other].shape.rank != 1), None)
            seen.boxes.append((leaf, classes))
            taken |= {leaf} if classes is None else {leaf, classes}
    for leaf in values:
        if leaf not in taken and (leaf[0] < 2 or values[leaf].shape.rank not in (1, 2)):  # Weights may be of pixels too.
            _classify(seen, leaf)
    return seen


def _image(name: str, layer: str, parts: dict[Leaf, Any]) -> Leaf:
    """The images of `x`."""
    found = [leaf for leaf, value in parts.items() if value.shape.rank == 4 and value.dtype != tf.string]
    by_name = [leaf for leaf in found if leaf[-1] in PICTURES]
    found = by_name if len(by_name) == 1 else found
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(PARTS[0] + "".join(f"[{key!r}]" for key in leaf[1:]) for leaf in found)
        fix = "Call the images of the dict 'images', or write a function that calls the layer."
        raise refusal(f"{name}={layer}", "one batch of images", f"{names}", fix)
    shapes = ", ".join(str(value.shape) for value in parts.values())
    fix = "Add the axis that is missing in preprocess: for gray images without channels, return x[..., None], y."
    raise refusal(f"{name}={layer}", "images of shape (batch, height, width, channels) in x", shapes, fix)


def _refuse_other_channels(seen: Scene) -> None:
    """Refuse images whose channels clearly lie on another axis than the layer takes them from."""
    shape = seen.values[seen.image].shape
    here, there = (shape[1], shape[3]) if seen.first else (shape[3], shape[1])
    if there in (1, 3) and here is not None and here > 4:
        now, other = ("first", "last") if seen.first else ("last", "first")
        fix = f"Pass data_format='channels_{other}' to the layer."
        raise seen.refuse(seen.image, f"images with channels_{now}, as the layer has it", f"the shape {shape}", fix)


def _classify(seen: Scene, leaf: Leaf) -> None:
    """Sort one array in by its shape."""
    value = seen.values[leaf]
    rank = value.shape.rank
    ragged = isinstance(value, tf.RaggedTensor)
    if value.dtype == tf.string or (rank is not None and rank <= 2 and not ragged):
        seen.labels.append(leaf)
    elif rank in (3, 4) and not ragged and seen.sides(leaf).is_compatible_with(seen.sides(seen.image)):
        seen.masks.append(leaf)
    elif rank is None or rank >= 4 or (rank == 3 and value.shape[-1] in POSITIONS):
        seen.unclear[leaf] = f"an array of shape {value.shape}"
    else:
        seen.labels.append(leaf)


def spatial(element: tuple[Any, ...]) -> Leaf | None:
    """Targets or weights that look like masks of the images in `x`, or are called boxes."""
    values = dict(leaves(element))
    shapes = [value.shape for leaf, value in values.items() if leaf[0] == 0 and value.shape.rank == 4]
    for leaf, value in values.items():
        if leaf[0] > 0 and shapes:
            sides = [shape[1:3] for shape in shapes] + [shape[2:4] for shape in shapes]
            like = value.shape.rank == 3 and any(value.shape[1:3].is_compatible_with(each) for each in sides)
            if like or value.shape.rank == 4 or leaf[-1] in BOXES:
                return leaf
    return None


def refuse_positions(seen: Scene) -> None:
    """Add a check to the graph: targets that may be positions in the images are refused when they come."""
    alone = all(leaf[0] == 0 for leaf in seen.values)
    for leaf in [each for each in seen.labels if alone or each[0] == 1]:
        value = seen.values[leaf]
        count = value.shape[-1] if value.shape.rank == 2 else None
        if count is None or count % 2 or not (value.dtype.is_floating or value.dtype.is_integer):
            continue
        if count in POSITIONS or value.dtype.is_floating:
            numbers = tf.cast(value, tf.float32)
            low, high = tf.reduce_min(numbers, 1), tf.reduce_max(numbers, 1)
            shares = tf.abs(tf.reduce_sum(numbers, 1) - 1) < 1e-2
            several = tf.reduce_all((numbers == 0) | (numbers == 1), 1)
            what = f"{seen.called(leaf)} holds numbers that may be positions in the images, which {seen.layer} moves"
            fix = f"If they are none, pass {seen.name}=lambda x, y: (layer(x, training=True), y). Else move them in such a function."
            seen.values[leaf] = checked(value, several | (shares & (low >= 0) & (high <= 1)), f"{what}. {fix}")


def checked(value: Any, holds: Any, message: str) -> Any:
    """The value, which is an error with this message where it does not hold."""
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(holds), [message])]):
        return tf.identity(value)
