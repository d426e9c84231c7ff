"""Labels by name: each file gets the label that its name has, in any order of the table, and what does not match is told."""

from __future__ import annotations

import re
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pictures import encoded, number, numbers, written

import tfinput

COUNT = 12
NAMES = [f"{'cats' if place % 2 else 'dogs'}/img{place}" for place in range(COUNT)]


def image(place: int) -> bytes:
    return number(place)


def text(place: int) -> bytes:
    return b"%d" % place


BUILDERS = {
    "images": (tfinput.from_images, ".png", image, {"image_size": (4, 5)}, numbers),
    "text": (tfinput.from_text, ".txt", text, {}, lambda batch: [int(each) for each in batch.numpy()]),
    "audio": (tfinput.from_audio, ".wav", None, {}, lambda batch: np.rint(batch.numpy()[:, 0, 0] * 2**15).astype(int).tolist()),
}
builders = pytest.mark.parametrize("builder", BUILDERS)


class Case:
    """A folder whose files hold their own numbers, in an order that is not the listing's."""

    def __init__(self, builder: str, root: Path, names: list[str] = NAMES) -> None:
        self.build, self.suffix, self.content, self.options, self.read = BUILDERS[builder]
        self.root = root / "data"
        self.paths = [self.root / f"{name}{self.suffix}" for name in names]
        for place, path in enumerate(self.paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.write(path, place)

    def write(self, path: Path, place: int) -> None:
        if self.content is not None:
            path.write_bytes(self.content(place))
            return
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 8000, 4, "NONE", ""))
            file.writeframes(np.full(4, place, "<i2").tobytes())

    def feed(self, labels: Any, subject: Any = None, **options: Any) -> tfinput.Feed:
        how = {"labels": labels, "verbose": False, "batch_size": 5} | self.options | options
        feed = self.build(self.root if subject is None else subject, **how)
        assert isinstance(feed, tfinput.Feed)
        return feed

    def pairs(self, feed: tfinput.Feed, split: str = "train") -> list[tuple[int, Any]]:
        """What each file holds, and its label."""
        return [(place, label) for x, y in feed.examples(split) for place, label in zip(self.read(x), y.numpy().tolist(), strict=True)]

    def assert_right(self, feed: tfinput.Feed) -> None:
        pairs = self.pairs(feed)
        assert sorted(place for place, _ in pairs) == list(range(COUNT))
        assert all(label == place + 0.5 for place, label in pairs)


WAYS: dict[str, Callable[[Case, Path], str]] = {
    "file name": lambda _, path: path.name,
    "stem": lambda _, path: path.stem,
    "path in the folder": lambda case, path: str(path.relative_to(case.root)),
    "path in the folder without a suffix": lambda case, path: str(path.relative_to(case.root).with_suffix("")),
    "path with a dot before it": lambda case, path: f"./{path.relative_to(case.root)}",
    "whole path": lambda _, path: str(path),
}
ORDERS = {"counted": range(COUNT), "reversed": range(COUNT - 1, -1, -1), "mixed": [5, 0, 11, 3, 8, 1, 10, 2, 7, 4, 9, 6]}


@builders
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("order", ORDERS)
def test_each_file_gets_the_label_of_its_name(tmp_path: Path, builder: str, way: str, order: str) -> None:
    case = Case(builder, tmp_path)
    table = {WAYS[way](case, case.paths[place]): place + 0.5 for place in ORDERS[order]}
    case.assert_right(case.feed(table))
    case.assert_right(case.feed(pd.Series(table)))


@builders
def test_tables_of_all_kinds(tmp_path: Path, builder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(builder, tmp_path)
    frame = pd.DataFrame({"file": [path.name for path in case.paths], "value": np.arange(COUNT) + 0.5})
    shuffled = frame.sample(frac=1, random_state=0).set_index("file")
    case.assert_right(case.feed(shuffled["value"]))
    case.assert_right(case.feed({path: place + 0.5 for place, path in enumerate(case.paths)}))
    case.assert_right(case.feed("inferred", (case.root, shuffled["value"])))
    for place, label in case.pairs(case.feed(shuffled.assign(twice=2 * shuffled["value"]))):
        assert label == [place + 0.5, 2 * place + 1]
    monkeypatch.chdir(tmp_path)  # As a table has the paths of glob("data/**").
    case.assert_right(case.feed({str(path.relative_to(tmp_path)): place + 0.5 for place, path in enumerate(case.paths)}, "data"))


@builders
def test_class_names_by_name(tmp_path: Path, builder: str) -> None:
    case = Case(builder, tmp_path)
    table = {path.name: "even" if place % 2 == 0 else "odd" for place, path in reversed(list(enumerate(case.paths)))}
    for labels in (table, pd.Series(table), pd.Series(table, dtype="category")):
        feed = case.feed(labels, validation_split=4)
        assert feed.class_names == ("even", "odd")
        for split in ("train", "validation"):
            assert all(label == place % 2 for place, label in case.pairs(feed, split))
            assert feed.labels[split].tolist() == [int(Path(path).stem[3:]) % 2 for path in feed.paths[split]]
    one_hot = case.feed(table, label_mode="categorical")
    assert all(label == [1 - place % 2, place % 2] for place, label in case.pairs(one_hot))


def test_masks_by_name(tmp_path: Path) -> None:
    case = Case("images", tmp_path)
    masks = written(tmp_path / "masks", {f"m{place}.png": encoded(np.full((4, 5), place, np.uint8), "PNG") for place in range(COUNT)})
    feed = case.feed({path.stem: masks / f"m{place}.png" for place, path in reversed(list(enumerate(case.paths)))})
    for images, masked in feed.examples():
        assert numbers(images) == masked.numpy()[:, 0, 0, 0].tolist()


def test_broken_files_and_validation_folders_keep_the_labels_of_their_names(tmp_path: Path) -> None:
    case = Case("images", tmp_path)
    other = Case("images", tmp_path / "other", [f"new{place}" for place in range(COUNT)])
    case.paths[2].write_bytes(b"broken")
    table, own = ({path.name: place + 0.5 for place, path in enumerate(each.paths)} for each in (case, other))
    feed = case.feed(pd.Series(table), on_bad="skip", validation_data=(other.root, own))
    assert sorted(place for place, _ in case.pairs(feed)) == [place for place in range(COUNT) if place != 2]
    assert all(label == place + 0.5 for split in ("train", "validation") for place, label in case.pairs(feed, split))
    with pytest.raises(ValueError, match=re.escape("validation_data: expected (paths, labels), since labels are those of the training")):
        case.feed(table, validation_data=other.root)


UNLIKE: dict[str, tuple[Callable[[dict[str, float]], Any], str, type[Exception]]] = {
    "missing": (
        lambda table: {name: table[name] for name in list(table)[4:]},
        r"expected a label for each of the 12 images, by its name, got no label of 'cats/img1.png', 'cats/img3.png', 'dogs/img0.png', … "
        r"\(4 in all\)\. Add what is missing",
        ValueError,
    ),
    "surplus": (
        lambda table: table | {"img99.png": 1.0, "other.txt": 2.0},
        r"got labels of 'img99.png', 'other.txt' \(2 in all\), which are not there",
        ValueError,
    ),
    "another suffix": (
        lambda table: {name.replace("png", "jpg"): value for name, value in table.items()},
        r"got no label of .*\(12 in all\) and labels of 'img0.jpg', 'img1.jpg', 'img2.jpg', … \(12 in all\), which are not there",
        ValueError,
    ),
    "one twice": (
        lambda table: pd.Series([*table.values(), 0.0], index=[*table, "img3.png"]),
        r"expected each name once, got 'img3.png' twice",
        ValueError,
    ),
    "one by two names": (lambda table: table | {"cats/img3.png": 3.0}, r"got 'img3.png' and 'cats/img3.png', which are both", ValueError),
    "rows without names": (
        lambda table: pd.Series(list(table.values())),
        r"expected the names of the files beside their labels, got a Series with RangeIndex\(start=0, stop=12, step=1\)\. "
        r"Pass table\.set_index\('file'\)\['label'\]",
        TypeError,
    ),
    "a frame without names": (lambda table: pd.DataFrame({"value": list(table.values())}), r"a DataFrame with RangeIndex", TypeError),
    "rows of a shuffled table": (
        lambda table: pd.Series(list(table.values())).sample(frac=1, random_state=0),
        r"the names of the files beside",
        TypeError,
    ),
    "numbers as names": (lambda table: dict(enumerate(table.values())), r"got the key 0\. ", TypeError),
    "two levels": (
        lambda table: pd.Series(list(table.values()), pd.MultiIndex.from_product([[0], list(table)])),
        r"the names of the files beside",
        TypeError,
    ),
}


@pytest.mark.parametrize("case", UNLIKE)
def test_tables_that_do_not_fit_the_files_are_refused(tmp_path: Path, case: str) -> None:
    make, said, kind = UNLIKE[case]
    folder = Case("images", tmp_path)
    with pytest.raises(kind, match=f"^tfinput: images labels: .*{said}"):
        folder.feed(make({path.name: float(place) for place, path in enumerate(folder.paths)}))


def test_a_name_that_two_files_have_is_refused_and_their_paths_are_taken(tmp_path: Path) -> None:
    case = Case("images", tmp_path, [f"{folder}/{place:02}" for folder in "ab" for place in range(6)])
    said = "expected names that mean one file each, got '00.png', which may be 'a/00.png', 'b/00.png'"
    with pytest.raises(ValueError, match=re.escape(said)):
        case.feed({f"{place:02}.png": 0.0 for place in range(6)})
    case.assert_right(case.feed({str(path.relative_to(case.root)): place + 0.5 for place, path in enumerate(case.paths)}))
    alike = Case("images", tmp_path / "alike", ["x"])
    written(alike.root, {"x.bmp": encoded(np.zeros((4, 5, 3), np.uint8), "BMP")})
    with pytest.raises(ValueError, match=re.escape("got 'x', which may be 'x.bmp', 'x.png'")):
        alike.feed({"x": 1.0})


DOUBTFUL = {
    "counted": ["img0", "img1", "img10", "img2"],
    "counted folders": ["day1/a", "day10/a", "day2/a"],
    "counted in the middle": ["a_1_x", "a_12_x", "a_3_x"],
    "counted twice": ["s1_f2", "s1_f9", "s1_f10"],
    "files beside folders": ["z", "a/1"],
    "folders that begin alike": ["a/1", "a-b/1"],
}


@builders
@pytest.mark.parametrize("names", DOUBTFUL.values(), ids=DOUBTFUL)
def test_a_list_for_files_that_people_order_in_several_ways_is_refused(tmp_path: Path, builder: str, names: list[str]) -> None:
    case = Case(builder, tmp_path, names)
    values = [place + 0.5 for place in range(len(names))]
    for labels in (values, tuple(values), np.array(values)):
        for options in ({"labels": labels}, {"labels": "inferred", "subject": (case.root, labels)}):
            with pytest.raises(
                ValueError, match=r"labels: expected labels by name, got a list, while \S+ comes before \S+ here.* Pass a dict"
            ):
                case.feed(**options)
    feed = case.feed({path.relative_to(case.root): value for path, value in zip(case.paths, values, strict=True)})
    assert sorted(case.pairs(feed)) == [(place, place + 0.5) for place in range(len(names))]
    feed = case.feed("inferred", (case.paths, values))
    assert case.pairs(feed) == [(place, place + 0.5) for place in range(len(names))]


PLAIN = {
    "padded": [f"img{place:02}" for place in range(COUNT)],
    "hashed": ["0a1b", "12aa", "3fe0", "9c", "a77b", "a8"],
    "words": ["ant", "bee", "cat2", "dog10"],
    "folders": ["a/01", "a/02", "b/01", "b/10"],
    "numbers of one width": ["8", "9"],
}


@builders
@pytest.mark.parametrize("names", PLAIN.values(), ids=PLAIN)
def test_a_list_goes_by_the_order_of_paths(tmp_path: Path, builder: str, names: list[str]) -> None:
    case = Case(builder, tmp_path, names)
    feed = case.feed([place + 0.5 for place in range(len(names))])
    assert case.pairs(feed) == [(place, place + 0.5) for place in range(len(names))]
    shown = case.feed(None).paths["train"]
    assert shown.tolist() == feed.paths["train"].tolist() == sorted(map(str, case.paths))


def test_listed_masks_that_are_called_as_their_images_are_taken(tmp_path: Path) -> None:
    case = Case("images", tmp_path, [f"img{place}" for place in range(COUNT)])
    masks = written(tmp_path / "masks", {f"img{place}.png": encoded(np.full((4, 5), place, np.uint8), "PNG") for place in range(COUNT)})
    for images, masked in case.feed(sorted(masks.iterdir())).examples():
        assert numbers(images) == masked.numpy()[:, 0, 0, 0].tolist()


@builders
def test_listed_files_go_with_the_rows_of_their_table(tmp_path: Path, builder: str) -> None:
    case = Case(builder, tmp_path)
    table = pd.DataFrame({"path": case.paths, "value": np.arange(COUNT) + 0.5}).sample(frac=1, random_state=1)
    named = pd.Series({path.name: place + 0.5 for place, path in enumerate(case.paths)})
    for subject in (
        (table["path"], table["value"]),
        (table["path"], table["value"].sort_index()),
        (table["path"].tolist(), table["value"]),
        (table["path"], table["value"].to_numpy()),
        (table["path"], named),
        (table["path"].tolist(), named),
        (case.paths * 2, named.to_dict()),
    ):
        pairs = case.pairs(case.feed("inferred", subject))
        assert {place for place, _ in pairs} == set(range(COUNT))
        assert all(label == place + 0.5 for place, label in pairs)
    with pytest.raises(ValueError, match=r"labels: expected a row named \d+, as row 0 of the paths is, got none among its \d+ rows\."):
        case.feed("inferred", (table["path"], table["value"].set_axis(range(100, 100 + COUNT))))
    with pytest.raises(ValueError, match="no label of"):
        case.feed("inferred", (table["path"].tolist(), named[3:]))


def test_lines_are_numbered_and_have_no_names(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"0\n\xff\n2\n3\n")
    values = pd.Series([0.5, 1.5, 2.5, 3.5])

    def read(labels: Any) -> list[Any]:
        feed = tfinput.from_text((path, labels), on_bad="skip", verbose=False)
        return [(int(text), label) for x, y in feed.examples() for text, label in zip(x.numpy(), y.numpy().tolist(), strict=True)]

    assert read(values) == read(values.tolist()) == [(0, 0.5), (2, 2.5), (3, 3.5)]
    with pytest.raises(ValueError, match="a Series whose index numbers the lines from 0 on"):
        read(values.sort_values(ascending=False))
    with pytest.raises(TypeError, match="4, one per line in their order, got a dict"):
        read({"a": 1})
    with pytest.raises(ValueError, match="expected 4, one per line, broken ones too, got 3"):
        read([0.5, 2.5, 3.5])
