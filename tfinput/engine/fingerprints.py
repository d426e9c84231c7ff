"""What a function does, as a digest: the same in any process, another one when the function, or what it uses, has changed."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.engine.keras_layers import is_layer
from tfinput.errors import refusal

PLAIN = frozenset({type(None), type(...), bool, int, float, complex, str, bytes})


def of(function: Any) -> str:
    """A digest of the function's code, its defaults, its closure and the globals it names, and of what these hold in turn.

    Code of the user's own modules and classes counts; code of installed packages counts by its name and version. A Keras
    layer counts with its configuration, weights and vocabulary.
    """
    writer = _Writer()
    try:
        writer.write(function)
    except RecursionError as error:
        fix = "Use cache='memory', or a function that holds less."
        raise refusal("cache", "a preprocess that can be told from others", "one that holds very deep objects", fix) from error
    return writer.digest.hexdigest()


class _Writer:
    """Writes values to a digest, each with its kind and length in front, so that no two sequences of values read alike."""

    def __init__(self) -> None:
        self.digest = hashlib.blake2b(digest_size=16)
        # What was seen is kept, so that no later object can get the same id.
        self.seen: dict[int, tuple[int, Any]] = {}

    def mark(self, kind: str, data: bytes = b"") -> None:
        self.digest.update(f"{kind} {len(data)} ".encode() + data)

    def write(self, value: Any) -> None:
        if type(value) in PLAIN:
            self.mark(type(value).__name__, (hex(value) if isinstance(value, int) else repr(value)).encode())
        elif id(value) in self.seen:
            self.mark("again", str(self.seen[id(value)][0]).encode())
        else:
            # Whether equal constants are one object is up to the interpreter; loops go through other kinds of objects.
            if not isinstance(value, (tuple, frozenset, types.CodeType)):
                self.seen[id(value)] = (len(self.seen), value)
            kind, parts = _parts(value)
            self.mark(kind, str(len(parts)).encode())
            for part in parts:
                self.write(part)


def _parts(value: Any) -> tuple[str, list[Any]]:
    """The kind of a value and what it is made of, down to numbers, text and bytes."""
    if isinstance(value, types.ModuleType):
        return "module", _module(value)
    if isinstance(value, (staticmethod, classmethod)):
        return type(value).__name__, [value.__func__]
    if isinstance(value, property):
        return "property", [value.fget, value.fset]
    if isinstance(value, types.BuiltinMethodType) and not isinstance(value.__self__, (types.ModuleType, type(None))):
        return "builtin method", [value.__name__, value.__self__]
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__") and not isinstance(value, types.MethodType)):
        return _named(value)
    if isinstance(value, types.CodeType):
        return "code", [value.co_code, value.co_names, value.co_varnames, value.co_consts, getattr(value, "co_exceptiontable", b"")]
    if isinstance(value, types.MethodType):
        return "method", [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return "partial", [value.func, value.args, value.keywords]
    if isinstance(value, (tuple, list)) and type(value).__module__ == "builtins":
        return type(value).__name__, list(value)
    if isinstance(value, dict):
        return "dict", [part for key in sorted(value, key=repr) for part in (key, value[key])]
    if isinstance(value, (set, frozenset)):
        return "set", sorted(map(of, value))
    return _object(value)


def _named(value: Any) -> tuple[str, list[Any]]:
    """A class or function: by name and version where it was installed, else by its code."""
    name = f"{getattr(value, '__module__', '')}.{value.__qualname__}"
    inner = getattr(value, "python_function", getattr(value, "__wrapped__", None))
    if _installed(sys.modules.get(getattr(value, "__module__", None) or "builtins")):
        # A decorator of a package may stand before the user's own function.
        return "installed", [name, _version(name), *([inner] if inner is not None else [])]
    if isinstance(value, type):
        told = ("__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__")
        body = [(key, part) for key, part in sorted(vars(value).items()) if key not in told]
        return "class", [name, value.__bases__, *body]
    if not isinstance(value, types.FunctionType):
        return "callable", [name, inner]
    cells = [_cell(cell) for cell in value.__closure__ or ()]
    named = [(key, value.__globals__[key]) for key in _names(value.__code__) if key in value.__globals__]
    return "function", [value.__code__, value.__defaults__, value.__kwdefaults__, cells, named]


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _names(code: types.CodeType) -> list[str]:
    inner = [part for part in code.co_consts if isinstance(part, types.CodeType)]
    return [*code.co_names, *(name for part in inner for name in _names(part))]


def _module(module: types.ModuleType) -> list[Any]:
    """A module by its name and version, and one of the user's own by its text too."""
    if _installed(module):
        return [module.__name__, _version(module.__name__)]
    return [module.__name__, *(Path(file).read_bytes() for file in [getattr(module, "__file__", None)] if file and os.path.isfile(file))]


def _version(name: str) -> str:
    return str(getattr(sys.modules.get(name.split(".")[0]), "__version__", ""))


@functools.cache
def _library_folders() -> tuple[str, ...]:
    return tuple({os.path.realpath(path) + os.sep for name, path in sysconfig.get_paths().items() if "lib" in name})


def _installed(module: Any) -> bool:
    """Whether a module came with Python or a package, and so is not the user's to edit."""
    if module is None or module.__name__ == "__main__":
        return False
    if module.__name__.split(".")[0] in (*sys.stdlib_module_names, __name__.split(".")[0]):
        return True
    file = getattr(module, "__file__", None)
    return file is None or os.path.realpath(file).startswith(_library_folders())


def _object(value: Any) -> tuple[str, list[Any]]:
    """Arrays, tensors, layers and whatever else a user's function may hold."""
    if isinstance(value, (tf.Tensor, tf.Variable)) and hasattr(value, "numpy"):
        value = value.numpy() if value.dtype not in (tf.resource, tf.variant) else value.dtype.name
    if isinstance(value, tf.lookup.StaticHashTable):  # its own state has a random name
        keys, values = (part.numpy() for part in value.export())
        order = np.argsort(keys, kind="stable")
        return "table", [keys[order], values[order]]
    if isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject:
        return "array", [value.dtype.str, list(value.shape), np.ascontiguousarray(value).tobytes()]
    if isinstance(value, np.ndarray):
        return "array", [list(value.shape), value.reshape(-1).tolist()]
    if is_layer(value):
        words = value.get_vocabulary() if hasattr(value, "get_vocabulary") else None
        return "layer", [type(value), json.dumps(_nameless(value.get_config()), sort_keys=True, default=repr), value.get_weights(), words]
    if hasattr(value, "python_function"):  # a tf.function, whose own state grows as it is called
        return "tf.function", [value.python_function]
    return "object", [type(value), *_state(value)]


def _nameless(config: Any) -> Any:
    """A layer's configuration without the names that Keras counts up."""
    if isinstance(config, dict):
        return {key: _nameless(part) for key, part in config.items() if key != "name"}
    return [_nameless(part) for part in config] if isinstance(config, (list, tuple)) else config


def _state(value: Any) -> Iterator[Any]:
    """What an object would be pickled from, or its attributes."""
    try:
        reduced = value.__reduce_ex__(2)
    except Exception:  # what cannot be pickled raises whatever it likes
        yield vars(value) if hasattr(value, "__dict__") else None
        return
    if isinstance(reduced, str):
        yield reduced
        return
    yield from reduced[:3]
    yield from (list(items) for items in reduced[3:5] if items is not None)
