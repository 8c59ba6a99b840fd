"""Scaling: signals of a slice's load, readable rules, one pure decision."""
