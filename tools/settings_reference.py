"""Write docs/settings.md, the reference of a settings file, from the models that read it.

    python tools/settings_reference.py [--check]

Types, bounds and defaults are the models' own; the sentences are the descriptions of their fields
or, where there is none, those of settings_sentences.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from settings_examples import AROUND, EXAMPLES
from settings_sentences import SENTENCES
from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.classes import ClassTask
from spinodal.dynamics.events import Event
from spinodal.dynamics.files import ArraysTask
from spinodal.dynamics.gaussian import GaussianTask
from spinodal.dynamics.networks import Network
from spinodal.dynamics.updates import Stage, Update
from spinodal.protocols.escape import LARGEST, RunSettings
from spinodal.protocols.rate import RateTable

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"

SECTIONS: tuple[tuple[str, type[BaseModel], str], ...] = (
    ('[task], kind = "gaussian"', GaussianTask, "Required; this kind where none is named."),
    ('[task], kind = "classes"', ClassTask, "Gaussian classes with one-hot targets."),
    ('[task], kind = "arrays"', ArraysTask, "Your own data, which is one data set."),
    ("[network]", Network, "May be left out."),
    ("[update]", Update, "Required."),
    ("[[update.schedule]]", Stage, "As many as needed, or none. A stage changes at least one key."),
    ("[start]", Start, "May be left out: random weights."),
    (
        "[event]",
        Event,
        "Required. The first event is the escape; write [[event]] for several: the others are "
        "rivals, and who meets one of them first has escaped elsewhere.",
    ),
    ("[run]", RunSettings, "Required."),
    (
        "[rate]",
        RateTable,
        "For `spinodal rate` only, which takes all the sections above; may be left out.",
    ),
)  # fmt: skip
"""Heading, model and what to know of each section."""

LIMITED = (GaussianTask, ClassTask, Update)
"""Sections whose counts `spinodal escape` limits."""

NAMES = {
    "integer": "whole number", "number": "number", "boolean": "true or false", "string": "text",
}  # fmt: skip

BOUNDS = {
    "minimum": "at least", "exclusiveMinimum": "above",
    "maximum": "at most", "exclusiveMaximum": "below",
}  # fmt: skip


def reference() -> str:
    """The whole page."""
    before, between, after = AROUND
    parts = [before]
    for heading, model, note in SECTIONS:
        parts += [f"## `{heading}`", note, "\n".join(_table(model))]
    parts.append(between)
    for title, text in EXAMPLES.items():
        parts += [f"### {title}", f"```toml\n{text}```"]
    return "\n\n".join([*parts, after]) + "\n"


def sentence(model: type[BaseModel], key: str) -> str:
    """What a key means: its own description, else that of the table, else nothing."""
    described = model.model_fields[key].description
    return described or SENTENCES.get(model.__name__, {}).get(key, "")


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield "| key | type | allowed | default | meaning |"
    yield "|---|---|---|---|---|"
    for key, schema in model.model_json_schema()["properties"].items():
        kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
        allowed = [text for kind in kinds for text in _allowed(kind)]
        if model in LIMITED and key in LARGEST:
            allowed.append(f"at most {LARGEST[key]:,}")
        cells = (
            f"`{key}`",
            " or ".join(dict.fromkeys(_type(kind) for kind in kinds)),
            ", ".join(allowed),
            _default(model, key),
            sentence(model, key),
        )
        yield f"| {' | '.join(cells)} |"


def _type(kind: dict[str, Any]) -> str:
    if "$ref" in kind:
        return "table"
    if kind["type"] == "array":
        inner = _type(kind["items"])
        many = {"whole number": "whole numbers", "number": "numbers"}.get(inner, f"{inner}s")
        return f"list of {many.replace('list of', 'lists of')}".replace("numberss", "numbers")
    return NAMES[kind["type"]]


def _allowed(kind: dict[str, Any]) -> Iterator[str]:
    if kind.get("type") == "array":
        if "minItems" in kind:
            yield f"at least {kind['minItems']} of them"
        if bounds := ", ".join(_allowed(kind["items"])):
            yield f"each {bounds}"
        return
    choices = kind.get("enum", [kind["const"]] if "const" in kind else [])
    if choices:
        yield " ".join(f"`{json.dumps(choice)}`" for choice in choices)
    for name, words in BOUNDS.items():
        if name in kind:
            yield f"{words} {_number(kind[name])}"


def _number(value: float) -> str:
    return "2^63" if value == 2**63 else f"{value:,}"


def _default(model: type[BaseModel], key: str) -> str:
    field = model.model_fields[key]
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value in ("", ()):
        return "none"
    return f"`{json.dumps(value)}`"


def main() -> int:
    """Write the page, or say whether it is as it would be written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    text = reference()
    if not parser.parse_args().check:
        REFERENCE.write_text(text, encoding="utf-8")
        return 0
    same = REFERENCE.exists() and REFERENCE.read_text(encoding="utf-8") == text
    if not same:
        print(f"{REFERENCE.name} is out of date: run python tools/settings_reference.py.")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
