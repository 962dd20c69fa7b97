"""The command line: a doorway to what Python can do in the same number of lines."""

from spinodal.cli.main import main

__all__ = ["main"]
