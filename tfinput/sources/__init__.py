"""Sources: what examples are and how many, one module or package a family. No module here knows of batches, order or epochs."""
