"""Imports go down nine rows only: what is low knows nothing of what is high."""

from __future__ import annotations

import ast
import collections
import re
from pathlib import Path

import pytest
from layout import ROWS

import tfinput

ROOT = Path(tfinput.__file__).parent
HEIGHT = {name: -row for row, names in enumerate(ROWS) for name in names}
# What anyone may import at the top without paying for TensorFlow; worker processes load the last four.
NO_TENSORFLOW = ["__init__", "errors", "options", "engine.feed_repr", "sources.base", "runtime.gc_deferral", "runtime.ctrl_c"]
NO_TENSORFLOW += [f"sampling.{name}" for name in ("epoch_counter", "labels", "numbering", "seeds", "steps")]
NO_TENSORFLOW += ["material.forms", "material.nests", "material.pairing"]
NO_TENSORFLOW += [f"workers.{name}" for name in ("first_item", "job", "pool", "process", "requests", "sameness", "shared_memory")]
NO_TENSORFLOW += ["workers.worker_group", "workers.worker_main"]
# The dialect that names once were in.
DIALECT = {"told", "made", "found", "given", "kept", "said", "whole", "each", "usual", "usually", "straight", "look", "looks"}


def modules() -> dict[str, Path]:
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}


def imported(path: Path, top_level: bool = False) -> set[str]:
    """Full names of the modules that a module imports, anywhere in it or only while it is itself imported."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they go"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own(path: Path, top_level: bool = False) -> set[str]:
    """Modules of this library that a module imports, by their short names."""
    names = {name.removeprefix("tfinput.") for name in imported(path, top_level) if name.startswith("tfinput.")}
    known = {name.removesuffix(".__init__"): name for name in modules()}
    return {known[name] for name in names if name in known}


def package(name: str) -> str:
    return name.split(".")[0]


def test_every_module_is_in_a_row() -> None:
    assert {package(name) for name in modules()} == set(HEIGHT)


@pytest.mark.parametrize("name", modules())
def test_a_module_imports_only_what_lies_below_it(name: str) -> None:
    others = {other for other in own(modules()[name]) if package(other) != package(name)}
    # `python -m tfinput` is the door of the commands.
    upward = {other for other in others if HEIGHT[package(other)] >= HEIGHT[package(name)] and name != "__main__"}
    assert not upward


def test_no_imports_run_in_a_circle() -> None:
    left = {name: own(path, top_level=True) - {name} for name, path in modules().items()}
    while left:
        free = {name for name, needs in left.items() if not needs & set(left)}
        assert free, f"a circle among {sorted(left)}"
        left = {name: needs for name, needs in left.items() if name not in free}


def test_the_reader_of_imports_sees_them() -> None:
    assert {"engine.cache", "sampling.splits", "errors"} <= own(modules()["builders._build"])
    assert {"builders.from_arrays", "feed"} <= own(modules()["api"])
    assert "tensorflow" in imported(modules()["sampling.seeds"])
    assert "tensorflow" not in imported(modules()["sampling.seeds"], top_level=True)


@pytest.mark.parametrize("name", NO_TENSORFLOW)
def test_what_needs_no_tensorflow_does_not_import_it_at_the_top(name: str) -> None:
    assert not {"tensorflow", "keras"} & imported(modules()[name], top_level=True)


@pytest.mark.parametrize("name", [name for name in modules() if package(name) in ("sources", "material")])
def test_no_source_knows_of_batches_order_or_epochs(name: str) -> None:
    unknown = {"engine.pipeline", "feed", "options", *(f"sampling.{each}" for each in ("order", "steps", "splits", "seeds"))}
    assert not own(modules()[name]) & unknown


@pytest.mark.parametrize("name", modules())
def test_optional_libraries_are_imported_only_where_they_are_used(name: str) -> None:
    optional = {"h5py", "pandas", "pyarrow", "jax", "torch", "scipy", "matplotlib", "keras"}
    assert not {each.split(".")[0] for each in imported(modules()[name], top_level=True)} & optional


def test_no_two_modules_and_no_two_classes_have_one_name() -> None:
    names = [name.split(".")[-1] for name in modules() if not name.endswith("__init__")]
    assert not [name for name, count in collections.Counter(names).items() if count > 1]
    trees = {name: ast.parse(path.read_text()) for name, path in modules().items()}
    classes = [node.name.strip("_") for tree in trees.values() for node in tree.body if isinstance(node, ast.ClassDef)]
    assert not [name for name, count in collections.Counter(classes).items() if count > 1]


@pytest.mark.parametrize("name", modules())
def test_names_of_modules_classes_and_functions_are_no_dialect(name: str) -> None:
    body = ast.parse(modules()[name].read_text()).body
    defined = {node.name for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    defined |= {target.id for node in body if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)}
    defined.add(name.split(".")[-1])
    words = {each: set(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", each).lower().split("_")) for each in defined}
    assert not {each for each, parts in words.items() if parts & DIALECT}
