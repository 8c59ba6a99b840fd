"""What others' autoscalers do, by their documented rules and defaults."""
