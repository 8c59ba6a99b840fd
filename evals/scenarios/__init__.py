"""Faults of a real cluster, a question about each, and whether the answer finds what is wrong, and mends it."""
