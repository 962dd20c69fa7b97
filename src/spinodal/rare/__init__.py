"""Rates when waiting is hopeless: splitting of trajectories, and paths over saddles."""
