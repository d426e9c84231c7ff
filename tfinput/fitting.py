"""What is checked before a feed goes to Keras: that the model and the devices fit how the feed was laid out."""

from __future__ import annotations

from typing import Any

from tfinput import devices, interrupts
from tfinput.errors import refusal
from tfinput.options import Settings
from tfinput.steps import divisors_near, layout


def check_devices(settings: Settings) -> None:
    """Batches were laid out for the devices that were there when the feed was built."""
    interrupts.refresh()
    shards = devices.shards()
    if shards != settings.shards:
        fix = "Set the distribution, or enter the strategy's scope, before the feed is built."
        raise refusal("the feed", f"batches for {shards} devices", f"batches for {settings.shards}, as when it was built", fix)


def check_execution(model: Any, size: int, settings: Settings) -> None:
    """Keras runs whole executions: they must divide the steps of an epoch of `size` examples."""
    asked = int(getattr(model, "steps_per_execution", 1) or 1)
    steps = layout(size, settings.batch_size, settings.drop_remainder).steps
    if steps % asked:
        near = divisors_near(steps, asked)
        sizes = [
            batch
            for batch in range(settings.batch_size, 1, -1)
            if batch % settings.shards == 0 and layout(size, batch, settings.drop_remainder).steps % asked == 0
        ][:1]
        other = f", or batch_size={sizes[0]} in the builder" if sizes else ""
        fix = f"Use steps_per_execution={near[0]} in compile{other}."
        raise refusal("steps_per_execution", f"a divisor of the {steps} steps of an epoch", str(asked), fix)


def check_metrics(model: Any, sizes: dict[str, tuple[int, int]], settings: Settings) -> None:
    """Plain metrics do not see the weights that tell what fills the last batch; `sizes` are examples and batch size of each split."""
    plain = getattr(getattr(model, "_compile_metrics", None), "_user_metrics", None)
    if settings.shards == 1 or not plain:
        return
    for name, (size, batch) in sizes.items():
        if name != "train" and size % batch:
            fix = "Pass them to compile as weighted_metrics, which leave out what fills the last batch."
            got = f"plain metrics, with {size} examples in batches of {batch} for {settings.shards} devices"
            raise refusal(f"metrics of {name}", "weighted_metrics", got, fix)
