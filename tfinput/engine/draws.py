"""Random draws inside hooks, made pure or told: a hook must give the same for the same (seed, epoch, step), whenever it runs.

Keras' random layers and `keras.random` draw through a `SeedGenerator`, whose state counts its calls. While a hook runs, its draws
come from the hook's own seed instead, no matter where the layer hides: in a closure, a global, an attribute or a model.
Stateful operations of TensorFlow cannot be given a seed from outside; they are refused, by what is in the graph.
"""

from __future__ import annotations

import random
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.errors import refusal
from tfinput.sampling import seeds

STATEFUL = frozenset(
    {
        *("RandomUniform", "RandomUniformInt", "RandomStandardNormal", "TruncatedNormal", "ParameterizedTruncatedNormal", "RandomGamma"),
        *("RandomPoisson", "RandomPoissonV2", "RandomShuffle", "RandomCrop", "Multinomial", "SampleDistortedBoundingBox"),
        *("SampleDistortedBoundingBoxV2", "RngReadAndSkip", "RngSkip", "StatefulUniform", "StatefulUniformInt", "StatefulUniformFullInt"),
        *("StatefulStandardNormal", "StatefulStandardNormalV2", "StatefulTruncatedNormal", "StatefulRandomBinomial"),
    }
)
_HERE = threading.local()  # the drawing of the thread that traces or runs a hook
_LOCK = threading.Lock()
_patched: list[Any] = []  # how many hooks run, as a list of them, in all threads together
_original: dict[str, Any] = {}


class _Drawing:
    """The draws of one call of a hook: counted, each with a seed folded from the hook's seed and its number."""

    def __init__(self, name: str, seed: Any) -> None:
        self.name = name
        self.seed = seed
        self.count = 0
        self.refused: Exception | None = None
        self.generators = 0  # made while the hook ran
        self.graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()

    def next(self, generator: Any) -> Any:
        """The next seed of a Keras generator."""
        try:
            self._check(generator)
        except Exception as error:
            self.refused = error  # Keras and AutoGraph wrap what is raised inside of them.
            raise
        self.count += 1
        drawn = seeds.fold(self.count, self.seed[0], self.seed[1])
        if self.graph is None and not _in_tensorflow(generator):
            kind = np.dtype(str(generator.state.dtype).removeprefix("torch."))
            return generator.backend.convert_to_tensor(drawn.numpy().view(kind))
        return tf.cast(drawn, generator.state.dtype)

    def _check(self, generator: Any) -> None:
        if self.seed is None:
            fix = (
                f"It serves every split: random layers belong in {'batch_' * self.name.startswith('batch_')}augment, which is for training."
            )
            raise refusal(self.name, "the same result each time", "a random draw of Keras", fix)
        if self.graph is None:
            return
        if not _in_tensorflow(generator):
            fix = f"Take a seed, def {self.name}(x, y, seed), and use tf.random.stateless_*(…, seed)."
            raise refusal(self.name, "draws in TensorFlow's graph", "keras.random with another backend, which draws once", fix)
        graph = tf.compat.v1.get_default_graph()
        vectorized = "loop_body" in tf.get_current_name_scope().split("/")  # tf.vectorized_map runs in the same graph.
        while graph is not self.graph or vectorized:
            if vectorized or type(graph).__name__ != "CondBranchFuncGraph":
                fix = "Call the layer on all examples at once, outside of tf.function, tf.map_fn and loops: hooks are compiled anyway."
                raise refusal(self.name, "random draws of Keras at the hook's top level", "some in a function or loop, drawn once", fix)
            graph = graph.outer_graph


def _in_tensorflow(generator: Any) -> bool:
    """Whether a generator's draws are TensorFlow operations: Keras' preprocessing layers have one for tf.data with any backend."""
    import keras

    return keras.backend.backend() == "tensorflow" or type(generator.backend).__name__ == "DynamicBackend"


def _next(generator: Any, ordered: bool = True) -> Any:
    drawing = getattr(_HERE, "drawing", None)
    return _original["next"](generator, ordered) if drawing is None else drawing.next(generator)


def _init(generator: Any, *args: Any, **kwargs: Any) -> None:
    drawing = getattr(_HERE, "drawing", None)
    if drawing is None:
        _original["__init__"](generator, *args, **kwargs)
        return
    drawing.generators += 1
    with python_random(None):  # from which Keras takes a seed that does not count here
        _original["__init__"](generator, *args, **kwargs)


@contextmanager
def drawing(name: str, seed: Any) -> Iterator[None]:
    """While it lasts, Keras draws from `seed` (two int32) in this thread; with None, a draw is refused. `name` is the hook's option."""
    keras = sys.modules.get("keras")
    if keras is None:
        yield
        return
    mine, outer = _Drawing(name, seed), getattr(_HERE, "drawing", None)
    _patch(keras.random.SeedGenerator, mine)
    _HERE.drawing = mine
    try:
        yield
    except Exception as error:
        raise (mine.refused or error) from (error.__cause__ if mine.refused is None else error)
    finally:
        _HERE.drawing = outer
        _restore(keras.random.SeedGenerator, mine)
    if mine.refused is not None:
        raise mine.refused


@contextmanager
def undrawn() -> Iterator[None]:
    """While it lasts, Keras draws as it does elsewhere."""
    outer, _HERE.drawing = getattr(_HERE, "drawing", None), None
    try:
        yield
    finally:
        _HERE.drawing = outer


def _patch(kind: Any, mine: _Drawing) -> None:
    with _LOCK:
        if not _patched:
            _original.update(next=kind.next, __init__=kind.__init__)
            kind.next, kind.__init__ = _next, _init
        _patched.append(mine)


def _restore(kind: Any, mine: _Drawing) -> None:
    with _LOCK:
        _patched.remove(mine)
        if not _patched:
            kind.next, kind.__init__ = _original["next"], _original["__init__"]


@contextmanager
def python_random(seed: int | None) -> Iterator[None]:
    """Python's global random state as it was before, afterwards; meanwhile seeded, if there is a seed."""
    state = random.getstate()
    try:
        if seed is not None:
            random.seed(seed)
        yield
    finally:
        random.setstate(state)


@contextmanager
def frozen_draws_warned(name: str) -> Iterator[None]:
    """Warn if Python code draws from a global random state while a hook is traced: what it draws then is a constant ever after."""
    if tf.executing_eagerly():
        yield
        return
    before, legacy = random.getstate(), _numpy_state()
    yield
    made = getattr(getattr(_HERE, "drawing", None), "generators", 0)
    found = [] if made or random.getstate() == before else ["random"]
    found += [] if _numpy_state() == legacy else ["np.random"]
    if found:
        fix = f"Take a seed, def {name}(x, y, seed), and use tf.random.stateless_*(…, seed)."
        what = f"{name} draws from {' and '.join(found)} in Python, which happens once: all examples get the same numbers"
        warnings.warn(f"tfinput: {what}. {fix}", UserWarning, stacklevel=2)


def _numpy_state() -> tuple[Any, ...]:
    """The global state, by what moves in it."""
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002  it is looked at, not drawn from
    return state["state"].get("pos"), bytes(state["state"]["key"]) if "key" in state["state"] else repr(state), state["has_gauss"]


def refuse_stateful(name: str, graph: Any) -> None:
    """Refuse a graph with operations that draw anew in each run; `name` is the hook's option."""
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    for node in nodes:
        if node.op in STATEFUL:
            hook = name if name.endswith("augment") else name.replace("preprocess", "augment")
            fix = f"Take a seed, def {hook}(x, y, seed), and use tf.random.stateless_*(…, seed) or tf.image.stateless_random_*(…, seed)."
            if hook != name:
                fix = f"{name} serves every split: move it into {hook}. {fix}"
            raise refusal(name, "the same result for the same seed, epoch and step", f"{node.op} ({node.name}), which draws anew", fix)
