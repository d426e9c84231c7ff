"""All benchmarks one after the other: prints the tables, writes the figures, draws the bars and puts the tables in the README."""

from __future__ import annotations

import argparse
from pathlib import Path

import arrays
import border
import catalog
import fit
import generators
import growth
import harness
import hooks
import images
import memory
import records
import report
import sequences
import series
import start
import tables

PARTS = {
    "arrays": arrays.main,
    "start": start.main,
    "memory": memory.main,
    "fit": fit.main,
    "border": border.main,
    "hooks": hooks.main,
    "images": images.main,
    "tables": tables.main,
    "records": records.main,
    "series": series.main,
    "catalog": catalog.main,
    "generators": generators.main,
    "sequences": sequences.main,
    "growth": growth.main,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="which to measure (default all)")
    parser.add_argument("--quick", action="store_true", help="a short smoke run: small arrays, 2 repeats; writes nothing without --out")
    parser.add_argument("--repeats", type=int, default=None, help="repeats of each timing")
    parser.add_argument("--out", type=Path, default=None, help="folder of the results (default benchmarks/results)")
    args = parser.parse_args()
    given = ["--quick"] * args.quick + ([f"--repeats={args.repeats}"] if args.repeats else [])
    out = args.out or (None if args.quick else harness.RESULTS)
    for part in args.parts or PARTS:
        print(f"\n{part}", flush=True)
        PARTS[part](given + ([f"--out={out}"] if out else []))
    if out is None:
        return
    results = harness.read(out)
    text = report.tables(results)
    print(f"\n{text}")
    if out == harness.RESULTS:
        report.put(Path(__file__).parent / "README.md", f"{text}\n\n![The ratios as bars](results/arrays.png)")


if __name__ == "__main__":
    main()
