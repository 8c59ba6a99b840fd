"""Built-in services of the cluster, each a port with an embedded default."""
