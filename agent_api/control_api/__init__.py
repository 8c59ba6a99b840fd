"""The minimal control API: plain HTTP and JSON, one module per noun."""
