"""`from_sequence`: anything with `__len__` and `__getitem__`."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import sys
from typing import Any, Unpack

import numpy as np

from tfinput import feed, options
from tfinput.builders import _build, _signatures
from tfinput.engine import fingerprints
from tfinput.errors import refusal, short
from tfinput.material.forms import Form
from tfinput.sampling.steps import integer
from tfinput.sources.base import Source
from tfinput.sources.python import sequences
from tfinput.workers import first_item
from tfinput.workers.job import Job


@options.common_options
def from_sequence(
    items: Any,
    *,
    output_signature: Any = None,
    ragged: bool = False,
    workers: int | None = None,
    item_timeout: float | None = 60.0,
    **given: Unpack[options.Options],
) -> feed.Feed:
    """Feed a Keras model from Python objects that are looked up by number: a list, a torch `Dataset`, a Hugging Face `Dataset`.

    >>> import numpy as np, tfinput
    >>> items = [(np.full(4, number, "float32"), number % 3) for number in range(100)]
    >>> tfinput.from_sequence(items, batch_size=32, validation_split=0.2)
    Feed(list: train 80 in 3 steps of 32, validation 20 in 1 step of 20; seed=0; in a thread)

    Items may be made in any order, as each is needed: examples are shuffled over the whole sequence, splits are exact, and
    training resumes at any step without making what came before.

    With a split, each item must stay the same example. Its values may vary, as by augmentation; but a target, a number or a text, that
    is another one, and values that came under other numbers before, are an error: the items are shuffled or drawn.

    Args:
        items: has `__len__` and `__getitem__`. An item is an example: `x`, `(x, y)` or `(x, y, sample_weight)`, each an array, a
            number, text, or a dict or tuple of such; arrays are NumPy's, or what turns into them (torch tensors, images of Pillow).
            All have the structure, shapes and dtypes of the first. Without workers, a method `__getitems__` is used where there is one.
            The items of a `keras.utils.PyDataset` are batches, which stay as they are: their order is shuffled, and the
            `on_epoch_begin` and `on_epoch_end` of its class are called before the first and after the last item of each pass.
        output_signature: `tf.TensorSpec`s in the structure of an item, as `tf.data.Dataset.from_generator` takes them, but with no
            value changed: what does not fit is an error, only floats are rounded. None in a shape stands for lengths that vary.
        ragged: batches of examples of varying lengths as `tf.RaggedTensor`, instead of padded with zeros. Without
            `output_signature`, the first axis of each array varies then.
        workers: processes that make items. 0 makes them in a thread, which suits code that waits, or that is quick; None does so too,
            unless a PyDataset asks for `use_multiprocessing` and `workers`. Processes are fresh ones, never forks, and get a copy of
            `items` as they are now, with the globals that their code names: what you change later is seen by a feed that you build
            later. Your own objects and classes are not touched, and no item is made in your process. Functions and classes of a
            notebook work in them, without an `if __name__ == "__main__"`. Each item's random
            numbers (of `random`, NumPy and torch) are seeded there by (seed, epoch, item). A worker that dies or hangs is replaced,
            and its item made again.
        item_timeout: seconds that an item may take before it is given up, or None for ever.
        {common options}

    Returns:
        A `tfinput.Feed`.

    Raises:
        ValueError: for an empty sequence, a first item that cannot be made (whatever it raises, SystemExit too), items that differ
            from the first, items that a worker cannot load, and sizes that leave no step or no example; with a split, at the call or
            while training, for items that change places.
        TypeError: for unknown options, and subjects or items of another kind. While training, an error of `items[index]` is
            raised with the number of the item; `tfinput.errors.WorkerDied`, a RuntimeError, if an item kills three workers.

    """
    known = _build.begin(dict(given), from_sequence)
    if workers is None:
        workers = items.workers if _is_batched(items) and items.use_multiprocessing else 0
    integer("workers", workers, 0)
    if item_timeout is not None and not (isinstance(item_timeout, (int, float)) and item_timeout > 0):
        raise refusal("item_timeout", "seconds above 0, or None", short(item_timeout), "Pass item_timeout=60.")
    if not isinstance(ragged, bool):
        raise refusal("ragged", "True or False", short(ragged), "Pass ragged=True or leave it out.", TypeError)
    signature = None if output_signature is None else _signatures.signed(output_signature, False)
    _signatures.refuse_even(ragged, signature)
    if _is_batched(items):
        _refuse_for_batches({**given, "output_signature": output_signature, "ragged": ragged or None}, known, type(items).__name__)
    make = functools.partial(_source, signature, ragged, workers, item_timeout)
    made = make(items)
    others = [None if known[name] is None else make(known[name], name, made.columns) for name in ("validation_data", "test_data")]
    return _build.build(made, known, *others)


def _source(
    signature: Form | None, ragged: bool, workers: int, item_timeout: float | None, items: Any, name: str = "", columns: Any = None
) -> Source:
    called, batched = name or type(items).__name__, _is_batched(items)
    _refuse_others(items, called)
    look = first_item.elsewhere(items, called, batched, item_timeout) if workers else first_item.here(items, called, batched)
    if look.size == 0:
        raise refusal(called, "at least one item", "none (its length is 0)", "Check the data.")
    size, where, rows = look.size, f"{called}, item 0", None
    if batched:
        form, last = Form.of_batches(look.first, look.last, where)
        form = form.like(columns or {})
        first = form.batch(look.first, lambda: where)
        rows = np.full(size, len(first[0]))
        rows[-1] = last
    else:
        form = signature or _signatures.form_of(look.first, where, False, ragged).like(columns or {})
        first = form.columns(1)
        form.write(first, 0, look.first, lambda: where)
    _signatures.check_arity(f"{called}, item 0", form.structure)

    def fingerprint() -> str:
        return hashlib.blake2b(f"{size} {form} {fingerprints.of(items)}".encode(), digest_size=16).hexdigest()

    made = sequences.source(Job(items, form, called, rows is not None), size, workers, item_timeout, fingerprint, first, rows, ragged)
    return dataclasses.replace(made, columns=form.names)


def _is_batched(items: Any) -> bool:
    """Whether items are batches: those of a `keras.utils.PyDataset` are."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(items, keras.utils.PyDataset)


def _refuse_for_batches(given: Any, known: dict[str, Any], name: str) -> None:
    """What makes no sense where the batches are made by the user."""
    own = ("output_signature", "ragged")
    for option in ("batch_size", "validation_batch_size", "drop_remainder", "cache", "stratify", "groups", *own):
        if given.get(option) is not None:
            fix = "Leave it out, or give single examples: an object with __len__ and __getitem__ that is no PyDataset."
            raise refusal(option, f"none for {name}, whose items are batches", short(given[option]), fix)
    known["batch_size"] = known["validation_batch_size"] = 1


def _refuse_others(items: Any, called: str) -> None:
    if hasattr(items, "iloc"):
        fix = "Use from_arrays, which pairs rows by their index; a column of objects becomes a list with .tolist()."
        raise refusal(
            called, "a sequence of examples", f"a pandas {type(items).__name__}, whose [0] is a label, not a place", fix, TypeError
        )
    if not hasattr(items, "__getitem__") or not hasattr(items, "__len__") or isinstance(items, (str, bytes, dict)):
        fix = "from_generator takes functions that return iterators, from_arrays takes arrays, and dicts of them."
        raise refusal(called, "a sequence with __len__ and __getitem__", f"{short(items)} ({type(items).__name__})", fix, TypeError)
