"""Settings from a TOML file, or one sentence that names the key and says what it may be."""

from __future__ import annotations

import tomllib
import types
import typing
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from spinodal.errors import InputError
from spinodal.storage.files import explained

LARGEST_FILE = 2**20
"""Bytes of a settings file; nobody types more."""

RULES = {
    "missing": "is required and missing",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be a text in quotes",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "model_type": "must be a table",
    "literal_error": "must be {expected}",
    "too_short": "needs at least {min_length} value",
    "too_long": "takes at most {max_length} values",
}
"""What pydantic calls a mistake, in our words."""

KIND = "kind"
"""The key that says which of several tables is meant."""

Model = TypeVar("Model", bound=BaseModel)


def load(path: str | Path, model: type[Model]) -> Model:
    """The settings in the TOML file `path`."""
    path = Path(path)
    with explained(path, doing="read"):
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    if len(raw) > LARGEST_FILE:
        raise InputError(f"{path} is larger than {LARGEST_FILE:,} bytes: no file of settings.")
    try:
        return parse(raw.decode("utf-8-sig"), model, source=str(path))
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text in UTF-8; save it as one.") from None


def parse(text: str, model: type[Model], *, source: str) -> Model:
    """The settings in a TOML document; `source` is how complaints call it."""
    try:
        table = tomllib.loads(text.replace("\r\n", "\n"))
    except (ValueError, RecursionError) as problem:
        raise InputError(f"{source} is no valid TOML: {_syntax(problem, text)}.") from None
    if not table:
        raise InputError(
            f"{source} holds no settings; it needs the sections "
            f"{', '.join(f'[{name}]' for name in model.model_fields)}: "
            "`spinodal escape --example` prints a file that runs."
        )
    try:
        return model.model_validate(_frozen(table), strict=True)  # strict: "3" is not 3
    except ValidationError as problem:
        raise InputError(f"{source}: {complaint(problem, model)}") from None
    except (RecursionError, MemoryError, OverflowError):
        raise InputError(
            f"{source} asks for something too large or too deeply nested for this machine."
        ) from None


def _frozen(value: Any) -> Any:
    """Lists as tuples, all the way down: settings hold no lists."""
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def complaint(problem: ValidationError, model: type[BaseModel]) -> str:
    """All that is wrong with some settings, key by key, in one sentence."""
    told: dict[str, str] = {}
    alternatives: dict[str, list[str]] = {}  # what a union would take
    errors = problem.errors(include_url=False)
    for error in errors:
        if any(_inside(other["loc"], error["loc"]) for other in errors):
            continue  # a list is called too short when its only value is wrong
        place, fields = _place(error["loc"], model)
        if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
            place.append(KIND)
        name = key_path(place)
        if error["type"] == "extra_forbidden":
            own = str(place[-1])
            told[name] = f"there is no key {_short(name)}{did_you_mean(own, fields)}" + (
                f"; allowed are {', '.join(fields)}" if fields else ""
            )
        elif error["type"] == "value_error":
            what = str(error.get("ctx", {}).get("error", error["msg"])).rstrip(".")
            told.setdefault(name, f"in [{name}]: {what}" if name else what)
        else:
            others = alternatives.setdefault(name, [])
            others.append(rule(error))
            either = " or ".join(
                [others[0], *(text.removeprefix("must be ") for text in others[1:])]
            )
            told[name] = f"{_short(name)} {either}{_got(error, name)}"
    words = list(told.values())
    more = f"; and {len(words) - 4} more mistakes" if len(words) > 4 else ""
    return "; ".join(words[:4]) + more + "."


def _inside(loc: Sequence[str | int], outer: Sequence[str | int]) -> bool:
    return len(loc) > len(outer) and tuple(loc[: len(outer)]) == tuple(outer)


def _got(error: Any, name: str) -> str:
    """What was given, as TOML writes it."""
    if error["type"] == "missing":
        return ""
    value = error["input"]
    if name.endswith(KIND) and isinstance(value, dict):
        value = value.get(KIND)
    words = repr(_thawed(value))
    if isinstance(value, bool):
        words = words.lower()
    elif isinstance(value, float) and error["type"].startswith("int") and value.is_integer():
        words += f" (write {value:.0f})" if abs(value) < 1e15 else ""
    return f", got {_short(words)}"


def _thawed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _thawed(item) for key, item in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, tuple) else value


def rule(error: Any) -> str:
    """What a value has to be, by pydantic's account of why it is not."""
    if error["type"] == "union_tag_invalid":
        tags = [word.strip(" '") for word in str(error["ctx"]["expected_tags"]).split(",")]
        allowed = ", ".join(repr(tag) for tag in tags[:-1]) + f" or {tags[-1]!r}"
        return f"must be {allowed}{did_you_mean(str(error['ctx']['tag']), tags)}"
    template = RULES.get(error["type"])
    if template is None:
        return f"is refused ({error['msg'].rstrip('.')})"
    context = error.get("ctx", {})
    text = template.format_map({key: _bound(value) for key, value in context.items()})
    if error["type"] == "literal_error":
        allowed = [word for word in str(context["expected"]).split("'") if word.isidentifier()]
        text += did_you_mean(str(error["input"]), allowed)
    return text


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A guess at what was meant, or nothing."""
    close = get_close_matches(name[:60].lower(), list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def key_path(place: Sequence[str | int]) -> str:
    """Where a value stands: task.signals[1], counted from 0 as lists are."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _place(loc: Sequence[str | int], model: type[BaseModel]) -> tuple[list[str | int], list[str]]:
    """The key path of an error, and the keys allowed there.

    Pydantic puts names of union members into the path; they are no keys of the file.
    """
    place: list[str | int] = []
    now: list[Any] = [model]
    for number, part in enumerate(loc):
        models = [m for m in _models(now)]
        fields = {name: field for m in models for name, field in m.model_fields.items()}
        if isinstance(part, int):
            place.append(part)
            continue
        if part in fields:
            place.append(part)
            now = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        elif models and number == len(loc) - 1:
            tag = any(part in _tags(m) for m in now)
            if not tag:
                place.append(part)
    return place, sorted({name for m in _models(now) for name in m.model_fields})


def _models(types_: Iterable[Any]) -> list[type[BaseModel]]:
    """All settings classes inside some type annotations: of unions, tuples and lists."""
    found: list[type[BaseModel]] = []
    for kind in types_:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found.append(kind)
        elif typing.get_origin(kind) is not None or isinstance(kind, types.UnionType):
            found += _models(typing.get_args(kind))
    return found


def _tags(kind: Any) -> set[str]:
    tag = getattr(kind, "tag", None)
    tags = {tag} if isinstance(tag, str) else set()
    for inner in (*typing.get_args(kind), *getattr(kind, "__metadata__", ())):
        tags |= _tags(inner)
    return tags


def _syntax(problem: Exception, text: str) -> str:
    """What is wrong with a TOML document, with the key that stands there."""
    if isinstance(problem, RecursionError):
        return "it is nested too deeply"
    said = str(problem)
    line = next((int(w) for w in _after(said, "line ") if w.isdigit()), None)
    if "limit" in said and "digits" in said:
        return "it holds a whole number of thousands of digits"
    if line is None:
        return said.rstrip(".").lower()
    lines = text.split("\n")[:line]
    key = lines[-1].partition("=")[0].strip() if "=" in lines[-1] else ""
    table = next((row.strip() for row in reversed(lines) if row.strip().startswith("[")), "")
    table = table.partition("]")[0].strip("[ ")
    where = ".".join(part for part in (table, key) if part)
    said = said[:1].lower() + said[1:]
    return said + (f", at key {_short(where)}" if where else "")


def _after(text: str, word: str) -> list[str]:
    return text.partition(word)[2].replace(",", " ").replace(")", " ").split()[:1]


def _bound(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:50] + "..." + text[-7:]
