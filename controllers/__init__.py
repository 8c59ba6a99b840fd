"""Layered controllers that propose changes, and the gate that decides on them."""
