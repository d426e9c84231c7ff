"""Sampling: which examples train, and when. Whole numbers, hashes and permutations."""
