"""Typed collections, kept in the store by default."""
