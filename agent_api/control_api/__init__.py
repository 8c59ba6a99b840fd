"""The control API: FastAPI and JSON, one module per noun."""
