"""A cluster in a box: nodes, load and faults, driven from outside."""
