"""Placing an order across five slices: an Aether example with domain errors and compensation."""
