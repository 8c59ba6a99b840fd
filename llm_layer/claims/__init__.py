"""What a model says is told only as far as it can be checked."""
