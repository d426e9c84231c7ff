"""The builders' materials: one module per family. No module here knows about batches, order or epochs."""
