"""What trains here, and what that means for the pipeline."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, NamedTuple

import tensorflow as tf

from tfinput.sampling.steps import Shares


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
    """The Keras backend; where Keras was not imported yet, the one it would be told to take."""
    keras = sys.modules.get("keras")
    return str(keras.backend.backend()) if keras is not None else os.environ.get("KERAS_BACKEND", "tensorflow")


def shares(strategy: Any = None) -> Shares:
    """How the devices that are set up now, or those of a strategy, share each batch.

    `tf.distribute` on the CPUs and GPUs of one host takes any batch, and counts an uneven one right; all others want equal parts.
    """
    strategy = strategy or tf.distribute.get_strategy()
    replicas = int(strategy.num_replicas_in_sync)
    if isinstance(strategy, (tf.distribute.TPUStrategy, tf.distribute.experimental.TPUStrategy)):
        return Shares(replicas, replicas)
    if isinstance(strategy, (tf.distribute.MultiWorkerMirroredStrategy, tf.distribute.experimental.MultiWorkerMirroredStrategy)):
        hosts, host = _worker(strategy.cluster_resolver)
        return Shares(replicas if hosts > 1 else 1, replicas, hosts, host)
    found = distribution()
    return Shares(1, replicas) if found is None else _of_mesh(found)


def _worker(resolver: Any) -> tuple[int, int]:
    """How many workers there are, and which of them this is; a chief comes first."""
    if resolver is None or not resolver.cluster_spec():
        return 1, 0
    tasks = {job: len(each) for job, each in resolver.cluster_spec().as_dict().items()}
    chiefs = tasks.get("chief", 0)
    return chiefs + tasks.get("worker", 0), int(resolver.task_id) + (chiefs if resolver.task_type == "worker" else 0)


def distribution() -> Any:
    """What `keras.distribution` has set up, or None."""
    keras = sys.modules.get("keras")
    return keras.distribution.distribution() if keras is not None and _backend() == "jax" else None


def _of_mesh(found: Any) -> Shares:
    """Processes hold as many neighbouring parts of the mesh's batch axis each; those that hold one part together read the same."""
    import jax

    mesh = found.device_mesh
    names = list(mesh.axis_names)
    axis = getattr(found, "batch_dim_name", None)
    shards = int(mesh.shape[names.index(axis) if axis in names else 0])
    hosts = min(shards, jax.process_count())
    return Shares(shards, shards, hosts, jax.process_index() * hosts // jax.process_count())


def spare_gpus() -> None:
    """Keep TensorFlow, which takes nearly all memory of every GPU it sees, from those that another Keras backend trains on."""
    if _backend() != "tensorflow":
        # Where the user let TensorFlow start before, this comes too late.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")


def parallelism(asked: int | None) -> Parallelism:
    """AUTOTUNE beside an accelerator; on a CPU that trains as well, two batches at a time and no hand-over at the end.

    Measured on two cores: a last prefetch costs 10-20 us a batch in thread switches, and AUTOTUNE's search never pays.
    """
    autotune = asked == tf.data.AUTOTUNE or (asked is None and accelerated())
    if autotune:
        return Parallelism(tf.data.AUTOTUNE, True, tf.data.AUTOTUNE)
    return Parallelism(asked or 2, False, 0)


def blocks_at_a_time(asked: int | None, most: int) -> int:
    """How many blocks to make at a time, where each example takes work of its own: a few more than there are cores, `most` have room.

    Measured on two cores, decoding images: with two blocks, 3 % of the time a core waits for the other one's block, which comes first.
    """
    if asked is not None or accelerated():
        return parallelism(asked).calls
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(2, min(cores + 2, most))


def apply(dataset: Any, choice: Parallelism, hosts: int = 1) -> Any:
    """Finish a dataset: prefetch where that pays, and set what TensorFlow must not decide."""
    return with_options(dataset.prefetch(choice.prefetch) if choice.prefetch else dataset, choice, hosts)


def with_options(dataset: Any, choice: Parallelism, hosts: int = 1) -> Any:
    """Set what TensorFlow must not decide."""
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = choice.autotune
    # The default rewrites turn captured arrays into graph constants: a further copy of all data when an iterator starts.
    options.experimental_optimization.apply_default_optimizations = False
    # What is not asked for yet must not be made: the last batch of a pass ends it.
    options.experimental_optimization.inject_prefetch = False
    # Hosts have their pieces of each batch already.
    policy = tf.data.experimental.AutoShardPolicy
    options.experimental_distribute.auto_shard_policy = policy.DATA if hosts == 1 else policy.OFF
    return dataset.with_options(options)
