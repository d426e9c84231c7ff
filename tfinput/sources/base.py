"""What a source of examples is: material without any word on batching, order or epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfinput.sampling.numbering import Numbering


@dataclass(frozen=True, kw_only=True)
class Loader:
    """How a source makes its examples one by one, as files are decoded.

    Attributes:
        load: called in a graph, turns what `Source.read` gives for one index into an example; its second argument is a seed
            (two int32) where the loader is random and this is training, else None.
        explain: given the same and the error that `load` raised, returns the error to raise: it names the material and what is
            wrong with it.
        random: whether training examples depend on the seed.
        fast_load: as `load`, for nearly all examples, and quicker: where it fails, `load` is asked.

    """

    load: Callable[[Any, Any], Any]
    explain: Callable[[Any, Exception], Exception]
    random: bool = False
    fast_load: Callable[[Any, Any], Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Stream:
    """How a source is read that has no quick access to single examples: in units of neighbouring ones.

    Attributes:
        counts: examples in each unit; the first unit's come first in the numbering of the source.
        open: called in a graph, turns a unit's number into a dataset of its examples, in order: each element is a chunk, a nest of
            tensors with one row per example, as `Source.read` takes it.
        window: examples that are shuffled together.
        chunked: whether units are so large that they come in many chunks, which are read one after another; else each is one chunk.
        live: whether examples are made as they are read, so that a batch is handed on as soon as it is full.
        explain: given a unit's number and how many examples came before it failed or ended early, raises the error that tells why;
            without it, errors are those of `open`.

    """

    counts: np.ndarray[Any, Any]
    open: Callable[[Any], Any]
    window: int = 1 << 14
    chunked: bool = False
    live: bool = False
    explain: Callable[[Any, Any], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """How a source is read by Python code that runs ahead of the training step, outside of TensorFlow.

    Attributes:
        session: returns a dataset of one number, which stands for an open iterator, and ends with it.
        request: called in a graph with that number, a vector of indices, a seed (two int32) for each, and whether this ends an epoch,
            asks for a batch, and returns what `collect` takes.
        collect: called in a graph with that and the indices, waits for the batch and returns it, as `Source.read` takes it.
        probe: returns the first example as a batch of one.
        ahead: batches that are asked for ahead.

    """

    session: Callable[[], Any]
    request: Callable[[Any, Any, Any, Any], Any]
    collect: Callable[[Any, Any], Any]
    probe: Callable[[], Any]
    ahead: int


@dataclass(frozen=True, kw_only=True)
class Source:
    """Examples that can be read by index, many at a time.

    Attributes:
        name: what errors and the repr call it.
        size: number of examples.
        spec: one example: a `tf.TensorSpec`, or a nest of them, as Keras takes it: `x`, `(x, y)` or `(x, y, sample_weight)`.
        read: called in a graph, turns an int vector of indices into a batch of that structure.
        loader: makes examples of what `read` gives, one by one; None if that is a batch of examples already.
        stream: where examples cannot be read by index, how they are read; `read` then takes what its chunks hold.
        fetch: where Python code makes the examples, how batches of them are asked for and collected; `read` then takes those.
        batches: where what is read by one index is a batch of examples already: how many examples each holds.
        labels: returns the classes of all examples, or None where there is no single array of them.
        encoded: given indices, returns the labels of those examples as the model gets them, where `labels` has them in another form.
        paths: the file of each example, where each is one; None for other sources.
        numbering: the places of the examples in what the caller gave, where some of that was left out.
        fingerprint: returns a digest of the material, for the cache.
        in_memory: whether reading costs no more than copying.
        identities: returns a number for each example that stays its own when examples are added before it; splits are then drawn
            by its hash, so that an example never moves from one split to another.
        locate: says where an example is (file and record), for messages.
        uneven: what becomes of examples of several lengths in a batch: "padded" with zeros at their ends to the longest, or
            "ragged"; None where all examples are of one shape. The lengths may come from `spec` or from the user's functions.
        lengths: where the batches of training are to hold examples of like lengths, an int64 tensor of the lengths of all examples.
        skipped: broken files that were left out: path and what is wrong.
        hold: is called where some examples are held back from training: from then on, an example that is another one in a later
            pass is an error; None where that cannot be.
        summary: says what the repr is to add: how the examples are made.
        class_names: names of the classes, in the order of their labels.
        names: what names the rows, and their names, where they came as tables or columns of them: an index of pandas.
        columns: the names of the columns of parts that came as tables, by the parts' paths.
        traced: functions over this source that were traced, for all datasets that need them.

    """

    name: str
    size: int
    spec: Any
    read: Callable[[Any], Any]
    loader: Loader | None = None
    stream: Stream | None = None
    fetch: Fetch | None = None
    batches: np.ndarray[Any, Any] | None = None
    labels: Callable[[], np.ndarray[Any, Any] | None] = field(default=lambda: None)
    encoded: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]] | None = None
    paths: Sequence[bytes] | None = None
    numbering: Numbering | None = None
    fingerprint: Callable[[], str] = field(default=lambda: "")
    in_memory: bool = True
    identities: Callable[[], np.ndarray[Any, Any]] | None = None
    locate: Callable[[int], str] | None = None
    uneven: str | None = None
    lengths: Any = None
    hold: Callable[[], None] | None = None
    summary: Callable[[], str] = field(default=lambda: "")
    class_names: tuple[str, ...] | None = None
    skipped: tuple[tuple[bytes, str], ...] = ()
    names: tuple[str, Any] | None = None
    columns: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    traced: dict[Any, Any] = field(init=False, default_factory=dict, compare=False, repr=False)

    def place(self, index: int) -> str:
        """Where an example is, for messages."""
        if self.locate is not None:
            return self.locate(index)
        return f"{self.name}, example {index if self.numbering is None else self.numbering.positions[index]}"

    @property
    def total(self) -> int:
        """How many examples the caller gave, those that were left out too."""
        return self.size if self.numbering is None else self.numbering.total

    def positions(self, indices: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The places of examples in what the caller gave."""
        return indices.view() if self.numbering is None else self.numbering.positions[indices]

    def labels_at(self, indices: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
        """The labels of examples as the model gets them, or None where there is no single array of them."""
        if self.encoded is not None:
            return self.encoded(indices)
        labels = self.labels()
        return None if labels is None else labels[indices]

    @property
    def example_bytes(self) -> int:
        """Bytes of one example, unknown sizes counted as 16."""
        import tensorflow as tf

        def nbytes(spec: Any) -> int:
            elements: int = spec.shape.num_elements() or 16
            return elements * max(int(spec.dtype.size), 1)

        return sum(nbytes(spec) for spec in tf.nest.flatten(self.spec))
