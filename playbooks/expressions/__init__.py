"""Expressions: CEL over the state at one revision and metrics as one stamped window."""
