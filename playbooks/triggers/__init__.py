"""What starts playbooks without a person: alerts, events, and the time."""
