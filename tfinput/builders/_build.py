"""Assembly: a source and settled options become a Feed; the one place where feeds are built."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfinput import options
from tfinput.engine import cache, devices
from tfinput.engine.split import Split
from tfinput.errors import refusal
from tfinput.feed import Feed
from tfinput.material import pairing
from tfinput.sampling import labels, splits
from tfinput.sampling.order import Members
from tfinput.sampling.quotas import even
from tfinput.sampling.steps import ALONE, Shares, layout
from tfinput.sources.base import Source


def begin(given: dict[str, Any], builder: Callable[..., Any]) -> dict[str, Any]:
    """The options of a call over their defaults. A builder begins with this, before TensorFlow begins with its first array."""
    devices.spare_gpus()
    return options.with_defaults(given, builder)


def build(
    source: Source,
    given: dict[str, Any],
    validation: Source | None = None,
    test: Source | None = None,
    *,
    split: splits.SplitMembers | None = None,
    verbose: bool = False,
) -> Feed:
    """Split (unless `split` says how), cache and settle; `given` are the known options with their defaults filled in."""
    given = {**given, **{name: _along(source, name, given[name]) for name in ("stratify", "groups", "validation_split", "test_split")}}
    settings = options.settle(given, _shares(source))
    how = (given["stratify"], given["groups"], source.labels, source.identities, source.numbering)
    drawn = split or splits.split(source.size, settings.seed, given["validation_split"], given["test_split"], *how)
    if verbose:
        _tell_left_out(source, given)
    if given["balance"] is not None:
        drawn = drawn._replace(train=_balanced(source, drawn.train, settings.cache))
    # What can be refused at once is refused before a cache is written.
    layout(drawn.train.drawn, settings.batch_size, settings.drop_remainder)
    for name, own in (("validation_data", validation), ("test_data", test)):
        if own is not None:
            _refuse_unlike(source, own, name)
    kept, rest = cache.apply(source, settings)
    if kept.hold is not None and (drawn.validation is not None or drawn.test is not None):
        kept.hold()
    parts = {"train": Split(kept, drawn.train, training=True)}
    for name, members, own in (("validation", drawn.validation, validation), ("test", drawn.test, test)):
        if own is not None:
            parts[name] = Split(cache.apply(own, settings)[0], Members(own.size))
        elif members is not None:
            parts[name] = Split(kept, members)

    def drawer(stratify: Any, groups: Any) -> splits.Drawer:
        stratify, groups = _along(source, "stratify", stratify), _along(source, "groups", groups)
        if stratify is None and groups is None:
            stratify, groups = given["stratify"], given["groups"]
        fresh = splits.Drawer(source.size, settings.seed, stratify, groups, source.labels, source.identities, source.numbering)
        fresh.left[:] = False
        fresh.left[drawn.train.indices] = True
        return fresh

    feed = Feed(parts=parts, settings=rest, drawer=drawer)
    try:
        _ = feed.repeated, feed.validation, feed.test  # Errors of the user's functions show here, not in model.fit.
    except (TypeError, ValueError) as error:
        if str(error).startswith("tfinput:"):
            raise error.with_traceback(None) from error.__cause__  # Without some forty frames of TensorFlow's tracing.
        raise
    return feed


def _along(source: Source, name: str, value: Any) -> Any:
    """What is given for each example, in the order of the examples where both have names; indices of examples belong to no one row."""
    if source.names is None or (name.endswith("_split") and getattr(getattr(value, "dtype", None), "kind", "") != "b"):
        return value
    return pairing.along(name, value, *source.names)


def _shares(source: Source) -> Shares:
    """How devices share each batch; where batches are made by the user, nobody cuts them."""
    shares = devices.shares()
    if source.batches is None:
        return shares
    if shares.shards > 1:
        fix = "Pass a sequence of examples: a list, or anything else with __len__ and __getitem__."
        raise refusal(source.name, f"examples, to make batches that {shares.shards} devices can share", "items that are batches", fix)
    return ALONE


def _tell_left_out(source: Source, given: dict[str, Any]) -> None:
    """Say which indices of the caller's splits name what was skipped."""
    for name in ("validation_split", "test_split"):
        lost = splits.left_out(given[name], source.numbering)
        if len(lost):
            numbers = ", ".join(map(str, lost[:5])) + (", …" if len(lost) > 5 else "")
            print(f"Left out of {name}, since they were skipped: {len(lost)} of its indices ({numbers}).")


def _balanced(source: Source, members: Members, cache: str | None) -> Members:
    """The same members, of which an epoch takes each class equally often."""
    what = "balance='classes'"
    if source.stream is not None and cache is None:
        fix = "Pass cache='memory' or a folder, from which they can."
        raise refusal(what, "examples that can be read in any order", f"{source.name}, which is read as a stream", fix)
    given = source.labels()
    if given is None:
        raise refusal(what, "one array of class labels y", "none", "Pass y as one array with a class per example.")
    classes = labels.numbered(what, labels.classes(what, given)[members.indices])
    return dataclasses.replace(members, quotas=even(classes))


def _refuse_unlike(source: Source, other: Source, name: str) -> None:
    """Validation examples must look like the training examples; they may lack or add sample weights."""
    ours, theirs = (part.spec if isinstance(part.spec, tuple) else (part.spec,) for part in (source, other))
    fix = f"Pass {name} in the builder's own form, (x, y), with the same shapes and dtypes."
    if (len(ours) > 1) != (len(theirs) > 1):
        raise refusal(name, f"examples like the training ones: {source.spec}", f"{other.spec}", fix)
    for mine, yours in zip(ours[:2], theirs[:2], strict=False):
        try:
            tf.nest.assert_same_structure(mine, yours)
            same = all(a.is_compatible_with(b) for a, b in zip(tf.nest.flatten(mine), tf.nest.flatten(yours), strict=True))
        except (TypeError, ValueError):
            same = False
        if not same:
            raise refusal(name, f"{mine}", f"{yours}", fix)
