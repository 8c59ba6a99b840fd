"""Membership, node life cycle and leader services."""
