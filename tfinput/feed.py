"""Feed: what a builder returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from tfinput import options
from tfinput.engine import feed_repr, identity, model_checks, pipeline
from tfinput.engine.split import Split
from tfinput.errors import refusal, short
from tfinput.runtime import ctrl_c
from tfinput.sampling import seeds
from tfinput.sampling.epoch_counter import EpochCounter
from tfinput.sampling.labels import balanced, classes
from tfinput.sampling.steps import ALONE, integer, layout, position

NAMES = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Feed:
    """The data of a training run: a training dataset whose passes are epochs, finite full passes for the rest, and all counts.

    >>> import numpy as np, tfinput
    >>> feed = tfinput.from_arrays(np.zeros((10, 3)), np.arange(10), batch_size=4, validation_split=2)
    >>> feed
    Feed(arrays: train 8 in 2 steps of 4, validation 2 in 1 step of 2; seed=0)
    >>> train, validation = feed
    >>> len(list(validation))
    1

    Feeds are made by builders such as `tfinput.from_arrays`, and never change. The datasets are plain `tf.data.Dataset` objects
    whose elements are batches: `x`, `(x, y)` or `(x, y, sample_weight)`. Sizes count examples, steps count batches.
    """

    parts: dict[str, Split]
    settings: options.Settings
    drawer: Any = dataclasses.field(default=None)
    epoch: int = 0
    step: int = 0
    _epochs: EpochCounter = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_epochs", EpochCounter(self.epoch))

    @property
    def train(self) -> Any:
        """The training dataset: one pass is one whole epoch, every example once in `steps_per_epoch` batches; the next pass is the next.

        >>> import numpy as np, tfinput
        >>> feed = tfinput.from_arrays(np.arange(5), batch_size=2)
        >>> for epoch in range(2):
        ...     print([batch.tolist() for batch in feed.train.as_numpy_iterator()])
        [[3, 4], [1, 2], [0]]
        [[2, 1], [4, 0], [3]]

        A pass that has made its last batch moves on to the next epoch; a look at the first batches does not. After
        `feed.at(epoch, step)` with a step, each pass is the rest of that epoch.

        Where several hosts train, these are this host's pieces of the batches. A loop of your own under `tf.distribute` takes
        `strategy.distribute_datasets_from_function(lambda each: feed.repeated)`, with one replica on each host.
        """
        part = self.parts["train"]
        if self.step:
            return pipeline.train(part.source, part.members, self.settings, self.epoch, self.step, endless=False)
        return pipeline.passes(self._one_epoch, self.steps_per_epoch, self.settings, EpochCounter(self.epoch, self._epochs))

    @cached_property
    def _one_epoch(self) -> Any:
        part = self.parts["train"]
        return pipeline.one_epoch(part.source, part.members, self.settings, self.epoch)

    @cached_property
    def repeated(self) -> Any:
        """The training dataset without end: epoch after epoch, each of `steps_per_epoch` batches, without a seam.

        Every pass begins where the feed does. This is what `fit_args` hands over: nothing drains at an epoch's border.
        """
        part = self.parts["train"]
        return pipeline.train(part.source, part.members, self.settings, self.epoch, self.step)

    @cached_property
    def validation(self) -> Any:
        """The validation dataset, or None: one finite pass in source order, the same each time."""
        return self._pass("validation")

    @cached_property
    def test(self) -> Any:
        """The test dataset, or None: one finite pass in source order, the same each time."""
        return self._pass("test")

    def _pass(self, name: str) -> Any:
        return self.parts[name].full_pass(self.settings) if name in self.parts else None

    @property
    def batch_size(self) -> int:
        """Examples in a training batch."""
        return self.parts["train"].largest_batch(self.settings)

    @property
    def validation_batch_size(self) -> int | None:
        """Examples in a validation batch; None without validation."""
        return self.parts["validation"].largest_batch(self.settings) if "validation" in self.parts else None

    @property
    def steps_per_epoch(self) -> int:
        """Training batches that hold every example once (or all whole batches, with `drop_remainder`; or what `balance` draws)."""
        return layout(self.parts["train"].members.drawn, self.settings.batch_size, self.settings.drop_remainder).steps

    @property
    def validation_steps(self) -> int:
        """Batches in the whole validation set; 0 without one."""
        return self.parts["validation"].steps(self.settings) if "validation" in self.parts else 0

    @property
    def test_steps(self) -> int:
        """Batches in the whole test set; 0 without one."""
        return self.parts["test"].steps(self.settings) if "test" in self.parts else 0

    @property
    def train_size(self) -> int:
        """Training examples."""
        return self.parts["train"].size

    @property
    def validation_size(self) -> int:
        """Validation examples; 0 without validation."""
        return self.parts["validation"].size if "validation" in self.parts else 0

    @property
    def test_size(self) -> int:
        """Test examples; 0 without a test set."""
        return self.parts["test"].size if "test" in self.parts else 0

    @property
    def seed(self) -> int:
        """The seed of splits, order and augmentation."""
        return self.settings.seed

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes, where the source knows them."""
        return self.parts["train"].source.class_names

    @property
    def skipped(self) -> dict[str, str]:
        """Broken files that were left out because of `on_bad="skip"`: for each path what is wrong with it."""
        return identity.skipped(self.parts)

    @property
    def element_spec(self) -> Any:
        """The spec of a training batch."""
        return self.repeated.element_spec

    @cached_property
    def indices(self) -> dict[str, np.ndarray[Any, Any]]:
        """For each split the places of its examples in what you gave, ascending; read-only.

        They count your own list, with what was skipped of it: `y[feed.indices["validation"]]` are the labels of validation.
        """
        return identity.indices(self.parts)

    @cached_property
    def paths(self) -> dict[str, np.ndarray[Any, Any]]:
        """For each split the files of its examples (str), in the order of `indices` and so of predictions; of masks, the images'.

        A folder's files are sorted by folder, then by name: `img10.png` comes before `img2.png`. Where examples are no files of
        their own (rows, lines, records), this is an AttributeError, which is a ValueError too.
        """
        return identity.paths(self.parts)

    @cached_property
    def labels(self) -> dict[str, np.ndarray[Any, Any]]:
        """For each split its labels in that order, as `preprocess` or the model gets them; without one array of them an AttributeError."""
        return identity.labels(self.parts)

    def __iter__(self) -> Iterator[Any]:
        """Give train and validation, and test where there is one, for `train, validation = feed`."""
        ctrl_c.refresh()
        return iter((self.train, self.validation, self.test) if "test" in self.parts else (self.train, self.validation))

    def fit_args(self, model: Any = None) -> dict[str, Any]:
        """Keyword arguments for `model.fit`: `model.fit(**feed.fit_args(), epochs=10)`.

        Args:
            model: a compiled model, to have it checked that its `steps_per_execution` divides the epoch. Keras runs whole
                executions, so that otherwise each of its epochs would be longer than one pass over the data.

        Raises:
            ValueError: if `steps_per_execution` does not divide `steps_per_epoch`.

        """
        model_checks.check_devices(self.settings, model)
        train = self.parts["train"]
        sizes = {name: (part.size, part.batch_size(self.settings)) for name, part in self.parts.items()}
        if train.source.batches is None:
            model_checks.check_first_batches(self.settings, train.members.drawn, self.step, sizes, model)
        if model is not None:
            model_checks.check_execution(model, train.members.drawn, self.settings)
            model_checks.check_metrics(model, sizes, self.settings)
        given = {"x": self.repeated, "steps_per_epoch": self.steps_per_epoch, "shuffle": False}
        if "validation" in self.parts:
            given |= {"validation_data": self.validation, "validation_steps": self.validation_steps}
        return given

    def evaluate_args(self, split: str = "validation") -> dict[str, Any]:
        """Keyword arguments for `model.evaluate`: one whole pass over a split, unshuffled and unaugmented."""
        model_checks.check_devices(self.settings)
        dataset = self._full(split)
        return {"x": dataset, "steps": int(dataset.cardinality())}

    def predict_args(self, split: str = "validation") -> dict[str, Any]:
        """Keyword arguments for `model.predict`; predictions come in the order of `indices[split]`."""
        return self.evaluate_args(split)

    def examples(self, split: str = "train") -> Any:
        """One finite pass in batches, unshuffled and unaugmented: for `layer.adapt`, statistics, evaluation on train.

        >>> import numpy as np, tfinput
        >>> feed = tfinput.from_arrays(np.arange(5), batch_size=2)
        >>> [batch.tolist() for batch in feed.examples("train").as_numpy_iterator()]
        [[0, 1], [2, 3], [4]]
        """
        if self.settings.shares.replicas > 1:
            return dataclasses.replace(self, settings=dataclasses.replace(self.settings, shares=ALONE))._full(split)
        return self._full(split)

    def _full(self, split: str) -> Any:
        ctrl_c.refresh()
        if split not in self.parts:
            made = [name for name in NAMES if name in self.parts]
            fix = "Pass validation_split or validation_data (test_split, test_data) to the builder."
            raise refusal("split", f"one of {made}", short(split), fix)
        return self._pass("train") if split == "train" else getattr(self, split)

    def at(self, epoch: int = 0, step: int = 0) -> Feed:
        """The same feed from a later point on, at no cost: `repeated` goes on bit for bit as it would have.

        `train` begins with that epoch; with a step, each pass is the rest of it. `step` may run past the epoch's end, so that
        `feed.at(step=int(model.optimizer.iterations))` resumes a run.
        """
        steps = self.steps_per_epoch
        epoch, step = position(integer("epoch", epoch, 0), integer("step", step, 0), steps)
        return dataclasses.replace(self, epoch=epoch, step=step)

    def kfold(self, folds: int, stratify: Any = None, groups: Any = None) -> list[Feed]:
        """Feeds for cross-validation over the same arrays: each example validates in one fold and trains in the others.

        A test split stays aside from all folds. `stratify` and `groups` mean what they mean in the builder, whose own hold
        where neither is given.

        >>> import numpy as np, tfinput
        >>> [feed.indices["validation"].tolist() for feed in tfinput.from_arrays(np.arange(5)).kfold(2)]
        [[2, 3, 4], [0, 1]]
        """
        integer("folds", folds, 2)
        if "validation" in self.parts:
            fix = "Build the feed without validation_split and validation_data."
            raise refusal("kfold", "a feed without validation", "one with validation", fix)
        whole = self.parts["train"]
        if whole.source.hold is not None:
            whole.source.hold()
        folds_held = self.drawer(stratify, groups).folds(folds)
        return [dataclasses.replace(self, parts=self.parts | whole.without(held)) for held in folds_held]

    def class_weight(self) -> dict[int, float]:
        """Balanced class weights for `model.fit(class_weight=…)`: examples / (classes * examples of the class), of train.

        >>> import numpy as np, tfinput
        >>> tfinput.from_arrays(np.zeros(4), np.array([0, 0, 0, 1])).class_weight()
        {0: 0.6666666666666666, 1: 2.0}

        Source: King and Zeng, "Logistic regression in rare events data", Political Analysis 9, 2001.
        """
        part = self.parts["train"]
        labels = part.source.labels()
        if labels is None:
            raise refusal("class_weight", "one array of class labels y", "none", "Compute the weights from your own labels.")
        return balanced(classes("class_weight", labels[part.members.indices]))

    def _rows(self) -> list[feed_repr.Row]:
        steps = {"train": self.steps_per_epoch, "validation": self.validation_steps, "test": self.test_steps}
        parts = [(name, self.parts[name]) for name in NAMES if name in self.parts]
        return [feed_repr.Row(name, part.size, steps[name], part.largest_batch(self.settings)) for name, part in parts]

    def __repr__(self) -> str:
        train = self.parts["train"]
        where = f"; {train.source.summary()}" if train.source.summary() else ""
        where += f"; {train.members.quotas.summary}" if train.members.quotas is not None else ""
        where += f"; skipped broken files: {len(self.skipped)}" if self.skipped else ""
        where += f"; from epoch {self.epoch}, step {self.step}" if self.epoch or self.step else ""
        return feed_repr.line(self.parts["train"].source.name, self._rows(), f"seed={seeds.written(self.seed)}{where}")

    def _repr_html_(self) -> str:
        return feed_repr.table(self.parts["train"].source.name, self._rows(), seeds.written(self.seed), self.element_spec)
