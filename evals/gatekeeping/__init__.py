"""The gate on real clusters, whose leader is killed while changes are asked for, decided, applied and undone."""
