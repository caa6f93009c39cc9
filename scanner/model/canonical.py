"""Names as DNSSEC orders and hashes them: labels from the root down, lower case (RFC 4034 §6.1).

A ``CanonicalName`` is a plain tuple of label octets, the top-level label first and without the
root's empty label, so that the tuple order *is* the canonical order, an ancestor *is* a prefix,
and comparing costs what comparing tuples costs. The root is ``()``.
"""

from functools import lru_cache

from scanner.model.names import MAX_LABEL_OCTETS, Name, labels_of, name_from_labels

CanonicalName = tuple[bytes, ...]

REMEMBERED_NAMES = 8_192
"""Names kept in other forms; the few names of a domain are looked at several times each."""

WILDCARD = b"*"
"""The label of a wildcard (RFC 4592 §2.1.1)."""


@lru_cache(maxsize=REMEMBERED_NAMES)
def canonical(name: Name) -> CanonicalName:
    """Return ``name``, a valid ``Name``, in canonical form."""
    if name == ".":
        return ()
    if "\\" not in name:
        return tuple(name.encode("ascii").split(b".")[::-1])
    return tuple(_unescaped(label).lower() for label in reversed(labels_of(name)))


def name_of(labels: CanonicalName) -> Name:
    """Return the ``Name`` in text of a canonical name."""
    return name_from_labels(labels[::-1])


@lru_cache(maxsize=REMEMBERED_NAMES)
def wire_form(labels: CanonicalName) -> bytes:
    """Return the uncompressed lower-case wire form (RFC 4034 §6.2)."""
    return b"".join([_LENGTHS[len(label)] + label for label in reversed(labels)]) + b"\x00"


_LENGTHS = [bytes((length,)) for length in range(MAX_LABEL_OCTETS + 1)]


def is_at_or_below(name: CanonicalName, ancestor: CanonicalName) -> bool:
    """Return whether ``name`` is ``ancestor`` or below it."""
    return name[: len(ancestor)] == ancestor


def is_below(name: CanonicalName, ancestor: CanonicalName) -> bool:
    """Return whether ``name`` is strictly below ``ancestor``."""
    return len(name) > len(ancestor) and name[: len(ancestor)] == ancestor


def common_ancestor(one: CanonicalName, other: CanonicalName) -> CanonicalName:
    """Return the longest name that is an ancestor of both, or one of them."""
    shared = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        shared += 1
    return one[:shared]


def _unescaped(label: str) -> bytes:
    """Undo the escapes of RFC 1035 §5.1; a ``Name`` has only well-formed ones."""
    out = bytearray()
    position = 0
    while position < len(label):
        character = label[position]
        if character != "\\":
            out.append(ord(character))
            position += 1
        elif label[position + 1 : position + 4].isdigit():
            out.append(int(label[position + 1 : position + 4]))
            position += 4
        else:
            out.append(ord(label[position + 1]))
            position += 2
    return bytes(out)
