"""Workarounds for CPython, TensorFlow and Keras, one module each: what is worked around, what it does to the process, and how it may go."""
