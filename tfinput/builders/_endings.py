"""Whether an iterator ends, as far as one can see: those of itertools that never do, and `while True` without a way out."""

from __future__ import annotations

import ast
import functools
import gc
import inspect
import itertools
import textwrap
import types
from typing import Any

from tfinput.errors import short
from tfinput.sources.python import generators

ENDLESS = (itertools.count, itertools.cycle, itertools.repeat)
# What goes on for as long as all iterators do that it takes elements from.
PASSED_ON = (map, zip, filter, enumerate, itertools.starmap, itertools.accumulate)


def refuse(subject: Any, called: str) -> None:
    """Refuse a subject or its iterator if one can see that it never ends."""
    said = never(subject)
    if said:
        raise generators.unending(called, said)


def never(subject: Any) -> str:
    """What in a subject or its iterator never ends; nothing where that cannot be seen."""
    if isinstance(subject, ENDLESS):
        return f"{short(subject)}, which never does" if _forever(subject) else ""
    if isinstance(subject, PASSED_ON):
        held = [each for part in gc.get_referents(subject) for each in (part if isinstance(part, tuple) else (part,))]
        said = [never(each) for each in held if hasattr(each, "__next__")]
        return said[0] if all(said) and said else ""
    if isinstance(subject, types.GeneratorType):
        # One that is within `yield from` goes on for as long as the inner one; a generator expression, as its first `for` does.
        frame = subject.gi_frame
        inside = frame.f_locals.get(".0") if frame is not None and subject.gi_code.co_name == "<genexpr>" else subject.gi_yieldfrom
        return _written(subject.gi_code) or never(inside)
    if isinstance(subject, functools.partial):
        return never(subject.func)
    if inspect.isgeneratorfunction(subject):
        return _written(inspect.unwrap(subject).__code__)
    return ""


def _forever(subject: Any) -> bool:
    """Whether one of itertools' endless iterators is one: `repeat` may have a count."""
    try:
        return not hasattr(subject, "__length_hint__") or len(range(subject.__length_hint__())) < 0
    except TypeError:
        return True


def _written(code: types.CodeType) -> str:
    """Where the text of a function says that it never ends."""
    try:
        lines, first = inspect.getsourcelines(code)
        (function,) = ast.parse(textwrap.dedent("".join(lines))).body
    except (OSError, SyntaxError, ValueError, IndexError):  # No text, or not that of a function alone, as for a lambda.
        return ""
    body = function.body if isinstance(function, ast.FunctionDef) and function.name == code.co_name else []
    line = next((each.lineno for each in map(_endless, body) if each is not None), 0)
    return f"`while True` without a break or a return, in line {first + line - 1} of {code.co_filename}" if line else ""


def _endless(step: ast.stmt) -> ast.stmt | None:
    """The loop in a statement that nothing but an error ends, if there is one that is always come to."""
    if isinstance(step, ast.While) and isinstance(step.test, ast.Constant) and step.test.value and not _left(step.body, True):
        return step
    # An error may end what is tried or suppressed, and the function goes on.
    if isinstance(step, ast.With) and not any("suppress" in ast.unparse(each) or "raises" in ast.unparse(each) for each in step.items):
        return next(filter(None, map(_endless, step.body)), None)
    if isinstance(step, ast.Try) and not step.handlers:
        return next(filter(None, map(_endless, step.body)), None)
    return None


def _left(steps: list[ast.stmt], own: bool) -> bool:
    """Whether a loop's body has a return, or a break of its own (`own`: not of a loop inside it)."""
    for step in steps:
        if isinstance(step, ast.Return) or (own and isinstance(step, ast.Break)):
            return True
        if isinstance(step, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        loop = isinstance(step, (ast.For, ast.AsyncFor, ast.While))
        for name in ("body", "orelse", "finalbody"):
            if _left(getattr(step, name, []), own and not (loop and name == "body")):
                return True
        for part in [*getattr(step, "handlers", []), *getattr(step, "cases", [])]:
            if _left(part.body, own):
                return True
    return False


def is_iterator(subject: Any) -> bool:
    return hasattr(subject, "__next__") and not isinstance(subject, type)
