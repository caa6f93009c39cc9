"""YAML and JSON as trees that remember their lines.

One small tree serves both formats, so that ``targets.file_sd`` says the same about both, and with
the line. Rules:

- YAML is read as a stream of events, never constructed: no tag makes an object, and text stays as
  written (``no`` is a domain label and not a boolean). An alias shares the node it names, so that
  nothing is expanded here; a node cannot contain itself.
- JSON is first decoded by the standard library, which decides what is valid; the tree is then made
  from the tokens of text known to be valid.
- Nesting is bounded while reading; recursion is used nowhere.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

import yaml

from targets.results import TargetLimits


class StructureError(ValueError):
    """The text is not YAML, not JSON, or nested too deeply. ``line`` counts from 1."""

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


class ScalarKind(StrEnum):
    """What a scalar is. YAML scalars are text or null, whatever YAML 1.1 would make of them."""

    TEXT = "text"
    NULL = "null"
    NUMBER = "number"
    BOOLEAN = "boolean"


@dataclass(slots=True)
class Scalar:
    """One value."""

    line: int
    text: str
    kind: ScalarKind = ScalarKind.TEXT


@dataclass(slots=True)
class Items:
    """A YAML sequence or JSON array."""

    line: int
    children: list["Node"] = field(default_factory=list)

    def add(self, node: "Node") -> None:
        """Append ``node``."""
        self.children.append(node)


@dataclass(slots=True)
class Pairs:
    """A YAML mapping or JSON object: keys and values in turn, duplicates kept."""

    line: int
    children: list["Node"] = field(default_factory=list)

    def add(self, node: "Node") -> None:
        """Append ``node``, a key or the value of the key before it."""
        self.children.append(node)

    def pairs(self) -> Iterator[tuple["Node", "Node"]]:
        """Yield (key, value) in order."""
        return zip(self.children[::2], self.children[1::2], strict=True)


Node = Scalar | Items | Pairs

_YAML_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
# The C parser is thirty times faster; wheels have it, some source builds do not.
_YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Builder:
    """Makes a tree from starts, scalars and ends."""

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._open: list[Items | Pairs] = []
        self.root: Node | None = None

    def start(self, node: Items | Pairs) -> None:
        if len(self._open) >= self._max_depth:
            raise StructureError(node.line, _too_deep(self._max_depth))
        self._open.append(node)

    def end(self) -> Node:
        node = self._open.pop()
        self.add(node)
        return node

    def add(self, node: Node) -> None:
        if self._open:
            self._open[-1].add(node)
        else:
            self.root = node


def _too_deep(levels: int) -> str:
    return f"nested more than {levels} levels deep"


def read_yaml(text: str, limits: TargetLimits) -> Node | None:
    """Return the tree of the first document in ``text``; None when it is empty.

    Raises StructureError for what is not YAML, a second document, or an unknown or recursive alias.
    """
    try:
        return _build_yaml(text, limits)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        reason = f"not YAML: {error.problem or 'unreadable'}"
        if "nesting depth" in reason:  # libyaml's own limit, met while it looks ahead
            reason = _too_deep(limits.max_depth)
        raise StructureError(line, reason) from error
    except yaml.YAMLError as error:
        # The reader's own error, for characters YAML forbids; it carries an offset and no line.
        position = getattr(error, "position", None)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else None
        raise StructureError(line, "not YAML: a character that YAML does not allow") from error


def _build_yaml(text: str, limits: TargetLimits) -> Node | None:
    builder = _Builder(limits.max_depth)
    anchors: dict[str, Node] = {}
    open_anchors: list[str | None] = []
    documents = 0
    for event in yaml.parse(text, Loader=_YamlLoader):
        line = event.start_mark.line + 1 if event.start_mark is not None else 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise StructureError(line, "a second YAML document; write one list in one file")
        elif isinstance(event, yaml.SequenceStartEvent):
            open_anchors.append(event.anchor)
            builder.start(Items(line))
        elif isinstance(event, yaml.MappingStartEvent):
            open_anchors.append(event.anchor)
            builder.start(Pairs(line))
        elif isinstance(event, yaml.CollectionEndEvent):
            _remember(anchors, open_anchors.pop(), builder.end())
        elif isinstance(event, yaml.ScalarEvent):
            is_null = event.implicit[0] and event.value in _YAML_NULLS
            scalar = Scalar(line, event.value, ScalarKind.NULL if is_null else ScalarKind.TEXT)
            builder.add(scalar)
            _remember(anchors, event.anchor, scalar)
        elif isinstance(event, yaml.AliasEvent):
            anchor = event.anchor or ""
            node = anchors.get(anchor)
            if node is None:
                raise StructureError(line, f"unknown or recursive alias *{anchor[:40]}")
            builder.add(node)
    return builder.root


def _remember(anchors: dict[str, Node], anchor: str | None, node: Node) -> None:
    if anchor is not None:
        anchors[anchor] = node


_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]|[^\s\[\]{}:,"]++')
_JSON_WORDS = {"null": ScalarKind.NULL, "true": ScalarKind.BOOLEAN, "false": ScalarKind.BOOLEAN}


def read_json(text: str, limits: TargetLimits) -> Node | None:
    """Return the tree of ``text``; None when it is blank. Raises StructureError otherwise."""
    if not text.strip():
        return None
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        raise StructureError(error.lineno, f"not JSON: {error.msg}") from error
    except RecursionError as error:
        raise StructureError(None, _too_deep(limits.max_depth)) from error
    builder = _Builder(limits.max_depth)
    line, counted = 1, 0
    for match in _TOKEN.finditer(text):
        piece, position = match.group(), match.start()
        line += text.count("\n", counted, position)
        counted = position
        if piece == "[":
            builder.start(Items(line))
        elif piece == "{":
            builder.start(Pairs(line))
        elif piece in "]}":
            builder.end()
        elif piece.startswith('"'):
            builder.add(Scalar(line, json.loads(piece)))
        else:
            builder.add(Scalar(line, piece, _JSON_WORDS.get(piece, ScalarKind.NUMBER)))
    return builder.root
