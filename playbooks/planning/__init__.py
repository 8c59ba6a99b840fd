"""What a run would do: real reads, and predicted effects over an overlay of the state."""
