"""The command line: `python -m tfinput demo` and `python -m tfinput inspect PATH`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """The commands and their options; TensorFlow is not needed to show them."""
    import tfinput

    top = argparse.ArgumentParser(prog="python -m tfinput", description="The way from your data to model.fit, with exact step counts.")
    top.add_argument("--version", action="version", version=f"tfinput {tfinput.__version__}")
    commands = top.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    text = "Train a small Keras model on 1,797 handwritten digits that come with tfinput, and prove the validation result with NumPy."
    demo = commands.add_parser("demo", help="train on the digits that come with tfinput (a few seconds)", description=text)
    demo.add_argument("--epochs", type=_positive, default=8, metavar="N", help="passes over the training examples (default: %(default)s)")
    demo.add_argument("--batch-size", type=_positive, default=32, metavar="N", help="examples in a step (default: %(default)s)")
    demo.add_argument(
        "--seed", type=int, default=0, metavar="N", help="any whole number; the same seed, the same run (default: %(default)s)"
    )
    text = "Tell what a folder of images, WAV or text files, or a TFRecord, CSV, Parquet or array file holds, and what of it is broken."
    inspect = commands.add_parser("inspect", help="tell what a folder or a file holds, and what of it is broken", description=text)
    inspect.add_argument("path", metavar="PATH", help="a folder, with or without a subfolder for each class, or a file")
    return top


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a positive whole number, got {text!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    asked = parser().parse_args(arguments)
    if asked.command == "inspect":
        return _inspect(asked.path)
    from tfinput.cli import demo

    return demo.run(asked.epochs, asked.batch_size, asked.seed)


def _inspect(path: str) -> int:
    from tfinput.cli import inspection

    try:
        lines, sound = inspection.report(path)
    except (ValueError, TypeError) as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
