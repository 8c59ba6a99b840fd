"""How well sentences are understood: a suite of unseen ones, and what came of each."""
