"""The catalogue of operations: everything that can be changed or asked, declared once."""
