"""Whether runs survive their leaders: one is killed after every single write in turn, and what was done is counted."""
