"""Typed keys and values on top of the store."""
