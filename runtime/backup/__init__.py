"""Backups: a snapshot of the store, its artifacts and its text in one directory; proved and restored."""
