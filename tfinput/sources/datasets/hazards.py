"""What a dataset does inside, as far as its parts tell: what would make a feed wrong although every batch looks right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

BATCHING = (
    "_BatchDataset",
    "_ParallelBatchDataset",
    "_PaddedBatchDataset",
    "_RebatchDataset",
    "_DenseToRaggedDataset",
    "_MapAndBatchDataset",
)
# Behind these, elements are others than before, and so may their number be.
BREAKING = ("_UnbatchDataset", "_FlatMapDataset", "_InterleaveDataset", "_ParallelInterleaveDataset", "_WindowDataset")
RANDOM = (
    *("RandomUniform", "RandomUniformInt", "RandomStandardNormal", "TruncatedNormal", "ParameterizedTruncatedNormal", "RandomGamma"),
    *("RandomPoissonV2", "RandomShuffle", "Multinomial", "RngReadAndSkip", "StatefulUniform", "StatefulStandardNormalV2"),
)


def parts(dataset: Any) -> Iterator[tuple[Any, bool]]:
    """Each dataset that a dataset is made of, itself first, and whether a cache lies between."""
    left, seen = [(dataset, False)], set()
    while left:
        part, cached = left.pop()
        if (id(part), cached) in seen:
            continue
        seen.add((id(part), cached))
        yield part, cached
        inner = cached or type(part).__name__ == "CacheDataset"
        left += [(each, inner) for each in reversed(part._inputs())]


def line(dataset: Any) -> Iterator[Any]:
    """Back from the end as long as one dataset is made of one other."""
    while True:
        yield dataset
        inputs = dataset._inputs()
        if len(inputs) != 1:
            return
        dataset = inputs[0]


def batching(dataset: Any) -> bool:
    """Whether its elements come from a batch as a whole."""
    for part in line(dataset):
        kind = type(part).__name__
        if kind in BATCHING or kind in BREAKING:
            return kind in BATCHING
    return False


def seems_batched(dataset: Any) -> bool:
    """Whether its elements look like batches: all parts have one first dimension, which is unknown, or a batch made it."""
    shapes = [part.shape for part in tf.nest.flatten(dataset.element_spec)]
    if any(shape.rank is None or shape.rank == 0 for shape in shapes) or len({shape[0] for shape in shapes}) > 1:
        return False
    return batching(dataset) or (shapes[0][0] is None and len(shapes) > 1)


def repeats(dataset: Any) -> int | None:
    """How often the whole of it comes in one pass, -1 for ever; None if it is not repeated."""
    for part in line(dataset):
        if type(part).__name__ == "_RepeatDataset":
            count = int(part._count)
            if count != 1:
                return count
    return None


def reshuffled(dataset: Any) -> dict[int, str]:
    """Where the order of its examples changes from pass to pass, or from run to run, in words, by the identity of the part."""
    found = {}
    for part, _ in parts(dataset):
        kind = type(part).__name__
        if kind == "_ShuffleDataset" and (part._reshuffle_each_iteration is not False or _unseeded(part)):
            found[id(part)] = "shuffle()" if part._reshuffle_each_iteration is not False else "shuffle() without a seed"
        elif kind == "_RandomDataset" and _unseeded(part):
            found[id(part)] = "random numbers without a seed"
        elif str(getattr(part, "_deterministic", None)).lower() == "false":
            found[id(part)] = "deterministic=False"
        elif any(name.startswith("ShuffleDataset") for name in _operations(part)):
            found[id(part)] = "shuffle() inside a function"
    return found


def random_functions(dataset: Any) -> dict[str, bool]:
    """Names of the random operations in its functions; for each, whether a cache keeps what it drew."""
    return {name: cached for part, cached in parts(dataset) for name in _operations(part) if name in RANDOM}


def _unseeded(part: Any) -> bool:
    return all(tf.get_static_value(seed) == 0 for seed in (part._seed, part._seed2))


def _operations(part: Any) -> set[str]:
    """Names of the operations in the functions of a dataset."""
    found = set()
    for function in part._functions():
        graph = function.function.graph.as_graph_def()
        found |= {node.op for node in graph.node}
        found |= {node.op for inner in graph.library.function for node in inner.node_def}
    return found
