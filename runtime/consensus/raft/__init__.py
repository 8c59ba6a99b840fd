"""The embedded engine, on pysyncobj. Its log and message handler are provisional; what surrounds them is not."""
