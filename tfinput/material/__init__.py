"""Material: arrays, files and Python values. Nothing here knows of sources, batches or epochs."""
