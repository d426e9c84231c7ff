"""Folders: which files are found, in which order, whatever their names and wherever links lead."""

from __future__ import annotations

import gc
import os
import signal
import tracemalloc
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from pictures import encoded, noise, number, numbers, written

import tfinput
from tfinput.builders import from_images
from tfinput.material import folders

BLANK = number(0)
SIZE: dict[str, Any] = {"image_size": (4, 5)}


def listed(root: Path, classes: bool = False, class_names: Any = None, follow_links: bool = False) -> folders.Listing:
    return folders.listed(os.fsencode(root), from_images.wanted, classes, class_names, follow_links, "images")


def names(root: Path, **options: Any) -> list[str]:
    """The names of the files that are found, within the folder."""
    return [os.fsdecode(os.path.relpath(path, os.fsencode(root))) for path in listed(root, **options).paths]


TREE = ["b/z.png", "b/a/x.jpg", "b/a b/y.png", "b/a.b/y.png", "b/B.png", "B/1.png", "B/10.png", "B/2.png", "é/1.png", "a/c/d/e/f.bmp"]


def test_the_order_is_that_of_keras(tmp_path: Path) -> None:
    written(tmp_path, dict.fromkeys(TREE, encoded(noise(4, 4), "PNG")))
    for options in ({}, {"class_names": ["b", "B"]}, {"labels": None}):
        theirs = keras.utils.image_dataset_from_directory(tmp_path, shuffle=False, verbose=False, **options)
        inferred = "labels" not in options
        found = listed(tmp_path, inferred, options.get("class_names"))
        assert [os.fsdecode(path) for path in found.paths] == [os.path.normpath(path) for path in theirs.file_paths]
        if inferred and found.labels is not None:
            assert found.class_names == tuple(theirs.class_names)
            assert np.array_equal(found.labels, np.concatenate([labels for _, labels in theirs]))


def test_hidden_files_and_folders_are_left_out_at_every_depth(tmp_path: Path) -> None:
    hidden = [".git/a.png", "a/.ipynb_checkpoints/a.png", "a/b/._a.png", "a/b/.a.png", "._a.png", "a/.b/c/a.png"]
    written(tmp_path, dict.fromkeys([*hidden, "a/a.png", "a/b/a.png", "a/__MACOSX/a.png"], BLANK))
    assert names(tmp_path) == ["a/a.png", "a/__MACOSX/a.png", "a/b/a.png"]
    assert listed(tmp_path, classes=True).class_names == ("a",)


NAMES = [
    *(b"a b.png", b"a[1].png", b"a*.png", b"a?.png", b"b\n.png", b"bad\xff.png", b"\xf0\x9f\x90\xb1.png", b"-rf.png", b"%d.png"),
    *(b"~.png", b"{a}.png", b"'.png", b'".png', b"a\\b.png", b"$HOME.png", b"x" * 200 + b".png"),
]


def test_every_name_is_that_of_one_file(tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"class [1]* \xfe\n")
    os.mkdir(folder)
    for place, name in enumerate(NAMES):
        Path(os.fsdecode(os.path.join(folder, name))).write_bytes(number(place))
    feed = tfinput.from_images(tmp_path, verbose=False, **SIZE)
    got = numbers(next(iter(feed.examples("train")))[0])
    assert got == sorted(range(len(NAMES)), key=lambda place: NAMES[place])
    assert feed.class_names == (os.fsdecode(b"class [1]* \xfe\n"),)
    paths = [os.fsdecode(os.path.join(folder, name)) for name in NAMES]
    assert numbers(next(iter(tfinput.from_images(paths, verbose=False, **SIZE).examples("train")))) == list(range(len(NAMES)))
    Path(paths[4]).write_bytes(b"")
    with pytest.raises(tf.errors.OpError, match=r"tfinput: \S+class \[1\]\* \\xfe\\n/b\\n\.png: expected an image"):
        list(feed.repeated.take(1))


def test_files_are_told_by_extension_and_else_by_their_first_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = encoded(noise(4, 5), "JPEG")
    files = {
        **dict.fromkeys(["A.JPG", "b.Jpeg", "c.png", "d.jfif", "e", "f.data", "g.webp", "photo.jpg.1"], image),
        "h": encoded(noise(4, 5), "BMP"),
        "i.bin": encoded(noise(4, 5), "WEBP"),
        **dict.fromkeys(["notes.txt", "read.txt", "a.tiff", "b.heic", "Thumbs.db", "README", "list.csv"], b"something else"),
    }
    written(tmp_path, {f"a/{name}": data for name, data in files.items()})
    os.mkfifo(tmp_path / "a/pipe.png")
    os.mkdir(tmp_path / "a/folder.png")
    feed = tfinput.from_images(tmp_path, **SIZE)
    said = capsys.readouterr().out.splitlines()
    assert said[1:] == ["Found 10 images belonging to 1 classes."]
    start, _, counts = said[0].rpartition(": ")
    assert start == f"Left out in {tmp_path}"
    one = [f"1 {each} files" for each in (".tiff", ".heic", ".db", "other", ".csv")]
    assert sorted(counts.rstrip(".").split(", ")) == sorted(["2 .txt files", "1 no regular files", *one])
    assert next(iter(feed.examples("train")))[0].shape == (10, 4, 5, 3)


def test_files_beside_the_class_folders_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, dict.fromkeys(["a/1.png", "loose.png", "b/1.png", "c/1.png"], BLANK) | {"notes.txt": b""})
    (tmp_path / "empty").mkdir()
    found = listed(tmp_path, True, ["b", "a", "empty"])
    assert found.class_names == ("b", "a", "empty")
    assert found.labels is not None
    assert found.labels.tolist() == [0, 1]
    counted = {"files outside of class folders": 1, ".txt files": 1, "folders not in class_names": 1, "empty class empty": 1}
    assert dict(found.left_out) == counted
    tfinput.from_images(tmp_path, class_names=["b", "a", "empty"], **SIZE)
    assert "1 files outside of class folders" in capsys.readouterr().out


# Links


def test_a_link_to_a_folder_is_followed_only_if_asked(tmp_path: Path) -> None:
    written(tmp_path, {"outside/a.png": BLANK, "root/a/b.png": BLANK})
    root = tmp_path / "root"
    for place in ("linked", "a/linked"):
        (root / place).symlink_to(tmp_path / "outside")
        for classes in (False, True):
            with pytest.raises(
                ValueError, match=rf"^tfinput: \S+/{place}: expected a folder, got a link to \S+outside\. Pass follow_links"
            ):
                listed(root, classes)
        assert f"{place}/a.png" in names(root, follow_links=True)
        (root / place).unlink()
    (root / "twin").symlink_to("a")
    assert names(root, classes=True, follow_links=True) == ["a/b.png", "twin/b.png"]


def test_a_loop_of_links_is_an_error(tmp_path: Path) -> None:
    written(tmp_path, {"a/b/c.png": BLANK})
    for place, target in (("a/b/loop", ".."), ("a/loop", "."), ("a/b/loop", "../..")):
        (tmp_path / place).symlink_to(target)
        with pytest.raises(ValueError, match="got a link to"):
            listed(tmp_path)
        for classes in (False, True):
            with pytest.raises(
                ValueError, match=r"loop\S*: expected a folder that does not contain itself, got a link to a folder above it\."
            ):
                listed(tmp_path, classes, follow_links=True)
        (tmp_path / place).unlink()


def test_links_to_files_may_not_lead_out(tmp_path: Path) -> None:
    written(tmp_path, {"outside.png": BLANK, "root/a/b.png": BLANK, "rootless/c.png": BLANK})
    root = tmp_path / "root"
    (root / "a/inside.png").symlink_to("b.png")
    assert names(root) == ["a/b.png", "a/inside.png"]
    for target in ("outside.png", "rootless/c.png"):
        (root / "a/out.png").symlink_to(tmp_path / target)
        said = (
            rf"^tfinput: \S+out\.png: expected a file in \S+root, got a link that leads out of it, to \S+{target}\. Pass follow_links=True"
        )
        with pytest.raises(ValueError, match=said):
            listed(root)
        assert names(root, follow_links=True) == ["a/b.png", "a/inside.png", "a/out.png"]
        (root / "a/out.png").unlink()


def test_links_that_lead_nowhere_are_counted(tmp_path: Path) -> None:
    written(tmp_path, {"a/b.png": BLANK})
    (tmp_path / "a/broken.png").symlink_to("nothing.png")
    (tmp_path / "a/self.png").symlink_to("self.png")
    (tmp_path / "self").symlink_to("self")
    found = listed(tmp_path)
    assert found.left_out == {"broken links": 3}
    assert len(found.paths) == 1


def test_a_root_that_is_a_link_is_a_folder(tmp_path: Path) -> None:
    written(tmp_path, {"root/a/b.png": BLANK})
    (tmp_path / "link").symlink_to("root")
    (tmp_path / "root/a/c.png").symlink_to("b.png")
    assert names(tmp_path / "link") == ["a/b.png", "a/c.png"]


# What is no folder of images

WRONG: dict[str, tuple[str, dict[str, Any], type[Exception], str]] = {
    "missing": ("nothing", {}, FileNotFoundError, r"images \S+nothing: expected a folder, got nothing there\. Check the path\."),
    "a pattern": ("a/*.png", {}, FileNotFoundError, r"images \S+png: expected a folder, got nothing there\. Pass the paths .*glob\.glob"),
    "a file": ("a/1.png", {}, OSError, r"images \S+1\.png: expected a folder, got a file\."),
    "empty": ("empty", {}, ValueError, r"\S+empty: expected a folder for each class, got no folders in it\. Put the images of each class"),
    "empty, no labels": (
        "empty",
        {"labels": None},
        ValueError,
        r"\S+empty: expected at least one of the images, got none \(none there\)\.",
    ),
    "flat": ("a", {}, ValueError, r"\S+a: expected a folder for each class, got no folders in it\."),
    "only others": ("others", {}, ValueError, r"\S+others: expected at least one of the images, got none \(2 \.txt files, 1 empty class x"),
    "unknown class": (
        "",
        {"class_names": ["a", "others", "c"]},
        ValueError,
        r"class_names: expected names of folders in \S+, got 'c', which",
    ),
    "near class": (
        "",
        {"class_names": ["other"]},
        ValueError,
        r".* got 'other', which is no folder\. Did you mean 'others'\? There are \['a'",
    ),
    "twice": ("", {"class_names": ["a", "a"]}, ValueError, r"class_names: expected each name once, got a name twice in \['a', 'a'\]\."),
    "labels": (
        "",
        {"labels": "infered"},
        ValueError,
        r"labels: expected one of 'inferred', None, got 'infered'\. Did you mean 'inferred'\?",
    ),
    "few labels": ("", {"labels": [0, 1]}, ValueError, r"images labels: expected 3, one per file, got 2\. Pass one label per path\."),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("place")
    written(root, dict.fromkeys(["a/1.png", "a/2.png", "b/3.png"], BLANK) | {"others/x/1.txt": b"", "others/x/2.txt": b""})
    (root / "empty").mkdir()
    return root


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_folder_of_images_is_refused(place: Path, case: str) -> None:
    where, options, kind, said = WRONG[case]
    with pytest.raises(kind, match=rf"^tfinput: {said}") as refused:
        tfinput.from_images(place / where, verbose=False, **options)
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, ValueError)


LISTS: dict[str, tuple[Any, type[Exception], str]] = {
    "empty": ([], ValueError, "images: expected at least one path, got an empty list."),
    "a folder": (["a/1.png", "a"], OSError, r"images, path 1: \S+/a: expected a file, got a folder\."),
    "missing": (["a/1.png", "a/none.png"], FileNotFoundError, r"images, path 1: \S+none\.png: expected a file, got no file there\."),
    "numbers": ([1, 2], TypeError, r"images: expected a folder, paths, or \(paths, labels\), got \[1, 2\]\. Pass paths as str"),
    "nothing": (None, TypeError, r"images: expected a folder, paths, or \(paths, labels\), got None\."),
    "a path with labels": (("a/1.png", [0]), TypeError, "images: expected a folder, paths, or"),
}


@pytest.mark.parametrize("case", LISTS)
def test_what_is_no_list_of_paths_is_refused(place: Path, case: str) -> None:
    given, kind, said = LISTS[case]
    if isinstance(given, list):
        given = [place / each if isinstance(each, str) else each for each in given]
    with pytest.raises(kind, match=f"^tfinput: {said}"):
        tfinput.from_images(given, verbose=False)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(OSError, match=r"path 0: \S+a\.png: expected a file, got no regular file\."):
        tfinput.from_images([tmp_path / "a.png"])


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    written(tmp_path, {"a/1.png": BLANK})
    walk = folders.Walk(os.fsencode(tmp_path), from_images.wanted, False)
    with pytest.raises(
        FileNotFoundError, match=r"^tfinput: \S+gone: expected a folder that can be listed, got No such file or directory\."
    ):
        walk.files(os.fsencode(tmp_path / "gone"))
    with pytest.raises(OSError, match=r"^tfinput: \S+1\.png: expected a folder that can be listed, got Not a directory\."):
        walk.files(os.fsencode(tmp_path / "a/1.png"))
    walk.close()


VALIDATION: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "new": (
        ["a/1.png", "zebra/1.png"],
        {},
        r"expected the classes of the training data, \['a', 'b', 'others'\], got a class 'zebra'\. Remove",
    ),
    "near": (["other/1.png"], {}, r"got a class 'other'\. Did you mean 'others'\?"),
    "labels": (["a/1.png"], {"labels": [0, 1, 2, 2]}, r"expected \(paths, labels\), since labels are those of the training files, got"),
    "targets": (["a/1.png"], {"labels": [0.5, 1, 2, 3]}, r"expected \(paths, labels\), since labels are those of the training files"),
    "none": (["x/1.png"], {"class_names": ["a", "b"]}, r"expected at least one of the images, got none"),
}


@pytest.mark.parametrize("case", VALIDATION)
def test_validation_folders_have_the_classes_of_training(tmp_path: Path, case: str) -> None:
    files, options, said = VALIDATION[case]
    trained = written(tmp_path / "trained", dict.fromkeys(["a/1.png", "a/2.png", "b/3.png", "others/4.png"], BLANK))
    other = written(tmp_path / "other", dict.fromkeys(files, BLANK))
    with pytest.raises(ValueError, match=rf"^tfinput: .*{said}"):
        tfinput.from_images(trained, validation_data=other, verbose=False, **options)


def test_class_names_choose_folders_of_validation_too(place: Path, tmp_path: Path) -> None:
    written(tmp_path, {"zebra/1.png": BLANK, "a/1.png": BLANK})
    feed = tfinput.from_images(place, class_names=["b", "a"], validation_data=tmp_path, verbose=False, **SIZE)
    assert next(iter(feed.validation))[1].numpy().tolist() == [1]


def many(folder: Path) -> Path:
    """1,000 class folders of the same 200 files: links to folders cost one call for all of them."""
    (folder / "class").mkdir()
    for place in range(200):
        (folder / "class" / f"{place:08}.png").write_bytes(b"")
    for place in range(1, 1000):
        (folder / f"class{place:04}").symlink_to("class")
    return folder


def test_many_files_take_little_memory(tmp_path: Path) -> None:
    many(tmp_path)
    tracemalloc.start()
    try:
        found = listed(tmp_path, classes=True, follow_links=True)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.paths) == len(set(found.paths)) == 200_000
    assert found.paths == sorted(found.paths)
    assert found.labels is not None
    assert np.array_equal(found.labels, np.repeat(np.arange(1000), 200))
    length = len(found.paths[-1])
    assert kept / 200_000 < length + 60
    assert peak / 200_000 < length + 100


# An interrupt may come between `os.scandir` and `with`; Python then closes the folder, and says that it had to.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <posix.ScandirIterator:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed scandir iterator:ResourceWarning")
def test_listing_many_files_can_be_interrupted_at_any_moment(tmp_path: Path) -> None:
    def interrupted(after: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, after)
        while True:
            listed(tmp_path, classes=True, follow_links=True)

    many(tmp_path)
    whole = len(listed(tmp_path, classes=True, follow_links=True).paths)
    opened = len(os.listdir("/dev/fd"))
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    gc.disable()  # Python ignores what is raised in what it calls as a collection begins.
    try:
        for moment in range(1, 21):
            with pytest.raises(KeyboardInterrupt):
                interrupted(0.004 * moment)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()
    assert len(os.listdir("/dev/fd")) == opened
    assert len(listed(tmp_path, classes=True, follow_links=True).paths) == whole == 200_000


@pytest.mark.parametrize(
    "builder", [tfinput.from_images, tfinput.from_csv, tfinput.from_parquet, tfinput.from_tfrecords, tfinput.from_text]
)
def test_tables_and_addresses_are_no_paths(builder: Any) -> None:
    table = pd.DataFrame({"path": ["a.png"], "label": [1]})
    with pytest.raises(TypeError, match=r"expected paths, got a table of \['path', 'label'\]\. Pass its column of paths; a table"):
        builder(table)
    with pytest.raises(FileNotFoundError, match=r"Only local files are read: download it, for example with keras\.utils\.get"):
        builder("https://example.com/a.csv")
