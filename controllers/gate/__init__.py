"""The gate: every change is planned, judged by policy, applied or proposed, and written down."""
