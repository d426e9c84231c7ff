"""Bad input is refused with one first line: what, where, what was expected, what came, what to do."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import ml_dtypes
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
import tensorflow as tf

import tfinput

StringDType = getattr(np.dtypes, "StringDType", lambda **_: object)  # NumPy 1 has none: plain objects there.

FIVE = np.arange(5)
ARRAYS = "an array, a tensor, a table or a path"
STREAM = "Arrays can be read in any order, a stream cannot: collect its values into arrays first."
SINGLE = "an array with one row per example, got a single value (0-d, shape ()). Pass an array of at least one dimension."
ROWS = "Give every array one row per example."
OBJECTS = "Convert it: to numbers with .astype('float32'), to text with .astype(str); rows of different lengths need padding."
PARTS = "Pass arrays, or a dict or tuple of arrays."


class Foreign:
    """Nothing that a feed can take."""

    def __repr__(self) -> str:
        return "Foreign()"


class Broken:
    """Says that it is an array, and is not."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("no memory of it")


def sample_of_pandas_dates() -> Any:
    return pd.Series(pd.date_range("2020", periods=5))


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "lengths": ((FIVE, np.arange(4)), ValueError, f"y: expected 5 examples, as x has, got 4. {ROWS}"),
    "lengths in nests": (
        ({"a": FIVE, "b": (FIVE, np.zeros((7, 2)))},),
        ValueError,
        f"x['b'][1]: expected 5 examples, as x['a'] has, got 7. {ROWS}",
    ),
    "weights": ((FIVE, FIVE, np.ones(6)), ValueError, f"sample_weight: expected 5 examples, as x has, got 6. {ROWS}"),
    "weights without y": (
        (FIVE, None, FIVE),
        ValueError,
        "sample_weight: expected targets y beside it, got no y. Pass y, or no sample_weight.",
    ),
    "empty": ((np.zeros((0, 3)),), ValueError, "x: expected at least one example, got no examples (0 rows). Check the data."),
    "empty frame": ((pd.DataFrame({"a": []}),), ValueError, "x: expected at least one example, got no examples (0 rows). Check the data."),
    "0-d": ((np.array(3),), ValueError, f"x: expected {SINGLE}"),
    "0-d tensor": ((tf.constant(3),), ValueError, f"x: expected {SINGLE}"),
    "a number": ((3,), ValueError, f"x: expected {SINGLE}"),
    "a NumPy number": ((FIVE, np.float32(3)), ValueError, f"y: expected {SINGLE}"),
    "numbers in a list": (
        ([1, 2, 3],),
        ValueError,
        "x: expected arrays, got a list of single values ([1, 2, 3]). "
        "A list is a nest of arrays here: for one array of these values pass np.array([...]).",
    ),
    "rows in a list": (
        ([[1, 2], [3, 4]],),
        ValueError,
        "x[0]: expected arrays, got a list of single values ([1, 2]). "
        "A list is a nest of arrays here: for one array of these values pass np.array([...]).",
    ),
    "None in a nest": (({"a": FIVE, "b": None},), TypeError, f"x['b']: expected {ARRAYS}, got None (NoneType). {PARTS}"),
    "nothing": ((None,), TypeError, f"x: expected {ARRAYS}, got None (NoneType). {PARTS}"),
    "no parts": (({},), ValueError, "x: expected at least one array, got an empty dict. Leave it out, or fill it."),
    "no parts inside": (((FIVE, ()),), ValueError, "x[1]: expected at least one array, got an empty tuple. Leave it out, or fill it."),
    "names of two kinds": (
        ({"a": FIVE, 1: FIVE},),
        TypeError,
        "x: expected keys of one kind, got ['a', 1]. Give the parts names of one kind, all str.",
    ),
    "something else": ((Foreign(),), TypeError, f"x: expected {ARRAYS}, got Foreign() (Foreign). {PARTS}"),
    "a class": ((FIVE, Foreign), TypeError, f"y: expected {ARRAYS}, got <class 'test_bad_input.Foreign'> (type). {PARTS}"),
    "broken __array__": (
        (Broken(),),
        TypeError,
        "x: expected something that turns into an array, got Broken: 'no memory of it'. Pass a NumPy array of it.",
    ),
    "an iterator": ((iter([FIVE]),), TypeError, rf"x: expected {ARRAYS}, got <list_iterator object at 0x\w+> (list_iterator). {STREAM}"),
    "a generator": ((part for part in ()), TypeError, ""),  # unpacked below
    "objects": (
        (np.array([1, "a", None, 2.5], object),),
        TypeError,
        f"x[0]: expected a number or text, got int 1 in an object array. {OBJECTS}",
    ),
    "an object among texts": (
        ({"a": np.array([["a", "b"], ["c", None]], object)},),
        TypeError,
        f"x['a'][1, 1]: expected a number or text, got NoneType None in an object array. {OBJECTS}",
    ),
    "missing text": (
        (np.array(["a", None], StringDType(na_object=None)),),
        TypeError,
        f"x[1]: expected a number or text, got NoneType None in an object array. {OBJECTS}",
    ),
    "dates": (
        (np.array(["2020"], "M8[D]"),),
        TypeError,
        "x: expected numbers, bools or text, got datetime64[D] (dates or durations). "
        "Convert it: .astype('int64') gives counts of its unit.",
    ),
    "durations": (
        (FIVE.astype("m8[s]"),),
        TypeError,
        "x: expected numbers, bools or text, got timedelta64[s] (dates or durations). "
        "Convert it: .astype('int64') gives counts of its unit.",
    ),
    "dates of pandas": (
        (sample_of_pandas_dates(),),
        TypeError,
        r"x: expected numbers, bools or text, got datetime64[\w+] (dates or durations). "
        "Convert it: .astype('int64') gives counts of its unit.",
    ),
    "masked": (
        (np.ma.masked_less(FIVE, 2),),
        TypeError,
        "x: expected an array without a mask, got a masked array. "
        "TensorFlow has no masks: fill it (.filled(value)) and pass the mask as an input or a sample_weight.",
    ),
    "structured": (
        (np.zeros(3, [("a", "f4"), ("b", "i4")]),),
        TypeError,
        "x: expected numbers, bools or text, got a structured array with fields ['a', 'b']. "
        "Pass a dict of columns: {name: array[name] for name in ['a', 'b']}.",
    ),
    "long doubles": (
        (np.zeros(3, np.longdouble),),
        TypeError,
        f"x: expected a dtype that tf.data can batch, got {np.dtype(np.longdouble)}. Convert it, for example with .astype('float64').",
    ),
    "long complex": (
        (np.zeros(3, np.clongdouble),),
        TypeError,
        f"x: expected a dtype that tf.data can batch, got {np.dtype(np.clongdouble)}. Convert it, for example with .astype('float64').",
    ),
    "8-bit floats": (
        (np.zeros(3, ml_dtypes.float8_e5m2),),
        TypeError,
        "x: expected a dtype that tf.data can batch, got float8_e5m2. Convert it, for example with .astype('float32').",
    ),
    "8-bit floats in a tensor": (
        (tf.constant(np.zeros(3, ml_dtypes.float8_e4m3fn)),),
        TypeError,
        "x: expected a dtype that tf.data can batch, got float8_e4m3fn. Convert it, for example with .astype('float32').",
    ),
    "4-bit numbers": (
        (np.zeros(3, ml_dtypes.int4),),
        TypeError,
        "x: expected a dtype that tf.data can batch, got int4. Convert it, for example with .astype('int8').",
    ),
    "half a surrogate pair": (
        (np.array(["\ud800"]),),
        ValueError,
        r"x: expected text, got text that has no UTF-8 form (.*). Pass valid Unicode, or bytes.",
    ),
    "a sparse matrix": (
        (scipy.sparse.csr_matrix(np.eye(3)),),
        TypeError,
        "x: expected a dense array, got a sparse matrix. Use .toarray() if it fits in memory.",
    ),
    "a sparse tensor": (
        (tf.sparse.from_dense(np.eye(3)),),
        TypeError,
        "x: expected a dense array, got a SparseTensor. Use tf.sparse.to_dense, or to_tensor() to pad, if it fits in memory.",
    ),
    "a ragged tensor": (
        (tf.ragged.constant([[1], [2, 3]]),),
        TypeError,
        "x: expected a dense array, got a RaggedTensor. Use tf.sparse.to_dense, or to_tensor() to pad, if it fits in memory.",
    ),
    "a categorical": (
        (pd.Series(["a", "b"], dtype="category"),),
        TypeError,
        "x: expected numbers or text, got a categorical column. Pass the codes (.cat.codes) or the text (.astype(str)).",
    ),
    "missing in pandas": (
        (pd.DataFrame({"a": [1, 2, 3], "b": pd.array([1, None, None], "Int64")}),),
        ValueError,
        "x['b']: expected a value in every row, got nothing in row 1 (2 rows). Fill or drop missing values: .fillna(...) or .dropna().",
    ),
    "missing text in pandas": (
        (pd.Series(["a", None]),),
        ValueError,
        "x: expected a value in every row, got nothing in row 1 (1 rows). Fill or drop missing values: .fillna(...) or .dropna().",
    ),
    "text beside numbers": (
        (pd.DataFrame({"a": [1], "b": ["x"]}),),
        TypeError,
        "x['b']: expected a numeric column, got object. A table becomes one matrix; "
        "else pass a dict of columns: {name: table[name] for name in ['a', 'b']}.",
    ),
    "integers no float holds": (
        (pd.DataFrame({"a": [2**53 + 1, 0], "b": [0.5, 1]}),),
        ValueError,
        "x['a']: expected values that float64 holds exactly, got int64 values that it does not. "
        "Pass a dict of columns, or convert the column yourself.",
    ),
    "the largest integer beside floats": (
        (pd.DataFrame({"a": [2**63 - 1], "b": [0.5]}),),
        ValueError,
        "x['a']: expected values that float64 holds exactly, got int64 values that it does not. "
        "Pass a dict of columns, or convert the column yourself.",
    ),
    "nulls in Arrow": (
        (pa.table({"a": [1, None, 3]}),),
        ValueError,
        "x['a']: expected a value in every row, got 1 nulls. Fill or drop nulls: pyarrow.compute.fill_null(column, ...).",
    ),
    "categories in Arrow": (
        (pa.array(["a", "b"]).dictionary_encode(),),
        TypeError,
        "x: expected numbers or text, got a column of dictionary<values=string, indices=int32, ordered=0>. "
        "Pass plain columns: .dictionary_decode() for categories; pad lists to one length.",
    ),
    "lists in Arrow": (
        (pa.array([[1], [2, 3]]),),
        TypeError,
        "x: expected numbers or text, got a column of list<item: int64>. "
        "Pass plain columns: .dictionary_decode() for categories; pad lists to one length.",
    ),
    "no columns": (
        (pd.DataFrame(index=[0, 1]),),
        ValueError,
        "x: expected at least one column, got a table without columns. Check the table.",
    ),
}
BAD["a generator"] = (((part for part in ()),), TypeError, rf"x: expected {ARRAYS}, got <generator object .*> (generator). {STREAM}")
BAD["a dataset"] = ((tf.data.Dataset.range(3),), TypeError, rf"x: expected {ARRAYS}, got <_RangeDataset .* (_RangeDataset). {STREAM}")


def pattern(message: str) -> str:
    """The message as a regular expression, in which `.*` and `\\w+` keep their meaning."""
    return "^tfinput: " + re.escape(message).replace(r"\.\*", ".*").replace(r"\\w\+", r"\w+") + "$"


def refused(build: Any, kind: type[Exception], message: str) -> Exception:
    with pytest.raises(kind) as caught:
        build()
    assert re.match(pattern(message), str(caught.value)), str(caught.value)
    assert isinstance(caught.value, (ValueError, TypeError))
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", BAD)
def test_bad_arrays_are_refused_at_the_call(name: str) -> None:
    given, kind, message = BAD[name]
    refused(lambda: tfinput.from_arrays(*given), kind, message)


def test_symbolic_tensors_are_refused() -> None:
    @tf.function
    def inside(x: Any) -> Any:
        tfinput.from_arrays(x)

    with pytest.raises(TypeError, match=r"x: expected values, got a symbolic tensor\. Build the feed outside tf\.function\."):
        inside(tf.constant([1]))


LIKE = "Pass {0} in the builder's own form, (x, y), with the same shapes and dtypes."
UNLIKE: dict[str, tuple[Any, type[Exception], str]] = {
    "no targets": (
        FIVE,
        TypeError,
        "{}: expected (x, y) or (x, y, sample_weight), got 'ndarray'. Pass validation examples in the builder's own form.",
    ),
    "one part": (
        (FIVE,),
        TypeError,
        "{}: expected (x, y) or (x, y, sample_weight), got 'tuple'. Pass validation examples in the builder's own form.",
    ),
    "lengths": ((np.zeros((5, 3)), np.arange(4)), ValueError, "{0} y: expected 5 examples, as {0} x has, got 4. " + ROWS),
    "empty": ((np.zeros((0, 3)), FIVE[:0]), ValueError, "{} x: expected at least one example, got no examples (0 rows). Check the data."),
    "shape": (
        (np.zeros((5, 2)), FIVE),
        ValueError,
        "{0}: expected TensorSpec(shape=(3,), dtype=tf.float64, name=None), got TensorSpec(shape=(2,), dtype=tf.float64, name=None). "
        + LIKE,
    ),
    "dtype": (
        (np.zeros((5, 3), "f4"), FIVE),
        ValueError,
        "{0}: expected TensorSpec(shape=(3,), dtype=tf.float64, name=None), got TensorSpec(shape=(3,), dtype=tf.float32, name=None). "
        + LIKE,
    ),
    "targets": (
        (np.zeros((5, 3)), np.zeros((5, 1))),
        ValueError,
        "{0}: expected TensorSpec(shape=(), dtype=tf.int64, name=None), got TensorSpec(shape=(1,), dtype=tf.float64, name=None). " + LIKE,
    ),
    "structure": (
        ({"a": np.zeros((5, 3))}, FIVE),
        ValueError,
        "{0}: expected TensorSpec(shape=(3,), dtype=tf.float64, name=None), "
        "got {{'a': TensorSpec(shape=(3,), dtype=tf.float64, name=None)}}. " + LIKE,
    ),
}


@pytest.mark.parametrize("option", ["validation_data", "test_data"])
@pytest.mark.parametrize("name", UNLIKE)
def test_validation_data_unlike_the_training_data_are_refused(name: str, option: str) -> None:
    data, kind, message = UNLIKE[name]
    refused(lambda: tfinput.from_arrays(np.zeros((9, 3)), np.arange(9), **{option: data}), kind, message.format(*[option] * 2))


def test_a_split_and_data_of_its_own_exclude_each_other() -> None:
    message = "{0}_split and {0}_data: expected one of the two, got both. Pass one of them."
    for name in ("validation", "test"):
        options = {f"{name}_split": 0.5, f"{name}_data": FIVE}
        refused(lambda options=options: tfinput.from_arrays(FIVE, **options), ValueError, message.format(name))  # type: ignore[misc]


def test_a_batch_larger_than_the_set_with_drop_remainder_is_refused() -> None:
    message = (
        "train set: expected at least batch_size=6 examples, since drop_remainder=True drops short batches, "
        "got 5 examples, which would give 0 steps. Use batch_size=5 or less, or drop_remainder=False."
    )
    refused(lambda: tfinput.from_arrays(FIVE, batch_size=6, drop_remainder=True), ValueError, message)


# Files


class Canary:
    """Leaves a trace if it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.trace),))


@pytest.mark.floor
@pytest.mark.parametrize("form", ["npy", "npz", "compressed"])
def test_pickles_are_refused_and_not_run(tmp_path: Path, form: str) -> None:
    trace = tmp_path / "trace"
    value = np.array([Canary(trace)] * 4, object)
    path = tmp_path / ("x.npy" if form == "npy" else "x.npz")
    {"npy": lambda: np.save(path, value), "npz": lambda: np.savez(path, x=value), "compressed": lambda: np.savez_compressed(path, x=value)}[
        form
    ]()
    label = "" if form == "npy" else "['x']"
    message = f"{path}{label}: expected numbers or strings, got pickled Python objects. "
    refused(
        lambda: tfinput.from_arrays(path),
        ValueError,
        message + "Pickled objects can run any code when read: save numbers or fixed-width strings instead.",
    )
    assert not trace.exists()
    # The canary sings when it is let out.
    pickle.loads(pickle.dumps(Canary(trace)))
    assert trace.exists()


def write_header(path: Path, shape: Any, dtype: str = "<f8", data: bytes = b"\0" * 64) -> int:
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
        start = file.tell()
        file.write(data)
    return start


@pytest.mark.parametrize("shape", [(9,), (2**39,), (2**32, 2**32), (3, 2**62)])
def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Also four terabytes and more: nothing is allocated before the promise is checked."""
    start = write_header(tmp_path / "x.npy", shape)
    promised = start + 8 * int(np.prod([int(extent) for extent in shape], dtype=object))
    message = (
        f"{tmp_path}/x.npy: expected {promised} bytes, as its header says (shape {shape}, float64), got {start + 64} bytes. "
        "The file is cut or its header is wrong: write it again."
    )
    refused(lambda: tfinput.from_arrays(tmp_path / "x.npy"), ValueError, message)


@pytest.mark.parametrize(
    ("shape", "dtype", "said"),
    [
        ((-8,), "<f8", "a shape and dtype that an array can have, got (-8,), float64. The file is damaged: write it again."),
        ((-2, -4), "<f8", "a shape and dtype that an array can have, got (-2, -4), float64. The file is damaged: write it again."),
        ((0, 2**63), "<f8", f"a shape and dtype that an array can have, got (0, {2**63}), float64. The file is damaged: write it again."),
        ((8,), "|S0", "a shape and dtype that an array can have, got (8,), |S0. The file is damaged: write it again."),
        ((), "<f8", "an array with one row per example, got a single value (shape ()). Save a longer array."),
        ((8,), "|O", "numbers or strings, got pickled Python objects. .*"),
        (("8",), "<f8", "a NumPy array file, got shape is not valid: ('8',). Write it again with numpy.save."),
    ],
)
def test_headers_that_make_no_sense_are_refused(tmp_path: Path, shape: Any, dtype: str, said: str) -> None:
    write_header(tmp_path / "x.npy", shape, dtype)
    refused(lambda: tfinput.from_arrays(tmp_path / "x.npy"), ValueError, f"{tmp_path}/x.npy: expected {said}")


def cuts(size: int) -> list[int]:
    return sorted({*range(0, min(size, 140), 7), *range(0, size, max(1, size // 40)), size - 1})


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "compressed.npz", "x.h5"])
def test_a_file_cut_anywhere_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    value = np.random.default_rng(0).normal(size=(40, 5))
    if name == "x.npy":
        np.save(path, value)
    elif name == "x.h5":
        with h5py.File(path, "w") as file:
            file["x"] = value
    else:
        (np.savez_compressed if "compressed" in name else np.savez)(path, x=value, y=value)
    whole = path.read_bytes()
    assert tfinput.from_arrays(path).train_size == 40
    for cut in cuts(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=rf"^tfinput: {path}: expected .*, got .*\. .*[Ww]rite it again") as caught:
            tfinput.from_arrays(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["x.npz", "compressed.npz"])
def test_an_archive_with_a_flipped_byte_gives_its_values_or_an_error_with_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    value = np.arange(200)
    (np.savez_compressed if "compressed" in name else np.savez)(path, x=value)
    whole = path.read_bytes()
    refusals = 0
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            tfinput.from_arrays(path)
        except (ValueError, TypeError) as error:
            if str(path) not in str(error) and not str(error).startswith("tfinput: x"):
                raise
            refusals += 1
    assert refusals > 5


def archive_member(path: Path, shape: tuple[int, ...], data: bytes, claimed: int | None = None, how: int = zipfile.ZIP_DEFLATED) -> None:
    """An archive whose directory may claim another size than is there."""
    member = path.parent / "member.npy"
    write_header(member, shape, "|u1", data)
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.write(member, "x.npy")
        if claimed is not None:
            archive.filelist[0].file_size = claimed + member.stat().st_size - len(data)


def test_an_archive_that_claims_terabytes_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    claimed = 2**42
    archive_member(tmp_path / "x.npz", (claimed,), b"\0" * 1000, claimed)
    with pytest.raises(ValueError, match=rf"^tfinput: {tmp_path}/x\.npz\['x'\]: expected at most .*, got {claimed + 128} bytes"):
        tfinput.from_arrays(tmp_path / "x.npz")
    claimed = 2**29
    archive_member(tmp_path / "x.npz", (claimed,), b"\0" * 1000, claimed)
    with pytest.raises(ValueError, match=rf"^tfinput: {tmp_path}/x\.npz\['x'\]: expected {claimed + 128} bytes, as its header says"):
        tfinput.from_arrays(tmp_path / "x.npz")
    # What compresses as well as can be is no bomb.
    archive_member(tmp_path / "x.npz", (2**20,), b"\0" * 2**20)
    assert tfinput.from_arrays(tmp_path / "x.npz").train_size == 2**20


def test_archives_of_other_kinds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    archive_member(path, (1000,), b"\0" * 1000, how=zipfile.ZIP_LZMA)
    refused(
        lambda: tfinput.from_arrays(path),
        ValueError,
        f"{path}['x']: expected an array stored or deflated, got compression 14. Use numpy.savez_compressed.",
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no array")
    with pytest.raises(ValueError, match=rf"^tfinput: {path}\['readme\.txt'\]: expected a NumPy array file, got the magic string"):
        tfinput.from_arrays(path)
    zipfile.ZipFile(path, "w").close()
    refused(
        lambda: tfinput.from_arrays(path),
        ValueError,
        f"{path}: expected at least one array, got an empty archive. Write it with numpy.savez.",
    )


ENDINGS = ".npy, .npz, .h5, .hdf5"


def test_paths_that_lead_to_no_array_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1,2")
    (tmp_path / "folder.npy").mkdir()
    here = f"Check the path; the working folder is {os.getcwd()}."
    for path, got, kind in (
        (tmp_path / "x.csv", ".csv. Pass such a path, or the arrays themselves.", ValueError),
        (tmp_path / "noending", "no ending. Pass such a path, or the arrays themselves.", ValueError),
    ):
        message = f"path {str(path)!r}: expected a file that ends in one of {ENDINGS}, got {got}"
        refused(lambda path=path: tfinput.from_arrays(path), kind, message if len(repr(str(path))) <= 60 else "path .*")  # type: ignore[misc]
    for name, got in (("missing.npy", "nothing there"), ("folder.npy", "a folder")):
        with pytest.raises(FileNotFoundError, match=rf"^tfinput: path '.*: expected a file, got {got}\. {re.escape(here)}$") as caught:
            tfinput.from_arrays(tmp_path / name)
        assert isinstance(caught.value, ValueError)


def test_a_path_in_a_nest_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="got nothing there"):
        tfinput.from_arrays({"a": np.arange(3), "b": str(tmp_path / "b.npy")})


def hdf5(path: Path, **parts: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, part in parts.items():
            file[name] = part
    return path


OUT = "Links are not followed: pass the other file itself, or the dataset opened with h5py."
COPY = "Links out of a file are not followed: copy the data into one file."


def test_no_link_out_of_an_hdf5_file_is_followed(tmp_path: Path) -> None:
    other = hdf5(tmp_path / "other.h5", secret=np.arange(4))
    (tmp_path / "raw").write_bytes(np.arange(4).tobytes())
    link = h5py.ExternalLink("other.h5", "/secret")
    refused(
        lambda: tfinput.from_arrays(hdf5(tmp_path / "a.h5", x=link)),
        ValueError,
        f"{tmp_path}/a.h5::x: expected data inside the file, got a link to 'other.h5'. {OUT}",
    )
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["hidden/x"], file["x"] = link, h5py.SoftLink("/hidden/x")
        del file["hidden/x"]
        file["hidden/x"] = link
    refused(
        lambda: tfinput.from_arrays(tmp_path / "b.h5"),
        ValueError,
        f"{tmp_path}/b.h5::hidden: expected a dataset, got a group. Pass its datasets: h5py.File(.*)['hidden/…'].",
    )
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["x"] = h5py.SoftLink("/y")
        file["y"] = np.arange(4)
    refused(
        lambda: tfinput.from_arrays(tmp_path / "c.h5"),
        ValueError,
        f"{tmp_path}/c.h5::x: expected data inside the file, got a link to '/y'. {OUT}",
    )
    layout = h5py.VirtualLayout((4,), "i8")
    layout[:] = h5py.VirtualSource(str(other), "secret", (4,))
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_virtual_dataset("x", layout)
    refused(
        lambda: tfinput.from_arrays(tmp_path / "d.h5"),
        ValueError,
        f"{tmp_path}/d.h5::/x: expected data inside the file, got data in .*. {COPY}",
    )
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file.create_dataset("x", (4,), "i8", external=[(str(tmp_path / "raw"), 0, 32)])
    refused(
        lambda: tfinput.from_arrays(tmp_path / "e.h5"),
        ValueError,
        f"{tmp_path}/e.h5::/x: expected data inside the file, got data in .*. {COPY}",
    )


@pytest.mark.parametrize("way", ["link", "virtual", "external", "circle", "inside"])
def test_data_taken_from_elsewhere_in_a_roundabout_way_are_refused_too(tmp_path: Path, way: str) -> None:
    """A virtual dataset over another dataset of its own file is fine, unless that one leads out."""
    hdf5(tmp_path / "other.h5", secret=np.arange(4))
    (tmp_path / "raw").write_bytes(np.arange(4).tobytes())
    path = tmp_path / "x.h5"
    inner = h5py.VirtualLayout((4,), "i8")
    inner[:] = h5py.VirtualSource("other.h5" if way == "virtual" else ".", "secret" if way == "virtual" else "x", (4,))
    outer = h5py.VirtualLayout((4,), "i8")
    outer[:] = h5py.VirtualSource(".", "inner", (4,))
    with h5py.File(path, "w") as file:
        if way == "link":
            file["inner"] = h5py.ExternalLink("other.h5", "/secret")
        elif way in ("virtual", "circle"):
            file.create_virtual_dataset("inner", inner)
        elif way == "external":
            file.create_dataset("inner", (4,), "i8", external=[(str(tmp_path / "raw"), 0, 32)])
        else:
            file["inner"] = np.arange(4)
        file.create_virtual_dataset("x", outer)
    with h5py.File(path) as file:
        if way == "inside":
            assert next(iter(tfinput.from_arrays(file["x"]).examples("train"))).numpy().tolist() == [0, 1, 2, 3]
        else:
            with pytest.raises(ValueError, match=rf"^tfinput: {path}::/x: expected data inside the file, got data in "):
                tfinput.from_arrays(file["x"])


def test_hdf5_files_without_an_array_are_refused(tmp_path: Path) -> None:
    refused(
        lambda: tfinput.from_arrays(hdf5(tmp_path / "a.h5")),
        ValueError,
        f"{tmp_path}/a.h5: expected at least one dataset, got an empty file. Check what was written.",
    )
    refused(
        lambda: tfinput.from_arrays(hdf5(tmp_path / "b.h5", x=3)),
        ValueError,
        f"{tmp_path}/b.h5::/x: expected an array with one row per example, got a single value (shape ()). Store a longer array.",
    )
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_dataset("x", (2,), h5py.vlen_dtype(np.int32))
    refused(
        lambda: tfinput.from_arrays(tmp_path / "c.h5"),
        TypeError,
        f"{tmp_path}/c.h5::/x: expected numbers, bools or text, got rows of different lengths, or references. Pad the rows to one length.",
    )
    hdf5(tmp_path / "d.h5", x=np.zeros(2, [("a", "i4")]))
    with pytest.raises(TypeError, match=r"^tfinput: x: expected numbers, bools or text, got a structured array with fields \['a'\]"):
        tfinput.from_arrays(tmp_path / "d.h5")


def test_an_hdf5_file_closed_too_early_is_told_at_the_batch(tmp_path: Path) -> None:
    with h5py.File(hdf5(tmp_path / "x.h5", x=np.arange(8))) as file:
        feed = tfinput.from_arrays(file["x"])
    with pytest.raises(tf.errors.OpError, match=r"tfinput: .*x\.h5::/x: expected rows that can be read, got .* stays open"):
        list(feed.examples("train"))


def test_a_damaged_chunk_is_told_at_the_batch_with_its_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=np.arange(4000), compression="gzip", fletcher32=True)
    whole = bytearray((tmp_path / "x.h5").read_bytes())
    place = whole.rfind(zlib.compress(np.arange(4000)[:1].tobytes(), 4)[:2])
    whole[place + 60 : place + 70] = b"\0" * 10
    (tmp_path / "x.h5").write_bytes(whole)
    feed = tfinput.from_arrays(tmp_path / "x.h5")
    with pytest.raises(tf.errors.OpError, match=r"tfinput: .*x\.h5::/x: expected rows that can be read, got "):
        list(feed.examples("train"))


SHRINK = """
import os, sys, time
import numpy as np, tensorflow as tf, tfinput

def read(path, form):
    value = np.arange(2**20).reshape(-1, 4)
    (np.savez if form == "npz" else np.save)(path, value)
    feed = tfinput.from_arrays(np.load(path, mmap_mode="r") if form == "memmap" else path, batch_size=64)
    batches = iter(feed.repeated)
    next(batches)
    time.sleep(0.3)  # what was asked for ahead is done
    size = os.path.getsize(path)
    os.truncate(path, 4096)
    try:
        for _ in range(feed.steps_per_epoch):
            next(batches)
    except tf.errors.OpError as error:
        print(form, size, str(error).replace("\\n", " "))
    time.sleep(0.3)

for form in ("npy", "npz", "memmap"):
    read(sys.argv[1] + "/" + form + (".npz" if form == "npz" else ".npy"), form)
"""


CUT_DURING_COPIES = """
import os, sys, threading, time
import numpy as np
import tfinput

for attempt in range(20):
    path = f"{sys.argv[1]}/{attempt}.npy"
    np.save(path, np.ones((500, 1 << 16), np.uint8))
    batches = iter(tfinput.from_arrays(path, batch_size=250, seed=attempt).repeated)
    next(batches)
    threading.Timer(0.002 * attempt, os.truncate, (path, 1 << 20)).start()
    try:
        while True:
            next(batches)
    except Exception as error:
        assert f"{path}: expected at least 32768128 bytes, got 1048576 bytes" in str(error), error
    os.remove(path)
print("survived")
"""


CUT_BEFORE = """
import os, sys
import numpy as np
import tfinput

np.save(sys.argv[1], np.ones((4000, 100)))
rows = np.load(sys.argv[1], mmap_mode="r")[::2, ::-1]
os.truncate(sys.argv[1], 4096)
try:
    tfinput.from_arrays(rows)
except ValueError as error:
    print(error)
"""


def test_a_view_of_a_memmap_that_was_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    run = subprocess.run([sys.executable, "-c", CUT_BEFORE, str(path)], capture_output=True, text=True, timeout=100, check=False)
    said = f"tfinput: {path}: expected at least 3200128 bytes, got 4096 bytes. The file shrank"
    assert (run.returncode, run.stdout[: len(said)]) == (0, said), run.stderr[-2000:]


def test_wide_rows_may_be_cut_in_the_middle_of_a_copy(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", CUT_DURING_COPIES, str(tmp_path)], capture_output=True, text=True, timeout=100, check=False)
    assert (run.returncode, run.stdout) == (0, "survived\n"), run.stderr[-2000:]


def test_a_file_cut_while_it_is_open_is_an_error_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", SHRINK, str(tmp_path)], capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    lines = run.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["npy", "npz", "memmap"]
    for line in lines:
        form, size, error = line.split(" ", 2)
        # The directory at the end of an archive is no part of the array.
        needed, ending = (r"\d+", "npz") if form == "npz" else (size, "npy")
        assert re.search(
            rf"tfinput: {tmp_path}/{form}\.{ending}: expected at least {needed} bytes, got 4096 bytes\. The file shrank", error
        )
