"""Real store processes on this machine under everything that may go wrong, and the check that no promise was broken."""
