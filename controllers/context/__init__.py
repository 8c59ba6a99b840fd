"""What controllers decide from: recent seconds, the history of minutes, learnt capacity, and the state around them."""
