"""Which epoch a pass over a training dataset is: the next one after the last that made its last batch."""

from __future__ import annotations

import sys

# Where Keras looks at a first batch, to build a model: on JAX and torch if it is not built yet, under a strategy each time.
BUILDING = frozenset({"_symbolic_build", "_maybe_symbolic_build"})


class EpochCounter:
    """The passes over one training dataset. Those that overlap are of one epoch, as neither has made its last batch.

    >>> counter = EpochCounter(5)
    >>> counter.begin(), counter.begin()  # A look that went no further, and the epoch.
    (5, 5)
    >>> counter.end(5)
    >>> counter.begin()
    6
    """

    def __init__(self, epoch: int, before: EpochCounter | None = None) -> None:
        """Begin with an epoch, or with the one that another dataset of the same feed has come to, which hears of those here."""
        self.epoch: int = epoch if before is None else before.epoch
        self._before = before

    def begin(self) -> int:
        """The epoch of a pass that begins now; of one that is a look of Keras' and will not count, `~epoch`."""
        return ~self.epoch if keras_is_building() else self.epoch

    def end(self, begun: int) -> None:
        """Take note that a pass, for which `begin` gave this number, has made its last batch."""
        self.epoch = max(self.epoch, begun + 1)
        if self._before is not None:
            self._before.end(begun)


def keras_is_building() -> bool:
    """Whether a thread is in Keras' look at a first batch, for which TensorFlow's threads may be working now."""
    for frame in sys._current_frames().values():
        each = frame
        while each is not None:
            if each.f_code.co_name in BUILDING and each.f_globals.get("__name__", "").startswith("keras."):
                return True
            each = each.f_back  # type: ignore[assignment]
    return False
