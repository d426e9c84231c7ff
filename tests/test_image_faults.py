"""Broken and hostile image files: refused by name and reason, or left out with exact counts; never decoded to something else."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from pictures import encoded, ids, noise, number, numbers, written
from PIL import Image

import tfinput
from tfinput import errors
from tfinput.sources.images import headers

SIZE: dict[str, Any] = {"image_size": (4, 5), "verbose": False}


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, bits: int = 1, colour: int = 0, body: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(body, 9)) + chunk(b"IEND", b"")


def patched(data: bytes, place: int, with_: bytes) -> bytes:
    return data[:place] + with_ + data[place + len(with_) :]


def jpeg(width: int, height: int) -> bytes:
    data = encoded(noise(8, 8), "JPEG")
    return patched(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))


def gif(width: int, height: int, frame: tuple[int, int] | None = None) -> bytes:
    data = patched(encoded(noise(8, 8, 1), "GIF"), 6, struct.pack("<HH", width, height))
    return data if frame is None else patched(data, data.index(b"\x2c\0\0\0\0") + 5, struct.pack("<HH", *frame))


def bmp(width: int, height: int) -> bytes:
    return patched(encoded(noise(8, 8), "BMP"), 18, struct.pack("<ii", width, height))


def webp(kind: str, width: int, height: int) -> bytes:
    if kind == "VP8X":
        head = bytes([0x10, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        return patched(encoded(noise(8, 8, 4), "WEBP"), 20, head)
    if kind == "VP8L":
        return patched(encoded(noise(8, 8), "WEBP", lossless=True), 21, struct.pack("<I", width - 1 | height - 1 << 14))
    return patched(encoded(noise(8, 8), "WEBP"), 26, struct.pack("<HH", width, height))


def moving(kind: str, frames: int = 3) -> bytes:
    first, *rest = (Image.fromarray(noise(8, 8, seed=seed)) for seed in range(frames))
    return encoded(first, kind, save_all=True, append_images=rest)


def palette_bmp(depth: int = 8) -> bytes:
    picture = Image.fromarray(noise(8, 8)).quantize(16)
    return encoded(picture if depth == 8 else picture.convert("1"), "BMP")


LIMIT = "pixels, more than the limit of 100,000,000"
BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "an empty file"),
    "one byte": (b"\xff", r"a file that begins with b'\\xff'"),
    "text": (b"this is no picture", "a file that begins with b'this is '"),
    "text of B": (b"Beware, this is no picture, but many a word", "a file that begins with b'Beware, '"),
    "text of GIF": (b"GIF88 is no kind of GIF, nor is this a picture", "a file that begins with b'GIF88 is'"),
    "zeros": (bytes(1000), r"a file that begins with b'\\x00"),
    "a page": (b"\n <!DOCTYPE html><title>404</title>", "HTML or XML"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
    "TIFF": (encoded(noise(4, 5), "TIFF"), "TIFF"),
    "AVIF": (b"\0\0\0\x20ftypavif" + bytes(30), "AVIF"),
    "HEIC": (b"\0\0\0\x20ftypheic" + bytes(30), "HEIC"),
    "video": (b"\0\0\0\x20ftypisom" + bytes(30), "a video"),
    "ZIP": (b"PK\3\4" + bytes(30), "a ZIP archive"),
    "JPEG's head": (b"\xff\xd8\xff\xe0", r"a damaged JPEG \(cut off or broken\)"),
    "PNG's head": (b"\x89PNG\r\n\x1a\n", r"a damaged PNG \(cut off or broken\)"),
    "GIF's head": (b"GIF89a", r"a damaged GIF \(cut off or broken\)"),
    "BMP's head": (b"BM" + bytes(20), r"a damaged BMP \(cut off or broken\)"),
    "WebP's head": (b"RIFF\0\0\0\0WEBPVP8 ", r"a damaged WebP \(cut off or broken\)"),
    "PNG of 16 bits": (encoded(np.zeros((4, 5), np.uint16), "PNG"), "a PNG of 16 bits a channel, whose depth 8 bits would lose"),
    "PNG of 16 bits in colour": (png(4, 5, 16, 2, bytes(5 * 25)), "a PNG of 16 bits a channel, whose depth 8 bits would lose"),
    "PNG of 16 bits with alpha": (png(4, 5, 16, 6, bytes(5 * 33)), "a PNG of 16 bits a channel, whose depth 8 bits would lose"),
    "cut moving GIF": (moving("GIF")[:-20], r"a damaged GIF \(cut off or broken\)"),
    "moving GIF": (moving("GIF"), "an animated GIF of 3 frames"),
    "moving WebP": (moving("WEBP"), "an animated WebP of 3 frames"),
    "GIF without frames": (b"GIF89a" + struct.pack("<HHBBB", 4, 5, 0, 0, 0) + b";", "a GIF without a frame"),
    "PNG without pixels": (png(0, 5), r"a PNG without pixels \(0 x 5\)"),
    "BMP of a palette": (palette_bmp(), "a BMP with a palette of colours, which TensorFlow takes for gray"),
    "BMP of 1 bit": (palette_bmp(1), "a BMP of 1 bits a pixel, stored in way 0"),
    "packed BMP": (patched(bmp(8, 8), 30, b"\1"), "a BMP of 24 bits a pixel, stored in way 1"),
    "old BMP": (patched(bmp(8, 8), 14, b"\x0c\0\0\0\5\0\4\0"), r"a BMP of an old version \(its header has 12 bytes\)"),
    "bomb": (png(12_000, 12_000, body=bytes(12_000 * 1501)), f"a PNG of 12000 x 12000 {LIMIT}"),
    "large PNG": (png(100_000, 100_000), f"a PNG of 100000 x 100000 {LIMIT}"),
    "largest PNG": (png(2**32 - 1, 2**32 - 1), f"a PNG of 4294967295 x 4294967295 {LIMIT}"),
    "large JPEG": (jpeg(65_000, 65_000), f"a JPEG of 65000 x 65000 {LIMIT}"),
    "large GIF": (gif(65_535, 65_535), f"a GIF of 65535 x 65535 {LIMIT}"),
    "large frame": (gif(8, 8, (65_535, 65_535)), f"a GIF of 65535 x 65535 {LIMIT}"),
    "large BMP": (bmp(100_000, 100_000), f"a BMP of 100000 x 100000 {LIMIT}"),
    "large BMP from the top": (bmp(100_000, -100_000), f"a BMP of 100000 x 100000 {LIMIT}"),
    "large VP8": (webp("VP8 ", 16_383, 16_383), f"a WebP of 16383 x 16383 {LIMIT}"),
    "large VP8L": (webp("VP8L", 16_384, 16_384), f"a WebP of 16384 x 16384 {LIMIT}"),
    "large VP8X": (webp("VP8X", 2**24, 2**24), f"a WebP of 16777216 x 16777216 {LIMIT}"),
}
SOUND = {"JPEG": encoded(noise(60, 40), "JPEG"), "PNG": encoded(noise(20, 40), "PNG"), "BMP": encoded(noise(6, 10), "BMP")} | {
    "progressive JPEG": encoded(noise(60, 40), "JPEG", progressive=True),
    "GIF": encoded(Image.fromarray(noise(20, 40)).quantize(16), "GIF"),
    "WebP": encoded(noise(20, 40), "WEBP"),
    "WebP without loss": encoded(noise(20, 40), "WEBP", lossless=True),
    "WebP with alpha": encoded(noise(20, 40, 4), "WEBP"),
}


def skipped(folder: Path, files: dict[str, bytes], **options: Any) -> dict[str, str]:
    """What a feed of these files and of a sound one leaves out."""
    written(folder, files | {"sound.png": number(7)})
    feed = tfinput.from_images([folder / name for name in [*files, "sound.png"]], on_bad="skip", **SIZE, **options)
    assert feed.train_size == len(list(feed.examples("train"))) == 1
    assert len(feed.skipped) == len(files)
    return {Path(path).name: reason for path, reason in feed.skipped.items()}


def test_every_kind_of_broken_file_is_left_out_with_its_reason(tmp_path: Path) -> None:
    found = skipped(tmp_path, {f"{name}.jpg": data for name, (data, _) in BROKEN.items()})
    assert list(found) == [f"{name}.jpg" for name in BROKEN]
    for name, (_, reason) in BROKEN.items():
        assert re.match(reason, found[f"{name}.jpg"]), (name, found[f"{name}.jpg"])


@pytest.mark.parametrize("name", ["large JPEG", "nothing"])
def test_a_broken_file_is_named_inside_fit_too(tmp_path: Path, name: str) -> None:
    data, reason = BROKEN[name]
    written(tmp_path, {"a/0.png": number(0), "b/1.png": number(1), "b/2.jpg": data})
    feed = tfinput.from_images(tmp_path, batch_size=1, **SIZE)
    said = rf"tfinput: \S+/b/2\.jpg: expected an image \(JPEG, PNG, GIF, BMP, WebP\), got {reason}.* or pass on_bad='skip'\."
    with pytest.raises(tf.errors.OpError, match=said):
        list(feed.repeated.take(3))
    model = keras.Sequential([keras.Input((4, 5, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(tf.errors.OpError, match=said):
        model.fit(**feed.fit_args(model), verbose=0)


def test_the_first_line_of_an_error_tells_all(tmp_path: Path) -> None:
    path = written(tmp_path, {"a.jpg": b"<html>"}) / "a.jpg"
    feed = tfinput.from_images([path], **SIZE)
    with pytest.raises(tf.errors.OpError) as caught:
        next(iter(feed.train))
    lines = [line for line in str(caught.value).splitlines() if "tfinput: " in line]
    fix = "Replace or remove it, or pass on_bad='skip'."
    assert f"tfinput: {path}: expected an image (JPEG, PNG, GIF, BMP, WebP), got HTML or XML. {fix}" in lines[0]


# Cut files


@pytest.mark.parametrize("how", [{}, {"random_crop": {"scale": (0.01, 0.02)}}, {"decode": "fast"}], ids=str)
def test_no_cut_file_passes(tmp_path: Path, how: dict[str, Any]) -> None:
    files = {}
    for kind, data in SOUND.items():
        percents = range(1, 100) if "JPEG" in kind and not how else range(8, 100, 7)
        files |= {f"{kind}, {percent}": data[: len(data) * percent // 100] for percent in percents}
    found = skipped(tmp_path, files, **how)
    assert list(found) == list(files)
    for name, reason in found.items():
        named = "WebP" if "WebP" in name else name.split(",")[0].split()[-1]
        assert reason.startswith((f"a damaged {named} (", "a file that begins with")), (name, reason)


def test_a_small_window_does_not_hide_what_is_cut_off_below(tmp_path: Path) -> None:
    data = encoded(noise(200, 40), "JPEG")
    feed = tfinput.from_images([written(tmp_path, {"a": data[:-2]}) / "a"], random_crop={"scale": (0.005, 0.01)}, **SIZE)
    for epoch in range(2):
        with pytest.raises(tf.errors.OpError, match=r"tfinput: \S+/a: expected an image .* got a damaged JPEG"):
            next(iter(feed.at(epoch=epoch).train))


def test_no_cut_mask_passes(tmp_path: Path) -> None:
    mask = Image.fromarray(noise(9, 9, 1)[..., 0] % 16).convert("P")
    mask.putpalette(noise(16, 3, 1).tobytes())
    for depth in (4, 8):
        data = encoded(mask, "PNG", bits=depth)
        files = {f"{count:03}": data[:count] for count in range(0, len(data), depth // 4)}
        damaged = {f"bit {place}": patched(data, place, bytes([data[place] ^ 1])) for place in range(8, 33)}
        image = written(tmp_path, {"image.png": encoded(noise(9, 9), "PNG"), "mask.png": data} | files | damaged) / "image.png"
        masks = [tmp_path / name for name in [*files, *damaged, "mask.png"]]
        feed = tfinput.from_images(([image] * len(masks), masks), on_bad="skip", **SIZE)
        assert feed.train_size == 1
        expected = tf.image.resize(np.asarray(mask)[None, ..., None], (4, 5), "nearest")
        assert np.array_equal(next(iter(feed.examples("train")))[1], expected)


def test_headers_cut_anywhere_raise_nothing() -> None:
    for data in [*SOUND.values(), *(data for data, _ in BROKEN.values() if len(data) < 10_000)]:
        for count in range(min(len(data), 400)):
            found = headers.header(data[:count])
            assert found is None or found.problem is None or isinstance(found.problem, str)
            assert headers.passed(data[:count]) in (b"", data[:count])
            assert 1 <= headers.orientation(data[:count]) <= 8
            assert isinstance(headers.without_palette(data[:count]), bytes)


def test_headers_with_any_byte_changed_raise_nothing() -> None:
    draw = np.random.default_rng(0)
    for data, _ in itertools.product(SOUND.values(), range(150)):
        wrong = bytearray(data[:300])
        for place in draw.integers(0, min(len(wrong), 60), 3):
            wrong[place] = draw.integers(0, 256)
        headers.header(bytes(wrong))
        headers.orientation(bytes(wrong))
        headers.without_palette(bytes(wrong))


# Depths and colours


def test_depths_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    deep = encoded(np.zeros((4, 5), np.uint16), "PNG")
    files = {"8.png": encoded(noise(4, 5), "PNG"), "1.png": png(4, 5, body=bytes(10)), "a.jpg": SOUND["JPEG"], "a.gif": SOUND["GIF"]}
    paths = [written(tmp_path, files | {"16.png": deep}) / name for name in [*files, "16.png"]]
    feed = tfinput.from_images(paths, on_bad="skip", dtype="uint16", **SIZE)
    reasons = ["a PNG of 8 bits", "a PNG of 1 bits", "a JPEG, which has 8 bits", "a GIF, which has 8 bits"]
    assert list(feed.skipped.values()) == [f"{reason} a channel, for dtype='uint16'" for reason in reasons]
    hint = r"a PNG of 16 bits a channel, whose depth 8 bits would lose \(dtype='uint16' keeps it\)\."
    with pytest.raises(tf.errors.OpError, match=hint):
        next(iter(tfinput.from_images([tmp_path / "16.png"], **SIZE).train))


def test_colours_and_shapes_that_cannot_be_made_are_refused(tmp_path: Path) -> None:
    cmyk = encoded(Image.fromarray(noise(4, 5)).convert("CMYK"), "JPEG")
    assert skipped(tmp_path, {"a.jpg": cmyk}, color_mode="grayscale") == {"a.jpg": "a CMYK JPEG, which TensorFlow does not turn gray"}
    thin = encoded(noise(1, 20), "PNG")
    narrow = {"a.png": "a PNG of 20 x 1 pixels, too narrow to be padded to 5 x 4"}
    assert skipped(tmp_path, {"a.png": thin}, pad_to_aspect_ratio=True) == narrow


# Skipping


def folder_with_broken(folder: Path) -> Path:
    files = {f"{'ab'[place % 2]}/{place:02}.png": b"" if place in (3, 4, 9) else number(place) for place in range(12)}
    return written(folder, files)


def test_skipping_keeps_counts_steps_and_classes_exact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_with_broken(tmp_path)
    sound = [place for place in range(12) if place not in (3, 4, 9)]
    feed = tfinput.from_images(folder, on_bad="skip", batch_size=2, validation_split=3, stratify=True, image_size=(4, 5))
    told = f"Skipped 3 of 12 images; the first: {folder}/a/04.png: an empty file"
    assert capsys.readouterr().out.splitlines() == ["Found 12 images belonging to 2 classes.", told]
    assert feed.skipped == {f"{folder}/{name}.png": "an empty file" for name in ("a/04", "b/03", "b/09")}
    assert (feed.train_size, feed.validation_size, feed.steps_per_epoch) == (6, 3, 3)
    train = feed.repeated.take(6)
    for epoch in (train.take(3), train.skip(3)):
        seen = [(numbers(images), labels.numpy().tolist()) for images, labels in [*epoch, *feed.validation]]
        places, labels = (list(itertools.chain.from_iterable(part)) for part in zip(*seen, strict=True))
        assert sorted(places) == sound
        assert labels == [place % 2 for place in places]
    assert "skipped broken files: 3" in repr(feed)


def test_skipping_works_with_a_cache_and_in_validation_data(tmp_path: Path) -> None:
    folder = folder_with_broken(tmp_path / "train")
    other = written(tmp_path / "other", {"a/100.png": number(100), "a/101.png": b"no", "b/102.png": number(102)})
    feed = tfinput.from_images(folder, on_bad="skip", cache="memory", validation_data=other, **SIZE)
    assert ids(feed.validation) == [[100, 102]]
    assert sorted(Path(path).name for path in feed.skipped) == ["03.png", "04.png", "09.png", "101.png"]
    assert ids(feed.examples("train")) == [[0, 2, 6, 8, 10, 1, 5, 7, 11]]


def test_a_pair_is_left_out_where_its_mask_is_broken_or_of_another_size(tmp_path: Path) -> None:
    image, mask = encoded(noise(9, 9), "PNG"), encoded(noise(9, 9, 1), "PNG")
    files = {"0 mask.png": mask, "1 mask.png": mask[:50], "2 mask.png": encoded(noise(9, 8, 1), "PNG"), "3 mask.png": mask}
    written(tmp_path, {f"{place}.png": image if place < 3 else image[:50] for place in range(4)} | files)
    masks = [tmp_path / name for name in files]
    feed = tfinput.from_images(([tmp_path / f"{place}.png" for place in range(4)], masks), on_bad="skip", **SIZE)
    assert feed.train_size == 1
    reasons = {Path(path).name: reason for path, reason in feed.skipped.items()}
    assert list(reasons) == ["1.png", "2.png", "3.png"]
    assert reasons["1.png"].startswith(f"its mask {tmp_path / '1 mask.png'}: a damaged PNG (50 bytes")
    assert reasons["3.png"].startswith("a damaged PNG (50 bytes")
    assert reasons["2.png"] == "9 x 9 and 8 x 9"


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    written(tmp_path, {"a/1.png": b"", "a/2.png": b"no"})
    said = r"^tfinput: images: expected at least one of the images to be sound, got none; the first: an empty file\. Check the files\."
    with pytest.raises(ValueError, match=said):
        tfinput.from_images(tmp_path, on_bad="skip", **SIZE)


# Files that change


@pytest.mark.parametrize("on_bad", ["raise", "skip"])
def test_a_file_that_vanishes_is_named(tmp_path: Path, on_bad: str) -> None:
    paths = [written(tmp_path, {f"{place}.png": number(place)}) / f"{place}.png" for place in range(3)]
    feed = tfinput.from_images(paths, batch_size=1, on_bad=on_bad, **SIZE)
    paths[1].unlink()
    with pytest.raises(tf.errors.OpError, match=r"tfinput: \S+1\.png: expected an image \(.*\), got no file\. Restore the file\."):
        list(feed.repeated.take(3))
    os.mkdir(paths[1])
    with pytest.raises(tf.errors.OpError, match=r"tfinput: \S+1\.png: expected an image \(.*\), got Is a directory\."):
        list(feed.repeated.take(3))


@contextlib.contextmanager
def somebody_else(folder: Path) -> Iterator[None]:
    """Be a user without root's rights, since root may read what nobody may; the way to the folder is open meanwhile."""
    if os.geteuid():
        yield
        return
    closed = {place: place.stat().st_mode for place in (folder, *folder.parents) if not place.stat().st_mode & 0o001}
    try:
        for place, mode in closed.items():
            place.chmod(mode | 0o055)
        os.seteuid(65_534)
        yield
    finally:
        os.seteuid(0)
        for place, mode in closed.items():
            place.chmod(mode)


def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    folder = written(tmp_path / "pictures", {"a/1.png": number(1), "a/2.png": number(2), "b/3.png": number(3)})
    assert len(list(tfinput.from_images(folder, batch_size=1, **SIZE).repeated.take(3))) == 3  # All modules are imported.
    (folder / "a/2.png").chmod(0)
    with somebody_else(folder):
        feed = tfinput.from_images(folder, batch_size=1, **SIZE)
        with pytest.raises(tf.errors.OpError, match=r"tfinput: \S+a/2\.png: expected an image \(.*\), got Permission denied\."):
            list(feed.repeated.take(3))
        sound = tfinput.from_images(folder, batch_size=1, on_bad="skip", **SIZE)
        assert {Path(path).name: reason for path, reason in sound.skipped.items()} == {"2.png": "Permission denied"}
        assert ids(sound.examples("train")) == [[1], [3]]
    (folder / "b").chmod(0)
    said = r"^tfinput: \S+/b: expected a folder that can be listed, got Permission denied\."
    with somebody_else(folder), pytest.raises(OSError, match=said):
        tfinput.from_images(folder, **SIZE)
    (folder / "b").chmod(0o755)
    folder.chmod(0)
    with somebody_else(tmp_path), pytest.raises(OSError, match=r"^tfinput: images \S+/b: expected a folder, got Permission denied\."):
        tfinput.from_images(folder / "b", **SIZE)
    folder.chmod(0o755)


def test_a_file_that_vanishes_before_it_is_cached_is_named(tmp_path: Path) -> None:
    written(tmp_path, {"a/1.png": number(1), "b/2.png": number(2)})

    def gone(stratify: Callable[[], Any]) -> Any:
        (tmp_path / "b/2.png").unlink()
        return stratify()

    class Late:
        """Labels that take a file away while they are read."""

        def __len__(self) -> int:
            return 2

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return gone(lambda: np.array([0, 1]))

    with pytest.raises(errors.FileError, match=r"^tfinput: \S+2\.png: expected a file that can be read, got No such file or directory\."):
        tfinput.from_images(tmp_path, labels=Late(), cache=tmp_path / "cache", **SIZE)


# Memory

SCRIPT = """
import resource, sys
import tensorflow as tf
import tfinput
from pathlib import Path

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

folder = Path(sys.argv[1])
small = tfinput.from_images([folder / "sound.png"], image_size=(4, 5), on_bad="skip", verbose=False)
next(iter(small.train))
before = peak()
bombs = sorted(folder.glob("bomb*"))
feed = tfinput.from_images([folder / "sound.png", *bombs], image_size=(4, 5), on_bad="skip", verbose=False)
print(len(bombs), len(feed.skipped), peak() - before)
"""


def test_bombs_cost_no_memory(tmp_path: Path) -> None:
    bombs = {f"bomb {name}": data for name, (data, _) in BROKEN.items() if "bomb" in name or "large" in name}
    written(tmp_path, bombs | {"sound.png": number(0)})
    how = {"env": os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}, "cwd": Path(tfinput.__file__).parents[1], "timeout": 120}
    run = subprocess.run([sys.executable, "-c", SCRIPT, tmp_path], capture_output=True, text=True, check=True, **how)  # type: ignore[call-overload]
    count, left_out, megabytes = run.stdout.split()
    assert int(count) == int(left_out) == len(bombs) >= 10
    # The smallest of them would be 140 MB as gray, and 430 MB as RGB.
    assert float(megabytes) < 60
