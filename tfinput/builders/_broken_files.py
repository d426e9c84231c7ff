"""Finding the broken files of a source before training, so that leaving them out keeps all counts exact."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfinput.builders._files import FileOptions, LabeledFiles
from tfinput.engine import devices
from tfinput.errors import refusal
from tfinput.material.folders import shown
from tfinput.sampling.numbering import Numbering
from tfinput.sources.base import Source

BLOCK = 64


def broken(source: Source) -> dict[int, str]:
    """Load every example once: the indices of those that fail, each with what is wrong with it."""
    loader = source.loader
    if loader is None:
        return {}

    def sound(index: Any) -> Any:
        row = tf.nest.map_structure(lambda part: part[0], source.read(index[None]))
        run = tf.data.Dataset.from_tensors((row, 0)).map(lambda row, _: loader.load(row, None))
        # A map of its own: inside one function TensorFlow leaves out whatever its result does not depend on.
        run = run.map(lambda *_: tf.constant(True))
        return run.ignore_errors().concatenate(tf.data.Dataset.from_tensors(False)).take(1).get_single_element()

    checks = (
        tf.data.Dataset.range(source.size)
        .map(tf.autograph.experimental.do_not_convert(sound), num_parallel_calls=tf.data.AUTOTUNE)
        .batch(BLOCK)
    )
    passed: list[Any] = []
    with tqdm(total=source.size, unit=" files", desc="tfinput: checking", delay=2, leave=False) as bar:
        for each in devices.apply(checks, devices.parallelism(None)):
            passed.append(each.numpy())
            bar.update(len(passed[-1]))
    return {int(index): _reason(source, int(index)) for index in np.flatnonzero(~np.concatenate(passed))}


def _reason(source: Source, index: int) -> str:
    assert source.loader is not None
    row = tf.nest.map_structure(lambda part: part[0], source.read(tf.constant([index])))
    try:
        source.loader.load(row, None)
    except Exception as error:
        told = source.loader.explain(row, error)
        return str(getattr(told, "got", told))
    return f"example {index} failed once and could be read when tried again"


def sound(made: LabeledFiles, broken: dict[int, str], asked: FileOptions, name: str) -> tuple[LabeledFiles, dict[str, Any]]:
    """What was found without the broken ones; and the fields of a source that tell which were left out, and why."""
    if not broken:
        return made, {}
    first, reason = next(iter(broken.items()))
    if len(broken) == len(made.paths):
        raise refusal(name, f"at least one of the {asked.kind} to be sound", f"none; the first: {reason}", "Check the files.")
    if asked.verbose:
        print(f"Skipped {len(broken)} of {len(made.paths)} {asked.kind}; the first: {shown(made.paths[first])}: {reason}")
    numbering = Numbering.without(len(made.paths), broken)
    assert numbering is not None
    skipped = tuple((made.paths[index], why) for index, why in broken.items())
    return made.kept(numbering.positions), {"skipped": skipped, "numbering": numbering}


def sifted(make: Callable[[LabeledFiles], Source], made: LabeledFiles, asked: FileOptions, name: str, on_bad: str) -> Source:
    """The source over what was found, as `make` makes it; with `on_bad="skip"` without the files that cannot be read."""
    source = make(made)
    if on_bad == "raise":
        return source
    kept, left_out = sound(made, broken(source), asked, name)
    return dataclasses.replace(make(kept), **left_out) if left_out else source
