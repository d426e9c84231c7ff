"""Images as a source: files decoded one by one in the graph, and what is wrong with those that cannot be."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from tfinput.errors import FileError, MissingFileError, refusal
from tfinput.source import Loader, Source
from tfinput.sources import formats
from tfinput.sources.decoding import Look, pixels, resized
from tfinput.sources.folders import shown
from tfinput.sources.leaves import file_identity
from tfinput.sources.targets import Targets

# A fingerprint of many files reads little of each.
ENDS = 1 << 12


@dataclass(frozen=True)
class Pictures:
    """A list of image files and how to look at them."""

    paths: list[bytes]
    look: Look
    tensor: Any = field(init=False)

    def __post_init__(self) -> None:
        with tf.device("CPU:0"):
            object.__setattr__(self, "tensor", tf.constant(self.paths, tf.string))

    @property
    def spec(self) -> Any:
        """The spec of one picture."""
        return self.look.spec

    def digest(self, into: Any) -> None:
        """Feed what makes these pictures what they are to a hash object."""
        into.update(repr(self.look).encode())
        for path in self.paths:
            into.update(path + b"\0" + file_identity(os.fsdecode(path), ENDS))


def source(pictures: Pictures, targets: Targets | None = None, masks: Pictures | None = None, **about: Any) -> Source:
    """The source over pictures, with targets or masks of the same number; `about` are fields of the Source."""
    scene = [pictures] if masks is None else [pictures, masks]
    looks = [each.look for each in scene]
    parts: list[Pictures | Targets] = [*scene] if targets is None else [*scene, targets]

    def read(indices: Any) -> Any:
        return tuple(tf.gather(part.tensor, indices) for part in parts)

    def load(row: Any, seed: Any) -> Any:
        made = _decoded(row[: len(scene)], looks, seed)
        if targets is not None:
            made += (targets.encoded(row[-1]),)
        return made[0] if len(made) == 1 else made

    def explain(row: Any, error: Exception) -> Exception:
        return explained([path.numpy() for path in row[: len(scene)]], looks, error)

    def fingerprint() -> str:
        digest = hashlib.blake2b(digest_size=16)
        for part in parts:
            part.digest(digest)
        return digest.hexdigest()

    specs = tuple(part.spec for part in parts)
    return Source(
        size=len(pictures.paths),
        spec=specs[0] if len(specs) == 1 else specs,
        read=read,
        loader=Loader(load=load, explain=explain, random=pictures.look.crop is not None),
        fingerprint=fingerprint,
        in_memory=False,
        **about,
    )


def _decoded(paths: Any, looks: list[Look], seed: Any) -> tuple[Any, ...]:
    """Pictures of one scene: a random crop cuts the same place out of all."""
    whole = [_pixels(tf.io.read_file(path), look, seed) for path, look in zip(paths, looks, strict=True)]
    # A mask of another size than its image would be stretched over it unseen.
    same = [tf.debugging.assert_equal(tf.shape(each)[:2], tf.shape(whole[0])[:2]) for each in whole[1:]]
    with tf.control_dependencies([each for each in same if each is not None]):
        return tuple(_resized(tf.identity(image), look) for image, look in zip(whole, looks, strict=True))


def explained(paths: list[bytes], looks: list[Look], error: Exception) -> Exception:
    """Why the images of an example could not be decoded: which file, and what is wrong with it."""
    sizes = []
    for path, look in zip(paths, looks, strict=True):
        kinds = ", ".join(formats.KINDS)
        found = problem(path, look)
        if found is not None:
            missing = not os.path.exists(path)
            fix = "Restore the file." if missing else "Replace or remove it, or pass on_bad='skip'."
            return refusal(shown(path), f"an image ({kinds})", found, fix, MissingFileError if missing else FileError)
        with open(path, "rb") as file:
            sizes.append(formats.header(file.read()))
    if len({each[1:3] for each in sizes if each}) > 1:
        tall = " and ".join(f"{each.width} x {each.height}" for each in sizes if each)
        return refusal(f"{shown(paths[0])} and its mask", "pictures of one size", tall, "Pair each image with its own mask.", FileError)
    return refusal(shown(paths[0]), "an image", f"{type(error).__name__}: {str(error).splitlines()[0]}", "Check the file.", FileError)


def problem(path: bytes, look: Look) -> str | None:
    """What is wrong with a file, or None; decodes it if its header is in order."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        return "no file" if isinstance(error, FileNotFoundError) else f"{error.strerror}"
    if formats.kind(data[:32]) is None:
        return formats.described(data[:32])
    told = formats.header(data)
    if told is None:
        return f"a damaged {formats.kind(data[:32])} (its header is cut off or broken)"
    if told.problem is not None:
        return told.problem
    if told.kind == "PNG" and (told.bits == 16) != (look.bits == 16):
        return "a 16-bit PNG, whose depth 8 bits would lose (dtype='uint16' keeps it)" if look.bits == 8 else f"a {told.bits}-bit PNG"
    if told.kind != "PNG" and look.bits == 16:
        return f"a {told.kind}, which has 8 bits a channel"
    try:
        with tf.device("CPU:0"):
            _pixels(tf.constant(data), look, None)
    except tf.errors.OpError as error:
        said = str(error.message).split("[Op:")[0].strip().splitlines()[0].rstrip(".")
        return f"a damaged {told.kind} ({len(data)} bytes: {said})"
    return None
