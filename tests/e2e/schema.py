"""Checks JSON against the schemas in src/admin/schema: as much of JSON Schema as they use, and not a word more."""

import json
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "src" / "admin" / "schema"
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
         "number": (int, float)}
KNOWN = {"$schema", "description", "type", "enum", "const", "pattern", "minimum", "properties", "required",
         "additionalProperties", "items", "anyOf"}


def load(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def _is(value, kind):
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, TYPES[kind])


def _object(value, schema, path):
    known = schema.get("properties", {})
    for key in schema.get("required", []):
        if key not in value:
            yield f"{path}: no {key}"
    for key, inner in value.items():
        more = known.get(key, schema.get("additionalProperties", True))
        if more is False:
            yield f"{path}: {key} is not in the schema"
        elif more is not True:
            yield from problems(inner, more, f"{path}.{key}")


def problems(value, schema, path="$"):
    """What is wrong with the value, a sentence each."""
    assert schema.keys() <= KNOWN, f"the checker does not know {schema.keys() - KNOWN}"
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        yield f"{path}: {value!r} is no {' or '.join(kinds)}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{path}: {value!r} is not {schema['const']!r}"
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        yield f"{path}: {value!r} is not like {schema['pattern']}"
    if "minimum" in schema and _is(value, "number") and value < schema["minimum"]:
        yield f"{path}: {value!r} is less than {schema['minimum']}"
    if "anyOf" in schema and all(list(problems(value, one, path)) for one in schema["anyOf"]):
        yield f"{path}: {value!r} is none of what it may be"
    if isinstance(value, dict):
        yield from _object(value, schema, path)
    if isinstance(value, list) and "items" in schema:
        for i, inner in enumerate(value):
            yield from problems(inner, schema["items"], f"{path}[{i}]")


def check(name, value):
    """Returns the value; AssertionError when it is not as the schema of that name says."""
    found = list(problems(json.loads(value) if isinstance(value, str) else value, load(name)))
    assert not found, "\n".join([f"not as {name}.json says:", *found[:10]])
    return json.loads(value) if isinstance(value, str) else value
