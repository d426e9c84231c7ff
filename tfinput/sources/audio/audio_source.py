"""WAV files as a source: read one by one in the graph, resampled where they need it; lengths are known from the headers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from tfinput.errors import FileError, MissingFileError, refusal
from tfinput.material.columns import digest_files, fingerprint
from tfinput.material.folders import shown
from tfinput.material.rows import strings
from tfinput.material.targets import Targets
from tfinput.sources.audio import wav
from tfinput.sources.base import Loader, Source

# Silence behind a clip before it is resampled, in seconds: the transform takes a signal for periodic, and without it the clip's
# end would ring into its beginning.
SILENCE = 0.05


@dataclass(frozen=True)
class Clips:
    """WAV files of one number of channels; `rate` is what they are resampled to, `length` what all are then cut or padded to."""

    paths: list[bytes]
    headers: list[wav.WavHeader]
    rate: int
    length: int | None = None
    plan: Any = field(init=False)

    def __post_init__(self) -> None:
        plans = [_plan(header, self.rate) for header in self.headers]
        with tf.device("CPU:0"):
            heads = strings([_head(path, header.start) for path, header in zip(self.paths, self.headers, strict=True)])
            plan = tf.concat([_mark(heads)[:, None], tf.constant(plans, tf.int64)], 1)
        object.__setattr__(self, "plan", (strings(self.paths), plan))

    @property
    def channels(self) -> int:
        """Channels of every file."""
        return self.headers[0].channels

    @property
    def spec(self) -> Any:
        """The spec of one example."""
        return tf.TensorSpec((self.length, self.channels), tf.float32)

    @property
    def resamples(self) -> bool:
        """Whether any file is of another rate."""
        return any(header.rate != self.rate for header in self.headers)

    def digest(self, into: Any) -> None:
        """Feed what makes these clips what they are to a hash object."""
        into.update(repr((self.rate, self.length)).encode())
        digest_files(self.paths, into)


def source(clips: Clips, targets: Targets | None, ragged: bool, bucket: bool, **about: Any) -> Source:
    """The source over clips, with targets of the same number; `about` are fields of the Source.

    `bucket` asks for batches of clips of like lengths.
    """

    def read(indices: Any) -> Any:
        parts = tuple(tf.gather(part, indices) for part in clips.plan)
        return parts if targets is None else (*parts, tf.gather(targets.tensor, indices))

    def load(row: Any, seed: Any) -> Any:
        del seed
        audio = _samples(row[0], row[1], clips)
        return audio if targets is None else (audio, targets.encoded(row[2]))

    return Source(
        size=len(clips.paths),
        spec=clips.spec if targets is None else (clips.spec, targets.spec),
        read=read,
        loader=Loader(load=load, explain=lambda row, _: explained(row[0].numpy())),
        locate=lambda index: shown(clips.paths[index]),
        uneven=None if clips.length is not None else "ragged" if ragged else "padded",
        lengths=clips.plan[1][:, -1] if bucket and clips.length is None else None,
        fingerprint=lambda: fingerprint(clips, *([] if targets is None else [targets])),
        in_memory=False,
        **about,
    )


def headers(paths: list[bytes]) -> list[wav.WavHeader | str]:
    """The header of each file, or what is wrong with it."""
    return [wav.header(path) for path in tqdm(paths, unit=" files", desc="tfinput: reading headers", delay=2, leave=False)]


def resampled_length(frames: int, rate: int, to: int) -> int:
    """Frames of a clip after resampling: as long in time, rounded up.

    >>> resampled_length(11025, 11025, 16000), resampled_length(10, 44100, 16000)
    (16000, 4)
    """
    return -(-frames * to // rate)


def _plan(header: wav.WavHeader, rate: int) -> tuple[int, ...]:
    """Where the samples lie, and the sizes of the transforms that resample them, equal where they need none."""
    common = math.gcd(header.rate, rate)
    up, down = rate // common, header.rate // common
    count = -(-(header.frames + int(SILENCE * header.rate)) // down) if up != down else header.frames
    # Sizes of small prime factors are quick to transform.
    unit = 1 << max(0, count.bit_length() - 4) if up != down else 1
    count = -(-count // unit) * unit
    return header.start, header.nbytes, count * down, count * up, resampled_length(header.frames, header.rate, rate)


def _mark(heads: Any) -> Any:
    """What tells one header from another, in 8 bytes."""
    return tf.strings.to_hash_bucket_fast(heads, 2**62)


def _head(path: bytes, start: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(start)


def _samples(path: Any, plan: Any, clips: Clips) -> Any:
    """One example in the graph."""
    mark, start, nbytes, before, after, length = tf.unstack(plan, 6)
    contents = tf.io.read_file(path)
    data = tf.strings.substr(contents, start, nbytes)
    # Whatever was read from the header earlier must still be so.
    same = _mark(tf.strings.substr(contents, tf.zeros_like(start), start)) == mark
    data = tf.where(same, data, "?")  # One byte is no sample, so that decoding fails.
    audio = tf.cast(tf.io.decode_raw(data, tf.int16), tf.float32) / 2.0 ** (wav.BITS - 1)
    frames = nbytes * 8 // wav.BITS // clips.channels
    audio = tf.reshape(audio, tf.stack([frames, clips.channels]))  # Fails where bytes are missing.
    if clips.resamples:
        audio = tf.cond(before == after, lambda: audio, lambda: resampled(audio, before, after)[:length])
    if clips.length is not None:
        audio = audio[: clips.length]
        audio = tf.pad(audio, ((0, clips.length - tf.shape(audio)[0]), (0, 0)))
    return tf.ensure_shape(audio, clips.spec.shape)


def resampled(audio: Any, before: Any, after: Any) -> Any:
    """`before` frames (silence is added up to there) as `after` frames of the same time, by way of their spectrum.

    All below half of the lower rate is kept as it is, all from there on is left out: the ideal band-limited interpolation of the
    periodic signal.
    """
    before, after = tf.cast(before, tf.int32), tf.cast(after, tf.int32)
    spectrum = tf.signal.rfft(tf.transpose(audio), before[None])
    kept = (tf.minimum(before, after) + 1) // 2
    spectrum = spectrum[:, :kept]
    scale = tf.cast(tf.cast(after, tf.float64) / tf.cast(before, tf.float64), tf.float32)
    return tf.transpose(tf.signal.irfft(spectrum, after[None])) * scale


def explained(path: bytes) -> Exception:
    """Why a clip could not be read."""
    found = wav.header(path)
    if isinstance(found, wav.WavHeader):
        fix = "Build the feed again after files have changed."
        return refusal(shown(path), "the WAV file that was there when the feed was built", "another one", fix, FileError)
    return refused(path, found)


def refused(path: bytes, found: str) -> Exception:
    """The error for a file that cannot be read as WAV."""
    missing = found == "no file"
    fix = "Restore the file." if missing else "Convert, replace or remove it, or pass on_bad='skip'."
    return refusal(shown(path), "a WAV file of 16-bit samples", found, fix, MissingFileError if missing else FileError)
