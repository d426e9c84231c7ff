"""Functions of one example, mapped over a dataset without a change of thread for each.

TensorFlow hands each call of a mapped function to its pool of threads and waits: 5 to 10 us an example, and the example is then made by
a core that does not have it in its cache. Functions without branches, loops or calls can run in the thread that asks for the example.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

_do_not_convert = tf.autograph.experimental.do_not_convert
# Of code that is neither converted by AutoGraph nor kept from it, as the user's is; this library's is kept from it.
_OPEN = tf.__internal__.autograph.control_status_ctx()
# What an executor that runs one operation after another cannot do, and Python code, which gains nothing from it. Operations that call
# functions do so in other threads, and may wait for ever there: they are told by the functions in the library.
_NOT = frozenset({"Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond", "PyFunc", "PyFuncStateless", "EagerPyFunc"})


def converted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The user's function as AutoGraph has it, in the graph that calls it: a `tf.function` would be one more call for each example."""
    made: Callable[..., Any] = tf.__internal__.autograph.tf_convert(function, _OPEN)
    return made


def map_in_caller(dataset: Any, function: Callable[..., Any]) -> Any:
    """The dataset of what `function` makes of each element, one after another; a `tf.function` is traced once for all datasets alike.

    >>> dataset = map_in_caller(tf.data.Dataset.range(3), lambda number: {"twice": 2 * number})
    >>> [int(each["twice"]) for each in dataset]
    [0, 2, 4]
    """
    graph = function if isinstance(function, tf.types.experimental.PolymorphicFunction) else tf.function(function, autograph=False)
    element = dataset.element_spec
    traced = graph.get_concrete_function(*(element if isinstance(element, tuple) else (element,)))
    if not _can_run_serially(traced):
        return dataset.map(_do_not_convert(graph))
    made = tf.nest.map_structure(lambda like: tf.TensorSpec(like.shape, like.dtype), traced.structured_outputs)
    specs = tf.nest.flatten(made)
    variant = tf.raw_ops.MapDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        other_arguments=traced.captured_inputs,
        f=traced,
        output_types=[each.dtype for each in specs],
        output_shapes=[each.shape for each in specs],
        use_inter_op_parallelism=False,
        preserve_cardinality=True,
    )
    return tf.data.experimental.from_variant(variant, made)


def _can_run_serially(traced: Any) -> bool:
    """Whether the operations of a function can simply run one after another, and its results are tensors."""
    definition = traced.graph.as_graph_def()
    if definition.library.function or not _plain(traced.structured_outputs):
        return False
    # A variable may lie on another device, and then what reads it runs there: TensorFlow says where only as the function runs.
    if any(each.dtype == tf.resource for each in traced.captured_inputs) and not _cpus_only():
        return False
    return all(node.op not in _NOT and _on_cpu(node.device) for node in definition.node)


def _plain(outputs: Any) -> bool:
    """Whether results are tensors, in tuples and dicts: a dataset makes something else of lists."""
    if isinstance(outputs, dict):
        return all(map(_plain, outputs.values()))
    if type(outputs) is tuple:
        return all(map(_plain, outputs))
    return isinstance(outputs, (tf.Tensor, tf.TensorSpec))


def _cpus_only() -> bool:
    return all(device.device_type == "CPU" for device in tf.config.list_logical_devices())


def _on_cpu(device: str) -> bool:
    return not device or tf.DeviceSpec.from_string(device).device_type in (None, "CPU")
