"""Image files as their bytes tell it: kind, size, depth and frames from the header, without decoding a pixel.

Sources: ITU-T T.81 (JPEG), the W3C PNG specification, the GIF89a specification, RFC 9649 (WebP), Microsoft's BMP structures.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

KINDS = ("JPEG", "PNG", "GIF", "BMP", "WebP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".webp"})
# Decoded, this many pixels take 300 MB as RGB; a file of a few kB can promise more.
PIXELS = 100_000_000

_FRAMES_OF_JPEG = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_OTHERS = (
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\0\0\1\0", "ICO"),
    (b"8BPS", "PSD"),
    (b"%PDF", "PDF"),
    (b"PK\3\4", "a ZIP archive"),
    (b"\0\0\0\x0cjP", "JPEG 2000"),
    (b"version https://git-lfs", "a Git LFS pointer"),
)
_FTYPES = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"jxl ": "JPEG XL"}


class ImageHeader(NamedTuple):
    """What a file's header says; `bits` a channel, `frames` of an animation, `odd` what no decoder here is right for."""

    kind: str
    width: int
    height: int
    bits: int = 8
    frames: int = 1
    channels: int = 3
    odd: str = ""

    @property
    def problem(self) -> str | None:
        """Why such an image is not decoded, or None."""
        if self.width <= 0 or self.height <= 0:
            return f"a {self.kind} without pixels ({self.width} x {self.height})"
        if self.width * self.height > PIXELS:
            return f"a {self.kind} of {self.width} x {self.height} pixels, more than the limit of {PIXELS:,}"
        if self.frames > 1:
            return f"an animated {self.kind} of {self.frames} frames"
        return f"a {self.kind} {self.odd}" if self.odd else None


def kind(head: bytes) -> str | None:
    """The kind of image that the first bytes (at least 16) announce, or None.

    >>> kind(b"GIF89a..."), kind(b"<html>")
    ('GIF', None)
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if head.startswith(b"BM"):
        return "BMP"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    return None


def described(head: bytes) -> str:
    """What a file that is none of these kinds seems to be.

    >>> described(b"<!DOCTYPE html>"), described(b"")
    ('HTML or XML', 'an empty file')
    """
    if not head:
        return "an empty file"
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        return _FTYPES.get(head[8:12], "a video")
    if head.lstrip()[:1] == b"<":
        return "HTML or XML"
    return f"a file that begins with {head[:8]!r}"


def header(data: bytes) -> ImageHeader | None:
    """Read the header of a whole file; None where it is damaged or of another kind."""
    found = kind(data)
    try:
        if found == "JPEG":
            return _jpeg(data)
        if found == "PNG":
            width, height, bits = struct.unpack_from(">IIB", data, 16)
            return ImageHeader("PNG", width, height, bits)
        if found == "GIF":
            return _gif(data)
        if found == "BMP":
            return _bmp(data)
        if found == "WebP":
            return _webp(data)
    except (struct.error, IndexError):
        pass
    return None


def _jpeg(data: bytes) -> ImageHeader | None:
    place = 2
    while True:
        while data[place] != 0xFF:
            place += 1
        while data[place] == 0xFF:
            place += 1
        marker = data[place]
        if marker in _FRAMES_OF_JPEG:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, place + 3)
            return ImageHeader("JPEG", width, height, bits, channels=channels)
        if marker == 0xD9:
            return None
        place += 1
        if marker not in range(0xD0, 0xD9):
            place += struct.unpack_from(">H", data, place)[0]


def _webp(data: bytes) -> ImageHeader | None:
    chunk = data[12:16]
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageHeader("WebP", width & 0x3FFF, height & 0x3FFF)
    if chunk == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return ImageHeader("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if chunk == b"VP8X":
        width, height = (int.from_bytes(data[place : place + 3], "little") + 1 for place in (24, 27))
        return ImageHeader("WebP", width, height, frames=max(1, data.count(b"ANMF")) if data[20] & 2 else 1)
    return None


def _bmp(data: bytes) -> ImageHeader:
    size, width, height, _, bits, compression = struct.unpack_from("<IiiHHI", data, 14)
    if size < 40:
        width, height = struct.unpack_from("<HH", data, 18)
        return ImageHeader("BMP", width, height, odd=f"of an old version (its header has {size} bytes)")
    alpha = 0
    usual = compression == 0
    if compression == 3:
        # Where the bits of red, green and blue are; of alpha only longer headers tell.
        alpha = struct.unpack_from("<I", data, 66)[0] if size >= 56 else 0
        usual = struct.unpack_from("<III", data, 54) == (0xFF0000, 0xFF00, 0xFF) and alpha in (0, 0xFF000000)
    if not usual or bits not in (8, 24, 32):
        odd = f"of {bits} bits a pixel, stored in way {compression}"
    elif bits == 8 and not _is_gray(data[14 + size :], struct.unpack_from("<I", data, 46)[0] or 256):
        odd = "with a palette of colours, which TensorFlow takes for gray"
    else:
        odd = ""
    return ImageHeader("BMP", abs(width), abs(height), channels=4 if alpha and bits == 32 else 3, odd=odd)


def _is_gray(palette: bytes, count: int) -> bool:
    """Whether each of the first colours (blue, green, red, unused) of a palette is the gray of its number."""
    return all(palette[channel : 4 * count : 4] == bytes(range(256))[:count] for channel in range(3))


def _gif(data: bytes) -> ImageHeader:
    width, height = struct.unpack_from("<HH", data, 6)
    frames = 0
    for place, _ in gif_frames(data):
        frames += 1
        left, top, wide, high = struct.unpack_from("<HHHH", data, place + 1)
        width, height = max(width, left + wide), max(height, top + high)
    return ImageHeader("GIF", width, height, frames=frames, odd="" if frames else "without a frame")


def colour_table(data: bytes, place: int, flags: int) -> bytes:
    """The table of colours of a GIF that flags announce at a place, or nothing."""
    return data[place : place + (3 << (flags & 7) + 1)] if flags & 0x80 else b""


def gif_frames(data: bytes) -> Iterator[tuple[int, int | None]]:
    """Where each frame of a GIF is described, and which of its colours is transparent; IndexError where the file is cut off."""
    place = 13 + len(colour_table(data, 13, data[10]))
    clear = None
    while data[place] != 0x3B:
        if data[place] == 0x2C:
            yield place, clear
            place += 10 + len(colour_table(data, place + 10, data[place + 9])) + 1
        elif data[place] == 0x21:
            if data[place + 1] == 0xF9 and data[place + 2] >= 4 and data[place + 3] & 1:
                clear = data[place + 6]
            place += 2
        else:
            raise IndexError(place)
        while data[place]:
            place += data[place] + 1
        place += 1


def passed(data: bytes) -> bytes:
    """A file whose header has no problem, else nothing."""
    found = header(data)
    return data if found is not None and found.problem is None else b""


def without_palette(data: bytes) -> bytes:
    """A PNG with a palette as one of gray, whose pixels are then the palette's indices."""
    kept = [data[:8]]
    place = 8
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        chunk = data[place:end]
        if chunk[4:8] == b"IHDR":
            gray = chunk[:17] + b"\0" + chunk[18:-4]
            # A checksum that was wrong stays wrong.
            checksum = int.from_bytes(chunk[-4:], "big") ^ zlib.crc32(chunk[4:-4]) ^ zlib.crc32(gray[4:])
            chunk = gray + checksum.to_bytes(4, "big")
        if chunk[4:8] in (b"IHDR", b"IDAT", b"IEND"):
            kept.append(chunk)
        place = end
    return b"".join(kept)


def orientation(data: bytes) -> int:
    """The EXIF orientation of a JPEG, 1 to 8; 1 where there is none. Source: CIPA DC-008 (Exif), tag 0x0112."""
    place = 2
    while data[place : place + 1] == b"\xff" and place + 4 <= len(data):
        marker, size = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xDA:
            break
        if marker == 0xE1 and data[place + 4 : place + 10] == b"Exif\0\0":
            return _tagged(data[place + 10 : place + 2 + size])
        place += 2 + size
    return 1


def _tagged(tiff: bytes) -> int:
    order = "<" if tiff[:2] == b"II" else ">"
    try:
        start = struct.unpack_from(f"{order}I", tiff, 4)[0]
        for entry in range(struct.unpack_from(f"{order}H", tiff, start)[0]):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * entry)
            if tag == 0x0112:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
