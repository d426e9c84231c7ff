"""Keras layers and models inside a pipeline: pure in the step's seed, and applied to all that belongs to the images.

A layer that moves pixels or mixes examples gets masks, boxes and labels too, in the dict that Keras defines for it; what a layer does
is known of Keras' own, and of others by what they define. Where Keras' way with masks or boxes is known to be wrong, it is refused.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

import tensorflow as tf

from tfinput.engine import companions, draws, scenes
from tfinput.engine.scenes import BY_HAND, Scene
from tfinput.errors import refusal

# What Keras' layers do with pixels, and which do right by masks and boxes: tests watch it for each of them.
MIXES = frozenset({"MixUp", "CutMix"})
MOVES_MASKS = frozenset(
    {
        *("RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomShear", "RandomPerspective", "RandomCrop"),
        *("Resizing", "CenterCrop", "RandAugment"),
    }
)
MOVES_BOXES = frozenset({"RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomPerspective", "Resizing", "CenterCrop"})
XYXY_ONLY = frozenset({"RandomRotation", "RandomPerspective"})  # wrong for boxes that are written another way
MOVES = MOVES_MASKS | MOVES_BOXES | {"RandomElasticTransform", "AugMix", "MaxNumBoundingBoxes"}
IN_INFERENCE = frozenset({"Resizing", "CenterCrop", "MaxNumBoundingBoxes"})  # The others do nothing then.
STAYS = frozenset(
    {
        *("AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization", "CLAHE", "Equalization", "RandomBrightness"),
        *("RandomColorDegeneration", "RandomColorJitter", "RandomContrast", "RandomErasing", "RandomGaussianBlur", "RandomGrayscale"),
        *("RandomHue", "RandomInvert", "RandomPosterization", "RandomSaturation", "RandomSharpness", "Solarization", "Rescaling"),
        *("InputLayer", "Identity", "Normalization", "BatchNormalization", "LayerNormalization", "GroupNormalization"),
        *("UnitNormalization", "GaussianNoise", "GaussianDropout", "AlphaDropout", "Dropout", "SpatialDropout2D", "Activation", "ReLU"),
        *("LeakyReLU", "PReLU", "ELU", "Softmax"),
    }
)
MASKS, PIXELS, LABELS, CROWD = "transform_segmentation_masks", "_transform_images", "transform_labels", "transform_bounding_boxes"

OTHERS = "Use RandomFlip, RandomRotation, RandomZoom or RandomTranslation, or write a function of (x, y) that moves both."


def is_layer(function: Any) -> bool:
    """Whether this is a Keras layer or model."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(function, keras.Layer)


def call(name: str, layer: Any, element: Any, seed: Any, stream: int) -> Any:
    """Apply the layer that is the option `name`, in training mode with draws from `seed` (two int32), or in inference without.

    It is applied to `x`, and to what belongs to its images. `stream` is the seed's key, of which `seed` is made.
    """
    parts = element if isinstance(element, tuple) else (element,)
    stack = _stack(layer)
    _refuse_unknown(name, stack, parts)
    with draws.python_random(stream):
        if any(map(_on_images, stack)):
            out = _to_images(name, layer, stack, parts, seed)
        else:
            out = (_apply_stack(name, layer, parts[0], seed), *parts[1:])
    return out if isinstance(element, tuple) else out[0]


def _kind(layer: Any) -> str | None:
    """The name of Keras' own class that a layer is, or is made from; None where that is none that is known here."""
    for base in type(layer).__mro__:
        if base.__module__.partition(".")[0] == "keras" and base.__name__ in MIXES | MOVES | STAYS:
            return base.__name__
    return None


def _on_images(layer: Any) -> bool:
    return any(base.__name__ == "BaseImagePreprocessingLayer" for base in type(layer).__mro__)


def _stack(layer: Any) -> list[Any]:
    """The single layers of which each one's result is the next one's input; a layer that is not made of such is one itself."""
    import keras

    if isinstance(layer, (keras.Sequential, keras.layers.Pipeline)):
        return [part for inner in layer.layers for part in _stack(inner)]
    return [part for inner in layer.layers[1:] for part in _stack(inner)] if _is_chain(layer) else [layer]


def _is_chain(model: Any) -> bool:
    """Whether a functional model is a stack."""
    import keras

    if type(model) is not keras.Model and type(model).__name__ != "Functional":
        return False
    try:
        joints = zip(model.layers[1:], model.layers[:-1], strict=True)
        ends = model.input is model.layers[0].output and model.output is model.layers[-1].output
        return ends and all(layer.input is before.output for layer, before in joints)
    except (AttributeError, ValueError):
        return False


def _inner(layer: Any) -> list[Any]:
    """A layer and all those in it."""
    return list(layer._flatten_layers()) if hasattr(layer, "_flatten_layers") else [layer]


def _refuse_unknown(name: str, stack: list[Any], parts: tuple[Any, ...]) -> None:
    """Refuse a layer that may move pixels where there are masks or boxes, or that holds one that mixes examples where there are labels."""
    unknown = [part for part in stack if _kind(part) is None and not _on_images(part)]
    if not unknown or len(parts) == 1:
        return
    title = type(unknown[0]).__name__
    inner = [_kind(each) for part in unknown for each in _inner(part)]
    mixing = next((kind for kind in inner if kind in MIXES), None)
    if mixing is not None:
        raise refusal(f"{name}={title}", "layers one after another", f"{mixing} inside of it, which needs the labels", BY_HAND, TypeError)
    leaf = scenes.spatial(parts)
    if leaf is not None:
        there = scenes.PARTS[leaf[0]] + "".join(f"[{key!r}]" for key in leaf[1:])
        fix = f"If it moves no pixels, pass a function: {name}=lambda x, y: (layer(x), y). Else write one that moves both."
        raise refusal(f"{name}={title}", "a layer known to leave pixels where they are", f"{title}, with {there} that belongs to them", fix)


# Images and what belongs to them


def _to_images(name: str, layer: Any, stack: list[Any], parts: tuple[Any, ...], seed: Any) -> tuple[Any, ...]:
    """Apply a stack with layers for images to the images in `x`, and to what belongs to them as far as layers concern it."""
    idle = MIXES | MOVES if seed is None else frozenset()
    acting = [part for part in stack if _kind(part) not in idle or _kind(part) in IN_INFERENCE]
    first = next(part.data_format for part in stack if _on_images(part)) == "channels_first"
    seen = scenes.scene(name, type(layer).__name__, first, parts)
    if all(_kind(part) in STAYS for part in acting):
        seen.values[seen.image] = _apply_stack(name, layer, seen.values[seen.image], seed)
        return tuple(seen.packed(parts))
    if any(_kind(part) in MIXES | MOVES for part in acting):
        scenes.refuse_positions(seen)
    with draws.drawing(name, seed):
        for part in acting:
            _one(seen, part, seed)
    return tuple(seen.packed(parts))


def _one(seen: Scene, layer: Any, seed: Any) -> None:
    """Apply one layer to the images of a scene and what of it the layer concerns."""
    kind = _kind(layer)
    seen.layer = kind or type(layer).__name__
    fields = []
    if kind in MIXES:
        fields = _mixed(seen, kind)
    elif kind in MOVES or (kind is None and _on_images(layer)):
        fields = _moved(seen, layer, kind)
    images = seen.values[seen.image]
    if not fields:
        seen.values[seen.image] = _applied(layer, images, seed)
        return
    out = _applied(layer, {"images": images, **{key: value for key, value, _ in fields}}, seed)
    seen.values[seen.image] = out["images"]
    for key, _, back in fields:
        back(out[key])


def _moved(seen: Scene, layer: Any, kind: str | None) -> list[companions.Field]:
    """What a layer that moves pixels, or one of the user's that may, gets beside the images."""
    for leaf, got in seen.unclear.items():
        fix = "Masks are as high and wide as the images; boxes are called 'boxes', with 'labels' beside them, in a dict."
        raise seen.refuse(leaf, f"what {seen.layer} can move with the images", got, f"{fix} {BY_HAND}")
    fields = []
    if seen.masks:
        if kind not in MOVES_MASKS if kind else not _defines(layer, "transform_segmentation_masks", "_transform_images"):
            raise seen.refuse(seen.masks[0], "a layer whose masks fit its images", f"{seen.layer}, whose do not", OTHERS)
        fields.append(companions.masks(seen))
    if seen.boxes:
        leaf = seen.boxes[0][0]
        if kind not in MOVES_BOXES if kind else not _defines(layer, "transform_bounding_boxes"):
            raise seen.refuse(leaf, "a layer whose boxes fit its images", f"{seen.layer}, whose do not", OTHERS)
        if not layer.bounding_box_format:
            fix = f"Say how boxes are written: {seen.layer}(…, bounding_box_format='xyxy')."
            raise seen.refuse(leaf, "a layer with a bounding_box_format", "none", fix)
        if kind in XYXY_ONLY and layer.bounding_box_format != "xyxy":
            fix = "Write them so in preprocess: keras.utils.bounding_boxes.convert_format does it."
            raise seen.refuse(leaf, f"boxes as 'xyxy', which {seen.layer} moves right", f"{layer.bounding_box_format!r}", fix)
        fields.append(companions.boxes(seen))
    labels = [leaf for leaf in seen.labels if seen.values[leaf].dtype != tf.string]
    if labels and kind is None and _defines(layer, "transform_labels"):
        fields.append(companions.labels(seen, labels, mixed=False))
    return fields


def _mixed(seen: Scene, kind: str | None) -> list[companions.Field]:
    """What a layer that mixes examples gets beside the images."""
    for leaf in [*seen.unclear, *(boxes for boxes, _ in seen.boxes), *([] if kind == "CutMix" else seen.masks)]:
        raise seen.refuse(leaf, f"what {kind} can mix", f"an array of shape {seen.values[leaf].shape}")
    if seen.weight is not None:
        raise seen.refuse(seen.weight, "none: no one weight fits a mixture of two examples", "weights")
    if kind == "CutMix":
        return [companions.pasted(seen)]
    return [companions.labels(seen, seen.labels, mixed=True)] if seen.labels else []


def _defines(layer: Any, *names: str) -> bool:
    """Whether a class that Keras' base for image layers does not know defines one of these methods itself."""
    bases = list(type(layer).__mro__)
    own = bases[: next(place for place, base in enumerate(bases) if base.__name__ == "BaseImagePreprocessingLayer")]
    return any(name in vars(base) for base in own for name in names)


# Calls


def _apply_stack(name: str, layer: Any, x: Any, seed: Any) -> Any:
    """Apply a layer, or a stack of them, to one array or nest."""
    import keras

    if keras.backend.backend() == "tensorflow":
        _build(layer, x)
        with draws.drawing(name, seed):
            return _applied(layer, x, seed)
    with draws.drawing(name, seed):
        for part in _stack(layer):
            x = _applied(part, x, seed)
    return x


def _applied(layer: Any, data: Any, seed: Any) -> Any:
    import keras

    arguments = {"training": seed is not None} if "training" in inspect.signature(layer.call).parameters else {}
    if keras.backend.backend() == "tensorflow":
        _build(layer, data)
        with keras.StatelessScope():  # What a layer counts or averages stays as it was.
            return layer(data, **arguments)
    if not hasattr(layer, "_get_seed_generator"):
        backend = keras.backend.backend()
        fix = "Use preprocessing layers (RandomFlip, Rescaling, …) or a function with tf operations, or put the layer into the model."
        raise refusal(
            "a Keras layer in the pipeline", f"one that runs in tf.data with the {backend} backend", type(layer).__name__, fix, TypeError
        )
    return layer(data, **arguments)


def _build(layer: Any, data: Any) -> None:
    """Create a layer's variables, outside of a stateless scope and in a graph that nobody runs."""
    if not layer.built:
        with draws.undrawn(), draws.python_random(None):
            tf.function(lambda value: layer(value)).get_concrete_function(tf.nest.map_structure(tf.type_spec_from_value, data))
