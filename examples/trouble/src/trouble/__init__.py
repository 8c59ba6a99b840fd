"""A slice that misbehaves when it is told to."""
