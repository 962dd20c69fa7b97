"""A record in, an Axes out; no computation."""
