"""The door: what users may name, see and get told, and what importing costs."""

from __future__ import annotations

import inspect
import pydoc
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tfinput
from tfinput import options

NAMES = [
    "Feed",
    "errors",
    "from_arrays",
    "from_audio",
    "from_csv",
    "from_dataset",
    "from_generator",
    "from_images",
    "from_parquet",
    "from_sequence",
    "from_text",
    "from_tfds",
    "from_tfrecords",
    "from_timeseries",
    "mix",
]
HEAVY = ("tensorflow", "keras", "pandas", "pyarrow", "tensorflow_datasets", "h5py", "numpy", "cloudpickle", "tqdm")


def test_the_door_names_what_users_may_use_and_every_name_leads_somewhere() -> None:
    assert tfinput.__all__ == NAMES
    assert set(NAMES) <= set(dir(tfinput))
    for name in NAMES:
        found = getattr(tfinput, name)
        assert getattr(found, "__module__", found.__name__).startswith("tfinput.")
        assert found.__doc__
    assert re.fullmatch(r"\d+\.\d+\.\d+", tfinput.__version__)


def test_star_import_gives_the_documented_names() -> None:
    space: dict[str, Any] = {}
    exec("from tfinput import *", space)
    assert sorted(set(space) - {"__builtins__"}) == NAMES


def test_every_public_name_of_a_feed_is_documented() -> None:
    documented = {
        *("at", "batch_size", "class_names", "class_weight", "drawer", "element_spec", "epoch", "evaluate_args", "examples"),
        *("fit_args", "indices", "kfold", "labels", "paths", "predict_args", "repeated", "seed", "skipped", "step", "steps_per_epoch"),
        *("test", "test_size"),
        *("test_steps", "train", "train_size", "validation", "validation_batch_size", "validation_size", "validation_steps"),
    }
    public = [name for name in dir(tfinput.Feed) if not name.startswith("_")]
    assert set(public) == documented
    for name in public:
        if name not in ("drawer", "epoch", "step"):  # fields
            assert inspect.getdoc(getattr(tfinput.Feed, name)), name


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'tfinput' has no attribute 'from_array'$"):
        tfinput.from_array  # noqa: B018
    assert not hasattr(tfinput, "from_nowhere")
    with pytest.raises(ImportError):
        exec("from tfinput import from_nowhere", {})


@pytest.mark.parametrize("code", ["import tfinput", "import tfinput; dir(tfinput), tfinput.__version__, tfinput.__all__"])
def test_importing_tfinput_imports_nothing_heavy(code: str) -> None:
    told = f"{code}\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "[]"


def test_building_imports_no_table_library_or_catalog() -> None:
    # Keras imports some of them by itself.
    code = "import sys, keras, numpy as np, tensorflow, tfinput\nbefore = set(sys.modules)\n"
    code += "tfinput.from_arrays(np.arange(3), validation_split=1)\n"
    told = f"{code}print([name for name in {HEAVY!r} if name in set(sys.modules) - before - {{'tqdm'}}])"
    run = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=100, check=True)
    assert run.stdout.strip() == "[]"


DEFAULTS = {
    "batch_size": 32,
    "validation_split": None,
    "test_split": None,
    "validation_data": None,
    "test_data": None,
    "stratify": None,
    "groups": None,
    "balance": None,
    "shuffle": True,
    "seed": 0,
    "preprocess": None,
    "augment": None,
    "batch_preprocess": None,
    "batch_augment": None,
    "cache": None,
    "drop_remainder": None,
    "validation_batch_size": None,
    "num_parallel_calls": None,
}


def test_a_builders_signature_shows_every_option_with_its_default() -> None:
    parameters = inspect.signature(tfinput.from_arrays).parameters
    assert list(parameters)[:3] == ["x", "y", "sample_weight"]
    common = list(parameters.values())[3:]
    assert {each.name: each.default for each in common} == DEFAULTS
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in common)
    assert set(options.Options.__annotations__) == set(DEFAULTS)


def test_help_tells_what_every_argument_means() -> None:
    told = pydoc.plain(pydoc.render_doc(tfinput.from_arrays))
    assert "{common options}" not in told
    for name, default in DEFAULTS.items():
        assert f"{name}: " in told
        assert re.search(rf"\b{name}: [\w., |\[\]]+ = {re.escape(repr(default))}[,)]", told)
        assert options.DOCUMENTED[name][1] in told
    for section in ("Args:", "Returns:", "Raises:"):
        assert section in told


def test_a_feed_shows_itself_in_one_line_and_as_a_table() -> None:
    feed = tfinput.from_arrays(np.zeros((10, 3), "f4"), np.arange(10), batch_size=4, validation_split=2, test_split=1)
    assert repr(feed) == "Feed(arrays: train 7 in 2 steps of 4, validation 2 in 1 step of 2, test 1 in 1 step of 1; seed=0)"
    assert repr(feed.at(1, 1)) == repr(feed)[:-1] + "; from epoch 1, step 1)"
    html = feed._repr_html_()
    assert "<td>validation</td><td>2</td><td>1</td><td>2</td>" in html
    assert "shape=(None, 3)" in html


def test_a_feed_is_frozen() -> None:
    feed = tfinput.from_arrays(np.arange(4))
    with pytest.raises(AttributeError):
        feed.epoch = 3  # type: ignore[misc]
