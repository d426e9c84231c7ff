"""Image files for tests, written by Pillow, and what a feed makes of them."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import tfinput


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def places(height: int, width: int) -> Any:
    """A picture whose pixels tell where they are: row, column, and nothing."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, 0 * rows], -1).astype(np.uint8)


def encoded(image: Any, kind: str, **how: Any) -> bytes:
    """A picture (an array, or one of Pillow's) as a file's bytes."""
    made = io.BytesIO()
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    image.save(made, kind, **how)
    return made.getvalue()


def by_pillow(data: bytes, mode: str) -> Any:
    image = np.asarray(Image.open(io.BytesIO(data)).convert(mode))
    return image if image.ndim == 3 else image[..., None]


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def listed(folder: Path, files: dict[str, bytes]) -> list[Path]:
    written(folder, files)
    return [folder / name for name in files]


def number(value: int) -> bytes:
    """A picture that is its own number."""
    return encoded(np.full((4, 5, 3), (value // 256, value % 256, 77), np.uint8), "PNG")


def numbered(folder: Path, count: int, classes: int = 3) -> Path:
    """A folder of pictures that are their own places in it."""
    names = sorted(f"class{place % classes}/{place:04}.png" for place in range(count))
    return written(folder, {name: number(place) for place, name in enumerate(names)})


def numbers(images: Any) -> list[int]:
    """The numbers of a batch of such pictures."""
    images = np.asarray(images).astype(int)
    assert (images == images[:, :1, :1]).all()
    assert (images[..., 2] == 77).all()
    return (images[:, 0, 0, 0] * 256 + images[:, 0, 0, 1]).tolist()


def ids(dataset: Any, count: int | None = None) -> list[list[int]]:
    """The numbers of the pictures in each batch."""
    batches = dataset if count is None else itertools.islice(dataset, count)
    return [numbers(batch[0] if isinstance(batch, tuple) else batch) for batch in batches]


def seen(subject: Any, **options: Any) -> Any:
    """The pictures of a subject, in its order."""
    feed = tfinput.from_images(subject, verbose=False, **options)
    parts = [batch[0] if isinstance(batch, tuple) else batch for batch in feed.examples("train")]
    return np.concatenate([np.asarray(part) for part in parts])
