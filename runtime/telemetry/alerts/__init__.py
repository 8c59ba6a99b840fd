"""Alerts: rules on figures of slices, nodes, stores and the cluster; what lasts beyond them; who is told of it."""
