"""The form of the examples of Python sources: as the user signs it, or as the first example has it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.errors import refusal, short
from tfinput.material.columns import DTYPES
from tfinput.material.forms import Form, FormField
from tfinput.material.nests import TEXT, mapped


def signed(signature: Any, batched: bool) -> Form:
    """The form of an example as an output_signature has it."""

    def leaf(path: str, spec: Any) -> FormField:
        name = f"output_signature{path}"
        if not isinstance(spec, tf.TensorSpec):
            fix = "Lengths that vary are None in the shape; see also ragged=True."
            raise refusal(name, "a tf.TensorSpec", f"{short(spec)} ({type(spec).__name__})", fix, TypeError)
        if spec.shape.rank is None or (batched and spec.shape.rank == 0):
            wanted = "a shape of known rank" + (", with the batch first" if batched else "")
            raise refusal(name, wanted, str(spec.shape), "Write None for each length that varies.")
        if spec.dtype not in DTYPES:
            raise refusal(name, "a dtype that tf.data can batch", spec.dtype.name, "Use another one.", TypeError)
        dtype = TEXT if spec.dtype == tf.string else np.dtype(spec.dtype.as_numpy_dtype)
        return FormField(path, tuple(spec.shape)[1 if batched else 0 :], dtype, asked=True)

    return Form(check_arity("output_signature", mapped(leaf, signature)))


def refuse_even(ragged: bool, form: Form | None) -> None:
    """Refuse a signature without lengths that vary where they are to."""
    if ragged and form is not None and all(leaf.even for leaf in form.leaves):
        raise refusal("ragged=True", "None in a shape of output_signature", "none", "Put None where lengths vary.")


def form_of(first: Any, where: str, batched: bool, ragged: bool) -> Form:
    """The form of an example, by the first element."""
    form = Form.of(first, where)

    def row(path: str, leaf: FormField) -> FormField:
        if batched and not leaf.shape:
            fix = "Give arrays with one row for each example, or leave batched=True out."
            raise refusal(f"{where}{path}", "a batch of examples", f"a single value ({leaf})", fix)
        leaf = leaf.row(leaf.shape[1:]) if batched else leaf
        shape = leaf.shape
        return dataclasses.replace(leaf, shape=(None, *shape[1:]) if ragged and shape else shape)

    made = Form(check_arity(where, mapped(row, form.structure)))
    if ragged and all(leaf.even for leaf in made.leaves):
        raise refusal("ragged=True", "an array whose length may vary", f"{made}", "Leave ragged out.")
    return made


def check_arity(name: str, structure: Any) -> Any:
    """Refuse tuples that Keras does not take."""
    if isinstance(structure, tuple) and not hasattr(structure, "_fields") and len(structure) not in (1, 2, 3):
        fix = "Give x, (x, y) or (x, y, sample_weight); several inputs go into a dict or a tuple of their own: ((a, b), y)."
        raise refusal(name, "x, (x, y) or (x, y, sample_weight)", f"a tuple of {len(structure)}", fix)
    return structure
