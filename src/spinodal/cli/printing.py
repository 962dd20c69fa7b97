"""What people read on standard output, until they hang up."""

from __future__ import annotations

from typing import Any

from rich.console import Console


class Printer(Console):
    """A console whose broken pipe is an exception as everywhere else."""

    def __init__(self, **options: Any) -> None:
        """Numbers and names are not coloured by guess."""
        super().__init__(highlight=False, **options)

    def on_broken_pipe(self) -> None:
        """Let `main` end the command: Rich itself would exit with status 1."""
        self.quiet = True
        raise BrokenPipeError
