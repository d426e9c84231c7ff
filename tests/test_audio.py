"""WAV files: the samples that Keras gives, every clip once, lengths and rates known beforehand, and the broken file named."""

from __future__ import annotations

import io
import itertools
import os
import re
import struct
import wave
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

import tfinput
from tfinput.sources.audio import audio_source, wav

RATE = 8000
EXPECTED = "expected a WAV file of 16-bit samples, got"
FIX = "Convert, replace or remove it, or pass on_bad='skip'."


def written(samples: Any, rate: int = RATE, width: int = 2) -> bytes:
    """A WAV file by Python's own writer, of rows of samples (frames, channels)."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(np.shape(samples)[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, {1: "u1", 2: "<i2", 4: "<i4"}[width]).tobytes())
    return made.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def riff(*chunks: bytes) -> bytes:
    content = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def form(tag: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16, **other: int) -> bytes:
    frame = other.get("frame", channels * bits // 8)
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, other.get("speed", rate * frame), frame, bits))


def constant(number: int, frames: int, channels: int = 1) -> Any:
    """A clip whose amplitude is its number; 0 is what padding looks like, so that numbers begin at 1."""
    return np.full((frames, channels), number, "<i2")


def clips(root: Path, lengths: list[int], classes: int = 2, channels: int = 1) -> Path:
    for place, frames in enumerate(lengths):
        path = root / f"class{place % classes}" / f"{place:03}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(written(constant(place + 1, frames, channels)))
    return root


def feed_of(subject: Any, **options: Any) -> tfinput.Feed:
    return tfinput.from_audio(subject, verbose=False, **options)


def numbers_of(batch: Any, lengths: list[int]) -> list[int]:
    """The numbers of the clips in a batch, each checked sample by sample, padding included."""
    dense = batch.to_tensor().numpy() if isinstance(batch, tf.RaggedTensor) else batch.numpy()
    numbers = np.rint(dense[:, 0, 0] * 2**15).astype(int).tolist()
    assert dense.shape[1] == max(lengths[number - 1] for number in numbers)
    for row, number in zip(dense, numbers, strict=True):
        frames = lengths[number - 1]
        assert (row[:frames] == np.float32(number / 2**15)).all()
        assert (row[frames:] == 0).all()
    if isinstance(batch, tf.RaggedTensor):
        assert batch.row_lengths().numpy().tolist() == [lengths[number - 1] for number in numbers]
    return numbers


def noise(frames: int, channels: int = 1, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(-(2**15), 2**15, (frames, channels), np.int16)


@pytest.mark.parametrize(
    ("mode", "length", "channels"),
    [("int", None, 1), ("int", 10, 2), ("categorical", 40, 1), ("binary", 23, 1), (None, None, 2)],
)
def test_values_are_those_of_keras(tmp_path: Path, channels: int, length: int | None, mode: str | None) -> None:
    for place in range(6):
        path = tmp_path / "ab"[place % 2] / f"{place}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(written(noise(20 + place, channels, seed=place)))
    theirs = keras.utils.audio_dataset_from_directory(
        tmp_path, label_mode=mode, output_sequence_length=length, shuffle=False, batch_size=4, verbose=False
    )
    feed = feed_of(tmp_path, label_mode=mode, output_sequence_length=length, batch_size=4)
    expected, got = ([batch if isinstance(batch, tuple) else (batch,) for batch in each] for each in (theirs, feed.examples()))
    for mine, yours in zip(itertools.chain(*got), itertools.chain(*expected), strict=True):
        assert mine.dtype == yours.dtype
        assert mine.numpy().tolist() == yours.numpy().tolist()
    shape = tf.nest.flatten(feed.element_spec)[0].shape.as_list()
    assert shape == [None, length, channels]


def test_ragged_values_are_those_of_keras(tmp_path: Path) -> None:
    clips(tmp_path, [5, 2, 7])
    theirs = keras.utils.audio_dataset_from_directory(tmp_path, ragged=True, shuffle=False, batch_size=2, verbose=False)
    feed = feed_of(tmp_path, ragged=True, batch_size=2)
    for (mine, label), (yours, other) in zip(feed.examples(), theirs, strict=True):
        assert mine.to_list() == yours.to_list()
        assert label.numpy().tolist() == other.numpy().tolist()
    spec = feed.element_spec[0]
    assert isinstance(spec, tf.RaggedTensorSpec)
    assert (spec.shape.as_list(), spec.ragged_rank) == ([None, None, 1], 1)
    even = feed_of(clips(tmp_path / "even", [4, 4]), ragged=True).element_spec[0]
    assert isinstance(even, tf.RaggedTensorSpec)


def test_every_sample_value_arrives(tmp_path: Path) -> None:
    every = np.arange(-(2**15), 2**15, dtype="<i2").reshape(-1, 2)
    path = tmp_path / "x.wav"
    path.write_bytes(written(every))
    batch = next(iter(feed_of([path]).examples()))
    assert batch.dtype == tf.float32
    assert np.array_equal(batch[0].numpy(), every.astype("f4") / np.float32(2**15))


def test_what_was_found_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips(tmp_path, [4, 4])
    (tmp_path / "class0" / "x.mp3").write_bytes(b"ID3")
    assert repr(tfinput.from_audio(tmp_path)) == "Feed(audio: train 2 in 1 step of 2; seed=0)"
    told = capsys.readouterr().out.splitlines()
    assert told == [f"Left out in {tmp_path}: 1 .mp3 files.", "Found 2 WAV files belonging to 2 classes."]


LENGTHS = [3, 9, 1, 4, 4, 12, 2, 7, 7, 30, 1]


@pytest.mark.parametrize(
    ("batch", "ragged", "drop"),
    [(1, False, False), (3, True, True), (4, False, False), (20, True, False)],
)
def test_every_epoch_holds_every_clip_once(tmp_path: Path, batch: int, ragged: bool, drop: bool) -> None:
    feed = feed_of(clips(tmp_path, LENGTHS), batch_size=batch, ragged=ragged, drop_remainder=drop)
    steps = feed.steps_per_epoch
    seen = [(numbers_of(x, LENGTHS), y.numpy().tolist()) for x, y in itertools.islice(feed.repeated, 3 * steps)]
    assert all(labels == [(number - 1) % 2 for number in numbers] for numbers, labels in seen)
    for start in range(0, 3 * steps, steps):
        epoch = list(itertools.chain(*(numbers for numbers, _ in seen[start : start + steps])))
        assert len(set(epoch)) == len(epoch) == (steps * batch if drop else 11)
    tail = itertools.islice(feed.at(step=2 * steps - 1).repeated, steps + 1)
    assert [(numbers_of(x, LENGTHS), y.numpy().tolist()) for x, y in tail] == seen[2 * steps - 1 :]


@pytest.mark.parametrize("batch", [2, 20])
def test_buckets_hold_clips_of_like_lengths_and_every_clip_once(tmp_path: Path, batch: int) -> None:
    feed = feed_of(clips(tmp_path, LENGTHS), batch_size=batch, bucket=True, validation_split=1)
    plain = feed_of(tmp_path, batch_size=batch, validation_split=1)
    steps = feed.steps_per_epoch
    assert steps == plain.steps_per_epoch
    seen = [numbers_of(x, LENGTHS) for x, _ in itertools.islice(feed.repeated, 4 * steps)]
    epochs = [list(itertools.chain(*seen[start : start + steps])) for start in range(0, 4 * steps, steps)]
    held = [numbers_of(x, LENGTHS) for x, _ in feed.validation]
    assert [sorted(epoch) for epoch in epochs] == [sorted(set(range(1, 12)) - set(held[0]))] * 4
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert [numbers_of(x, LENGTHS) for x, _ in itertools.islice(feed.at(step=steps + 1).repeated, 2)] == seen[steps + 1 : steps + 3]
    if batch == 2:
        spread = [sum(abs(LENGTHS[a - 1] - LENGTHS[b - 1]) for a, b in seen[start : start + steps]) for start in range(0, 4 * steps, steps)]
        # A window holds the whole epoch here: neighbours in the sorted lengths.
        lengths = sorted(LENGTHS[number - 1] for number in epochs[0])
        assert spread == [sum(high - low for low, high in zip(lengths[::2], lengths[1::2], strict=True))] * 4


def test_validation_is_exact_and_disjoint(tmp_path: Path) -> None:
    feed = feed_of(clips(tmp_path, LENGTHS), batch_size=3, validation_split=4, test_split=2, stratify=True)
    held = [[numbers_of(x, LENGTHS) for x, _ in dataset] for dataset in (feed.validation, feed.test)]
    assert [numbers_of(x, LENGTHS) for x, _ in feed.validation] == held[0]
    train = [numbers_of(x, LENGTHS) for x, _ in itertools.islice(feed.train, feed.steps_per_epoch)]
    assert sorted(itertools.chain(*train, *held[0], *held[1])) == list(range(1, 12))
    assert (feed.validation_steps, feed.test_steps) == (len(held[0]), len(held[1]))


def noisy(x: Any, y: Any, seed: Any) -> Any:
    return x + tf.random.stateless_normal(tf.shape(x), seed), y


def test_augmentation_goes_on_bit_for_bit_and_belongs_to_the_clip(tmp_path: Path) -> None:
    clips(tmp_path, LENGTHS)
    feed = feed_of(tmp_path, batch_size=4, augment=noisy)
    whole = [x.numpy() for x, _ in itertools.islice(feed.repeated, 9)]
    for start in (2, 5):
        tail = [x.numpy() for x, _ in itertools.islice(feed.at(step=start).repeated, 9 - start)]
        assert all(np.array_equal(mine, yours) for mine, yours in zip(tail, whole[start:], strict=True))

    def drawn(batch: int, **options: Any) -> list[set[bytes]]:
        """The first sample of each clip, which tells the clip and its noise."""
        feed = feed_of(tmp_path, batch_size=batch, augment=noisy, **options)
        firsts = np.concatenate([x[:, 0, 0] for x, _ in itertools.islice(feed.repeated, 2 * feed.steps_per_epoch)])
        return [set(epoch.tolist()) for epoch in np.split(firsts, 2)]

    expected = drawn(1)
    assert not expected[0] & expected[1]
    assert drawn(4, num_parallel_calls=4) == expected
    fixed = drawn(5, output_sequence_length=9)
    assert fixed == drawn(2, output_sequence_length=9, cache="memory")


def test_clips_of_one_length_are_cached(tmp_path: Path) -> None:
    clips(tmp_path / "all", [6] * 5)
    plain = feed_of(tmp_path / "all", batch_size=2)
    assert plain.element_spec[0].shape.as_list() == [None, 6, 1]
    caches = [feed_of(tmp_path / "all", batch_size=2, cache=cache) for cache in ("memory", tmp_path / "cache")]
    expected = [numbers_of(x, [6] * 5) for x, _ in plain.repeated.take(6)]
    (tmp_path / "all" / "class0" / "000.wav").unlink()
    for feed in caches:
        assert [numbers_of(x, [6] * 5) for x, _ in feed.repeated.take(6)] == expected
    with pytest.raises(ValueError, match=r"cache: expected examples of one shape, got shape \(None, 1\)"):
        feed_of(clips(tmp_path / "uneven", [6, 5]), cache="memory")
    pooled = feed_of(tmp_path / "uneven", cache="memory", preprocess=lambda x, y: (tf.reduce_max(x), y))
    assert pooled.element_spec[0].shape.as_list() == [2]


def test_labels_of_every_form_and_validation_data(tmp_path: Path) -> None:
    clips(tmp_path / "train", [4, 4, 4, 4])
    clips(tmp_path / "more", [4, 6], classes=1)
    (tmp_path / "more" / "class0").rename(tmp_path / "more" / "class1")
    feed = feed_of(tmp_path / "train", validation_data=tmp_path / "more")
    assert [(x.shape.as_list(), y.numpy().tolist()) for x, y in feed.validation] == [([2, 6, 1], [1, 1])]
    paths = sorted((tmp_path / "train").rglob("*.wav"))
    pairs = feed_of((paths, ["b", "a", "c", "a"]), validation_data=(paths[:2], ["c", "b"]))
    assert [y.numpy().tolist() for _, y in pairs.validation] == [[2, 1]]
    assert [numbers_of(x, [4] * 4) for x in feed_of(paths).examples()] == [[1, 3, 2, 4]]
    assert [y.numpy().tolist() for _, y in feed_of((paths, [[0.5], [1.0], [2.0], [3.0]])).examples()] == [[[0.5], [1.0], [2.0], [3.0]]]


def test_a_model_learns_from_clips_of_several_lengths(tmp_path: Path) -> None:
    clips(tmp_path, [20 + place for place in range(16)])
    feed = feed_of(
        tmp_path, batch_size=4, validation_split=4, stratify=True, preprocess=lambda x, y: (tf.sign(x) * tf.cast(2 * y - 1, tf.float32), y)
    )
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.GlobalMaxPooling1D(), keras.layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.Adam(0.3), "binary_crossentropy", metrics=["accuracy"])
    model.fit(**feed.fit_args(model), epochs=6, verbose=0)
    assert model.evaluate(**feed.evaluate_args(), verbose=0, return_dict=True)["accuracy"] == 1


# Resampling.


def sine(rate: int, seconds: float, hertz: float) -> Any:
    return np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


RATES = [(8000, 16000), (16000, 8000), (44100, 16000), (22050, 44100), (11025, 16000), (8000, 7999), (48000, 44100)]


@pytest.mark.parametrize("to", sorted({to for _, to in RATES}))
def test_a_sine_wave_stays_one(tmp_path: Path, to: int) -> None:
    rates = [rate for rate, other in RATES if other == to]
    fades = [scipy.signal.windows.tukey(int(rate * 0.5), 0.5) for rate in rates]
    paths = [tmp_path / f"{rate}.wav" for rate in rates]
    for path, rate, fade in zip(paths, rates, fades, strict=True):
        path.write_bytes(written(np.rint(20000 * fade * sine(rate, 0.5, 1000))[:, None], rate))
    batch = next(iter(feed_of(paths, sampling_rate=to).examples())).numpy()
    for made, rate, fade in zip(batch[..., 0], rates, fades, strict=True):
        length = -(-int(rate * 0.5) * to // rate)
        places = np.arange(length) / to * rate
        expected = np.interp(places, np.arange(len(fade)), fade) * sine(to, 1, 1000)[:length] * 20000 / 2**15
        assert np.abs(made[:length] - expected).max() < 1e-3
        assert not made[length:].any()


@pytest.mark.parametrize(("rate", "to"), RATES)
def test_resampling_agrees_with_scipy(rate: int, to: int) -> None:
    draw = np.random.default_rng(0)
    both = draw.normal(size=(rate // 4, 2)).astype("f4")
    header = wav.WavHeader(2, rate, 44, len(both))
    *_, before, after, length = audio_source._plan(header, to)
    made = audio_source.resampled(tf.constant(both), before, after).numpy()
    padded = np.pad(both, ((0, before - len(both)), (0, 0)))
    expected = scipy.signal.resample(padded, after)
    assert before * to == after * rate
    # The bin at exactly half of the lower rate has no phase: it is left out here, and kept by scipy.
    half = min(before, after) / 2
    spectrum = np.fft.rfft(expected, axis=0)
    spectrum[int(np.ceil(half)) :] = 0
    assert np.abs(made - np.fft.irfft(spectrum, after, axis=0)).max() < 2e-5
    smooth = scipy.signal.sosfiltfilt(scipy.signal.butter(8, 0.6 * min(rate, to) / rate, output="sos"), both, axis=0)
    smooth *= scipy.signal.windows.tukey(len(both), 0.2)[:, None]
    polyphase = scipy.signal.resample_poly(smooth, to, rate)
    ours = audio_source.resampled(tf.constant(smooth.astype("f4")), before, after).numpy()[:length]
    assert ours.shape == polyphase.shape
    assert np.abs(ours - polyphase).max() < 0.02


def test_what_the_lower_rate_cannot_hold_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    fade = scipy.signal.windows.hann(16000)
    path.write_bytes(written(np.rint(20000 * fade * (sine(16000, 1, 500) + 0.5 * sine(16000, 1, 6000)))[:, None], 16000))
    made = next(iter(feed_of([path], sampling_rate=8000).examples()))[0, :, 0].numpy()
    assert np.abs(made - 20000 / 2**15 * fade[::2] * sine(8000, 1, 500)).max() < 1e-3


def test_files_of_several_rates(tmp_path: Path) -> None:
    paths = [tmp_path / f"{rate}.wav" for rate in (8000, 16000, 11025)]
    for path, rate in zip(paths, (8000, 16000, 11025), strict=True):
        path.write_bytes(written(np.rint(9000 * sine(rate, 0.5, 440))[:, None], rate))
    feed = feed_of(paths, sampling_rate=16000)
    assert feed.element_spec.shape.as_list() == [3, 8000, 1]
    batch = next(iter(feed.examples())).numpy()[:, 1000:7000, 0]
    assert np.abs(batch - batch[1]).max() < 0.01
    assert np.array_equal(batch[1] * 2**15, np.rint(9000 * sine(16000, 0.5, 440))[1000:7000])
    cut = feed_of(paths, sampling_rate=16000, output_sequence_length=9000)
    assert cut.element_spec.shape.as_list() == [3, 9000, 1]
    with pytest.raises(ValueError, match="sampling rate") as refused:
        feed_of(paths)
    fix = "Pass sampling_rate=8000 to resample."
    assert str(refused.value) == f"tfinput: {paths[1]}, sampling rate: expected 8000 Hz, as {paths[0]} has, got 16000 Hz. {fix}"
    with pytest.raises(ValueError, match=rf"{paths[1]}, sampling rate: expected 8000 Hz, as {paths[0]} has"):
        feed_of(paths[:1], validation_data=paths[1:2])


# Headers.

DATA = np.arange(1, 11, dtype="<i2").tobytes()
GUID = bytes.fromhex("0000000010008000 00aa00389b71".replace(" ", ""))


def extensible(tag: int) -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHHHHIH", 0xFFFE, 1, RATE, 2 * RATE, 2, 16, 22, 16, 4, tag) + GUID)


FINE = {
    "plain": riff(form(), chunk(b"data", DATA)),
    "chunks before": riff(chunk(b"JUNK", b"\0" * 27), form(), chunk(b"LIST", b"odd"), chunk(b"data", DATA)),
    "chunks behind": riff(form(), chunk(b"data", DATA), chunk(b"LIST", b"odd"), chunk(b"id3 ", b"x" * 30)),
    "without the last pad byte": riff(form(), chunk(b"data", DATA), chunk(b"LIST", b"odd"))[:-1],
    "extensible": riff(extensible(1), chunk(b"data", DATA)),
    "a longer format": riff(chunk(b"fmt ", form()[8:] + b"\0\0"), chunk(b"data", DATA)),
    "cut behind the samples": riff(form(), chunk(b"data", DATA), chunk(b"LIST", b"x" * 50))[:-20],
    "a chunk behind the end": riff(form(), chunk(b"data", DATA)) + chunk(b"id3 ", b"tag"),
}
BAD = {
    "nothing": (b"", "an empty file (0 bytes)"),
    "HTML": (b"<!DOCTYPE html>", "HTML or XML"),
    "MP3 with a tag": (b"ID3\x04" + b"\0" * 99, "an MP3"),
    "MP3": (b"\xff\xfb\x90\x64" + b"\0" * 99, "an MP3 or AAC"),
    "FLAC": (b"fLaC\0\0\0\x22", "a FLAC file"),
    "Ogg": (b"OggS\0\2", "an Ogg file"),
    "M4A": (b"\0\0\0\x20ftypM4A ", "an MPEG-4 file (M4A, MP4)"),
    "AIFF": (b"FORM\0\0\0\0AIFFCOMM", "an AIFF"),
    "AVI": (b"RIFF\0\0\0\0AVI LIST", "a RIFF file of kind b'AVI '"),
    "RF64": (b"RF64" + riff(form())[4:], "an RF64 file, the WAV of more than 4 GB"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "noise": (b"\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d", r"a file that begins with b'\x01\x02\x03\x04\x05\x06\x07\x08'"),
    "8 bits": (written(np.full((9, 1), 128), width=1), "a WAV of 8-bit samples"),
    "24 bits": (riff(form(bits=24), chunk(b"data", b"\0" * 30)), "a WAV of 24-bit samples"),
    "32 bits": (written(np.ones((9, 1)), width=4), "a WAV of 32-bit samples"),
    "float": (riff(form(tag=3, bits=32), chunk(b"data", b"\0" * 40)), "a WAV of float samples"),
    "A-law": (riff(form(tag=6, bits=8), chunk(b"data", b"\0" * 40)), "a WAV of A-law samples"),
    "extensible float": (riff(extensible(3), chunk(b"data", DATA)), "a WAV of float samples"),
    "an unknown format": (riff(form(tag=0x1234), chunk(b"data", DATA)), "a WAV of format 0x1234 samples"),
    "no format": (riff(chunk(b"data", DATA)), "a WAV without a format before its samples"),
    "no channels": (
        riff(form(channels=0, frame=2), chunk(b"data", DATA)),
        "a WAV whose header contradicts itself (0 channels, 8000 Hz, 2 bytes a frame, 16000 a second)",
    ),
    "a wrong frame": (
        riff(form(frame=4), chunk(b"data", DATA)),
        "a WAV whose header contradicts itself (1 channels, 8000 Hz, 4 bytes a frame, 32000 a second)",
    ),
    "a wrong speed": (
        riff(form(speed=99), chunk(b"data", DATA)),
        "a WAV whose header contradicts itself (1 channels, 8000 Hz, 2 bytes a frame, 99 a second)",
    ),
    "half a sample": (
        riff(form(), chunk(b"data", DATA[:-1])),
        "a WAV of 19 bytes of samples, which is no whole number of frames of 2 bytes",
    ),
    "no samples": (riff(form()), "a WAV whose header is cut off"),
    "bytes that are no chunk": (riff(form(), b"\0\1\2\3\4\5\6\7", chunk(b"data", DATA)), "a damaged WAV (no chunk at byte 36)"),
    "too many samples": (
        riff(form(), b"data" + struct.pack("<I", 21) + DATA),
        "a WAV that is cut off (20 of 21 bytes of samples are there)",
    ),
    "a stream of unknown length": (
        riff(form(), b"data\xff\xff\xff\xff" + DATA),
        "a WAV that is cut off (20 of 4294967295 bytes of samples are there)",
    ),
    "too few samples": (
        riff(form(), b"data" + struct.pack("<I", 10) + DATA),
        "a WAV whose header says that its samples end at byte 54, with something else than chunks behind them",
    ),
    "a writer that died": (
        riff(form(), chunk(b"data", b"")) + DATA,
        "a WAV whose header says that its samples end at byte 44, with something else than chunks behind them",
    ),
    "a file size too small": (
        b"RIFF\0\0\0\0WAVE" + form() + chunk(b"data", DATA),
        "a WAV whose header contradicts itself (20 bytes of samples in a file that it says has 8 bytes)",
    ),
}


def test_files_of_every_layout_are_read(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.wav" for name in FINE]
    for path, content in zip(paths, FINE.values(), strict=True):
        path.write_bytes(content)
    batch = next(iter(feed_of(paths).examples())).numpy() * 2**15
    for name, samples in zip(FINE, batch, strict=True):
        assert samples.reshape(-1).tolist() == list(range(1, 11)), name


@pytest.mark.parametrize("name", BAD)
def test_broken_files_are_named(tmp_path: Path, name: str) -> None:
    content, reason = BAD[name]
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    paths[0].write_bytes(FINE["plain"])
    paths[1].write_bytes(content)
    with pytest.raises(ValueError, match=f"^{re.escape(f'tfinput: {paths[1]}: {EXPECTED} {reason}. {FIX}')}$") as refused:
        feed_of(paths)
    assert isinstance(refused.value, OSError)
    if name == "float":
        feed = feed_of((paths, [4, 7]), on_bad="skip")
        assert feed.skipped == {str(paths[1]): reason}
        assert [y.numpy().tolist() for _, y in feed.examples()] == [[4]]


def test_a_file_cut_anywhere_is_refused_or_whole(tmp_path: Path) -> None:
    content = riff(form(), chunk(b"data", DATA), chunk(b"LIST", b"words"))
    path = tmp_path / "x.wav"
    whole = 44 + len(DATA)
    for end in range(len(content)):
        path.write_bytes(content[:end])
        found = wav.header(os.fsencode(path))
        if end < whole:
            assert isinstance(found, str), end
            assert "cut off" in found or "empty" in found or "begins with" in found
            with pytest.raises(tfinput.errors.FileError, match=re.escape(f"{path}: {EXPECTED} {found}.")):
                feed_of([path])
        else:
            assert found == wav.WavHeader(1, RATE, 44, 10), end


def test_a_file_with_any_byte_of_its_header_changed_is_refused_or_differs_only_there(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    plain = FINE["plain"]
    for place, bit in itertools.product(range(44), range(8)):
        content = bytearray(plain)
        content[place] ^= 1 << bit
        path.write_bytes(bytes(content))
        found = wav.header(os.fsencode(path))
        # Only a larger size of the whole file, which does not matter, is not noticed.
        assert isinstance(found, str) or (4 <= place < 8 and found == wav.WavHeader(1, RATE, 44, 10)), (place, bit)


def test_files_that_change_after_the_feed_was_built_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(FINE["plain"])
    dataset = feed_of([path]).examples()
    other = "expected the WAV file that was there when the feed was built, got another one. Build the feed again after files have changed."
    changes = {
        written(constant(1, 11)): other,
        written(constant(1, 10), rate=16000): other,
        FINE["chunks before"]: other,
        FINE["plain"][:50]: f"{EXPECTED} a WAV that is cut off (6 of 20 bytes of samples are there). {FIX}",
        FINE["plain"][:9]: f"{EXPECTED} a WAV whose header is cut off. {FIX}",
        b"": f"{EXPECTED} an empty file (0 bytes). {FIX}",
    }
    for content, message in changes.items():
        path.write_bytes(content)
        with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(f"tfinput: {path}: {message}")):
            list(dataset)
    path.unlink()
    with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(f"{path}: {EXPECTED} no file. Restore the file.")):
        list(dataset)
    path.write_bytes(FINE["plain"])
    assert len(list(dataset)) == 1


def test_channels_must_agree(tmp_path: Path) -> None:
    paths = [tmp_path / "mono.wav", tmp_path / "stereo.wav"]
    for channels, path in enumerate(paths, 1):
        path.write_bytes(written(constant(1, 4, channels)))
    fix = "Mix or split the channels of one of them."
    message = f"tfinput: {paths[1]}, channels: expected 1, as {paths[0]} has, got 2. {fix}"
    for options in ({}, {"validation_data": paths[1:]}):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            feed_of(paths[: 2 - len(options)], **options)


def test_clips_without_samples_are_examples(tmp_path: Path) -> None:
    feed = feed_of(clips(tmp_path, [0, 3, 0]), labels=None)
    assert next(iter(feed.examples())).numpy().tolist() == [[[0]] * 3, [[0]] * 3, [[np.float32(2 / 2**15)]] * 3]
    assert next(iter(feed_of(tmp_path, labels=None, sampling_rate=16000).examples())).shape == (3, 6, 1)


@pytest.mark.parametrize(
    ("options", "message", "kind"),
    [
        (
            {"ragged": True, "output_sequence_length": 3},
            "ragged and output_sequence_length: expected one of the two, got both: clips of one length are not ragged. Pass one.",
            ValueError,
        ),
        (
            {"bucket": True, "shuffle": False},
            "bucket: expected shuffle=True beside it, since it changes the order, got shuffle=False. Pass one of them.",
            ValueError,
        ),
        ({"sampling_rate": 0}, "sampling_rate: expected a positive whole number, got 0. Pass an int of at least 1.", ValueError),
        ({"sampling_rate": 8000.0}, "sampling_rate: expected a positive whole number, got 8000.0 (float). Pass an int.", TypeError),
        (
            {"output_sequence_length": -1},
            "output_sequence_length: expected a positive whole number, got -1. Pass an int of at least 1.",
            ValueError,
        ),
        ({"on_bad": None}, "on_bad: expected one of 'raise', 'skip', got None. Pass 'raise'.", ValueError),
        ({"hertz": 3}, "from_audio(hertz=…): expected one of its options, got 'hertz'. See help(tfinput.from_audio).", TypeError),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: Any, message: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=f"^tfinput: {re.escape(message)}$"):
        feed_of(clips(tmp_path, [4, 4]), **options)


def test_folders_without_sound_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.mp3").write_bytes(b"ID3")
    message = f"tfinput: {tmp_path}: expected at least one of the WAV files, got none (1 .mp3 files"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        feed_of(tmp_path)
    (tmp_path / "a" / "x.wav").write_bytes(b"ID3")
    with pytest.raises(ValueError, match="audio: expected at least one of the WAV files to be sound, got none; the first: an MP3"):
        feed_of(tmp_path, on_bad="skip")
