"""One turn of a conversation: what was said, what was looked up, and what is answered."""
