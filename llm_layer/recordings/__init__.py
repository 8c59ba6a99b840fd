"""Turns of a conversation with all that the cluster and models answered, to go through the same graphs again."""
