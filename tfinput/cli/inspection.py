"""What a folder or a file holds, as `python -m tfinput inspect PATH` prints it: counts, classes, sizes, formats, broken files."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tfinput.builders import from_arrays, from_audio, from_csv, from_images, from_parquet, from_text, from_tfrecords
from tfinput.errors import HeaderError, MissingFileError, refusal
from tfinput.feed import Feed
from tfinput.material import folders
from tfinput.material.folders import head_of, shown, suffix
from tfinput.sources.audio import wav
from tfinput.sources.images import headers
from tfinput.sources.records.record_source import Shards
from tfinput.sources.records.serialized_examples import features_of

SHOWN = 10
WANTED: dict[str, folders.Wanted] = {"images": from_images.wanted, "audio": from_audio.wanted, "text": from_text.wanted}
ARRAYS = (".npy", ".npz", ".h5", ".hdf5")


def report(given: str) -> tuple[list[str], bool]:
    """The lines to print, and whether everything is sound."""
    path = os.fsencode(os.path.expanduser(given))
    if not os.path.exists(path):
        raise refusal(shown(path), "a folder or a file", folders.absent(path, "nothing there"), folders.remedy(path), MissingFileError)
    feed, lines = _folder(path) if os.path.isdir(path) else _file(path)
    broken = feed.skipped
    lines += [f"broken: {len(broken)}"] if broken else ["broken: none"]
    lines += [f"  {shown(os.fsencode(name))}: {reason}" for name, reason in list(broken.items())[:SHOWN]]
    lines += [f"  and {len(broken) - SHOWN} more"] if len(broken) > SHOWN else []
    return lines, not broken


def _folder(root: bytes) -> tuple[Feed, list[str]]:
    found = {kind: _listed(root, wanted, kind) for kind, wanted in WANTED.items()}
    kind = max(found, key=lambda each: len(found[each].paths))
    listing = found[kind]
    if not listing.paths:
        there = ", ".join(f"{count} {what}" for what, count in listing.left_out.most_common(8)) or "nothing"
        fix = "Of other files inspect one at a time: TFRecord, CSV, Parquet, arrays."
        raise refusal(shown(root), "a folder of images, WAV or text files", there, fix)
    builders: dict[str, Callable[..., Feed]] = {
        "images": from_images.from_images,
        "audio": from_audio.from_audio,
        "text": from_text.from_text,
    }
    labels = "inferred" if listing.labels is not None else None
    shape = {"images": {"image_size": 8}, "audio": {"output_sequence_length": 1}}.get(kind, {})
    feed = builders[kind](os.fsdecode(root), labels=labels, on_bad="skip", verbose=False, **shape)
    lines = [f"{shown(root)}: {feed.train_size} {kind} that can be read"]
    broken = feed.skipped
    sound = [os.fsdecode(path) not in broken for path in listing.paths]
    if listing.labels is not None and listing.class_names is not None:
        counts = np.bincount(np.asarray(listing.labels)[sound], minlength=len(listing.class_names))
        classes = [f"{name} {count}" for name, count in zip(listing.class_names, counts, strict=True)]
        lines.append(f"{len(classes)} classes: {', '.join(classes[:SHOWN])}{', ...' if len(classes) > SHOWN else ''}")
    lines += _details(kind, list(itertools.compress(listing.paths, sound)))
    if listing.left_out:
        lines.append("left out: " + ", ".join(f"{count} {what}" for what, count in listing.left_out.most_common()))
    return feed, lines


def _listed(root: bytes, wanted: folders.Wanted, kind: str) -> folders.Listing:
    """The files of a kind, by class if they lie in folders; an empty listing if there are none."""
    flat = folders.Walk(root, wanted, follow_links=False)
    paths = flat.files(root)
    flat.close()
    if not paths or any(os.path.dirname(path) == root.rstrip(b"/") for path in paths):
        return folders.Listing(paths, left_out=flat.left_out)
    return folders.listed(root, wanted, True, None, False, kind)


def _details(kind: str, paths: list[bytes]) -> list[str]:
    if kind == "images":
        return list(_pictures(paths))
    if kind == "audio":
        heads = [head for head in map(wav.header, paths) if not isinstance(head, str)]
        seconds = [head.frames / head.rate for head in heads if head.rate]
        rates = Counter(f"{head.rate} Hz, {head.channels} channels" for head in heads)
        lengths = [f"{each:.2f}" for each in (min(seconds), max(seconds))] if seconds else []
        return [f"rates: {_counted(rates)}", f"lengths: {_range(*lengths)} s"] if lengths else []
    sizes = [os.path.getsize(path) for path in paths]
    return [f"sizes: {_range(str(min(sizes)), str(max(sizes)))} bytes"]


def _pictures(paths: list[bytes]) -> Iterator[str]:
    heads = []
    for path in paths:
        with open(path, "rb") as file:
            heads.append(headers.header(file.read()))
    known = [head for head in heads if head is not None]
    yield f"formats: {_counted(Counter(head.kind for head in known))}"
    if known:
        ends = (pick(known, key=lambda head: (head.width * head.height, head.width)) for pick in (min, max))
        yield f"sizes: {_range(*(f'{head.width} x {head.height}' for head in ends))} pixels (width x height)"


def _range(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common()) or "none"


def _file(path: bytes) -> tuple[Feed, list[str]]:
    name, end = os.fsdecode(path), suffix(path)
    if end in ARRAYS:
        feed, kind = from_arrays.from_arrays(name, batch_size=1), "arrays"
    elif head_of(path)[:4] == b"PAR1":
        feed, kind = from_parquet.from_parquet(name, batch_size=1, verbose=False), "Parquet"
    elif (plain := name.lower().removesuffix(".gz")).endswith((".csv", ".tsv")):
        feed, kind = _csv(name, "\t" if plain.endswith(".tsv") else ",")
    elif end == ".txt":
        feed, kind = from_text.from_text(name, batch_size=1, on_bad="skip", verbose=False), "lines of text"
    elif from_images.wanted(path, lambda: head_of(path)):
        return from_images.from_images([name], image_size=8, verbose=False, on_bad="skip"), [f"{name}: an image", *_pictures([path])]
    elif from_audio.wanted(path, lambda: head_of(path)):
        return from_audio.from_audio([name], verbose=False), [f"{name}: audio", *_details("audio", [path])]
    else:
        return _tfrecords(path)
    return feed, [f"{name}: {kind}, {feed.train_size} examples", *_parts(feed)]


def _csv(name: str, delimiter: str) -> tuple[Feed, str]:
    """The feed of a CSV file, and what it is: one whose first line looks like data has no header."""
    asked: dict[str, Any] = {"batch_size": 1, "delimiter": delimiter, "verbose": False}
    try:
        return from_csv.from_csv(name, **asked), "CSV"
    except HeaderError as error:
        got = getattr(error, "got", "data")
        return from_csv.from_csv(name, header=False, **asked), f"CSV without a header (its first line has {got})"


def _parts(feed: Feed) -> list[str]:
    """What an example is made of."""
    return [f"  {name}: {spec.dtype.name} {tuple(spec.shape[1:])}" for name, spec in _named("x", feed.element_spec)]


def _named(name: str, spec: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(spec, dict):
        for key, part in spec.items():
            yield from _named(str(key), part)
    elif isinstance(spec, tuple):
        for key, part in zip(("x", "y", "sample_weight"), spec, strict=False):
            yield from _named(key, part)
    else:
        yield name, spec


def _tfrecords(path: bytes) -> tuple[Feed, list[str]]:
    name = os.fsdecode(path)
    feed = from_tfrecords.from_tfrecords(name, batch_size=1, on_bad="skip", verbose=False)
    index = Shards.opened([path], skip=True).indexes[0]
    lines = [f"{name}: TFRecord, {feed.train_size} records of {index.nbytes} bytes in all, {index.compression or 'not compressed'}"]
    first = next(iter(feed.examples()))[0].numpy()
    held = [f"  {each}: {dtype}, {count} in the first record" for each, (dtype, count) in features_of(first).items()]
    return feed, lines + held
