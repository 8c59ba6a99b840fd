"""Calls between slices: frames, connections, balancing, context."""
