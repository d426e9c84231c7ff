"""`from_audio`: folders and lists of WAV files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Unpack

from tfinput import feed, options
from tfinput.builders import _broken_files, _build, _files
from tfinput.errors import FileError, refusal
from tfinput.material.folders import shown, suffix
from tfinput.sampling.steps import integer
from tfinput.sources.audio import audio_source, wav
from tfinput.sources.base import Source


@options.common_options
def from_audio(
    subject: Any,
    *,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    sampling_rate: int | None = None,
    output_sequence_length: int | None = None,
    ragged: bool = False,
    bucket: bool = False,
    on_bad: str = "raise",
    follow_links: bool = False,
    verbose: bool = True,
    **given: Unpack[options.Options],
) -> feed.Feed:
    """Feed a Keras model from WAV files: a folder with one subfolder a class, or paths with labels.

    >>> import tempfile, pathlib, tensorflow as tf, tfinput
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> for place, name in enumerate(["no", "yes", "no", "yes"]):
    ...     (root / name).mkdir(exist_ok=True)
    ...     _ = (root / name / f"{place}.wav").write_bytes(tf.audio.encode_wav(tf.zeros((800, 1)), 8000).numpy())
    >>> feed = tfinput.from_audio(root, batch_size=2, validation_split=0.5)
    Found 4 WAV files belonging to 2 classes.
    >>> feed.element_spec[0].shape.as_list()
    [2, 800, 1]

    Samples are floats from -1 to 1, bit for bit those of `keras.utils.audio_dataset_from_directory`; unlike there, all clips are
    shuffled anew each epoch, splits are exact, and files can be resampled without a further package. All headers are read when
    the feed is built, so that a file that is cut off or of another kind is refused then.

    Clips of several lengths are padded with zeros to the longest of their batch, so that `augment` and `preprocess` see each as
    it is, and the length of batches varies.

    Args:
        subject: a folder, `(paths, labels)`, paths alone, or `(folder, labels)`, of WAV files with 16-bit samples and one number
            of channels. Labels may be class names or numbers of any shape (classes, regression targets, several labels).
        labels: for a folder: "inferred" from its subfolders; None for none; a dict or a Series (or DataFrame) by file: its name, with or
            without its suffix, or its path from the folder on, one for each file; or a list in the order of `feed.paths`, which is
            refused where people order such names in other ways too (`img2.png` before `img10.png`).
        label_mode: "int" (int32), "categorical" (one-hot float32), "binary" (float32 of shape 1; two classes) or None for no
            labels. Numbers given as labels stay as they are with "int".
        class_names: the class folders to use, in this order; else all, sorted.
        sampling_rate: what all clips are resampled to, in Hz, by way of their spectrum: all below half of the lower rate stays,
            all above goes. Clips that have this rate already stay as they are. None for the files' own, which must be one.
        output_sequence_length: cut or pad all clips to this many samples a channel, at the rate after resampling.
        ragged: give clips of several lengths as `tf.RaggedTensor`, instead of padded.
        bucket: make training batches of clips of like lengths, so that less is padded: each 50 batches of the epoch's order are
            sorted by length, cut again, and all batches of the epoch shuffled. Every clip still comes once an epoch, in as many
            steps; the order then depends on `batch_size`. It changes nothing where all clips have one length.
        on_bad: "raise" refuses broken files; "skip" leaves them out: `feed.skipped` lists them. Indices, groups and classes to
            stratify by still count all files.
        follow_links: follow links to folders, and to files outside of the folder.
        verbose: print how many files were found.
        {common options}

    Returns:
        A `tfinput.Feed` of samples of shape (length, channels), float32, and labels.

    Raises:
        ValueError: for wrong options, folders without WAV files, unequal numbers of paths and labels, files that differ in rate or
            channels, and broken files (`tfinput.errors.FileError`, also an `OSError`).
        TypeError: for unknown options.

    """
    known = _build.begin(dict(given), from_audio)
    options.one_of("on_bad", on_bad, ("raise", "skip"))
    if ragged and output_sequence_length is not None:
        raise refusal("ragged and output_sequence_length", "one of the two", "both: clips of one length are not ragged", "Pass one.")
    if bucket and not known["shuffle"]:
        raise refusal("bucket", "shuffle=True beside it, since it changes the order", "shuffle=False", "Pass one of them.")
    look = ClipOptions(
        None if sampling_rate is None else integer("sampling_rate", sampling_rate),
        None if output_sequence_length is None else integer("output_sequence_length", output_sequence_length),
        bool(ragged),
        bool(bucket),
    )
    asked = _files.FileOptions(labels, label_mode, class_names, follow_links, verbose, wanted, "WAV files", masks=False)
    made, reference = _source(subject, asked, look, on_bad, "audio")
    others = []
    for name in ("validation_data", "test_data"):
        again = asked.after(made.class_names)
        others.append(None if known[name] is None else _source(known[name], again, look, on_bad, name, reference)[0])
    return _build.build(made, known, *others, verbose=verbose)


@dataclass(frozen=True)
class ClipOptions:
    """How clips become arrays: at which rate, of which length, and what is done about several lengths, which `bucket` brings together."""

    rate: int | None
    length: int | None
    ragged: bool
    bucket: bool


@dataclass(frozen=True)
class Reference:
    """What all files must be like: a file with its header, and the length that all of its kind have, if they have one."""

    path: bytes
    header: wav.WavHeader
    length: int | None = None


def wanted(name: bytes, head: Callable[[], bytes]) -> bool:
    """Whether a file is called a WAV."""
    del head
    return suffix(name) == ".wav"


def _source(
    subject: Any, asked: _files.FileOptions, look: ClipOptions, on_bad: str, name: str, reference: Reference | None = None
) -> tuple[Source, Reference]:
    found = _files.labeled_files(subject, asked, name)
    read = audio_source.headers(found.paths)
    broken = {place: each for place, each in enumerate(read) if isinstance(each, str)}
    if broken and on_bad == "raise":
        place, reason = next(iter(broken.items()))
        raise audio_source.refused(found.paths[place], reason)
    kept, left_out = _broken_files.sound(found, broken, asked, name)
    headers = [each for each in read if isinstance(each, wav.WavHeader)]
    first = reference or Reference(kept.paths[0], headers[0])
    for path, header in zip(kept.paths, headers, strict=True):
        _refuse_unlike(first, path, header, look.rate)
    rate = look.rate or first.header.rate
    length = look.length
    lengths = {audio_source.resampled_length(header.frames, header.rate, rate) for header in headers}
    if length is None and not look.ragged and len(lengths) == 1 and first.length in (None, *lengths):
        length = lengths.pop()
    clips = audio_source.Clips(kept.paths, headers, rate, length)
    about = kept.about | left_out
    return audio_source.source(clips, kept.targets, look.ragged, look.bucket, name=name, **about), dataclasses.replace(first, length=length)


def _refuse_unlike(first: Reference, path: bytes, header: wav.WavHeader, rate: int | None) -> None:
    other = first.header
    if header.channels != other.channels:
        had = f"{other.channels}, as {shown(first.path)} has"
        raise refusal(f"{shown(path)}, channels", had, f"{header.channels}", "Mix or split the channels of one of them.", FileError)
    if rate is None and header.rate != other.rate:
        fix = f"Pass sampling_rate={other.rate} to resample."
        raise refusal(f"{shown(path)}, sampling rate", f"{other.rate} Hz, as {shown(first.path)} has", f"{header.rate} Hz", fix, FileError)
