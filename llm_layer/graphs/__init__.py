"""What a language model does here, in short segments between gates: graphs whose nodes are functions over a typed
state."""
