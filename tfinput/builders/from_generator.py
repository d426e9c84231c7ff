"""`from_generator`: functions that return iterators, and iterators."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import tensorflow as tf

from tfinput import feed, options
from tfinput.builders import _build, _endings, _signatures
from tfinput.engine import devices, fingerprints
from tfinput.errors import refusal, short
from tfinput.material import rows as memory
from tfinput.material.forms import Form
from tfinput.material.nests import TEXT, as_array, parts
from tfinput.sampling.steps import integer
from tfinput.sources.base import Source
from tfinput.sources.python import generators
from tfinput.workers.generator_chunks import Progress, Recipe
from tfinput.workers.generator_processes import Sharded

# Below so many examples, or a batch, a window to shuffle in is worth a warning.
FEW = 16


@options.common_options
def from_generator(
    subject: Any,
    *,
    size: int | None = None,
    batched: bool = False,
    endless: bool = False,
    output_signature: Any = None,
    ragged: bool = False,
    shuffle_window: int | None = None,
    workers: int = 0,
    **given: Unpack[options.Options],
) -> feed.Feed:
    """Feed a Keras model from Python code: a function that returns a new iterator over examples, such as a generator function.

    >>> import numpy as np, tfinput
    >>> def examples():
    ...     for number in range(100):
    ...         yield np.full(4, number, "float32"), number % 3
    >>> tfinput.from_generator(examples, size=100, batch_size=32, validation_data=examples)
    Feed(examples: train 100 in 4 steps of 32, validation 100 in 4 steps of 25; seed=0)

    Each epoch and each validation is one whole pass: the function is called, and its iterator read to its end, in a thread of its own
    that is some hundred examples ahead. Passes may overlap: the next epoch's begins while a validation is under way. Training
    examples are shuffled within a window of `shuffle_window`; with `shuffle=False` they come as they are, and a generator that waits
    for the training step gets each batch trained on as soon as it is full. For `feed.at`, which reads and drops what lies before in
    its epoch, and for splits, the function must give the same examples in each pass. With a split that is checked, at the call and in
    each pass: values may vary, as by augmentation, while something that tells examples apart (the target, say) stays. A fraction for
    a split is drawn by a hash of each example's place, so that examples added at the end move none.

    Args:
        subject: a function without arguments that returns a new iterator, or an object that gives a new one each time it is
            iterated over. A bare iterator can be read once: it is read into memory now, and is like arrays then. One that never
            ends needs `endless=True` and `size`: epochs go on where the last one ended, and it can neither be split nor validate.
            An element is an example: `x`, `(x, y)` or `(x, y, sample_weight)`, each an array, a number, text, or a dict or tuple of
            such, all with the structure, shapes and dtypes of the first. Arrays are copied when they come. `validation_data` and
            `test_data` may also be `(function, size)`.
        size: examples in a pass. A pass with fewer or more is an error, in `fit` too. None takes `len(subject)`, or counts a pass, of
            at most some four million examples.
        batched: True if elements are batches of examples, with any number of rows, as `fit_generator` took them. Without `batch_size`,
            the first one's rows are the batch size; batches are made anew, of single examples.
        endless: True if passes do not end by themselves: an epoch is the first `size` examples of a new pass.
        output_signature: `tf.TensorSpec`s in the structure of an element, as `tf.data.Dataset.from_generator` takes them, but with no
            value changed: what does not fit is an error, only floats are rounded. None in a shape stands for lengths that vary.
        ragged: batches of examples of varying lengths as `tf.RaggedTensor`, instead of padded with zeros. Without
            `output_signature`, the first axis of each array varies then.
        shuffle_window: examples that are shuffled together; None takes 16,384, or fewer large ones: 64 MiB, or up to 1,024 of them if
            1/32 of the free memory holds them. The order depends on it: say it where a run is to be repeated on another machine. The
            first batch of an epoch waits until so many were made.
        workers: processes. The function then takes the number of a shard, from 0 on, each process runs it with its own, and their
            elements come in turn, one of each: the same order in each pass. 0 runs it in a thread.
        {common options}

    Returns:
        A `tfinput.Feed`.

    Raises:
        ValueError: for generators that are empty or never end, wrong sizes, and what an iterator that can be read once cannot do. While
            training: for an element that raises, or differs from the first, or does not fit its dtype, with its number and the
            user's traceback, for passes of another size, and for another example than in an earlier pass where there is a split.
        TypeError: for unknown options and other subjects.

    Warns:
        UserWarning: for a small window of large examples.
        RuntimeWarning: for a generator that has given nothing for 30 s while it is waited for.

    """
    known = _build.begin(dict(given), from_generator)
    asked = _asked(size, batched, endless, output_signature, ragged, shuffle_window, workers)
    made, form, rows = _source(subject, asked, "")
    if batched and "batch_size" not in given:
        known["batch_size"] = rows
    others = []
    for name in ("validation_data", "test_data"):
        others.append(None if known[name] is None else _other(known[name], asked, form, name))
    if isinstance(made.stream, generators.OneStream):
        _refuse_rereading(made.name, known)
    if made.stream is not None and asked.window is None and known["shuffle"]:
        _warn_of_few(made, known["batch_size"])
    return _build.build(made, known, *others)


@dataclass(frozen=True)
class _GeneratorOptions:
    """The builder's own options."""

    size: int | None
    batched: bool
    endless: bool
    form: Form | None
    ragged: bool
    window: int | None
    workers: int


def _asked(size: Any, batched: Any, endless: Any, signature: Any, ragged: Any, window: Any, workers: Any) -> _GeneratorOptions:
    for name, value in (("batched", batched), ("endless", endless), ("ragged", ragged)):
        if not isinstance(value, bool):
            raise refusal(name, "True or False", short(value), f"Pass {name}=True or leave it out.", TypeError)
    size = None if size is None else integer("size", size)
    if endless and size is None:
        raise refusal("endless=True", "size beside it", "none", "Pass the number of examples that make an epoch: size=10_000.")
    form = None if signature is None else _signatures.signed(signature, batched)
    _signatures.refuse_even(ragged, form)
    window = None if window is None else integer("shuffle_window", window)
    return _GeneratorOptions(size, batched, endless, form, ragged, window, integer("workers", workers, 0))


def _other(subject: Any, asked: _GeneratorOptions, form: Form, name: str) -> Source:
    """Validation or test data, whose examples have the form of the training examples."""
    size = None
    if isinstance(subject, tuple) and len(subject) == 2:
        subject, size = subject[0], integer(f"{name}[1]", subject[1])
    if (isinstance(subject, _endings.ENDLESS) or (asked.endless and size is not None)) and _endings.is_iterator(subject):
        fix = "Pass a function that returns a new iterator, with the size of a pass: (function, 1000), and endless=True."
        raise refusal(name, "one whole pass, the same each time", "an iterator without end", fix)
    own = dataclasses.replace(asked, size=size, endless=asked.endless and size is not None, form=form)
    return _source(subject, own, name)[0]


def _source(subject: Any, asked: _GeneratorOptions, name: str) -> tuple[Source, Form, int]:
    """The source over a subject, the form of its examples, and how many rows its first element has."""
    once = _endings.is_iterator(subject)
    called = name or _name(subject)
    if asked.workers:
        begin: Any = Sharded(_of_shards(subject, asked.workers, called), asked.workers, called)
    else:
        begin = generators.Shared(subject) if once else generators.Fresh(_function(subject, called), called)
    said = _endings.never(subject) if once and not asked.endless else ""
    if said and (isinstance(subject, _endings.ENDLESS) or asked.size is None):
        fix = "Pass endless=True and the number of examples that make an epoch: size=10_000."
        raise refusal(called, "an iterator that ends, or endless=True", said, fix)
    size, promise = _size(subject, asked)
    elements, form, rows, nbytes = _begun(begin, subject, asked, called, size is None)
    recipe = Recipe(begin, form, called, asked.batched, size, promise, asked.endless)
    if once and not asked.endless:
        recipe = dataclasses.replace(recipe, begin=lambda: elements)
        return generators.in_memory(recipe, memory.free_bytes() / 4, asked.ragged), form, rows
    if once:
        recipe = dataclasses.replace(recipe, begin=generators.Shared(elements), shared=True)
    elif size is None:
        found = generators.counted(recipe, elements)
        recipe = dataclasses.replace(recipe, size=found, promise="as it had when it was counted")
    else:
        _close(elements)
    # Hosts that share each batch must agree on the order, whatever memory each has.
    window = asked.window or memory.window(nbytes, by_memory=devices.shares().hosts == 1)

    def fingerprint() -> str:
        return hashlib.blake2b(f"{recipe.size} {form} {fingerprints.of(subject)}".encode(), digest_size=16).hexdigest()

    return generators.streamed(recipe, window, asked.ragged, fingerprint, look=not asked.workers), form, rows


def _name(subject: Any) -> str:
    name = str(getattr(subject, "__name__", type(subject).__name__))
    return "generator" if name.startswith("<") else name


def _function(subject: Any, called: str) -> Callable[[], Any]:
    """What begins a new pass over a subject that is no iterator."""
    if callable(subject):
        try:
            inspect.signature(subject).bind()
        except TypeError:
            got = f"one of {inspect.signature(subject)}"
            raise refusal(called, "a function without arguments", got, "Use functools.partial, or lambda: f(…).", TypeError) from None
        except ValueError:  # It has no signature.
            pass
        function: Callable[[], Any] = subject
        return function
    if hasattr(subject, "__iter__") and not isinstance(subject, (str, bytes, dict, tuple, np.ndarray, tf.Tensor)):
        return lambda: iter(subject)
    fix = "Arrays go to from_arrays, objects with __len__ and __getitem__ to from_sequence."
    got = f"{short(subject)} ({type(subject).__name__})"
    raise refusal(called, "a function that returns a new iterator", got, fix, TypeError)


def _of_shards(subject: Any, workers: int, called: str) -> Callable[[int], Any]:
    """What begins a pass over one of several shards."""
    what = f"{called} with workers={workers}"
    if not callable(subject):
        fix = "Write def examples(shard): …, or use workers=0."
        raise refusal(what, "a function of the number of a shard", f"{short(subject)} ({type(subject).__name__})", fix, TypeError)
    try:
        inspect.signature(subject).bind(0)
    except TypeError:
        fix = f"Write def {called}(shard): …, with shard from 0 to {workers - 1}: each process makes a part of the examples."
        got = f"one of {inspect.signature(subject)}"
        raise refusal(what, "a function of the number of a shard", got, fix, TypeError) from None
    except ValueError:  # It has no signature.
        pass
    function: Callable[[int], Any] = subject
    return function


def _size(subject: Any, asked: _GeneratorOptions) -> tuple[int | None, str]:
    if asked.size is not None:
        return asked.size, f"size={asked.size}"
    if hasattr(subject, "__len__") and not asked.batched:
        return integer("len(subject)", len(subject)), f"its length is {len(subject)}"
    return None, ""


def _begun(
    begin: Callable[[], Iterator[Any]], subject: Any, asked: _GeneratorOptions, called: str, counts: bool
) -> tuple[Iterator[Any], Form, int, int]:
    """A pass with nothing lost of it, the form of its examples, the rows of its first element, and the bytes of one.

    `counts` says whether the pass is read to its end, which it must have then.
    """
    blank = Recipe(begin, asked.form or Form(()), called, asked.batched)
    if counts:
        _endings.refuse(subject, called)
    try:
        elements = begin()
        with generators.awaited(called, Progress()):
            first = next(elements)
    except StopIteration:
        raise refusal(called, "at least one example", "none: the iterator is at its end", "Check the data.") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        told = blank.failure(0, error)
        raise told from (None if told is error else error)
    if counts:
        _endings.refuse(elements, called)
    where = blank.place(0)
    form = asked.form or _signatures.form_of(first, where, asked.batched, asked.ragged)
    rows = 1
    if asked.batched:
        rows = len(form.batch(first, lambda: where)[0])
    else:
        form.write(form.columns(1), 0, first, lambda: where)
    if rows == 0:
        raise refusal(where, "at least one example", "a batch of none", "Leave empty batches out.")
    arrays = [as_array(where, value) for _, value in parts("", first)]
    nbytes = sum(sum(map(len, array.ravel())) if array.dtype == TEXT else array.nbytes for array in arrays)
    return itertools.chain([first], elements), form, rows, max(1, nbytes // rows)


def _warn_of_few(made: Source, batch_size: int) -> None:
    """Tell where large examples are shuffled among few."""
    assert made.stream is not None
    window, wanted = made.stream.window, min(made.size, max(FEW, batch_size))
    if window < wanted:
        said = f"large examples are shuffled among {window} only, for which there is memory"
        fix = "Pass shuffle_window= for more, or change their order inside the function, which rules out splits."
        warnings.warn(f"tfinput: {made.name}: {said}. {fix}", UserWarning, stacklevel=3)


def _close(elements: Any) -> None:
    """Let a generator's `finally` run now."""
    close = getattr(elements, "close", None)
    if close is not None:
        with contextlib.suppress(Exception):
            close()


def _refuse_rereading(called: str, known: dict[str, Any]) -> None:
    """Refuse what needs examples twice, of an iterator that is read once."""
    for name in ("validation_split", "test_split", "cache", "stratify", "groups"):
        if known[name] is not None:
            fix = "Pass a function that returns a new iterator each time it is called."
            raise refusal(name, "a generator that can be read again", f"{called}, an iterator that is read once", fix)
