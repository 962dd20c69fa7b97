"""Equations: arrays in, arrays out; no randomness, no files, no clocks."""
