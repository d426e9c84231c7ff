"""Images from files: an epoch of batches against Keras' folder reader and a hand-written tf.data pipeline; later epochs from a cache.

The files are made of smooth noise, or of scikit-learn's two photographs enlarged, as JPEGs of quality 90 where no other is named; a
batch is 32 images of 224 x 224 (but the small ones are PNGs of 28 x 28, and stay so). The hand-written pipeline is what TensorFlow's guides
end with: shuffled paths, a parallel map that decodes and resizes with AUTOTUNE, batch, prefetch. "Not resized" is the same pipeline with a
part of 224 x 224 cut out instead, decoded at the scale that the case allows: what would be left of the time if resizing cost nothing.

The lead-in is long because tfinput makes four batches side by side. They start together, and so they are done together, until they have
drifted apart: timed from the fourth batch on, it would pay for one or two batches that are only half done when the time ends.
1,010 files make no whole number of batches: then each epoch has a short one.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import harness
import numpy as np

SIZE, BATCH, LEAD_IN = (224, 224), 32, 24
FAST = {"rows": 128, "width": 2000, "height": 1500, "steps": 36, "options": {"decode": "fast"}}
CASES = {
    "500 x 375": {"rows": 1024, "width": 500, "height": 375, "steps": 96},
    "500 x 375, not whole batches": {"rows": 1010, "width": 500, "height": 375, "steps": 96},
    "200 x 150": {"rows": 1024, "width": 200, "height": 150, "steps": 96},
    "28 x 28": {"rows": 2048, "width": 28, "height": 28, "steps": 400, "small": True},
    "2000 x 1500": {"rows": 128, "width": 2000, "height": 1500, "steps": 8},
    "2000 x 1500, fast": FAST,
    "2000 x 1500, quality 75, fast": {**FAST, "quality": 75},
    "2000 x 1500, photographs, fast": {**FAST, "photographs": ["china.jpg", "flower.jpg"]},
    "2000 x 1500, the smoother one, fast": {**FAST, "photographs": ["flower.jpg"]},
    "2000 x 1500, the smoother one, quality 75, fast": {**FAST, "photographs": ["flower.jpg"], "quality": 75},
    "500 x 375, cached": {"rows": 1024, "width": 500, "height": 375, "steps": 192, "options": {"cache": "folder", "dtype": "uint8"}},
}


def pictures(case: dict[str, Any]) -> Iterator[Any]:
    """Distinct pictures with the detail of photographs; or of enlarged photographs, which have less."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    height, width = case["height"], case["width"]
    if "photographs" in case:
        from sklearn.datasets import load_sample_image

        base = [tf.image.resize(load_sample_image(name), (height, width), "lanczos3").numpy() for name in case["photographs"]]
    else:
        base = tf.image.resize(random.normal(128, 60, (24, height // 12, width // 12, 3)), (height, width)).numpy()
    for place in range(case["rows"]):
        noise = 0 if "photographs" in case else random.normal(0, 4, (height, width, 1))
        yield np.clip(np.roll(base[place % len(base)], place, axis=1) + noise, 0, 255).astype(np.uint8)


def written(case: dict[str, Any], folder: str) -> None:
    """Two class folders of the pictures."""
    import tensorflow as tf

    for place, image in enumerate(pictures(case)):
        path = Path(folder) / "ab"[place % 2] / f"{place}.{'png' if small(case) else 'jpg'}"
        path.parent.mkdir(exist_ok=True)
        encoded = tf.io.encode_png(image) if small(case) else tf.io.encode_jpeg(image, quality=case.get("quality", 90))
        path.write_bytes(encoded.numpy())


def small(case: dict[str, Any]) -> bool:
    return bool(case.get("small"))


def target(case: dict[str, Any]) -> tuple[int, int]:
    return (case["height"], case["width"]) if small(case) else SIZE


def scale(case: dict[str, Any]) -> int:
    """1 to what a JPEG is decoded at: the smallest that covers the size, if that is allowed."""
    fast = case.get("options", {}).get("decode") == "fast"
    return max(each for each in (1, 2, 4, 8) if case["height"] >= SIZE[0] * each) if fast else 1


def resized(contents: Any, ratio: int = 1, size: tuple[int, int] = SIZE) -> Any:
    """The picture in a file: this operation decodes PNG too."""
    import tensorflow as tf

    return tf.ensure_shape(tf.image.resize(tf.io.decode_jpeg(contents, channels=3, ratio=ratio), size), (*size, 3))


def cut(case: dict[str, Any]) -> Callable[[Any], Any]:
    """Decoding at the scale of the case, and a cut."""
    import tensorflow as tf

    ratio = scale(case)
    return lambda contents: tf.cast(tf.io.decode_jpeg(contents, channels=3, ratio=ratio)[: SIZE[0], : SIZE[1]], tf.float32)


def listed(folder: str) -> tuple[list[str], list[int]]:
    """Paths and labels, in order."""
    paths = sorted(str(path) for path in Path(folder).glob("[ab]/*"))
    return paths, [int(Path(path).parent.name == "b") for path in paths]


def by_hand(folder: str, decoded: Callable[[Any], Any] = resized) -> Any:
    import tensorflow as tf

    paths, labels = listed(folder)

    def load(path: Any, label: Any) -> Any:
        return decoded(tf.io.read_file(path)), label

    dataset = tf.data.Dataset.from_tensor_slices((paths, labels)).shuffle(len(paths))
    return dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE).repeat()


def pipelines(case: dict[str, Any], folder: str, aside: str) -> dict[str, Any]:
    """The datasets that are compared, over pictures written into a folder; a cache is kept in another."""
    import keras

    import tfinput

    written(case, folder)
    options = dict(case.get("options", {}))
    if "cache" in options:
        options["cache"] = aside
    asked: dict[str, Any] = {"image_size": target(case), "batch_size": BATCH, "verbose": False}
    feed = tfinput.from_images(folder, **asked, **options)
    by_keras = keras.utils.image_dataset_from_directory(folder, **asked).repeat()
    datasets = {"tfinput": feed.repeated, "keras": by_keras, "by_hand": by_hand(folder, functools.partial(resized, size=target(case)))}
    if "cache" not in options and case["height"] >= SIZE[0]:
        datasets["unresized"] = by_hand(folder, cut(case))
    return datasets


def runs(case: dict[str, Any], datasets: dict[str, Any]) -> dict[str, Callable[[], float]]:
    return {name: harness.burst(dataset, LEAD_IN, case["steps"]) for name, dataset in datasets.items()}


def child(case: dict[str, Any]) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as aside:
        return harness.interleave(runs(case, pipelines(case, folder, aside)), case["repeats"])


def measure(case: dict[str, Any], repeats: int) -> dict[str, Any]:
    seconds = harness.fresh(__file__, case | {"repeats": repeats})
    return {"seconds": seconds, "ratios": harness.ratios(seconds)}


def main(argv: list[str] | None = None) -> None:
    harness.command("images", __doc__, CASES, measure, child, argv, repeats=9)


if __name__ == "__main__":
    main()
