"""Where a split holds examples back, a generator or a sequence that gives other examples in a later pass is refused; others go on."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from identities import ids, same_shard, shuffled_shard

import tfinput
from tfinput.workers import sameness

SIZE = 120
RNG = np.random.default_rng()
FILES = list(range(SIZE))


def fitted(feed: tfinput.Feed, epochs: int) -> Any:
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model.fit(**feed.fit_args(), epochs=epochs, verbose=0)


def refused(run: Callable[[], Any]) -> str:
    with pytest.raises(Exception, match="expected the same example in each pass, since a split holds some back, got another") as caught:
        run()
    line: str = next(line for line in str(caught.value).splitlines() if "tfinput:" in line)
    del caught
    gc.collect()
    return line[line.index("tfinput:") :]


def example(number: int) -> Any:
    return np.full(3, number, "float32"), number % 2


def permuted() -> Iterator[Any]:
    return (example(number) for number in RNG.permutation(SIZE))


def shuffled_in_place() -> Iterator[Any]:
    random.Random(int(RNG.integers(1 << 30))).shuffle(FILES)
    return map(example, FILES)


def as_the_folder_lists_them() -> Iterator[Any]:
    """Another start each time, as a folder has it that files come to."""
    start = next(STARTS)
    return (example((start + number) % SIZE) for number in range(SIZE))


STARTS = iter(range(1, 1000))


def without_targets() -> Iterator[Any]:
    return (np.full(3, number, "float32") for number in RNG.permutation(SIZE))


def texts() -> Iterator[Any]:
    return (str(number) for number in RNG.permutation(SIZE))


def lengths_that_vary() -> Iterator[Any]:
    return (np.arange(number + 1) for number in RNG.permutation(SIZE))


def fresh() -> Iterator[Any]:
    """No example ever comes again."""
    return ((RNG.random(3), RNG.random(2)) for _ in range(SIZE))


def shuffled_and_augmented() -> Iterator[Any]:
    return ((number + RNG.random(3), np.eye(2, dtype="float32")[number % 2]) for number in RNG.permutation(SIZE))


def shuffled_within_classes() -> Iterator[Any]:
    for label in range(2):
        for number in RNG.permutation(SIZE // 2):
            yield np.full(3, 2 * number + label, "float32"), label


def one_class_augmented() -> Iterator[Any]:
    """Nothing tells whether these are the same examples."""
    return ((number + RNG.random(3), 1, 1.0) for number in RNG.permutation(SIZE))


REFUSED = [
    permuted,
    shuffled_in_place,
    as_the_folder_lists_them,
    without_targets,
    texts,
    fresh,
    shuffled_and_augmented,
    shuffled_within_classes,
]


@pytest.mark.parametrize("examples", REFUSED)
@pytest.mark.parametrize("size", [None, SIZE])
def test_a_generator_of_another_order_is_refused_at_the_call(examples: Any, size: int | None) -> None:
    said = refused(lambda: tfinput.from_generator(examples, size=size, batch_size=20, validation_split=0.2))
    assert said.startswith(f"tfinput: {examples.__name__}, example #")
    assert "random.Random(0).shuffle" in said
    assert "validation_data=" in said
    refused(lambda: tfinput.from_generator(examples, size=size, test_split=[1]))
    feed = tfinput.from_generator(examples, size=size, batch_size=20)
    refused(lambda: feed.kfold(3))


def test_lengths_that_vary_are_seen_as_well() -> None:
    refused(lambda: tfinput.from_generator(lengths_that_vary, ragged=True, validation_split=0.2))


def test_without_a_split_a_generator_may_shuffle() -> None:
    feed = tfinput.from_generator(permuted, size=SIZE, batch_size=20, validation_data=permuted)
    assert len(fitted(feed, 2).history["val_loss"]) == 2


def test_with_a_cache_one_pass_is_kept_and_may_have_any_order() -> None:
    feed = tfinput.from_generator(permuted, size=SIZE, batch_size=20, validation_split=0.2, cache="memory")
    train = {int(row[0]) for x, _ in feed.train.take(feed.steps_per_epoch) for row in x.numpy()}
    held = {int(row[0]) for x, _ in feed.validation for row in x.numpy()}
    assert train | held == set(range(SIZE))
    assert not train & held


def late(at: int) -> Callable[[], Iterator[Any]]:
    """Examples whose order changes after so many."""

    def examples() -> Iterator[Any]:
        order = [*range(at), *(at + RNG.permutation(SIZE - at)).tolist()]
        return (example(number) for number in order)

    return examples


@pytest.mark.parametrize("examples", [late(100), one_class_augmented], ids=["late", "one class"])
def test_what_the_first_examples_do_not_tell_stops_fit_in_the_first_epoch(examples: Any) -> None:
    feed = tfinput.from_generator(examples, size=SIZE, batch_size=20, validation_split=0.2)
    refused(lambda: fitted(feed, 1))


def test_processes_that_shuffle_their_shards_stop_fit() -> None:
    make = {"workers": 2, "size": 120, "batch_size": 20, "validation_split": 0.2}
    refused(lambda: fitted(tfinput.from_generator(shuffled_shard, **make), 1))
    assert len(fitted(tfinput.from_generator(same_shard, **make), 2).history["val_loss"]) == 2


def test_a_seed_inside_the_function_is_the_remedy() -> None:
    def examples() -> Iterator[Any]:
        order = list(range(SIZE))
        random.Random(0).shuffle(order)
        return map(example, order)

    feed = tfinput.from_generator(examples, batch_size=20, validation_split=0.2)
    assert len(fitted(feed, 3).history["val_loss"]) == 3
    assert len(tfinput.from_generator(examples, batch_size=20).kfold(3)) == 3


def augmented() -> Iterator[Any]:
    return ((number + RNG.random(3), number % 2) for number in range(SIZE))


def sorted_and_augmented() -> Iterator[Any]:
    return ((number + RNG.random(3), number // 60, 1.0) for number in range(SIZE))


def noisy_inputs_of_clean_targets() -> Iterator[Any]:
    return ((number + RNG.random(3), np.full(3, number, "float32")) for number in range(SIZE))


def all_alike() -> Iterator[Any]:
    return ((np.zeros(3), 0) for _ in range(SIZE))


def missing_values() -> Iterator[Any]:
    return ((np.array([number, np.nan]), number % 2) for number in range(SIZE))


@pytest.mark.parametrize("examples", [augmented, sorted_and_augmented, noisy_inputs_of_clean_targets, all_alike, missing_values])
def test_values_may_vary_where_examples_stay(examples: Any) -> None:
    feed = tfinput.from_generator(examples, size=SIZE, batch_size=20, validation_split=0.2)
    assert len(fitted(feed, 3).history["val_loss"]) == 3


@pytest.mark.parametrize(("second", "found"), [(100, "100"), (130, "130")])
def test_a_second_pass_of_another_size_is_an_error(second: int, found: str) -> None:
    sizes = iter([SIZE, SIZE, SIZE, second, second, second])

    def examples() -> Iterator[Any]:
        return map(example, range(next(sizes)))

    feed = tfinput.from_generator(examples, batch_size=20, validation_split=0.2)
    with pytest.raises(Exception, match=f"examples: expected 120 examples in a pass .*, got {found}. "):
        fitted(feed, 2)


USED = {
    "map": lambda: map(example, range(SIZE)),
    "zip": lambda: zip(range(SIZE), range(SIZE), strict=True),
    "list": lambda: iter([example(number) for number in range(SIZE)]),
    "generator": permuted,
}


@pytest.mark.parametrize("kind", USED)
def test_one_iterator_for_all_passes_is_told(kind: str) -> None:
    iterator = USED[kind]()
    feed = tfinput.from_generator(lambda: iterator, size=SIZE, batch_size=20)
    with pytest.raises(Exception, match="expected a new iterator for each pass, got the last one again, which is used up"):
        list(feed.examples())


# Sequences.


class Shuffled(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of shuffled rows, shuffled anew after each epoch, as the pages on PyDataset show it."""

    def __init__(self, shuffles: bool = True, targets: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.order, self.shuffles, self.targets = np.arange(SIZE), shuffles, targets

    def __len__(self) -> int:
        return SIZE // 8

    def __getitem__(self, index: int) -> Any:
        rows = self.order[8 * index : 8 * index + 8].astype("float32")
        return (rows[:, None], rows % 2) if self.targets else rows[:, None]

    def on_epoch_end(self) -> None:
        if self.shuffles:
            np.random.default_rng(len(self.order) + int(self.order[0])).shuffle(self.order)


@pytest.mark.parametrize(("workers", "targets"), [(0, True), (0, False), (2, True)])
def test_a_pydataset_that_shuffles_between_epochs_is_refused_before_it_validates(workers: int, targets: bool) -> None:
    feed = tfinput.from_sequence(Shuffled(targets=targets), workers=workers, validation_split=0.2)
    said = refused(lambda: list(feed.train.take(feed.steps_per_epoch + 1)))
    assert said.startswith("tfinput: Shuffled, item ")
    assert "on_epoch_end" in said
    if targets and not workers:  # They take long to start: each imports Keras.
        refused(lambda: fitted(tfinput.from_sequence(Shuffled(), workers=workers, validation_split=0.2), 2))


def test_a_pydataset_that_keeps_its_order_trains() -> None:
    feed = tfinput.from_sequence(Shuffled(shuffles=False), validation_split=0.2)
    assert len(fitted(feed, 3).history["val_loss"]) == 3
    feed = tfinput.from_sequence(Shuffled())
    assert len(fitted(feed, 2).history["loss"]) == 2


class Drawn:
    """Whatever is asked for, any item comes."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


ITEMS = {
    "any item": lambda index: example(int(RNG.integers(SIZE))),
    "another partner": lambda index: (np.array([index, RNG.integers(SIZE)]), int(RNG.integers(2))),
    "another target": lambda index: (np.array([index]), RNG.random()),
}


@pytest.mark.parametrize("name", ITEMS)
def test_items_that_are_drawn_are_refused(name: str) -> None:
    def run() -> None:
        fitted(tfinput.from_sequence(Drawn(ITEMS[name]), batch_size=20, validation_split=0.2), 2)

    refused(run)
    assert len(fitted(tfinput.from_sequence(Drawn(ITEMS[name]), batch_size=20), 2).history["loss"]) == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_items_may_be_augmented(workers: int) -> None:
    """Images with labels, and with masks that move along, which a data set augments by itself."""

    class Images:
        def __init__(self, masks: bool) -> None:
            self.masks = masks

        def __len__(self) -> int:
            return SIZE

        def __getitem__(self, index: int) -> Any:
            image = np.float32(index) + np.random.default_rng().random((4, 4), "float32")
            return image, (image > image.mean()).astype("float32") if self.masks else index % 2

    feed = tfinput.from_sequence(Images(False), batch_size=20, validation_split=0.2, workers=workers)
    assert len(fitted(feed, 3).history["val_loss"]) == 3
    if workers == 0:
        feed = tfinput.from_sequence(Images(True), batch_size=20, validation_split=0.2)
        assert len(ids(feed.repeated, 3 * feed.steps_per_epoch)) == 3 * feed.steps_per_epoch


# The hashes.


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "float32", "float64", "complex128", "O"])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (300, 200)])
def test_rows_have_one_hash_if_and_only_if_they_are_the_same(dtype: str, shape: tuple[int, ...]) -> None:
    draw = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, (20, *shape))
    column = draw.astype(dtype) if dtype != "O" else draw.astype("S").astype("O")
    found = sameness.hashes(column)
    assert found.dtype == np.uint64
    assert sameness.hashes(column.copy()).tolist() == found.tolist()
    assert sameness.hashes(column[::-1]).tolist() == found[::-1].tolist()
    assert len(set(found.tolist())) == len({row.tobytes() if dtype != "O" else tuple(row.ravel()) for row in column.reshape(20, -1)})


def test_any_single_value_of_a_small_example_counts() -> None:
    column = np.zeros((1, 37), "uint8")
    seen = {int(sameness.hashes(column)[0])}
    for place in range(37):
        changed = column.copy()
        changed[0, place] = 1
        seen.add(int(sameness.hashes(changed)[0]))
    assert len(seen) == 38
