"""The options common to all builders: named, documented, checked and settled here once."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypedDict, TypeVar, get_type_hints

from tfinput.errors import nearest, refusal, short
from tfinput.sampling import seeds
from tfinput.sampling.steps import ALONE, Shares, integer

P = ParamSpec("P")
R = TypeVar("R")
Hook = Callable[..., Any]


class Options(TypedDict, total=False):
    """What every builder takes by keyword; `DOCUMENTED` says what each means."""

    batch_size: int
    validation_split: Any
    test_split: Any
    validation_data: Any
    test_data: Any
    stratify: Any
    groups: Any
    balance: str | None
    shuffle: bool
    seed: int | None
    preprocess: Hook | None
    augment: Hook | None
    batch_preprocess: Hook | None
    batch_augment: Hook | None
    cache: str | os.PathLike[str] | None
    drop_remainder: bool | None
    validation_batch_size: int | None
    num_parallel_calls: int | None


DOCUMENTED: dict[str, tuple[Any, str]] = {
    "batch_size": (32, "Examples in a training step, over all replicas."),
    "validation_split": (
        None,
        "A fraction of all examples, a count, or indices in what you gave. Drawn by the seed, not the last rows.",
    ),
    "test_split": (None, "The same for a test set."),
    "validation_data": (None, "Validation examples of their own, given like the builder's own subject: `(x, y)`."),
    "test_data": (None, "The same for a test set."),
    "stratify": (None, "True to keep the shares of the classes `y` in each split, or an array with a class per example."),
    "groups": (None, "An array with a group per example; a group never falls on both sides of a split."),
    "balance": (
        None,
        "With 'classes', train on each class equally often: an epoch has about as many examples as there are, the same number of each "
        "class; those of rare classes come several times, and of frequent ones each epoch takes others.",
    ),
    "shuffle": (True, "Give the training examples a new order each epoch. Validation is never shuffled."),
    "seed": (0, "Any int. None draws one, which the feed then shows."),
    "preprocess": (None, "A function of one example (`x, y, …` as tensors) for every split; it should be deterministic."),
    "augment": (
        None,
        "A function of one training example; gets `seed` (two int32) for `tf.random.stateless_*` if it has such an argument.",
    ),
    "batch_preprocess": (None, "The same as `preprocess` for a batch, or a Keras layer or model, as with `batch_augment`."),
    "batch_augment": (
        None,
        "The same as `augment` for a batch, or a Keras layer or model: applied to `x`, and to masks, `boxes` or one-hot labels where it "
        "moves pixels or mixes examples. Where these cannot go along, it is refused.",
    ),
    "cache": (
        None,
        "Keep what `preprocess` gives: 'memory', or a folder of this machine. A source read as a stream then has the order of arrays.",
    ),
    "drop_remainder": (
        None,
        "True drops an epoch's short last training batch, so that shapes are static. None drops only where that is needed.",
    ),
    "validation_batch_size": (None, "None takes the largest size up to `batch_size` that divides the set evenly, if one is near."),
    "num_parallel_calls": (None, "Batches prepared at a time. None decides: AUTOTUNE where an accelerator trains."),
}

# What users of model.fit and of fit_generator may try here, and where it belongs.
ELSEWHERE: dict[str, str] = {
    **dict.fromkeys(
        ("epochs", "initial_epoch", "callbacks", "verbose", "class_weight", "validation_freq"),
        "Pass it to model.fit beside **feed.fit_args().",
    ),
    "steps_per_epoch": "The feed counts: see feed.steps_per_epoch.",
    "validation_steps": "The feed counts, and validation is always one whole pass: see feed.validation_steps.",
    "steps": "The feed counts: see feed.evaluate_args().",
    **dict.fromkeys(
        ("workers", "use_multiprocessing", "max_queue_size"), "No worker processes are needed: num_parallel_calls sets the threads."
    ),
    "prefetch": "The feed prefetches by itself.",
    "buffer_size": "The whole set is shuffled, without a buffer.",
    "shuffle_buffer_size": "The whole set is shuffled, without a buffer.",
    "random_state": "It is called seed here.",
    "test_size": "It is called test_split here.",
    "subset": "One call gives both: train, validation = feed.",
    "drop_last": "It is called drop_remainder here.",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settled options that a pipeline needs."""

    batch_size: int
    shuffle: bool
    seed: int
    preprocess: Hook | None
    augment: Hook | None
    batch_preprocess: Hook | None
    batch_augment: Hook | None
    cache: str | None
    drop_remainder: bool
    validation_batch_size: int | None
    num_parallel_calls: int | None
    shares: Shares = ALONE


def common_options(builder: Callable[P, R]) -> Callable[P, R]:
    """Show the common options in a builder's signature and docstring, for help() and notebook tooltips."""
    signature = inspect.signature(builder, eval_str=True)
    own = [parameter for parameter in signature.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
    kinds = get_type_hints(Options)
    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kinds[name])
        for name, (default, _) in DOCUMENTED.items()
    ]
    builder.__signature__ = signature.replace(parameters=own + common)  # type: ignore[attr-defined]
    lines = [f"    {name}: {text}" for name, (_, text) in DOCUMENTED.items()]
    doc = inspect.cleandoc(builder.__doc__ or "")
    builder.__doc__ = doc.replace("{common options}", "\n".join(lines).lstrip())
    return builder


def with_defaults(given: dict[str, Any], builder: Callable[..., Any]) -> dict[str, Any]:
    """The given options over the defaults; an unknown name is refused with the nearest known one, or where it belongs."""
    for name in given:
        if name not in DOCUMENTED:
            called, names = builder.__name__, inspect.signature(builder).parameters
            hint = ELSEWHERE.get(name) or f"{nearest(name, names)} See help(tfinput.{called}).".lstrip()
            raise refusal(f"{called}({name}=…)", "one of its options", f"{name!r}", hint, TypeError)
    return {name: given.get(name, default) for name, (default, _) in DOCUMENTED.items()}


def settle(options: dict[str, Any], shares: Shares = ALONE) -> Settings:
    """Check the options that are no data; `shares` says how devices share each batch."""
    for name in ("shuffle", "drop_remainder"):
        value = options[name]
        if type(value).__name__ not in ("bool", "bool_") and not (value is None and name == "drop_remainder"):
            fix = "Shuffling needs no buffer size here." if name == "shuffle" else "It says whether to drop an epoch's short last batch."
            raise refusal(name, "True or False", short(value), fix, TypeError)
    for name in ("preprocess", "augment", "batch_preprocess", "batch_augment"):
        if options[name] is not None and not callable(options[name]):
            raise refusal(name, "a function", short(options[name]), "Pass a function of (x, y).", TypeError)
    for name in ("stratify", "groups"):
        if options[name] is not None and options[name] is not False and not _splits(options):
            fix = "Pass validation_split or test_split too, or drop it."
            raise refusal(name, "a split to keep it in", "neither validation_split nor test_split", fix)
    for split in ("validation", "test"):
        if options[f"{split}_split"] is not None and options[f"{split}_data"] is not None:
            fix = "Pass one of them."
            raise refusal(f"{split}_split and {split}_data", "one of the two", "both", fix)
    if options["balance"] not in (None, "classes"):
        raise refusal("balance", "'classes' or None", short(options["balance"]), "Pass balance='classes'.")
    if options["balance"] is not None and not options["shuffle"]:
        fix = "Use shuffle=True, or balance=None."
        raise refusal("balance with shuffle=False", "one of the two", "both: what an epoch takes is drawn", fix)
    least = {name: options[name] for name in ("validation_batch_size", "num_parallel_calls")}
    for name in ("batch_size", "validation_batch_size"):
        if options[name] is not None and integer(name, options[name]) % shares.replicas:
            near = max(shares.replicas, options[name] // shares.replicas * shares.replicas)
            wanted = f"a multiple of the {shares.replicas} devices that share each batch"
            raise refusal(name, wanted, short(options[name]), f"Pass {name}={near}.")
    if shares.shards > 1 and options["drop_remainder"] is not None and not options["drop_remainder"]:
        fix = "Leave it out: what an epoch drops, others train on; validation drops nothing."
        raise refusal("drop_remainder", f"whole batches, which {shares.shards} devices share", "False", fix)
    return Settings(
        batch_size=integer("batch_size", options["batch_size"]),
        shuffle=bool(options["shuffle"]),
        seed=seeds.settle(options["seed"]),
        preprocess=options["preprocess"],
        augment=options["augment"],
        batch_preprocess=options["batch_preprocess"],
        batch_augment=options["batch_augment"],
        cache=_cache(options["cache"]),
        drop_remainder=shares.shards > 1 if options["drop_remainder"] is None else bool(options["drop_remainder"]),
        shares=shares,
        **{name: None if value is None else _parallel(name, value) for name, value in least.items()},
    )


def one_of(name: str, value: Any, names: Sequence[Any]) -> None:
    """Refuse a value that is none of those known."""
    if value not in names:
        close = nearest(value, [each for each in names if each]) if isinstance(value, str) else ""
        known = ", ".join(map(repr, names))
        raise refusal(name, f"one of {known}", short(value), close.strip() or f"Pass {names[0]!r}.")


def _splits(options: dict[str, Any]) -> bool:
    return options["validation_split"] is not None or options["test_split"] is not None


def _parallel(name: str, value: Any) -> int:
    if name == "num_parallel_calls" and not isinstance(value, bool) and value == -1:  # tf.data.AUTOTUNE
        return -1
    return integer(name, value)


def _cache(value: Any) -> str | None:
    if value is None or isinstance(value, (str, os.PathLike)):
        folder = None if value is None else os.path.expanduser(os.fspath(value))
        if folder is not None and re.match(r"[A-Za-z][A-Za-z0-9+.-]+:[/\\]", folder):
            fix = "Pass a folder of this machine, such as '/tmp/cache': a cache is mapped into memory, which no address can be."
            raise refusal("cache", "'memory' or a local folder", f"the address {short(folder)}", fix)
        return folder
    raise refusal("cache", "'memory', a folder or None", short(value), "Pass cache='memory'.", TypeError)
