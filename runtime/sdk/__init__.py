"""What a slice author imports."""
