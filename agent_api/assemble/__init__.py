"""One module per process: the only place where parts are wired."""
