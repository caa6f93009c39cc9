"""The Prometheus text format 0.0.4 and OpenMetrics 1.0: escaping, lines, headers.

A cell is what stands behind the entity's own label in a line of one family, so that a line is
``head + key + cell``: ``danewatch_domain_up{domain="`` + ``example.org`` + ``"} 1``. Sample lines
are the same in both formats; only the headers of a family differ.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache

from exporters.metrics import RESULT_METRICS, Metric, MetricType
from exporters.samples import Pairs, Value
from scanner.model.vocabulary import EntityType

Cell = str | tuple[str, ...] | None
"""The text of one family of one entity: one line, several, or none."""
Cells = tuple[Cell, ...]
"""One cell for each family of the entity's type, in the order of FAMILIES."""

OWN_LABEL = {EntityType.DOMAIN: "domain", EntityType.MX: "mx", EntityType.ZONE: "dns_zone"}
FAMILIES: Mapping[EntityType, tuple[Metric, ...]] = {
    entity_type: tuple(metric for metric in RESULT_METRICS if metric.labels[0] == label)
    for entity_type, label in OWN_LABEL.items()
}
_NAMES = {kind: tuple(metric.name for metric in metrics) for kind, metrics in FAMILIES.items()}
_SMALL = tuple(f'"}} {number}\n' for number in range(64))


class Format(StrEnum):
    """The two forms of the page."""

    TEXT = "text"
    """Prometheus text format 0.0.4."""
    OPENMETRICS = "openmetrics"
    """OpenMetrics 1.0."""


CONTENT_TYPE = {
    Format.TEXT: "text/plain; version=0.0.4; charset=utf-8",
    Format.OPENMETRICS: "application/openmetrics-text; version=1.0.0; charset=utf-8",
}


def cells_of(entity_type: EntityType, values: Mapping[str, Value]) -> Cells:
    """Return the cells of one entity from its values by family."""
    return tuple([_cell(values.get(name)) for name in _NAMES[entity_type]])


def _cell(value: Value) -> Cell:
    if value is None:
        return None
    if not isinstance(value, tuple):
        if isinstance(value, int) and 0 <= value < len(_SMALL):
            return _SMALL[value]
        return f'"}} {number_text(value)}\n'
    if len(value) == 1:
        return _labelled(*value[0])
    return tuple(_labelled(pairs, number) for pairs, number in value) or None


@lru_cache(maxsize=4096)
def _labelled(pairs: Pairs, number: float) -> str:
    """Return the cell of one sample with further labels; equal ones share one string."""
    labels = "".join(f',{name}="{escape_label(value)}"' for name, value in pairs)
    return f'"{labels}}} {number_text(number)}\n'


def lines_of(metric: Metric, position: int, entities: Iterable[tuple[str, Cells]]) -> list[str]:
    """Return the lines of one family for ``entities``; ``position`` is its place in the cells."""
    head = f'{metric.full_name}{{{metric.labels[0]}="'
    lines: list[str] = []
    for key, cells in entities:
        cell = cells[position]
        if cell is None:
            continue
        start = head + escape_name(key)
        if isinstance(cell, str):
            lines.append(start + cell)
        else:
            lines.extend([start + one for one in cell])
    return lines


def count_of(cell: Cell) -> int:
    """Return how many series ``cell`` is."""
    if cell is None:
        return 0
    return 1 if isinstance(cell, str) else len(cell)


def header(metric: Metric, form: Format = Format.TEXT) -> str:
    """Return the HELP, TYPE and, for OpenMetrics, UNIT lines of a family.

    An info metric is a type of its own in OpenMetrics, whose family is named without ``_info``; a
    unit is named where the name ends in it (OpenMetrics 1.0 §5.1).
    """
    name, kind, sentence = metric.full_name, metric.type.value, metric.sentence
    if form is Format.TEXT:
        return f"# HELP {name} {_escape_help(sentence)}\n# TYPE {name} {kind}\n"
    if metric.is_info:
        name, kind = name.removesuffix("_info"), "info"
    if metric.type is MetricType.COUNTER:
        name = name.removesuffix("_total")
    unit = f"# UNIT {name} seconds\n" if name.endswith("_seconds") else ""
    help_text = _escape_help(sentence).replace('"', '\\"')
    return f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n{unit}"


def escape_name(name: str) -> str:
    """Return a name as it stands between the quotes of a label; nearly all of them stay."""
    if name.isascii() and "\\" not in name and '"' not in name and "\n" not in name:
        return name
    return escape_label(name)


def escape_label(value: str) -> str:
    """Return ``value`` as it stands between the quotes of a label."""
    if value.isalnum() and value.isascii():
        return value
    text = value.encode("utf-8", "replace").decode("utf-8")
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escape_help(sentence: str) -> str:
    return sentence.replace("\\", "\\\\").replace("\n", "\\n")


def number_text(value: float) -> str:
    """Return ``value`` as a sample shows it: whole numbers without a fraction."""
    return str(int(value)) if value == int(value) else repr(value)


def label_names(labels: Pairs) -> Pairs:
    """Return the operator's labels under names Prometheus allows, each name once, sorted.

    Other characters become underscores; a name that is ours or reserved (``__``) gets the prefix
    ``label_``, one that is taken a number.
    """
    renamed: dict[str, str] = {}
    for name, value in sorted(labels):
        plain = re.sub(r"[^a-zA-Z0-9_]", "_", name) or "label"
        if plain == "domain" or plain.startswith("__") or plain[0].isdigit():
            plain = f"label_{plain.lstrip('_')}"
        candidate, number = plain, 2
        while candidate in renamed:
            candidate, number = f"{plain}_{number}", number + 1
            if candidate.startswith("__"):
                candidate = f"label{candidate}"
        renamed[candidate] = value
    return tuple(sorted(renamed.items()))
