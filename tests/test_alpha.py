"""What is clear in a picture: colour keys of PNGs, transparent and uncovered pixels of GIFs, BMPs with alpha and with unused bytes.

Pillow is the reference, and where it reads something else than the PNG specification says, the specification.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from pictures import by_pillow, encoded, listed, noise, seen, written
from PIL import Image

import tfinput

MODES = [("rgba", "RGBA"), ("rgb", "RGB"), ("grayscale", "L")]
HOW: dict[str, Any] = {"image_size": (9, 13), "interpolation": "nearest", "dtype": "uint8"}


def few(*shape: int, values: int = 4) -> Any:
    return np.random.default_rng(0).integers(0, values, shape, np.uint8)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def keyed_png(depth: int, colour: int, rows: bytes, width: int, key: bytes, spoil: bool = False) -> bytes:
    """A PNG with a tRNS chunk, written by hand where Pillow writes none."""
    height = len(rows) * 8 // (depth * width * (3 if colour == 2 else 1))
    stride = len(rows) // height
    body = b"".join(b"\0" + rows[row * stride : (row + 1) * stride] for row in range(height))
    clear = chunk(b"tRNS", key)
    clear = clear[:-1] + bytes([clear[-1] ^ spoil])
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + clear + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def assert_as_pillow(folder: Path, files: dict[str, bytes]) -> None:
    paths = listed(folder, files)
    for mode, like in MODES:
        ours = seen(paths, color_mode=mode, **HOW)
        for name, image in zip(files, ours, strict=True):
            assert abs(image.astype(int) - by_pillow(files[name], like)).max() <= (mode == "grayscale"), (name, mode)


# PNG


def test_colour_keys_of_pngs_are_clear_as_in_pillow(tmp_path: Path) -> None:
    gray, colour = few(9, 13), few(9, 13, 3, values=2) * 255
    palette = Image.fromarray(noise(9, 13)).quantize(8)
    files = {
        "gray.png": encoded(gray, "PNG", transparency=2),
        "gray without it.png": encoded(gray, "PNG", transparency=200),
        "bits.png": encoded(Image.fromarray(few(9, 13, values=2) * 255).convert("1"), "PNG", transparency=255),
        "colour.png": encoded(colour, "PNG", transparency=(255, 0, 255)),
        "black.png": encoded(colour, "PNG", transparency=(0, 0, 0)),
        "palette.png": encoded(palette, "PNG", transparency=3),
        "many.png": encoded(palette, "PNG", transparency=bytes(range(0, 256, 32))),
        "rgba.png": encoded(noise(9, 13, 4), "PNG"),
    }
    assert (by_pillow(files["colour.png"], "RGBA")[..., 3] == 0).any()
    paths = listed(tmp_path, files)
    ours = seen(paths, color_mode="rgba", **HOW)
    for name, image in zip(files, ours, strict=True):
        assert np.array_equal(image, by_pillow(files[name], "RGBA")), name
    dropped = seen(paths, color_mode="rgb", **HOW)
    assert np.array_equal(dropped, ours[..., :3])


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_keys_of_gray_with_few_bits_are_in_those_bits(tmp_path: Path, depth: int) -> None:
    levels = few(4, 8, values=1 << depth)
    bits = np.unpackbits(levels[..., None], axis=2)[..., 8 - depth :].reshape(4, -1)
    data = keyed_png(depth, 0, np.packbits(bits, axis=1).tobytes(), 8, struct.pack(">H", 1))
    (image,) = seen(listed(tmp_path, {"a.png": data}), color_mode="rgba", **HOW | {"image_size": (4, 8)})
    assert np.array_equal(image[..., :3], by_pillow(data, "RGB"))
    assert np.array_equal(image[..., 3], np.where(levels == 1, 0, 255))


@pytest.mark.parametrize("colour", [0, 2])
def test_keys_of_16_bits_are_compared_in_16_bits(tmp_path: Path, colour: int) -> None:
    channels = 3 if colour == 2 else 1
    values = few(4, 5, channels, values=2).astype(np.uint16) + 700  # They differ in the low byte alone.
    data = keyed_png(16, colour, values.astype(">u2").tobytes(), 5, struct.pack(">H", 701) * channels)
    (image,) = seen(listed(tmp_path, {"a.png": data}), color_mode="rgba", **HOW | {"image_size": (4, 5), "dtype": "uint16"})
    clear = (values == 701).all(-1)
    assert 0 < clear.sum() < clear.size
    assert np.array_equal(image[..., :3], np.broadcast_to(values, (4, 5, 3)))
    assert np.array_equal(image[..., 3], np.where(clear, 0, 65535))


def test_a_damaged_key_is_refused(tmp_path: Path) -> None:
    data = keyed_png(8, 0, bytes(20), 5, b"\0\0", spoil=True)
    feed = tfinput.from_images(listed(tmp_path, {"a.png": data}), color_mode="rgba", verbose=False)
    with pytest.raises(tf.errors.OpError, match=r"tfinput: \S+a\.png: expected an image .* got a damaged PNG"):
        next(iter(feed.train))


# GIF


def gif(canvas: tuple[int, int], frame: tuple[int, int], place: tuple[int, int], **how: Any) -> bytes:
    picture = Image.fromarray(few(*frame, values=16)).convert("P")
    picture.putpalette(noise(16, 3, 1).tobytes())
    data = bytearray(encoded(picture, "GIF", optimize=False, **how))
    start = data.index(b"\x2c\0\0\0\0" + struct.pack("<HH", *frame[::-1]))
    data[6:10], data[start + 1 : start + 5] = struct.pack("<HH", *canvas[::-1]), struct.pack("<HH", *place[::-1])
    return bytes(data)


LAID = {
    "in the middle": ((9, 13), (5, 6), (2, 3)),
    "in a corner": ((9, 13), (5, 6), (0, 0)),
    "at the right": ((9, 13), (9, 6), (0, 7)),
    "beyond the canvas": ((5, 5), (8, 10), (1, 3)),
}


@pytest.mark.parametrize("how", [{}, {"transparency": 0}, {"transparency": 3}, {"interlace": 1}], ids=str)
def test_a_frame_that_does_not_cover_its_gif_lies_where_pillow_lays_it(tmp_path: Path, how: dict[str, Any]) -> None:
    files = {f"{name}.gif": gif(*laid, **{"interlace": 0} | how) for name, laid in LAID.items()}
    assert all(by_pillow(data, "RGB").shape == (9, 13, 3) for data in files.values())
    assert_as_pillow(tmp_path, files)


@pytest.mark.parametrize("canvas", [(9, 13), (2, 2)])
def test_clear_pixels_of_gifs_are_clear_where_alpha_is_asked_for_and_else_those_of_keras(tmp_path: Path, canvas: tuple[int, int]) -> None:
    files = {
        f"{clear} {woven}.gif": gif(canvas, (9, 13), (0, 0), transparency=clear, interlace=woven) for clear in (0, 3) for woven in (0, 1)
    }
    paths = listed(tmp_path, files)
    alpha, colour = (seen(paths, color_mode=mode, **HOW) for mode in ("rgba", "rgb"))
    for data, image, dropped in zip(files.values(), alpha, colour, strict=True):
        assert np.array_equal(image, by_pillow(data, "RGBA"))
        assert (image[..., 3] == 0).any()
        assert np.array_equal(dropped, tf.io.decode_image(data, 3, expand_animations=False))


def test_gifs_with_gray_with_their_own_and_without_any_colours_are_those_of_pillow(tmp_path: Path) -> None:
    data = gif((9, 13), (9, 13), (0, 0))
    table = data[13 : 13 + 48]
    at = data.index(b"\x2c\0\0\0\0\x0d\0\x09\0")
    own = data[:10] + b"\x70" + data[11:13] + data[61:at] + data[at : at + 9] + bytes([data[at + 9] | 0x83]) + table + data[at + 10 :]
    files = {
        "own.gif": own,
        "none.gif": data[:10] + b"\x70" + data[11:13] + data[61:],
        "gray.gif": encoded(noise(9, 13, 1), "GIF"),
        "clear gray.gif": encoded(few(9, 13), "GIF", transparency=1),
    }
    ours = seen(listed(tmp_path, files), color_mode="rgba", **HOW)
    for name, image in zip(files, ours, strict=True):
        assert np.array_equal(image, by_pillow(files[name], "RGBA")), name


def test_a_gif_whose_pixels_have_no_colour_is_refused(tmp_path: Path) -> None:
    data = gif((9, 13), (9, 13), (0, 0))
    short = data[:10] + bytes([data[10] & 0xF8 | 1]) + data[11 : 13 + 12] + data[13 + 48 :]  # 4 of 16 colours.
    feed = tfinput.from_images(listed(tmp_path, {"a.gif": short}), verbose=False)
    with pytest.raises(tf.errors.OpError, match=r"tfinput: \S+a\.gif: expected an image .* got a damaged GIF"):
        next(iter(feed.train))


# BMP


def bmp(size: int = 40, compression: int = 0, alpha: int = 0, down: bool = False, bits: int = 32) -> bytes:
    """A BMP whose header has so many bytes."""
    pixels = noise(9, 13, 4)[..., : bits // 8]
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, alpha)
    head = struct.pack("<IiiHHIIiiII", size, 13, -9 if down else 9, 1, bits, compression, 0, 0, 0, 0, 0)
    head += masks[:12] if size == 40 and compression == 3 else (masks + bytes(100))[: size - 40]
    rows = [bytes(row.tobytes()) + bytes(-row.size % 4) for row in (pixels if down else pixels[::-1])]
    return struct.pack("<2sIHHI", b"BM", 14 + len(head) + sum(map(len, rows)), 0, 0, 14 + len(head)) + head + b"".join(rows)


def test_alpha_of_bmps_is_read_where_the_header_tells_of_it_as_in_pillow(tmp_path: Path) -> None:
    alpha = 0xFF000000
    files = {
        "plain.bmp": bmp(),
        "plain from the top.bmp": bmp(down=True),
        "plain of version 4.bmp": bmp(108, 0, alpha),
        "plain of version 5.bmp": bmp(124, 0, alpha),
        "told without.bmp": bmp(40, 3),
        "version 2.bmp": bmp(52, 3, alpha),
        "version 3.bmp": bmp(56, 3, alpha),
        "version 4.bmp": bmp(108, 3, alpha),
        "version 4 without.bmp": bmp(108, 3, 0),
        "version 5.bmp": bmp(124, 3, alpha),
        "version 5 from the top.bmp": bmp(124, 3, alpha, down=True),
        "24 bits.bmp": bmp(40, bits=24),
        "24 bits of version 5.bmp": bmp(124, 0, alpha, bits=24),
    }
    assert {name for name, data in files.items() if (by_pillow(data, "RGBA")[..., 3] < 255).any()} == {
        f"version {name}.bmp" for name in ("3", "4", "5", "5 from the top")
    }
    assert_as_pillow(tmp_path, files)


@pytest.mark.parametrize("alpha", [0xFF, 0xF0000000])
def test_a_bmp_with_alpha_elsewhere_is_refused(tmp_path: Path, alpha: int) -> None:
    written(tmp_path, {"a.bmp": bmp(124, 3, alpha)})
    feed = tfinput.from_images([tmp_path / "a.bmp"], color_mode="rgba", verbose=False)
    with pytest.raises(tf.errors.OpError, match=r"tfinput: \S+a\.bmp: .* got a BMP of 32 bits a pixel, stored in way 3\."):
        next(iter(feed.train))
