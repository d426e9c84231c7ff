"""Where channels lie: as is asked for, or as Keras has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfinput

RANDOM = np.random.default_rng(0)


@pytest.fixture
def paired(tmp_path: Path) -> tuple[list[str], list[str]]:
    """Images and masks of 6 x 8 pixels."""
    images, masks = [], []
    for number in range(4):
        mask = RANDOM.integers(0, 2, (6, 8, 1), dtype=np.uint8)
        picture = RANDOM.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        for paths, name, pixels in ((images, "i", picture), (masks, "m", mask)):
            path = tmp_path / f"{name}{number}.png"
            path.write_bytes(tf.io.encode_png(pixels).numpy())
            paths.append(str(path))
    return images, masks


@pytest.fixture
def channels_first() -> Iterator[None]:
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


def batch(subject: Any, **options: Any) -> Any:
    feed = tfinput.from_images(subject, image_size=(6, 8), batch_size=4, shuffle=False, verbose=False, **options)
    return feed, next(iter(feed.train))


@pytest.mark.parametrize("options", [{}, {"random_crop": True}, {"color_mode": "grayscale"}, {"dtype": "uint8"}])
def test_channels_come_first_where_that_is_asked_for(paired: Any, options: dict[str, Any]) -> None:
    _, last = batch((paired[0], [0, 1, 2, 3]), data_format="channels_last", **options)
    feed, first = batch((paired[0], [0, 1, 2, 3]), data_format="channels_first", **options)
    assert np.array_equal(np.moveaxis(last[0].numpy(), -1, 1), first[0])
    assert feed.element_spec[0].shape[1:] == first[0].shape[1:]


@pytest.mark.usefixtures("channels_first")
def test_keras_setting_is_followed_for_images_and_masks(paired: Any) -> None:
    _, (images, masks) = batch(paired)
    assert images.shape == (4, 3, 6, 8)
    assert masks.shape == (4, 1, 6, 8)
    _, last = batch(paired, data_format="channels_last")
    assert np.array_equal(np.moveaxis(last[0].numpy(), -1, 1), images)
    assert np.array_equal(np.moveaxis(last[1].numpy(), -1, 1), masks)


@pytest.mark.usefixtures("channels_first")
def test_layers_of_the_same_setting_fit(paired: Any) -> None:
    _, (images, masks) = batch((paired[1], paired[1]), color_mode="grayscale", batch_augment=keras.layers.RandomFlip())
    assert np.array_equal(images, masks)
    with pytest.raises(ValueError, match=r"channels_first, as the layer has it, got the shape .*data_format='channels_last'"):
        batch((paired[0], [0] * 4), data_format="channels_last", batch_augment=keras.layers.RandomFlip())


def test_the_setting_in_keras_own_file_is_followed(paired: Any, tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(json.dumps({"image_data_format": "channels_first", "backend": "tensorflow"}))
    script = f"import tfinput; print(tfinput.from_images({paired[0]!r}, image_size=(6, 8), labels=None, verbose=False).element_spec.shape)"
    environment = {**os.environ, "KERAS_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, env=environment)
    assert done.stdout.splitlines()[-1].endswith("3, 6, 8)"), done.stderr


def test_other_formats_are_refused(paired: Any) -> None:
    with pytest.raises(ValueError, match=r"^tfinput: data_format: expected one of 'channels_last', 'channels_first', got 'channel_last'"):
        batch((paired[0], [0] * 4), data_format="channel_last")
