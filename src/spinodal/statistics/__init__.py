"""Inference from times, counts and series; knows nothing about networks."""
