"""What is kept of the page for a restart: one small JSON document for each entity.

A restart reads hundreds of thousands of them before anything else happens, so a document holds the
cells as they stand on the page, and reading one is checking its form. Nothing is trusted: what is
not of this form, or would tear a line of the page, is no snapshot.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

from exporters.metrics_text import FAMILIES, OWN_LABEL, Cell
from exporters.results import Record
from exporters.samples import Pairs
from scanner.model.monitoring import Snapshot
from scanner.model.names import Name
from scanner.model.vocabulary import EntityType

_VERSION = 1
_NAMES = {kind: tuple(metric.name for metric in metrics) for kind, metrics in FAMILIES.items()}
_NUMBER = r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:e[+-]?[0-9]{1,3})?"
_PLAIN = re.compile(rf'"\}} {_NUMBER}\n\Z')
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
_LABELLED = re.compile(rf'"(?:,{_LABEL})*\}} {_NUMBER}\n\Z')
_LABELS = re.compile(rf"({_LABEL})(?:,|\}})")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")


def snapshot_of(entity_type: EntityType, entity: Name, record: Record) -> Snapshot:
    """Return what is kept of what is shown of an entity."""
    cells, (hosts, zones, causes), rank, source = record
    document: dict[str, object] = {
        "v": _VERSION,
        "cells": {
            name: cell
            for name, cell in zip(_NAMES[entity_type], cells, strict=True)
            if cell is not None
        },
        "rank": (rank[0], rank[1].isoformat(), rank[2]),
    }
    if source:
        document["source"] = source
    if hosts or zones or causes:
        document |= {"hosts": hosts, "zones": zones, "causes": causes}
    data = json.dumps(document, separators=(",", ":")).encode("ascii")
    return Snapshot(entity_type=entity_type, entity=entity, data=data)


def read_snapshot(snapshot: Snapshot) -> tuple[EntityType, Name, Record] | None:
    """Return what ``snapshot`` holds; None where it is not of ours or not whole."""
    try:
        document = json.loads(snapshot.data)
        kind = EntityType(snapshot.entity_type)
        if document["v"] != _VERSION:
            return None
        snapshot.entity.encode("utf-8")
        found, own = document["cells"], OWN_LABEL[kind]
        cells = tuple([_cell(found.get(name), own) for name in _NAMES[kind]])
        holds, moment, worth = document["rank"]
        at = datetime.fromisoformat(moment)
        if at.tzinfo is None:
            return None
        leads = (
            _tuple_of(_name, document.get("hosts", ())),
            _tuple_of(_name, document.get("zones", ())),
            _tuple_of(_label_pairs, document.get("causes", ())),
        )
        rank = (bool(holds), at, int(worth))
        record = (cells, leads, rank, str(document.get("source", "")))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None
    return kind, Name(snapshot.entity), record


def _cell(value: Any, own: str) -> Cell:
    """Return ``value`` as a cell; equal ones share one string where there are few."""
    if value is None:
        return None
    if isinstance(value, list):
        cells = tuple([_labelled(one, own) for one in value])
        if len(set(cells)) != len(cells):
            raise ValueError("a series twice")
        return cells or None
    if len(value) > 6 and _PLAIN.match(value):
        return str(value)
    return _labelled(value, own)


@lru_cache(maxsize=8192)
def _labelled(text: str, own: str) -> str:
    """Return ``text`` if it is the cell of one sample whose labels are not called ``own``."""
    if _LABELLED.match(text) is None:
        raise ValueError("not a cell")
    text.encode("utf-8")
    names = [label.partition("=")[0] for label in _LABELS.findall(text)]
    if own in names or len(set(names)) != len(names):
        raise ValueError("a label twice")
    return text


def _label_pairs(pairs: Any) -> Pairs:
    found = tuple((_text(name), _text(value)) for name, value in pairs)
    names = [name for name, _ in found]
    if len(set(names)) != len(names) or not all(map(_LABEL_NAME.match, names)):
        raise ValueError("not the names of labels")
    return found


def _tuple_of(read: Callable[[Any], Any], values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple):
        raise TypeError("not a list")
    return tuple([read(value) for value in values])


def _name(value: Any) -> Name:
    return Name(_text(value))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
