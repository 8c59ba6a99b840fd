"""Evaluation: Forge, load, chaos, benchmarks and simulators."""
