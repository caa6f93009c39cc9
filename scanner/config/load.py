"""Reads a configuration file; every mistake is found in one go, each with file, line and remedy."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from scanner.config.declare import bounds_of
from scanner.config.lines import KeyPath, line_of, locate_keys
from scanner.config.settings import Config

MAX_CONFIG_BYTES = 1024 * 1024
"""Ours; every setting with a comment of its own is a few KiB."""
_MAX_SHOWN = 60
_MAX_REASON = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigProblem:
    """One mistake. ``line`` counts from 1; None when the whole file is meant."""

    file: str
    line: int | None
    key: str
    value: str
    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        what = f"{self.key} = {self.value}" if self.value and self.key else self.key or self.value
        sentence = f"{place}: {what}: {self.reason}" if what else f"{place}: {self.reason}"
        return f"{sentence}; {self.remedy}" if self.remedy else sentence


class ConfigError(Exception):
    """The file cannot be used; ``problems`` holds every mistake, in the order of their lines."""

    def __init__(self, problems: tuple[ConfigProblem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def load_config(path: str | Path) -> Config:
    """Return the configuration in ``path``; paths in it are made relative to its directory.

    Raises ConfigError with all problems: the file cannot be read, is not TOML, has an unknown
    table or setting, or a value of the wrong type or out of bounds.
    """
    file = str(path)
    text = _read(Path(path), file)
    data = _parse(text, file)
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        lines = locate_keys(text)
        problems = [_problem(dict(item), file, lines) for item in error.errors(include_url=False)]
        problems.sort(key=lambda problem: (problem.line or 0, problem.key))
        raise ConfigError(tuple(problems)) from error
    return _with_absolute_paths(config, Path(path).absolute().parent)


def _read(path: Path, file: str) -> str:
    try:
        if not path.is_file():
            reason = "not a regular file" if path.exists() else "no such file"
            raise ConfigError((_whole_file(file, reason),))
        with path.open("rb") as stream:
            octets = stream.read(MAX_CONFIG_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError((_whole_file(file, str(reason).lower()),)) from error
    if len(octets) > MAX_CONFIG_BYTES:
        raise ConfigError((_whole_file(file, f"larger than {MAX_CONFIG_BYTES:,} bytes"),))
    try:
        return octets.removeprefix(b"\xef\xbb\xbf").decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        problem = ConfigProblem(
            file=file,
            line=octets.count(b"\n", 0, error.start) + 1,
            key="",
            value=f"byte 0x{octets[error.start]:02x}",
            reason="not UTF-8",
            remedy="save the file as UTF-8",
        )
        raise ConfigError((problem,)) from error


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at line (\d+), column (\d+)\)$", str(error))
        at_end = str(error).endswith("(at end of document)")
        line = int(found[1]) if found else text.count("\n") + 1 if at_end else None
        reason = re.sub(r" \(at [^()]*\)$", "", str(error))
        problem = ConfigProblem(
            file=file,
            line=line,
            key="",
            value="",
            reason=f"not TOML: {_printable(reason)}",
            remedy="text is quoted, lists are in [ ], true and false are lower-case",
        )
        raise ConfigError((problem,)) from error
    except RecursionError as error:
        raise ConfigError((_whole_file(file, "nested too deeply"),)) from error
    except ValueError as error:  # Python reads no whole number of thousands of digits
        raise ConfigError((_whole_file(file, "a number in it is far too long"),)) from error


def _whole_file(file: str, reason: str) -> ConfigProblem:
    return ConfigProblem(file=file, line=None, key="", value="", reason=reason)


def _problem(error: Mapping[str, Any], file: str, lines: Mapping[KeyPath, int]) -> ConfigProblem:
    """Return one of pydantic's errors in the words of an operator."""
    location = error["loc"]
    path = tuple(str(part) for part in location if isinstance(part, str))
    model, name = _declaration(path)
    value = error["input"]
    reason, remedy = _explain(error, model, name, path)
    is_table = isinstance(value, dict)
    return ConfigProblem(
        file=file,
        line=line_of(path, lines),
        key=_printable(".".join(path)),
        value="" if is_table or error["type"] == "extra_forbidden" else _printable(_toml(value)),
        reason=reason,
        remedy=remedy,
    )


def _declaration(path: KeyPath) -> tuple[type[BaseModel], str]:
    """Return the section a path is in and the name of the setting in it."""
    if len(path) >= 2 and path[0] in Config.model_fields:
        kind = Config.model_fields[path[0]].annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind, path[1]
    return Config, path[0] if path else ""


def _explain(
    error: Mapping[str, Any], model: type[BaseModel], name: str, path: KeyPath
) -> tuple[str, str]:
    kind, context = str(error["type"]), error.get("ctx", {})
    if kind == "extra_forbidden":
        what = "setting" if len(path) > 1 or not isinstance(error["input"], dict) else "table"
        return f"unknown {what}", _did_you_mean(model, name, path)
    if kind == "enum":
        return "not one of the values known here", f"write {_choices(model, name)}"
    if kind in ("greater_than_equal", "less_than_equal"):
        return "out of bounds", _bounds(model, name)
    if kind == "value_error":
        return _printable(str(context.get("error", "wrong value")), _MAX_REASON), ""
    if kind in ("model_type", "model_attributes_type"):
        return "this is a table", f"write [{path[0]}] and its settings below"
    return _TYPE_REASONS.get(kind, "wrong value"), ""


_TYPE_REASONS = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "too large a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": 'must be text in quotation marks, as in "value"',
    "tuple_type": 'must be a list, as in ["one", "two"]',
}


def _did_you_mean(model: type[BaseModel], name: str, path: KeyPath) -> str:
    close = difflib.get_close_matches(name[:100], model.model_fields, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    elsewhere = [
        f"[{table}] {name}"
        for table, field in Config.model_fields.items()
        if isinstance(field.annotation, type)
        and issubclass(field.annotation, BaseModel)
        and name in field.annotation.model_fields
    ]
    if elsewhere:
        return f"it belongs to {elsewhere[0]}"
    known = ", ".join(model.model_fields)
    return f"[{path[0]}] has {known}" if len(path) > 1 else f"the tables are {known}"


def _choices(model: type[BaseModel], name: str) -> str:
    annotation = model.model_fields[name].annotation
    kinds = [annotation, *get_args(annotation)]
    members = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Enum)]
    return " or ".join(f'"{member.value}"' for kind in members for member in kind)


def _bounds(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    unit = f" {extra['unit']}" if extra.get("unit") else ""
    return f"write a number from {bounds_of(field)}{unit}"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _printable(text: str, limit: int = _MAX_SHOWN) -> str:
    if len(text) > limit:
        text = f"{text[: limit // 2 - 1]}…{text[-(limit // 2) :]}"
    return "".join(character if character.isprintable() else "?" for character in text)


def _with_absolute_paths(config: Config, directory: Path) -> Config:
    """Return ``config`` with its paths resolved against the directory of its file."""

    def absolute(path: str | None) -> str | None:
        return None if path is None else str(directory / Path(path).expanduser())

    anchor = absolute(config.validation.trust_anchor)
    return config.model_copy(
        update={
            "validation": config.validation.model_copy(update={"trust_anchor": anchor}),
            "targets": config.targets.model_copy(
                update={"files": tuple(str(absolute(file)) for file in config.targets.files)}
            ),
            "history": config.history.model_copy(
                update={"directory": absolute(config.history.directory)}
            ),
            "metrics": config.metrics.model_copy(
                update={"textfile": absolute(config.metrics.textfile)}
            ),
            "state": config.state.model_copy(update={"file": absolute(config.state.file)}),
            "http": config.http.model_copy(
                update={"web_config_file": absolute(config.http.web_config_file)}
            ),
            "dask": config.dask.model_copy(
                update={
                    "tls_ca": absolute(config.dask.tls_ca),
                    "tls_certificate": absolute(config.dask.tls_certificate),
                    "tls_key": absolute(config.dask.tls_key),
                }
            ),
        }
    )
