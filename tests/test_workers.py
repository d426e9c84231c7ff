"""Worker processes: whatever becomes of them, each item comes exactly once, or the error names it; and nothing is left behind."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import random
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from faulty import DEATHS, ERRORS, HANGS, Items
from fetched import BATCH, SIZE, everything, fetcher, one_pass

from tfinput.errors import WorkerDied
from tfinput.runtime import ctrl_c
from tfinput.workers import thread, worker_group
from tfinput.workers.requests import Fetcher, part_rows
from tfinput.workers.shared_memory import Slots

PLACES = (0, 11, SIZE - 1)
pytestmark = pytest.mark.timeout(120)


class State:
    """What a process has open."""

    def __init__(self) -> None:
        gc.collect()
        me = psutil.Process()
        self.children = {child.pid for child in me.children(recursive=True)}
        self.threads = threading.active_count()
        self.files = me.num_fds()
        self.shared = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()

    def __le__(self, other: State) -> bool:
        return (
            self.children <= other.children and self.threads <= other.threads and self.files <= other.files and self.shared <= other.shared
        )

    def __repr__(self) -> str:
        return f"{self.children}, {threading.enumerate()}, {self.files} files, {self.shared}"


def settled(before: State, seconds: float = 5) -> None:
    """Everything is as it was within some seconds."""
    end = time.monotonic() + seconds
    while not State() <= before and time.monotonic() < end:
        time.sleep(0.05)
    assert State() <= before, (before, State())


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if "when_nobody_waits" not in request.node.name:
        monkeypatch.setattr(worker_group, "IDLE_SECONDS", 0.2)
        monkeypatch.setattr(thread, "IDLE_SECONDS", 0.2)
    ctrl_c.install()  # Its pipe stays.
    before = State()
    yield
    settled(before)


def quietly(fetch: Fetcher) -> None:
    """A pass without warnings of what is run again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        everything(fetch)


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_every_item_comes_once_and_in_order(workers: int) -> None:
    fetch = fetcher(Items(SIZE), workers)
    for _ in range(3):
        assert everything(fetch) == list(range(SIZE))


def test_a_batch_is_shared_by_all_workers_while_each_gets_some_of_it() -> None:
    for rows, workers in itertools.product(range(1, 140), range(1, 70)):
        step = part_rows(rows, workers)
        assert 1 <= step <= rows
        parts = -(-rows // step)
        assert parts <= workers
        assert parts <= 8 or step >= 4
        if workers <= 8:
            assert step == -(-rows // workers)
    assert [part_rows(32, workers) for workers in (1, 2, 8, 9, 64)] == [32, 16, 4, 4, 4]


def test_workers_are_started_once_for_all_sessions_and_end_when_nobody_waits() -> None:
    fetch = fetcher(Items(SIZE), 2)
    assert everything(fetch) == list(range(SIZE))
    mine = {child.pid for child in psutil.Process().children()}
    first, second = one_pass(fetch), one_pass(fetch)
    assert [next(first), next(second), next(first)] == [[*range(6)], [*range(6)], [*range(6, 12)]]
    assert mine == {child.pid for child in psutil.Process().children()}
    assert "2 running" in fetch.engine.described()
    first.close()
    second.close()
    end = time.monotonic() + 5
    while psutil.Process().children() and time.monotonic() < end:
        time.sleep(0.05)
    assert "0 running" in fetch.engine.described()
    assert everything(fetch) == list(range(SIZE))  # and are there again when needed


@pytest.mark.parametrize("fault", ERRORS)
def test_an_error_of_an_item_names_it_and_keeps_its_traceback(fault: str) -> None:
    for place in PLACES:
        fetch = fetcher(Items(SIZE, fault, place), 2)
        started = time.monotonic()
        with pytest.raises((ValueError, TypeError), match=f"items, item {place}") as caught:
            everything(fetch)
        assert ERRORS[fault] in str(caught.value)
        assert time.monotonic() - started < 10
        if fault == "raise":
            assert "in _raise" in str(caught.value.__cause__)
    for place in PLACES if fault != "out of memory" else ():
        with pytest.raises((ValueError, TypeError), match=f"items, item {place}.*{ERRORS[fault]}"):
            everything(fetcher(Items(SIZE, fault, place), 0))


@pytest.mark.parametrize("fault", DEATHS)
def test_the_items_of_a_dead_worker_are_made_by_another(fault: str, tmp_path: Path) -> None:
    for place in PLACES:
        fetch = fetcher(Items(SIZE, fault, place, str(tmp_path / f"{place}")), 2)
        with pytest.warns(
            RuntimeWarning, match=rf"worker \d+ died \({DEATHS[fault]}.*\) on items, item {place}; run again \(1/3\)"
        ) as told:
            assert everything(fetch) == list(range(SIZE))
        assert len(told) == 1


@pytest.mark.parametrize("fault", DEATHS)
def test_an_item_that_kills_three_workers_is_an_error(fault: str) -> None:
    for place in PLACES[:: 1 if fault == "kill" else 2]:
        fetch = fetcher(Items(SIZE, fault, place), 2)
        started = time.monotonic()
        with pytest.raises(WorkerDied, match=rf"{DEATHS[fault]}.*item {place}: 3 workers were lost") as caught:
            quietly(fetch)
        assert time.monotonic() - started < 10
        if fault == "segfault":
            assert "string_at" in str(caught.value)


@pytest.mark.parametrize("fault", HANGS)
def test_a_stuck_item_is_given_up_and_made_by_another(fault: str, tmp_path: Path) -> None:
    fetch = fetcher(Items(SIZE, fault, 11, str(tmp_path / "once")), 2, timeout=1.0)
    with pytest.warns(RuntimeWarning, match=r"worker \d+ hung \(no progress for 1 s.*item 11; run again") as told:
        assert everything(fetch) == list(range(SIZE))
    assert len(told) == 1
    said = str(told[0].message)
    assert ("does not answer" if fault == "stop" else "faulty.py") in said


def test_an_item_that_is_always_stuck_is_an_error_that_tells_where() -> None:
    for workers in (2, 0):
        started = time.monotonic()
        with pytest.raises((WorkerDied, ValueError), match=r"(?s)item 11.*faulty\.py"):
            quietly(fetcher(Items(SIZE, "loop", 11), workers, timeout=0.5))
        assert time.monotonic() - started < 10


@pytest.mark.parametrize("seed", range(5))
def test_workers_killed_at_any_moment_lose_nothing(seed: int) -> None:
    """Ten random kills a run: while starting, working, or idle."""
    drawn = random.Random(seed)
    fetch = fetcher(Items(600), 2)
    kills = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batches = one_pass(fetch, 600)
        found = next(batches)
        for batch in batches:
            found += batch
            workers = psutil.Process().children()
            if kills < 10 and workers and drawn.random() < 0.3:
                time.sleep(drawn.random() * 0.02)
                with contextlib.suppress(psutil.NoSuchProcess):
                    drawn.choice(workers).kill()
                    kills += 1
    assert kills == 10
    assert found == list(range(600))


def test_what_cannot_be_pickled_is_named() -> None:
    class Locked(Items):
        def __init__(self) -> None:
            super().__init__(SIZE)
            self.lock = threading.Lock()

    with pytest.raises(TypeError, match="workers for items: expected data that can be pickled, got its attribute 'lock'"):
        fetcher(Locked(), 2)


def test_closures_and_classes_of_a_notebook_work_in_workers() -> None:
    scale = 1.0

    class Local:
        def __len__(self) -> int:
            return SIZE

        def __getitem__(self, index: int) -> Any:
            return np.full(3, index * scale, np.float32), np.int64(index)

    assert everything(fetcher(Local(), 2)) == list(range(SIZE))


def test_numbers_of_workers_are_seeded_by_item() -> None:
    class Noise(Items):
        def __getitem__(self, index: int) -> Any:
            return np.array([random.random(), np.random.random(), 0]).astype("f"), np.int64(index)  # noqa: NPY002

    def drawn(workers: int, seed: int) -> list[Any]:
        fetch = fetcher(Noise(SIZE), workers)
        session = fetch.session()
        number = next(session)
        seeds = np.stack([np.arange(SIZE), np.full(SIZE, seed)], 1).astype(np.int32)
        x, _ = fetch.collect(fetch.request(number, np.arange(SIZE), seeds, False))
        found = x.tolist()
        session.close()
        return found

    one = drawn(1, 7)
    assert one == drawn(2, 7)
    assert len({tuple(each) for each in one}) == SIZE
    assert not {tuple(each) for each in one} & {tuple(each) for each in drawn(2, 8)}


def test_a_batch_that_is_kept_is_not_written_over() -> None:
    fetch = fetcher(Items(60), 2)
    session = fetch.session()
    number = next(session)
    kept = []
    for start in range(0, 60, BATCH):
        indices = np.arange(start, start + BATCH)
        kept.append(fetch.collect(fetch.request(number, indices, np.zeros((BATCH, 2), np.int32), False)))
    assert [row for _, y in kept for row in y.tolist()] == list(range(60))
    session.close()


def test_memory_that_comes_back_after_the_workers_ended_is_let_go() -> None:
    slots = Slots()
    _, lent = slots.lend(10)
    slots.close()
    files = psutil.Process().num_fds()
    del lent
    assert psutil.Process().num_fds() == files - 1  # The mapping has one.
    assert slots.nbytes > 0


SCRIPT = """
import faulthandler, os, sys, threading, time
faulthandler.dump_traceback_later(60, exit=True)
sys.path.insert(0, {root!r})
from faulty import Items
from fetched import fetcher, one_pass
batches = one_pass(fetcher(Items(10**6), 2), 10**6)
next(batches)
print("ready", flush=True)
{then}
"""


@pytest.mark.parametrize("then", ["kill", "sys.exit(0)", "del batches", "pass"])
def test_workers_go_with_their_parent(then: str) -> None:
    script = SCRIPT.format(root=str(Path(__file__).parent), then="for batch in batches: pass" if then == "kill" else then)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    workers = psutil.Process(process.pid).children(recursive=True)
    if then == "kill":
        assert len(workers) == 2
        time.sleep(0.1)
        process.kill()
    process.communicate(timeout=30)
    assert process.returncode == (-9 if then == "kill" else 0)
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive


LIMITED = """
import os, resource, sys
sys.path.insert(0, {root!r})
from faulty import Items
from fetched import everything, fetcher
fetch = fetcher(Items(24), 2)
files = len(os.listdir("/proc/self/fd"))
for more in range(0, 40):
    resource.setrlimit(resource.RLIMIT_NOFILE, (files + more, 4096))
    try:
        assert everything(fetch) == list(range(24))
        print("enough", more)
        break
    except ValueError as error:
        assert "tfinput: workers: expected" in str(error) and "workers=0" in str(error), error
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files as Linux does")
def test_too_few_open_files_are_told_at_every_limit() -> None:
    script = LIMITED.format(root=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("enough ")
