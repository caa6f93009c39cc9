"""Prometheus ``file_sd`` lists, JSON and YAML: groups of ``targets`` with common ``labels``.

As in Prometheus, a group has these two keys and no other. A target here is a mail domain, without
a port. In YAML every scalar is text; in JSON a number or boolean is not, and is a problem.
"""

from collections.abc import Callable, Iterator

from targets.labels import is_internal_label, label_name_problem, label_value_problem
from targets.nodes import (
    Items,
    Node,
    Pairs,
    Scalar,
    ScalarKind,
    StructureError,
    read_json,
    read_yaml,
)
from targets.results import Entry, Item, TargetLimits, TargetProblem, TargetWarning, shown

_KEYS = ("targets", "labels")


def read_file_sd_json(text: str, file: str, limits: TargetLimits) -> Iterator[Item]:
    """Yield an Entry for each target in ``text`` and what is wrong with the rest."""
    return _read(text, file, limits, read_json)


def read_file_sd_yaml(text: str, file: str, limits: TargetLimits) -> Iterator[Item]:
    """Yield an Entry for each target in ``text`` and what is wrong with the rest."""
    return _read(text, file, limits, read_yaml)


def _read(
    text: str,
    file: str,
    limits: TargetLimits,
    parse: Callable[[str, TargetLimits], Node | None],
) -> Iterator[Item]:
    try:
        root = parse(text, limits)
    except StructureError as error:
        yield TargetProblem(file=file, line=error.line, value="", reason=error.reason)
        return
    if root is None or (isinstance(root, Scalar) and root.kind is ScalarKind.NULL):
        return
    if not isinstance(root, Items):
        yield _problem(file, root, "expected a list of groups with 'targets' and 'labels'")
        return
    for group in root.children:
        yield from _read_group(group, file, limits)


def _read_group(group: Node, file: str, limits: TargetLimits) -> Iterator[Item]:
    if not isinstance(group, Pairs):
        yield _problem(file, group, "expected a group with 'targets' and 'labels'")
        return
    parts: dict[str, Node] = {}
    for key, value in group.pairs():
        name = key.text if isinstance(key, Scalar) else ""
        if name not in _KEYS:
            yield _problem(file, key, "unknown key; a group has 'targets' and 'labels'")
        elif name in parts:
            yield _problem(file, key, "this key occurs twice; the first is used")
        else:
            parts[name] = value
    if "targets" not in parts:
        yield _problem(file, group, "a group without 'targets'")
        return
    labels: list[tuple[str, str]] = []
    for item in _read_labels(parts.get("labels"), file, limits):
        if isinstance(item, tuple):
            labels.append(item)
        else:
            yield item
    yield from _read_targets(parts["targets"], tuple(labels), file)


def _read_targets(node: Node, labels: tuple[tuple[str, str], ...], file: str) -> Iterator[Item]:
    if isinstance(node, Scalar) and node.kind is ScalarKind.NULL:
        return
    if not isinstance(node, Items):
        yield _problem(file, node, "'targets' must be a list of domains")
        return
    for target in node.children:
        if isinstance(target, Scalar) and target.kind is ScalarKind.TEXT:
            yield Entry(value=target.text, line=target.line, labels=labels)
        else:
            yield _problem(file, target, f"expected a domain, found {_kind(target)}")


def _read_labels(
    node: Node | None, file: str, limits: TargetLimits
) -> Iterator[tuple[str, str] | TargetProblem | TargetWarning]:
    """Yield (name, value) for each label, and why the others are not."""
    if node is None or (isinstance(node, Scalar) and node.kind is ScalarKind.NULL):
        return
    if not isinstance(node, Pairs):
        yield _problem(file, node, "'labels' must map label names to values")
        return
    seen: set[str] = set()
    for key, value in node.pairs():
        name = key.text if isinstance(key, Scalar) else ""
        if is_internal_label(name):
            yield TargetWarning(
                file=file,
                line=key.line,
                value=shown(name),
                reason="label dropped: names with two leading underscores are internal",
            )
            continue
        reason = label_name_problem(name)
        if reason is None and name in seen:
            reason = "this label occurs twice; the first is used"
        if reason is None and len(seen) >= limits.max_labels:
            yield _problem(file, key, f"more than {limits.max_labels} labels; the rest is ignored")
            return
        if reason is None and not (isinstance(value, Scalar) and value.kind is ScalarKind.TEXT):
            reason = f"label {name!r}: expected text, found {_kind(value)}"
        elif reason is None and isinstance(value, Scalar):
            reason = label_value_problem(value.text, limits)
        if reason is not None or not isinstance(value, Scalar):
            yield _problem(file, key, f"label ignored: {reason}")
            continue
        seen.add(name)
        if value.text:
            yield name, value.text


def _problem(file: str, node: Node, reason: str) -> TargetProblem:
    value = shown(node.text) if isinstance(node, Scalar) else ""
    return TargetProblem(file=file, line=node.line, value=value, reason=reason)


def _kind(node: Node) -> str:
    if isinstance(node, Scalar):
        return "nothing" if node.kind is ScalarKind.NULL else f"a {node.kind}"
    return "a list" if isinstance(node, Items) else "a mapping"
