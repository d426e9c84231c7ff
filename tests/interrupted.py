"""Ctrl-C at random moments; a line of JSON tells what came of it."""

from __future__ import annotations

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import faulthandler
import gc
import json
import random
import signal
import threading
import time
from typing import Any

import keras
import numpy as np
import psutil

import tfinput

TIMES = 50
faulthandler.dump_traceback_later(400, exit=True)
signal.signal(signal.SIGINT, signal.default_int_handler)  # A job in the background is started with it ignored.


class Items:
    """Items that are quick, or that keep a processor busy, or that wait."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        if self.how == "busy" and index % 8 == 5:
            end = time.monotonic() + 1000
            while time.monotonic() < end:
                pass
        if self.how == "waiting" and index % 8 == 5:
            time.sleep(3)
        return np.full(4, index, "float32"), np.float32(index)


def run(how: str, workers: int, fit: bool, model: Any, delay: float) -> dict[str, Any]:
    feed = tfinput.from_sequence(Items(how), batch_size=8, workers=workers)
    sent = []

    def interrupt() -> None:
        time.sleep(delay)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    error = ""
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        if fit:
            model.fit(**feed.fit_args(), epochs=10**6, verbose=0)
        else:
            for _ in feed.repeated:
                pass
    except BaseException as caught:
        error = type(caught).__name__
        seconds = time.monotonic() - sent[0]
    gc.collect()
    found = {"how": how, "workers": workers, "fit": fit, "error": error, "seconds": seconds}
    end = time.monotonic() + 5
    while (psutil.Process().children() or ours()) and time.monotonic() < end:
        time.sleep(0.05)
    found |= {"children": len(psutil.Process().children()), "threads": len(ours())}
    feed = tfinput.from_sequence(Items("quick"), batch_size=8, workers=workers)
    losses = model.fit(**feed.fit_args(), epochs=1, verbose=0).history["loss"]
    return found | {"trained": bool(np.isfinite(losses).all())}


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("tfinput")]


def main() -> None:
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e-6), "mse")
    model.fit(np.zeros((8, 4), "float32"), np.zeros(8, "float32"), verbose=0)
    drawn = random.Random(0)
    cases = [(how, workers, fit) for how in ("quick", "busy", "waiting") for workers in (0, 2) for fit in (True, False)]
    found = [run(*case, model, 0.3 + drawn.random()) for case in cases]
    # Also while the workers start and where an epoch ends: at any time.
    quick = [case for case in cases if case[0] == "quick"]
    found += [run(*drawn.choice(quick), model, 0.7 * drawn.random()) for _ in range(TIMES - len(cases))]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
