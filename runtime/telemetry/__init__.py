"""Metrics, logs, traces and events of a node and of the cluster."""
