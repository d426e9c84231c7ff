"""Imports go down only: what is low knows nothing of what is high."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tfinput

ROOT = Path(tfinput.__file__).parent
# From the top down; modules of one row do not know each other.
ROWS = [
    ["__main__"],
    ["demo", "inspection"],
    ["__init__"],
    [
        "builders.arrays",
        "builders.images",
        "builders.audio",
        "builders.text",
        "builders.records",
        "builders.tables",
        "builders.sequences",
        "builders.series",
        "builders.mixing",
        "builders.catalog",
        "builders.datasets",
        "builders.generators",
    ],
    ["builders.tablefiles"],
    ["builders.subjects", "builders.signatures", "builders.endings", "builders.masks"],
    ["builders.names"],
    ["builders.__init__"],
    ["assembly", "screening", "mixing"],
    ["feed", "cache"],
    ["shown", "digests", "cachefolder", "pipeline"],
    ["windows", "hooks", "padding", "fitting", "identity"],
    ["layers", "options"],
    ["companions", "draws"],
    ["scenes"],
    ["devices"],
    ["sources.tablestreams", "sources.generators"],
    ["sources.tabular", "sources.series", "sources.catalog"],
    [
        "sources.arrays",
        "sources.images",
        "sources.audio",
        "sources.text",
        "sources.shards",
        "sources.sequences",
        "sources.datasets",
        "sources.hazards",
    ],
    ["sources.varying"],
    ["workers.pool", "workers.thread", "workers.producing", "workers.generating", "workers.looking"],
    ["workers.running"],
    ["workers.process", "workers.child"],
    ["workers.fetching"],
    ["workers.job", "workers.slots", "workers.packing", "workers.sameness"],
    ["workers.__init__"],
    ["sources.usual"],
    ["sources.targets", "sources.encoded", "sources.decoding", "sources.arrayrecords"],
    ["sources.rare"],
    ["sources.masks"],
    ["sources.looks", "sources.palettes"],
    ["sources.records"],
    ["sources.leaves"],
    ["sources.files", "sources.tables", "sources.csvtable", "sources.parquet"],
    ["sources.csvparse"],
    ["sources.csvfiles", "sources.columns"],
    ["sources.csvscan", "sources.roles"],
    ["sources.csvheader"],
    ["sources.hdf5", "sources.mapped"],
    ["sources.memory", "sources.folders", "sources.formats", "sources.branches", "sources.wav", "sources.elements", "sources.examples"],
    ["sources.values", "sources.frames"],
    ["sources.__init__"],
    ["timesplits"],
    ["source", "splits"],
    ["order", "labels", "numbering"],
    ["quotas"],
    ["epoch_counter", "seeds", "steps"],
    ["guard", "returned", "straight"],
    ["errors", "callback", "interrupts"],
    ["garbage"],
]
HEIGHT = {name: -row for row, names in enumerate(ROWS) for name in names}
NO_TENSORFLOW = ["__init__", "epoch_counter", "errors", "garbage", "interrupts", "labels", "options", "seeds", "shown", "source", "steps"]
# Worker processes load these.
NO_TENSORFLOW += ["sources.elements", "sources.frames", "sources.values"]
NO_TENSORFLOW += ["workers.__init__", "workers.child", "workers.fetching", "workers.job"]
NO_TENSORFLOW += ["workers.looking", "workers.pool", "workers.process", "workers.running", "workers.sameness", "workers.slots"]


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


def own(path: Path) -> set[str]:
    """Modules of this library that a module imports, by their short names."""
    names = {name.removeprefix("tfinput.") for name in imported(path) if name.startswith("tfinput.")}
    known = {name.removesuffix(".__init__"): name for name in modules()}
    return {known[name] for name in names if name in known}


def test_every_module_has_its_place() -> None:
    assert set(modules()) == set(HEIGHT)


@pytest.mark.parametrize("name", modules())
def test_a_module_imports_only_what_lies_below_it(name: str) -> None:
    upward = {other for other in own(modules()[name]) if HEIGHT[other] >= HEIGHT[name]}
    assert not upward


def test_the_reader_of_imports_sees_them() -> None:
    assert {"cache", "splits", "errors"} <= own(modules()["assembly"])
    assert {"builders.arrays", "feed"} <= own(modules()["__init__"])
    assert "tensorflow" in imported(modules()["seeds"])
    assert "tensorflow" not in imported(modules()["seeds"], top_level=True)


@pytest.mark.parametrize("name", NO_TENSORFLOW)
def test_what_needs_no_tensorflow_does_not_import_it_at_the_top(name: str) -> None:
    assert not {"tensorflow", "keras"} & imported(modules()[name], top_level=True)


@pytest.mark.parametrize("name", [name for name in modules() if name.startswith("sources.")])
def test_no_source_knows_of_batches_order_or_epochs(name: str) -> None:
    assert not own(modules()[name]) & {"order", "pipeline", "steps", "splits", "feed", "options", "seeds"}


@pytest.mark.parametrize("name", modules())
def test_optional_libraries_are_imported_only_where_they_are_used(name: str) -> None:
    optional = {"h5py", "pandas", "pyarrow", "jax", "torch", "scipy", "matplotlib", "keras"}
    assert not {each.split(".")[0] for each in imported(modules()[name], top_level=True)} & optional
