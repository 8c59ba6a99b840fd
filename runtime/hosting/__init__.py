"""Zygotes, workers and the life of an instance inside them."""
