"""Three ways of scaling beside each other, in one real Forge."""
