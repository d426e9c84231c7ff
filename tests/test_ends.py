"""A process that ends while an iterator is alive ends at once, with its own exit code, and nothing is printed but what is the user's."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tfinput

pytestmark = pytest.mark.timeout(290)
READ = """
import faulthandler, os, signal, sys, threading, time
faulthandler.dump_traceback_later(200, exit=True)
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np
import tensorflow as tf
import tfinput

size = 10_000

class Items:
    def __len__(self):
        return size
    def __getitem__(self, index):
        time.sleep(0.001)
        return np.float32(index)

def numbers(shard=0):
    for number in range(size):
        time.sleep(0.001)
        yield np.float32(number)

def python(x):
    return tf.ensure_shape(tf.numpy_function(lambda value: value, [x], tf.float64), ())

KINDS = {
    "items": lambda: tfinput.from_sequence(Items(), batch_size=4),
    "items of workers": lambda: tfinput.from_sequence(Items(), batch_size=4, workers=2),
    "a generator": lambda: tfinput.from_generator(numbers, size=size, batch_size=4, shuffle=False),
    "a generator of workers": lambda: tfinput.from_generator(numbers, size=2 * size, batch_size=4, shuffle=False, workers=2),
    "arrays": lambda: tfinput.from_arrays(np.arange(float(size)), batch_size=4),
    "a function of the user's": lambda: tfinput.from_arrays(np.arange(float(size)), batch_size=4, preprocess=python),
}
feeds = {kind: KINDS[kind]() for kind in READING}
iterators = {kind: iter(feed.train.take(1000)) for kind, feed in feeds.items()}
for _ in range(2):
    for iterator in iterators.values():
        next(iterator)
print("reads", flush=True)
"""
KINDS = re.findall(r'^    "(.*)": lambda', READ, re.MULTILINE)
# How a process ends, its exit code, and the last line that it prints.
ENDS = {
    "by its last line": ("pass", 0, ""),
    "by an error": ("raise KeyError('mine')", 1, "KeyError: 'mine'"),
    "by sys.exit": ("sys.exit(3)", 3, ""),
    "by Ctrl-C": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -signal.SIGINT, "KeyboardInterrupt"),
    "by Ctrl-C while it reads": (
        "threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()\nfor each in iterators.values():\n    for _ in each: pass",
        -signal.SIGINT,
        "KeyboardInterrupt",
    ),
    "while iterators begin": ("others = [iter(feed.train.take(10)) for feed in feeds.values() for _ in range(3)]", 0, ""),
    "while another thread reads": (
        "threading.Thread(target=lambda: [each for each in iterators.values() for _ in each], daemon=True).start(); time.sleep(0.3)",
        0,
        "",
    ),
}
# What TensorFlow says of the machine whenever it is imported.
OF_THE_MACHINE = re.compile(r"^I\d{4} |^WARNING: All log messages before absl|^E0000 .*(cuda|computation_placer)|^To enable the following")


def ended(script: str) -> tuple[int, list[str]]:
    """The exit code of a script, and what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(Path(tfinput.__file__).parents[1])
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=280, check=False, env=environment)
    lines = [line for line in ran.stderr.splitlines() if not OF_THE_MACHINE.search(line)]
    assert ran.stdout == "reads\n", lines
    return ran.returncode, lines


@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_printed_where_a_process_ends_with_all_kinds_of_live_iterators(end: str) -> None:
    how, code, last = ENDS[end]
    found, lines = ended(READ.replace("READING", repr(KINDS)) + how)
    assert found == code, lines
    if "Ctrl-C" in end:  # TensorFlow prints that the calls under way were interrupted.
        assert last in lines
        assert not [line for line in lines if re.search("process is ending|cannot join|Exception (in|ignored)|finalizing", line)], lines
    elif last:
        assert lines[0] == "Traceback (most recent call last):", lines
        assert lines[-1] == last, lines
        assert len(lines) == 3, lines
    else:
        assert lines == []


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_printed_where_a_process_ends_with_one_live_iterator(kind: str) -> None:
    assert ended(READ.replace("READING", repr([kind]))) == (0, [])


STARTING = """
import faulthandler, os, signal, sys, time
faulthandler.dump_traceback_later(200, exit=True)
signal.signal(signal.SIGINT, lambda *_: None)
from tfinput.workers.process import Process

print("starts", flush=True)
for module in ("tfinput.workers.generator_processes", "tfinput.workers.first_item"):
    for delay in range(0, 200, 10):
        process = Process(module, [])
        time.sleep(delay / 1000)
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.1)
        process.close()
"""


def test_a_worker_that_gets_ctrl_c_while_it_starts_prints_nothing() -> None:
    ran = subprocess.run([sys.executable, "-c", STARTING], capture_output=True, text=True, timeout=280, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "starts\n", "")


GROUP = """
import faulthandler, os, signal, sys
faulthandler.dump_traceback_later(200, exit=True)
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np
import tfinput
print("starts", flush=True)
for _ in range(100):
    feed = tfinput.from_sequence([np.float32(number) for number in range(64)], batch_size=8, workers=2)
    for _ in feed.train.take(8):
        pass
"""


@pytest.mark.parametrize("delay", [0.02, 0.1, 0.3, 0.6, 1.0])
def test_ctrl_c_of_a_terminal_reaches_workers_that_start_and_only_the_user_hears_of_it(delay: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", GROUP], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "starts\n"
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=100)
    assert process.returncode == -signal.SIGINT
    assert [line for line in said.splitlines() if not line.startswith(" ")].count("Traceback (most recent call last):") <= 2, said
    assert said.splitlines()[-1].startswith("KeyboardInterrupt"), said
    assert "frozen site" not in said, said
