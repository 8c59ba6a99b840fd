"""How good forecasts are, beside well-known methods, on loads that a model has not seen."""
