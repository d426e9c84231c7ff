"""The figures as markdown tables, as targets met or missed, and as bars."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

Case = dict[str, Any]

HEADS = {
    "arrays": [
        "training stream",
        "tfinput, µs a batch",
        "x Keras' adapter",
        "x `shuffle(N)`",
        "of `np.take`",
        "of `np.take`, ring of 4",
        "of a constant",
    ],
    "start": ["first batch", "tfinput, s", "Keras' adapter, s", "`shuffle(N)`, s", "x Keras' adapter", "x `shuffle(N)`", "epoch 1,000, s"],
    "memory": [
        "extra memory, peak (steady)",
        "tfinput",
        "Keras' adapter",
        "`shuffle(N)`",
        "tfinput, `.npy`",
        "added over 30 epochs, arrays / `.npy`",
    ],
    "hooks": ["functions of one example", "tfinput, µs an example", "x a parallel map by hand"],
    "images": ["images to 224 x 224", "tfinput, ms a batch of 32", "x Keras' folder reader", "x by hand", "not resized, x Keras'"],
    "records": ["TFRecords", "tfinput, µs a batch of 256", "x parsed one by one", "x parsed by batches"],
    "catalog": ["TensorFlow Datasets", "tfinput, µs a batch of 128", "x `tfds.load`, shuffled"],
    "generators": ["generators", "tfinput, µs an example", "x `Dataset.from_generator`", "of the generator and `np.stack` alone"],
    "series": ["windows over series", "tfinput, µs a batch", "x Keras' windows"],
    "sequences": ["items of 150 KB, two workers", "tfinput, items/s", "x torch", "x Grain", "x Keras' PyDataset", "of two cores"],
    "growth": ["builder's call", "first, s", "again, s", "kept, bytes each"],
    "tables": [
        "file to the end of epoch 0",
        "tfinput, s",
        "x `make_csv_dataset`",
        "of Arrow alone",
        "x Arrow's batches",
        "Arrow and a constant, of Arrow alone",
    ],
    "border": [
        "a border of epochs",
        "a loop over `feed.train`, ms",
        "`fit(train)`, ms",
        "epoch, loop, ms",
        "`repeated`, of `feed.train`",
        "epoch, `fit`, ms",
        "`fit_args()`, of `fit(train)`",
    ],
    "fit": ["`model.fit`", "tfinput, s", "x `fit(x, y)`", "of one resident batch"],
}


def _ratio(case: Case, name: str) -> str:
    found = case["ratios"].get(name)
    return "" if found is None else f"{found['median']:.2f} ({found['low']:.2f}-{found['high']:.2f})"


def between(case: Case, peer: str, limit: str) -> str:
    """How much quicker a limit is than a peer: what tfinput could reach beside that peer."""
    if not {peer, limit} <= set(case["seconds"]):
        return ""
    found = [other / least for other, least in zip(case["seconds"][peer], case["seconds"][limit], strict=True)]
    return f"{statistics.median(found):.2f} ({min(found):.2f}-{max(found):.2f})"


def _median(case: Case, name: str) -> float:
    return statistics.median(case["seconds"][name])


def _arrays(case: Case) -> list[str]:
    steps = -(-case["rows"] // case["batch_size"]) * case["epochs"]
    return [
        f"{_median(case, 'tfinput') / steps * 1e6:.1f}",
        *(_ratio(case, name) for name in ("keras", "slices", "take", "take_ring", "constant")),
    ]


def _start(case: Case) -> list[str]:
    seconds = [f"{_median(case, name):.2f}" for name in ("tfinput", "keras", "slices", "late")]
    return [*seconds[:3], _ratio(case, "keras"), _ratio(case, "slices"), seconds[3]]


def _memory(case: Case) -> list[str]:
    extra = case["extra"]
    cells = [f"{extra[name]['peak']:.2f} ({extra[name]['steady']:.2f})" for name in ("tfinput", "keras", "slices", "npy")]
    return [*cells, f"{extra['tfinput']['growth']:+.3f} / {extra['npy']['growth']:+.3f}"]


def _fit(case: Case) -> list[str]:
    return [f"{_median(case, 'tfinput'):.2f}", _ratio(case, "keras"), _ratio(case, "resident")]


def _tables(case: Case) -> list[str]:
    ratios = [_ratio(case, name) for name in ("make_csv", "arrow", "arrow_batches")]
    return [f"{_median(case, 'tfinput'):.2f}", *ratios, between(case, "arrow", "least")]


def _images(case: Case) -> list[str]:
    milliseconds = f"{_median(case, 'tfinput') / case['steps'] * 1e3:.1f}"
    return [milliseconds, _ratio(case, "keras"), _ratio(case, "by_hand"), between(case, "keras", "unresized")]


def _hooks(case: Case) -> list[str]:
    return [f"{_median(case, 'tfinput') / case['steps'] / 64 * 1e6:.1f}", _ratio(case, "by_hand")]


def _records(case: Case) -> list[str]:
    return [f"{_median(case, 'tfinput') / -(-case['rows'] // 256) * 1e6:.0f}", _ratio(case, "one_by_one"), _ratio(case, "batches")]


def _catalog(case: Case) -> list[str]:
    return [f"{_median(case, 'tfinput') / -(-case['rows'] // 128) * 1e6:.0f}", _ratio(case, "load")]


def _generators(case: Case) -> list[str]:
    return [f"{_median(case, 'tfinput') / case['rows'] * 1e6:.1f}", _ratio(case, "tensorflow"), _ratio(case, "stacked")]


def _series(case: Case) -> list[str]:
    return [f"{_median(case, 'tfinput') / case['steps'] * 1e6:.0f}", _ratio(case, "keras")]


def _sequences(case: Case) -> list[str]:
    made = (case["rows"] // case["batch"] - 2) * case["batch"]
    return [f"{made / _median(case, 'tfinput'):.0f}", *(_ratio(case, name) for name in ("torch", "grain", "keras", "limit"))]


def _growth(case: Case) -> list[str]:
    return [f"{_median(case, 'first'):.2f}", f"{_median(case, 'again'):.2f}", f"{_median(case, 'bytes'):.0f}"]


def _border(case: Case) -> list[str]:
    """The milliseconds that a border adds to an epoch of the endless dataset: median of the differences, pair by pair."""

    def added(one: str, other: str) -> str:
        pairs = zip(case["seconds"][one], case["seconds"][other], strict=True)
        differences = [(whole - endless) / case["epochs"] * 1e3 for whole, endless in pairs]
        return f"{statistics.median(differences):.1f} ({min(differences):.1f}-{max(differences):.1f})"

    def epoch(name: str) -> str:
        return f"{_median(case, name) / case['epochs'] * 1e3:.1f}"

    shares = [_median(case, "repeated") / _median(case, "tfinput"), _median(case, "fit_args") / _median(case, "fit")]
    loop, fit = added("tfinput", "repeated"), added("fit", "fit_args")
    return [loop, fit, epoch("repeated"), f"{shares[0]:.2f}", epoch("fit_args"), f"{shares[1]:.2f}"]


CELLS: dict[str, Callable[[Case], list[str]]] = {
    "images": _images,
    "hooks": _hooks,
    "records": _records,
    "series": _series,
    "catalog": _catalog,
    "generators": _generators,
    "sequences": _sequences,
    "growth": _growth,
    "tables": _tables,
    "arrays": _arrays,
    "start": _start,
    "memory": _memory,
    "fit": _fit,
    "border": _border,
}


def head(section: str) -> list[str]:
    return [_line(HEADS[section]), _line(["---"] * len(HEADS[section]))]


def row(section: str, name: str, case: Case) -> str:
    return _line([name, *CELLS[section](case)])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def means(cases: dict[str, Case]) -> dict[str, float]:
    """The geometric mean over the cases of each ratio that all of them have."""
    names = set.intersection(*(set(case["ratios"]) for case in cases.values()))
    return {name: statistics.geometric_mean([case["ratios"][name]["median"] for case in cases.values()]) for name in sorted(names)}


def tables(results: dict[str, Any]) -> str:
    """All figures as markdown."""
    lines = []
    for section in (name for name in HEADS if name in results):
        cases = results[section]["cases"]
        lines += [*head(section), *(row(section, name, case) for name, case in cases.items())]
        if section in ("arrays", "fit"):
            mean, width = means(cases), len(HEADS[section])
            names = {"arrays": ["keras", "slices", "take"], "fit": ["keras", "resident"]}[section]
            cells = ["geometric mean", "", *(f"{mean[name]:.2f}" for name in names)]
            lines.append(_line(cells + [""] * (width - len(cells))))
        lines.append("")
    lines += [_line(["target", "measured", ""]), _line(["---"] * 3)]
    lines += [_line([text, measured, "met" if met else "**missed**"]) for text, measured, met in targets(results)]
    seen = {tuple(results[section]["environment"].items()) for section in results}
    lines += ["", *(", ".join(f"{name} {value}" for name, value in here) + "." for here in sorted(seen))]
    return "\n".join(lines)


def targets(results: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Each target with what was measured for it, and whether that meets it."""
    found: list[tuple[str, str, bool]] = []

    def add(text: str, value: float, met: bool) -> None:
        found.append((text, f"{value:.3f}", met))

    def cases(section: str) -> dict[str, Case]:
        return results.get(section, {}).get("cases", {})

    def worst(section: str, ratio: str) -> float:
        return min(case["ratios"][ratio]["median"] for case in cases(section).values())

    if cases("arrays"):
        mean = means(cases("arrays"))
        add("Keras' array adapter, geometric mean: 1.5", mean["keras"], mean["keras"] >= 1.5)
        add("Keras' array adapter, every case: 1.0", worst("arrays", "keras"), worst("arrays", "keras") >= 1.0)
        add("`shuffle(N)`, geometric mean: 3.5", mean["slices"], mean["slices"] >= 3.5)
        for name in ("3 KB x 256", "150 KB x 32", "150 KB x 256"):
            if name in cases("arrays"):
                share = cases("arrays")[name]["ratios"]["take"]["median"]
                add(f"`np.take`, {name}: 0.8", share, share >= 0.8)
    if cases("start"):
        add("first batch, sooner than `shuffle(N)`: 5", worst("start", "slices"), worst("start", "slices") >= 5)
        late = max(case["ratios"]["late"]["median"] for case in cases("start").values())
        add("first batch of epoch 1,000, times that of epoch 0: at most 1.1", late, late <= 1.1)
    if cases("fit"):
        add("`fit(x, y)`, every case: 1.0", worst("fit", "keras"), worst("fit", "keras") >= 1.0)
    for text, section, name, ratio, least in OF_FILES:
        if name in cases(section):
            value = cases(section)[name]["ratios"][ratio]["median"]
            add(f"{text}: {least}", value, value >= least)
    if cases("series"):
        add("Keras' windows over series, every case: 3.0", worst("series", "keras"), worst("series", "keras") >= 3)
    for name, case in cases("memory").items():
        extra = case["extra"]
        add(f"extra memory, {name}: at most 1.05", extra["tfinput"]["peak"], extra["tfinput"]["peak"] <= 1.05)
        add(f"extra memory, {name}, `.npy`: at most 0.05", extra["npy"]["peak"], extra["npy"]["peak"] <= 0.05)
        growth = max(extra["tfinput"]["growth"], extra["npy"]["growth"])
        add(f"added over 30 epochs, {name}: at most 0.01", growth, growth <= 0.01)
    return found


SMOOTH = "2000 x 1500, the smoother one, quality 75, fast"
# Text, section, case, ratio, and what it is to be at least.
OF_FILES = [
    ("Keras' folder reader, 500 x 375", "images", "500 x 375", "keras", 1.3),
    ("by hand, 500 x 375", "images", "500 x 375", "by_hand", 1.0),
    ("Keras' folder reader, 2000 x 1500 decoded fast", "images", "2000 x 1500, fast", "keras", 1.7),
    ("Keras' folder reader, 2000 x 1500 decoded fast, few bytes a pixel", "images", SMOOTH, "keras", 1.7),
    ("Keras' folder reader, second epoch from a cache", "images", "500 x 375, cached", "keras", 20.0),
    ("`make_csv_dataset`, CSV 100,000 x 20", "tables", "CSV, 100,000 x 20", "make_csv", 6.0),
    ("TFRecords parsed one by one", "records", "TFRecord, 16 floats", "one_by_one", 2.5),
    ("TFRecords parsed by batches", "records", "TFRecord, 16 floats", "batches", 1.0),
    ("`tfds.load`, shuffled, PNG", "catalog", "TFRecord, 28 x 28 PNG", "load", 1.0),
    ("`tfds.load`, shuffled, floats", "catalog", "TFRecord, 16 floats", "load", 1.0),
    ("`Dataset.from_generator`, 20 floats, batches of 32", "generators", "20 floats, B=32", "tensorflow", 15.0),
    ("`Dataset.from_generator`, 20 floats, batches of 128", "generators", "20 floats, B=128", "tensorflow", 40.0),
    ("the generator and `np.stack` alone, 3 KB", "generators", "3 KB, B=128", "stacked", 0.7),
    *(
        (f"{text}, items of 150 KB, batches of {batch}", "sequences", f"no work, B={batch}", peer, least)
        for text, peer, least in (
            ("torch's `DataLoader`", "torch", 1.5),
            ("Grain's `mp_prefetch`", "grain", 3.0),
            ("Keras' `PyDataset`", "keras", 2.0),
        )
        for batch in (32, 128)
    ),
    *((f"two cores, items of 1 ms, batches of {batch}", "sequences", f"1 ms, B={batch}", "limit", 0.9) for batch in (32, 128)),
    ("Arrow alone, Parquet, batches of 256", "tables", "Parquet, 1,000,000 x 20", "arrow", 0.5),
    ("Arrow's batches, Parquet, batches of 256", "tables", "Parquet, 1,000,000 x 20", "arrow_batches", 0.5),
    ("Arrow alone, Parquet, 4,000,000 rows, batches of 8,192", "tables", "Parquet, 4,000,000 x 20, batches of 8,192", "arrow", 0.5),
]

BARS = {
    "arrays": {"keras": "x Keras' array adapter", "slices": "x from_tensor_slices.shuffle(N)", "take": "of np.take (limit)"},
    "fit": {"keras": "x fit(x, y)", "resident": "of one resident batch (limit)"},
}
COLOURS = {"keras": "#0072b2", "slices": "#009e73", "take": "#999999", "resident": "#999999"}
TITLES = {"arrays": "Training stream", "fit": "model.fit"}


def draw(results: dict[str, Any], file: Path) -> None:
    """Bars from the line at 1.0 up (tfinput is quicker) or down, with the lowest and highest repeat as whiskers."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    shown = [name for name in BARS if results.get(name, {}).get("cases")]
    if not shown:
        return
    widths = [len(results[name]["cases"]) * len(BARS[name]) for name in shown]
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    axes = figure.subplots(1, len(shown), squeeze=False, width_ratios=widths)[0]
    for axis, section in zip(axes, shown, strict=True):
        cases, bars = results[section]["cases"], BARS[section]
        width = 0.8 / len(bars)
        for number, (ratio, label) in enumerate(bars.items()):
            found = [case["ratios"][ratio] for case in cases.values()]
            middle = [one["median"] for one in found]
            whiskers = [[one["median"] - one["low"] for one in found], [one["high"] - one["median"] for one in found]]
            places = [case + (number - (len(bars) - 1) / 2) * width for case in range(len(cases))]
            heights = [value - 1 for value in middle]
            axis.bar(places, heights, width * 0.92, bottom=1, yerr=whiskers, label=label, color=COLOURS[ratio], ecolor="#555555")
        axis.axhline(1, color="black", linewidth=1)
        axis.set_yscale("log")
        low, high = axis.get_ylim()
        ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low <= tick <= high]
        axis.set_yticks(ticks)
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.set_xticks(range(len(cases)), [name.replace(" x ", "\nx ").replace(", ", ",\n") for name in cases])
        axis.set_title(f"{TITLES[section]}: tfinput's speed against others")
        axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=len(bars))
        axis.grid(axis="y", alpha=0.3)
        axis.set_axisbelow(True)
    figure.savefig(file, dpi=120, metadata={"Software": None})


def put(readme: Path, text: str) -> None:
    """Replace what stands between the two markers."""
    begin, end = "<!-- figures -->", "<!-- end of figures -->"
    before, rest = readme.read_text().split(begin, 1)
    after = rest.split(end, 1)[1]
    readme.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
