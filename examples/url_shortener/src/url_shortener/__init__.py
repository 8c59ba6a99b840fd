"""Short links and who follows them: an Aether example with two slices."""
