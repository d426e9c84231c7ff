"""Arrays in memory: whatever form they come in, every value is delivered bit for bit, with its own dtype."""

from __future__ import annotations

import gc
import importlib.util
import itertools
import os
from collections import OrderedDict, namedtuple
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from identities import ids

import tfinput
from tfinput.material import rows as memory

StringDType = getattr(np.dtypes, "StringDType", lambda **_: object)  # NumPy 1 has none: plain objects there.

NUMBERS = [
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"),
    *("float16", "float32", "float64", "complex64", "complex128", "bfloat16"),
]
BATCH = 4


def dtype_of(name: str) -> Any:
    return np.dtype(getattr(ml_dtypes, name, name))


def random_bits(name: str, shape: tuple[int, ...], seed: int = 0) -> Any:
    """Every bit pattern may occur: extremes, infinities, negative zeros and NaNs with payloads."""
    dtype = dtype_of(name)
    draw = np.random.default_rng(seed)
    if name == "bool":
        return draw.random(shape) < 0.5
    raw = draw.integers(0, 256, (*shape, dtype.itemsize), np.uint8)
    raw[:1] = 255  # all ones: the largest unsigned number, -1, a NaN
    raw[1:2] = 0
    return raw.view(dtype).reshape(shape)


def same(got: Any, expected: Any) -> bool:
    """Equality of dtype, shape and bits."""
    got, expected = np.asarray(got), np.asarray(expected)
    if got.dtype != expected.dtype or got.shape != expected.shape:
        return False
    if got.dtype == object:
        return got.tolist() == expected.tolist()
    return np.ascontiguousarray(got).tobytes() == np.ascontiguousarray(expected).tobytes()


def delivered(value: Any, **options: Any) -> tuple[Any, Any]:
    """What a feed gives for the rows of `value`: over the unshuffled pass, and over one shuffled epoch put back in order."""
    size = len(value) if hasattr(value, "__len__") else value.shape[0]
    feed = tfinput.from_arrays(np.arange(size), value, batch_size=BATCH, **options)
    passed = [batch[1].numpy() for batch in feed.examples("train")]
    shuffled = [(batch[0].numpy(), batch[1].numpy()) for batch in feed.repeated.take(feed.steps_per_epoch)]
    order = np.concatenate([numbers for numbers, _ in shuffled])
    assert sorted(order.tolist()) == list(range(size))
    rows = np.concatenate([rows for _, rows in shuffled])
    return np.concatenate(passed), rows[np.argsort(order)]


def assert_delivered(value: Any, expected: Any, **options: Any) -> None:
    for got in delivered(value, **options):
        assert same(got, expected)


def assert_all_delivered(cases: dict[str, tuple[Any, Any]]) -> None:
    """The same for many forms of one length, in one feed."""
    size = len(next(iter(cases.values()))[1])
    feed = tfinput.from_arrays(np.arange(size), {name: value for name, (value, _) in cases.items()}, batch_size=BATCH)
    passed = list(feed.examples("train"))
    epoch = list(feed.repeated.take(feed.steps_per_epoch))
    order = np.concatenate([batch[0].numpy() for batch in epoch])
    assert sorted(order.tolist()) == list(range(size))
    for name, (_, expected) in cases.items():
        assert same(np.concatenate([batch[1][name].numpy() for batch in passed]), expected), name
        assert same(np.concatenate([batch[1][name].numpy() for batch in epoch])[np.argsort(order)], expected), name


@pytest.mark.floor
def test_every_dtype_arrives_bit_for_bit() -> None:
    values = {name: random_bits(name, (11, 3)) for name in NUMBERS}
    assert_all_delivered({name: (value, value) for name, value in values.items()})
    specs = tfinput.from_arrays(values).element_spec
    assert {name: spec.dtype for name, spec in specs.items()} == {name: tf.as_dtype(dtype_of(name)) for name in NUMBERS}


def test_rows_of_any_rank_arrive() -> None:
    values = {str(shape): random_bits("int16", shape) for shape in [(9,), (9, 1), (9, 2, 3), (9, 0), (9, 1, 2, 1, 2)]}
    assert_all_delivered({name: (value, value) for name, value in values.items()})


TEXTS = ["", "a", "é", "日本語", "a\0b", "x" * 70]
ENCODED = np.array([text.encode() for text in TEXTS], object)
TEXT_FORMS = {
    "U": np.array(TEXTS),
    "U big endian": np.array(TEXTS).astype(">U70"),
    "S": np.array([text.encode() for text in TEXTS]),
    "objects": np.array(TEXTS, object),
    "byte objects": ENCODED.copy(),
    "both objects": np.array([TEXTS[0].encode(), *TEXTS[1:]], object),
    "StringDType": np.array(TEXTS, StringDType()),
    "tensor": tf.constant(TEXTS),
    "pandas": pd.Series(TEXTS),
    "pandas objects": pd.Series(TEXTS, dtype=object),
    "arrow": pa.array(TEXTS),
    "arrow chunks": pa.chunked_array([TEXTS[:2], TEXTS[2:]]),
    "arrow binary": pa.array([text.encode() for text in TEXTS]),
}


def test_text_of_every_form_arrives_as_utf8() -> None:
    assert_all_delivered({form: (value, ENCODED) for form, value in TEXT_FORMS.items()})


def test_bytes_that_are_no_text_and_matrices_of_text_arrive() -> None:
    raw = np.array([[b"\xff\xfe", b"a"], [b"\x80", b""]])
    assert_delivered(raw, raw.astype(object))


class OnlyArray:
    """Has `__array__` and a length, no more."""

    def __init__(self, array: Any) -> None:
        self.kept = array

    def __len__(self) -> int:
        return len(self.kept)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array(self.kept, dtype)


class OnlyDlpack:
    """Has DLPack and a length, no more."""

    def __init__(self, array: Any) -> None:
        self.kept = array

    def __len__(self) -> int:
        return len(self.kept)

    def __dlpack__(self, **asked: Any) -> Any:
        return self.kept.__dlpack__(**asked)

    def __dlpack_device__(self) -> Any:
        return self.kept.__dlpack_device__()


class Subclass(np.ndarray):
    """Someone's own array."""


def read_only(array: Any) -> Any:
    array = array.copy()
    array.flags.writeable = False
    return array


def unaligned(array: Any) -> Any:
    raw = np.empty(array.nbytes + 1, np.uint8)[1:]
    raw[:] = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
    return raw.view(array.dtype).reshape(array.shape)


BASE = np.random.default_rng(1).normal(size=(10, 4)).astype("float32")
FORMS = {
    "array": lambda a: a,
    "Fortran order": np.asfortranarray,
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "rows reversed": lambda a: a[::-1].copy()[::-1],
    "columns reversed": lambda a: a[:, ::-1].copy()[:, ::-1],
    "transposed": lambda a: a.T.copy().T,
    "broadcast": lambda a: np.broadcast_to(a, (1, *a.shape))[0],
    "read-only": read_only,
    "unaligned": unaligned,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "subclass": lambda a: a.view(Subclass),
    "tensor": tf.constant,
    "variable": tf.Variable,
    "data frame": pd.DataFrame,
    "arrow table": lambda a: pa.table([a[:, place].copy() for place in range(a.shape[1])], names=list("abcd")),
    "record batch": lambda a: pa.record_batch([a[:, place].copy() for place in range(a.shape[1])], names=list("abcd")),
    "__array__": OnlyArray,
    "DLPack": OnlyDlpack,
}


def test_every_form_of_a_matrix_arrives() -> None:
    assert_all_delivered({form: (turned(BASE), BASE) for form, turned in FORMS.items()})


@pytest.mark.backends
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_tensors_of_other_frameworks_arrive(backend: str) -> None:
    if importlib.util.find_spec(backend) is None and not os.environ.get("TFINPUT_REQUIRE_BACKENDS"):
        pytest.skip(f"{backend} is not installed")
    if backend == "torch":
        import torch

        assert_delivered(torch.from_numpy(BASE.copy()), BASE)
        assert_delivered(torch.nn.Parameter(torch.from_numpy(BASE.copy())), BASE)
        assert_delivered(torch.from_numpy(BASE.copy()).T, BASE.T)
    else:
        import jax.numpy as jnp

        assert_delivered(jnp.asarray(BASE), BASE)
        halves = BASE.astype(ml_dtypes.bfloat16)
        assert_delivered(jnp.asarray(halves), halves)


BIG = np.array([2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 0, 7])
COLUMNS = {
    "array": (BIG, BIG),
    "unsigned": (BIG.astype(np.uint64), BIG.astype(np.uint64)),
    "series": (pd.Series(BIG), BIG),
    "index": (pd.Index(BIG), BIG),
    "nullable": (pd.Series(BIG, dtype="Int64"), BIG),
    "nullable small": (pd.Series([1, 2, 3], dtype="UInt8"), np.array([1, 2, 3], np.uint8)),
    "nullable floats": (pd.Series([0.1, 2], dtype="Float64"), np.array([0.1, 2])),
    "nullable bools": (pd.Series([True, False], dtype="boolean"), np.array([True, False])),
    "arrow-backed": (pd.Series(BIG, dtype="int64[pyarrow]"), BIG),
    "arrow": (pa.array(BIG), BIG),
    "arrow chunks": (pa.chunked_array([BIG[:1], BIG[1:]]), BIG),
    "arrow bools": (pa.array([True, False, True]), np.array([True, False, True])),
    "arrow slice": (pa.array(BIG)[2:5], BIG[2:5]),
    "frame": (pd.DataFrame({"a": BIG, "b": BIG[::-1]}), np.stack([BIG, BIG[::-1]], 1)),
    "nullable frame": (pd.DataFrame({"a": BIG, "b": BIG[::-1]}, dtype="Int64"), np.stack([BIG, BIG[::-1]], 1)),
    "table": (pa.table({"a": BIG, "b": BIG[::-1]}), np.stack([BIG, BIG[::-1]], 1)),
    "twice the same name": (pd.DataFrame(np.stack([BIG, BIG[::-1]], 1), columns=["a", "a"]), np.stack([BIG, BIG[::-1]], 1)),
    "a table of one name": (pa.table([BIG, BIG[::-1]], names=["a", "a"]), np.stack([BIG, BIG[::-1]], 1)),
    "mixed frame": (pd.DataFrame({"a": np.array([1, 2], "i1"), "b": [True, False]}), np.array([[1, 1], [2, 0]], "i1")),
    "ints beside floats": (pd.DataFrame({"a": [2**53, -3], "b": [0.5, np.nan]}), np.array([[2**53, 0.5], [-3, np.nan]])),
    "shuffled index": (pd.DataFrame({"a": [1, 2, 3]}, index=[2, 0, 1]), np.array([[2], [3], [1]])),
}


@pytest.mark.parametrize("size", sorted({len(expected) for _, expected in COLUMNS.values()}))
def test_columns_and_tables_arrive_exactly(size: int) -> None:
    assert_all_delivered({form: (value, expected) for form, (value, expected) in COLUMNS.items() if len(expected) == size})


Pair = namedtuple("Pair", "left right")
ROWS = np.arange(10)
NESTS: dict[str, tuple[Any, Any]] = {
    "dict": ({"b": ROWS, "a": ROWS * 2}, {"b": ROWS, "a": ROWS * 2}),
    "ordered dict": (OrderedDict(b=ROWS, a=ROWS * 2), {"b": ROWS, "a": ROWS * 2}),
    "tuple": ((ROWS, ROWS * 2), (ROWS, ROWS * 2)),
    "list": ([ROWS, ROWS * 2], (ROWS, ROWS * 2)),
    "named tuple": (Pair(ROWS, ROWS * 2), Pair(ROWS, ROWS * 2)),
    "deep": ({"a": [ROWS, Pair(ROWS, {"c": ROWS * 3})], "b": (ROWS,)}, {"a": (ROWS, Pair(ROWS, {"c": ROWS * 3})), "b": (ROWS,)}),
    "number keys": ({2: ROWS, 1: ROWS * 2}, {2: ROWS, 1: ROWS * 2}),
    "mixed forms": ({"t": tf.constant(ROWS), "s": pd.Series(ROWS), "u": ROWS.astype("U")}, None),
}


@pytest.mark.parametrize(
    ("place", "nest"),
    [*(("x", nest) for nest in NESTS), ("y", "deep"), ("y", "named tuple"), ("sample_weight", "dict"), ("sample_weight", "list")],
)
def test_nests_keep_their_structure(place: str, nest: str) -> None:
    value, expected = NESTS[nest]
    if expected is None:
        expected = {"t": ROWS, "s": ROWS, "u": np.array([str(row).encode() for row in ROWS], object)}
    passed = {"x": ROWS, "y": ROWS, "sample_weight": ROWS} | {place: value}
    feed = tfinput.from_arrays(*passed.values(), batch_size=10)
    batch = next(iter(feed.examples("train")))[list(passed).index(place)]
    tf.nest.assert_same_structure(batch, expected)
    assert type(batch) is type(expected)
    for got, want in zip(tf.nest.flatten(batch), tf.nest.flatten(expected), strict=True):
        assert same(got.numpy(), want)


@pytest.mark.parametrize(
    ("x", "structure"),
    [
        (ROWS, ROWS),
        ({"a": ROWS}, {"a": ROWS}),
        ((ROWS, ROWS), ((ROWS, ROWS),)),
        ([ROWS], ((ROWS,),)),
        (Pair(ROWS, ROWS), (Pair(ROWS, ROWS),)),
    ],
)
def test_inputs_alone_are_never_taken_for_inputs_and_targets(x: Any, structure: Any) -> None:
    """Keras reads a tuple as (x, y): several inputs are wrapped in a tuple of one."""
    tf.nest.assert_same_structure(tfinput.from_arrays(x).element_spec, structure)


leaf_kinds = st.sampled_from([*NUMBERS, "text", "bytes"])
leaf_shapes = st.sampled_from([(), (1,), (3,), (2, 2), (0,)])
nests = st.recursive(
    st.tuples(st.just("leaf"), leaf_kinds, leaf_shapes),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(tuple) | st.dictionaries(st.sampled_from("abcd"), inner, min_size=1, max_size=3)
    ),
    max_leaves=5,
)


def grown(plan: Any, size: int) -> Any:
    if isinstance(plan, dict):
        return {key: grown(part, size) for key, part in plan.items()}
    if plan[0] != "leaf":
        return tuple(grown(part, size) for part in plan)
    _, kind, shape = plan
    if kind in ("text", "bytes"):
        words = random_bits("uint8", (size, *shape)).astype("U3" if kind == "text" else "S3")
        return np.char.add(words, "é") if kind == "text" else words
    return random_bits(kind, (size, *shape))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plan=nests, size=st.integers(1, 13), batch=st.integers(1, 7), seed=st.integers(0, 9))
def test_nests_of_any_kind_arrive(plan: Any, size: int, batch: int, seed: int) -> None:
    nest = grown(plan, size)
    feed = tfinput.from_arrays(nest, np.arange(size), batch_size=batch, seed=seed)
    batches = list(feed.repeated.take(feed.steps_per_epoch))
    order = np.argsort(np.concatenate([each[1].numpy() for each in batches]))
    tf.nest.assert_same_structure(batches[0][0], nest)
    parts = [tf.nest.flatten(each[0]) for each in batches]
    for place, expected in enumerate(tf.nest.flatten(nest)):
        got = np.concatenate([part[place].numpy() for part in parts])[order]
        if expected.dtype.kind in "US":
            expected = (np.char.encode(expected, "utf-8") if expected.dtype.kind == "U" else expected).astype(object)
        assert same(got, expected)


def test_changing_an_array_after_the_build_does_not_change_the_feed() -> None:
    x, frame, text = np.arange(20.0), pd.DataFrame({"a": np.arange(20.0)}), np.array(["a", "b"] * 10, object)
    variable = tf.Variable(np.arange(20.0))
    feed = tfinput.from_arrays((x, frame, text, variable), batch_size=8)
    expected = [[part.numpy().tolist() for part in batch[0]] for batch in feed.examples("train")]
    x[:] = -1
    frame.loc[:, "a"] = -1.0
    text[:] = "c"
    variable.assign_add(tf.ones(20, tf.float64))
    variable.scatter_nd_update([[0]], [99.0])
    assert [[part.numpy().tolist() for part in batch[0]] for batch in feed.examples("train")] == expected
    assert [row for batch in expected for row in batch[0]] == list(range(20))


def test_a_feed_lives_without_the_arrays_it_was_made_of() -> None:
    x = np.arange(100_000.0)
    feed = tfinput.from_arrays(x, batch_size=1000)
    del x
    gc.collect()
    junk = [np.full(100_000, -1.0) for _ in range(20)]
    assert list(itertools.chain(*ids(feed.examples("train")))) == list(range(100_000))
    assert len(junk) == 20


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("calls", [1, 2, 8])
def test_batches_that_are_kept_keep_their_values(calls: int, mapped: bool, tmp_path: Path) -> None:
    """Buffers come back only once nothing uses them: neither a tensor, nor a view of it, nor a slice."""
    x = random_bits("int32", (64, 50))
    np.save(tmp_path / "x.npy", x)
    feed = tfinput.from_arrays(np.arange(64), tmp_path / "x.npy" if mapped else x, batch_size=3, num_parallel_calls=calls)
    kept, views, slices = [], [], []
    for place, batch in enumerate(feed.repeated.take(4 * feed.steps_per_epoch)):
        if place % 3 == 0:
            kept.append(batch)
        elif place % 3 == 1:
            views.append((batch[0].numpy(), batch[1].numpy()))
        else:
            slices.append((batch[0][1:], batch[1][1:]))
        del batch
    for numbers, rows in itertools.chain(kept, views, slices):
        assert np.array_equal(np.asarray(rows), x[np.asarray(numbers)])


def test_buffers_are_aligned_and_reused() -> None:
    buffers = memory.Buffers()
    held = buffers.lend((3, 5), np.float32).view(np.int32).reshape(5, 3)[1:]
    held[:] = 7
    for _ in range(10):  # The buffer is not lent again as long as any view of it lives.
        buffers.lend((3, 5), np.float32)[:] = 1
    assert (held == 7).all()
    place = held.ctypes.data - 3 * 4
    del held
    assert place in {buffers.lend((2, 2), np.int8).ctypes.data for _ in range(2)}
    assert len({buffers.lend((2, 2), np.int8).ctypes.data for _ in range(10)}) == 1
    assert all(buffers.lend((number,), np.int16).ctypes.data % memory.ALIGNMENT == 0 for number in (1, 1000, 5, 100_000))
