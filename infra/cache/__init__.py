"""Cache: rendezvous-hashed, one backup copy, never the truth."""
