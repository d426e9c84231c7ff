"""Memory beyond the arrays: anonymous memory that building a pipeline and training from it take, as a share of the arrays' bytes.

Linux only. Each figure is of a fresh process. Mapped files count as none: the system takes their pages back when it needs them.
"""

from __future__ import annotations

import gc
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np

EPOCHS = 30  # of tfinput; its peers, which are slow here, stop after the second
CASES = {
    "3 KB": {"columns": 768, "rows": 325_000, "batch_size": 256},
    "80 B": {"columns": 20, "rows": 3_000_000, "batch_size": 256},
}


def anonymous() -> int:
    """Anonymous resident bytes of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


class Peak(threading.Thread):
    """The largest value seen, a few hundred times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.003):
            self.bytes = max(self.bytes, anonymous())

    def stop(self) -> int:
        self._done.set()
        self.join()
        return max(self.bytes, anonymous())


def arrays(case: dict[str, Any]) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    return random.random((case["rows"], case["columns"]), np.float32), random.integers(0, 10, case["rows"])


def child(case: dict[str, Any]) -> dict[str, float]:
    build, batch_size = harness.PIPELINES[case["pipeline"]], case["batch_size"]
    warm = harness.consumer(build(*arrays(case | {"rows": 1000}), 10))
    warm(200)
    del warm
    x, y = case["files"] or arrays(case)
    gc.collect()
    before, peak = anonymous(), Peak()
    peak.start()
    consume, steady = harness.consumer(build(x, y, batch_size)), []
    for _ in range(case["epochs"]):
        consume(-(-case["rows"] // batch_size))
        gc.collect()
        time.sleep(0.2)  # what works ahead, such as the next epoch's order, is done then
        steady.append(anonymous())
    return {"peak": peak.stop() - before, "steady": steady[1] - before, "growth": steady[-1] - steady[1]}


def measure(case: dict[str, Any], repeats: int) -> dict[str, Any]:
    """Memory repeats itself well: one process each, whatever the repeats."""
    del repeats
    nbytes = case["rows"] * (case["columns"] * 4 + 8)
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/x.npy", f"{folder}/y.npy"]
        for file, array in zip(files, arrays(case), strict=True):
            np.save(file, array)
        for name in (*harness.PIPELINES, "npy"):
            pipeline = "tfinput" if name == "npy" else name
            request = {"pipeline": pipeline, "files": files if name == "npy" else None, "epochs": EPOCHS if pipeline == "tfinput" else 2}
            found = harness.fresh(__file__, case | request)
            measured[name] = {what: extra / nbytes for what, extra in found.items()}
    return {"bytes": nbytes, "extra": measured}


def main(argv: list[str] | None = None) -> None:
    harness.command("memory", __doc__, CASES, measure, child, argv, repeats=1)


if __name__ == "__main__":
    main()
