"""The throat: source x order x options -> the training dataset, endless or an epoch a pass, or one finite full pass.

A training step is a pure function of (seed, epoch, step): an endless stream of indices is cut into blocks, each block is
read at once (several small batches in one call, whose fixed cost they share), and the blocks are cut into batches that end
where the epoch ends. Nothing drains at an epoch's border.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.engine import devices, hooks, padding, stream_order
from tfinput.options import Settings
from tfinput.runtime.python_op import weakly
from tfinput.sampling import order, seeds
from tfinput.sampling.epoch_counter import EpochCounter
from tfinput.sampling.order import Members
from tfinput.sampling.steps import Layout, Shares, layout
from tfinput.sources.base import Source

# A block is as many batches as fit in this many bytes, at most BATCHES: a call costs 50-100 us whatever it brings. Measured on
# batches of 0.8 MB: 4 MiB give 0.9 of np.take's speed, 2 MiB 0.7; 16 MiB slow batches of 5 MB. Batches of a quarter of it go one
# by one: sharing a call saves less than the larger block costs in cache misses.
BLOCK_BYTES = 4 << 20
BATCHES = 32
# Examples a block needs for its hooks' own dataset (about 300 us) to be cheap beside them.
HOOKED_EXAMPLES = 16
# What is asked for ahead of Python code, or made side by side, at most.
AHEAD_BYTES = 512 << 20


@hooks.do_not_convert  # type: ignore[untyped-decorator]
def train(source: Source, members: Members, settings: Settings, epoch: Any = 0, step: int = 0, endless: bool = True) -> Any:
    """The training dataset from a step of an epoch on: endless, or to the end of the epoch, whose number may be a tensor then."""
    laid = layout(members.drawn, settings.batch_size, settings.drop_remainder)
    hosts = settings.shares.hosts
    size = (min(laid.batch_size, laid.last) if laid.steps == 1 else laid.batch_size) // hosts
    first = step * laid.batch_size
    stages = _example_stages(source, settings, training=True)
    with tf.device("CPU:0"):
        drawn = functools.partial(order.stream, lengths=source.lengths, batch_size=laid.batch_size)
        if source.stream is not None:
            drawn = functools.partial(stream_order.stream, source)
        stream = drawn(members, laid.seen, settings.seed, settings.shuffle, epoch, first, endless)
        stream = _of_host(stream, size, settings.shares)
        # A list of sizes goes round with the epochs; started at `step`, it still ends every epoch with its short batch.
        sizes = None if laid.uniform else [size] * (laid.steps - step - 1) + [laid.last] + [size] * step
        start = (epoch, first // hosts, laid.seen // hosts)
        batches = _read(source, stream, size, sizes, stages, start, settings, members.quotas is not None)
        batches = _on_batches(source, batches, settings, laid, epoch, step, augment=True)
        steps = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY if endless else laid.steps - step)
        return devices.apply(batches.apply(steps), devices.parallelism(settings.num_parallel_calls), hosts)


def one_epoch(source: Source, members: Members, settings: Settings, first: int) -> Any:
    """A function from an epoch's number, `first` or later, to its batches; traced once for all datasets that `passes` makes of it."""
    stream_order.refuse_later(source, first)

    def batches(epoch: Any) -> Any:
        return train(source, members, settings, epoch, endless=False)

    return tf.function(batches, input_signature=[tf.TensorSpec([], tf.int64)], autograph=False)


@hooks.do_not_convert  # type: ignore[untyped-decorator]
def passes(epoch: Any, steps: int, settings: Settings, counter: EpochCounter) -> Any:
    """The training dataset of which each pass is one `epoch`, of so many steps; `counter` says which, and hears of its last batch."""

    def begin() -> Any:
        return np.int64(counter.begin())

    def end(begun: Any) -> Any:
        counter.end(int(begun))
        return begun

    def one(begun: Any) -> Any:
        batches = epoch(tf.maximum(begun, -1 - begun))
        last = tf.data.Dataset.from_tensors(begun).map(hooks.do_not_convert(functools.partial(_called, end)))
        numbers = tf.data.Dataset.range(steps - 1).concatenate(last)
        return tf.data.Dataset.zip(batches, numbers).map(hooks.do_not_convert(lambda batch, _: batch))

    with tf.device("CPU:0"):
        begun = tf.data.Dataset.from_tensors(0).map(hooks.do_not_convert(lambda _: _called(begin)))
        batches = begun.flat_map(hooks.do_not_convert(one)).apply(tf.data.experimental.assert_cardinality(steps))
        return devices.with_options(batches, devices.parallelism(settings.num_parallel_calls), settings.shares.hosts)


def _called(function: Callable[..., Any], *arguments: Any) -> Any:
    """One number that a Python function returns, in a graph."""
    result = tf.numpy_function(weakly(function), arguments, tf.int64)
    result.set_shape([])
    return result


@hooks.do_not_convert  # type: ignore[untyped-decorator]
def full_pass(source: Source, members: Members, batch_size: int, settings: Settings) -> Any:
    """One finite pass in source order: every example once, nothing random."""
    laid = layout(members.count, batch_size, drop_remainder=False)
    shares = settings.shares
    filled = shares.fill(members.count, batch_size)
    size = (laid.last if laid.steps == 1 and not filled else batch_size) // shares.hosts
    stages = _example_stages(source, settings, training=False)
    with tf.device("CPU:0"):
        every = tf.data.Dataset.from_tensors(0).map(lambda _: members.tensor())
        indices = every if source.stream is None else stream_order.full_pass(source, members)
        sizes = None if laid.uniform or filled else [size] * (laid.steps - 1) + [laid.last]
        indices = _of_host(indices.repeat() if filled else indices, size, shares)
        seen = laid.steps * size if filled or shares.hosts > 1 else members.count
        batches = _read(source, indices, size, sizes, stages, (0, 0, seen), settings)
        batches = _on_batches(source, batches, settings, laid, 0, 0, augment=False)
        batches = padding.weighted(batches.take(laid.steps), size, members.count, shares) if filled else batches
        whole = tf.data.experimental.assert_cardinality(laid.steps)
        return devices.apply(batches.apply(whole), devices.parallelism(settings.num_parallel_calls), shares.hosts)


def _of_host(stream: Any, size: int, shares: Shares) -> Any:
    """Of a stream of indices, or of (indices, rows), the `size` in each batch that this host reads."""
    if shares.hosts == 1:
        return stream
    begin = shares.host * size

    def piece(*batch: Any) -> Any:
        cut = tf.nest.map_structure(lambda rows: rows[begin : begin + size], batch)
        return cut if len(cut) > 1 else cut[0]

    return stream.rebatch(size * shares.hosts, drop_remainder=True).map(hooks.do_not_convert(piece))


def _example_stages(source: Source, settings: Settings, training: bool) -> list[hooks.Stage | hooks.Loading]:
    stages = hooks.loading(source.loader, settings.seed, training)
    stages += hooks.make("preprocess", settings.preprocess, settings.seed)
    return stages + (hooks.make("augment", settings.augment, settings.seed) if training else [])


def _block(source: Source, size: int, hooked: bool) -> int:
    """Examples to read at a time: a whole number of batches."""
    if hooked:
        return size * -(-HOOKED_EXAMPLES // size)
    batch_bytes = size * max(source.example_bytes, 1)
    return size if batch_bytes >= BLOCK_BYTES // 4 else size * min(BATCHES, BLOCK_BYTES // batch_bytes)


def _read(
    source: Source,
    stream: Any,
    size: int,
    sizes: list[int] | None,
    stages: Sequence[hooks.Stage | hooks.Loading],
    start: tuple[int, int, int],
    settings: Settings,
    repeats: bool = False,
) -> Any:
    """From a stream of indices, or of (indices, rows), to a stream of batches; `start` is (epoch, example in it, examples an epoch)."""
    calls = devices.parallelism(settings.num_parallel_calls).calls
    # Examples of several lengths are padded batch by batch, and Python code makes batch by batch: a block of theirs is a batch.
    batchwise = source.fetch is not None or bool(source.uneven and stages)
    live = source.stream is not None and source.stream.live
    block = size if batchwise or live else _block(source, size, bool(stages))
    # Blocks of the batches' size are batches, the short ones too: to cut batches out of two blocks would copy every one.
    batchwise = batchwise or block == size

    def read(indices: Any, rows: Any = None) -> Any:
        return source.read(indices if rows is None else rows)

    blocks = _rebatched(stream, size, sizes) if batchwise else stream.rebatch(block)
    epoch, first, seen = start

    def places(number: Any, indices: Any) -> Any:
        """The places of a block's examples in the stream: divided by `seen` they give the epoch."""
        begin = number * block + first
        if batchwise:
            steps = -(-seen // size)
            begin = (number + first // size) // steps * seen + (number + first // size) % steps * size
        return begin + tf.range(tf.size(indices, tf.int64), dtype=tf.int64)

    def visits(where: Any) -> Any:
        """What tells one visit to an example from the next: the epoch, and where an epoch repeats examples the place in it."""
        epochs = where // seen + epoch
        return epochs * 2**32 + settings.shares.place(where % seen, size) if repeats else epochs

    if source.fetch is not None:
        blocks = _fetched(source, blocks, places, visits, seen, size, settings)
    if not stages:
        batches = blocks.map(read, num_parallel_calls=None if source.fetch else calls)
        return batches if batchwise else _rebatched(batches, size, sizes)
    calls = devices.blocks_at_a_time(settings.num_parallel_calls, AHEAD_BYTES // (block * max(source.example_bytes, 1)))
    on_examples = hooks.shared(source, stages, functools.partial(hooks.on_examples, stages, source))

    def hooked(number: Any, drawn: Any) -> Any:
        indices, rows = drawn if isinstance(drawn, tuple) else (drawn, drawn)
        epochs = visits(places(number, indices))
        if source.batches is not None:
            indices, epochs = _rows_of_batch(source.batches, rows, indices, epochs)
        return on_examples(rows, indices, epochs)

    mapped = _numbered(blocks).map(hooks.do_not_convert(hooked), num_parallel_calls=calls)
    return mapped if batchwise else _rebatched(mapped, size, sizes)


def _numbered(dataset: Any) -> Any:
    return dataset.enumerate()


def _rows_of_batch(counts: Any, rows: Any, indices: Any, epochs: Any) -> Any:
    """The indices and epochs of the examples of a batch that was read by one index: its examples are numbered on their own."""
    count = tf.shape(tf.nest.flatten(rows)[0], tf.int64)[0]
    return tf.cast(indices, tf.int64) * int(counts.max()) + tf.range(count), tf.repeat(epochs, count)


def _fetched(source: Source, batches: Any, places: Any, visits: Any, seen: int, size: int, settings: Settings) -> Any:
    """From batches of indices to batches of (indices, rows), which Python code makes ahead; an epoch has `seen` examples."""
    fetch = source.fetch
    assert fetch is not None
    name = seeds.key(settings.seed, "items")
    ahead = max(2, min(fetch.ahead, AHEAD_BYTES // (size * max(source.example_bytes, 1))))

    def request(session: Any, number: Any, indices: Any) -> Any:
        where = places(number, indices)
        drawn = seeds.fold(name, visits(where), indices)
        return indices, fetch.request(session, indices, drawn, (where[-1] + 1) % seen == 0)

    def opened(session: Any) -> Any:
        asked = _numbered(batches).map(hooks.do_not_convert(functools.partial(request, session)))
        return asked.prefetch(ahead).map(hooks.do_not_convert(lambda indices, ticket: (indices, fetch.collect(ticket, indices))))

    return fetch.session().flat_map(hooks.do_not_convert(opened))


def _rebatched(dataset: Any, size: int, sizes: list[int] | None) -> Any:
    """Cut into batches: of one size, which is static then, or going round a list of sizes."""
    return dataset.rebatch(size, drop_remainder=True) if sizes is None else dataset.rebatch(sizes)


def _on_batches(source: Source, batches: Any, settings: Settings, laid: Layout, epoch: int, step: int, augment: bool) -> Any:
    stages = hooks.make("batch_preprocess", settings.batch_preprocess, settings.seed)
    stages += hooks.make("batch_augment", settings.batch_augment, settings.seed) if augment else []
    if not stages:
        return batches
    first = epoch * laid.steps + step
    shares = settings.shares
    on_batch = [hooks.shared(source, [stage], functools.partial(hooks.on_batch, stage, source.name)) for stage in stages]

    def hooked(number: Any, batch: Any) -> Any:
        for run in on_batch:
            batch = run(batch, number // laid.steps, number % laid.steps * shares.hosts + shares.host)
        return batch

    calls = devices.parallelism(settings.num_parallel_calls).calls
    return batches.enumerate(first).map(hooks.do_not_convert(hooked), num_parallel_calls=calls)
