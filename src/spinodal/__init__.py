"""Metastability in neural-network training: landscapes, escape times, rates, evidence."""

__version__ = "0.1.0"
