"""Training anew on a real cluster, from drift to the model that goes back: the campaign, and what tests run of it."""
