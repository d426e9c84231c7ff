"""Seeds: one integer in, named 64-bit keys out; nothing here reads or moves a global random state.

Raw small integers make poor keys (TensorFlow's stateless ops map close seeds to close streams in places, and several
of its seeds coincide), so every seed is hashed before use.
"""

from __future__ import annotations

import hashlib
import operator
import secrets
from typing import Any

import numpy as np

from tfinput.errors import refusal, short

_GOLDEN = 0x9E3779B97F4A7C15


def settle(seed: object) -> int:
    """The seed as an int; `None` draws one from the operating system, to be shown to the user."""
    if seed is None:
        return secrets.randbits(63)
    try:
        if isinstance(seed, bool):
            raise TypeError
        return operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        fix = "Any Python int is a seed; None draws one."
        raise refusal("seed", "an int or None", f"{short(seed)} ({type(seed).__name__})", fix, TypeError) from None


def written(seed: int) -> str:
    """The seed as text, in decimal as far as Python writes that."""
    return str(int(seed)) if abs(seed) < 2**4096 else hex(seed)


def key(seed: int, *names: object) -> int:
    """A signed 64-bit key for one use of a seed.

    >>> key(0, "order") == key(0, "order"), key(0, "order") == key(1, "order")
    (True, False)
    """
    text = "\0".join([written(seed), *map(str, names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def scores(stream: int, numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A 64-bit score for each number, pure in (stream, number): the splitmix64 finaliser, whole arrays at a time.

    Sorting by score is a draw without replacement whose result never changes with the version of any library.

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (constants: D. Stafford's mix13).
    """
    with np.errstate(over="ignore"):
        z = numbers.astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(stream % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def fold(stream: int, *numbers: Any) -> Any:
    """In a TensorFlow graph: int32 seeds of shape [..., 2] for the stateless ops, pure in (stream, *numbers).

    `numbers` are integer tensors of one shape: an epoch and an example, say.
    """
    import tensorflow as tf

    def unsigned(value: int) -> Any:
        return tf.constant(value % 2**64, tf.uint64)

    def shifted(z: Any, bits: int) -> Any:
        return tf.bitwise.bitwise_xor(z, tf.bitwise.right_shift(z, unsigned(bits)))

    z = unsigned(stream)
    for number in numbers:
        z = z + tf.cast(number, tf.uint64) * unsigned(_GOLDEN)
        z = shifted(shifted(z, 30) * unsigned(0xBF58476D1CE4E5B9), 27) * unsigned(0x94D049BB133111EB)
        z = shifted(z, 31)
    return tf.bitcast(z, tf.int32)
