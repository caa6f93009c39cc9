"""User labels: the names and values that can stand on a metric.

Names follow Prometheus (`[a-zA-Z_][a-zA-Z0-9_]*`, its data model page); ``domain`` is ours, and
names that begin with two underscores are internal to Prometheus and would vanish on scraping.
"""

import re

from targets.results import TargetLimits

RESERVED_LABELS = frozenset({"domain"})
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# Controls, line separators, bidirectional overrides, and octets that are not UTF-8: nothing a
# dashboard or a terminal should be asked to show.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def is_internal_label(name: str) -> bool:
    """Return whether Prometheus keeps ``name`` to itself; such labels are dropped, not refused."""
    return name.startswith("__")


def label_name_problem(name: str) -> str | None:
    """Return why ``name`` cannot be a user label, or None when it can."""
    if not name:
        return "a label needs a name"
    if name in RESERVED_LABELS:
        return f"the label name {name!r} is reserved"
    if not _LABEL_NAME.fullmatch(name) or len(name) > 200:
        return "not a label name (letters, digits and underscores, not beginning with a digit)"
    return None


def label_value_problem(value: str, limits: TargetLimits) -> str | None:
    """Return why ``value`` cannot be a label value, or None when it can."""
    if len(value) > limits.max_label_characters:
        return f"label value longer than {limits.max_label_characters:,} characters"
    if _CONTROL.search(value):
        return "label value with control characters, or not UTF-8"
    return None
