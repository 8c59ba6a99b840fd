"""Bytes by their SHA-256: kept on disk, replicated, verified; knows nothing of what they mean."""
