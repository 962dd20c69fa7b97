"""Mistakes on the command line as one sentence: what is wrong, given, allowed, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from cyclopts import App, CycloptsError
from cyclopts.exceptions import (
    CoercionError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

if TYPE_CHECKING:
    from pydantic import ValidationError


def about_arguments(problem: CycloptsError, app: App, tokens: Sequence[str]) -> str:
    """What is wrong with the words of a command line."""
    commands = sorted(name for name in app if not name.startswith("-"))
    command = next((token for token in tokens if not token.startswith("-")), "")
    if command not in commands:
        return _unknown("command", tokens[0], commands, hint="spinodal --help")
    options = _options(app, command)
    hint = f"spinodal {command} --help"
    given = [token.partition("=")[0] for token in tokens if token.startswith("--")]
    unknown = [option for option in given if option not in options]
    single = [token.partition("=")[0] for token in tokens if _one_dash(token)]
    unknown += [option for option in single if f"-{option}" in options]
    if unknown or isinstance(problem, UnknownOptionError):
        name = unknown[0] if unknown else next(t for t in tokens if t.startswith("-"))
        return _unknown("option", name, options, hint=hint)
    if isinstance(problem, MissingArgumentError):
        option = problem.argument.name if problem.argument is not None else "An option"
        wants = "needs a value" if option in given else "is required and missing"
        return f"{option} {wants}; `{hint}` explains all options."
    if isinstance(problem, CoercionError) and problem.argument is not None:
        switch = problem.argument.name
        return f"{switch} is a switch and takes no value; leave it out or write {switch} alone."
    if isinstance(problem, RepeatArgumentError):
        twice = next((option for option in given if given.count(option) > 1), "An option")
        return f"{twice} was given more than once; give it once."
    if isinstance(problem, UnusedCliTokensError | UnknownCommandError):
        extra = [token for token in tokens[1:] if not token.startswith("-")]
        extra = getattr(problem, "unused_tokens", None) or extra
        return f"{_quoted(extra[0])} belongs to no option of `spinodal {command}`; see `{hint}`."
    return f"{' '.join(str(problem).split())} See `{hint}`."


def about_settings(problem: ValidationError) -> str:
    """What is wrong with the values of a command's settings."""
    from spinodal.protocols.settings_file import rule  # loads pydantic, as the problem has already

    told = []
    errors = problem.errors(include_url=False)
    partly = {error["loc"][0] for error in errors if len(error["loc"]) > 1}
    for error in errors:
        if len(error["loc"]) == 1 and error["loc"][0] in partly:
            continue  # a list is called too short when its only value is wrong
        place = [part for part in error["loc"] if isinstance(part, str | int)]
        option = "--" + str(place[0]).replace("_", "-") if place else "The settings"
        if len(place) > 1 and isinstance(place[1], int):
            option += f" (value {place[1] + 1})"
        got = f", got {_quoted(error['input'])}" if error["input"] not in ([], ()) else ""
        told.append(f"{option} {rule(error)}{got}")
    return "; ".join(told) + "."


def about_files(problem: OSError) -> str:
    """What the operating system refused."""
    reason = (problem.strerror or str(problem)).lower()
    if problem.filename is None:
        return f"The output cannot be written: {reason}."
    return f"{problem.filename} cannot be used: {reason}."


def _one_dash(token: str) -> bool:
    return len(token) > 2 and token[0] == "-" and token[1].isalpha()


def _options(app: App, command: str) -> list[str]:
    arguments = app[command].assemble_argument_collection()
    return [name for argument in arguments for name in argument.names] + ["--help"]


def _unknown(what: str, name: str, known: Sequence[str], *, hint: str) -> str:
    return (
        f"There is no {what} {_quoted(name)}{_did_you_mean(name, known)}; the {what}s are "
        f"{', '.join(known)}, and `{hint}` explains them."
    )


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name.lower().replace("_", "-"), list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:50] + "..." + text[-7:]
