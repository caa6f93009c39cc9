"""What a client accepts: the form of the page and its compression (RFC 9110 §12.5).

Nothing here raises: a header that makes no sense counts as none, and the answer is then the plain
text format, which everyone reads.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from exporters.metrics_text import Format

MAX_ITEMS = 64
"""Items of a header that are looked at."""
_OPENMETRICS_VERSIONS = ("1.0.0", "0.0.1", "")
"""Those that our form satisfies; clients that name none mean the latest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    """One item of an Accept header; ``weight`` is 0 where it is refused."""

    name: str
    weight: float
    parameters: Mapping[str, str]


def wanted_format(accept: Iterable[str]) -> Format:
    """Return the form that ``accept`` (the values of all Accept headers) prefers."""
    best = {Format.TEXT: 0.0, Format.OPENMETRICS: 0.0}
    for item in _items(accept):
        if item.name == "application/openmetrics-text":
            if item.parameters.get("version", "") in _OPENMETRICS_VERSIONS:
                best[Format.OPENMETRICS] = max(best[Format.OPENMETRICS], item.weight)
        elif item.name in ("text/plain", "text/*", "*/*"):
            best[Format.TEXT] = max(best[Format.TEXT], item.weight)
    if best[Format.OPENMETRICS] > 0 and best[Format.OPENMETRICS] >= best[Format.TEXT]:
        return Format.OPENMETRICS
    return Format.TEXT


def accepts_gzip(accept_encoding: Iterable[str]) -> bool:
    """Return whether a gzip body may be sent."""
    weights = {item.name: item.weight for item in _items(accept_encoding)}
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _items(values: Iterable[str]) -> Iterator[_Item]:
    items = [item for value in values for item in value.split(",", MAX_ITEMS)]
    for item in items[:MAX_ITEMS]:
        name, *rest = (part.strip() for part in item.split(";", MAX_ITEMS))
        parameters = dict(_parameter(part) for part in rest)
        yield _Item(
            name=name.lower(), weight=_weight(parameters.get("q", "1")), parameters=parameters
        )


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip().strip('"')


def _weight(text: str) -> float:
    """Return a weight from 0 to 1 (RFC 9110 §12.4.2); 0 for what is none."""
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
