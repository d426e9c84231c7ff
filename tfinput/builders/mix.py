"""`mix`: several feeds as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import tensorflow as tf

from tfinput import feed, options
from tfinput.builders import _build
from tfinput.engine import devices
from tfinput.engine.mixture import Ingredient, mixed
from tfinput.engine.split import Split
from tfinput.errors import refusal, short
from tfinput.feed import Feed
from tfinput.sampling import labels, steps
from tfinput.sampling.order import Members
from tfinput.sampling.quotas import Quotas, even, shares
from tfinput.sources.base import Source

SPLITS = ("validation_split", "test_split", "validation_data", "test_data", "stratify", "groups")


@options.common_options
def mix(feeds: Sequence[Feed], *, weights: Any = None, size: int | None = None, **given: Unpack[options.Options]) -> feed.Feed:
    """Train on several feeds at once, each with a share of every epoch.

    >>> import numpy as np, tfinput
    >>> day, night = (tfinput.from_arrays(np.arange(n), validation_split=2) for n in (12, 6))
    >>> tfinput.mix([day, night], weights=[1, 1], batch_size=7)
    Feed(mix of arrays, arrays: train 14 in 2 steps of 7, validation 4 in 1 step of 4; seed=0; an epoch takes 7 + 7 examples)

    An epoch takes a fixed number of examples of each feed, exact to one, in an order that is drawn anew each time over all of them. A
    feed that gives more than it has comes again in whole permutations: no example comes a third time before all came twice. One that
    gives less takes others of its examples in the next epoch. Like every order here, this one is a pure function of (seed, epoch),
    and `feed.at` goes on anywhere in it at no cost.

    Each feed's own `preprocess`, `augment` and `cache` stay with its examples. Batches, seed and order are those of the mix, and so
    are the functions given here, which come after the feeds' own.

    Args:
        feeds: two or more feeds whose examples are of one structure, dtypes and shapes, and are read by number: streams need
            `cache` in their builder.
        weights: a positive number for each feed, in proportion to what an epoch takes of it. None takes each example once.
        size: examples in an epoch; None for as many as the feeds train on in all.
        {common options}

    Returns:
        A `tfinput.Feed`. Validation and test hold each example of the feeds' own, feed after feed, once; `indices` number the
        examples likewise, one source after another.

    Raises:
        ValueError: for feeds whose examples or classes differ, and weights that leave a feed no example.
        TypeError: for unknown options, and what is no feed.

    """
    known = _build.begin(dict(given), mix)
    _refuse_options(known, weights, size)
    settings = options.settle(known, devices.shares())
    chosen = _checked(feeds)
    spec = _spec(chosen)
    names = _class_names(chosen)
    ingredients = [Ingredient(each.parts["train"].source, each.settings) for each in chosen]
    train = mixed(ingredients, spec, names)
    members = _members([each.parts["train"] for each in chosen])
    if known["balance"] is not None:
        members = _balanced(train, members)
    elif weights is not None or size is not None:
        members = _weighted(chosen, members, weights, size)
    steps.layout(members.drawn, settings.batch_size, settings.drop_remainder)
    parts = {"train": Split(train, members, training=True)}
    for name in ("validation", "test"):
        having = [each for each in chosen if name in each.parts]
        if having:
            held = [each.parts[name] for each in having]
            sources = [Ingredient(part.source, each.settings) for part, each in zip(held, having, strict=True)]
            parts[name] = Split(mixed(sources, spec, names), _members(held))
    return Feed(parts=parts, settings=settings, drawer=_no_folds)


def _refuse_options(known: dict[str, Any], weights: Any, size: Any) -> None:
    for name in SPLITS:
        if known[name] is not None:
            raise refusal(f"mix({name}=…)", "it in the feeds' own builders", short(known[name]), "Each feed brings its own splits.")
    if known["cache"] is not None:
        raise refusal("mix(cache=…)", "it in the feeds' own builders", short(known["cache"]), "Each feed keeps its own examples.")
    drawn = [name for name, value in (("weights", weights), ("size", size)) if value is not None]
    if drawn and known["balance"] is not None:
        raise refusal(f"balance with {drawn[0]}", "one of the two", "both", "Drop one of them.")
    if drawn and not known["shuffle"]:
        fix = f"Use shuffle=True, or {drawn[0]}=None."
        raise refusal(f"{drawn[0]} with shuffle=False", "one of the two", "both: what an epoch takes is drawn", fix)


def _checked(feeds: Any) -> list[Feed]:
    if not isinstance(feeds, (list, tuple)) or not all(isinstance(each, Feed) for each in feeds):
        raise refusal("feeds", "a list of feeds", short(feeds), "Make each with a builder, as tfinput.from_arrays.", TypeError)
    if len(feeds) < 2:
        raise refusal("feeds", "two or more", f"{len(feeds)}", "A single feed needs no mix.")
    uneven = [each.parts["train"].source.uneven for each in feeds]
    for number, each in enumerate(feeds):
        _check(f"feed {number} ({each.parts['train'].source.name})", each)
        if uneven[number] != uneven[0]:
            wanted, got = (kind or "not padded" for kind in (uneven[0], uneven[number]))
            raise refusal(f"feed {number}", f"batches that are {wanted}, as those of feed 0", got, "Make both feeds in one way.")
    return list(feeds)


def _check(what: str, each: Feed) -> None:
    for part in each.parts.values():
        if part.source.stream is not None or part.source.fetch is not None:
            fix = "Pass cache='memory' or a folder to its builder: what is kept there can be."
            raise refusal(what, "examples that can be read by number in the graph", f"those of {part.source.name}, which cannot", fix)
    for name in ("batch_preprocess", "batch_augment"):
        if getattr(each.settings, name) is not None:
            raise refusal(what, "functions of single examples", name, f"Pass {name} to mix, whose batches hold examples of all feeds.")
    if each.parts["train"].members.quotas is not None:
        fix = "Mix the feeds that it is made of, or pass balance to mix."
        raise refusal(what, "a feed that trains on each example once", "one with quotas of its own", fix)
    if each.epoch or each.step:
        raise refusal(what, "a feed from its start on", f"one from epoch {each.epoch}, step {each.step}", "Use at() of the mix.")


def _spec(feeds: list[Feed]) -> Any:
    """What the examples of all feeds are; a length in which they differ, as padded ones may, is None."""

    def of(each: Feed) -> Any:
        return tf.nest.map_structure(lambda part: tf.TensorSpec(part.shape[1:], part.dtype), each.element_spec)

    first = of(feeds[0])
    fix = "Bring them into one form with preprocess."
    for number, each in enumerate(feeds[1:], 1):
        other = of(each)
        try:
            tf.nest.assert_same_structure(first, other)
            same = all(
                a.is_compatible_with(b) and b.is_compatible_with(a) for a, b in zip(*map(tf.nest.flatten, (first, other)), strict=True)
            )
        except (TypeError, ValueError):
            same = False
        if not same:
            name = each.parts["train"].source.name
            raise refusal(f"feed {number} ({name})", f"examples as those of feed 0: {first}", f"{other}", fix)
        _refuse_columns(number, feeds[0], each)
        first = tf.nest.map_structure(lambda a, b: a.most_specific_common_supertype([b]), first, other)
    return first


def _refuse_columns(number: int, first: Feed, other: Feed) -> None:
    """Refuse tables whose columns have other names, or another order, than those of the first feed."""
    if first.settings.preprocess is not None or other.settings.preprocess is not None:  # What it returns has no names.
        return
    theirs = other.parts["train"].source.columns
    for path, names in first.parts["train"].source.columns.items():
        if names != theirs.get(path, names):
            fix = "Pass each builder a table with the same columns in the same order: table[names]."
            raise refusal(f"feed {number}, {path}", f"the columns {short(list(names))} of feed 0", short(list(theirs[path])), fix)


def _class_names(feeds: list[Feed]) -> tuple[str, ...] | None:
    named = [(number, each.class_names) for number, each in enumerate(feeds) if each.class_names is not None]
    for number, names in named[1:]:
        if names != named[0][1]:
            fix = "Pass the same class_names to both builders, so that a label means the same in both."
            raise refusal(f"feed {number}", f"the classes {short(list(named[0][1]))} of feed {named[0][0]}", short(list(names)), fix)
    return named[0][1] if named else None


def _members(parts: list[Split]) -> Members:
    """Who of all parts belongs to a split, numbered one source after another."""
    sizes = np.array([part.source.size for part in parts])
    chosen = [part.members.indices + start for part, start in zip(parts, np.cumsum(sizes) - sizes, strict=True)]
    whole = np.concatenate(chosen)
    return Members(len(whole)) if len(whole) == sizes.sum() else Members(len(whole), whole)


def _weighted(feeds: list[Feed], members: Members, weights: Any, size: Any) -> Members:
    sizes = np.array([each.train_size for each in feeds])
    total = int(sizes.sum()) if size is None else steps.integer("size", size)
    parts = sizes if weights is None else np.array(_weights(weights, len(feeds)))
    takes = shares(parts, total)
    if takes.min() == 0:
        none = f"none of feed {int(takes.argmin())}"
        raise refusal("weights", f"weights that give each feed at least one of {total} examples", none, "Pass a larger size.")
    told = f"an epoch takes {' + '.join(map(str, takes))} examples"
    return Members(members.count, members.chosen, Quotas(np.repeat(np.arange(len(feeds)), sizes), takes, told))


def _weights(weights: Any, count: int) -> list[float]:
    found = labels.vector_like("weights", weights, "a number for each feed")
    if found.shape != (count,) or found.dtype.kind not in "iuf":
        raise refusal("weights", f"{count} numbers, one for each feed", short(weights), "Pass for example [3, 1].")
    numbers = [float(each) for each in found]
    for number, each in enumerate(numbers):
        if not (math.isfinite(each) and each > 0):
            raise refusal(f"weights[{number}]", "a number above 0", f"{each}", "Leave out a feed that is not to train.")
    return numbers


def _balanced(source: Source, members: Members) -> Members:
    given = source.labels()
    if given is None:
        raise refusal("balance='classes'", "one array of class labels y in each feed", "none in one of them", "Pass y to its builder.")
    classes = labels.numbered("balance", labels.classes("balance", given)[members.indices])
    return Members(members.count, members.chosen, even(classes))


def _no_folds(*_: Any) -> Any:
    fix = "Mix the folds: [tfinput.mix(pair) for pair in zip(a.kfold(5), b.kfold(5))]."
    raise refusal("kfold", "a feed of one source", "a mix", fix)
