"""Blueprints, placement and the reconcilers that make targets true."""
