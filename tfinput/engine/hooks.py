"""The user's functions inside the pipeline: how they are called, seeded, and named when they fail.

TensorFlow cannot catch an error inside a graph, and its own message names neither the example nor the function. So a hook
runs in a small dataset of its own, whose fallback, reached only after an error, runs the hook again in Python, example by
example, and raises an error that names both and keeps the user's traceback, inside `model.fit` too.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfinput.engine import draws, keras_layers
from tfinput.errors import refusal
from tfinput.material import hook_results
from tfinput.options import Hook
from tfinput.runtime.fallback import with_fallback
from tfinput.runtime.serial_map import converted, map_in_caller
from tfinput.sampling import seeds
from tfinput.sources.base import Loader, Source

do_not_convert = tf.autograph.experimental.do_not_convert


@dataclass(frozen=True)
class Stage:
    """One hook of a pipeline: its option's name, the function, and the key of its seeds."""

    name: str
    function: Hook
    stream: int

    @property
    def called(self) -> Any:
        """What the user gave."""
        return self.function

    @property
    def takes_seed(self) -> bool:
        """Whether the function has an argument `seed`."""
        try:
            return "seed" in inspect.signature(self.function).parameters
        except (TypeError, ValueError):
            return False

    @property
    def random(self) -> bool:
        """Whether the stage depends on epoch and step."""
        return "augment" in self.name

    def run(self, element: Any, seed: Any, function: Hook | None = None) -> Any:
        """Call the function on an element (an example or a batch)."""
        if keras_layers.is_layer(self.function):
            return keras_layers.call(self.name, self.function, element, seed if self.random else None, self.stream)
        arguments = element if isinstance(element, tuple) else (element,)
        named = {"seed": seed} if self.random and self.takes_seed else {}
        with draws.drawing(self.name, seed if self.random else None), draws.frozen_draws_warned(self.name):
            result = (function or self.function)(*arguments, **named)
        return tuple(result) if isinstance(result, list) else result

    def trace(self, element: Any, seed: Any) -> Any:
        """The same in a graph; an error while tracing is told as the user's."""
        try:
            self._bind(element)
            result = self.run(element, seed, None if keras_layers.is_layer(self.function) else converted(self.function))
            result = hook_results.check_result(self.name, result, ", ".join(_parts(element)))
            draws.refuse_stateful(self.name, tf.compat.v1.get_default_graph())
            return result
        except Exception as error:
            if str(error).startswith("tfinput:"):
                raise
            raise self._told(element, error) from error

    def _bind(self, element: Any) -> None:
        """Refuse a function that cannot take what an element holds."""
        if keras_layers.is_layer(self.function):
            return
        parts = _parts(element)
        try:
            signature = inspect.signature(self.function)
        except (TypeError, ValueError):
            return
        try:
            signature.bind(*parts, **({"seed": None} if self.random and self.takes_seed else {}))
        except TypeError:
            holds = parts + ["seed"] * (self.random and self.takes_seed)
            fix = f"Write it as def {self.name}({', '.join(holds)})."
            raise refusal(self.name, f"a function of ({', '.join(holds)})", f"one of {signature}", fix, TypeError) from None

    def again(self, element: Any, seed: Any, where: str) -> Any:
        """Run it in Python after an error in the graph; an error is told with the place."""
        try:
            return self.run(element, seed)
        except Exception as error:
            said = (str(error).strip().splitlines() or [""])[0]
            raise ValueError(f"tfinput: {self.name} failed in {where}: {type(error).__name__}: {said}") from error

    def _told(self, element: Any, error: Exception) -> Exception:
        spec = tf.nest.map_structure(tf.type_spec_from_value, element)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = (lines[-1] if lines and lines[0] == "in user code:" else (lines or [""])[0]).rstrip(".")
        named = said if said.startswith(type(error).__name__) else f"{type(error).__name__}: {said}"
        fix = "It runs as a TensorFlow graph: use tf functions, or wrap NumPy code in tf.numpy_function."
        return refusal(self.name, f"a function that takes {spec}", named, fix)


def _parts(element: Any) -> list[str]:
    """What the parts of an element are called."""
    return ["x", "y", "sample_weight"][: len(element) if isinstance(element, tuple) else 1]


@dataclass(frozen=True)
class Loading:
    """The first stage of a source that makes its examples one by one."""

    loader: Loader
    stream: int
    random: bool
    name: str = "reading"

    @property
    def called(self) -> Any:
        """What the source gave."""
        return self.loader

    def trace(self, element: Any, seed: Any) -> Any:
        """Make an example, in a graph."""
        return self.loader.load(element, seed if self.random else None)

    def again(self, element: Any, seed: Any, where: str) -> Any:
        """Make it in Python after an error in the graph; an error is told by the source."""
        del where
        try:
            return self.trace(element, seed)
        except Exception as error:
            raise self.loader.explain(element, error) from error


def loading(loader: Loader | None, seed: int, training: bool) -> list[Stage | Loading]:
    """The stage for a source's loader, or none."""
    return [] if loader is None else [Loading(loader, seeds.key(seed, "load"), training and loader.random)]


def make(name: str, function: Hook | None, seed: int) -> list[Stage]:
    """The stage for an option, or none."""
    if function is None:
        return []
    if not name.startswith("batch_") and keras_layers.is_layer(function):
        fix = f"Pass it as batch_{name}."
        raise refusal(name, "a function of one example", "a Keras layer, which works on batches", fix, TypeError)
    return [Stage(name, function, seeds.key(seed, name))]


def shared(source: Source, stages: Sequence[Stage | Loading], run: Callable[..., Any]) -> Any:
    """A function that runs the stages over a source, traced once for all datasets of it: tracing takes longer than all else.

    `run` takes a list, which collects the Python functions that must live as long as the datasets do, and then tensors.
    """
    key = tuple((stage.name, id(stage.called), stage.stream, stage.random) for stage in stages)
    if key not in source.traced:
        kept: list[Any] = [stages]  # whose ids are in the key
        source.traced[key] = tf.function(functools.partial(run, kept), autograph=False)
    return source.traced[key]


@do_not_convert  # type: ignore[untyped-decorator]
def on_examples(stages: Sequence[Stage | Loading], source: Source, keep: list[Any], rows: Any, indices: Any, epochs: Any) -> Any:
    """Read a block of examples and run the stages on each, one after another; in a graph.

    `rows` is what the source reads them from, `indices` says which they are; `keep` collects the Python functions that must
    live as long as the dataset does.
    """
    batch = source.read(rows)
    every = [seeds.fold(stage.stream, epochs, indices) for stage in stages]

    def find(values: Any, places: Any, drawn: Any) -> None:
        specs = []
        for row in range(len(places)):
            element = tf.nest.map_structure(lambda part, row=row: part[row], values)
            for stage, seed in zip(stages, drawn, strict=True):
                element = stage.again(element, seed[row], source.place(int(places[row])))
            specs.append(tf.nest.map_structure(lambda part: _shape(part, source.uneven), element))
            if specs[row] != specs[0]:
                fix = "Resize, crop or pad to one shape."
                first, here = source.place(int(places[0])), source.place(int(places[row]))
                raise refusal(stages[-1].name, f"the shape {specs[0]} of {first}", f"{specs[row]} in {here}", fix)

    count = indices.shape[0] or tf.cast(tf.shape(indices)[0], tf.int64)
    # All or nothing: past an error, the rest of the block must not pass for the block.
    slices = tf.data.Dataset.from_tensor_slices((batch, tuple(every)))
    blocks = [_batched(made, count, source.uneven) for made in _finished_datasets(slices, stages, source)]
    run = functools.reduce(lambda run, other: run.ignore_errors().concatenate(other), blocks)
    result = with_fallback(run, find, (batch, indices, tuple(every)), f"{stages[-1].name} in {source.name}", keep)
    if any(part.shape.rank is None for part in tf.nest.flatten(result)):
        return tf.nest.map_structure(lambda part, like: tf.ensure_shape(part, [None, *like.shape]), result, _probe(stages, source))
    return result


def _finished_datasets(slices: Any, stages: Sequence[Stage | Loading], source: Source) -> list[Any]:
    """The datasets of finished examples: the first one in which there is no error counts."""

    def finished(element: Any, drawn: Any, stages: Sequence[Stage | Loading] = stages) -> Any:
        for stage, seed in zip(stages, drawn, strict=True):
            element = stage.trace(element, seed)
        return element if source.uneven is None else _ranked(element, stages, source)

    fast_load = stages[0].loader.fast_load if isinstance(stages[0], Loading) else None
    if fast_load is None:
        return [map_in_caller(slices, finished)]
    # The user's functions are traced once, whichever way an example is loaded.
    rest = tf.function(functools.partial(finished, stages=stages[1:]), autograph=False)

    def loaded(load: Any) -> Any:
        if len(stages) == 1 and source.uneven is None:
            return map_in_caller(slices, lambda row, drawn: load(row, drawn[0]))
        return map_in_caller(map_in_caller(slices, lambda row, drawn: (load(row, drawn[0]), drawn[1:])), rest)

    return [loaded(fast_load), loaded(stages[0].trace)]


def _batched(run: Any, count: Any, uneven: str | None) -> Any:
    if uneven == "ragged":
        return run.ragged_batch(count, drop_remainder=True)
    return run.padded_batch(count, drop_remainder=True) if uneven == "padded" else run.batch(count, drop_remainder=True)


def _shape(part: Any, uneven: str | None) -> tuple[int | None, ...]:
    """What the examples of a batch must have in common: their shape, or their rank."""
    shape = tuple(tf.convert_to_tensor(part).shape)
    return shape if uneven is None else (None,) * len(shape)


def _ranked(element: Any, stages: Sequence[Stage | Loading], source: Source) -> Any:
    """An element of known ranks, which padding needs, and which the results of Python functions lack."""
    if all(part.shape.rank is not None for part in tf.nest.flatten(element)):
        return element
    like = _probe(stages, source)
    return tf.nest.map_structure(lambda part, known: tf.ensure_shape(part, (None,) * known.shape.rank), element, like)


def _probe(stages: Sequence[Stage | Loading], source: Source) -> Any:
    """What the stages make of the source's first example: Python code inside a graph loses the shapes of what it returns."""
    with tf.init_scope():
        if source.fetch is not None:
            rows = source.fetch.probe()
        else:
            rows = tf.constant([0]) if source.stream is None else next(iter(source.stream.open(tf.constant(0, tf.int64))))
        element = tf.nest.map_structure(lambda part: part[0], source.read(rows))
        for stage in stages:
            element = stage.again(element, seeds.fold(stage.stream, 0, 0), "the source's first example")
        return tf.nest.map_structure(tf.convert_to_tensor, element)


@do_not_convert  # type: ignore[untyped-decorator]
def on_batch(stage: Stage, source: str, keep: list[Any], batch: Any, epoch: Any, step: Any) -> Any:
    """Run a stage on a batch; in a graph."""
    seed = seeds.fold(stage.stream, epoch, step)

    def find(values: Any, where: Any, drawn: Any) -> None:
        stage.again(values, drawn, f"{source}, step {where[1]} of epoch {where[0]}")

    run = tf.data.Dataset.from_tensors((batch, seed)).map(do_not_convert(stage.trace))
    return with_fallback(run, find, (batch, tf.stack([epoch, step]), seed), f"{stage.name} in {source}", keep)
