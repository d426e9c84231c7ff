"""Palettes, indices and alpha in the bytes of image files, where TensorFlow's decoders pass over what the format says.

Sources: the W3C PNG specification (tRNS), the GIF89a specification, Microsoft's BITMAPV5HEADER, RFC 9649 (WebP).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tfinput.sources.images import headers

Array = np.ndarray[Any, Any]
RAMP = bytes(np.repeat(np.arange(256, dtype=np.uint8), 3))


class Frame(NamedTuple):
    """The one frame of a GIF: a GIF whose gray is the frame's indices, its colours (RGBA), and where on the canvas it lies."""

    indices: bytes
    colours: Array
    place: tuple[int, int, int, int, int]  # top, left, height and width of the canvas, index of what is outside of the frame
    covers: bool


def frame(data: bytes) -> Frame:
    """The frame of a GIF that has one."""
    told = headers.header(data)
    assert told is not None
    ((start, clear),) = headers.gif_frames(data)
    left, top, wide, high, flags = struct.unpack_from("<HHHHB", data, start + 1)
    own = headers.colour_table(data, start + 10, flags)
    table = own or headers.colour_table(data, 13, data[10]) or RAMP
    colours = np.full((len(table) // 3, 4), 255, np.uint8)
    colours[:, :3] = np.frombuffer(table, np.uint8).reshape(-1, 3)
    if clear is not None and clear < len(colours):
        colours[clear, 3] = 0
    head = b"GIF89a" + struct.pack("<HHBBB", wide, high, 0xF7, 0, 0) + RAMP
    described = struct.pack("<BHHHHB", 0x2C, 0, 0, wide, high, flags & 0x40)
    indices = head + described + data[start + 10 + len(own) :]
    covers = (left, top, wide, high) == (0, 0, told.width, told.height)
    return Frame(indices, colours, (top, left, told.height, told.width, clear or 0), covers)


def opaque(data: bytes) -> bytes:
    """A file; a BMP of 32 bits whose header tells of no alpha gets 255 where TensorFlow takes unused bytes for it."""
    told = headers.header(data)
    if told is None or told.kind != "BMP" or told.channels == 4 or struct.unpack_from("<H", data, 28)[0] != 32:
        return data
    pixels = struct.unpack_from("<I", data, 10)[0]
    made = bytearray(data)
    made[pixels + 3 :: 4] = b"\xff" * len(made[pixels + 3 :: 4])
    return bytes(made)


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Kind and body of each chunk of a PNG up to its pixels, and whether the checksum is right."""
    place = 8
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        kind, body = data[place + 4 : place + 8], data[place + 8 : end - 4]
        if kind == b"IDAT":
            return
        yield kind, body, zlib.crc32(kind + body).to_bytes(4, "big") == data[end - 4 : end]
        place = end


def colour_key(data: bytes) -> Array:
    """The gray (1 number) or colour (3), as decoded, that is clear in a PNG without a palette; of none 0 numbers, of a damaged one 2."""
    depth, kind = data[24], data[25]
    for name, body, right in chunks(data):
        if name == b"tRNS" and kind in (0, 2):
            count = 1 if kind == 0 else 3
            if not right or len(body) < 2 * count:
                return np.zeros(2, np.int32)
            key = np.frombuffer(body, ">u2", count).astype(np.int32) & (1 << depth) - 1
            return key * (255 // ((1 << depth) - 1) if depth < 8 else 1)
    return np.zeros(0, np.int32)


def palette(data: bytes) -> bytes | None:
    """Red, green and blue of each colour of a PNG's or GIF's palette; None where an index is its gray, or there are no indices."""
    kind = headers.kind(data[:16])
    found = b""
    if kind == "PNG" and data[25:26] == b"\3":
        found = next((body for name, body, _ in chunks(data) if name == b"PLTE"), b"")
    elif kind == "GIF":
        found = frame(data).colours[:, :3].tobytes()
    # Tables are filled up with black.
    found = found[: -(-len(found.rstrip(b"\0")) // 3) * 3]
    return None if RAMP.startswith(found) else found


def agree(found: bytes | None, known: bytes | None) -> bool:
    """Whether the indices of a palette mean the same as those of the one that is known; None: there is none, or any will do."""
    return found is None or known is None or known.startswith(found)


def lossy(data: bytes) -> bool:
    """Whether the pixels of a file may differ from those that were saved."""
    kind = headers.kind(data[:16])
    place = 12
    while kind == "WebP" and place + 8 <= len(data):
        if data[place : place + 4] == b"VP8 ":
            return True
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return kind == "JPEG"
