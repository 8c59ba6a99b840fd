"""The consensus store: what the cluster agrees on, and the only way to read and change it."""
