"""Forecasts of each slice's load: the model, its calibration, and how it stays right."""
