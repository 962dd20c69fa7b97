"""Experiments: frozen settings and a seed give a record, one file per question."""
