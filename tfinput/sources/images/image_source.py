"""Images as a source: files decoded one by one in the graph, and what is wrong with those that cannot be."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import tensorflow as tf

from tfinput.errors import FileError, MissingFileError, refusal
from tfinput.material.columns import digest_files, fingerprint
from tfinput.material.folders import HEAD, shown
from tfinput.material.targets import Targets
from tfinput.sources.base import Loader, Source
from tfinput.sources.images import fast_path, headers, palettes
from tfinput.sources.images.decode import pixels
from tfinput.sources.images.masks import disagreement, fault
from tfinput.sources.images.resize import ImageOptions, Mask, resized

MASK = "a mask, whose pixels are classes"


@dataclass(frozen=True)
class Pictures:
    """A list of image files and how to look at them."""

    paths: list[bytes]
    look: ImageOptions
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
        digest_files(self.paths, into)


class Fault(NamedTuple):
    """What is wrong with a file, what it should be, and what to do."""

    got: str
    expected: str = f"an image ({', '.join(headers.KINDS)})"
    fix: str = "Replace or remove it, or pass on_bad='skip'."


def source(pictures: Pictures, targets: Targets | None = None, masks: Pictures | None = None, **about: Any) -> Source:
    """The source over pictures, with targets or masks (or pictures) of the same number; `about` are fields of the Source."""
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

    decode = fast_path.decoder(pictures.paths, pictures.look) if masks is None else None

    def fast_load(row: Any, seed: Any) -> Any:
        del seed
        assert decode is not None
        image = decode(tf.io.read_file(row[0]))
        return image if targets is None else (image, targets.encoded(row[-1]))

    def explain(row: Any, error: Exception) -> Exception:
        return explained([path.numpy() for path in row[: len(scene)]], looks, error)

    specs = tuple(part.spec for part in parts)
    return Source(
        size=len(pictures.paths),
        spec=specs[0] if len(specs) == 1 else specs,
        read=read,
        loader=Loader(load=load, explain=explain, random=pictures.look.crop is not None, fast_load=fast_load if decode else None),
        fingerprint=lambda: fingerprint(*parts),
        locate=lambda index: shown(pictures.paths[index]),
        in_memory=False,
        **about,
    )


def _decoded(paths: Any, looks: list[ImageOptions], seed: Any) -> tuple[Any, ...]:
    """Pictures of one scene: a random crop cuts the same place out of all."""
    seen: list[Any] = []
    for path, look in zip(paths, looks, strict=True):
        # One after another: see `branches.apart`. Examples are made side by side anyway.
        with tf.control_dependencies([image for image, _ in seen[-1:]]):
            seen.append(pixels(tf.io.read_file(path), look, seed))
    # A mask of another size than its image would be stretched over it unseen.
    same = [tf.debugging.assert_equal(whole, seen[0][1]) for _, whole in seen[1:]]
    with tf.control_dependencies([each for each in same if each is not None]):
        return tuple(resized(tf.identity(image), look) for (image, _), look in zip(seen, looks, strict=True))


def explained(paths: list[bytes], looks: list[ImageOptions], error: Exception) -> Exception:
    """Why the images of an example could not be decoded: which file, and what is wrong with it."""
    sizes = []
    for path, look in zip(paths, looks, strict=True):
        data, unread = _read(path)
        found = Fault(unread) if unread else problem(data, look)
        if found is not None:
            missing = not os.path.exists(path)
            fix = "Restore the file." if missing else found.fix
            made = refusal(shown(path), found.expected, found.got, fix, MissingFileError if missing else FileError)
            if path != paths[0]:  # Lists of broken files are by image.
                made.got = f"its {'target' if look.mask is None else 'mask'} {shown(path)}: {found.got}"  # type: ignore[attr-defined]
            return made
        sizes.append(_size(data, look))
    if len(set(sizes)) > 1:
        other = "target" if looks[-1].mask is None else "mask"
        what = f" and its {other} ".join(map(shown, paths))
        both = " and ".join(f"{width} x {height}" for width, height in sizes)
        return refusal(what, "pictures of one size", both, f"Pair each image with its own {other}.", FileError)
    said = (str(error).strip().splitlines() or [""])[0]
    return refusal(shown(paths[0]), "an image that decodes each time", f"{type(error).__name__}: {said}", "Check the file.", FileError)


def _read(path: bytes) -> tuple[bytes, str | None]:
    try:
        with open(path, "rb") as file:
            return file.read(), None
    except OSError as error:
        return b"", "no file" if isinstance(error, FileNotFoundError) else f"{error.strerror}"


def _size(data: bytes, look: ImageOptions) -> tuple[int, int]:
    """Width and height of a sound file."""
    told = headers.header(data)
    assert told is not None
    turned = look.exif and told.kind == "JPEG" and headers.orientation(data) >= 5
    return (told.height, told.width) if turned else (told.width, told.height)


def problem(data: bytes, look: ImageOptions) -> Fault | None:
    """What is wrong with a file of these bytes, or None; they are decoded if their header is in order."""
    kind = headers.kind(data[:HEAD])
    if kind is None:
        return Fault(headers.described(data[:HEAD]))
    told = headers.header(data)
    if told is None:
        return Fault(f"a damaged {kind} (cut off or broken)")
    refused = told.problem or _unfit(told, look)
    if refused:
        return Fault(refused)
    try:
        with tf.device("CPU:0"):
            pixels(tf.constant(data), look, None)
    except tf.errors.OpError as error:
        wrong = None if look.mask is None else _no_mask(data, look, look.mask, told.kind)
        if wrong is not None:
            return wrong
        said = str(error.message).split("[Op:")[0].split("}} ")[-1].strip().splitlines()[0].rstrip(".")
        # What is found here, and not by a decoder, is about numbers.
        why = "" if said.startswith("Expected 'tf.Tensor") else f": {said}"
        return Fault(f"a damaged {told.kind} ({len(data)} bytes{why})")
    return None


def _no_mask(data: bytes, look: ImageOptions, mask: Mask, kind: str) -> Fault | None:
    """Why a sound file is no mask, if that is what is wrong with it."""
    if palettes.lossy(data) and not mask.lossy:
        fix = "Replace it, save all masks as PNG, or pass on_bad='skip'."
        return Fault(f"a {kind} with loss, which keeps no exact classes, among masks without loss", MASK, fix)
    palette = None if mask.classes else palettes.palette(data)
    if palette is not None and not palettes.agree(palette, mask.palette):
        got, fix = disagreement(palette, mask)
        return Fault(f"a {kind} with {got}", MASK, fix)
    try:
        with tf.device("CPU:0"):
            image, _ = pixels(tf.constant(data), replace(look, channels=4, mask=None), None)
    except tf.errors.OpError:
        return None
    found = fault(image.numpy(), mask, kind)
    return found and Fault(found[0], MASK, found[1])


def _unfit(header: headers.ImageHeader, look: ImageOptions) -> str | None:
    """Why a sound file cannot become what is asked for."""
    if look.bits == 16 and header.kind != "PNG":
        return f"a {header.kind}, which has 8 bits a channel, for dtype='uint16'"
    if look.bits == 16 and header.bits != 16:
        return f"a PNG of {header.bits} bits a channel, for dtype='uint16'"
    if header.bits > 8 and look.bits == 8:
        hint = "" if look.mask or header.kind != "PNG" else " (dtype='uint16' keeps it)"
        return f"a {header.kind} of {header.bits} bits a channel, whose depth 8 bits would lose{hint}"
    if header.kind == "JPEG" and header.channels == 4 and look.channels == 1:
        return "a CMYK JPEG, which TensorFlow does not turn gray"
    height, width = look.size
    if look.fit == "pad" and min(header.height, header.width) < max(header.width / width, header.height / height):
        return f"a {header.kind} of {header.width} x {header.height} pixels, too narrow to be padded to {width} x {height}"
    if header.kind == "WebP" and not hasattr(tf.io, "decode_webp"):
        return f"a WebP, which TensorFlow {tf.__version__} does not read"
    return None
