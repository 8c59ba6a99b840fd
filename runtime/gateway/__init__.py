"""The HTTP front and the peer frame server of a node."""
