"""Making the model: PyTorch, from the extra `train`. Nothing that runs in a cluster imports this."""
