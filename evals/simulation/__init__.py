"""Whole clusters of the real consensus engine on a simulated clock, network and disk, by seed."""
