"""What is checked before a feed goes to Keras: that the model and the devices fit how the feed was laid out."""

from __future__ import annotations

from typing import Any

from tfinput.engine import devices
from tfinput.errors import refusal
from tfinput.options import Settings
from tfinput.runtime import ctrl_c
from tfinput.sampling.steps import Shares, divisors_near, layout


def check_devices(settings: Settings, model: Any = None) -> None:
    """Batches were laid out for the devices that were there when the feed was built."""
    ctrl_c.refresh()
    now, built = devices.shares(getattr(model, "distribute_strategy", None)), settings.shares
    distribution = devices.distribution()
    if built.hosts > 1 and distribution is None:
        fix = "Train in a loop of your own, or with Keras on JAX, which can; see help(tfinput.Feed.train)."
        wanted = "one host, since Keras' fit and evaluate do not run under MultiWorkerMirroredStrategy"
        raise refusal("the feed", wanted, f"{built.hosts} hosts", fix)
    if now[2:] != built[2:] or now.shards not in (1, built.shards):
        fix = "Set the distribution, or enter the strategy's scope, before the feed is built."
        raise refusal("the feed", f"batches for {_described(now)}", f"batches for {_described(built)}, as when it was built", fix)
    if now.hosts > 1 and getattr(distribution, "auto_shard_dataset", getattr(distribution, "_auto_shard_dataset", True)):
        fix = "Pass auto_shard_dataset=False to keras.distribution.DataParallel."
        raise refusal("the distribution", "one that shards no datasets, since this host has its piece already", "one that does", fix)


def check_first_batches(settings: Settings, drawn: int, step: int, sizes: dict[str, tuple[int, int]], model: Any) -> None:
    """Keras builds a model under a strategy from a first batch of which all replicas get as much, or fails with a puzzle.

    An epoch has `drawn` examples and goes on from `step`; `sizes` are examples and batch size of each split.
    """
    replicas = devices.shares(getattr(model, "distribute_strategy", None)).replicas
    laid = layout(drawn, settings.batch_size, settings.drop_remainder)
    firsts = {name: batch if settings.shares.fill(size, batch) else min(size, batch) for name, (size, batch) in sizes.items()}
    firsts["train"] = laid.last if step == laid.steps - 1 else laid.batch_size
    for name, first in firsts.items():
        if first % replicas:
            fix = "Enter the strategy's scope before the feed is built, or choose another batch_size, or drop_remainder=True."
            raise refusal(f"the first batch of {name}", f"a multiple of the {replicas} replicas", f"{first}", fix)


def _described(shares: Shares) -> str:
    return f"{shares.shards} devices" + (f" of {shares.hosts} hosts, the {shares.host}th" if shares.hosts > 1 else "")


def check_execution(model: Any, size: int, settings: Settings) -> None:
    """Keras runs whole executions: they must divide the steps of an epoch of `size` examples."""
    asked = int(getattr(model, "steps_per_execution", 1) or 1)
    steps = layout(size, settings.batch_size, settings.drop_remainder).steps
    if steps % asked:
        near = divisors_near(steps, asked)
        sizes = [
            batch
            for batch in range(settings.batch_size, 1, -1)
            if batch % settings.shares.replicas == 0 and layout(size, batch, settings.drop_remainder).steps % asked == 0
        ][:1]
        other = f", or batch_size={sizes[0]} in the builder" if sizes else ""
        fix = f"Use steps_per_execution={near[0]} in compile{other}."
        raise refusal("steps_per_execution", f"a divisor of the {steps} steps of an epoch", str(asked), fix)


def check_metrics(model: Any, sizes: dict[str, tuple[int, int]], settings: Settings) -> None:
    """Plain metrics do not see the weights that tell what fills the last batch; `sizes` are examples and batch size of each split."""
    plain = getattr(getattr(model, "_compile_metrics", None), "_user_metrics", None)
    for name, (size, batch) in sizes.items():
        if plain and name != "train" and settings.shares.fill(size, batch):
            fix = "Pass them to compile as weighted_metrics, which leave out what fills the last batch."
            got = f"plain metrics, with {size} examples in batches of {batch} for {settings.shares.replicas} devices"
            raise refusal(f"metrics of {name}", "weighted_metrics", got, fix)
