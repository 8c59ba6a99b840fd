"""Scaling judged offline: real load traces, a simulated service, our policies beside those of others."""
