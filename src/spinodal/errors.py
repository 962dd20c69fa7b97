"""What can go wrong through no fault of the code: a wrong input, a damaged file."""


class InputError(ValueError):
    """A user's mistake: the message says what is wrong, given, allowed, and what to do.

    The command line prints the message as one sentence and exits with status 2.
    """


class DamagedFileError(Exception):
    """A file that is corrupt, hostile or not ours; the message names it.

    The command line prints the message as one sentence and exits with status 3.
    """
