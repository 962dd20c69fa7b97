"""Simulators: settings in, records out."""
