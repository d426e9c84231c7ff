"""`from_tfds`: the prepared data of TensorFlow Datasets."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import tensorflow as tf

from tfinput import feed, options
from tfinput.builders import _build
from tfinput.engine import fingerprints
from tfinput.errors import MissingFileError, nearest, refusal, short
from tfinput.sampling.steps import integer
from tfinput.sources.base import Source
from tfinput.sources.datasets import dataset_source
from tfinput.sources.records import record_source, tfds_sections


@options.common_options
def from_tfds(
    subject: Any,
    *,
    train: Any = "train",
    validation: Any = None,
    test: Any = None,
    as_supervised: bool = True,
    decoders: Any = None,
    data_dir: Any = None,
    download: bool = False,
    shuffle_window: int | None = None,
    **given: Unpack[options.Options],
) -> feed.Feed:
    """Feed a Keras model from TensorFlow Datasets.

    >>> import tensorflow_datasets as tfds, tfinput
    >>> with tfds.testing.mock_data(num_examples=100):  # Made-up digits, without a download.
    ...     tfinput.from_tfds("mnist", train="train[:80%]", validation="train[80%:]", batch_size=32)
    Feed(mnist: train 100 in 4 steps of 32, validation 100 in 4 steps of 25; seed=0)

    The dataset's own files are read, without the cache, the prefetch and the shuffling that `tfds.load` adds. Those in the
    ArrayRecord format are read by number, and shuffled over all examples. Of TFRecord files, runs of neighbouring records come in
    a new order each epoch, and are shuffled within a window of `shuffle_window` records; where they are is remembered in a hidden
    file beside each. Other formats are read by TFDS, from their beginning for each epoch, and shuffled within the window. How many
    examples there are is taken from the dataset's metadata, and held to.

    Args:
        subject: the name of a dataset, as "mnist" or "cats_vs_dogs:4.0.1"; a builder; or the folder of a prepared dataset, where
            `dataset_info.json` is.
        train: the split to train on, as TFDS writes it: "train", "train[:80%]", "train+test", or a `tfds.core.ReadInstruction`.
        validation: the split to validate on, without any example of `train`. Or pass `validation_split`.
        test: the same for a test set.
        as_supervised: examples are `(x, y)`, by the dataset's `supervised_keys`; else dicts of all features, which
            `preprocess` turns into `(x, y)`.
        decoders: as for `tfds.load`: a dict with decoders of some features, or a `tfds.decode.PartialDecoding`.
        data_dir: where TFDS keeps its datasets; None takes its own default.
        download: download and prepare the dataset if it is not there.
        shuffle_window: records that are shuffled together; None takes 16,384, or fewer large ones (64 MiB).
        {common options}

    Returns:
        A `tfinput.Feed`. Its `class_names` are those of the label.

    Raises:
        ValueError: for unknown names, unknown or overlapping splits, data that is not prepared
            (`tfinput.errors.MissingFileError`, also a `FileNotFoundError`), and damaged files.
        TypeError: for unknown options, and subjects of another kind.

    """
    known = _build.begin(dict(given), from_tfds)
    if shuffle_window is not None:
        integer("shuffle_window", shuffle_window)
    asked = {
        name: expression for name, expression in (("train", train), ("validation", validation), ("test", test)) if expression is not None
    }
    _refuse_twice(asked, known)
    builder = _prepared(_builder(subject, data_dir), data_dir, download)
    wanted = _wanted(builder, as_supervised, decoders)
    if _mocked(builder):
        made = {name: _streamed(builder, expression, None, wanted, shuffle_window) for name, expression in asked.items()}
        return _build.build(made["train"], known, made.get("validation"), made.get("test"))
    pieces = {name: _pieces(builder, name, expression) for name, expression in asked.items()}
    _refuse_overlaps(pieces, asked)
    made = {name: _source(builder, asked[name], found, wanted, shuffle_window) for name, found in pieces.items()}
    return _build.build(made["train"], known, made.get("validation"), made.get("test"))


def _refuse_twice(asked: dict[str, Any], known: dict[str, Any]) -> None:
    if "train" not in asked:
        raise refusal("train", "a split such as 'train[:80%]'", "None", "Pass train='train'.", TypeError)
    for name in ("validation", "test"):
        if known[f"{name}_data"] is not None:
            fix = f"Pass {name}='test', or another split."
            raise refusal(f"{name}_data", f"a split of the dataset as {name}=", short(known[f"{name}_data"]), fix)
        if name in asked and known[f"{name}_split"] is not None:
            raise refusal(f"{name} and {name}_split", "one of the two", "both", "Pass one of them.")


def _builder(subject: Any, data_dir: Any) -> Any:
    import tensorflow_datasets as tfds

    if isinstance(subject, tfds.core.DatasetBuilder):
        return subject
    if not isinstance(subject, (str, os.PathLike)):
        got = f"{short(subject)} ({type(subject).__name__})"
        raise refusal("from_tfds", "a name, a builder or a folder", got, "Pass for example 'mnist'.", TypeError)
    name = os.fspath(subject)
    if os.path.exists(os.path.join(name, "dataset_info.json")):
        return tfds.builder_from_directory(name)
    if isinstance(subject, os.PathLike) or os.path.isabs(name):
        within = [os.path.dirname(found) for depth in ("*", "*/*") for found in glob.glob(os.path.join(name, depth, "dataset_info.json"))]
        fix = f"Pass {max(within)!r}." if within else "Pass the folder of one version, as .../mnist/3.0.1."
        raise refusal(name, "a folder with dataset_info.json", "none in it", fix, MissingFileError)
    try:
        return tfds.builder(name, **({} if data_dir is None else {"data_dir": os.fspath(data_dir)}))
    except tfds.core.DatasetNotFoundError as error:
        hint = nearest(name.split("/")[0].split(":")[0], tfds.list_builders(with_community_datasets=False)).strip()
        raise refusal("from_tfds", "the name of a dataset", short(name), hint or "See tfds.list_builders().") from error
    except (ValueError, AssertionError) as error:
        said = " ".join(str(error).split())
        raise refusal("from_tfds", "the name, configuration and version of a dataset", short(name), short(said, 300)) from error


def _prepared(builder: Any, data_dir: Any, download: bool) -> Any:
    """The builder, once its data is there."""
    if builder.info.splits or _mocked(builder):
        return builder
    if download:
        builder.download_and_prepare()
        return builder
    where = "" if data_dir is None else f", data_dir={os.fspath(data_dir)!r}"
    fix = f"Run tfds.builder({builder.name!r}{where}).download_and_prepare(), or pass download=True."
    raise refusal(builder.name, f"prepared data in {builder.data_path}", "none", fix, MissingFileError)


def _mocked(builder: Any) -> bool:
    """Whether this is inside of `tfds.testing.mock_data`: there are no files, then."""
    return bool(type(builder).as_dataset.__module__ == "tensorflow_datasets.testing.mocking")


class _Wanted(NamedTuple):
    """What is to become of a record: which features are decoded how, and which of them are x and y."""

    features: Any
    decoders: Any
    keys: Any
    about: str
    given: Any  # the decoders as the user gave them

    def parse(self, record: Any) -> Any:
        """An example, from a serialized one."""
        return self.structured(self.features.deserialize_example(record, decoders=self.decoders))

    def structured(self, found: Any) -> Any:
        """The features as Keras takes them."""
        return found if self.keys is None else tf.nest.map_structure(lambda key: found[key], self.keys)

    @property
    def label(self) -> str | None:
        """The feature that is a single target."""
        key = None if self.keys is None or len(self.keys) < 2 else self.keys[1]
        return key if isinstance(key, str) else None

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes, where the target, or one feature alone, is a class."""
        import tensorflow_datasets as tfds

        named = [self.label] if self.label else list(self.features) if self.keys is None else []
        found = [self.features[name] for name in named if isinstance(self.features[name], tfds.features.ClassLabel)]
        return tuple(found[0].names) if len(found) == 1 and found[0].num_classes else None


def _wanted(builder: Any, as_supervised: bool, decoders: Any) -> _Wanted:
    import tensorflow_datasets as tfds

    features, keys = builder.info.features, builder.info.supervised_keys if as_supervised else None
    if as_supervised and keys is None:
        names = ", ".join(map(repr, features))
        fix = "Pass as_supervised=False, and a preprocess that makes (x, y) of a dict of them."
        raise refusal("as_supervised", "a dataset with supervised_keys", f"{builder.name}, which has only features: {names}", fix)
    given, about = decoders, f"{builder.info.full_name} {keys} {fingerprints.of(decoders)}"
    if isinstance(decoders, tfds.decode.PartialDecoding):
        features, decoders = decoders.extract_features(features), decoders.decoders
    missing = [key for key in tf.nest.flatten(keys or ()) if key not in features]
    if missing:
        raise refusal("decoders", f"the feature {missing[0]!r}, which as_supervised takes", "a PartialDecoding without it", "Add it.")
    return _Wanted(features, decoders, keys, about, given)


def _pieces(builder: Any, option: str, expression: Any) -> list[tfds_sections.Stretch]:
    """The stretches of files that a split is."""
    import tensorflow_datasets as tfds

    splits = builder.info.splits
    if not isinstance(expression, (str, tfds.core.splits.AbstractSplit)):
        raise refusal(
            option, "a split such as 'train[:80%]'", f"{short(expression)} ({type(expression).__name__})", "Pass text.", TypeError
        )
    for name in re.findall(r"(?:^|\+)\s*([\w-]+)", expression) if isinstance(expression, str) else []:
        if name not in splits and name != "all":
            hint = nearest(name, splits).strip() or f"There are {', '.join(map(repr, splits))}."
            raise refusal(option, f"a split of {builder.name}", repr(expression), hint)
    try:
        found = tfds_sections.stretches(splits[expression].file_instructions)
    except (ValueError, KeyError) as error:
        said = str(error).splitlines()[0]
        fix = "Write it as 'train', 'train[:80%]', 'train[100:200]' or 'train+test'."
        raise refusal(option, f"a split of {builder.name}", f"{short(expression)}: {said}", fix) from error
    if not found:
        raise refusal(option, "a split with examples", f"{short(expression)}, which has none", "Correct its bounds.")
    tfds_sections.refuse_missing(found, builder.name, tfds_sections.AGAIN)
    return found


def _refuse_overlaps(pieces: dict[str, list[tfds_sections.Stretch]], asked: dict[str, Any]) -> None:
    names = list(pieces)
    for place, name in enumerate(names):
        twice = tfds_sections.overlap(pieces[name])
        if twice:
            raise refusal(name, "each example once", f"{short(asked[name])}, which has some twice: {twice}", "Correct its bounds.")
        for other in names[:place]:
            both = tfds_sections.overlap(pieces[name] + pieces[other])
            if both:
                expected = f"no example of {other}={short(asked[other])}"
                raise refusal(f"{name}={short(asked[name])}", expected, f"some of both: {both}", "Correct their bounds.")


def _source(builder: Any, expression: Any, pieces: list[tfds_sections.Stretch], wanted: _Wanted, window: int | None) -> Source:
    kind = builder.info.file_format.value
    if kind not in ("tfrecord", "array_record"):
        return _streamed(builder, expression, sum(piece.take for piece in pieces), wanted, window)
    opened: Any = tfds_sections.Sections.of(pieces) if kind == "tfrecord" else tfds_sections.NumberedSections(pieces)
    made = record_source.source(opened, window, wanted.parse, True, builder.name, lambda: f"{wanted.about} {pieces}")
    _refuse_spec(made.spec, builder.name)
    return dataclasses.replace(made, class_names=wanted.class_names, labels=_labels(opened, wanted))


def _streamed(builder: Any, expression: Any, size: int | None, wanted: _Wanted, window: int | None) -> Source:
    """The split as TFDS itself reads it, without what it adds."""
    import tensorflow_datasets as tfds

    plainly = tfds.ReadConfig(try_autocache=False, skip_prefetch=True, interleave_cycle_length=1)
    dataset = builder.as_dataset(split=expression, shuffle_files=False, read_config=plainly, decoders=wanted.given)
    dataset = dataset.map(wanted.structured)
    _refuse_spec(dataset.element_spec, builder.name)
    count = int(dataset.cardinality()) if size is None else size
    fix = "Prepare it with file_format='tfrecord' or 'array_record': then preprocess comes first, and may give them one shape."
    passes = dataset_source.DatasetPasses(dataset, count, builder.name, "as dataset_info.json says", fix)
    return dataset_source.source(passes, window, lambda: f"{wanted.about} {expression}", class_names=wanted.class_names)


def _refuse_spec(spec: Any, name: str) -> None:
    for part in tf.nest.flatten(spec):
        if not isinstance(part, tf.TensorSpec):
            fix = "Leave it out with decoders=tfds.decode.PartialDecoding({...: True})."
            raise refusal(name, "features that are dense tensors", str(part), fix)


def _labels(opened: Any, wanted: _Wanted) -> Callable[[], Any]:
    """A function that reads all classes, or gives None where there is no single number or text of them."""
    spec = {} if wanted.label is None else {wanted.label: wanted.features.tf_example_spec.get(wanted.label)}
    if not all(isinstance(each, tf.io.FixedLenFeature) and each.shape == () for each in spec.values()) or not spec:
        return lambda: None
    return lambda: tfds_sections.every(opened, lambda strings: tf.io.parse_example(strings, spec)[wanted.label])
