"""The order of a source that is read in units of neighbouring examples: units in a new order each epoch, then windows shuffled.

The units of an epoch are permuted over the whole source; what they hold is laid end to end and shuffled within windows of many
units. All of that is a pure function of (seed, epoch), and since the counts are known, any place of it is found without
reading what lies before (but the rest of one window).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfinput.errors import refusal
from tfinput.runtime.python_op import weakly
from tfinput.sampling import order, seeds
from tfinput.sampling.order import Members
from tfinput.sources.base import Source, Stream
from tfinput.sources.python.generators import OneStream

# AutoGraph's look at each function's source costs more than tracing it.
plain = tf.autograph.experimental.do_not_convert
AHEAD = 2
READERS = 4


class _Plan(NamedTuple):
    """The units that hold members: their numbers, first examples, sizes and members; which examples are members, and how many."""

    units: Any
    starts: Any
    counts: Any
    members: Any
    mask: Any
    size: int


def _plan(stream: Stream, members: Members) -> _Plan:
    ends = np.cumsum(stream.counts)
    starts = ends - stream.counts
    if members.chosen is None:
        inside, mask = stream.counts, None
    else:
        inside = np.diff(np.searchsorted(members.chosen, np.append(starts, ends[-1])))
        whole = np.zeros(ends[-1], bool)
        whole[members.chosen] = True
        mask = tf.constant(whole)
    units = np.flatnonzero(inside)
    numbers = [tf.constant(part, tf.int64) for part in (units, starts[units], stream.counts[units], inside[units])]
    return _Plan(numbers[0], numbers[1], numbers[2], numbers[3], mask, members.count)


def stream(source: Source, members: Members, seen: int, seed: int, shuffle: bool, epoch: Any, offset: int, endless: bool = True) -> Any:
    """A dataset of (indices, rows) that, laid end to end, are the training order from example `offset` of `epoch` on.

    It is endless, or ends with the epoch, whose number may be a tensor.
    """
    reading = _reading(source)
    if isinstance(epoch, int):
        refuse_later(source, epoch, offset)
    with tf.init_scope():  # Never constants of a graph, which would copy them.
        plan = _plan(reading, members)
    names = [seeds.key(seed, name) for name in ("units", "windows")] if shuffle else None
    first = tf.cast(epoch, tf.int64)

    def one_epoch(number: Any) -> Any:
        start = tf.where(number == first, tf.constant(offset, tf.int64), tf.constant(0, tf.int64))
        return _epoch(source, plan, seen, names, number, start)

    return order.numbers(epoch, endless).flat_map(plain(one_epoch)).prefetch(AHEAD)


def full_pass(source: Source, members: Members) -> Any:
    """A finite dataset of (indices, rows): all members in the order of the source."""
    zero = tf.constant(0, tf.int64)
    if isinstance(source.stream, OneStream):
        raise _read_once(source, "a whole pass, the same each time")
    plan = _plan(_reading(source), members)
    return tf.data.Dataset.from_tensors(zero).flat_map(plain(lambda _: _epoch(source, plan, members.count, None, zero, zero)))


def refuse_later(source: Source, epoch: int, offset: int = 0) -> None:
    """What is read once can be read from its beginning only."""
    if isinstance(source.stream, OneStream) and (epoch or offset):
        raise _read_once(source, f"epoch {epoch}, from example {offset} on")


def _read_once(source: Source, asked: str) -> Exception:
    fix = "Pass a function that returns a new iterator each time it is called."
    return refusal(asked, "a source that can be read again", f"{source.name}, an iterator that is read once", fix)


def _reading(source: Source) -> Stream:
    assert source.stream is not None
    return source.stream


def _epoch(source: Source, plan: _Plan, seen: int, names: list[int] | None, number: Any, start: Any) -> Any:
    reading = _reading(source)
    size = reading.window if names else 0
    chosen = tf.range(tf.size(plan.units, tf.int64))
    if names:
        chosen = order.permutation(chosen, names[0], number)
    before = tf.cumsum(tf.gather(plan.members, chosen), exclusive=True)
    window = start // size if names else tf.constant(0, tf.int64)
    skipped = window * size if names else start
    unit = tf.searchsorted(before, skipped[None], side="right", out_type=tf.int64)[0] - 1
    # How many members of the first unit, and of it alone, lie before.
    rest = tf.concat([(skipped - before[unit])[None], tf.zeros(tf.size(chosen, tf.int64) - unit - 1, tf.int64)], 0)
    units = tf.data.Dataset.from_tensor_slices((chosen[unit:], rest))
    chunks = units.interleave(
        plain(lambda place, drop: _unit(reading, plan, place, drop)),
        cycle_length=1 if reading.chunked else READERS,
        num_parallel_calls=1 if reading.chunked else READERS,
        deterministic=True,
    )
    if not names:
        return chunks if seen == plan.size else chunks.scan(seen - start, plain(_first))

    def shuffled(numbered: Any, rows: Any) -> Any:
        place = window + numbered
        count = tf.size(rows[0], tf.int64)
        new = order.permutation(tf.range(count), names[1], number * 2**32 + place)
        # The first window is entered where `start` lies in it; the last ends where the epoch does.
        new = new[tf.maximum(start - place * size, 0) : tf.maximum(seen - place * size, 0)]
        return tf.nest.map_structure(lambda part: tf.gather(part, new), rows)

    return chunks.rebatch(size).enumerate().map(plain(shuffled), num_parallel_calls=AHEAD, deterministic=True)


def _first(left: Any, chunk: Any) -> Any:
    """No more of the chunks than are `left` of an epoch."""
    cut = tf.nest.map_structure(lambda part: part[:left], chunk)
    return left - tf.size(cut[0], tf.int64), cut


def _unit(reading: Stream, plan: _Plan, place: Any, drop: Any) -> Any:
    """The members of a unit, with their indices, without the first `drop` of them."""
    unit, start, count = plan.units[place], plan.starts[place], plan.counts[place]

    def numbered(state: Any, rows: Any) -> Any:
        done, left = state
        size = tf.shape(tf.nest.flatten(rows)[0], tf.int64)[0]
        within = tf.range(size)
        if plan.mask is not None:
            within = within[plan.mask[start + done : start + done + size]]
        cut = tf.minimum(left, tf.size(within, tf.int64))
        within = within[cut:]
        taken = tf.nest.map_structure(lambda part: tf.gather(part, within), rows)
        return (done + size, left - cut), (start + done + within, taken)

    chunks = reading.open(unit)
    if reading.explain is not None:
        chunks = _complete(reading, chunks, unit, count)
    zero = tf.constant(0, tf.int64)
    return chunks.scan((zero, drop), plain(numbered))


def _complete(reading: Stream, chunks: Any, unit: Any, count: Any) -> Any:
    """The same chunks; an error, or an end before `count` examples, is explained by the source."""
    assert reading.explain is not None
    spec, explain = chunks.element_spec, weakly(reading.explain)

    def counted(done: Any, last: Any, rows: Any) -> Any:
        here = tf.shape(tf.nest.flatten(rows)[0], tf.int64)[0]
        short = last & (done != count)
        told = tf.cond(short, lambda: tf.py_function(explain, [unit, done], tf.int64), lambda: tf.constant(0, tf.int64))
        with tf.control_dependencies([told]):
            return done + here, tf.nest.map_structure(tf.identity, rows)

    empty = tf.nest.map_structure(lambda part: tf.zeros([0, *part.shape[1:]], part.dtype), spec)
    ends = tf.data.Dataset.from_tensors((tf.constant(True), empty))
    sound = chunks.ignore_errors().map(plain(lambda *rows: (tf.constant(False), rows[0] if len(rows) == 1 else rows)))
    marked = sound.concatenate(ends)
    return marked.scan(tf.constant(0, tf.int64), plain(lambda done, element: counted(done, *element)))
