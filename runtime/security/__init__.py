"""Certificates, join tokens and who may speak to whom."""
