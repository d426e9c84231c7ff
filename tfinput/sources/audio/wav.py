"""WAV files as their headers tell it: where the samples lie, how many, how fast; checked against the file's own size.

Sources: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0", 1991; Microsoft's
WAVEFORMATEXTENSIBLE structure.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, NamedTuple

PCM, EXTENSIBLE = 0x0001, 0xFFFE
BITS = 16
_FORMATS = {2: "ADPCM", 3: "float", 6: "A-law", 7: "mu-law", 0x11: "ADPCM", 0x50: "MPEG", 0x55: "MP3"}
# What follows the two bytes of a format in the extensible form of its name.
_GUID = b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
_OTHERS = (
    (b"ID3", "an MP3"),
    (b"fLaC", "a FLAC file"),
    (b"OggS", "an Ogg file"),
    (b"RF64", "an RF64 file, the WAV of more than 4 GB"),
    (b"RIFX", "a big-endian WAV"),
    (b"caff", "a CAF file"),
    (b".snd", "an AU file"),
    (b"PK\3\4", "a ZIP archive"),
    (b"version https://git-lfs", "a Git LFS pointer"),
)


class WavHeader(NamedTuple):
    """Where a file's samples lie and what they are: `frames` of one sample per channel each, from byte `start` on."""

    channels: int
    rate: int
    start: int
    frames: int

    @property
    def nbytes(self) -> int:
        """Bytes of all samples."""
        return self.frames * self.channels * BITS // 8


def header(path: bytes) -> WavHeader | str:
    """The header of a WAV file of 16-bit samples, or what the file is instead."""
    try:
        with open(path, "rb") as file:
            return _header(file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        return "no file"
    except OSError as error:
        return str(error.strerror)
    except struct.error:
        return "a WAV whose header is cut off"


def described(head: bytes) -> str:
    """What a file that is no WAV seems to be, by its first bytes.

    >>> described(b"OggS..."), described(b"")
    ('an Ogg file', 'an empty file (0 bytes)')
    """
    if not head:
        return "an empty file (0 bytes)"
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return name
    if head[:1] == b"\xff" and head[1:2] and head[1] & 0xE0 == 0xE0:
        return "an MP3 or AAC"
    if head[4:8] == b"ftyp":
        return "an MPEG-4 file (M4A, MP4)"
    if head.startswith(b"FORM") and head[8:11] == b"AIF":
        return "an AIFF"
    if head.startswith(b"RIFF") and len(head) >= 12:
        return f"a RIFF file of kind {head[8:12]!r}"
    if b"RIFF".startswith(head[:4]):
        return "a WAV whose header is cut off"
    if head.lstrip()[:1] == b"<":
        return "HTML or XML"
    return f"a file that begins with {head[:8]!r}"


def _header(file: BinaryIO, size: int) -> WavHeader | str:
    head = file.read(32)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return described(head)
    end = 8 + struct.unpack("<I", head[4:8])[0]
    place, form = 12, b""
    while True:
        file.seek(place)
        name, length = struct.unpack("<4sI", file.read(8))
        place += 8
        if not _is_name(name):
            return f"a damaged WAV (no chunk at byte {place - 8})"
        if name == b"fmt ":
            form = file.read(min(length, 40))
        elif name == b"data":
            return _problem(form, place, length, size, end) or _rest(file, place + length, size, end) or _header_of(form, place, length)
        place += length + length % 2


def _is_name(name: bytes) -> bool:
    return all(32 <= each < 127 for each in name)


def _problem(form: bytes, start: int, length: int, size: int, end: int) -> str | None:
    """What is wrong with the format, or with what the header says of the file's length."""
    if len(form) < 16:
        return "a WAV without a format before its samples"
    tag, channels, rate, speed, frame, bits = struct.unpack("<HHIIHH", form[:16])
    if tag == EXTENSIBLE and len(form) == 40 and form[26:] == _GUID:
        tag = struct.unpack("<H", form[24:26])[0]
    if tag != PCM:
        return f"a WAV of {_FORMATS.get(tag, f'format {tag:#06x}')} samples"
    if bits != BITS:
        return f"a WAV of {bits}-bit samples"
    if channels == 0 or rate == 0 or frame != channels * bits // 8 or speed != rate * frame:
        return f"a WAV whose header contradicts itself ({channels} channels, {rate} Hz, {frame} bytes a frame, {speed} a second)"
    if start + length > size:
        return f"a WAV that is cut off ({size - start} of {length} bytes of samples are there)"
    if start + length > end:
        return f"a WAV whose header contradicts itself ({length} bytes of samples in a file that it says has {end} bytes)"
    if length % frame:
        return f"a WAV of {length} bytes of samples, which is no whole number of frames of {frame} bytes"
    return None


def _rest(file: BinaryIO, place: int, size: int, end: int) -> str | None:
    """What is wrong behind the samples: a header that says too little of them has more samples there, not chunks."""
    told = f"a WAV whose header says that its samples end at byte {place}, with something else than chunks behind them"
    while place < size:
        file.seek(place)
        head = file.read(8)
        if not _is_name(head[:4]):
            return told
        if head[:4] in (b"data", b"RIFF"):  # Readers differ in which one they take.
            return f"a WAV with more samples in a second part of it (a {head[:4].decode()!r} chunk at byte {place})"
        if len(head) == 8:
            place += struct.unpack("<I", head[4:])[0]
        place += 8
        if place > size and end <= size:  # Only of a file that is cut off behind its samples may the last chunk be.
            return told
        place += place % 2
    return None


def _header_of(form: bytes, start: int, length: int) -> WavHeader:
    _, channels, rate, _, frame = struct.unpack("<HHIIH", form[:14])
    return WavHeader(channels, rate, start, length // frame)
