"""Python values as elements have them: nests, walked in TensorFlow's order, of what turns into arrays.

TensorFlow is not imported here: worker processes use it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tfinput.errors import refusal, short

Array = np.ndarray[Any, Any]

TEXT = np.dtype(object)


def is_tuple(value: Any) -> bool:
    """Whether a value is a nest of parts by place: a tuple, or a list of something else than numbers, text and lists of them."""
    if isinstance(value, tuple):
        return True
    return isinstance(value, list) and not _all_plain(value)


def _all_plain(values: list[Any]) -> bool:
    return all(_all_plain(each) if isinstance(each, list) else isinstance(each, (bool, int, float, complex, str, bytes)) for each in values)


def parts(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The arrays of a nest with their paths, in TensorFlow's order: dicts by their sorted keys."""
    if isinstance(value, Mapping):
        try:
            keys = sorted(value)
        except TypeError:
            raise refusal(path or "an element", "keys of one kind", short(list(value)), "Name the parts with str.", TypeError) from None
        for key in keys:
            yield from parts(f"{path}[{key!r}]", value[key])
    elif is_tuple(value):
        names = getattr(value, "_fields", None) or range(len(value))
        for name, part in zip(names, value, strict=True):
            yield from parts(f"{path}.{name}" if isinstance(name, str) else f"{path}[{name}]", part)
    else:
        yield path, value


def mapped(function: Callable[[str, Any], Any], value: Any, path: str = "") -> Any:
    """The same nest with `function(path, part)` in place of each array; lists become tuples."""
    if isinstance(value, Mapping):
        return {key: mapped(function, value[key], f"{path}[{key!r}]") for key in sorted(value)}
    if is_tuple(value):
        if hasattr(value, "_fields"):
            return type(value)(*(mapped(function, part, f"{path}.{name}") for name, part in zip(value._fields, value, strict=True)))
        return tuple(mapped(function, part, f"{path}[{place}]") for place, part in enumerate(value))
    return function(path, value)


def as_array(path: str, value: Any) -> Array:
    """One part of an element as an array; text becomes bytes in an object array."""
    if isinstance(value, np.ma.MaskedArray):
        raise refusal(path, "an array without a mask", "a masked array", "Fill it: .filled(value).", TypeError)
    if isinstance(value, (str, bytes)):
        held = np.empty((), object)
        held[()] = _encoded(path, value)
        return held
    if value is None:
        raise refusal(path, "an array, a number or text", "None", "Return a value for every example.", TypeError)
    if not isinstance(value, np.ndarray):
        value = _converted(path, value)
    if value.dtype.kind in "OUST":
        return _text(path, value)
    if value.dtype.names is not None or value.dtype.kind not in "biufcV" or value.dtype in (np.longdouble, np.clongdouble):
        raise refusal(path, "numbers, bools or text", f"an array of {value.dtype}", "Convert it.", TypeError)
    native: Array = value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))
    return native


def _converted(path: str, value: Any) -> Array:
    made: Array
    if getattr(value, "requires_grad", False):
        value = value.detach()
    if hasattr(value, "__array__") or isinstance(value, (bool, int, float, complex, list)):
        try:
            made = np.asarray(value)
            if made.dtype.kind in "US" and isinstance(value, list):
                made = np.asarray(value, object)  # Else texts would lose zeros at their ends, and numbers beside them become text.
        except Exception as error:
            got = f"{type(value).__name__}: {short(str(error))}"
            raise refusal(path, "something that turns into an array", got, "Return a NumPy array.", TypeError) from error
        if made.dtype.kind != "O" or isinstance(value, list):
            return made
    raise refusal(path, "an array, a number or text", f"{type(value).__name__} {short(value)}", "Return a NumPy array.", TypeError)


def _text(path: str, array: Array) -> Array:
    held = np.empty(array.shape, object)
    for place, each in np.ndenumerate(array):
        if not isinstance(each, (str, bytes)):
            got = f"{type(each).__name__} {short(each, 30)} in an array of objects"
            raise refusal(path, "numbers or text", got, "Return arrays of one dtype and one shape.", TypeError)
        held[place] = _encoded(path, each)
    return held


def _encoded(path: str, text: str | bytes) -> bytes:
    try:
        return text.encode() if isinstance(text, str) else bytes(text)
    except UnicodeError:
        raise refusal(path, "text", f"text that has no UTF-8 form ({short(text)})", "Return bytes.") from None
