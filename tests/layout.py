"""The rows that imports go down."""

from __future__ import annotations

# From the top down. Packages and modules of one row do not know each other; inside a package there is no circle.
ROWS = [
    ["cli", "__main__", "__init__"],
    ["api"],
    ["builders"],
    ["feed"],
    ["engine"],
    ["sources", "options"],
    ["workers"],
    ["material", "sampling", "runtime"],
    ["errors"],
]
