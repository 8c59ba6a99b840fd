"""A node is replaced from its alert to the end, as people see it, with the leader killed on the way."""
