"""The agent API, the command line and the wiring of processes."""
