"""What trains here, and what that means for the pipeline."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import tensorflow as tf


class Parallelism(NamedTuple):
    """How many batches are prepared at a time, and how many wait ready."""

    calls: int
    autotune: bool
    prefetch: int


def accelerated() -> bool:
    """Whether something else than the CPU will train: as TensorFlow sees it, or the Keras backend if that is another one."""
    if any(device.device_type != "CPU" for device in tf.config.list_physical_devices()):
        return True
    jax = sys.modules.get("jax")
    if jax is not None and _backend() == "jax":
        return bool(jax.default_backend() != "cpu")
    torch = sys.modules.get("torch")
    return torch is not None and _backend() == "torch" and bool(torch.cuda.is_available())


def _backend() -> str:
    keras = sys.modules.get("keras")
    return str(keras.backend.backend()) if keras is not None else "tensorflow"


def shards() -> int:
    """Into how many equal parts each batch is cut: TPU replicas and the devices of `keras.distribution` take nothing else.

    `tf.distribute` on CPUs and GPUs takes any batch, and counts an uneven one right.
    """
    strategy = tf.distribute.get_strategy()
    if isinstance(strategy, (tf.distribute.TPUStrategy, tf.distribute.experimental.TPUStrategy)):
        return int(strategy.num_replicas_in_sync)
    keras = sys.modules.get("keras")
    distribution = keras.distribution.distribution() if keras is not None and _backend() == "jax" else None
    if distribution is None:
        return 1
    mesh = distribution.device_mesh
    names = list(mesh.axis_names)
    axis = getattr(distribution, "batch_dim_name", None)
    return int(mesh.shape[names.index(axis) if axis in names else 0])


def replicas() -> int:
    """How many replicas of a `tf.distribute` strategy train."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def parallelism(asked: int | None) -> Parallelism:
    """AUTOTUNE beside an accelerator; on a CPU that trains as well, two batches at a time and no hand-over at the end.

    Measured on two cores: a last prefetch costs 10-20 us a batch in thread switches, and AUTOTUNE's search never pays.
    """
    autotune = asked == tf.data.AUTOTUNE or (asked is None and accelerated())
    if autotune:
        return Parallelism(tf.data.AUTOTUNE, True, tf.data.AUTOTUNE)
    return Parallelism(asked or 2, False, 0)


def apply(dataset: Any, choice: Parallelism) -> Any:
    """Finish a dataset: prefetch where that pays, and set what TensorFlow must not decide."""
    if choice.prefetch:
        dataset = dataset.prefetch(choice.prefetch)
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = choice.autotune
    # The default rewrites turn captured arrays into graph constants: a further copy of all data when an iterator starts.
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options)
