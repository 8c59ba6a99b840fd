"""Open-loop load: profiles, an HTTP client that never sends twice, and what it saw."""
