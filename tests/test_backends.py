"""Real training and evaluation on each backend of Keras, each in a process of its own."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BACKENDS = ["tensorflow", pytest.param("jax", marks=pytest.mark.backends), pytest.param("torch", marks=pytest.mark.backends)]
each_backend = pytest.mark.parametrize("backend", BACKENDS)


@functools.cache
def run(backend: str) -> dict[str, Any]:
    """The results of one process, shared by the tests."""
    if importlib.util.find_spec(backend) is None:
        if os.environ.get("TFINPUT_REQUIRE_BACKENDS"):
            pytest.fail(f"{backend} is not installed: pip install 'tfinput[backends]'")
        pytest.skip(f"{backend} is not installed")
    script = Path(__file__).with_name("backend_run.py")
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def epochs(batches: list[list[int]], steps: int) -> list[list[int]]:
    return [list(itertools.chain(*batches[place : place + steps])) for place in range(0, len(batches), steps)]


@each_backend
def test_fit_sees_every_example_once_an_epoch_in_the_feeds_own_order(backend: str) -> None:
    result = run(backend)["trained"]
    steps, _ = result["steps"]
    assert result["seen"]["train"] == result["own"]
    seen = epochs(result["seen"]["train"], steps)
    assert len(seen) == 3
    assert all(sorted(epoch) == result["train"] for epoch in seen)
    assert seen[0] != seen[1] != seen[2]


@each_backend
def test_fit_validates_on_the_whole_set_once_and_the_same_each_epoch(backend: str) -> None:
    result = run(backend)["trained"]
    seen = epochs(result["seen"]["validation"], result["steps"][1])
    assert seen == [result["validation"]] * 3
    assert len(set(result["losses"])) == 1


@each_backend
def test_fit_on_the_datasets_themselves_trains_on_the_same_in_the_same_order(backend: str) -> None:
    cases = run(backend)["everyday"]
    assert {case["batch"] for case in cases} == {4, 8, 12, 23}
    for case in cases:
        assert case["seen"] == case["own"], case["batch"]
        assert epochs(case["held"], 3) == [case["validation"]] * 3


@each_backend
def test_a_later_fit_goes_on_where_the_first_would_have(backend: str) -> None:
    result = run(backend)["trained"]
    assert result["resumed"] == result["own"][result["steps"][0] :]


@pytest.mark.backends
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_order_is_the_same_on_every_backend(backend: str) -> None:
    assert run(backend)["trained"]["seen"] == run("tensorflow")["trained"]["seen"]


@each_backend
@pytest.mark.parametrize("case", ["plain", "weighted", "two outputs", "predict"])
def test_evaluate_equals_numpy_where_the_batch_size_does_not_divide(backend: str, case: str) -> None:
    for ours, exact in run(backend)["evaluated"][case]:
        assert ours == pytest.approx(exact, rel=2e-6)


@each_backend
def test_random_keras_layers_in_the_pipeline_resume_bit_for_bit(backend: str) -> None:
    assert all(run(backend)["layered"])


@each_backend
@pytest.mark.parametrize("kind", ["pictures", "records", "table", "items", "generator"])
def test_files_and_python_code_are_fed_whole_and_in_the_order_of_tensorflows_own_iteration(backend: str, kind: str) -> None:
    result = run(backend)["filed"][kind]
    steps, held = result["steps"]
    assert result["seen"]["train"] == result["passes"] == result["own"] == run("tensorflow")["filed"][kind]["own"]
    seen = epochs(result["seen"]["train"], steps)
    assert [sorted(epoch) for epoch in seen] == [result["train"]] * 3
    assert seen[0] != seen[1] != seen[2]
    assert epochs(result["seen"]["validation"], held) == [result["validation"]] * 3
    assert sorted(result["train"] + result["validation"]) == list(range(17))
    assert result["losses"][0] == pytest.approx(result["losses"][1], rel=2e-6)
