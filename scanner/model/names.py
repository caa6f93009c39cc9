"""Domain names as danewatch writes them: lower-case A-labels, absolute, no trailing dot.

A ``Name`` is a plain string for speed and easy storage, so the type is nominal only; what makes
one valid is that it came from one of the constructors below. The root is ``"."``. Octets that DNS
allows and host names do not are kept in the presentation form of RFC 1035 §5.1 (``\\DDD``).
"""

import ipaddress
from collections.abc import Sequence
from typing import NewType

import idna

Name = NewType("Name", str)

ROOT = Name(".")
MAX_NAME_OCTETS = 255  # RFC 1035 §2.3.4, the wire form with length octets
MAX_LABEL_OCTETS = 63  # RFC 1035 §2.3.4
MAX_TEXT_CHARACTERS = 2_000  # longest input looked at; the longest escaped name is 1,004
_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_PLAIN_OCTETS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_*."


class InvalidNameError(ValueError):
    """The text is not a domain name; the message says why, in words for an operator."""


def parse_domain(text: str) -> Name:
    """Return the normalised name an operator meant by ``text``.

    Accepts U-labels and A-labels, any case, one trailing dot. Underscores are accepted
    (they occur in real MX targets). Uses UTS 46 mapping and IDNA 2008 (RFC 5891).

    Raises InvalidNameError for an empty text, an address literal, a single label, a label or name
    that is too long, characters no host name has, and labels IDNA does not allow.
    """
    stripped = text.strip()
    if not stripped or stripped == ".":
        raise InvalidNameError("empty name")
    if len(stripped) > MAX_TEXT_CHARACTERS:
        raise InvalidNameError(f"longer than {MAX_TEXT_CHARACTERS} characters")
    if is_address_literal(stripped):
        raise InvalidNameError("an IP address, not a domain name")
    if "@" in stripped:
        raise InvalidNameError("a mail address, not a domain name")
    if "://" in stripped or "/" in stripped:
        raise InvalidNameError("a URL or path, not a domain name")
    dotted = stripped.replace("。", ".").replace("．", ".").replace("｡", ".")
    labels = dotted.removesuffix(".").split(".")
    if any(not label for label in labels):
        raise InvalidNameError("empty label (two dots in a row, or a leading dot)")
    if len(labels) == 1:
        raise InvalidNameError("a single label, not a domain name")
    name = Name(".".join(_parse_label(label) for label in labels))
    if len(name) + 2 > MAX_NAME_OCTETS:
        raise InvalidNameError(f"longer than {MAX_NAME_OCTETS} octets")
    return name


def parse_any_name(text: str) -> Name:
    """Return the normalised name of anything in DNS: like ``parse_domain``, and more.

    The root, single labels (top-level domains) and a leading ``*`` are names too. Raises
    InvalidNameError.
    """
    stripped = text.strip()
    if stripped == ".":
        return ROOT
    bare = stripped.removesuffix(".")
    if bare.startswith("*."):
        return Name(f"*.{parse_any_name(bare.removeprefix('*.'))}")
    if bare and "." not in bare and not set(bare) & set("@/。．｡"):
        return Name(_parse_label(bare))
    return parse_domain(stripped)


def _parse_label(label: str) -> str:
    if label.isascii():
        lowered = label.lower()
        bad = sorted(set(lowered) - _HOST_CHARACTERS)
        if bad:
            raise InvalidNameError(f"character {bad[0]!r} in label {label!r}")
        if lowered.startswith("xn--"):
            _check_a_label(lowered)
    else:
        try:
            lowered = idna.encode(label, uts46=True).decode("ascii").lower()
        except (idna.IDNAError, UnicodeError) as error:
            raise InvalidNameError(f"label {label!r} is not valid IDNA: {error}") from error
    if len(lowered) > MAX_LABEL_OCTETS:
        raise InvalidNameError(f"label longer than {MAX_LABEL_OCTETS} octets: {label!r}")
    if lowered.startswith("-") or lowered.endswith("-"):
        raise InvalidNameError(f"label {label!r} begins or ends with a hyphen")
    return lowered


def _check_a_label(label: str) -> None:
    try:
        idna.ulabel(label)
    except (idna.IDNAError, UnicodeError) as error:
        raise InvalidNameError(f"label {label!r} is not a valid A-label: {error}") from error


def name_from_labels(labels: Sequence[bytes]) -> Name:
    """Return the name made of wire labels (without the root's empty label), lower-cased."""
    if not labels:
        return ROOT
    joined = b".".join(labels)
    # Nearly every name is made of these; one without a dot inside a label needs no escapes.
    if not joined.translate(None, _PLAIN_OCTETS) and joined.count(b".") == len(labels) - 1:
        return Name(joined.decode("ascii").lower())
    return Name(".".join(_escape_label(label) for label in labels))


def _escape_label(label: bytes) -> str:
    if label.isalnum():
        return label.decode("ascii").lower()
    out: list[str] = []
    for octet in label:
        character = chr(octet)
        if character in '."();@$\\':
            out.append("\\" + character)
        elif 0x21 <= octet <= 0x7E:
            out.append(character.lower())
        else:
            out.append(f"\\{octet:03d}")
    return "".join(out)


def labels_of(name: Name) -> tuple[str, ...]:
    """Return the labels of ``name``, left to right; none for the root. Escaped dots stay inside."""
    if name == ROOT:
        return ()
    if "\\" not in name:
        return tuple(name.split("."))
    labels: list[str] = []
    current: list[str] = []
    characters = iter(name)
    for character in characters:
        if character == "\\":
            current.append(character + next(characters, ""))
        elif character == ".":
            labels.append("".join(current))
            current = []
        else:
            current.append(character)
    labels.append("".join(current))
    return tuple(labels)


def parent_of(name: Name) -> Name:
    """Return the name with its leftmost label removed; the root is its own parent."""
    if "\\" not in name:
        return Name(name.partition(".")[2]) or ROOT
    labels = labels_of(name)
    return Name(".".join(labels[1:])) if len(labels) > 1 else ROOT


def tlsa_owner(base: Name, port: int = 25) -> Name:
    """Return the owner name of the TLSA records for SMTP at ``base`` (RFC 6698 §3).

    The port in the name is that of the protocol, 25 for mail between servers, also when a test
    laboratory listens elsewhere.
    """
    return Name(f"_{port}._tcp.{base}")


def is_address_literal(text: str) -> bool:
    """Return whether ``text`` is an IPv4 or IPv6 address, bare or in brackets."""
    candidate = text.strip().removesuffix(".").removeprefix("[").removesuffix("]")
    candidate = candidate.lower().removeprefix("ipv6:")
    if ":" not in candidate and not candidate.replace(".", "").isdigit():
        return False  # nearly every name, told without the price of an exception
    try:
        ipaddress.ip_address(candidate)
    except ValueError:
        return False
    return True


def to_unicode(name: Name) -> str:
    """Return ``name`` with A-labels shown as U-labels, for people; unchanged where that fails."""
    if "xn--" not in name:
        return name
    try:
        return idna.decode(name)
    except (idna.IDNAError, UnicodeError):
        return name
