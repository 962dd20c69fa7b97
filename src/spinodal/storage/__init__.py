"""A run's directory: atomic checksummed files, a manifest, one writer at a time."""

from spinodal.storage.directory import MANIFEST, RunDirectory

__all__ = ["MANIFEST", "RunDirectory"]
