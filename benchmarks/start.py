"""How soon the first batch comes: from the builder's call on, with 10 million rows, each time in a fresh process; and of epoch 1,000."""

from __future__ import annotations

from typing import Any

import harness
import numpy as np

LATE = 1000
CASES = {"10 million rows": {"rows": 10_000_000, "batch_size": 256}}


def late(x: Any, y: Any, batch_size: int) -> Any:
    """Training that goes on after many epochs."""
    import tfinput

    return tfinput.from_arrays(x, y, batch_size=batch_size).at(epoch=LATE).repeated


PIPELINES = {**harness.PIPELINES, "late": late}


def child(case: dict[str, Any]) -> float:
    build = PIPELINES[case["pipeline"]]
    x, y = np.random.default_rng(0).random((case["rows"], 1)), np.arange(case["rows"]) % 10
    # TensorFlow's own start and all imports are paid before.
    next(iter(build(x[:1000], y[:1000], 10)))

    return harness.timed(lambda: next(iter(build(x, y, case["batch_size"]))))


def measure(case: dict[str, Any], repeats: int) -> dict[str, Any]:
    runs = {name: lambda name=name: harness.fresh(__file__, case | {"pipeline": name}) for name in PIPELINES}
    seconds = harness.interleave(runs, repeats)
    return {"seconds": seconds, "ratios": harness.ratios(seconds)}


def main(argv: list[str] | None = None) -> None:
    harness.command("start", __doc__, CASES, measure, child, argv, repeats=5)


if __name__ == "__main__":
    main()
