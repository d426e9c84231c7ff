"""The quick way that most files of a folder are decoded: it changes no pixel, no error and no count, whatever lies between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from pictures import encoded, noise, written
from test_straight import decisions

import tfinput
from tfinput.sources.images import fast_path, image_source
from tfinput.sources.images.resize import FEW

COUNT = 24
# Of every third file in order (first the even ones) the header is read when the feed is built: not of these.
UNSEEN = (2, 3, 22)
ODD = {
    "PNG": encoded(noise(9, 8), "PNG"),
    "JPEG": encoded(noise(9, 8), "JPEG"),
    "GIF": encoded(noise(9, 8), "GIF"),
    "WebP": encoded(noise(9, 8), "WebP", lossless=True),
}


def cmyk() -> bytes:
    from PIL import Image

    return encoded(Image.fromarray(noise(9, 8)).convert("CMYK"), "JPEG")


def folder(path: Path, kind: str, odd: dict[int, bytes] | None = None, size: tuple[int, int] = (9, 8), channels: int = 3) -> Path:
    files = {place: encoded(noise(*size, channels, seed=place), kind) for place in range(COUNT)} | (odd or {})
    return written(path, {f"{'ab'[place % 2]}/{place:02}.jpg": data for place, data in files.items()})


def epoch(path: Path, quick: bool, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[Any]:
    with monkeypatch.context() as patch:
        if not quick:
            patch.setattr(fast_path, "decoder", lambda *_: None)
        feed = tfinput.from_images(path, **{"image_size": (7, 6), "batch_size": 8, "verbose": False, **options})
        batches = [*feed.repeated.take(feed.steps_per_epoch), *feed.examples("train")]
    return [[part.numpy() for part in batch] for batch in batches]


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


LOOKS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "gray": {"color_mode": "grayscale"},
    "nearest": {"interpolation": "nearest", "dtype": "uint8"},
    "bicubic": {"interpolation": "bicubic", "dtype": "uint8"},
    "crop": {"crop_to_aspect_ratio": True, "image_size": (5, 7)},
    "pad": {"pad_to_aspect_ratio": True, "image_size": (5, 7)},
    "fast": {"decode": "fast", "image_size": (3, 4)},
    "flip": {"preprocess": lambda image, label: (tf.image.flip_left_right(image), label)},
    "branch": {"preprocess": lambda image, label: tf.cond(label == 1, lambda: (-image, label), lambda: (image, label))},
    "random": {"augment": lambda image, label, seed: (image + tf.random.stateless_uniform((), seed), label)},
}


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_pixels_are_the_same(kind: str, name: str, odd: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = LOOKS[name]
    others = dict(zip(UNSEEN, [ODD["PNG" if kind == "JPEG" else "JPEG"], ODD["GIF"], ODD["WebP"]], strict=True))
    folder(tmp_path, kind, others if odd else {})
    asked = decisions(monkeypatch)
    quickly = epoch(tmp_path, True, monkeypatch, **look)
    assert any(asked)
    assert same(quickly, epoch(tmp_path, False, monkeypatch, **look))


@pytest.mark.floor
def test_a_block_of_the_usual_kind_never_takes_the_way_of_all_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    pixels = image_source.pixels

    def counted(contents: Any, *rest: Any) -> Any:
        passed = tf.numpy_function(lambda data: (taken.append(1), data)[1], [contents], tf.string)
        return pixels(tf.ensure_shape(passed, ()), *rest)

    monkeypatch.setattr(image_source, "pixels", counted)
    folder(tmp_path, "JPEG", {22: ODD["PNG"]})
    feed = tfinput.from_images(tmp_path, image_size=(7, 6), batch_size=8, verbose=False)
    assert sum(len(batch[0]) for batch in feed.examples("train")) == COUNT
    assert len(taken) == 16  # The first two batches are one block.


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("more", [0, 1])
def test_sizes_at_the_border_of_few_values(kind: str, more: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = (FEW // 3 // 200 + more, 200)
    folder(tmp_path, kind, {2: encoded(noise(400, 300), kind), 3: encoded(noise(3, 2), kind)}, size)
    assert same(*(epoch(tmp_path, quick, monkeypatch, image_size=(30, 40)) for quick in (True, False)))


def test_scales_of_fast_decoding_that_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of another size, and one just too small to be decoded at a quarter, as all that are looked at are."""
    folder(tmp_path, "JPEG", {2: encoded(noise(120, 110), "JPEG"), 3: encoded(noise(40, 12), "JPEG"), 22: ODD["PNG"]}, (40, 52))
    asked = {"decode": "fast", "image_size": (10, 13)}
    quickly = epoch(tmp_path, True, monkeypatch, **asked)
    assert same(quickly, epoch(tmp_path, False, monkeypatch, **asked))
    assert not same(quickly, epoch(tmp_path, True, monkeypatch, **(asked | {"decode": "exact"})))
    folder(tmp_path, "JPEG", {0: encoded(noise(120, 110), "JPEG")}, (40, 52))
    paths = sorted(str(path).encode() for path in tmp_path.rglob("*.jpg"))
    assert fast_path.decoder(paths, fast_path.ImageOptions((10, 13))) is not None
    assert fast_path.decoder(paths, fast_path.ImageOptions((10, 13), fast=True)) is None


def test_colours_of_print_are_decoded_and_refused_as_gray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, "JPEG", {3: cmyk()})
    assert same(*(epoch(tmp_path, quick, monkeypatch) for quick in (True, False)))
    with pytest.raises(Exception, match=r"03\.jpg: expected an image .*, got a CMYK JPEG"):
        epoch(tmp_path, True, monkeypatch, color_mode="grayscale")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_errors_are_the_same(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encoded(noise(90, 80), kind)
    large = encoded(np.zeros((10_001, 10_000, 1), np.uint8), kind)  # Sound, and nothing but its size keeps it from being decoded.
    for wrong, said in {
        whole[: len(whole) // 2]: f"a damaged {kind}",
        large: "10000 x 10001 pixels, more than",
        b"": "an empty file",
    }.items():
        folder(tmp_path, kind, {22: wrong})
        messages = set()
        for quick in (True, False):
            with pytest.raises(Exception, match=r"22\.jpg: expected an image") as caught:
                epoch(tmp_path, quick, monkeypatch)
            assert said in str(caught.value)
            messages.add(next(line[line.index("tfinput:") :] for line in str(caught.value).splitlines() if "22.jpg: expected" in line))
        assert len(messages) == 1
        feed = tfinput.from_images(tmp_path, image_size=(7, 6), verbose=False, on_bad="skip")
        assert len(feed.indices["train"]) == COUNT - 1


def test_files_of_another_kind_are_not_reported_on_the_console(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path, "JPEG", {2: ODD["PNG"], 22: ODD["GIF"]})
    capfd.readouterr()
    epoch(tmp_path, True, monkeypatch)
    assert "Not a JPEG" not in capfd.readouterr().err


def test_folders_without_a_usual_kind_have_no_quick_way(tmp_path: Path) -> None:
    def found(name: str, odd: dict[int, bytes]) -> bool:
        paths = sorted(str(path).encode() for path in folder(tmp_path / name, "PNG", odd).rglob("*.jpg"))
        return fast_path.decoder(paths, fast_path.ImageOptions((7, 6))) is not None

    # The first file is always looked at.
    assert found("pure", {})
    for name, data in (ODD | {"broken": b"\x89PNG\r\n\x1a\n", "empty": b""}).items():
        if name != "PNG":
            assert not found(name, {0: data})
    paths = sorted(str(path).encode() for path in (tmp_path / "pure").rglob("*.jpg"))
    for end, quick in {"JPEG": True, "jfif": True, "png": False}.items():
        last = Path(paths[-1].decode()).with_suffix(f".{end}")
        Path(paths[-1].decode()).rename(last)
        assert (fast_path.decoder([*paths[:-1], str(last).encode()], fast_path.ImageOptions((7, 6))) is not None) == quick
        last.rename(paths[-1].decode())
    gone = [str(tmp_path / "gone.png").encode()]
    assert fast_path.decoder(gone, fast_path.ImageOptions((7, 6))) is None
