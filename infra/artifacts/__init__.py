"""Wheels with slices: build, inspect, prepare."""
