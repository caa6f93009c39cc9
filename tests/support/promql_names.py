"""What a PromQL expression names: metrics with the labels they are matched by, and other labels.

A tokenizer and no parser: it knows strings, numbers, durations, names and brackets, and which names
are the language's own. Prometheus itself says whether an expression is valid; this says whether
what it asks for exists.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""
    (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<range>\[[^\]]*\])
    | (?P<number>\d[\w.]*|\.\d+)
    | (?P<name>[a-zA-Z_:][\w:]*)
    | (?P<mark>=~|!~|==|!=|<=|>=|[-+*/%^<>=(){},@])
    | (?P<space>\s+)
    """,
    re.VERBOSE,
)
_OPERATORS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring"}
_GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_AGGREGATIONS = {"sum", "min", "max", "avg", "count", "topk", "bottomk", "group", "quantile"}


@dataclass(slots=True)
class Names:
    """What an expression names."""

    metrics: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    """(metric, labels it is matched by)."""
    labels: set[str] = field(default_factory=set)
    """Labels in ``by``, ``on``, ``group_left`` and the like."""
    ranges: list[tuple[str, str]] = field(default_factory=list)
    """(metric, range as written) of every range selector."""


def names_of(expr: str) -> Names:
    """Return what ``expr`` names. Raises ValueError for a character PromQL does not have."""
    found = Names()
    tokens = [*_tokens(expr), ("end", "")]
    position = 0
    while position < len(tokens) - 1:
        kind, text = tokens[position]
        following = tokens[position + 1][1]
        if kind == "name" and text in _GROUPING and following == "(":
            position, labels = _until(tokens, position + 2, ")")
            found.labels |= labels
        elif kind == "name" and _is_metric(text, following):
            labels = set()
            position += 1
            if following == "{":
                position, labels = _until(tokens, position + 1, "}")
            found.metrics.append((text, frozenset(labels)))
            if tokens[position][0] == "range":
                found.ranges.append((text, tokens[position][1]))
        else:
            position += 1
    return found


def _is_metric(text: str, following: str) -> bool:
    is_called = following == "("
    is_grouped = text in _AGGREGATIONS
    return not (is_called or is_grouped or text in _OPERATORS or text in _GROUPING)


def _until(tokens: list[tuple[str, str]], position: int, end: str) -> tuple[int, set[str]]:
    """Return the place behind ``end``, and the names before it: values are strings."""
    labels = set()
    while tokens[position][1] != end:
        if tokens[position][0] == "name":
            labels.add(tokens[position][1])
        if tokens[position][0] == "end":
            raise ValueError(f"no {end}")
        position += 1
    return position + 1, labels


def _tokens(expr: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(expr):
        match = _TOKEN.match(expr, position)
        if match is None:
            raise ValueError(f"not PromQL: {expr[position : position + 20]!r}")
        position = match.end()
        kind = match.lastgroup or ""
        if kind != "space":
            yield kind, match.group()
