"""How much, how often and how badly a playbook may go: checked before it does."""
