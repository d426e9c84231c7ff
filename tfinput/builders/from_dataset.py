"""`from_dataset`: a `tf.data.Dataset` that somebody made already."""

from __future__ import annotations

import warnings
from typing import Any, Unpack

import tensorflow as tf

from tfinput import feed, options
from tfinput.builders import _build
from tfinput.errors import refusal, short
from tfinput.sampling.steps import integer
from tfinput.sources.base import Source
from tfinput.sources.datasets import dataset_source, hazards

SPLITS = ("validation_split", "test_split")


@options.common_options
def from_dataset(
    subject: Any,
    *,
    size: int | None = None,
    batched: bool | None = None,
    shuffle_window: int | None = None,
    **given: Unpack[options.Options],
) -> feed.Feed:
    """Feed a Keras model from a `tf.data.Dataset` of single examples.

    >>> import tensorflow as tf, tfinput
    >>> dataset = tf.data.Dataset.range(100).map(lambda x: (tf.cast(x, tf.float32), x % 3))
    >>> tfinput.from_dataset(dataset, batch_size=32, validation_data=dataset.take(20))
    Feed(dataset: train 100 in 4 steps of 32, validation 20 in 1 step of 20; seed=0)

    Leave out `.shuffle()`, `.repeat()`, `.batch()` and `.prefetch()`: the feed does all of that. Each epoch reads the dataset from its
    beginning, as it is, and shuffles it within a window of `shuffle_window` examples: a dataset that is no larger is shuffled as
    a whole, of a larger one the repr says within how many. A pass must always give the same examples in the same order: where
    the dataset's own parts show that it does not, that is refused with a split, since examples would change sides, and else
    warned of. Going on with `feed.at` reads, and drops, what lies before in its epoch. A fraction for a split is drawn by a hash
    of each example's place: examples added at the end move none from one split to another.

    Args:
        subject: a dataset whose elements are `x`, `(x, y)` or `(x, y, sample_weight)`: tensors of one shape each, or dicts and
            tuples of such. Unknown shapes are those of the first example.
        size: how many examples a pass has; another number is an error, in `fit` too. Without it, a dataset that does not know is
            counted once, by reading it. Of a dataset without end, the first `size` examples are an epoch.
        batched: True if elements are batches, which are taken apart; False if they only look like it, as sequences cut with
            `.batch(length)` do. None refuses what looks like batches.
        shuffle_window: examples that are shuffled together; None takes 16,384, or fewer large ones (64 MiB).
        {common options}

    Returns:
        A `tfinput.Feed`.

    Raises:
        ValueError: for datasets that are empty, endless, repeated or batched, elements that Keras does not take, and, while training,
            passes of another size or examples of another shape; an error of the dataset itself is told with the example's number.
        TypeError: for unknown options and other subjects.

    Warns:
        UserWarning: for an order that changes from pass to pass, and for random operations.

    """
    known = _build.begin(dict(given), from_dataset)
    if shuffle_window is not None:
        integer("shuffle_window", shuffle_window)
    if size is not None:
        size = integer("size", size)
    if batched is not None and not isinstance(batched, bool):
        raise refusal("batched", "True, False or None", short(batched), "Pass batched=True if elements are batches.", TypeError)
    if isinstance(known["cache"], (str, bytes)) and known["cache"] != "memory":
        fix = "Use cache='memory', or dataset.save(folder) and tf.data.Dataset.load(folder)."
        raise refusal("cache", "'memory': nothing tells whether a dataset is still the same", short(known["cache"]), fix)
    made = _source(subject, size, batched, shuffle_window, "dataset")
    others: list[Source | None] = []
    for name in ("validation_data", "test_data"):
        others.append(None if known[name] is None else _source(known[name], None, batched, shuffle_window, name))
    _refuse_leaks({"dataset": subject} | {name: known[name] for name in ("validation_data", "test_data") if known[name] is not None})
    _judge(subject, [name for name in SPLITS if known[name] is not None])
    return _build.build(made, known, *others)


def _source(subject: Any, size: int | None, batched: bool | None, window: int | None, name: str) -> Source:
    dataset = _single(_dataset(subject, name), batched, name)
    _refuse_repeats(dataset, size, name)
    count, promise = _size(dataset, size, name)
    if count == 0:
        raise refusal(name, "at least one example", "an empty dataset", "Check the data.")
    endless = int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY
    passes = dataset_source.DatasetPasses(dataset.take(count) if endless else dataset, count, name, promise)
    return dataset_source.source(passes, window, lambda: "")


def _dataset(subject: Any, name: str) -> Any:
    if not isinstance(subject, tf.data.Dataset):
        fix = "Use from_arrays for arrays, from_sequence for lists and torch datasets."
        raise refusal(name, "a tf.data.Dataset", f"{short(subject)} ({type(subject).__name__})", fix, TypeError)
    return subject


def _single(dataset: Any, batched: bool | None, name: str) -> Any:
    """The dataset of single examples, of a structure that Keras takes."""
    _refuse_spec(dataset.element_spec, name)
    if batched is None and hazards.seems_batched(dataset):
        fix = "Pass batched=True to take them apart, or batched=False if each is one example."
        raise refusal(name, "single examples", f"what looks like batches: {dataset.element_spec}", fix)
    if not batched:
        return dataset
    for part in tf.nest.flatten(dataset.element_spec):
        if part.shape.rank == 0:
            raise refusal(name, "batches, since batched=True", f"elements of {dataset.element_spec}", "Leave batched out.")
    return dataset.unbatch()


def _refuse_spec(spec: Any, name: str) -> None:
    if isinstance(spec, tuple) and not hasattr(spec, "_fields") and len(spec) > 3:
        fix = "Put several inputs into a dict or a tuple of their own, ((a, b), y), in dataset.map."
        raise refusal(name, "x, (x, y) or (x, y, sample_weight)", f"a tuple of {len(spec)}", fix)
    fixes = {
        tf.RaggedTensorSpec: "Use .to_tensor(shape=...) in dataset.map.",
        tf.SparseTensorSpec: "Use tf.sparse.to_dense in dataset.map.",
        tf.data.DatasetSpec: "Use dataset.flat_map(lambda window: window.batch(length)).",
    }
    for part in tf.nest.flatten(spec):
        if not isinstance(part, tf.TensorSpec):
            fix = next((text for kind, text in fixes.items() if isinstance(part, kind)), "Return tensors from dataset.map.")
            raise refusal(name, "dense tensors", str(part), fix)


def _refuse_repeats(dataset: Any, size: int | None, name: str) -> None:
    count = hazards.repeats(dataset)
    if count is None or (count == -1 and size is not None):
        return
    if count == -1:
        fix = "Remove .repeat(): the feed repeats by itself. Or pass size=, how many examples an epoch has."
        raise refusal(name, "a dataset that ends", "one that is repeated for ever", fix)
    fix = "Remove .repeat(): the feed repeats by itself, and a copy of a training example could validate."
    raise refusal(name, "each example once in a pass", f"a dataset that is repeated {count} times", fix)


def _size(dataset: Any, size: int | None, name: str) -> tuple[int, str]:
    """How many examples a pass has, and who says so."""
    cardinality = int(dataset.cardinality())
    if cardinality == tf.data.INFINITE_CARDINALITY:
        if size is None:
            raise refusal(name, "a dataset that ends, or size=", "one without end", "Pass size=, how many examples an epoch has.")
        return size, "as size= says"
    if cardinality == tf.data.UNKNOWN_CARDINALITY:
        return (size, "as size= says") if size is not None else (dataset_source.counted(dataset, name), "as counted before")
    if size is not None and size != cardinality:
        raise refusal(name, f"size={size} examples", f"a dataset of {cardinality}", "Correct size, or leave it out.")
    return cardinality, "as its cardinality says"


def _refuse_leaks(given: dict[str, Any]) -> None:
    """Refuse validation data that shares examples with what trains, as far as the datasets' parts tell."""
    names = list(given)
    for place, name in enumerate(names):
        for other in names[:place]:
            if given[name] is given[other]:
                raise refusal(name, f"another dataset than {other}", "the same", "Use validation_split to hold examples back.")
            shared = hazards.reshuffled(given[name]).keys() & hazards.reshuffled(given[other]).keys()
            if shared:
                what = hazards.reshuffled(given[name])[shared.pop()]
                fix = f"Remove {what}, and use validation_split."
                got = f"parts of one dataset with {what}: its order changes, and examples with it from one part to the other"
                raise refusal(name, f"no example of {other}", got, fix)


def _judge(dataset: Any, splits: list[str]) -> None:
    """Refuse, or warn of, what makes passes differ."""
    changing = hazards.reshuffled(dataset)
    if changing:
        what = next(iter(changing.values()))
        fix = f"Remove {what}: the feed shuffles by itself."
        if splits:
            got = f"a dataset with {what}: its order changes, and examples with it from one side to the other"
            raise refusal(splits[0], "a dataset of one order", got, fix)
        warnings.warn(f"tfinput: the dataset has {what}: orders do not follow the seed. {fix}", UserWarning, stacklevel=3)
    for name, cached in hazards.random_functions(dataset).items():
        how = (
            "its results are cached, so that they are the same in every epoch"
            if cached
            else "validation has it too, and no seed repeats it"
        )
        fix = "Move it into augment, which gets a seed."
        warnings.warn(f"tfinput: the dataset has a random operation ({name}): {how}. {fix}", UserWarning, stacklevel=3)
