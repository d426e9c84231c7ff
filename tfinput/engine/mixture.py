"""Several sources as one: their examples are numbered one source after another, and each is made as its own feed makes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfinput.engine import hooks
from tfinput.options import Settings
from tfinput.sampling import seeds
from tfinput.sampling.numbering import Numbering
from tfinput.sources.base import Loader, Source


@dataclass(frozen=True)
class Ingredient:
    """A source, and the settings of the feed that it comes from."""

    source: Source
    settings: Settings

    def stages(self, training: bool) -> list[Any]:
        """What makes an example of what the source reads."""
        made: list[Any] = hooks.loading(self.source.loader, self.settings.seed, training)
        made += hooks.make("preprocess", self.settings.preprocess, self.settings.seed)
        return made + (hooks.make("augment", self.settings.augment, self.settings.seed) if training else [])

    @property
    def random(self) -> bool:
        """Whether training examples depend on a seed."""
        return self.settings.augment is not None or (self.source.loader is not None and self.source.loader.random)


def mixed(ingredients: Sequence[Ingredient], spec: Any, class_names: tuple[str, ...] | None) -> Source:
    """All of them as one source, whose examples are of one spec."""
    sources = [each.source for each in ingredients]
    ends = np.cumsum([source.size for source in sources])
    starts = ends - [source.size for source in sources]
    uneven = next((source.uneven for source in sources if source.uneven), None)
    plain = uneven is None and not any(each.stages(training=True) for each in ingredients)
    lengths = [source.lengths for source in sources]

    def locate(index: int) -> str:
        place = int(np.searchsorted(ends, index, side="right"))
        return f"feed {place}, {sources[place].place(index - int(starts[place]))}"

    def labels() -> np.ndarray[Any, Any] | None:
        found = [source.labels() for source in sources]
        return None if any(part is None for part in found) else np.concatenate([np.asarray(part) for part in found])

    return Source(
        name=f"mix of {', '.join(source.name for source in sources)}",
        size=int(ends[-1]),
        spec=spec,
        read=_reader(sources, ends, starts, spec) if plain else lambda indices: indices,
        loader=None if plain else _loader(ingredients, ends, starts, spec, locate),
        labels=labels,
        in_memory=all(source.in_memory for source in sources),
        locate=locate,
        uneven=uneven,
        lengths=None if any(part is None for part in lengths) else tf.concat(lengths, 0),
        class_names=class_names,
        **_identity(sources, starts),
        skipped=tuple(broken for source in sources for broken in source.skipped),
    )


def _identity(sources: Sequence[Source], starts: Any) -> dict[str, Any]:
    """What says which example is which, one source after another."""
    totals = [source.total for source in sources]
    firsts = np.cumsum(totals) - totals
    gaps = any(source.numbering for source in sources)
    positions = [first + source.positions(np.arange(source.size)) for first, source in zip(firsts, sources, strict=True)]
    paths = [source.paths for source in sources]

    def encoded(indices: Any) -> Any:
        place = np.searchsorted(starts, indices, side="right") - 1
        found = [source.labels_at(indices[place == number] - starts[number]) for number, source in enumerate(sources)]
        rows = [part for part in found if part is not None]
        made = np.empty((len(indices), *rows[0].shape[1:]), np.result_type(*rows))
        for number, part in enumerate(rows):
            made[place == number] = part
        return made

    return {
        "encoded": encoded if any(source.encoded for source in sources) else None,
        "paths": None if any(each is None for each in paths) else [path for each in paths for path in each or ()],
        "numbering": Numbering(sum(totals), np.concatenate(positions)) if gaps else None,
    }


def _reader(sources: Sequence[Source], ends: Any, starts: Any, spec: Any) -> Callable[[Any], Any]:
    """Each index is read from its own source, all of one source at once."""

    def read(indices: Any) -> Any:
        place = tf.searchsorted(tf.constant(ends), tf.cast(indices, tf.int64), side="right")
        within = tf.cast(indices, tf.int64) - tf.gather(tf.constant(starts), place)
        slots = tf.dynamic_partition(tf.range(tf.size(indices)), place, len(sources))
        parts = [source.read(part) for source, part in zip(sources, tf.dynamic_partition(within, place, len(sources)), strict=True)]

        def stitched(like: Any, *rows: Any) -> Any:
            return tf.ensure_shape(tf.dynamic_stitch(slots, list(rows)), [indices.shape[0], *like.shape])

        return tf.nest.map_structure(stitched, spec, *parts)

    return read


def _loader(ingredients: Sequence[Ingredient], ends: Any, starts: Any, spec: Any, locate: Callable[[int], str]) -> Loader:
    """Each example is made one by one, by the stages of its own feed."""

    def made(number: int, index: Any, seed: Any) -> Any:
        each = ingredients[number]
        element = tf.nest.map_structure(lambda part: part[0], each.source.read((index - int(starts[number]))[None]))
        mixture = tf.constant(0, tf.int64) if seed is None else tf.bitcast(seed, tf.int64)
        for stage in each.stages(training=seed is not None):
            own = seeds.fold(stage.stream, mixture)
            again = tf.executing_eagerly()  # An error came up in the graph: find out which, and tell it.
            element = stage.again(element, own, locate(int(index))) if again else stage.trace(element, own)
        return tf.nest.map_structure(tf.convert_to_tensor, element)

    def load(index: Any, seed: Any) -> Any:
        index = tf.cast(index, tf.int64)
        number = tf.searchsorted(tf.constant(ends), index[None], side="right")[0]
        branches = [lambda number=number: made(number, index, seed) for number in range(len(ingredients))]
        element = tf.switch_case(number, branches)
        return tf.nest.map_structure(lambda part, like: tf.ensure_shape(part, like.shape), element, spec)

    return Loader(
        load=load,
        explain=lambda _, error: type(error)(*error.args),
        random=any(each.random for each in ingredients),
    )
