"""What the builders of files have in common: class folders, paths with labels, and what labels become."""

from __future__ import annotations

import dataclasses
import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfinput import options
from tfinput.builders import _label_names as names
from tfinput.errors import FileError, MissingFileError, nearest, refusal, short
from tfinput.material import folders
from tfinput.material.columns import leaf
from tfinput.material.folders import shown
from tfinput.material.targets import Targets
from tfinput.sampling.labels import classes, vector_like

Array = np.ndarray[Any, Any]
MODES = ("int", "categorical", "binary", None)


@dataclass(frozen=True)
class FileOptions:
    """What a user asked of the files of a kind and of their labels; `trained` names the classes of the training data, for other data."""

    given: Any
    mode: str | None
    class_names: Any
    follow_links: bool
    verbose: bool
    wanted: folders.Wanted
    kind: str
    masks: bool = True  # whether labels may be paths of masks
    trained: tuple[str, ...] | None = None

    def after(self, class_names: tuple[str, ...] | None) -> FileOptions:
        """The same of validation or test data, where a label must mean what it means in the training data."""
        return dataclasses.replace(self, trained=class_names or ())

    def inferred(self, subject: Any) -> bool:
        """Whether the labels of a subject come from its folders."""
        return _is_path(subject) and isinstance(self.given, str) and self.mode is not None


@dataclass(frozen=True)
class LabeledFiles:
    """Files with what belongs to each: labels as given, targets for the model, or masks."""

    paths: list[bytes]
    labels: Array | None = None
    class_names: tuple[str, ...] | None = None
    mode: str | None = None
    masks: list[bytes] | None = None

    def kept(self, chosen: Array) -> LabeledFiles:
        """Only the files at some indices."""
        masks = None if self.masks is None else [self.masks[index] for index in chosen]
        labels = None if self.labels is None else self.labels[chosen]
        return dataclasses.replace(self, paths=[self.paths[index] for index in chosen], labels=labels, masks=masks)

    @property
    def about(self) -> dict[str, Any]:
        """The fields of a source over them that tell which example is which."""
        encoded = None if self.labels is None or self.mode is None else self._encoded
        return {"labels": lambda: self.labels, "encoded": encoded, "class_names": self.class_names, "paths": self.paths}

    def _encoded(self, chosen: Array) -> Array:
        targets = self.kept(chosen).targets
        assert targets is not None
        return np.asarray(targets.encoded(targets.tensor))

    @property
    def targets(self) -> Targets | None:
        """What the model is to learn of each file, or None without labels."""
        if self.labels is None:
            return None
        return Targets(leaf("labels", self.labels), self.mode, len(self.class_names or ()))


def _is_path(subject: Any) -> bool:
    return isinstance(subject, (str, bytes, os.PathLike))


def checked(asked: FileOptions) -> FileOptions:
    """What was asked, once its options were checked."""
    options.one_of("label_mode", asked.mode, (*MODES[:-1], "image", None) if asked.masks else MODES)
    return dataclasses.replace(asked, class_names=_class_names(asked.class_names))


def labeled_files(subject: Any, asked: FileOptions, name: str) -> LabeledFiles:
    """The files of a subject, with their labels."""
    asked = checked(asked)
    pair = isinstance(subject, tuple) and len(subject) == 2
    if _is_path(subject):
        made = _folder(subject, asked, name)
    elif pair and _is_path(subject[0]) and not _is_path(subject[1]) and os.path.isdir(os.path.expanduser(subject[0])):
        made = _folder(subject[0], dataclasses.replace(asked, given=subject[1]), name, own=True)
    elif pair and not _is_path(subject[0]):
        paths = paths_of(name, subject[0])
        made = pairs(paths, names.paired(f"{name} labels", subject[0], paths, subject[1], asked.kind), asked, name)
    else:
        made = LabeledFiles(paths_of(name, subject))
    return settled(made, asked, name)


def settled(made: LabeledFiles, asked: FileOptions, name: str = "") -> LabeledFiles:
    """What was found, once it was checked and told."""
    if asked.mode == "image" and made.masks is None:
        got = "none" if made.labels is None else f"classes {short(made.class_names)}" if made.class_names else "numbers"
        raise refusal(f"{name} labels", "paths of pictures for label_mode='image'", got, "Pass (paths, paths of targets).")
    if made.mode == "binary" and len(made.class_names or ()) != 2:
        got = f"{len(made.class_names or ())}: {short(made.class_names)}"
        raise refusal("label_mode='binary'", "two classes", got, "Use label_mode='int' or 'categorical'.")
    if asked.verbose:
        belonging = f" belonging to {len(made.class_names)} classes" if made.class_names else ""
        where = f" in {name}" if name and asked.trained is not None else ""
        print(f"Found {len(made.paths)} {asked.kind}{belonging}{where}.")
    return made


def _class_names(given: Any) -> list[str] | None:
    if given is None:
        return None
    if isinstance(given, (str, bytes)):
        raise refusal("class_names", "a list of names", short(given), f"Pass [{given!r}].", TypeError)
    names = [str(name) for name in given]
    if len(set(names)) < len(names):
        raise refusal("class_names", "each name once", f"a name twice in {short(names)}", "Remove it.")
    return names


def _folder(subject: Any, asked: FileOptions, name: str, own: bool = False) -> LabeledFiles:
    """The files of a folder; `own` says that the labels asked for are those of these very files, not of the training files."""
    root = folders.folder_of(name, subject)
    inferred = asked.inferred(subject)
    if isinstance(asked.given, str):
        options.one_of("labels", asked.given, ("inferred", None))
    elif asked.given is not None and asked.trained is not None and not own:
        raise refusal(name, "(paths, labels), since labels are those of the training files", "a folder", "Pass (paths, labels).")
    chosen = _known_folders(root, asked, name) if inferred and asked.trained is not None else asked.class_names
    listing = folders.listed(root, asked.wanted, inferred, chosen, asked.follow_links, asked.kind)
    if asked.verbose and listing.said(root):
        print(listing.said(root))
    if not inferred:
        return LabeledFiles(listing.paths) if asked.given is None or asked.mode is None else _labelled(listing.paths, root, asked, name)
    if asked.trained is None or listing.labels is None:
        return LabeledFiles(listing.paths, listing.labels, listing.class_names, asked.mode)
    numbers = np.array([asked.trained.index(each) for each in listing.class_names or ()], np.int32)
    return LabeledFiles(listing.paths, numbers[listing.labels], asked.trained, asked.mode)


def _labelled(paths: list[bytes], root: bytes, asked: FileOptions, name: str) -> LabeledFiles:
    """A folder's files with labels by name, or with a list of them in the files' order."""
    if names.is_table(asked.given):
        return pairs(paths, names.aligned(f"{name} labels", paths, asked.given, asked.kind, root), asked, name)
    made = pairs(paths, asked.given, asked, name)
    stems = [[os.path.splitext(os.path.basename(path))[0] for path in each] for each in (paths, made.masks or ())]
    if stems[0] != stems[1]:
        names.refuse_doubtful(f"{name} labels", paths, root)
    return made


def _known_folders(root: bytes, asked: FileOptions, name: str) -> list[str]:
    """The class folders of validation or test data: a class may be missing there, but none may be new."""
    there = folders.class_folders(root, asked.follow_links)
    known = asked.trained or ()
    unknown = [each for each in there if each not in known]
    if unknown and asked.class_names is None:
        fix = nearest(unknown[0], known).strip() or "Remove it, or name the classes to use in class_names."
        raise refusal(f"{name} {shown(root)}", f"the classes of the training data, {short(list(known))}", f"a class {unknown[0]!r}", fix)
    return [each for each in known if each in there]


def pairs(paths: list[bytes], labels: Any, asked: FileOptions, name: str) -> LabeledFiles:
    """Files (or other examples) with labels of their number."""
    if labels is None or asked.mode is None:
        return LabeledFiles(paths)
    array = _label_array(f"{name} labels", labels)
    if array.ndim == 0 or len(array) != len(paths):
        got = "one value" if array.ndim == 0 else f"{len(array)}"
        raise refusal(f"{name} labels", f"{len(paths)}, one per file", got, "Pass one label per path.")
    if array.dtype.kind in "USOT" and array.ndim == 1:
        texts = [_text(f"{name} labels[{place}]", each) for place, each in enumerate(array.tolist())]
        if asked.masks and any(os.path.isfile(each) for each in texts):
            return _masked(paths, texts, asked, name)
        return _named(paths, texts, asked, name)
    known = asked.class_names or asked.trained
    if asked.mode in ("int", "image"):
        single = array.ndim == 1 and array.dtype.kind in "iub"
        if single and asked.class_names is not None:
            _in_range(array, asked.class_names, name)
        found = known or (map(str, np.unique(array).tolist()) if single else None)
        return LabeledFiles(paths, array, None if found is None else tuple(found), None)
    numbers = classes(f"{name} labels", array)
    if numbers.dtype.kind not in "iub" or numbers.min() < 0:
        wrong = numbers[0] if numbers.dtype.kind not in "iub" else numbers.min()
        raise refusal(f"{name} labels", "classes numbered from 0 on", short(wrong.item()), "Use label_mode='int'.")
    known = known or [str(number) for number in range(int(numbers.max()) + 1)]
    _in_range(numbers, known, name)
    return LabeledFiles(paths, numbers.astype(np.int32), tuple(known), asked.mode)


def _masked(paths: list[bytes], texts: list[str], asked: FileOptions, name: str) -> LabeledFiles:
    """Files with masks, or with pictures as targets."""
    if asked.mode not in ("int", "image"):
        fix = "Use 'int' (and a sparse loss, or tf.one_hot in preprocess), or 'image' if the targets are pictures."
        raise refusal(f"label_mode of {name} masks", "'int' or 'image'", repr(asked.mode), fix)
    return LabeledFiles(paths, masks=paths_of(f"{name} masks", texts))


def _label_array(what: str, labels: Any) -> Array:
    if isinstance(labels, (list, tuple)) and any(map(_is_path, labels)):
        # NumPy would make text of whatever else there is: of numbers, None and NaN.
        return np.fromiter(labels, object, len(labels))
    return vector_like(what, labels)


def _in_range(numbers: Array, known: Sequence[str], name: str) -> None:
    outside = numbers[(numbers < 0) | (numbers >= len(known))]
    if len(outside):
        fix = "Name every class in class_names."
        raise refusal(f"{name} labels", f"numbers from 0 to {len(known) - 1}, of the classes {short(list(known))}", str(outside[0]), fix)


def _text(what: str, label: Any) -> str:
    if not _is_path(label):
        raise refusal(what, "a class name or a path, as the others", f"{type(label).__name__} {short(label, 30)}", "Pass str.", TypeError)
    return os.fsdecode(label)


def _named(paths: list[bytes], texts: list[str], asked: FileOptions, name: str) -> LabeledFiles:
    known = asked.class_names or asked.trained or sorted(set(texts))
    number = {each: place for place, each in enumerate(known)}
    for place, each in enumerate(texts):
        if each not in number:
            fix = nearest(each, known).strip() or "Correct it, or name every class in class_names."
            raise refusal(f"{name} labels[{place}]", f"one of the classes {short(list(known))}", short(each), fix)
    return LabeledFiles(paths, np.array([number[each] for each in texts], np.int32), tuple(known), asked.mode)


def files_of(name: str, given: Any) -> list[bytes]:
    """The files of a path, a list of paths, or a pattern; a path that is there is never taken for a pattern."""
    if not _is_path(given):
        return paths_of(name, given)
    path = os.fsencode(os.path.expanduser(given))
    found = [path] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True))
    if not found:
        what, expected = f"{name} {shown(path)}", "a file, or a pattern that matches some"
        raise refusal(what, expected, "no such file", folders.remedy(path), MissingFileError)
    return paths_of(name, found)


def paths_of(name: str, given: Any) -> list[bytes]:
    """Paths of files that are there, as bytes."""
    if _is_path(given):
        raise refusal(name, "a list of paths", "one path", "Pass [path].", TypeError)
    if hasattr(given, "columns"):
        fix = "Pass its column of paths; a table that holds the data itself is for tfinput.from_arrays."
        raise refusal(name, "paths", f"a table of {short(list(given.columns))}", fix, TypeError)
    try:
        paths = [os.fsencode(each) for each in given]
    except TypeError as error:
        raise refusal(name, "a folder, paths, or (paths, labels)", short(given), "Pass paths as str or pathlib.Path.", TypeError) from error
    if not paths:
        raise refusal(name, "at least one path", "an empty list", "Check the list.")
    for place, path in enumerate(paths):
        if not os.path.isfile(path):
            there = "a folder" if os.path.isdir(path) else "no regular file"
            got = there if os.path.exists(path) else folders.absent(path, "no file there")
            kind = FileError if os.path.exists(path) else MissingFileError
            raise refusal(f"{name}, path {place}: {shown(path)}", "a file", got, folders.remedy(path), kind)
    return paths
