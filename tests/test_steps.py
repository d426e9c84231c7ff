"""Step arithmetic, by brute force over small numbers and by exact integers over large ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfinput.sampling import steps

SIZES = range(21)
BATCHES = range(1, 8)


def cut(size: int, batch: int, drop: bool) -> list[list[int]]:
    """One pass, cut by hand."""
    examples = list(range(size))
    batches = []
    while examples:
        batches.append(examples[:batch])
        examples = examples[batch:]
    return [each for each in batches if len(each) == batch] if drop else batches


@pytest.mark.floor
@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("batch", BATCHES)
def test_a_layout_equals_cutting_by_hand(batch: int, drop: bool) -> None:
    for size in SIZES:
        batches = cut(size, batch, drop)
        if not batches:
            with pytest.raises(ValueError, match=r"^tfinput: train set: expected at least"):
                steps.layout(size, batch, drop)
            continue
        laid = steps.layout(size, batch, drop)
        assert laid.steps == len(batches)
        assert laid.seen == sum(map(len, batches))
        assert laid.last == len(batches[-1])
        assert laid.uniform == (len({len(each) for each in batches}) == 1)


@pytest.mark.parametrize("size", [2**31, 2**53 + 1, 2**62, 2**62 - 1, 2**62 + 1, 2**70])
@pytest.mark.parametrize("batch", [1, 3, 7, 2**20, 2**31 - 1])
def test_large_numbers_are_exact(size: int, batch: int) -> None:
    kept, dropped = steps.layout(size, batch, False), steps.layout(size, batch, True)
    assert (kept.steps - 1) * batch + kept.last == size == kept.seen
    assert 0 < kept.last <= batch
    assert 0 <= size - dropped.seen < batch
    assert dropped.seen == dropped.steps * batch
    assert dropped.last == batch


@pytest.mark.parametrize(
    ("size", "batch", "drop", "message"),
    [
        (0, 4, False, "tfinput: a set: expected at least one example, got no examples (0). Check the data, or the split sizes."),
        (0, 4, True, "tfinput: a set: expected at least one example, got no examples (0). Check the data, or the split sizes."),
        (
            3,
            4,
            True,
            "tfinput: a set: expected at least batch_size=4 examples, since drop_remainder=True drops short batches, "
            "got 3 examples, which would give 0 steps. Use batch_size=3 or less, or drop_remainder=False.",
        ),
    ],
)
def test_no_steps_are_refused_with_the_reason_and_the_remedy(size: int, batch: int, drop: bool, message: str) -> None:
    with pytest.raises(ValueError, match=r"^tfinput") as refused:
        steps.layout(size, batch, drop, "a")
    assert str(refused.value) == message


@pytest.mark.parametrize("value", [1, np.int8(1), np.uint64(1), np.array(1)])
def test_any_integer_is_a_whole_number(value: Any) -> None:
    taken = steps.integer("n", value)
    assert taken == 1
    assert type(taken) is int


@pytest.mark.parametrize(
    ("value", "least", "kind", "message"),
    [
        (0, 1, ValueError, "tfinput: n: expected a positive whole number, got 0. Pass an int of at least 1."),
        (-3, 1, ValueError, "tfinput: n: expected a positive whole number, got -3. Pass an int of at least 1."),
        (1, 2, ValueError, "tfinput: n: expected a whole number of at least 2, got 1. Pass an int of at least 2."),
        (True, 1, ValueError, "tfinput: n: expected a positive whole number, got True. Pass an int of at least 1."),
        (2.0, 1, TypeError, "tfinput: n: expected a positive whole number, got 2.0 (float). Pass an int."),
        ("2", 1, TypeError, "tfinput: n: expected a positive whole number, got '2' (str). Pass an int."),
        (None, 1, TypeError, "tfinput: n: expected a positive whole number, got None (NoneType). Pass an int."),
    ],
)
def test_what_is_no_whole_number_is_refused(value: Any, least: int, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as refused:
        steps.integer("n", value, least)
    assert str(refused.value) == message


def test_a_position_carries_steps_over_into_epochs() -> None:
    for per_epoch in BATCHES:
        for epoch in range(4):
            for step in range(4 * per_epoch):
                carried = steps.position(epoch, step, per_epoch)
                assert carried[0] * per_epoch + carried[1] == epoch * per_epoch + step
                assert 0 <= carried[1] < per_epoch
    assert steps.position(2**62, 2**62 * 3 + 1, 3) == (2**63, 1)


def test_an_even_batch_size_is_the_largest_divisor_from_half_the_size_up() -> None:
    for size in range(1, 200):
        for batch in range(1, 40):
            divisors = [size] if size <= batch else [d for d in range(1, batch + 1) if size % d == 0 and 2 * d >= batch]
            assert steps.even_batch_size(size, batch) == max(divisors, default=batch)


def test_divisors_come_nearest_first() -> None:
    for number in range(1, 200):
        every = [d for d in range(1, number + 1) if number % d == 0]
        for wanted in (1, 5, 13, 300):
            expected = sorted(every, key=lambda d: (abs(d - wanted), d))
            assert steps.divisors_near(number, wanted) == expected[:3]
            assert steps.divisors_near(number, wanted, count=1000) == expected
    square = (2**13 + 1) ** 2
    assert steps.divisors_near(square, 2**13)[0] == 2**13 + 1
