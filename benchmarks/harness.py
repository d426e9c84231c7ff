"""Shared by the benchmarks: the pipelines that are compared, interleaved timing, ratios, fresh processes, the command line."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import report

RESULTS = Path(__file__).parent / "results"
FILE = "arrays.json"

# For this process and those it starts: no log lines of TensorFlow's C++ side, the TensorFlow backend, and the CPU alone.
for _name, _value in {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}.items():
    os.environ.setdefault(_name, _value)


def tfinput_train(x: Any, y: Any, batch_size: int) -> Any:
    import tfinput

    return tfinput.from_arrays(x, y, batch_size=batch_size).repeated


def keras_adapter(x: Any, y: Any, batch_size: int) -> Any:
    """What `fit(x, y)` uses."""
    from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

    return ArrayDataAdapter(x, y, batch_size=batch_size, shuffle=True).get_tf_dataset().repeat()


def shuffled_slices(x: Any, y: Any, batch_size: int) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(batch_size).prefetch(tf.data.AUTOTUNE).repeat()


PIPELINES: dict[str, Callable[[Any, Any, int], Any]] = {
    "tfinput": tfinput_train,
    "keras": keras_adapter,
    "slices": shuffled_slices,
}


def consumer(dataset: Any) -> Callable[[int], None]:
    """A function that takes a number of batches from one iterator, inside `tf.function`, as a training loop does."""
    import tensorflow as tf

    iterator = iter(dataset)

    @tf.function
    def consume(steps: Any) -> None:
        for _ in tf.range(steps):
            next(iterator)

    return lambda steps: consume(tf.constant(steps, tf.int64))


def burst(dataset: Any, lead_in: int, steps: int) -> Callable[[], float]:
    """Time some steps of a new iterator after a lead-in: what works ahead in many threads must not go on beside other runs."""

    def run() -> float:
        consume = consumer(dataset)
        consume(lead_in)
        return timed(consume, steps)

    return run


def timed(run: Callable[..., Any], *args: Any) -> float:
    start = time.perf_counter()
    run(*args)
    return time.perf_counter() - start


def interleave(runs: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Repeat the runs in turn (A B C A B C ...), so that whatever disturbs the machine disturbs all; each returns its seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            seconds[name].append(run())
    return seconds


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def ratios(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """The others' time over tfinput's, pair by pair of one repeat: above 1, tfinput is quicker."""
    own = seconds["tfinput"]
    return {
        name: spread([other / mine for other, mine in zip(times, own, strict=True)]) for name, times in seconds.items() if name != "tfinput"
    }


def fresh(script: str, request: dict[str, Any]) -> Any:
    """What `child(request)` of a script returns in a process of its own."""
    done = subprocess.run([sys.executable, script, "--child", json.dumps(request)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{Path(script).name} {request} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def environment() -> dict[str, Any]:
    """Versions and processor: what a figure depends on."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    versions = {name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {**versions, "python": platform.python_version(), "cpus": cores, "cpu": model}


def read(folder: Path) -> dict[str, Any]:
    file = folder / FILE
    return json.loads(file.read_text()) if file.exists() else {}


def write(folder: Path, section: str, cases: dict[str, Any]) -> None:
    """Merge cases into their section of the results, unless those that are there were measured elsewhere."""
    results, here = read(folder), environment()
    before = results.get(section, {})
    kept = before.get("cases", {}) if before.get("environment") == here else {}
    results[section] = {"environment": here, "cases": kept | cases}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(results, indent=1) + "\n")


def command(
    section: str,
    doc: str,
    cases: dict[str, dict[str, Any]],
    measure: Callable[[dict[str, Any], int], dict[str, Any]],
    child: Callable[[dict[str, Any]], Any],
    argv: list[str] | None,
    repeats: int,
) -> None:
    """The command line of one benchmark: measure the cases, print a table, merge the figures into the results, draw them."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short smoke run: small arrays, 2 repeats; written only with --out")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only cases whose name contains NAME; repeatable")
    parser.add_argument("--repeats", type=int, default=None, help=f"repeats of each measurement (default {repeats})")
    parser.add_argument("--out", type=Path, default=None, help="folder of the results (default benchmarks/results)")
    parser.add_argument("--child", default=None, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.child is not None:
        print(json.dumps(child(json.loads(args.child))))
        return
    chosen = {name: case for name, case in cases.items() if not args.only or any(part in name for part in args.only)}
    if not chosen:
        parser.error(f"no case is called {args.only}; there are {list(cases)}")
    out = args.out or (None if args.quick else RESULTS)
    print("\n".join(report.head(section)), flush=True)
    for name, case in chosen.items():
        case = case | {"rows": case["rows"] // 16} if args.quick else case
        measured = case | measure(case, args.repeats or (2 if args.quick else repeats))
        print(report.row(section, name, measured), flush=True)
        if out is not None:
            write(out, section, {name: measured})
    if out is not None:
        report.draw(read(out), out / "arrays.png")
