"""Split: which examples of which source belong together, and how full passes over them fall into batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfinput.engine import pipeline
from tfinput.options import Settings
from tfinput.sampling.order import Members
from tfinput.sampling.steps import even_batch_size, layout
from tfinput.sources.base import Source


@dataclass(frozen=True)
class Split:
    """Some examples of a source; `training` says whether they are those that train."""

    source: Source
    members: Members
    training: bool = False

    @property
    def size(self) -> int:
        """Examples."""
        batches = self.source.batches
        return self.members.count if batches is None else int(batches[self.members.indices].sum())

    def batch_size(self, settings: Settings) -> int:
        """What `read` is asked for in a batch: that many examples, or one batch where the source has batches already."""
        asked, replicas, count = settings.validation_batch_size, settings.shares.replicas, self.members.count
        if self.training:
            return settings.batch_size
        fits = asked is not None and (asked <= count or replicas == 1)
        return asked if asked and fits else even_batch_size(count, asked or settings.batch_size, replicas)

    def largest_batch(self, settings: Settings) -> int:
        """Examples in a batch, at most."""
        batches = self.source.batches
        return self.batch_size(settings) if batches is None else int(batches.max())

    def steps(self, settings: Settings) -> int:
        """Batches in one full pass."""
        return layout(self.members.count, self.batch_size(settings), False).steps

    def without(self, held: np.ndarray[Any, Any]) -> dict[str, Split]:
        """What still trains where some of its examples validate, and these."""
        rest = np.setdiff1d(self.members.indices, held, assume_unique=True)
        train = Split(self.source, self.members.only(rest), training=True)
        return {"train": train, "validation": Split(self.source, Members(len(held), held))}

    def full_pass(self, settings: Settings) -> Any:
        """One finite dataset of all its examples, in source order, unaugmented."""
        return pipeline.full_pass(self.source, self.members, self.batch_size(settings), settings)
