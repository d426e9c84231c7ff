"""What a user asks of masks, and a look at a few of them before anything is trained."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

from tfinput.errors import FileError, refusal
from tfinput.material.folders import shown, suffix
from tfinput.sources.images import headers, image_source, masks, palettes
from tfinput.sources.images.resize import ImageOptions, Mask

SAMPLES = 8
JPEGS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})


# Nothing is known of their palette, if they have one.
UNSEEN = Mask(palette=b"")


def asked(mask_palette: Any, label_mode: Any) -> Mask | None:
    """How masks become classes, as far as the user says it; None where they are no masks but pictures."""
    if label_mode == "image":
        if mask_palette is not None:
            raise refusal("mask_palette and label_mode='image'", "one of the two", "both", "Targets are masks or pictures: pass one.")
        return None
    if mask_palette is None:
        return UNSEEN
    return Mask() if isinstance(mask_palette, str) and mask_palette == "index" else Mask(classes=masks.palette(mask_palette))


def looked_at(paths: list[bytes], look: ImageOptions, on_bad: str, name: str) -> ImageOptions:
    """How masks are read, once a few were: what they are is known, and what they cannot be is refused.

    Palettes must agree with those of the few, or with one that is known, of training data. `on_bad="skip"` refuses only if none will do.
    """
    sample = {path: _read(path) for path in paths[:: -(-len(paths) // SAMPLES)]}
    mask = look.mask
    assert mask is not None
    if mask == UNSEEN:
        mask = dataclasses.replace(
            mask, palette=max(((palettes.palette(data) or b"") for data in sample.values() if data), key=len, default=b"")
        )
    if not mask.lossy and (lossy := _lossy(paths, sample)) is not None:
        mask = dataclasses.replace(mask, lossy=True)
        said = f"tfinput: {name} masks: {shown(lossy)} is stored with loss: pixels next to edges change, and so do their classes."
        warnings.warn(f"{said} Save masks as PNG.", UserWarning, stacklevel=4)
    look = dataclasses.replace(look, mask=mask)
    wrong = {path: found for path, data in sample.items() if data and (found := _no_mask(data, look)) is not None}
    if wrong and (on_bad == "raise" or len(wrong) == len(sample)):
        path, found = next(iter(wrong.items()))
        raise refusal(f"{name} masks: {shown(path)}", found.expected, found.got, found.fix, FileError)
    return look


def _read(path: bytes) -> bytes:
    """A file whose header is in order, else nothing: broken files are named where they occur."""
    try:
        with open(path, "rb") as file:
            return headers.passed(file.read())
    except OSError:
        return b""


def _lossy(paths: list[bytes], sample: dict[bytes, bytes]) -> bytes | None:
    """The first file, of the sample or called a JPEG, that is stored with loss."""
    called = next((path for path in paths if suffix(path) in JPEGS), None)
    if called is not None and palettes.lossy(_read(called)):
        return called
    return next((path for path, data in sample.items() if palettes.lossy(data)), None)


def _no_mask(data: bytes, look: ImageOptions) -> image_source.Fault | None:
    if data.startswith(b"\x89PNG") and data[25] == 0 and look.mask is not None and not look.mask.classes:
        return None  # Gray, as most are.
    found = image_source.problem(data, look)
    return found if found is not None and found.expected == image_source.MASK else None
