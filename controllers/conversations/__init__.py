"""Conversations with the cluster, kept: what was said, what was answered, and what became of it."""
