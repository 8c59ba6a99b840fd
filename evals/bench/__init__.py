"""Benchmarks: each a command, each against a peer in the same run."""
