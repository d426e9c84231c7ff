"""What worker processes cost: CPU seconds that items of 150 KB without any work take in the workers and in the training process.

    python benchmarks/workers.py

The table is printed, not stored: the model of more workers than cores in the README is made of it. Start-up is not counted.
"""

from __future__ import annotations

import harness
import psutil
import sequences

STEPS = 300


def seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def measured(workers: int, batch: int) -> tuple[float, float]:
    """Microseconds an item in all workers, and milliseconds a batch in this process."""
    import tfinput

    feed = tfinput.from_sequence(sequences.Items(batch * 64, 0.0), batch_size=batch, workers=workers)
    me = psutil.Process()
    others = set(me.children())
    take = harness.consumer(feed.repeated)
    take(20)
    children = [child for child in me.children() if child not in others]
    before = seconds(children), seconds([me])
    take(STEPS)
    after = seconds(children), seconds([me])
    return 1e6 * (after[0] - before[0]) / (STEPS * batch), 1e3 * (after[1] - before[1]) / STEPS


def main() -> None:
    print("| workers | batch | µs an item, workers | ms a batch, training process |")
    print("| --- | --- | --- | --- |")
    for batch in (32, 128):
        for workers in (1, 2, 4, 8, 16):
            item, each = measured(workers, batch)
            print(f"| {workers} | {batch} | {item:.0f} | {each:.2f} |", flush=True)


if __name__ == "__main__":
    main()
