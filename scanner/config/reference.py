"""The reference tables of ``docs/configuration.md``, written from the declarations."""

import textwrap
from enum import Enum
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from scanner.config.declare import bounds_of
from scanner.config.settings import Config

MAX_COLUMNS = 100
"""Of a line of the example, which is read in a terminal."""


def reference() -> str:
    """Return one Markdown section with a table for each table of the file."""
    parts = []
    for name, field in Config.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        rows = [_row(key, value) for key, value in model.model_fields.items()]
        parts.append(
            f"### `[{name}]`\n\n{_one_line(model.__doc__)}\n\n"
            "| setting | type | default | bounds | meaning |\n"
            "|---|---|---|---|---|\n" + "\n".join(rows)
        )
    return "\n\n".join(parts) + "\n"


def example() -> str:
    """Return a whole configuration file with every setting, commented out at its default."""
    parts = ["# Every setting of danewatch, commented out, at its default or with an example.\n"]
    for name, field in Config.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        lines = [f"[{name}]"]
        for key, value in model.model_fields.items():
            extra = _extra(value)
            shown = extra.get("example") or _toml(value.default)
            lines += [*_comment(value.description or ""), f"#{key} = {shown}"]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        MAX_COLUMNS,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _row(key: str, field: FieldInfo) -> str:
    extra = _extra(field)
    default = extra.get("shown_default") or f"`{_toml(field.default)}`"
    unit = extra.get("unit")
    if unit and not extra.get("shown_default"):
        default += f" {unit}"
    return (
        f"| `{key}` | {_type(field)} | {default} | {bounds_of(field) or ''} | {field.description} |"
    )


def _type(field: FieldInfo) -> str:
    annotation = field.annotation
    kinds = [annotation, *get_args(annotation)]
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Enum):
            return "one of " + ", ".join(f"`{member.value}`" for member in kind)
    if bool in kinds:
        return "true or false"
    if int in kinds:
        return "whole number"
    if float in kinds:
        return "number"
    return "list of text" if isinstance(field.default, tuple) else "text"


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _one_line(docstring: str | None) -> str:
    return " ".join((docstring or "").split())
