"""`from_tfrecords`: TFRecord files of serialized examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack

import tensorflow as tf

from tfinput import feed, options
from tfinput.builders import _build, _files
from tfinput.engine import fingerprints
from tfinput.errors import FileError, nearest, refusal, short
from tfinput.material.folders import shown
from tfinput.sampling.steps import integer
from tfinput.sources.base import Source
from tfinput.sources.records import array_record, record_source


@options.common_options
def from_tfrecords(
    subject: Any,
    *,
    features: Mapping[str, Any] | None = None,
    label: Any = None,
    weight: str | None = None,
    parse: Callable[[Any], Any] | None = None,
    size: int | None = None,
    shuffle_window: int | None = None,
    on_bad: str = "raise",
    verbose: bool = True,
    **given: Unpack[options.Options],
) -> feed.Feed:
    """Feed a Keras model from TFRecord files.

    >>> import os, tempfile, tensorflow as tf, tfinput
    >>> path = os.path.join(tempfile.mkdtemp(), "train.tfrecord")
    >>> with tf.io.TFRecordWriter(path) as writer:
    ...     for number in range(10):
    ...         value = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
    ...         writer.write(tf.train.Example(features=tf.train.Features(feature={"x": value, "y": value})).SerializeToString())
    >>> features = {"x": tf.io.FixedLenFeature([], tf.int64), "y": tf.io.FixedLenFeature([], tf.int64)}
    >>> tfinput.from_tfrecords(path, features=features, label="y", batch_size=4, verbose=False)
    Feed(tfrecords: train 10 in 3 steps of 4; seed=0)

    Records are counted by their headers, once: the count is remembered in a hidden file beside each file, and used as long as that
    has not changed. An epoch holds every record exactly once. Runs of neighbouring records come in a new order each epoch, over
    all files, and are shuffled within a window of `shuffle_window` records; files that are compressed as a whole are read one after
    another. A fraction for a split is drawn by a hash of each record's file name and place: adding files moves no record from one
    split to another.

    Args:
        subject: a path, a list of paths, or a pattern such as "data/train-*.tfrecord". Compression (GZIP, ZLIB) is recognised. Files with
            `.array_record` in their names are read by number with the `array_record` package, and shuffled over all records.
        features: what `tf.io.parse_example` takes: for each name a `tf.io.FixedLenFeature`, or another whose result is dense.
        label: the feature (or list of features) that is the target.
        weight: the feature that is the sample weight.
        parse: instead of `features`, a function of one serialized record that returns an example: `x`, `(x, y)` or
            `(x, y, sample_weight)`. With neither, examples are the serialized records.
        size: how many records there must be; another number is an error.
        shuffle_window: records that are shuffled together; None takes 16,384, or fewer large ones (64 MiB).
        on_bad: "raise" names a damaged record or file; "skip" reads everything once before training, leaves damaged records out and goes
            on at the next sound one: `feed.skipped` lists what was lost. A file compressed as a whole is not repaired. Indices, groups
            and classes to stratify by still count all records; what a damaged length hides, up to the next sound record, counts as one.
            Files of 0 bytes are listed there too, with either: whoever had no records to write leaves them, and copies that failed.
        verbose: print how many records were found.
        {common options}

    Returns:
        A `tfinput.Feed`.

    Raises:
        ValueError: for damaged, cut or empty files (`tfinput.errors.FileError`, also an `OSError`), records without the features
            that were asked for, and wrong options.
        TypeError: for unknown options.

    """
    known = _build.begin(dict(given), from_tfrecords)
    if features is not None and parse is not None:
        raise refusal("features and parse", "one of the two", "both", "Pass one of them.")
    if features is None and (label is not None or weight is not None):
        raise refusal("label" if label is not None else "weight", "features to take it from", "no features", "Pass features.")
    options.one_of("on_bad", on_bad, ("raise", "skip"))
    if weight is not None and label is None:
        raise refusal("weight", "a label beside it", "no label", "Pass label.")
    if shuffle_window is not None:
        integer("shuffle_window", shuffle_window)
    parsed = parse if features is None else _parser(features, label, weight)
    about = f"{sorted(features.items())} {label} {weight}" if features is not None else ""

    def made(subject: Any, name: str) -> Source:
        opened = _opened(_files.files_of(name, subject), on_bad == "skip")
        if opened.size == 0:
            files = ", ".join(shown(path) for path in opened.paths[:3]) + (", …" if len(opened.paths) > 3 else "")
            raise refusal(name, "at least one record", f"none in any file: {files}", "Check the files.", FileError)
        if verbose:
            print(f"Found {opened.size} records in {len(opened.paths)} files.")
            for path, reason in opened.lost:
                print(f"Skipped in {shown(path)}: {short(reason, 200)}")
        return record_source.source(opened, shuffle_window, parsed, parse is not None, name, lambda: about + fingerprints.of(parse))

    source = made(subject, "tfrecords")
    if size is not None and source.size != integer("size", size):
        raise refusal("tfrecords", f"size={size} records", f"{source.size}", "Correct size, or leave it out.")
    others = [None if known[name] is None else made(known[name], name) for name in ("validation_data", "test_data")]
    return _build.build(source, known, *others, verbose=verbose)


def _opened(paths: list[bytes], skip: bool) -> record_source.Shards | array_record.ArrayRecords:
    kinds = {array_record.is_one(path) for path in paths}
    if len(kinds) > 1:
        raise refusal("tfrecords", "files of one kind", "TFRecord and ArrayRecord files", "Pass either alone.")
    return array_record.ArrayRecords(paths) if kinds.pop() else record_source.Shards.opened(paths, skip)


def _parser(features: Mapping[str, Any], label: Any, weight: Any) -> Callable[[Any], Any]:
    if not isinstance(features, Mapping) or not features:
        fix = "Pass {name: tf.io.FixedLenFeature(shape, dtype)}."
        raise refusal("features", "a dict of tf.io features", short(features), fix, TypeError)
    for name, feature in features.items():
        if isinstance(feature, (tf.io.VarLenFeature, tf.io.SparseFeature, tf.io.RaggedFeature)):
            fix = "Use tf.io.FixedLenFeature or FixedLenSequenceFeature, or pass parse=, which may pad."
            raise refusal(f"features[{name!r}]", "a feature with dense values", type(feature).__name__, fix)
    labels = [] if label is None else list(label) if isinstance(label, (list, tuple)) else [label]
    for name in [*labels, *([] if weight is None else [weight])]:
        if name not in features:
            hint = nearest(name, features).strip() or f"There are {short(list(features), 200)}."
            raise refusal("label" if name in labels else "weight", "the name of a feature", short(name), hint)

    def parse(strings: Any) -> Any:
        found = tf.io.parse_example(strings, dict(features))
        if label is None:
            return found
        y = {name: found.pop(name) for name in labels}
        weights = () if weight is None else (found.pop(weight),)
        return (found, y if isinstance(label, (list, tuple)) else y[label], *weights)

    return parse
